"""A line that a report prints is followed: a hand-written network has a mistake in that line, and once the line is what
the catalogue says it trains like Keras, in float32 and in float64. Or the line for Keras is followed, which then trains
like the network with its mistake.

The network is of lines in the catalogue's own names, each of which can be another. What is its own is computed out of
place: `w -= lr * g` stays float32 whatever lr is, `w = w - lr * g` does not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest

from keras_ref.build import build, named_weights
from parity.config import validate
from parity.conventions import convention
from parity.data import load_dataset
from parity.diagnosis import penalized
from parity.diagnosis.own_words import own_words, together
from parity.run import diff
from parity.verdict import Verdict

HEAD = """
import copy

import numpy as np

def softmax(z):
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)

def sigmoid(z):
    return 1 / (1 + np.exp(-z))

ACTIVATIONS = {"linear": lambda z: z, "tanh": np.tanh, "relu": lambda z: np.maximum(z, 0)}
ACTIVATIONS |= {"sigmoid": sigmoid, "softmax": softmax}

class Net:
    def start(self, experiment, weights):
        self.experiment, self.weights_ = experiment, {name: weight.copy() for name, weight in weights.items()}
        self.slots = {name: (np.zeros_like(w), np.zeros_like(w)) for name, w in weights.items()}
        self.t, self.dtype = 0, next(iter(weights.values())).dtype

    def weights(self):
        return self.weights_

    def step(self, x, y):
        weights, dtype, experiment, t = self.weights_, self.dtype, self.experiment, self.t
        batch_size, N, labels, B = experiment.batch_size, 20, y, len(x)
        lr, layers = experiment.optimizer.learning_rate, experiment.layers
        s = getattr(experiment.loss, "label_smoothing", 0)
"""
FORWARD = """
        inputs, zs = [], []
        for layer in layers:
            inputs.append(x)
            W, b = weights[layer.name + "/kernel"], weights[layer.name + "/bias"]
            z = x @ W + b
            x = ACTIVATIONS[layer.activation](z)
            zs.append(z)
        p, C = x, x.shape[-1]
"""
BACKWARD = """
        gradients = dict()
        for l in reversed(range(len(layers))):
            x, W, b = inputs[l], weights[layers[l].name + "/kernel"], weights[layers[l].name + "/bias"]
            {kernel}
            {bias}
            {through}
            if layers[l].kernel_regularizer:
                {penalty}
                loss = loss + penalty
                {of_penalty}
            gradients[layers[l].name + "/kernel"], gradients[layers[l].name + "/bias"] = dW, db
            if l:
                a, z, da = x, zs[l - 1], dx
                if layers[l - 1].activity_regularizer:
                    {output_penalty}
                    loss = loss + penalty
                    {of_output_penalty}
                {hidden}
"""
UPDATE = """
        {gathered}
        {all_layers}
        {told}
        for name, g in gradients.items():
            w, (m, v) = weights[name], self.slots[name]
            {before_update}
            {update}
            weights[name], self.slots[name] = w, (m, v)
        self.t = t
        return {{"loss": loss, "gradient": gradients}}

class Loop(Net):  # over the batches of what it is given, of which it tells the loss
    def step(self, x, y):
        told = Net.step(copy.deepcopy(self), x, y)["loss"]
        batch_size, step = self.experiment.batch_size, super().step
        {loop}
        return {{"loss": told}}
"""
SLOTS = {  # what the lines are where nothing is said
    "lam": "lam = float(np.float32(0.02))",
    "step": "t += 1",
    "inputs": "x = np.asarray(x, dtype)",
    "targets": "pass",
    "derivative": "pass",
    "output": "dz = dp",
    "kernel": "dW = x.T @ dz",
    "bias": "db = dz.sum(axis=0)",
    "through": "dx = dz @ W.T",
    "penalty": "penalty = lam * np.sum(W**2); dW = dW + 2 * lam * W",
    "of_penalty": "pass",
    "output_penalty": "penalty = 0",
    "of_output_penalty": "pass",
    "hidden": "dz = da * (1 - a**2)",
    "gathered": "pass",
    "all_layers": "pass",
    "told": "pass",
    "loop": "step(x, y)",
    "constants": "pass",
    "before_update": "pass",
    "update": "w = w - lr * g",
}
MEAN_SQUARE = "loss = np.mean((y - p) ** 2); dp = 2 * (p - y) / p.size"
OF_EACH = "loss_of_each = ((y - p) ** 2).mean(axis=-1); dp_of_each = 2 * (p - y) / p.shape[-1]"
CLASSES = "loss = -np.sum(y * np.log(p), axis=-1).mean(); dz = (p - y) / len(p)"
BINARY = "loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)); dz = (p - y) / p.size"


def network(**lines):
    """The source of a network with these lines."""
    lines = SLOTS | lines
    first = [lines["lam"], lines["constants"], lines["step"], lines["inputs"]]
    loss = [lines["targets"], lines["loss"], lines["derivative"], lines["output"]]
    indented = ["".join(f"        {line}\n" for line in part) for part in (first, loss)]
    return HEAD + indented[0] + FORWARD + indented[1] + BACKWARD.format(**lines) + UPDATE.format(**lines)


def table(loss, output, optimizer=None, hidden="tanh", regularizer=None, **settings):
    regularizer = regularizer or {"l2": 0.02}
    first = {"units": 5, "activation": hidden, "kernel_regularizer": regularizer, "bias_initializer": "ones"}
    classes = {"source": "classification", "samples": 20, "features": 4, "classes": 3, "one_hot": 3}
    if str(loss).startswith("sparse"):
        classes["one_hot"] = None
    return {
        "data": classes,
        "layers": [first, {"units": 3, "activation": output}],
        "loss": loss,
        "optimizer": optimizer or {"class_name": "SGD", "learning_rate": 0.1},
        "batch_size": 6,  # the fourth step has a batch of two
        "steps": 5,
        "seed": 2,
    } | settings


def adam(**more):
    return {"class_name": "Adam", "learning_rate": 0.01, **more}


def sgd(**more):
    return {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9, **more}


def rmsprop(**more):
    return {"class_name": "RMSprop", "learning_rate": 0.01, **more}


MOMENTUM = {"constants": "mu = float(np.float32(0.9))", "update": "m = mu * m - lr * g; w = w + m"}
NESTEROV = MOMENTUM | {"update": "m = mu * m - lr * g; w = w + mu * m - lr * g"}
ADAM = {
    "constants": "beta_1, beta_2, eps = 0.9, 0.999, 1e-7; moment_1, moment_2 = beta_1, beta_2; "
    "beta_1, beta_2 = (float(np.float32(c)) for c in (beta_1, beta_2))",
    "before_update": "m = moment_1 * m + (1 - moment_1) * g; v = moment_2 * v + (1 - moment_2) * g**2",
    "update": "w = w - lr * (1 - beta_2**t) ** 0.5 / (1 - beta_1**t) * m / (np.sqrt(v) + eps)",
}
IN_TWO = ADAM | {
    "before_update": ADAM["before_update"] + "; alpha = lr * (1 - beta_2**t) ** 0.5 / (1 - beta_1**t)",
    "update": "w = w - alpha * m / (np.sqrt(v) + eps)",
}
OF_CONSTANTS = {
    "constants": "beta_1, beta_2, eps = 0.9, 0.999, 1e-7",
    "before_update": "m = beta_1 * m + (1 - beta_1) * g; v = beta_2 * v + (1 - beta_2) * g**2; "
    "of_m, of_v = (1 - float(np.float32(c)) ** t for c in (beta_1, beta_2))",
    "update": "w = w - lr * of_v**0.5 / of_m * m / (np.sqrt(v) + eps)",
}
RMSPROP = {
    "constants": "rho, eps = 0.9, 1e-7",
    "before_update": "v = rho * v + (1 - rho) * g**2",
    "update": "w = w - lr * g / np.sqrt(v + eps)",
}
CENTERED = {
    "constants": "rho, eps = 0.9, 1e-7",
    "before_update": "v = rho * v + (1 - rho) * g**2; m = average = rho * m + (1 - rho) * g",
    "update": "w = w - lr * g / np.sqrt(v - average**2 + eps)",
}
PLAIN = (table("mse", "linear"), {"loss": MEAN_SQUARE})
EACH = (table("mse", "linear"), {"targets": OF_EACH, "loss": "loss = loss_of_each.mean(); dp = dp_of_each / len(p)"})
SOFTMAX = (table("categorical_crossentropy", "softmax"), {"loss": CLASSES, "output": "pass"})
SMOOTHED = (
    table({"class_name": "CategoricalCrossentropy", "label_smoothing": 0.1}, "softmax"),
    {"targets": "y = y * (1 - s) + s / C", "loss": CLASSES, "output": "pass"},
)
SIGMOID = (table("binary_crossentropy", "sigmoid"), {"loss": BINARY, "output": "pass"})
SPARSE = (
    table("sparse_categorical_crossentropy", "softmax"),
    {"targets": "y = np.eye(C, dtype=x.dtype)[labels]", "loss": CLASSES, "output": "pass"},
)
LARGE = {"class_name": "RandomNormal", "stddev": 300.0}
SATURATED = (
    table("categorical_crossentropy", "softmax")
    | {"layers": [SOFTMAX[0]["layers"][0], {"units": 3, "activation": "softmax", "kernel_initializer": LARGE}]},
    {
        "loss": "q = z - z.max(axis=-1, keepdims=True); dz = (p - y) / len(p); "
        "loss = np.mean(np.log(np.exp(q).sum(axis=-1)) - (y * q).sum(axis=-1))",
        "output": "pass",
    },
)
ONE_OUTPUT = (
    table(
        "mse",
        "linear",
        data={"source": "regression", "samples": 20, "features": 4, "targets": 1},
        layers=[{"units": 5, "activation": "tanh", "kernel_regularizer": {"l2": 0.02}}, {"units": 1}],
    ),
    {"loss": "loss = np.mean((y - p) ** 2); dp = 2 * (p - y.reshape(p.shape)) / p.size"},
)
ONE_CLASS = (
    table("bce", "sigmoid", data={"source": "classification", "samples": 20, "features": 4, "classes": 2})
    | {"layers": [ONE_OUTPUT[0]["layers"][0], {"units": 1, "activation": "sigmoid"}]},
    {
        "loss": "loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)); dz = (p - y.reshape(p.shape)) / p.size",
        "output": "pass",
    },
)
OF_OUTPUT = {
    "sigmoid": "dz = dp * p * (1 - p)",
    "tanh": "dz = dp * (1 - p**2)",
    "relu": "dz = dp * (z > 0)",
    "softmax": "dz = p * (dp - (dp * p).sum(axis=-1, keepdims=True))",
}
OF_HIDDEN = {"sigmoid": "dz = da * a * (1 - a)", "tanh": "dz = da * (1 - a**2)", "relu": "dz = da * (z > 0)"}
ZEROS = {"units": 5, "activation": "relu", "kernel_initializer": "zeros", "kernel_regularizer": {"l2": 0.02}}


def under(optimizer, lines):
    return table("mse", "linear", optimizer), {"loss": MEAN_SQUARE, **lines}


def of_output(name):
    return table("mse", name), {"loss": MEAN_SQUARE, "output": OF_OUTPUT[name]}


def three_hidden():
    settings, lines = of_hidden("tanh")
    first, last = settings["layers"]
    return settings | {"layers": [first, first, first, last]}, lines


def of_hidden(name, output="linear"):
    lines = {"output": OF_OUTPUT[output]} if output in OF_OUTPUT else {}
    return table("mse", output, hidden=name), {"loss": MEAN_SQUARE, "hidden": OF_HIDDEN[name], **lines}


class Penalised(NamedTuple):
    """A regularizer, and what a network has of it for a weight."""

    regularizer: dict
    lam: str
    penalty: str
    gradient: str


L2 = Penalised({"l2": 0.02}, SLOTS["lam"], "lam * np.sum(W**2)", "2 * lam * {W}")
L1 = Penalised({"l1": 0.02}, SLOTS["lam"], "lam * np.sum(np.abs(W))", "lam * np.sign({W})")
L1_L2 = Penalised(
    {"l1": 0.03, "l2": 0.02},
    "l1, l2 = (float(np.float32(c)) for c in (0.03, 0.02))",
    "l1 * np.sum(np.abs(W)) + l2 * np.sum(W**2)",
    "l1 * np.sign({W}) + 2 * l2 * {W}",
)


def regularized(of=L2, **lines):
    """The first layer, its penalty in one line and the gradient of it in another."""
    told, gradient = f"penalty = {of.penalty}", f"dW = dW + {of.gradient.format(W='W')}"
    lines = {"lam": of.lam, "loss": MEAN_SQUARE, "penalty": told, "of_penalty": gradient} | lines
    return table("mse", "linear", regularizer=of.regularizer), lines


def in_one(of=L2):
    settings, lines = regularized(of)
    return settings, lines | {"penalty": f"{lines['penalty']}; {lines['of_penalty']}", "of_penalty": "pass"}


def told_later(of=L2):
    """The gradient first, then the loss in a line of its own."""
    settings, lines = regularized(of)
    before = f"penalty = 0; data_loss = loss; {lines['of_penalty']}"
    return settings, lines | {"penalty": before, "of_penalty": f"loss = data_loss + {of.penalty}"}


def every_layer(of=L2):
    """Three layers, whose penalties are added up at the end."""
    settings, lines = regularized(of)
    first, last = settings["layers"]
    gathered = (
        "dW, W = ([of[layer.name + '/kernel'] for layer in layers] for of in (gradients, weights)); "
        "regularized = range(len(layers))"
    )
    penalty, gradient = of.penalty.replace("W", "W[l]"), of.gradient.format(W="W[l]")
    lines |= {"penalty": "penalty = 0", "of_penalty": "pass", "gathered": gathered, "told": "loss = loss + penalty"}
    lines["all_layers"] = f"for l in regularized: penalty += {penalty}; dW[l] += {gradient}"
    return settings | {"layers": [first, first, last | {"kernel_regularizer": of.regularizer}]}, lines


def of_biases(of=L2, **lines):
    """Kernels with an l2, and beside it biases with a penalty of their own."""
    settings, own = in_one()
    both = {"kernel_regularizer": L2.regularizer, "bias_regularizer": of.regularizer}
    kernels = "dx = dz @ W.T; penalty = lam * np.sum(W**2); dW = dW + 2 * lam * W"
    told, gradient = of.penalty.replace("W", "b"), of.gradient.format(W="b")
    own |= {"lam": f"{L2.lam}; {of.lam}", "through": kernels, "penalty": f"penalty += {told}; db = db + {gradient}"}
    return settings | {"layers": [layer | both for layer in settings["layers"]]}, own | lines


def of_outputs(of=L2, **lines):
    """Kernels with an l2, and beside it hidden outputs with a penalty."""
    settings, own = in_one()
    first, last = settings["layers"]
    told, gradient = of.penalty.replace("W", "a"), of.gradient.format(W="a")
    both = {"told": f"penalty = ({told}) / len(a)", "gradient": f"da = da + ({gradient}) / len(a)"}
    own |= {"lam": f"{L2.lam}; {of.lam}", "output_penalty": f"{both['told']}; {both['gradient']}"}
    own |= {slot: line.format(**both) for slot, line in lines.items()}
    return settings | {"layers": [first | {"activity_regularizer": of.regularizer}, last]}, own


DECAYED = "dW = x.T @ dz + weight_decay * W", "db = dz.sum(axis=0) + weight_decay * b"


def of_nothing(**lines):
    """No penalty, and a network that has one all the same."""
    settings, own = PLAIN
    first, last = settings["layers"]
    return settings | {"layers": [first | {"kernel_regularizer": None}, last]}, own | lines


def outputs_alone(of=L2, **lines):
    """Hidden outputs with a penalty, and no weights."""
    settings, own = of_outputs(of, **lines)
    first, last = settings["layers"]
    return settings | {"layers": [first | {"kernel_regularizer": None}, last]}, own | {"lam": of.lam}


# What is left of a penalty in two lines, of which the second is to be followed.
TOLD_ALONE = {"output_penalty": "{told}", "of_output_penalty": "{gradient}"}
TOLD_LATER = {
    "output_penalty": "penalty = 0; data_loss = loss; {gradient}",
    "of_output_penalty": "loss = loss + {told}",
}
OF_L1_L2 = "penalty = sum(l1 * np.sum(abs(w)) + l2 * np.sum(w**2) for w in (W, b))"

# A choice, the experiment and the lines of a network that is right, which line is wrong in it, and what stands there.
MISTAKES = [
    ("l2.constant=exact", PLAIN, "lam", "lam = 0.02"),
    ("l2.penalty=half", PLAIN, "penalty", "penalty = lam / 2 * np.sum(W**2); dW += lam * W"),
    ("l2.penalty=absent", PLAIN, "penalty", "penalty = 0"),
    ("l2.penalty=3", PLAIN, "penalty", "penalty = 3 * lam * np.sum(W**2); dW += 6 * lam * W"),
    (
        "l2.penalty=1/3",
        in_one(L1_L2),
        "penalty",
        "penalty = l1 * np.sum(np.abs(W)) + l2 / 3 * np.sum(W**2); dW = dW + l1 * np.sign(W) + 2 / 3 * l2 * W",
    ),
    (
        "l2.bias=included",
        PLAIN,
        "penalty",
        "penalty = lam * (np.sum(W**2) + np.sum(b**2)); dW += 2 * lam * W; db += 2 * lam * b",
    ),
    ("l2.scale=over_batch", PLAIN, "penalty", "penalty = lam / B * np.sum(W**2); dW += 2 * lam / B * W"),
    ("l2.scale=over_dataset", PLAIN, "penalty", "penalty = lam / N * np.sum(W**2); dW += 2 * lam / N * W"),
    (
        "l2.bias=included",
        in_one(L1),
        "penalty",
        "penalty = lam * (np.sum(abs(W)) + np.sum(abs(b))); dW = dW + lam * np.sign(W); db = db + lam * np.sign(b)",
    ),
    (
        "l2.bias=included",
        in_one(L1_L2),
        "penalty",
        f"{OF_L1_L2}; dW, db = (g + l1 * np.sign(w) + 2 * l2 * w for g, w in ((dW, W), (db, b)))",
    ),
    *(
        (
            "l2.bias=in_gradient",
            in_one(of),
            "penalty",
            f"penalty = {of.penalty}; dW, db = dW + {of.gradient.format(W='W')}, db + {of.gradient.format(W='b')}",
        )
        for of in (L2, L1, L1_L2)
    ),
    (
        "l2.penalty=half",
        in_one(L1_L2),
        "penalty",
        "penalty = l1 * np.sum(np.abs(W)) + l2 / 2 * np.sum(W**2); dW = dW + l1 * np.sign(W) + l2 * W",
    ),
    (
        "l2.scale=over_dataset",
        in_one(L1_L2),
        "penalty",
        "penalty = l1 * np.sum(np.abs(W)) + l2 / N * np.sum(W**2); dW = dW + l1 * np.sign(W) + 2 * l2 / N * W",
    ),
    ("l2.constant=exact", in_one(L1_L2), "lam", "l1, l2 = float(np.float32(0.03)), 0.02"),
    ("l2.gradient=half", regularized(), "of_penalty", "dW += lam * W"),
    ("l2.gradient=half", regularized(L1_L2), "of_penalty", "dW = dW + l1 * np.sign(W) + l2 * W"),
    ("l2.gradient=double", regularized(), "of_penalty", "dW += 4 * lam * W"),
    ("l2.gradient=over_batch", regularized(), "of_penalty", "dW += 2 * lam / B * W"),
    ("l2.gradient=over_dataset", regularized(), "of_penalty", "dW += 2 * lam / N * W"),
    ("l2.gradient=over_dataset", regularized(L1_L2), "of_penalty", "dW = dW + l1 * np.sign(W) + 2 * l2 / N * W"),
    ("l2.gradient=absent", regularized(), "of_penalty", "pass"),
    ("l2.gradient=absent", regularized(L1_L2), "of_penalty", "dW = dW + l1 * np.sign(W)"),
    ("l2.gradient=-1", regularized(), "of_penalty", "dW -= 2 * lam * W"),
    ("l2.gradient=0.3", regularized(L1_L2), "of_penalty", "dW = dW + l1 * np.sign(W) + 0.6 * l2 * W"),
    ("l2.reported=absent", told_later(), "of_penalty", "loss = data_loss"),
    ("l2.reported=3", told_later(), "of_penalty", "loss = data_loss + 3 * lam * np.sum(W**2)"),
    ("l2.reported=half", told_later(), "of_penalty", "loss = data_loss + lam / 2 * np.sum(W**2)"),
    ("l2.reported=absent", told_later(L1_L2), "of_penalty", "loss = data_loss + l1 * np.sum(np.abs(W))"),
    (
        "l2.reported=half",
        told_later(L1_L2),
        "of_penalty",
        "loss = data_loss + l1 * np.sum(np.abs(W)) + l2 / 2 * np.sum(W**2)",
    ),
    *(
        (f"l2.layers={left_out}", right, "all_layers", right[1]["all_layers"].replace("regularized", others))
        for right in map(every_layer, (L2, L1, L1_L2))
        for left_out, others in (
            ("not_first", "(1, 2)"),
            ("not_second", "(0, 2)"),
            ("not_last", "(0, 1)"),
            ("only_first", "(0,)"),
            ("only_last", "(2,)"),
        )
    ),
    (
        "l2.added=0.0078125",
        of_nothing(kernel="dW = x.T @ dz + 2 * lam * W; loss = loss + lam * np.sum(W**2)"),
        "lam",
        "lam = 2**-7",
    ),
    *(
        (f"weight_decay.{code}=0.0078125", of_nothing(**lines), "constants", "weight_decay = 2**-7")
        for code, lines in (
            ("kernels_in_gradient", {"kernel": DECAYED[0]}),
            ("in_gradient", {"kernel": DECAYED[0], "bias": DECAYED[1]}),
            ("coupled", {"before_update": "g = g + weight_decay * w"}),
            ("kernels_coupled", {"before_update": "g = g + weight_decay * w * (w.ndim > 1)"}),
            ("decoupled", {"before_update": "w = w - lr * weight_decay * w"}),
            ("kernels_decoupled", {"before_update": "w = w - lr * weight_decay * w * (w.ndim > 1)"}),
        )
    ),
    ("l1.penalty=half", in_one(L1), "penalty", "penalty = lam / 2 * np.sum(abs(W)); dW = dW + lam / 2 * np.sign(W)"),
    ("l1.penalty=absent", in_one(L1), "penalty", "penalty = 0"),
    ("l1.penalty=absent", in_one(L1_L2), "penalty", "penalty = l2 * np.sum(W**2); dW = dW + 2 * l2 * W"),
    ("l1.scale=over_batch", in_one(L1), "penalty", "penalty = lam / B * np.sum(abs(W)); dW += lam / B * np.sign(W)"),
    (
        "l1.scale=over_dataset",
        in_one(L1_L2),
        "penalty",
        "penalty = l1 / N * np.sum(abs(W)) + l2 * np.sum(W**2); dW = dW + l1 / N * np.sign(W) + 2 * l2 * W",
    ),
    ("l1.gradient=absent", regularized(L1), "of_penalty", "pass"),
    ("l1.gradient=absent", regularized(L1_L2), "of_penalty", "dW = dW + 2 * l2 * W"),
    ("l1.reported=absent", told_later(L1), "of_penalty", "loss = data_loss"),
    ("l1.reported=absent", told_later(L1_L2), "of_penalty", "loss = data_loss + l2 * np.sum(W**2)"),
    ("l1.constant=exact", in_one(L1), "lam", "lam = 0.02"),
    ("l1.constant=exact", in_one(L1_L2), "lam", "l1, l2 = 0.03, float(np.float32(0.02))"),
    *(("bias.penalty=absent", of_biases(of), "penalty", "pass") for of in (L2, L1, L1_L2)),
    *(
        (
            "bias.penalty=in_loss",
            of_biases(of, penalty=f"penalty += {of.penalty.replace('W', 'b')}"),
            "of_penalty",
            "pass",
        )
        for of in (L2, L1, L1_L2)
    ),
    *(
        (
            "bias.penalty=in_gradient",
            of_biases(of, bias=f"db = dz.sum(axis=0); db = db + {of.gradient.format(W='b')}"),
            "penalty",
            "pass",
        )
        for of in (L2, L1)
    ),
    *(("activity.penalty=absent", of_outputs(of), "output_penalty", "penalty = 0") for of in (L2, L1, L1_L2)),
    (
        "activity.penalty=half",
        of_outputs(),
        "output_penalty",
        "penalty = lam / 2 * np.sum(a**2) / len(a); da = da + lam * a / len(a)",
    ),
    (
        "activity.batch=sum",
        of_outputs(L1),
        "output_penalty",
        "penalty = lam * np.sum(np.abs(a)); da = da + lam * np.sign(a)",
    ),
    *(("activity.gradient=absent", of_outputs(of, **TOLD_ALONE), "of_output_penalty", "pass") for of in (L2, L1_L2)),
    *(("activity.reported=absent", of_outputs(of, **TOLD_LATER), "of_output_penalty", "pass") for of in (L2, L1_L2)),
    (
        "l2.penalty=half",
        outputs_alone(),
        "output_penalty",
        "penalty = lam / 2 * np.sum(a**2) / len(a); da = da + lam * a / len(a)",
    ),
    (
        "l2.penalty=0.3",
        outputs_alone(L1_L2),
        "output_penalty",
        (
            "penalty = (l1 * np.sum(np.abs(a)) + 0.3 * l2 * np.sum(a**2)) / len(a); "
            "da = da + (l1 * np.sign(a) + 0.6 * l2 * a) / len(a)"
        ),
    ),
    (
        "l1.penalty=half",
        outputs_alone(L1),
        "output_penalty",
        "penalty = lam / 2 * np.sum(np.abs(a)) / len(a); da = da + lam / 2 * np.sign(a) / len(a)",
    ),
    ("l2.reported=absent", outputs_alone(**TOLD_LATER), "of_output_penalty", "loss = data_loss"),
    ("l2.constant=exact", outputs_alone(), "lam", "lam = 0.02"),
    ("l1.constant=exact", outputs_alone(L1_L2), "lam", "l1, l2 = 0.03, float(np.float32(0.02))"),
    (
        "data.partial_batch=skipped",
        PLAIN,
        "loop",
        "for start in range(0, len(x) // batch_size * batch_size, batch_size): step(x[start:], y[start:])",
    ),
    ("loss.factor=half", PLAIN, "loss", "loss = np.mean((y - p) ** 2) / 2; dp = (p - y) / p.size"),
    ("loss.factor=double", PLAIN, "loss", "loss = 2 * np.mean((y - p) ** 2); dp = 4 * (p - y) / p.size"),
    ("loss.factor=1.7", PLAIN, "loss", "loss = 1.7 * np.mean((y - p) ** 2); dp = 3.4 * (p - y) / p.size"),
    ("loss.factor=half", SOFTMAX, "loss", CLASSES + "; loss = loss / 2; dz = dz / 2"),
    ("loss.factor=half", (SMOOTHED[0], SMOOTHED[1] | {"targets": "pass"}), "loss", CLASSES + "; loss = loss / 2"),
    ("loss.factor=half", SIGMOID, "loss", BINARY + "; loss = loss / 2; dz = dz / 2"),
    ("loss.factor=half", SPARSE, "loss", CLASSES + "; loss = loss / 2; dz = dz / 2"),
    ("loss.batch=sum", EACH, "loss", "loss = loss_of_each.sum(); dp = dp_of_each"),
    (
        "loss.batch=mean_twice",
        EACH,
        "loss",
        "loss = loss_of_each.mean() / len(p); dp = dp_of_each / len(p) ** 2",
    ),
    ("gradient.batch=sum", EACH, "derivative", "dp = dp_of_each"),
    ("loss.outputs=sum", PLAIN, "loss", "loss = np.sum((y - p) ** 2, axis=-1).mean(); dp = 2 * (p - y) / len(p)"),
    ("loss.outputs=mean", SOFTMAX, "loss", "loss = np.mean(-y * np.log(p)); dz = (p - y) / p.size"),
    ("loss.reported=half", PLAIN, "loss", MEAN_SQUARE + "; loss = loss / 2"),
    ("loss.reported=-1", PLAIN, "loss", MEAN_SQUARE + "; loss = -loss"),
    ("loss.reported=sum_outputs", SIGMOID, "loss", BINARY + "; loss = loss * C"),
    ("loss.reported=mean_outputs", SOFTMAX, "loss", CLASSES + "; loss = loss / C"),
    (
        "loss.reported=softmax_twice",
        SOFTMAX,
        "loss",
        f"{CLASSES}; loss = -np.sum(y * np.log(softmax(p)), axis=-1).mean()",
    ),
    (
        "loss.reported=softmax_twice",
        SIGMOID,
        "loss",
        BINARY.replace("np.log(p)", "np.log(sigmoid(p))").replace("np.log(1 - p)", "np.log(1 - sigmoid(p))"),
    ),
    ("loss.reported=all_pairs", ONE_OUTPUT, "targets", "y = y.reshape(-1)"),
    ("loss.reported=all_pairs", ONE_CLASS, "targets", "y = y.reshape(-1)"),
    ("loss.input=probabilities", SOFTMAX, "loss", CLASSES.replace("(p)", "(np.clip(p, 0.3, 0.7))", 1)),
    ("loss.input=probabilities", SIGMOID, "loss", BINARY.replace("np.log(p)", "np.log(np.clip(p, 0.3, 0.7))")),
    ("loss.log=plus_1e-9", SOFTMAX, "loss", CLASSES.replace("(p)", "(p + 1e-9)", 1)),
    ("loss.log=plus_1e-8", SPARSE, "loss", CLASSES.replace("(p)", "(p + 1e-8)", 1)),
    ("loss.log=plus_1e-12", SIGMOID, "loss", BINARY.replace("np.log(p)", "np.log(p + 1e-12)")),
    ("loss.log=clip_1e-7", SOFTMAX, "loss", CLASSES.replace("(p)", "(np.clip(p, 0.3, 0.7))", 1)),
    ("loss.softmax=twice", SOFTMAX, "loss", f"q, p = p, softmax(p); {CLASSES}; dz = (p - y) / len(p) * q * (1 - q)"),
    ("loss.softmax=twice", SIGMOID, "loss", f"q, p = p, sigmoid(p); {BINARY}; dz = (p - y) / p.size * q * (1 - q)"),
    ("forward.softmax=unshifted", SATURATED, "targets", "p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)"),
    ("gradient.softmax=diagonal", of_output("softmax"), "output", "dz = dp * p * (1 - p)"),
    ("gradient.shortcut=twice", SOFTMAX, "output", "dz = dz * p * (1 - p)"),
    ("gradient.shortcut=twice", SIGMOID, "output", "dz = dz * p * (1 - p)"),
    ("gradient.shortcut=diagonal", SOFTMAX, "output", "dz = -y / p * p * (1 - p) / len(p)"),
    ("data.partial_batch=gradient_full_size", PLAIN, "derivative", "dp = dp * len(p) / batch_size"),
    ("loss.smoothing=ignored", SMOOTHED, "targets", "pass"),
    ("loss.smoothing=scaled", SMOOTHED, "targets", "y = y * (1 - s / C) + s / C"),
    ("data.labels=shifted", SPARSE, "targets", "y = np.eye(C, dtype=p.dtype)[(labels + 1) % C]"),
    ("data.labels=shifted_down", SPARSE, "targets", "y = np.eye(C, dtype=p.dtype)[labels - 1]"),
    *(("gradient.output_activation=missing", of_output(name), "output", "dz = dp") for name in OF_OUTPUT),
    *(("gradient.hidden_activation=missing", of_hidden(name), "hidden", "dz = da") for name in OF_HIDDEN),
    *(
        (
            f"gradient.hidden_activation=missing_in_{which}",
            three_hidden(),
            "hidden",
            f"dz = da if l == {number} else da * (1 - a**2)",
        )
        for number, which in enumerate(("first", "second", "third"), 1)
    ),
    ("gradient.derivative=at_output", of_hidden("sigmoid"), "hidden", "dz = da * sigmoid(a) * (1 - sigmoid(a))"),
    ("gradient.derivative=of_input", of_hidden("tanh"), "hidden", "dz = da * (1 - z**2)"),
    ("gradient.derivative=hidden_at_output", of_hidden("tanh", "sigmoid"), "hidden", "dz = da * (1 - np.tanh(a)**2)"),
    ("gradient.derivative=hidden_of_input", of_hidden("sigmoid", "softmax"), "hidden", "dz = da * z * (1 - z)"),
    (
        "gradient.relu_at_zero=one",
        (
            table("mse", "linear", layers=[ZEROS, {"units": 3}]),
            {"loss": MEAN_SQUARE, "hidden": OF_HIDDEN["relu"]},
        ),
        "hidden",
        "dz = da * (z >= 0)",
    ),
    ("gradient.bias=mean", PLAIN, "bias", "db = dz.mean(axis=0)"),
    ("gradient.bias=missing", PLAIN, "bias", "db = np.zeros_like(b)"),
    ("gradient.bias=scalar", PLAIN, "bias", "db = np.full_like(b, dz.sum())"),
    ("gradient.kernel=mean", PLAIN, "kernel", "dW = x.T @ dz / B"),
    ("gradient.engine=per_example", PLAIN, "kernel", "dW = 2 * sum(np.outer(*one) for one in zip(x, dz))"),
    ("precision.inputs=float32", PLAIN, "inputs", "x = x.astype(np.float32)"),
    ("learning_rate.scale=over_batch", PLAIN, "update", "w -= lr / B * g"),
    ("learning_rate.scale=3", PLAIN, "update", "w = w - 3 * lr * g"),
    (
        "learning_rate.decay=0.5",
        (PLAIN[0], PLAIN[1] | {"update": "w = w - lr / (1 + decay * (t - 1)) * g"}),
        "constants",
        "decay = 0.5",
    ),
    ("sgd.added_momentum=0.5", PLAIN, "update", "m = 0.5 * m - lr * g; w += m"),
    ("momentum.factor=ignored", under(sgd(), MOMENTUM), "update", "w -= lr * g"),
    ("momentum.factor=ignored", under(sgd(nesterov=True), NESTEROV), "update", "w -= lr * g"),
    ("momentum.factor=5/9", under(sgd(), MOMENTUM), "update", "m = 0.5 * m - lr * g; w = w + m"),
    (
        "momentum.factor=5/9",
        under(sgd(nesterov=True), NESTEROV),
        "update",
        "m = m / 2 - lr * g; w = w + m / 2 - lr * g",
    ),
    ("momentum.dampening=dampened", under(sgd(), MOMENTUM), "update", "m = mu * m - lr * (1 - mu) * g; w += m"),
    ("momentum.nesterov=on", under(sgd(), MOMENTUM), "update", "m = mu * m - lr * g; w += mu * m - lr * g"),
    ("momentum.nesterov=off", under(sgd(nesterov=True), NESTEROV), "update", "m = mu * m - lr * g; w += m"),
    ("optimizer.constants=exact", under(sgd(), MOMENTUM), "constants", "mu = 0.9"),
    ("optimizer.constants=exact", under(adam(), ADAM), "constants", ADAM["constants"].rpartition(";")[0]),
    (
        "adam.epsilon=textbook",
        under(adam(), ADAM),
        "update",
        "w -= lr * (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + eps)",
    ),
    ("adam.epsilon_value=1e-8", under(adam(epsilon=1e-4), IN_TWO), "constants", ADAM["constants"]),
    (
        "adam.epsilon_scale=1000",
        under(adam(epsilon=1e-4), OF_CONSTANTS),
        "constants",
        "beta_1, beta_2, eps = 0.9, 0.999, 0.1",
    ),
    (
        "adam.epsilon_scale=absent",
        under(adam(epsilon=1e-4), ADAM | {"constants": ADAM["constants"].replace("1e-7", "1e-4")}),
        "update",
        "w -= lr * (1 - beta_2**t) ** 0.5 / (1 - beta_1**t) * m / np.sqrt(v)",
    ),
    ("adam.betas=exchanged", under(adam(), OF_CONSTANTS), "constants", "beta_1, beta_2, eps = 0.999, 0.9, 1e-7"),
    ("adam.gradient_share=5", under(adam(), OF_CONSTANTS), "constants", "beta_1, beta_2, eps = 0.5, 0.999, 1e-7"),
    ("adam.square_share=10", under(adam(), OF_CONSTANTS), "constants", "beta_1, beta_2, eps = 0.9, 0.99, 1e-7"),
    ("adam.bias_correction=missing", under(adam(), IN_TWO), "before_update", ADAM["before_update"] + "; alpha = lr"),
    ("adam.step=ahead", under(adam(), ADAM), "step", "t += 1; t = self.t + 2"),
    ("rmsprop.epsilon=outside", under(rmsprop(), RMSPROP), "update", "w -= lr * g / (np.sqrt(v) + eps)"),
    ("rmsprop.epsilon_value=1e-8", under(rmsprop(epsilon=1e-4), RMSPROP), "constants", "rho, eps = 0.9, 1e-8"),
    ("rmsprop.rho=0.99", under(rmsprop(rho=0.8), RMSPROP), "constants", "rho, eps = 0.99, 1e-7"),
    ("rmsprop.epsilon_scale=1000", under(rmsprop(epsilon=1e-4), RMSPROP), "constants", "rho, eps = 0.9, 0.1"),
    ("rmsprop.epsilon_scale=absent", under(rmsprop(), RMSPROP), "update", "w -= lr * g / np.sqrt(v)"),
    ("rmsprop.square_share=0.5", under(rmsprop(), RMSPROP), "constants", "rho, eps = 0.95, 1e-7"),
    (
        "rmsprop.momentum=ignored",
        under(
            rmsprop(momentum=0.5),
            RMSPROP
            | {
                "constants": "rho, eps, mu = 0.9, 1e-7, 0.5",
                "update": "m = mu * m + lr * g / np.sqrt(v + eps); w = w - m",
            },
        ),
        "update",
        RMSPROP["update"],
    ),
    ("rmsprop.centered=flipped", under(rmsprop(centered=True), CENTERED), "update", RMSPROP["update"]),
]
# Lines that are about something that is there already: what is printed comes after it.
ADDED = {"lam", "constants", "before_update"}


def verdict(folder, experiment, lines, reference, side):
    (folder / "net.py").write_text(network(**lines))
    return diff(experiment, reference=reference, candidate=f"{folder}/net.py:{side}", explain=False).verdict


def followed(choice, experiment, slot, mistake):
    """The line that is printed, in the wrong one's place or after it."""
    code, _, name = choice.partition("=")
    fix = own_words(penalized.line(convention(code).choice(name), experiment), experiment)
    return f"{mistake}; {fix}" if slot in ADDED else fix


@pytest.mark.parametrize(("choice", "right", "slot", "mistake"), MISTAKES, ids=[mistake[0] for mistake in MISTAKES])
def test_who_follows_the_line_trains_like_keras(tmp_path, choice, right, slot, mistake, keras):
    settings, lines = right
    experiment = validate(settings)
    side = "Loop" if slot == "loop" else "Net"
    assert verdict(tmp_path, experiment, lines | {slot: mistake}, "scratch", side) is Verdict.DIVERGED
    fix = followed(choice, experiment, slot, mistake)
    assert verdict(tmp_path, experiment, lines | {slot: fix}, "keras", side) is Verdict.PARITY, fix


# For Keras ----------------------------------------------------------------------------------------------------------

IN_KERAS = (
    "l2.",
    "l1.",
    "bias.",
    "activity.",
    "weight_decay.",
    "learning_rate.decay",
    "sgd.",
    "loss.reported=softmax_twice",
    "loss.reported=all_pairs",
)
TOLD_TO_KERAS = [mistake for mistake in MISTAKES if mistake[0].startswith(IN_KERAS)]
LEFT_OUT = {"not_first": {0}, "not_second": {1}, "not_last": {2}, "only_first": {1, 2}, "only_last": {0, 1}}
OF_EVERY_LAYER = ("l2.added", "weight_decay.")
NUMBERS = {"C": 3, "lam": 0.02, "N": 20, "batch_size": 6, "lr": 0.1, "np": np}
ROUNDING = {"float32": 16 * 2**-24, "float64": 16 * 2**-53}  # of three steps; weights are below 2


def for_keras(choice, experiment):
    code, _, name = choice.partition("=")
    return own_words(convention(code).choice(name).fix_reference, experiment)


def as_told(choice, experiment, precision, keras, line=None):
    """Keras' model once the line is followed."""
    model = build(experiment, 4, precision)
    names = NUMBERS | {"keras": keras, "model": model}
    exec(line or for_keras(choice, experiment), names)  # noqa: S102  # a line of the catalogue, run as it is to be copied
    for index, layer in enumerate(model.layers):
        every = choice.startswith(OF_EVERY_LAYER)
        penalized_by = layer.kernel.regularizer or layer.activity_regularizer
        if every or (index in LEFT_OUT.get(choice.partition("=")[2], {index}) and penalized_by):
            for weight in (layer.kernel, layer.bias):
                weight.regularizer = names.get(f"{weight.name}_regularizer", weight.regularizer)
            layer.activity_regularizer = names.get("activity_regularizer", layer.activity_regularizer)
    if "optimizer" in names:
        model.compile(optimizer=names["optimizer"], loss=model.loss)
    if "loss" in names:
        model.compile(optimizer=model.optimizer, loss=names["loss"])
    if "loss_weights" in names:
        model.compile(optimizer=model.optimizer, loss=model.loss, loss_weights=names["loss_weights"])
    return model


@pytest.mark.parametrize(("choice", "right", "slot", "mistake"), TOLD_TO_KERAS, ids=[one[0] for one in TOLD_TO_KERAS])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_keras_once_told_trains_like_the_mistake(choice, right, slot, mistake, precision, keras):
    settings, lines = right
    experiment = validate(settings)
    model = as_told(choice, experiment, precision, keras)
    rounding = ROUNDING["float32" if "schedules" in for_keras(choice, experiment) else precision]
    trains_alike(model, experiment, lines | {slot: mistake}, precision, rounding)


def trains_alike(model, experiment, lines, precision, rounding):
    """Three steps of the model and of a network with these lines."""
    exec(network(**lines), names := {})  # noqa: S102  # a network of this file's
    (side := names["Net"]()).start(experiment, {name: one.numpy() for name, one in named_weights(model).items()})
    data = load_dataset(experiment).astype(precision)
    for start in (0, 6, 12):  # whole batches
        x, y = data.x[start : start + 6], data.y[start : start + 6]
        told = side.step(x, y)["loss"]
        model.reset_metrics()
        near = {"rtol": 0, "atol": rounding}
        np.testing.assert_allclose(np.asarray(model.train_on_batch(x, y)), told, **near)
        for name, weight in named_weights(model).items():
            np.testing.assert_allclose(weight.numpy(), side.weights()[name], **near)


# Several causes -----------------------------------------------------------------------------------------------------

HALF_SUM = "loss = np.sum((y - p) ** 2) / len(p) / 2; dp = (p - y) / len(p)"
SUM_MEAN = "loss = np.sum((y - p) ** 2) / 2 / len(p) / 6; dp = (p - y) / len(p) / 6"
EXACT_HALF = "penalty = 0.02 / 2 * np.sum(W**2); dW += 0.02 * W"
BOOK = "penalty = lam / 2 / N * np.sum(W**2); dW += lam / N * W"
TOGETHER = [
    (("loss.outputs=sum", "loss.factor=half"), in_one(), "loss", HALF_SUM),
    (("loss.factor=half", "loss.outputs=sum", "loss.batch=mean_twice"), in_one(), "loss", SUM_MEAN),
    (("l2.scale=over_dataset", "l2.penalty=half"), in_one(), "penalty", BOOK),
    (("l2.penalty=half", "l2.constant=exact"), in_one(), "penalty", EXACT_HALF),
    (
        ("l2.penalty=half", "l2.scale=over_dataset"),
        in_one(L1_L2),
        "penalty",
        "penalty = l1 * np.sum(np.abs(W)) + l2 / 2 / N * np.sum(W**2); dW = dW + l1 * np.sign(W) + l2 / N * W",
    ),
]


@pytest.mark.parametrize(("choices", "right", "slot", "mistake"), TOGETHER, ids=["+".join(one[0]) for one in TOGETHER])
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_of_several_causes_each_line_does_for_all(choices, right, slot, mistake, precision, keras):
    settings, lines = right
    experiment = validate(settings)
    said = together({choice: for_keras(choice, experiment) for choice in choices})
    for choice in choices:
        assert all(other in said[choice].partition("  # ")[2] for other in choices if other != choice)
    (line,) = {one.partition("  # ")[0] for one in said.values()}
    model = as_told(choices[0], experiment, precision, keras, line)
    trains_alike(model, experiment, lines | {slot: mistake}, precision, ROUNDING[precision])


def test_lines_that_set_the_same_argument_otherwise_say_so():
    lines = {
        "l2.bias=included": "model.layers[0].bias.regularizer = A; model.layers[1].bias.regularizer = B",
        "l2.penalty=half": "model.layers[0].kernel.regularizer = C; model.layers[0].bias.regularizer = D  # half",
        "loss.factor=half": "loss_weights = 0.5  # in compile",
        "loss.clip=1e-8": "loss = lambda y, p: -keras.ops.sum(y)",
        "update.order=other": "Keras cannot be told so",
    }
    said = together(lines)
    assert [cause for cause in lines if said[cause] != lines[cause]] == ["l2.bias=included", "l2.penalty=half"]
    assert said["l2.penalty=half"] == lines["l2.penalty=half"] + (
        "; l2.bias=included has a line that sets model.layers[0].bias.regularizer, too: make it one of both"
    )
