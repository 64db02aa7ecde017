"""Regularizers: the oracle is `keras.regularizers`, and `tf.GradientTape` through it."""

from __future__ import annotations

import numpy as np

from keras_ref.runtime import keras, set_precision, tf
from parity.budget.rounding import gamma, underflow, unit_roundoff
from scratch_net.regularizers import REGULARIZERS
from tests.suite.laws import law

SHAPES = ((7, 5), (1, 1), (64,))


def made(said):
    return REGULARIZERS[said["class_name"]](**parameters(said))


def parameters(said):
    return {name: value for name, value in said.items() if name != "class_name"}


def weights(shape, dtype):
    w = np.random.default_rng(1).standard_normal(shape)
    if w.size > 4:
        w.reshape(-1)[:4] = [0.0, -0.0, 1e-200, -1e5]
    return w.astype(dtype)


def of_keras(said, w):
    given = tf.constant(w)
    with tf.GradientTape() as tape:
        tape.watch(given)
        penalty = getattr(keras.regularizers, said["class_name"])(**parameters(said))(given)
        penalty = penalty + 0 * given[(0,) * len(w.shape)]  # a factor of 0 may leave the weight out
    return penalty.numpy(), tape.gradient(penalty, given).numpy()


@law("regularizers")
def the_penalty_is_keras_s(said, precision):
    set_precision(precision)
    u = unit_roundoff(precision)
    for shape in SHAPES:
        w = weights(shape, precision)
        expected, _ = of_keras(said, w)
        assert abs(made(said).penalty(w) - expected) <= 2 * (gamma(w.size, u) + 6 * u) * expected, shape


@law("regularizers")
def the_gradient_is_keras_s(said, precision):
    set_precision(precision)
    for shape in SHAPES:
        w = weights(shape, precision)
        _, expected = of_keras(said, w)
        allowed = 6 * unit_roundoff(precision) * np.abs(expected) + 6 * underflow(precision)
        assert (np.abs(made(said).gradient(w) - expected) <= allowed).all(), shape


@law("regularizers", precisions=("float64",))
def the_gradient_is_the_slope_of_the_penalty(said, precision):
    """No oracle. The penalty is at most quadratic: differences are off by rounding alone, u / h."""
    ours, h = made(said), 1e-6
    w = np.random.default_rng(2).standard_normal((3, 2))
    for index in np.ndindex(w.shape):
        step = np.zeros_like(w)
        step[index] = h
        slope = (ours.penalty(w + step) - ours.penalty(w - step)) / (2 * h)
        assert abs(ours.gradient(w)[index] - slope) <= 1e-8


@law("regularizers")
def the_dtype_is_kept_and_the_weight_left_alone(said, precision):
    ours, w = made(said), np.clip(weights((7, 5), precision), -10, 10)
    kept = w.copy()
    assert ours.penalty(w).dtype == ours.gradient(w).dtype == precision
    assert w.tobytes() == kept.tobytes()
