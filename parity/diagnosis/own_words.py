"""The catalogue's lines of code in the words of an experiment: with its own loss and its own optimizer in them.

The catalogue shows each line with one loss and one optimizer as an example. Whoever is to copy it has others.
"""

from __future__ import annotations

import re
from typing import Any

from parity.config import Experiment

_OPTIMIZER = re.compile(r"keras\.optimizers\.\w+\((?P<given>(?:[^()]|\([^()]*\))*)\)")
_LOSS_CLASS = re.compile(r"loss = keras\.losses\.\w+\(reduction='sum'\)")
_LOSS_FUNCTION = re.compile(r"keras\.losses\.(?:mean_squared_error|categorical_crossentropy)\((?P<given>y, p(?=\)))?")
_L2 = re.compile(r"kernel_regularizer=keras\.regularizers\.L2\(lam / (?P<divisor>\w+)\)")
_CONSTANTS = re.compile(r"beta_1=np\.float64\(.*\), beta_2=np\.float64\(.*?\)")

# A loss of Keras' -> its function, and the loss and its gradient in NumPy.
_FUNCTIONS = {
    "MeanSquaredError": "mean_squared_error",
    "CategoricalCrossentropy": "categorical_crossentropy",
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
    "BinaryCrossentropy": "binary_crossentropy",
}
_SUM_SQUARED = "keras.ops.sum(keras.ops.square(y - p), axis=-1)"
_IN_NUMPY = {
    "MeanSquaredError": "loss = np.mean((y - p) ** 2); dp = 2 * (p - y) / p.size",
    "SumSquaredError": "loss = np.sum((y - p) ** 2, axis=-1).mean(); dp = 2 * (p - y) / len(p)",
    "CategoricalCrossentropy": "loss = -np.sum(y * np.log(p), axis=-1).mean(); dz = (p - y) / len(p)",
    "SparseCategoricalCrossentropy": "y = np.eye(C)[labels]; loss = -np.sum(y * np.log(p), axis=-1).mean(); "
    "dz = (p - y) / len(p)",
    "BinaryCrossentropy": "loss = -np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)); dz = (p - y) / p.size",
}
_EXAMPLES_IN_NUMPY = (
    _IN_NUMPY["MeanSquaredError"],
    "loss = np.mean((y - p) ** 2, axis=-1).mean(); dp = 2 * (p - y) / p.size",
    _IN_NUMPY["CategoricalCrossentropy"],
)


def own_words(line: str, experiment: Experiment) -> str:
    """A line of the catalogue's, for Keras or for NumPy, with the experiment's loss, optimizer and penalties in it."""
    loss, optimizer = experiment.loss, experiment.optimizer
    if line in _EXAMPLES_IN_NUMPY:
        return _IN_NUMPY[loss.class_name]
    line = _LOSS_CLASS.sub(lambda _: _summed(loss), line)
    line = _LOSS_FUNCTION.sub(lambda found: _function(found, loss), line)
    line = _L2.sub(lambda found: _divided_l2(found["divisor"], experiment), line)
    return _OPTIMIZER.sub(lambda found: _optimizer(found.group("given"), optimizer), line)


def _divided_l2(divisor: str, experiment: Experiment) -> str:
    """Every regularizer with an l2 that the experiment has, with what else it does; lam is its own l2."""
    found: dict[str, None] = {}
    for place in ("kernel_regularizer", "bias_regularizer", "activity_regularizer"):
        for layer in experiment.layers:
            if getattr(regularizer := getattr(layer, place), "l2", 0.0):
                l1 = getattr(regularizer, "l1", 0.0)
                made = f"L1L2(l1={l1!r}, l2=lam / {divisor})" if l1 else f"L2(lam / {divisor})"
                found[f"{place}=keras.regularizers.{made}"] = None
    return "; ".join(found)


def _settings(config: Any, *leave_out: str) -> dict[str, Any]:
    """What differs from Keras' defaults."""
    return config.model_dump(exclude={"class_name", *leave_out}, exclude_defaults=True)


def _arguments(settings: dict[str, Any]) -> list[str]:
    return [f"{name}={value!r}" for name, value in settings.items()]


def _summed(loss: Any) -> str:
    if loss.class_name == "SumSquaredError":
        return "loss = lambda y, p: keras.ops.sum(keras.ops.square(y - p))"
    arguments = ", ".join([*_arguments(_settings(loss)), "reduction='sum'"])
    return f"loss = keras.losses.{loss.class_name}({arguments})"


def _function(found: re.Match[str], loss: Any) -> str:
    if loss.class_name not in _FUNCTIONS:  # a sum of squares is no function of Keras'
        return _SUM_SQUARED.removesuffix(")") if found["given"] else found.group()
    own = _arguments(_settings(loss, "from_logits")) if found["given"] else []
    return f"keras.losses.{_FUNCTIONS[loss.class_name]}({', '.join([found['given'] or '', *own])}"


def _optimizer(given: str, optimizer: Any) -> str:
    """The experiment's optimizer with these arguments, and with its own settings where they say nothing."""
    if optimizer.class_name != "Adam":
        given = _CONSTANTS.sub(f"momentum=np.float64({getattr(optimizer, 'momentum', 0.0)!r})", given)
    named = set(re.findall(r"(\w+)=", given))
    own = [one for one in _arguments(_settings(optimizer, "learning_rate")) if one.partition("=")[0] not in named]
    return f"keras.optimizers.{optimizer.class_name}({', '.join([given, *own])})"
