"""An experiment's loss as a line of code, for Keras and for NumPy."""

from __future__ import annotations

import ast
from typing import NamedTuple

from parity.config import Experiment

# A loss of Keras' -> its function.
_FUNCTIONS = {
    "MeanSquaredError": "mean_squared_error",
    "CategoricalCrossentropy": "categorical_crossentropy",
    "SparseCategoricalCrossentropy": "sparse_categorical_crossentropy",
    "BinaryCrossentropy": "binary_crossentropy",
}
_WITH_LOGITS = ("softmax", "sigmoid")  # activations whose input Keras takes in place of their output


def call_of(expression: str) -> ast.Call:
    """The call that an expression is."""
    call = ast.parse(expression, mode="eval").body
    if not isinstance(call, ast.Call):
        msg = f"{expression} is no call"
        raise TypeError(msg)
    return call


def keywords_of(call: ast.Call) -> dict[str, str]:
    """Its arguments that are given by name, as they are written."""
    return {str(keyword.arg): ast.unparse(keyword.value) for keyword in call.keywords}


def _settings(experiment: Experiment, *leave_out: str) -> list[str]:
    """What differs from Keras' defaults, as arguments."""
    own = experiment.loss.model_dump(exclude={"class_name", *leave_out}, exclude_defaults=True)
    return [f"{name}={value!r}" for name, value in own.items()]


def summed(_: str, experiment: Experiment) -> str:
    """The loss for `compile`, summed over the batch."""
    if experiment.loss.class_name == "SumSquaredError":
        return "lambda y, p: keras.ops.sum(keras.ops.square(y - p))"
    arguments = ", ".join([*_settings(experiment), "reduction='sum'"])
    return f"keras.losses.{experiment.loss.class_name}({arguments})"


def of_each(general: str, experiment: Experiment) -> str:
    """The loss of each example; targets other than `y` are smoothed already."""
    call = call_of(general)
    targets, output = (ast.unparse(argument) for argument in call.args)
    given = keywords_of(call)
    if experiment.loss.class_name not in _FUNCTIONS:  # a sum of squares is no function of Keras'
        return f"keras.ops.sum(keras.ops.square({targets} - {output}), axis=-1)"
    own = _settings(experiment, *given, *(["label_smoothing"] if targets != "y" else []))
    arguments = ", ".join([targets, output, *(f"{name}={value}" for name, value in given.items()), *own])
    return f"keras.losses.{_FUNCTIONS[experiment.loss.class_name]}({arguments})"


def all_pairs(general: str, experiment: Experiment) -> str:
    """The loss of each output against every target: of a cross-entropy, which is linear in them, against their mean."""
    if experiment.loss.class_name != "BinaryCrossentropy":  # no other is of one output
        return general
    arguments = ", ".join(["keras.ops.zeros_like(p) + keras.ops.mean(y)", "p", *_settings(experiment)])
    return f"keras.losses.binary_crossentropy({arguments})"


def told_log(general: str, experiment: Experiment) -> str:
    """The cross-entropy of probabilities of each example, with the logarithm that `general` takes."""
    calls = (node for node in ast.walk(ast.parse(general)) if isinstance(node, ast.Call))
    log = next(call for call in calls if ast.unparse(call.func) == "keras.ops.log")
    q = ast.get_source_segment(general, log.args[0])  # 1e-8 as it is written
    y, loss = "y", experiment.loss
    if loss.class_name == "SparseCategoricalCrossentropy":
        y = "keras.ops.one_hot(keras.ops.cast(keras.ops.reshape(y, (-1,)), 'int32'), C, dtype=p.dtype)"
    elif smoothing := getattr(loss, "label_smoothing", 0):
        y = f"(y * (1 - {smoothing!r}) + {smoothing!r} / {2 if loss.class_name == 'BinaryCrossentropy' else 'C'})"
    if loss.class_name == "BinaryCrossentropy":  # 1 less q as it is written: of `p + eps` that is `1 - p + eps`
        return f"-keras.ops.mean({y} * keras.ops.log({q}) + (1 - {y}) * keras.ops.log(1 - {q}), axis=-1)"
    return f"-keras.ops.sum({y} * keras.ops.log({q}), axis=-1)"


# In NumPy ----------------------------------------------------------------------------------------------------------


class _InNumPy(NamedTuple):
    before: tuple[str, ...]
    """What the targets, or the probabilities `q`, are first."""
    loss: str
    gradient: str
    """`dp`, or `dz` where the loss is a function of z."""


def skips_activation(experiment: Experiment) -> bool:
    """Whether Keras takes the loss from the logits of the last activation."""
    crossentropy = experiment.loss.class_name.endswith("Crossentropy")
    return crossentropy and experiment.layers[-1].activation in _WITH_LOGITS


def _targets(experiment: Experiment) -> tuple[str, ...]:
    loss = experiment.loss
    if loss.class_name == "SparseCategoricalCrossentropy":
        return ("y = np.eye(C, dtype=p.dtype)[labels]",)
    if not (smoothing := getattr(loss, "label_smoothing", 0)):
        return ()
    classes = 2 if loss.class_name == "BinaryCrossentropy" else "C"
    return (f"y = y * (1 - {smoothing!r}) + {smoothing!r} / {classes}",)


def _crossentropy(experiment: Experiment) -> _InNumPy:
    """Of z where the output comes from a softmax or a sigmoid, of the output where it is said to be logits, or of p."""
    output, binary = experiment.layers[-1].activation, experiment.loss.class_name == "BinaryCrossentropy"
    own = "sigmoid" if binary else "softmax"
    size = "p.size" if binary else "len(p)"
    q, before = "q", _targets(experiment)
    if skips_activation(experiment):
        q, before = ("p", before) if output == own else ("q", (*before, f"q = {own}(z)"))
        gradient = f"dz = ({q} - y) / {size}"
    elif getattr(experiment.loss, "from_logits", False):
        before = (*before, f"q = {own}(p)")
        gradient = f"{'dz' if output == 'linear' else 'dp'} = (q - y) / {size}"
    elif binary:
        q, gradient = "p", "dp = (p - y) / (p * (1 - p)) / p.size"
    else:  # Keras has the outputs sum to 1
        before = (*before, "q = p / p.sum(axis=-1, keepdims=True)")
        gradient = "dp = (1 - y / q) / p.sum(axis=-1, keepdims=True) / len(p)"
    if binary:
        return _InNumPy(before, f"loss = -np.mean(y * np.log({q}) + (1 - y) * np.log(1 - {q}))", gradient)
    return _InNumPy(before, f"loss = -np.sum(y * np.log({q}), axis=-1).mean()", gradient)


def _in_numpy(experiment: Experiment) -> _InNumPy:
    if experiment.loss.class_name == "MeanSquaredError":
        return _InNumPy((), "loss = np.mean((y - p) ** 2)", "dp = 2 * (p - y) / p.size")
    if experiment.loss.class_name == "SumSquaredError":
        return _InNumPy((), "loss = np.sum((y - p) ** 2, axis=-1).mean()", "dp = 2 * (p - y) / len(p)")
    return _crossentropy(experiment)


def loss_and_gradient(_: str, experiment: Experiment) -> str:
    """The loss, and the derivative that backpropagation begins with."""
    found = _in_numpy(experiment)
    return "; ".join([*found.before, found.loss, found.gradient])


def gradient(_: str, experiment: Experiment) -> str:
    """The derivative alone."""
    found = _in_numpy(experiment)
    return "; ".join([*found.before, found.gradient])


def from_logits(general: str, experiment: Experiment) -> str:
    """A cross-entropy of z that no z overflows, and its derivative by z."""
    targets = [line.replace("p.dtype", "z.dtype") for line in _targets(experiment)]
    if experiment.loss.class_name == "BinaryCrossentropy":
        loss = "loss = np.mean(np.maximum(z, 0) - y * z + np.log1p(np.exp(-np.abs(z)))); dz = (sigmoid(z) - y) / z.size"
        return "; ".join([*targets, loss])
    return "; ".join([*targets, general])


def clipped(general: str, experiment: Experiment) -> str:
    """A cross-entropy of probabilities, without a derivative where p was clipped.

    Keras has them sum to 1 before it clips them, and after it where the targets are labels.
    """
    lines = {
        "BinaryCrossentropy": (
            "q = np.clip(p, 1e-7, 1 - 1e-7)",
            "loss = -np.mean(y * np.log(q) + (1 - y) * np.log(1 - q))",
            "dp = np.where(q == p, (q - y) / (q * (1 - q)), 0) / p.size",
        ),
        "SparseCategoricalCrossentropy": (
            "q = np.clip(p, 1e-7, 1 - 1e-7)",
            "loss = -np.sum(y * np.log(q / q.sum(axis=-1, keepdims=True)), axis=-1).mean()",
            "dp = np.where(q == p, 1 / q.sum(axis=-1, keepdims=True) - y / q, 0) / len(p)",
        ),
        "CategoricalCrossentropy": (
            "total = p.sum(axis=-1, keepdims=True)",
            "q = np.clip(p / total, 1e-7, 1 - 1e-7)",
            "loss = -np.sum(y * np.log(q), axis=-1).mean()",
            "dq = np.where(q == p / total, -y / q, 0) / len(p)",
            "dp = (dq - (dq * p / total).sum(axis=-1, keepdims=True)) / total",
        ),
    }
    return "; ".join([*_targets(experiment), *lines.get(experiment.loss.class_name, (general,))])
