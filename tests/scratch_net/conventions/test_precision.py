"""A float64 network that computes in float32: float32 numbers, as far from float64's as float32's are."""

from __future__ import annotations

import numpy as np
import pytest

from parity.protocol import Key
from scratch_net.conventions.precision import rounded
from tests.scratch_net.conventions.networks import NETWORKS, steps

FLOAT32 = {"precision.compute": "float32"}
U = float(np.finfo("float32").eps) / 2


@pytest.mark.parametrize("name", NETWORKS)
def test_everything_told_is_a_float32_number_in_float64(name):
    for one in steps(name, FLOAT32)[0]:
        for key, array in one.arrays.items():
            summed = key.tensor == "loss" and key.part == "penalty"  # what is told of the penalties' sum alone
            if key.phase == "batch" or summed or array.dtype.kind != "f":
                continue
            assert array.dtype == np.float64
            assert np.array_equal(array, array.astype(np.float32)), key


def test_the_first_product_is_off_by_three_roundings_at_most():
    """Of inputs, weights and result; the sum of four products itself is off by float64's few 1e-16."""
    (ours, *_), _ = steps("relu", FLOAT32)
    (exact, *_), _ = steps("relu", {})
    key = Key("forward", "dense/pre_activation")
    x, kernel = ours.arrays[Key("batch", "x")][0], ours.before[Key("update", "dense/kernel")]
    assert not np.array_equal(kernel, kernel.astype(np.float32))
    apart = np.abs(ours.arrays[key] - exact.arrays[key])
    assert (apart <= ((1 + U) ** 3 - 1 + 1e-14) * (np.abs(x) @ np.abs(kernel))).all()
    assert apart.max() > 0
    assert np.array_equal(ours.arrays[key][0], rounded(rounded(x) @ rounded(kernel)))


def test_rounded_keeps_what_is_no_float64():
    labels, half = np.arange(3, dtype=np.int32), np.float32(0.1)
    assert rounded(labels) is labels
    assert rounded(half) is half
    assert rounded(None) is None
    assert rounded({"a": (None, np.float64(0.1))}) == {"a": (None, np.float64(np.float32(0.1)))}
