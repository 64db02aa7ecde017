"""Initial weights that a side draws by itself: which choices draw the very numbers.

Drawing is exact, so the test is: equal to the last bit, every weight, or it is another choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from parity.config import Experiment, Precision
from parity.diagnosis.tried import Set
from parity.lockstep import draw_weights
from parity.protocol import Array
from parity.sides import LoadedSide

FAMILY = "init."


def initial_choices(
    experiment: Experiment, stand_in: LoadedSide, drawn: Mapping[str, Array], inputs: int, precision: Precision
) -> Set | None:
    """The smallest set of `init.*` choices that draws these weights; empty for Keras' own, None where there is none."""

    def draws(choices: Set) -> Mapping[str, Array]:
        made = LoadedSide(stand_in.name, stand_in.side.with_conventions(dict(choices)))
        return draw_weights(made, experiment, inputs, precision) or {}

    of_keras = draws(frozenset())
    options = [
        [None, *((code, choice) for choice in choices if not _same(draws(frozenset([(code, choice)])), of_keras))]
        for code, choices in stand_in.side.conventions().items()
        if code.startswith(FAMILY)
    ]
    sets = [frozenset(single for single in combined if single) for combined in itertools.product(*options)]
    for choices in sorted(sets, key=lambda one: (len(one), sorted(one))):
        if _same(drawn, draws(choices)):
            return choices
    return None


def _same(drawn: Mapping[str, Array], again: Mapping[str, Array]) -> bool:
    return all(name in again and np.array_equal(array, again[name]) for name, array in drawn.items())


def drawn_by_nobody(drawn: Mapping[str, Array], of_keras: Mapping[str, Array]) -> str:
    """What is said of weights that no choice draws: how much they spread, where most of them can tell."""
    name = max(drawn, key=lambda name: drawn[name].size)
    one, other = (float(np.std(weights[name], dtype=np.float64)) for weights in (drawn, of_keras))
    spread = f"{one / other:.2g} times the reference's" if other else f"{one:.2g}, where the reference's are all alike"
    return (
        "the initial weights that it draws are those of no convention: another stream of random numbers, as every "
        "library has its own, or another distribution. "
        f"The standard deviation of {name}, {drawn[name].size} numbers, is {spread}"
    )
