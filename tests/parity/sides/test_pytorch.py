"""PyTorch from the same config: the same network, its own optimizers, and each of their choices named."""

from __future__ import annotations

import pytest

from parity.config import validate
from parity.errors import UsageError
from parity.run import diff
from parity.verdict import Verdict

pytest.importorskip("torch", reason="PyTorch is not installed (gigabytes): pip install 'keras-parity[torch]'")

TABLE = {
    "data": {"source": "digits", "scale": 16, "samples": 48},
    "layers": [
        {"units": 12, "activation": "tanh", "kernel_regularizer": {"l2": 2.0**-7}},
        {"units": 10, "activation": "softmax", "kernel_regularizer": {"l1": 2.0**-9, "l2": 2.0**-7}},
    ],
    "loss": "sparse_categorical_crossentropy",
    "optimizer": {"class_name": "SGD", "learning_rate": 0.125},
    "batch_size": 20,
    "steps": 8,
    "precision": "float64",
}


def judged(reference="scratch", candidate="torch", **settings):
    return diff(validate(TABLE | settings), reference=reference, candidate=candidate)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("sides", [("scratch", "torch"), ("torch", "scratch")], ids=" ".join)
def test_plain_gradient_descent_is_the_same_on_either_side(precision, sides):
    result = judged(*sides, precision=precision)
    assert result.verdict is Verdict.PARITY
    replayed = {key.phase for run in result.runs for lane, key in run.summaries if lane == "local"}
    assert ("forward" in replayed) is (sides[0] == "torch")


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ({"class_name": "Adam", "learning_rate": 0.01}, ["adam.epsilon=textbook", "optimizer.constants=exact"]),
        ({"class_name": "RMSprop", "learning_rate": 0.001}, ["rmsprop.epsilon=outside"]),
    ],
    ids=["Adam", "RMSprop"],
)
def test_its_optimizers_make_choices_of_their_own(optimizer, expected):
    assert sorted(str(cause) for cause in judged(optimizer=optimizer).diagnosis.causes) == expected


@pytest.mark.parametrize(
    ("layers", "loss", "data"),
    [
        ([{"units": 4, "activation": "sigmoid"}, {"units": 2}], "mean_squared_error", {"targets": 2}),
        ([{"units": 4, "activation": "relu", "use_bias": False}, {"units": 2}], "sum_squared_error", {"targets": 2}),
    ],
)
def test_losses(layers, loss, data):
    settings = {"layers": layers, "loss": loss, "data": {"source": "regression", "features": 3, "samples": 30, **data}}
    assert judged(**settings, optimizer={"class_name": "SGD", "learning_rate": 0.01}).verdict is Verdict.PARITY


def test_what_it_does_not_translate_is_said_by_name():
    with pytest.raises(UsageError, match="activity_regularizer"):
        judged(layers=[{"units": 10, "activation": "softmax", "activity_regularizer": "l2"}])
