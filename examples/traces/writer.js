// A network in JavaScript that writes a trace for `parity compare`: Node.js, nothing else.
//
//     node writer.js OUT [FACTOR]
//
// FACTOR is what the penalty lambda * sum(W**2) is multiplied with: 1 as in Keras, 0.5 as in many textbooks.

"use strict";
const fs = require("fs");
const path = require("path");

const experiment = JSON.parse(fs.readFileSync(path.join(__dirname, "experiment.json"), "utf8"));
const out = process.argv[2];
const factor = Number(process.argv[3] ?? 1);

const { x } = experiment.data;
const y = experiment.data.y.map((value) => [value]);
const lambda = factor * experiment.layers[0].kernel_regularizer.l2;
const rate = experiment.optimizer.learning_rate;
const begun = experiment.initial_weights;
let [W1, b1, W2, b2] = ["dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"].map((name) => begun[name]);

// Mathematics on arrays of rows ---------------------------------------------------------------------------------------

const transpose = (A) => A[0].map((_, column) => A.map((row) => row[column]));
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const matmul = (A, B) => A.map((row) => transpose(B).map((column) => dot(row, column)));
const map = (f, A, ...others) =>
  Array.isArray(A) ? A.map((part, i) => map(f, part, ...others.map((B) => B[i]))) : f(A, ...others);
const addRow = (A, b) => A.map((row) => row.map((value, i) => value + b[i]));
const columnSums = (A) => transpose(A).map((column) => column.reduce((sum, value) => sum + value, 0));
const squares = (A) => A.flat().reduce((sum, value) => sum + value * value, 0);

// The network -----------------------------------------------------------------------------------------------------------

const state = (iterations) => ({
  "weights:dense/kernel": W1,
  "weights:dense/bias": b1,
  "weights:dense_1/kernel": W2,
  "weights:dense_1/bias": b2,
  "optimizer:optimizer/iterations": BigInt(iterations),
  "optimizer:optimizer/learning_rate": rate,
});

function step(number) {
  const z1 = addRow(matmul(x, W1), b1);
  const a1 = map((z) => 1 / (1 + Math.exp(-z)), z1);
  const z2 = addRow(matmul(a1, W2), b2); // the last layer is linear: its output is z2

  const data = squares(map((p, t) => p - t, z2, y)) / y.length;
  const penalty = lambda * (squares(W1) + squares(W2));

  const dz2 = map((p, t) => (2 * (p - t)) / y.length, z2, y);
  const da1 = matmul(dz2, transpose(W2));
  const dz1 = map((da, a) => da * a * (1 - a), da1, a1);
  const decayed = (g, w) => g + 2 * lambda * w;
  const [dW1, db1] = [map(decayed, matmul(transpose(x), dz1), W1), columnSums(dz1)];
  const [dW2, db2] = [map(decayed, matmul(transpose(a1), dz2), W2), columnSums(dz2)];

  [W1, b1, W2, b2] = [[W1, dW1], [b1, db1], [W2, dW2], [b2, db2]].map(([w, g]) => map((v, d) => v - rate * d, w, g));
  return {
    x,
    y,
    "pre_activation:dense": z1,
    "output:dense": a1,
    "pre_activation:dense_1": z2,
    "output:dense_1": z2,
    loss: data + penalty,
    "loss/data": data,
    "loss/penalty": penalty,
    "gradient:dense/output": da1,
    "gradient:dense/pre_activation": dz1,
    "gradient:dense/kernel": dW1,
    "gradient:dense/bias": db1,
    "gradient:dense_1/output": dz2,
    "gradient:dense_1/pre_activation": dz2,
    "gradient:dense_1/kernel": dW2,
    "gradient:dense_1/bias": db2,
    ...state(number),
  };
}

// The trace: npz is a zip archive, stored and not compressed, of npy files ------------------------------------------------

const shapeOf = (A) => (Array.isArray(A) ? [A.length, ...shapeOf(A[0])] : []);
const dtypeOf = (A) => (typeof [A].flat(Infinity)[0] === "bigint" ? "<i8" : "<f8");

function npy(A) {
  const shape = shapeOf(A);
  const tuple = `(${shape.map((size) => `${size}, `).join("")})`;
  const text = `{'descr': '${dtypeOf(A)}', 'fortran_order': False, 'shape': ${tuple}, }`;
  const header = Buffer.from(text.padEnd(Math.ceil((text.length + 11) / 64) * 64 - 11) + "\n", "latin1");
  const values = [A].flat(Infinity);
  const content = Buffer.alloc(8 * values.length);
  values.forEach((value, i) =>
    typeof value === "bigint" ? content.writeBigInt64LE(value, 8 * i) : content.writeDoubleLE(value, 8 * i),
  );
  const length = Buffer.from([header.length & 255, header.length >> 8]);
  return Buffer.concat([Buffer.from("\x93NUMPY\x01\x00", "latin1"), length, header, content]);
}

function crc32(buffer) {
  let crc = ~0;
  for (const byte of buffer) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0xedb88320 : 0);
  }
  return ~crc >>> 0;
}

const little = (...pairs) =>
  Buffer.concat(pairs.map(([value, size]) => Uint8Array.from({ length: size }, (_, i) => (value / 2 ** (8 * i)) & 255)));

function npz(arrays) {
  const files = [];
  const directory = [];
  let offset = 0;
  for (const [name, A] of Object.entries(arrays)) {
    const [entry, content] = [Buffer.from(`${name}.npy`), npy(A)];
    const size = content.length;
    // needed version, flags, method 0 (stored), 1 January 1980, checksum, both sizes, lengths of name and of nothing
    const about = little([20, 2], [0, 2], [0, 2], [0, 2], [33, 2], [crc32(content), 4], [size, 4], [size, 4]);
    const lengths = little([entry.length, 2], [0, 2]);
    files.push(Buffer.from("PK\x03\x04"), about, lengths, entry, content);
    const rest = little([0, 2], [0, 2], [0, 2], [0, 4], [offset, 4]);
    directory.push(Buffer.from("PK\x01\x02"), little([20, 2]), about, lengths, rest, entry);
    offset += 4 + about.length + lengths.length + entry.length + size;
  }
  const names = Object.keys(arrays).length;
  const listed = Buffer.concat(directory);
  const end = little([0, 2], [0, 2], [names, 2], [names, 2], [listed.length, 4], [offset, 4], [0, 2]);
  return Buffer.concat([...files, listed, Buffer.from("PK\x05\x06"), end]);
}

// A file appears whole or not at all.
function written(name, content) {
  fs.writeFileSync(path.join(out, `.${name}`), content);
  fs.renameSync(path.join(out, `.${name}`), path.join(out, name));
}

const PHASES = { x: "batch", y: "batch", pre_activation: "forward", output: "forward", weights: "update" };
PHASES.optimizer = "update"; // loss, loss/data and gradient begin with their phase

const start = state(0);
const taken = Array.from({ length: experiment.steps }, (_, i) => step(i + 1));
const names = Object.keys(taken[0]);
const stacked = Object.fromEntries(names.map((name) => [name, taken.map((said) => said[name])]));
const tensor = (name) => ({
  phase: PHASES[name.split(":")[0]] ?? name.split(/[:/]/)[0],
  dtype: dtypeOf(stacked[name]),
  shape: shapeOf(stacked[name]).slice(1),
});
const manifest = {
  format_version: 1,
  side: `writer.js, factor ${factor}`,
  experiment,
  precision: "float64",
  tensors: Object.fromEntries(names.map((name) => [name, tensor(name)])),
  files: [{ name: "steps.npz", first_step: 1, steps: experiment.steps }],
};
fs.mkdirSync(out, { recursive: true });
written("start.npz", npz(start));
written("steps.npz", npz(stacked));
written("manifest.json", JSON.stringify(manifest, null, 1)); // last: it names the others
