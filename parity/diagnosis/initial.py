"""Initial weights that a side draws by itself: which choices draw the very numbers.

Drawing is exact, so the test is: equal to the last bit, every weight, or it is another choice.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import numpy as np

from parity.config import Experiment, Precision
from parity.diagnosis.search import Set
from parity.lockstep import draw_weights
from parity.protocol import Array
from parity.sides import LoadedSide

FAMILY = "init."


def initial_choices(
    experiment: Experiment, stand_in: LoadedSide, drawn: Mapping[str, Array], inputs: int, precision: Precision
) -> Set | None:
    """The smallest set of `init.*` choices that draws these weights; empty for Keras' own, None where there is none."""
    conventions = stand_in.side.conventions()
    options = [
        [None, *((code, choice) for choice in conventions[code])] for code in conventions if code.startswith(FAMILY)
    ]
    sets = [frozenset(single for single in combined if single) for combined in itertools.product(*options)]
    for choices in sorted(sets, key=lambda one: (len(one), sorted(one))):
        made = LoadedSide(stand_in.name, stand_in.side.with_conventions(dict(choices)))
        again = draw_weights(made, experiment, inputs, precision) or {}
        if all(name in again and np.array_equal(array, again[name]) for name, array in drawn.items()):
            return choices
    return None
