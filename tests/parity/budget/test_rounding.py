"""The model of rounding errors, held against what the elementary functions really do on this machine.

The oracle is NumPy's extended precision (64 bits of mantissa on x86); where there is none, float32 alone is measured.
"""

from __future__ import annotations

import numpy as np
import pytest

from keras_ref.runtime import tf
from parity.budget.rounding import ELEMENTARY_ULPS, RSQRT_ROUNDOFFS, gamma, underflow, unit_roundoff
from scratch_net.activations import Sigmoid

EXTENDED = np.finfo(np.longdouble).nmant >= 63
PRECISIONS = ["float32", pytest.param("float64", marks=pytest.mark.skipif(not EXTENDED, reason="no longdouble"))]
UNITS = [2.0**-24, 2.0**-53]


def _wide(dtype):
    """Numbers from -700 to 700, and densely those around zero."""
    random = np.random.default_rng(3)
    return np.concatenate([random.uniform(-limit, limit, 100_000) for limit in (700, 20, 1, 1e-3)]).astype(dtype)


def _positive(dtype):
    random = np.random.default_rng(4)
    near_one = 1 + random.uniform(-0.5, 0.5, 100_000)
    return np.concatenate([10 ** random.uniform(-30, 30, 100_000), near_one]).astype(dtype)


def _sigmoid(z):
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def _tail(z):
    return np.log1p(np.exp(-np.abs(z)))


# function -> arguments, exact, TensorFlow's, NumPy's
FUNCTIONS = {
    "exp": (lambda dtype: -np.abs(_wide(dtype)), np.exp, tf.exp, np.exp),
    "log": (_positive, np.log, tf.math.log, np.log),
    "log1p": (_wide, _tail, lambda z: tf.math.log1p(tf.exp(-tf.abs(z))), _tail),
    "sigmoid": (_wide, _sigmoid, tf.sigmoid, Sigmoid().forward),
    "tanh": (_wide, np.tanh, tf.tanh, np.tanh),
}


def _ulps(found, exact, dtype):
    """The largest error in units of the last place of the exact result, where that is a normal number."""
    normal = np.abs(exact) > 2 * underflow(dtype)
    exact = exact[normal]
    place = np.spacing(np.abs(exact).astype(dtype)).astype(np.longdouble)
    return float((np.abs(np.asarray(found)[normal].astype(np.longdouble) - exact) / place).max())


@pytest.mark.parametrize("dtype", PRECISIONS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_stay_below_the_table(name, dtype):
    arguments, exact, of_tensorflow, of_numpy = FUNCTIONS[name]
    x = arguments(dtype)
    wide = np.float64 if dtype == "float32" else np.longdouble
    expected = exact(x.astype(wide)).astype(np.longdouble)
    measured = [_ulps(found, expected, dtype) for found in (of_tensorflow(tf.constant(x)), of_numpy(x))]
    assert sum(measured) <= ELEMENTARY_ULPS[name], measured
    assert sum(measured) >= ELEMENTARY_ULPS[name] / 50, "so far below the table that the measuring is in doubt"


@pytest.mark.parametrize("dtype", PRECISIONS)
def test_tensorflow_s_rsqrt_stays_below_its_bound(dtype):
    x = _positive(dtype)
    exact = 1 / np.sqrt(x.astype(np.longdouble))
    found = tf.math.rsqrt(tf.constant(x)).numpy().astype(np.longdouble)
    assert (np.abs(found - exact) / exact).max() <= RSQRT_ROUNDOFFS * unit_roundoff(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_plus_minus_times_divided_and_root_are_correctly_rounded_on_both_sides(dtype):
    random = np.random.default_rng(5)
    a, b = (random.uniform(0.1, 10, 100_000).astype(dtype) for _ in "ab")
    for operation in (lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b, lambda a, b: a / b):
        np.testing.assert_array_equal(operation(tf.constant(a), tf.constant(b)).numpy(), operation(a, b))
    np.testing.assert_array_equal(tf.sqrt(tf.constant(a)).numpy(), np.sqrt(a))


def test_every_function_of_the_table_is_measured():
    assert set(FUNCTIONS) == set(ELEMENTARY_ULPS)


@pytest.mark.parametrize("n", [2, 30, 784, 4096])
def test_real_sums_err_by_less_than_gamma(n):
    """Sums of terms of both signs in float32, by NumPy and by TensorFlow; exact ones in float64."""
    random = np.random.default_rng(n)
    a, b = random.standard_normal((64, n)).astype("f4"), random.standard_normal((n, 32)).astype("f4")
    exact, size = a.astype("f8") @ b.astype("f8"), np.abs(a).astype("f8") @ np.abs(b).astype("f8")
    for found in (a @ b, (tf.constant(a) @ tf.constant(b)).numpy()):
        assert (np.abs(found - exact) <= gamma(n, UNITS[0]) * size).all()
    one_by_one = np.zeros(64, "f4")
    for column in a.T:
        one_by_one += column
    assert (np.abs(one_by_one - a.astype("f8").sum(1)) <= gamma(n, UNITS[0]) * np.abs(a).astype("f8").sum(1)).all()
