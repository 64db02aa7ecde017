"""Constants that TensorFlow takes for zero, with Keras itself as the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config import validate
from parity.run import diff
from parity.verdict import Verdict
from scratch_net.constants import keras_constant, normal

SMALLEST = {dtype: float(np.finfo(dtype).smallest_normal) for dtype in ("float32", "float64")}
LARGE = {"class_name": "Constant", "value": 100.0}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("times", "kept"), [(1.0, True), (0.99, False), (1e-3, False), (2.0, True), (0.0, True)])
@pytest.mark.parametrize("sign", [1, -1])
def test_what_is_smaller_than_any_normal_number_is_zero(dtype, times, kept, sign):
    value = sign * times * SMALLEST[dtype]
    assert normal(value, np.dtype(dtype)) == (np.dtype(dtype).type(value) if kept else 0)
    assert normal(value, np.dtype(dtype)).dtype == dtype


def test_a_constant_of_keras_is_a_float32_before_anything_else():
    assert keras_constant(0.1, "float64") == float(np.float32(0.1))
    assert keras_constant(1e-39, "float64") == 0


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize(
    "changed",
    [
        {"layers": [{"units": 3, "kernel_initializer": LARGE, "kernel_regularizer": {"l2": 1e-39}}, {"units": 1}]},
        {"layers": [{"units": 3, "kernel_initializer": LARGE, "kernel_regularizer": {"l1": 1e-39}}, {"units": 1}]},
        {"optimizer": {"class_name": "Adam", "epsilon": 1e-40}, "precision": "float32"},
        {"optimizer": {"class_name": "Adam", "epsilon": 1e-310}, "precision": "float64"},
        {"optimizer": {"class_name": "RMSprop", "epsilon": 1e-40}, "precision": "float32"},
    ],
    ids=lambda changed: str(changed)[:60],
)
def test_keras_and_the_network_take_the_same_for_zero(changed):
    table = {
        "data": {"source": "regression", "features": 4, "samples": 16},
        "layers": [{"units": 3, "activation": "tanh"}, {"units": 1}],
        "loss": "mse",
        "optimizer": {"class_name": "SGD", "learning_rate": 0.01},
        "batch_size": 4,
        "steps": 3,
    }
    result = diff(validate(table | changed))
    assert result.verdict is Verdict.PARITY, result.first_divergence
