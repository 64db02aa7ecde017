"""What is under test: a row for each thing that a config can say, written as it is written there.

Every law of a kind (laws/) holds for every row of that kind. test_completeness.py sees to it that no class, setting or
name of the config is without a row, and that nothing Keras exports is without either a row or a reason
(not_covered.toml).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

PRECISIONS = ("float32", "float64")
Said = Mapping[str, Any]

ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "softmax")


@dataclass(frozen=True)
class Loss:
    """A loss, what it is taken of, and after which last activations it means something."""

    said: Said
    targets: str
    """numbers, one-hot rows, labels, or (one output) zeros and ones."""
    after: tuple[str, ...] = ACTIVATIONS


PROBABILITIES = (
    "softmax",
    "sigmoid",
)  # divided by their sum: of a linear or tanh output there is none, of a relu it may be 0

LOSSES = {
    "mse": Loss({"class_name": "MeanSquaredError"}, "numbers"),
    "sse": Loss({"class_name": "SumSquaredError"}, "numbers"),
    "categorical": Loss({"class_name": "CategoricalCrossentropy"}, "one-hot", PROBABILITIES),
    "categorical smoothed": Loss(
        {"class_name": "CategoricalCrossentropy", "label_smoothing": 0.1}, "one-hot", PROBABILITIES
    ),
    "categorical from logits": Loss({"class_name": "CategoricalCrossentropy", "from_logits": True}, "one-hot"),
    "categorical smoothed, from logits": Loss(
        {"class_name": "CategoricalCrossentropy", "from_logits": True, "label_smoothing": 0.3}, "one-hot"
    ),
    "sparse": Loss({"class_name": "SparseCategoricalCrossentropy"}, "labels"),
    "sparse from logits": Loss({"class_name": "SparseCategoricalCrossentropy", "from_logits": True}, "labels"),
    "binary": Loss({"class_name": "BinaryCrossentropy"}, "zeros and ones"),
    "binary smoothed": Loss({"class_name": "BinaryCrossentropy", "label_smoothing": 0.3}, "one-hot"),
    "binary from logits": Loss({"class_name": "BinaryCrossentropy", "from_logits": True}, "zeros and ones"),
    "binary smoothed, from logits": Loss(
        {"class_name": "BinaryCrossentropy", "from_logits": True, "label_smoothing": 0.2}, "one-hot"
    ),
}

REGULARIZERS: dict[str, Said] = {
    "L1": {"class_name": "L1", "l1": 0.02},
    "L2": {"class_name": "L2", "l2": 0.03},
    "L1L2": {"class_name": "L1L2", "l1": 0.03, "l2": 0.007},
    "L1L2, l1 alone": {"class_name": "L1L2", "l1": 0.03, "l2": 0.0},
    "L1L2, l2 alone": {"class_name": "L1L2", "l1": 0.0, "l2": 0.007},
    "L1L2, nothing": {"class_name": "L1L2", "l1": 0.0, "l2": 0.0},
    "L2 of factor 0": {"class_name": "L2", "l2": 0.0},
}

INITIALIZERS: dict[str, Said] = {
    "Zeros": {"class_name": "Zeros"},
    "Ones": {"class_name": "Ones"},
    "Constant": {"class_name": "Constant", "value": 0.1},
    "RandomNormal": {"class_name": "RandomNormal", "mean": 0.5, "stddev": 2.0},
    "RandomNormal, own seed": {"class_name": "RandomNormal", "mean": 0.3, "stddev": 0.7, "seed": 5},
    "TruncatedNormal": {"class_name": "TruncatedNormal", "mean": -0.3, "stddev": 0.7},
    "TruncatedNormal, own seed": {"class_name": "TruncatedNormal", "mean": 0.0, "stddev": 2.0, "seed": 2**31 + 9},
    "RandomUniform": {"class_name": "RandomUniform", "minval": -0.3, "maxval": 0.1},
    "RandomUniform, own seed": {"class_name": "RandomUniform", "minval": -1.0, "maxval": 3.0, "seed": 0},
    "GlorotUniform": {"class_name": "GlorotUniform"},
    "GlorotUniform, own seed": {"class_name": "GlorotUniform", "seed": 5},
    "GlorotNormal": {"class_name": "GlorotNormal"},
    "GlorotNormal, own seed": {"class_name": "GlorotNormal", "seed": 5},
    "HeUniform": {"class_name": "HeUniform"},
    "HeUniform, own seed": {"class_name": "HeUniform", "seed": 5},
    "HeNormal": {"class_name": "HeNormal"},
    "HeNormal, own seed": {"class_name": "HeNormal", "seed": 5},
    "LecunUniform": {"class_name": "LecunUniform"},
    "LecunUniform, own seed": {"class_name": "LecunUniform", "seed": 5},
    "LecunNormal": {"class_name": "LecunNormal"},
    "LecunNormal, own seed": {"class_name": "LecunNormal", "seed": 5},
}

OPTIMIZERS: dict[str, Said] = {
    "SGD": {"class_name": "SGD", "learning_rate": 0.1},
    "SGD, a rate that is no number of float32": {"class_name": "SGD", "learning_rate": 1 / 3},
    "SGD momentum": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9},
    "SGD nesterov": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
    "Adam": {"class_name": "Adam", "learning_rate": 0.01},
    "Adam, other constants": {
        "class_name": "Adam",
        "learning_rate": 0.3,
        "beta_1": 0.7,
        "beta_2": 0.99,
        "epsilon": 1e-3,
    },
    "Adam amsgrad": {"class_name": "Adam", "learning_rate": 0.01, "amsgrad": True},
    "RMSprop": {"class_name": "RMSprop", "learning_rate": 0.01},
    "RMSprop, other constants": {"class_name": "RMSprop", "learning_rate": 0.3, "rho": 0.5, "epsilon": 1e-3},
    "RMSprop momentum": {"class_name": "RMSprop", "learning_rate": 0.01, "momentum": 0.9},
    "RMSprop centered": {"class_name": "RMSprop", "learning_rate": 0.01, "centered": True},
    "RMSprop both": {"class_name": "RMSprop", "learning_rate": 0.01, "momentum": 0.9, "centered": True},
}

METRICS = ("accuracy",)

# A layer: which of its places hold the regularizer that a run is about, and what else is set.
LAYERS: dict[str, tuple[tuple[str, ...], Said]] = {
    "plain": ((), {"class_name": "Dense"}),
    "penalized kernel": (("kernel",), {"class_name": "Dense"}),
    "penalized bias": (("bias",), {"class_name": "Dense"}),
    "penalized output": (("activity",), {"class_name": "Dense"}),
    "penalized everywhere": (("kernel", "bias", "activity"), {"class_name": "Dense"}),
    "no bias": (("kernel",), {"class_name": "Dense", "use_bias": False}),
    "a name of its own": (("kernel",), {"class_name": "Dense", "name": "of_its_own"}),
}

# What of 11 examples is in which step. With batches of 4 the last one is a partial one.
SCHEDULES: dict[str, Said] = {
    "partial last batch": {"batch_size": 4, "epochs": 2},
    "one epoch unless told": {"batch_size": 3},
    "shuffled": {"batch_size": 4, "epochs": 2, "shuffle": True},
    "all at once": {"batch_size": "full", "epochs": 3},
    "partial batch left out": {"batch_size": 4, "epochs": 2, "drop_remainder": True},
    "steps": {"batch_size": 4, "steps": 5},
    "larger batches than there are examples": {"batch_size": 64, "epochs": 2},
    "shuffled by another seed": {"batch_size": 5, "epochs": 2, "shuffle": True, "seed": 2**31 - 1},
    "given weights": {"batch_size": 4, "epochs": 1, "initial_weights": {"last/kernel": "drawn"}},
}

EXAMPLES, FEATURES, CLASSES = 11, 5, 3

_CLASSIFICATION = {"source": "classification", "samples": EXAMPLES, "features": FEATURES, "scale": 4.0}
_REGRESSION = {"source": "regression", "samples": EXAMPLES, "features": FEATURES, "targets": CLASSES}
_TABLE = tuple(tuple(((7 * row + 3 * column) % 13 - 6) / 4 for column in range(FEATURES)) for row in range(EXAMPLES))

# kind of targets -> row -> data; `files` is where runs.py puts what is read from files
DATA: dict[str, dict[str, Said]] = {
    "numbers": {
        "regression": _REGRESSION,
        "regression, noisier": {**_REGRESSION, "noise": 0.5, "seed": 3, "scale": 2.0},
        "arrays": {
            "source": "arrays",
            "x": _TABLE,
            "y": tuple(row[:CLASSES] for row in reversed(_TABLE)),
            "scale": 2.0,
        },
        "csv": {"source": "csv", "path": "{files}/numbers.csv", "target": ("y0", "y1", "y2"), "samples": EXAMPLES},
    },
    "one-hot": {
        "classification, one-hot": {**_CLASSIFICATION, "classes": CLASSES, "one_hot": CLASSES},
        "digits, one-hot": {"source": "digits", "samples": EXAMPLES, "scale": 16.0, "one_hot": 10},
        "mnist, one-hot": {
            "source": "mnist",
            "path": "{files}/mnist.npz",
            "split": "test",
            "samples": EXAMPLES,
            "scale": 255.0,
            "one_hot": 10,
        },
        "npz, one-hot": {"source": "npz", "path": "{files}/labels.npz", "x": "inputs", "y": "labels", "one_hot": 3},
        "arrays, one-hot": {
            "source": "arrays",
            "x": _TABLE,
            "y": tuple(row % 3 for row in range(11)),
            "samples": 10,
            "one_hot": 3,
        },
        "csv, one-hot": {"source": "csv", "path": "{files}/labels.csv", "target": "label", "one_hot": 3, "scale": 2.0},
    },
    "labels": {
        "classification": {**_CLASSIFICATION, "classes": CLASSES, "seed": 4},
        "digits": {"source": "digits", "samples": EXAMPLES, "scale": 16.0},
        "mnist": {"source": "mnist", "path": "{files}/mnist.npz", "samples": EXAMPLES, "scale": 255.0},
        "npz": {
            "source": "npz",
            "path": "{files}/labels.npz",
            "x": "inputs",
            "y": "labels",
            "samples": 9,
            "scale": 2.0,
        },
    },
    "zeros and ones": {"classification of two": {**_CLASSIFICATION, "classes": 2}},
}

TABLE: dict[str, Mapping[str, Any]] = {
    "activations": {name: name for name in ACTIVATIONS},
    "losses": LOSSES,
    "regularizers": REGULARIZERS,
    "initializers": INITIALIZERS,
    "optimizers": OPTIMIZERS,
    "metrics": {name: name for name in METRICS},
    "layers": LAYERS,
}
"""The kinds that Keras has a module for, by its name."""
