"""Experiments drawn at random from everything that a config can say, where both sides should agree.

Small sizes are as likely as large ones: sizes are uniform in their logarithm. What is put together fits together: a
categorical cross-entropy gets targets that sum to 1, a sparse one labels, a binary one zeros and ones.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from parity.config import Experiment, validate
from parity.config.initializers import CLASSES as INITIALIZERS

LARGEST_LAYER = 512  # units, and features
LARGEST_BATCH = 256
ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "softmax")

Random = np.random.Generator
Table = dict[str, Any]


def random_experiment(random: Random, **settings: Any) -> Experiment:
    """An experiment of 3 to 6 steps; the same state of `random` gives the same one.

    Args:
        random: where it is drawn from.
        settings: keys of the experiment that are not drawn, such as `precision`.
    """
    batch = _size(random, LARGEST_BATCH)
    samples = _size(random, 2 * LARGEST_BATCH)
    data, loss, units, activation = _task(random, samples)
    hidden = [
        _layer(random, _size(random, LARGEST_LAYER), _one_of(random, *ACTIVATIONS)) for _ in range(random.integers(4))
    ]
    layers = [*hidden, _layer(random, units, activation)]
    table = {
        "name": "random",
        "data": data,
        "layers": layers,
        "loss": loss,
        "optimizer": _optimizer(random),
        "metrics": ["accuracy"] if _chance(random, 0.5) else [],
        "batch_size": "full" if _chance(random, 0.1) else batch,
        "shuffle": _chance(random, 0.5),
        "drop_remainder": batch <= len(data.get("x", range(samples))) and _chance(random, 0.3),
        "steps": int(random.integers(3, 7)),
        "seed": int(random.integers(2**31)),
    }
    if _chance(random, 0.1):  # of what is not named here, the initializers draw the values
        table["initial_weights"] = {"dense/bias": random.normal(size=layers[0]["units"]).tolist()}
        layers[0]["use_bias"] = True
    return validate(table | settings)


def _chance(random: Random, probability: float) -> bool:
    return bool(random.random() < probability)


def _one_of(random: Random, *choices: Any) -> Any:
    return choices[random.integers(len(choices))]


def _size(random: Random, largest: int) -> int:
    """1 to `largest`."""
    return int(math.exp(random.uniform(0, math.log(largest + 1))))


def _power_of_ten(random: Random, lowest: float, highest: float) -> float:
    return float(10 ** random.uniform(lowest, highest))


def _regularizer(random: Random, probability: float) -> Table | None:
    if not _chance(random, probability):
        return None

    def strength() -> float:
        return 0.0 if _chance(random, 0.1) else _power_of_ten(random, -5, 0)

    return _one_of(
        random,
        {"class_name": "L1", "l1": strength()},
        {"class_name": "L2", "l2": strength()},
        {"class_name": "L1L2", "l1": strength(), "l2": strength()},
    )


def _initializer(random: Random) -> Table:
    name = _one_of(random, *[cls.__name__ for cls in INITIALIZERS])
    parameters: dict[str, Callable[[], Table]] = {
        "Constant": lambda: {"value": float(random.normal())},
        "RandomNormal": lambda: _normal(random),
        "TruncatedNormal": lambda: _normal(random),
        "RandomUniform": lambda: {"minval": -float(random.uniform(0, 2)), "maxval": float(random.uniform(0, 2))},
    }
    made = {"class_name": name, **parameters.get(name, dict)()}
    if name not in {"Zeros", "Ones", "Constant"} and _chance(random, 0.2):
        made["seed"] = int(random.integers(2**31))
    return made


def _normal(random: Random) -> Table:
    return {"mean": float(random.normal()) / 4, "stddev": float(random.uniform(0, 2))}


def _layer(random: Random, units: int, activation: str) -> Table:
    layer = {
        "class_name": "Dense",
        "units": units,
        "activation": activation,
        "use_bias": _chance(random, 0.8),
        "kernel_regularizer": _regularizer(random, 0.4),
        "bias_regularizer": _regularizer(random, 0.3),
        "activity_regularizer": _regularizer(random, 0.2),
    }
    if _chance(random, 0.6):
        layer["kernel_initializer"] = _initializer(random)
    if _chance(random, 0.4):
        layer["bias_initializer"] = _initializer(random)
    return layer


def _optimizer(random: Random) -> Table:
    rate = 0.0 if _chance(random, 0.03) else _power_of_ten(random, -4, 0)
    momentum = _one_of(random, 0.0, float(random.uniform(0, 1)), 0.9)
    epsilon = _one_of(random, 1e-7, _power_of_ten(random, -10, -1))
    kept = float(random.uniform(0, 0.9999))
    common = {"learning_rate": rate}
    return common | _one_of(
        random,
        {"class_name": "SGD"},
        {"class_name": "SGD", "momentum": momentum, "nesterov": _chance(random, 0.5)},
        {
            "class_name": "Adam",
            "beta_1": _one_of(random, 0.9, kept),
            "beta_2": _one_of(random, 0.999, float(random.uniform(0, 0.9999))),
            "epsilon": epsilon,
            "amsgrad": _chance(random, 0.5),
        },
        {
            "class_name": "RMSprop",
            "rho": _one_of(random, 0.9, kept),
            "momentum": momentum,
            "epsilon": epsilon,
            "centered": _chance(random, 0.5),
        },
    )


def _task(random: Random, samples: int) -> tuple[Table, Table, int, str]:
    """Data, loss, and units and activation of the last layer."""
    kind = _one_of(random, "numbers", "squares", "binary", "many binary", "categorical", "sparse")
    any_activation = _one_of(random, *ACTIVATIONS)
    squares = {"class_name": _one_of(random, "MeanSquaredError", "SumSquaredError")}
    if kind == "numbers":
        data, units = _numbers(random, samples)
        return data, squares, units, any_activation
    classes = 2 if kind == "binary" else 1 + _size(random, 30)
    data, classes = _classes(random, samples, classes)
    one_hot = data | {"one_hot": classes}
    logits = _chance(random, 0.4)
    bounded = any_activation if logits else _one_of(random, "softmax", "softmax", "sigmoid", "relu")
    crossentropy = {"from_logits": logits, "label_smoothing": _one_of(random, 0.0, 0.0, float(random.uniform(0, 0.9)))}
    match kind:
        case "squares":
            return one_hot, squares, classes, any_activation
        case "binary" if classes == 2:
            return data, {"class_name": "BinaryCrossentropy", **crossentropy}, 1, bounded
        case "binary" | "many binary":
            return one_hot, {"class_name": "BinaryCrossentropy", **crossentropy}, classes, bounded
        case "categorical":
            return one_hot, {"class_name": "CategoricalCrossentropy", **crossentropy}, classes, bounded
        case _:
            loss = {"class_name": "SparseCategoricalCrossentropy", "from_logits": logits}
            return data, loss, classes, bounded


def _scale(random: Random) -> float:
    return 1.0 if _chance(random, 0.5) else _power_of_ten(random, -1, 1)


def _numbers(random: Random, samples: int) -> tuple[Table, int]:
    """Data with real targets, and how many of them an example has."""
    if _chance(random, 0.2):  # written in the experiment itself
        shape, outputs = (min(samples, 8), _size(random, 4)), _size(random, 3)
        x, y = random.normal(size=shape), random.normal(size=(shape[0], outputs))
        return {"source": "arrays", "x": x.tolist(), "y": y.tolist(), "scale": _scale(random)}, outputs
    targets = _size(random, 16)
    data = {
        "source": "regression",
        "samples": samples,
        "features": _size(random, LARGEST_LAYER),
        "targets": targets,
        "noise": float(random.uniform(0, 1)),
        "seed": int(random.integers(1000)),
        "scale": _scale(random),
    }
    return data, targets


def _classes(random: Random, samples: int, classes: int) -> tuple[Table, int]:
    """Data with labels, and how many classes it has."""
    if classes > 2 and _chance(random, 0.2):
        return {"source": "digits", "samples": samples, "scale": _one_of(random, 1.0, 16.0)}, 10
    data = {
        "source": "classification",
        "samples": samples,
        "features": _size(random, LARGEST_LAYER),
        "classes": classes,
        "seed": int(random.integers(1000)),
        "scale": _scale(random),
    }
    return data, classes
