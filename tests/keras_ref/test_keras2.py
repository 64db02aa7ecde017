"""Keras 2 beside Keras 3 in one process: did upgrading change my training?"""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest

from parity.config import validate
from parity.data import load_dataset
from parity.run import diff
from parity.verdict import Verdict

pytestmark = [
    # Looked for, not imported: TensorFlow has to be started by `keras_ref.runtime`.
    pytest.mark.skipif(
        importlib.util.find_spec("tf_keras") is None,
        reason="Keras 2 is not installed: pip install 'keras-parity[keras2]'",
    ),
    pytest.mark.usefixtures("runtime"),
]

TABLE = {
    "data": {"source": "digits", "scale": 16, "samples": 48},
    "layers": [
        {"units": 12, "activation": "relu", "kernel_regularizer": {"l2": 0.01}},
        {"units": 10, "activation": "softmax"},
    ],
    "loss": "sparse_categorical_crossentropy",
    "optimizer": {"class_name": "Adam", "learning_rate": 0.01},
    "batch_size": 20,
    "steps": 6,
}


def test_the_upgrade_changed_where_lambda_is_rounded_and_nothing_else():
    result = diff(validate(TABLE), reference="keras2", candidate="keras")
    assert [run.verdict for run in result.runs] == [Verdict.DIVERGED, Verdict.PARITY]
    assert [str(cause) for cause in result.diagnosis.causes] == ["l2.constant=float32"]


@pytest.mark.parametrize(
    "optimizer",
    [
        {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.5, "nesterov": True},
        {"class_name": "RMSprop", "learning_rate": 0.001, "centered": True},
    ],
    ids=lambda optimizer: optimizer["class_name"],
)
def test_without_a_penalty_they_train_the_same(optimizer):
    layers = [{"units": 12, "activation": "tanh"}, {"units": 10, "activation": "softmax"}]
    result = diff(validate(TABLE | {"layers": layers, "optimizer": optimizer}), reference="keras2", candidate="keras")
    assert result.verdict is Verdict.PARITY


def test_looking_changes_nothing():
    """The side's weights are those of `train_on_batch`, to the last bit."""
    from keras_ref.keras2 import Keras2Side, build

    experiment = validate(TABLE)
    dataset = load_dataset(experiment).astype("float32")
    random = np.random.default_rng(0)
    shapes = {"dense/kernel": (64, 12), "dense/bias": (12,), "dense_1/kernel": (12, 10), "dense_1/bias": (10,)}
    weights = {name: random.normal(scale=0.1, size=shape).astype("float32") for name, shape in shapes.items()}
    side = Keras2Side()
    side.start(experiment, weights)
    plain = build(experiment, 64, "float32")
    plain.set_weights(list(weights.values()))
    for begin in (0, 20, 40):
        x, y = dataset.x[begin : begin + 20], dataset.y[begin : begin + 20]
        assert side.step(x, y)["loss"] == pytest.approx(plain.train_on_batch(x, y), rel=1e-6)
    for told, expected in zip(side.weights().values(), plain.get_weights(), strict=True):
        assert np.array_equal(told, expected)
