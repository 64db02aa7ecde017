"""Activations: what they share with the losses is worked out once, and is never that of other numbers."""

from __future__ import annotations

import numpy as np
import pytest

from scratch_net.activations import ACTIVATIONS, sigmoid, softmax, softmax_parts
from scratch_net.layers import Dense
from scratch_net.losses import CategoricalCrossentropy
from scratch_net.network import Network
from scratch_net.optimizers import SGD


@pytest.mark.parametrize(("dtype", "lowest"), [("float32", 88), ("float64", 709)])
def test_a_sigmoid_has_all_its_digits_as_far_as_its_exponential_reaches(dtype, lowest):
    z = np.linspace(-lowest, lowest, 200_001).astype(dtype)
    found, exact = sigmoid(z), 1 / (1 + np.exp(-z.astype(np.longdouble)))
    assert found.dtype == dtype
    normal = found >= np.finfo(dtype).smallest_normal
    assert normal.mean() > 0.99
    assert (np.abs(found - exact)[normal] <= 6 * np.spacing(found)[normal]).all()  # ELEMENTARY_ULPS, less Keras' half
    assert (np.abs(found - exact) <= np.maximum(6 * np.spacing(found), np.finfo(dtype).smallest_normal)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sigmoid_is_quiet_beyond_that(dtype):
    z = np.array([-np.inf, -1e4, -750, 0.0, -0.0, 1e-40, 750, np.inf, np.nan], dtype)
    with np.errstate(all="raise", under="ignore"):
        found = sigmoid(z)
    np.testing.assert_array_equal(found, np.array([0, 0, 0, 0.5, 0.5, 0.5, 1, 1, np.nan], dtype))


def logits(*, frozen):
    z = np.random.default_rng(1).standard_normal((4, 3))
    z.flags.writeable = not frozen
    return z


def test_what_a_softmax_is_made_of_is_worked_out_once_for_an_array_that_cannot_change():
    z = logits(frozen=True)
    assert softmax_parts(z) is softmax_parts(z)
    assert not any(part.flags.writeable for part in softmax_parts(z))
    other = logits(frozen=True)
    assert softmax_parts(other) is not softmax_parts(z)


@pytest.mark.parametrize("view", [False, True])
def test_an_array_that_can_change_is_asked_again(view):
    z = whole = logits(frozen=False)
    if view:  # read-only itself, of numbers that somebody else can change
        z = whole[:]
        z.flags.writeable = False
    before = softmax(z)
    whole[0, 0] += 1
    assert (softmax(z) != before).any()
    np.testing.assert_allclose(softmax(z).sum(axis=-1), 1, rtol=1e-15)


def test_a_step_takes_the_exponentials_of_its_logits_once(monkeypatch):
    random, taken = np.random.default_rng(2), []
    layers = [
        Dense(name, random.standard_normal(shape), np.zeros(shape[1]), ACTIVATIONS[activation](), None, None, None)
        for name, shape, activation in (("dense", (4, 5), "tanh"), ("dense_1", (5, 3), "softmax"))
    ]
    network = Network(layers, CategoricalCrossentropy(), SGD(0.1))
    exp = np.exp
    monkeypatch.setattr(np, "exp", lambda z: taken.append(z.shape) or exp(z))
    for _ in range(3):
        network.train_step(random.standard_normal((6, 4)), np.eye(3)[random.integers(3, size=6)])
    assert taken == [(6, 3)] * 3
