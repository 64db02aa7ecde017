"""Every regularizer against `keras.regularizers` in float64, and against central differences."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ref.runtime import keras, set_precision, tf
from parity.budget.rounding import gamma, unit_roundoff
from parity.config import regularizers as config
from scratch_net.regularizers import REGULARIZERS, keras_constant

VARIANTS = {
    "L1": ("L1", {"l1": 0.01}),
    "L2": ("L2", {"l2": 0.01}),
    "L1L2": ("L1L2", {"l1": 0.03, "l2": 0.007}),
    "L1L2, L1 alone": ("L1L2", {"l1": 0.03, "l2": 0.0}),
    "L1L2, L2 alone": ("L1L2", {"l1": 0.0, "l2": 0.007}),
    "L1L2, nothing": ("L1L2", {"l1": 0.0, "l2": 0.0}),
    "L2 of factor 0": ("L2", {"l2": 0.0}),
}


def _weights(shape=(7, 5)):
    w = np.random.default_rng(1).standard_normal(shape)
    w.reshape(-1)[:4] = [0.0, -0.0, 1e-200, -1e5]
    return w


@pytest.mark.parametrize("shape", [(7, 5), (1, 1), (64,)])
@pytest.mark.parametrize("variant", VARIANTS)
def test_penalty_and_gradient_are_keras_s(variant, shape):
    name, parameters = VARIANTS[variant]
    set_precision("float64")
    w = _weights(shape) if np.prod(shape) > 4 else np.full(shape, -0.3)
    given = tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch(given)
        expected = getattr(keras.regularizers, name)(**parameters)(given) + 0 * given[(0,) * len(shape)]
    slope = tape.gradient(expected, given).numpy()
    ours, u = REGULARIZERS[name](**parameters), unit_roundoff("float64")
    assert abs(ours.penalty(w) - expected.numpy()) <= 2 * (gamma(w.size, u) + 6 * u) * expected.numpy()
    np.testing.assert_allclose(ours.gradient(w), slope, rtol=6 * u, atol=0)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradient_is_the_slope_of_the_penalty(variant):
    name, parameters = VARIANTS[variant]
    ours, h = REGULARIZERS[name](**parameters), 1e-6
    w = np.random.default_rng(2).standard_normal((3, 2))
    for index in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[index] = h
        slope = (ours.penalty(w + step) - ours.penalty(w - step)) / (2 * h)
        assert ours.gradient(w)[index] == pytest.approx(slope, abs=1e-8)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_dtype_is_kept_and_the_weight_left_alone(variant, dtype):
    name, parameters = VARIANTS[variant]
    ours, w = REGULARIZERS[name](**parameters), np.clip(_weights(), -10, 10).astype(dtype)
    kept = w.copy()
    assert ours.penalty(w).dtype == ours.gradient(w).dtype == dtype
    np.testing.assert_array_equal(w, kept)


def test_lambda_goes_through_float32_as_in_keras():
    assert keras_constant(0.01, "float64") == 0.009999999776482582
    assert REGULARIZERS["L2"](0.01).gradient(np.ones(1))[0] == 2 * np.float64(np.float32(0.01))


def test_every_regularizer_is_in_the_table():
    assert set(REGULARIZERS) == {name for name, _ in VARIANTS.values()} == {cls.__name__ for cls in config.CLASSES}
