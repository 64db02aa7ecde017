"""Networks that share products compute the bits that each computes by itself."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from parity.asking import replay, start_side
from parity.sides import LoadedSide
from scratch_net.adapter import ScratchSide, initial_weights
from scratch_net.conventions import CHOICES, sharing
from scratch_net.conventions.sharing import KEPT, Products
from tests.scratch_net.conventions.networks import INPUTS, experiment, steps

EVERY = [(code, choice) for code, choices in CHOICES.items() for choice in choices]
PLAIN = ("sgd", "relu", "softmax", "labels", "penalized outputs", "momentum", "no biases")


@cache
def recorded(name):
    return steps(name, {})[0]


def retraced(name, side):
    loaded, of = LoadedSide("scratch", side), experiment(name)
    start_side(loaded, of, initial_weights(of, INPUTS, "float64"))
    told = (replay(of, loaded, one, "retrace") for one in recorded(name))
    return [{key: array.copy() for key, array in one.items()} for one in told]


@pytest.fixture(autouse=True)
def small_batches_are_worth_it(monkeypatch):
    monkeypatch.setattr(sharing, "MANY", 1)


@pytest.mark.parametrize("name", PLAIN)
def test_with_any_choice_after_any_other(name):
    """Also after those that multiply something else, and after themselves."""
    family = ScratchSide().sharing()
    for code, choice in [*EVERY, *EVERY]:
        apart = retraced(name, ScratchSide({code: choice}))
        together = retraced(name, family.with_conventions({code: choice}))
        for one, other in zip(together, apart, strict=True):
            assert one.keys() == other.keys()
            for key, array in one.items():
                assert array.tobytes() == other[key].tobytes(), (code, choice, key)


def _made(products, x, *others, calls):
    def make():
        calls.append(1)
        return np.array([x.sum()])

    return products.of("sum", make, np.array_equal, x, *others)


def read_only(*shape):
    x = np.ones(shape)
    x.flags.writeable = False
    return x


def test_a_product_is_made_once_for_equal_numbers():
    products, x, kernel, calls = Products(), read_only(3, 2), np.ones((2, 2)), []
    for _ in range(3):
        _made(products, x, kernel, calls=calls)
    assert len(calls) == 1
    kernel[0, 0] = 2  # in place: what was kept is a copy
    _made(products, x, kernel, calls=calls)
    _made(products, x, np.ones((2, 2)), calls=calls)
    assert len(calls) == 2


def test_other_examples_are_other_products():
    products, calls = Products(), []
    x = read_only(4, 2)
    for batch in (x, x[:2], x[2:], x[::2], read_only(4, 2)):
        _made(products, batch, calls=calls)
    assert len(calls) == 5


def test_nothing_is_kept_of_an_array_that_may_be_written(monkeypatch):
    products, x, calls = Products(), np.ones((3, 2)), []
    for _ in range(2):
        _made(products, x, calls=calls)
    assert len(calls) == 2
    monkeypatch.setattr(sharing, "MANY", 4)
    for _ in range(2):
        _made(products, read_only(3, 2), calls=calls)
    assert len(calls) == 4


def test_no_more_than_some_are_kept():
    products, x, calls = Products(), read_only(3, 2), []
    for number in [*range(KEPT + 1), 0]:
        _made(products, x, np.full(1, number), calls=calls)
    assert len(calls) == KEPT + 2
