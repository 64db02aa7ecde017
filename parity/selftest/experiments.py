"""Experiments as people run them: small classifiers and regressions, in which a planted mistake can show.

Unlike `parity.random_experiments`, which looks for the corners of what a config can say, these are likely: features of
size one, Keras' default initializers, penalties and rates of usual size, more steps than one epoch, a smaller last
batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.config import Experiment, validate

Random = np.random.Generator
_HIDDEN = ("sigmoid", "tanh", "relu", "relu")
_OPTIMIZERS: tuple[dict[str, Any], ...] = (
    {"class_name": "SGD", "learning_rate": 0.1},
    {"class_name": "SGD", "learning_rate": 0.05},
    {"class_name": "SGD", "learning_rate": 0.05, "momentum": 0.9},
    {"class_name": "SGD", "learning_rate": 0.05, "momentum": 0.8, "nesterov": True},
    {"class_name": "Adam", "learning_rate": 0.01},
    {"class_name": "RMSprop", "learning_rate": 0.005},
    {"class_name": "RMSprop", "learning_rate": 0.002, "momentum": 0.9},
)

# The last two are mistakes that are often made, and the only runs in which some conventions show.
TASKS = ("regression", "categorical", "sparse", "binary", "probabilities", "several labels", "no probabilities")


def likely_experiment(random: Random) -> Experiment:
    """An experiment of 4 to 10 steps, one epoch and two more; the same state of `random` gives the same one."""
    task = str(random.choice(TASKS))
    features, classes = int(random.integers(4, 13)), int(random.integers(3, 6))
    samples, batch = int(random.integers(20, 40)), int(random.integers(5, 11))
    if random.random() < 0.2:  # more examples in a batch than the search looks at first
        samples, batch = samples + 30, batch + 14
    data: dict[str, Any] = {"source": "classification", "samples": samples, "features": features, "classes": classes}
    units, activation = classes, "softmax"
    loss: Any = {"class_name": "CategoricalCrossentropy"}
    if random.random() < 0.3:
        loss["label_smoothing"] = 0.1
    match task:
        case "regression":
            units, activation = int(random.integers(1, 4)), str(random.choice(["linear", "sigmoid", "tanh"]))
            data = {"source": "regression", "samples": samples, "features": features, "targets": units}
            loss = {"class_name": str(random.choice(["MeanSquaredError", "MeanSquaredError", "SumSquaredError"]))}
        case "categorical":
            data["one_hot"] = classes
        case "probabilities":  # squared errors of probabilities, as in the books
            data["one_hot"], activation = classes, str(random.choice(["sigmoid", "sigmoid", "softmax"]))
            loss = {"class_name": str(random.choice(["MeanSquaredError", "SumSquaredError"]))}
        case "sparse":
            loss = {"class_name": "SparseCategoricalCrossentropy"}
        case "binary":
            data["classes"], units, activation = 2, 1, "sigmoid"
            loss = {"class_name": "BinaryCrossentropy"}
        case "several labels":  # a softmax where more than one class is right, or none
            labels = (random.random((samples, classes)) < 0.4).astype(float)
            x = random.normal(size=(samples, features)).round(3)
            data = {"source": "arrays", "x": x.tolist(), "y": labels.tolist(), "samples": samples}
        case "no probabilities":  # a cross-entropy of outputs that no softmax or sigmoid made
            activation = "relu"
            if random.random() < 0.3:
                data["classes"], units = 2, 1
                loss = {"class_name": "BinaryCrossentropy"}
            elif random.random() < 0.5:
                data["one_hot"] = classes
            else:
                loss = {"class_name": "SparseCategoricalCrossentropy"}
    data |= {"scale": float(random.choice([1.0, 2.0]))}
    if data["source"] != "arrays":
        data["seed"] = int(random.integers(1000))
    depth, width = int(random.integers(1, 4)), int(random.integers(4, 9))
    same = random.random() < 0.5  # equal widths hide transposed kernels and shifted indices
    hidden = [
        _layer(random, width if same else int(random.integers(4, 9)), str(random.choice(_HIDDEN))) for _ in range(depth)
    ]
    last = _layer(random, units, activation)
    if task == "no probabilities":
        last["bias_initializer"] = "ones"  # or all outputs of an example may be 0, and their sum
    table = {
        "name": f"likely {task}",
        "data": data,
        "layers": [*hidden, last],
        "loss": loss,
        "optimizer": dict(_OPTIMIZERS[random.integers(len(_OPTIMIZERS))]),
        "metrics": ["accuracy"] if random.random() < 0.5 else [],
        "batch_size": batch,
        "steps": -(-samples // batch) + 2,
        "seed": int(random.integers(2**31)),
    }
    return validate(table)


def _layer(random: Random, units: int, activation: str) -> dict[str, Any]:
    layer: dict[str, Any] = {"units": units, "activation": activation}
    if activation == "relu":
        layer["kernel_initializer"] = "he_normal"
    if (share := random.random()) < 0.6:
        penalty = {"class_name": "L2", "l2": float(random.choice([0.001, 0.01, 0.1]))}
        if share < 0.06:
            penalty = {"class_name": "L1", "l1": penalty["l2"]}
        layer["kernel_regularizer"] = penalty
        if share > 0.54:
            layer["bias_regularizer"] = penalty
    if random.random() < 0.1:
        layer["activity_regularizer"] = {"class_name": "L2", "l2": 0.01}
    return layer
