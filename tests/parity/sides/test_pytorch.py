"""PyTorch from the same config: the same network, its own optimizers, and each of their choices named."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from parity.config import validate
from parity.errors import UsageError
from parity.result import Meaning
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
    assert {key.phase for run in result.runs for lane, key in run.summaries if lane == "local"} > {"forward", "update"}


def test_a_product_that_is_added_unrounded_is_another_order():
    """`w - rate g` in one operation; with a power of two for a rate, as above, it is the same."""
    data = {"source": "regression", "features": 3, "samples": 30, "targets": 2}
    layers, sgd = [{"units": 4, "activation": "sigmoid"}, {"units": 2}], {"class_name": "SGD", "learning_rate": 0.01}
    result = judged(data=data, layers=layers, loss="mean_squared_error", optimizer=sgd)
    assert (result.verdict, result.meaning) == (Verdict.DIVERGED, Meaning.ORDER)
    assert result.first_divergence.key.phase == "update"


def test_beside_keras_in_one_process(tmp_path):
    """TensorFlow's LLVM and that of PyTorch's triton do not go together in any order."""
    (tmp_path / "experiment.json").write_text(json.dumps(TABLE | {"steps": 2}))
    command = [sys.executable, "-m", "parity", "diff", tmp_path / "experiment.json", "--candidate", "torch", "-q"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("PARITY")


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
    assert judged(**settings, optimizer={"class_name": "SGD", "learning_rate": 2.0**-7}).verdict is Verdict.PARITY


def test_what_it_does_not_translate_is_said_by_name():
    with pytest.raises(UsageError, match="activity_regularizer"):
        judged(layers=[{"units": 10, "activation": "softmax", "activity_regularizer": "l2"}])
