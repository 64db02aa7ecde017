/* A network in C that writes a trace for `parity compare`: the C standard library, nothing else.

       cc -std=c99 -O2 -ffp-contract=off writer.c -lm -o writer && ./writer EXPERIMENT.json OUT [FACTOR]

   OUT is a folder that is there. The experiment is copied into the manifest as it stands; its numbers are the constants
   below. FACTOR is what the penalty lambda * sum(W**2) is multiplied with: 1 as in Keras, 0.5 as in many textbooks.
   Without -ffp-contract=off a compiler may fuse w - rate * g into one rounding, which is another number in the last bit. */

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N = 4, I = 2, H = 3, STEPS = 5, MOST = 64 };

static const double x[N][I] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}}, y[N] = {0.25, 1, 0.75, -0.5};
static const double rate = 0.125;

static double W1[I][H] = {{0.5, -0.25, 1}, {-1, 0.75, 0.5}}, b1[H] = {0, 0.25, -0.5};
static double W2[H] = {1, -0.5, 0.75}, b2 = 0.125; /* (H, 1) and (1) */

static void fail(const char *what) {
    perror(what);
    exit(1);
}

/* Arrays with a name, each told once a step -------------------------------------------------------------------------- */

typedef struct {
    const char *name, *phase, *dtype;
    int dimensions, shape[2], size; /* of one step; size in bytes */
    unsigned char *bytes;           /* of all steps so far */
    int steps;
} Array;

typedef struct {
    Array array[MOST];
    int count;
} Arrays;

static void tell(Arrays *to, const char *name, const char *phase, const void *bytes, const char *dtype, int dimensions,
                 int rows, int columns) {
    int i = 0;
    while (i < to->count && strcmp(to->array[i].name, name)) i++;
    Array *array = &to->array[i];
    if (i == to->count) {
        int elements = (dimensions > 0 ? rows : 1) * (dimensions > 1 ? columns : 1);
        to->count++;
        *array = (Array){name, phase, dtype, dimensions, {rows, columns}, 8 * elements, NULL, 0};
    }
    array->bytes = realloc(array->bytes, (size_t)array->size * (array->steps + 1));
    if (!array->bytes) fail("memory");
    memcpy(array->bytes + (size_t)array->size * array->steps++, bytes, array->size);
}

static void tell_state(Arrays *to, int64_t iterations) {
    tell(to, "weights:dense/kernel", "update", W1, "<f8", 2, I, H);
    tell(to, "weights:dense/bias", "update", b1, "<f8", 1, H, 0);
    tell(to, "weights:dense_1/kernel", "update", W2, "<f8", 2, H, 1);
    tell(to, "weights:dense_1/bias", "update", &b2, "<f8", 1, 1, 0);
    tell(to, "optimizer:optimizer/iterations", "update", &iterations, "<i8", 0, 0, 0);
    tell(to, "optimizer:optimizer/learning_rate", "update", &rate, "<f8", 0, 0, 0);
}

/* The network -------------------------------------------------------------------------------------------------------- */

static void train_step(Arrays *to, double lambda) {
    double z1[N][H], a1[N][H], z2[N], dz2[N], da1[N][H], dz1[N][H];
    double dW1[I][H] = {{0}}, db1[H] = {0}, dW2[H] = {0}, db2 = 0, data = 0, penalty = 0;

    for (int n = 0; n < N; n++) {
        z2[n] = 0;
        for (int h = 0; h < H; h++) {
            z1[n][h] = 0;
            for (int i = 0; i < I; i++) z1[n][h] += x[n][i] * W1[i][h];
            z1[n][h] += b1[h];
            a1[n][h] = 1 / (1 + exp(-z1[n][h]));
            z2[n] += a1[n][h] * W2[h];
        }
        z2[n] += b2; /* the last layer is linear: its output is z2 */
        data += (z2[n] - y[n]) * (z2[n] - y[n]) / N;
        dz2[n] = 2 * (z2[n] - y[n]) / N;
    }
    for (int h = 0; h < H; h++) {
        for (int i = 0; i < I; i++) penalty += lambda * W1[i][h] * W1[i][h];
        penalty += lambda * W2[h] * W2[h];
    }
    for (int n = 0; n < N; n++) {
        db2 += dz2[n];
        for (int h = 0; h < H; h++) {
            dW2[h] += a1[n][h] * dz2[n];
            da1[n][h] = dz2[n] * W2[h];
            dz1[n][h] = da1[n][h] * a1[n][h] * (1 - a1[n][h]);
            db1[h] += dz1[n][h];
            for (int i = 0; i < I; i++) dW1[i][h] += x[n][i] * dz1[n][h];
        }
    }
    for (int h = 0; h < H; h++) {
        for (int i = 0; i < I; i++) dW1[i][h] += 2 * lambda * W1[i][h];
        dW2[h] += 2 * lambda * W2[h];
    }

    double loss = data + penalty;
    tell(to, "x", "batch", x, "<f8", 2, N, I);
    tell(to, "y", "batch", y, "<f8", 2, N, 1);
    tell(to, "pre_activation:dense", "forward", z1, "<f8", 2, N, H);
    tell(to, "output:dense", "forward", a1, "<f8", 2, N, H);
    tell(to, "pre_activation:dense_1", "forward", z2, "<f8", 2, N, 1);
    tell(to, "output:dense_1", "forward", z2, "<f8", 2, N, 1);
    tell(to, "loss", "loss", &loss, "<f8", 0, 0, 0);
    tell(to, "loss/data", "loss", &data, "<f8", 0, 0, 0);
    tell(to, "loss/penalty", "loss", &penalty, "<f8", 0, 0, 0);
    tell(to, "gradient:dense/output", "gradient", da1, "<f8", 2, N, H);
    tell(to, "gradient:dense/pre_activation", "gradient", dz1, "<f8", 2, N, H);
    tell(to, "gradient:dense/kernel", "gradient", dW1, "<f8", 2, I, H);
    tell(to, "gradient:dense/bias", "gradient", db1, "<f8", 1, H, 0);
    tell(to, "gradient:dense_1/output", "gradient", dz2, "<f8", 2, N, 1);
    tell(to, "gradient:dense_1/pre_activation", "gradient", dz2, "<f8", 2, N, 1);
    tell(to, "gradient:dense_1/kernel", "gradient", dW2, "<f8", 2, H, 1);
    tell(to, "gradient:dense_1/bias", "gradient", &db2, "<f8", 1, 1, 0);

    for (int h = 0; h < H; h++) {
        for (int i = 0; i < I; i++) W1[i][h] -= rate * dW1[i][h];
        b1[h] -= rate * db1[h];
        W2[h] -= rate * dW2[h];
    }
    b2 -= rate * db2;
}

/* The trace: npz is a zip archive, stored and not compressed, of npy files ------------------------------------------- */

static FILE *out;
static uint32_t written; /* bytes of the archive so far */

static void put(const void *bytes, size_t count) {
    if (fwrite(bytes, 1, count, out) != count) fail("write");
    written += (uint32_t)count;
}

static void number(uint32_t value, int bytes) { /* little-endian */
    for (; bytes--; value >>= 8) put(&(unsigned char){(unsigned char)value}, 1);
}

static uint32_t crc32(uint32_t crc, const unsigned char *bytes, size_t count) {
    for (crc = ~crc; count--; bytes++) {
        crc ^= *bytes;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
    }
    return ~crc;
}

/* One shape as Python writes it; the first axis is that of the steps, unless this is the start. */
static void shape_text(char *text, const Array *array, int stacked) {
    char *at = text;
    at += sprintf(at, "(");
    if (stacked) at += sprintf(at, "%d, ", array->steps);
    for (int i = 0; i < array->dimensions; i++) at += sprintf(at, "%d, ", array->shape[i]);
    sprintf(at, ")");
}

static void entry_header(const char *signature, const Array *array, uint32_t crc, uint32_t size) {
    put(signature, 4);
    if (signature[2] == 1) number(20, 2); /* made by, in the directory only */
    number(20, 2);                        /* needed to read it */
    number(0, 2), number(0, 2);           /* flags; method 0: stored */
    number(0, 2), number(33, 2);          /* 1 January 1980 */
    number(crc, 4), number(size, 4), number(size, 4);
    number((uint32_t)strlen(array->name) + 4, 2), number(0, 2);
}

static void write_npz(const char *folder, const char *name, const Arrays *arrays, int stacked) {
    char unfinished[4096], finished[4096];
    uint32_t crcs[MOST], sizes[MOST], offsets[MOST];
    snprintf(unfinished, sizeof unfinished, "%s/.%s", folder, name);
    snprintf(finished, sizeof finished, "%s/%s", folder, name);
    if (!(out = fopen(unfinished, "wb"))) fail(unfinished);
    written = 0;
    for (int i = 0; i < arrays->count; i++) {
        const Array *array = &arrays->array[i];
        char shape[64], header[129] = "\x93NUMPY\x01\x00\x76\x00"; /* a header of 118 bytes makes 128 */
        shape_text(shape, array, stacked);
        int length = 10 + sprintf(header + 10, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }", array->dtype, shape);
        memset(header + length, ' ', 127 - length);
        header[127] = '\n';
        size_t bytes = (size_t)array->size * array->steps;
        crcs[i] = crc32(crc32(0, (unsigned char *)header, 128), array->bytes, bytes);
        sizes[i] = (uint32_t)(128 + bytes), offsets[i] = written;
        entry_header("PK\3\4", array, crcs[i], sizes[i]);
        put(array->name, strlen(array->name)), put(".npy", 4);
        put(header, 128), put(array->bytes, bytes);
    }
    uint32_t directory = written;
    for (int i = 0; i < arrays->count; i++) {
        entry_header("PK\1\2", &arrays->array[i], crcs[i], sizes[i]);
        number(0, 2), number(0, 2), number(0, 2), number(0, 4), number(offsets[i], 4);
        put(arrays->array[i].name, strlen(arrays->array[i].name)), put(".npy", 4);
    }
    uint32_t end = written;
    put("PK\5\6", 4), number(0, 2), number(0, 2);
    number(arrays->count, 2), number(arrays->count, 2), number(end - directory, 4), number(directory, 4), number(0, 2);
    if (fclose(out) || rename(unfinished, finished)) fail(finished); /* a file appears whole or not at all */
}

static void write_manifest(const char *folder, const char *experiment, double factor, const Arrays *arrays) {
    char unfinished[4096], finished[4096], buffer[4096];
    snprintf(unfinished, sizeof unfinished, "%s/.manifest.json", folder);
    snprintf(finished, sizeof finished, "%s/manifest.json", folder);
    FILE *from = fopen(experiment, "rb");
    if (!from) fail(experiment);
    if (!(out = fopen(unfinished, "wb"))) fail(unfinished);
    fprintf(out, "{\"format_version\": 1, \"side\": \"writer.c, factor %g\", \"precision\": \"float64\",\n", factor);
    fprintf(out, "\"files\": [{\"name\": \"steps.npz\", \"first_step\": 1, \"steps\": %d}],\n\"tensors\": {", STEPS);
    for (int i = 0; i < arrays->count; i++) {
        const Array *array = &arrays->array[i];
        fprintf(out, "%s\n  \"%s\": {\"phase\": \"%s\", \"dtype\": \"%s\", \"shape\": [", i ? "," : "", array->name,
                array->phase, array->dtype);
        for (int d = 0; d < array->dimensions; d++) fprintf(out, "%s%d", d ? ", " : "", array->shape[d]);
        fprintf(out, "]}");
    }
    fprintf(out, "},\n\"experiment\": ");
    for (size_t count; (count = fread(buffer, 1, sizeof buffer, from)) > 0;) fwrite(buffer, 1, count, out);
    fprintf(out, "}\n");
    if (fclose(from) || fclose(out) || rename(unfinished, finished)) fail(finished);
}

int main(int count, char **arguments) {
    if (count < 3) return fprintf(stderr, "usage: writer EXPERIMENT.json OUT [FACTOR]\n"), 2;
    double factor = count > 3 ? atof(arguments[3]) : 1;
    static Arrays start, steps;
    tell_state(&start, 0);
    for (int step = 1; step <= STEPS; step++) {
        train_step(&steps, factor * 0.0625);
        tell_state(&steps, step);
    }
    write_npz(arguments[2], "start.npz", &start, 0);
    write_npz(arguments[2], "steps.npz", &steps, 1);
    write_manifest(arguments[2], arguments[1], factor, &steps); /* last: it names the others */
    return 0;
}
