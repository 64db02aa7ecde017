"""Initial weights have the spread that their authors derived.

That every draw is Keras' to the last bit is tested in tests/keras_ref/test_build.py.
"""

from __future__ import annotations

import numpy as np
import pytest

from parity.config.philox import KerasRandom
from scratch_net.initializers import DETERMINISTIC, INITIALIZERS, RANDOM

SHAPE = (120, 80)

# name -> parameters, mean, variance, largest size (None: unbounded)
LAWS = {
    "GlorotUniform": ({}, 0, 2 / 200, np.sqrt(6 / 200)),
    "GlorotNormal": ({}, 0, 2 / 200, 2 * np.sqrt(2 / 200) / 0.8796256610342398),
    "HeUniform": ({}, 0, 2 / 120, np.sqrt(6 / 120)),
    "HeNormal": ({}, 0, 2 / 120, 2 * np.sqrt(2 / 120) / 0.8796256610342398),
    "LecunUniform": ({}, 0, 1 / 120, np.sqrt(3 / 120)),
    "LecunNormal": ({}, 0, 1 / 120, 2 * np.sqrt(1 / 120) / 0.8796256610342398),
    "RandomNormal": ({"mean": 0.5, "stddev": 2.0}, 0.5, 4, None),
    "TruncatedNormal": ({"mean": 0.0, "stddev": 2.0}, 0, 4 * 0.8796256610342398**2, 4),
    "RandomUniform": ({"minval": -1.0, "maxval": 3.0}, 1, 16 / 12, 3),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", RANDOM)
def test_mean_variance_and_limits(name, dtype):
    parameters, mean, variance, limit = LAWS[name]
    drawn = INITIALIZERS[name](SHAPE, np.dtype(dtype), KerasRandom(17, dtype), **parameters)
    assert drawn.shape == SHAPE
    assert drawn.dtype == dtype
    n = drawn.size
    assert drawn.mean() == pytest.approx(mean, abs=5 * np.sqrt(variance / n))  # five standard errors
    assert drawn.var() == pytest.approx(variance, rel=5 * np.sqrt(2 / n))
    if limit is not None:
        assert np.abs(drawn).max() <= limit * (1 + 1e-6)
        assert np.abs(drawn).max() >= 0.97 * limit


def test_a_bias_counts_its_length_as_both_fans():
    drawn = INITIALIZERS["GlorotUniform"]((5000,), np.dtype("float64"), KerasRandom(1, "float64"))
    assert np.abs(drawn).max() <= np.sqrt(6 / 10_000)
    assert drawn.var() == pytest.approx(2 / 10_000, rel=0.1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_those_without_chance(dtype):
    found = {
        name: INITIALIZERS[name](SHAPE, np.dtype(dtype), None, **({"value": 0.1} if name == "Constant" else {}))
        for name in DETERMINISTIC
    }
    assert {name: float(array[0, 0]) for name, array in found.items()} == {
        "Zeros": 0,
        "Ones": 1,
        "Constant": float(np.float32(0.1)),  # Keras rounds it
    }
    for array in found.values():
        assert array.shape == SHAPE
        assert array.dtype == dtype
        assert (array == array[0, 0]).all()


def test_every_initializer_has_its_law():
    assert set(RANDOM) == set(LAWS)
    assert set(INITIALIZERS) == set(RANDOM) | set(DETERMINISTIC)
