"""Experiments drawn at random from everything that a config can say, with losses that fit their targets."""

from __future__ import annotations

import numpy as np

from parity.config import Experiment
from parity.config.initializers import CLASSES as INITIALIZERS

ACTIVATIONS = ("linear", "sigmoid", "tanh", "relu", "softmax")


def _one_of(random, *choices):
    return choices[random.integers(len(choices))]


def _size(random, largest):
    """1 to `largest`, small sizes as likely as large ones."""
    return int(np.exp(random.uniform(0, np.log(largest + 1))))


def _regularizer(random, probability):
    if random.random() >= probability:
        return None
    strength = lambda: float(_one_of(random, 0.0, 1e-4, 0.01, 0.3) * random.uniform(0.5, 2))  # noqa: E731
    return _one_of(
        random,
        {"class_name": "L1", "l1": strength()},
        {"class_name": "L2", "l2": strength()},
        {"class_name": "L1L2", "l1": strength(), "l2": strength()},
    )


def _initializer(random):
    name = _one_of(random, *[cls.__name__ for cls in INITIALIZERS])
    parameters = {
        "Constant": lambda: {"value": random.normal()},
        "RandomNormal": lambda: {"mean": random.normal() / 4, "stddev": random.uniform(0.01, 2)},
        "TruncatedNormal": lambda: {"mean": random.normal() / 4, "stddev": random.uniform(0.01, 2)},
        "RandomUniform": lambda: {"minval": -random.uniform(0, 2), "maxval": random.uniform(0, 2)},
    }
    return {"class_name": name, **parameters.get(name, dict)()}


def _layer(random, units, activation):
    layer = {
        "class_name": "Dense",
        "units": units,
        "activation": activation,
        "use_bias": bool(random.random() < 0.8),
        "kernel_regularizer": _regularizer(random, 0.4),
        "bias_regularizer": _regularizer(random, 0.3),
        "activity_regularizer": _regularizer(random, 0.25),
    }
    if random.random() < 0.6:
        layer["kernel_initializer"] = _initializer(random)
    if random.random() < 0.4:
        layer["bias_initializer"] = _initializer(random)
    return layer


def _optimizer(random):
    rate = float(10 ** random.uniform(-4, -1))
    momentum = float(_one_of(random, 0.0, 0.5, 0.9))
    return _one_of(
        random,
        {"class_name": "SGD", "learning_rate": rate},
        {"class_name": "SGD", "learning_rate": rate, "momentum": 0.9, "nesterov": bool(random.integers(2))},
        {"class_name": "Adam", "learning_rate": rate, "amsgrad": bool(random.integers(2))},
        {"class_name": "RMSprop", "learning_rate": rate, "momentum": momentum, "centered": bool(random.integers(2))},
    )


def _head(random, samples):
    """Data, loss, units and activation of the last layer: those that can be put together."""
    classification = {"source": "classification", "samples": samples, "seed": int(random.integers(1000))}
    regression = {"source": "regression", "samples": samples, "seed": int(random.integers(1000))}
    smoothing = float(_one_of(random, 0.0, 0.0, 0.1, 0.5))
    kind = _one_of(random, "regression", "one_hot_squares", "binary", "multilabel", "categorical", "sparse")
    squares = _one_of(random, "MeanSquaredError", "SumSquaredError")
    classes = 1 + _size(random, 20)
    logits = bool(random.random() < 0.4)
    activation = _one_of(random, *ACTIVATIONS) if logits else _one_of(random, "softmax", "softmax", "sigmoid", "relu")
    match kind:
        case "regression":
            targets = _size(random, 8)
            return regression | {"targets": targets}, {"class_name": squares}, targets, _one_of(random, *ACTIVATIONS)
        case "one_hot_squares":
            data = classification | {"classes": classes, "one_hot": classes}
            return data, {"class_name": squares}, classes, _one_of(random, *ACTIVATIONS)
        case "binary" | "multilabel":
            activation = _one_of(random, *ACTIVATIONS) if logits else _one_of(random, "sigmoid", "sigmoid", "softmax")
            loss = {"class_name": "BinaryCrossentropy", "from_logits": logits, "label_smoothing": smoothing}
            if kind == "binary":
                return classification | {"classes": 2}, loss, 1, activation
            return classification | {"classes": classes, "one_hot": classes}, loss, classes, activation
        case "categorical":
            loss = {"class_name": "CategoricalCrossentropy", "from_logits": logits, "label_smoothing": smoothing}
            return classification | {"classes": classes, "one_hot": classes}, loss, classes, activation
        case _:
            loss = {"class_name": "SparseCategoricalCrossentropy", "from_logits": logits}
            return classification | {"classes": classes}, loss, classes, activation


def random_experiment(seed, **settings):
    """The experiment of this seed; the same seed gives the same experiment."""
    random = np.random.default_rng([seed, 20240229])
    samples, steps = _size(random, 96), int(random.integers(1, 6))
    data, loss, units, activation = _head(random, samples)
    scale = float(_one_of(random, 1.0, 1.0, 0.1, 10.0))
    hidden = [_layer(random, _size(random, 64), _one_of(random, *ACTIVATIONS)) for _ in range(random.integers(3))]
    return Experiment.model_validate(
        {
            "name": f"random_{seed}",
            "data": data | {"features": _size(random, 64), "scale": scale},
            "layers": [*hidden, _layer(random, units, activation)],
            "loss": loss,
            "optimizer": _optimizer(random),
            "metrics": ["accuracy"] if random.random() < 0.5 else [],
            "batch_size": _size(random, 64),
            "shuffle": bool(random.integers(2)),
            "steps": steps,
            "seed": int(random.integers(2**31)),
            **settings,
        }
    )
