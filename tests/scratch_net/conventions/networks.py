"""Small networks that choices are tried on: one for each thing that a choice can be about."""

from __future__ import annotations

import numpy as np

from parity.config import Experiment
from parity.protocol import Key, Records, keyed
from scratch_net.adapter import ScratchSide, initial_weights

INPUTS, OUTPUTS, BATCH, SCALE = 4, 3, 6, 4.0
SIZES = (BATCH, BATCH, 4)  # the last batch is a smaller one
EXAMPLES = sum(SIZES)


def _layers(hidden, last, outputs=OUTPUTS, **settings):
    """Two square kernels and one that is none; biases that begin at zero, so that zeros stay exact."""
    layers = [{"units": 4, "activation": hidden}, {"units": 4, "activation": hidden}]
    return [{**layer, **settings} for layer in [*layers, {"units": outputs, "activation": last}]]


MOMENTUM = {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9}
NETWORKS = {
    "sgd": (_layers("tanh", "linear", kernel_regularizer={"l1": 0.01, "l2": 0.1}), "mse", "sgd"),
    "penalized biases": (_layers("tanh", "linear", bias_regularizer="l2", bias_initializer="ones"), "mse", "sgd"),
    "penalized outputs": (_layers("tanh", "linear", activity_regularizer="l2"), "mse", "sgd"),
    "no biases": (_layers("tanh", "linear", use_bias=False), "mse", "sgd"),
    "one output": (_layers("tanh", "linear", 1), "mse", "sgd"),
    "deep": ([{"units": 4, "activation": "tanh"}, *_layers("tanh", "linear")], "mse", "sgd"),
    "relu": (_layers("relu", "linear"), "mse", "sgd"),
    "linear": (_layers("linear", "linear"), "mse", "sgd"),
    "sigmoid": (_layers("sigmoid", "sigmoid"), "mse", "sgd"),
    "probabilities": (_layers("tanh", "softmax"), "mse", "sgd"),
    "softmax": (_layers("tanh", "softmax"), "CategoricalCrossentropy", "sgd"),
    "labels": (_layers("tanh", "softmax"), "SparseCategoricalCrossentropy", "sgd"),
    "smoothed": (_layers("tanh", "softmax"), {"class_name": "CategoricalCrossentropy", "label_smoothing": 0.2}, "sgd"),
    "binary": (_layers("tanh", "sigmoid"), "BinaryCrossentropy", "sgd"),
    "momentum": (_layers("tanh", "linear"), "mse", MOMENTUM),
    "nesterov": (_layers("tanh", "linear"), "mse", {**MOMENTUM, "nesterov": True}),
    "adam": (_layers("tanh", "linear"), "mse", {"class_name": "Adam", "learning_rate": 0.01}),
    "amsgrad": (_layers("tanh", "linear"), "mse", {"class_name": "Adam", "epsilon": 1e-3, "amsgrad": True}),
    "rmsprop": (_layers("tanh", "linear"), "mse", "rmsprop"),
    "centered": (
        _layers("tanh", "linear"),
        "mse",
        {"class_name": "RMSprop", "learning_rate": 0.01, "momentum": 0.5, "centered": True},
    ),
}


def experiment(name):
    layers, loss, optimizer = NETWORKS[name]
    data = {"source": "regression", "samples": EXAMPLES, "features": INPUTS, "scale": SCALE}
    return Experiment.model_validate(
        {"data": data, "layers": layers, "loss": loss, "optimizer": optimizer, "metrics": ["accuracy"]}
        | {"batch_size": BATCH, "examples": EXAMPLES, "seed": 1}
    )


def last_layer(name):
    return experiment(name).layer_names[-1]


def batches(name, dtype="float64"):
    """Batches of `SIZES`. One example is all zeros, where a relu without bias is exactly at its kink."""
    random = np.random.default_rng(5)
    layers, loss, _ = NETWORKS[name]
    outputs = layers[-1]["units"]
    found = []
    for size in SIZES:
        x = random.standard_normal((size, INPUTS)).astype(dtype)
        x[1] = 0
        labels = random.integers(0, outputs, size)
        if "labels" in name:
            y = labels.astype(np.int32)
        elif loss == "mse":
            y = random.standard_normal((size, outputs)).astype(dtype)
        else:
            y = np.eye(outputs, dtype=dtype)[labels]
        found.append((x, y))
    return found


def started(name, choices, dtype="float64"):
    """A side with these choices, the weights that it starts from, and the slots."""
    side, of = ScratchSide(choices), experiment(name)
    weights = initial_weights(of, INPUTS, dtype)
    side.start(of, weights)
    return side, weights | side.initial_state()


def steps(name, choices, dtype="float64"):
    """What each step told, and the side that took them."""
    side, before = started(name, choices, dtype)
    found = []
    for number, (x, y) in enumerate(batches(name, dtype), 1):
        told = {key: array[None] for key, array in keyed(side.step(x, y), last_layer(name)).items()}
        told |= {Key("batch", "x"): x[None], Key("batch", "y"): y[None]}
        found.append(Records(number, told, {Key("update", key): array for key, array in before.items()}))
        before = {key.tensor: array for key, array in found[-1].state_after().items()}
    return found, side
