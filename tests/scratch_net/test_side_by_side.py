"""Weights side by side: an update of all at once is the update of each, and only of these very arrays."""

from __future__ import annotations

import numpy as np
import pytest

from scratch_net.optimizers import BLOCK, SGD, Adam, RMSprop
from scratch_net.side_by_side import LINE, SideBySide

OPTIMIZERS = {
    "sgd": lambda: SGD(0.1),
    "momentum": lambda: SGD(0.1, momentum=0.9),
    "nesterov": lambda: SGD(0.1, momentum=0.9, nesterov=True),
    "adam": lambda: Adam(0.01),
    "amsgrad": lambda: Adam(0.01, amsgrad=True),
    "rmsprop": lambda: RMSprop(0.01),
    "centered": lambda: RMSprop(0.01, centered=True, momentum=0.9),
}
SHAPES = {"dense/kernel": (3, 5), "dense/bias": (5,), "dense_1/kernel": (5, 5), "dense_1/bias": (5,)}


def _arrays(dtype, shapes=SHAPES, seed=0):
    random = np.random.default_rng(seed)
    return {name: random.standard_normal(shape).astype(dtype) for name, shape in shapes.items()}


def _put(parts, arrays):
    for name, array in arrays.items():
        parts[name][...] = array


def _same(one, other):
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_parts_are_apart_by_whole_cache_lines(dtype):
    weights = _arrays(dtype)
    together = SideBySide(weights)
    assert _same(together.weights, weights)
    whole, parts = together.room()
    assert not whole.any()
    for number, part in enumerate(parts.values(), 1):
        part[...] = number
        assert part.base is whole
        assert (part.ctypes.data - whole.ctypes.data) % LINE == 0
    assert [int(part.min()) for part in parts.values()] == [int(part.max()) for part in parts.values()] == [1, 2, 3, 4]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kernel", [(3, 5), (300, BLOCK // 200)], ids=["small", "by parts"])
def test_one_update_of_all_is_the_update_of_each(optimizer, kernel, dtype):
    """The oracle is the same optimizer on the weights one by one."""
    shapes = SHAPES | {"dense/kernel": kernel}
    alone, together = _arrays(dtype, shapes), SideBySide(_arrays(dtype, shapes))
    each, at_once = OPTIMIZERS[optimizer](), OPTIMIZERS[optimizer]()
    each.start(alone)
    at_once.start(together.weights, together)
    taken = []
    step = at_once.step
    at_once.step = lambda w, *others: (taken.append(w.base if w.base is not None else w), step(w, *others))
    for seed in range(3):
        gradients = _arrays(dtype, shapes, seed)
        _put(together.gradients, gradients)
        each.update(alone, gradients)
        at_once.update(together.weights, together.gradients)
        assert _same(together.weights, alone)
        assert _same(at_once.slots, each.slots)
        assert at_once.iterations == each.iterations == seed + 1
    assert all(w is together.whole for w in taken)


OTHERS = {
    "gradients of other weights": lambda w, g: (
        w,
        g | {"dense/bias": g["dense_1/bias"], "dense_1/bias": g["dense/bias"]},
    ),
    "one gradient of its own": lambda w, g: (w, g | {"dense/bias": 2 * g["dense/bias"]}),
    "some weights": lambda w, g: ({name: w[name] for name in ("dense/kernel", "dense/bias")}, g),
    "other weights": lambda w, g: (w | {"dense/bias": w["dense/bias"].copy()}, g),
}


@pytest.mark.parametrize("change", OTHERS)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_what_is_not_all_of_these_arrays_is_updated_by_itself(optimizer, change):
    together, alone = SideBySide(_arrays("float64")), _arrays("float64")
    _put(together.gradients, _arrays("float64", seed=1))
    at_once, each = OPTIMIZERS[optimizer](), OPTIMIZERS[optimizer]()
    at_once.start(together.weights, together)
    each.start(alone)
    weights, gradients = OTHERS[change](together.weights, together.gradients)
    at_once.update(weights, gradients)
    own, copies = OTHERS[change](alone, {name: g.copy() for name, g in together.gradients.items()})
    each.update(own, copies)
    assert _same(weights, own)
    assert _same(together.weights, alone)


def test_slots_that_were_exchanged_are_those_that_are_used():
    together = SideBySide(_arrays("float64"))
    _put(together.gradients, _arrays("float64", seed=1))
    optimizer = SGD(0.1, momentum=0.9)
    optimizer.start(together.weights, together)
    others = {name: np.ones_like(slot) for name, slot in optimizer.slots.items()}
    own, optimizer.slots = optimizer.slots, dict(others)
    optimizer.update(together.weights, together.gradients)
    assert not any(slot.any() for slot in own.values())
    for name, slot in others.items():
        g = together.gradients[name.removesuffix("/momentum")]
        np.testing.assert_allclose(slot, 0.9 - 0.1 * g, rtol=1e-7)  # Keras' momentum is float32


def test_a_weight_beside_these_is_updated_as_well():
    together, more = SideBySide(_arrays("float64")), np.ones(3)
    optimizer = SGD(0.5)
    optimizer.start(together.weights, together)
    optimizer.update(together.weights | {"more": more}, together.gradients | {"more": np.ones(3)})
    assert more.tolist() == [0.5, 0.5, 0.5]
