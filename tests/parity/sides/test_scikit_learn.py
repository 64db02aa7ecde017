"""The independent positive control: what scikit-learn trains by its own code is what Keras trains."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config import validate
from parity.errors import UsageError
from parity.run import diff
from parity.verdict import Verdict

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'keras-parity[sklearn]'")

L2 = 2.0**-7  # exact in float32, so that Keras' rounding of lambda changes nothing
TABLE = {
    "data": {"source": "digits", "scale": 16, "samples": 48},
    "layers": [
        {"units": 12, "activation": "tanh", "kernel_regularizer": {"l2": L2}},
        {"units": 10, "activation": "softmax", "kernel_regularizer": {"l2": L2}},
    ],
    "loss": "sparse_categorical_crossentropy",
    "optimizer": {"class_name": "SGD", "learning_rate": 0.125},
    "batch_size": 20,
    "steps": 8,
    "precision": "float64",
}
BINARY = {
    "data": {"source": "classification", "features": 5, "samples": 40, "classes": 2},
    "layers": [{"units": 6, "activation": "relu"}, {"units": 1, "activation": "sigmoid"}],
    "loss": "binary_crossentropy",
}
ONE_HOT = {"data": {"source": "digits", "scale": 16, "samples": 48, "one_hot": 10}, "loss": "categorical_crossentropy"}
REGRESSION = {
    "data": {"source": "regression", "features": 5, "samples": 40},
    "layers": [{"units": 6, "activation": "sigmoid"}, {"units": 1}],
    "loss": "mean_squared_error",
}


def judged(reference="scratch", **settings):
    return diff(validate(TABLE | settings), reference=reference, candidate="sklearn")


def causes(result) -> list[str]:
    return sorted(str(cause) for cause in result.diagnosis.causes) if result.diagnosis else []


def furthest(result) -> float:
    return float(result.frame["absolute"].max())


@pytest.mark.usefixtures("runtime")
def test_it_agrees_with_keras_to_the_last_digits():
    """With `l2 = alpha / (2 * batch)`, the smaller last batch included."""
    result = judged("keras")
    assert result.verdict is Verdict.PARITY
    assert furthest(result) <= 2e-15  # a few units in the last place of numbers near 1 to 4


@pytest.mark.parametrize(
    "settings",
    [
        {"optimizer": {"class_name": "SGD", "learning_rate": 0.125, "momentum": 0.5}},
        {"optimizer": {"class_name": "SGD", "learning_rate": 0.125, "momentum": 0.5, "nesterov": True}},
        {"precision": "float32"},
        BINARY,
        ONE_HOT,
    ],
    ids=["momentum", "nesterov", "float32", "binary", "one-hot"],
)
def test_parity(settings):
    assert judged(**settings).verdict is Verdict.PARITY


def test_its_adam_keeps_its_betas_in_double_precision():
    result = judged(optimizer={"class_name": "Adam", "learning_rate": 0.01})
    assert causes(result) == ["optimizer.constants=exact"]
    assert (
        judged(optimizer={"class_name": "Adam", "learning_rate": 0.01}, precision="float32").verdict is Verdict.PARITY
    )


def test_a_lambda_that_float32_rounds_is_named():
    layers = [dict(layer, kernel_regularizer={"l2": 0.01}) for layer in TABLE["layers"]]
    assert causes(judged(layers=layers)) == ["l2.constant=exact"]


def test_its_squared_loss_is_half_of_the_mean_squared_error():
    assert causes(judged(**REGRESSION)) == ["loss.factor=half"]


LAST = TABLE["layers"][1]
RELU, TANH = ({"units": 3, "activation": name} for name in ("relu", "tanh"))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"optimizer": "rmsprop"}, "it has SGD, and Adam"),
        ({**ONE_HOT, "loss": "mse"}, "layers.1.activation = softmax; of MeanSquaredError it is linear"),
        ({"layers": [{**RELU, "use_bias": False}, LAST]}, "use_bias = false"),
        ({"layers": [RELU, TANH, LAST]}, "share one"),
        ({"layers": [RELU, LAST]}, "it has one l2 for all kernels"),
        ({"layers": [{**LAST, "activity_regularizer": "l2"}]}, "it penalises kernels"),
    ],
)
def test_what_it_cannot_express_is_said_by_name(settings, said):
    with pytest.raises(UsageError, match=said):
        judged(**settings)


def test_as_a_reference_that_tells_little_it_is_measured_and_not_judged():
    result = diff(validate(TABLE), reference="sklearn", candidate="scratch")
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert result.crash is None
    assert furthest(result) <= 2e-15
    assert any("the reference does not record" in item.why for item in result.not_compared if item.what == "local lane")


def test_one_hot_targets_have_to_be_that():
    from parity.sides.scikit_learn import ScikitLearnSide

    side = ScikitLearnSide()
    config = validate(TABLE | ONE_HOT)
    weights = {"dense/kernel": np.zeros((64, 12)), "dense/bias": np.zeros(12)}
    side.start(config, weights | {"dense_1/kernel": np.zeros((12, 10)), "dense_1/bias": np.zeros(10)})
    with pytest.raises(UsageError, match="not one-hot"):
        side.step(np.zeros((2, 64)), np.full((2, 10), 0.1))
