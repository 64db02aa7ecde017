"""The stand-in: a side that can be made with any convention takes the candidate's steps once more.

Each step is taken from where the candidate's own step began, so that what differs was made in that very step. How far
rounding alone can drive two such steps apart has no useful bound (what is carried through a whole step comes out
thousands of times too wide), so it is measured: the same step in float64 with an error of unit roundoff `SIZE` made on
purpose in every operation (`rounding.size`), by some members with different errors. Scaled to the unit roundoff u of
the run, the budget of a tensor in a step is

    MARGIN * (max over members and elements |member - straight| * u / SIZE + u * max |straight|)

where the drift of a step counts for no less than the lower quartile of all steps: of a tensor with a single element,
all members can be close by chance. No more than that, since a step may magnify rounding a hundred times more than
those beside it. MARGIN covers what so few members miss; tests/parity/diagnosis/test_stand_in.py holds that null runs
use a fraction.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from parity.asking import replay, start_side
from parity.budget.rounding import unit_roundoff
from parity.config import Experiment
from parity.diagnosis.evidence import Evidence, OfPiece, Told
from parity.protocol import Array, Key, Records
from parity.sides import LoadedSide

SIZE = 2.0**-24
MEMBERS = 4
MARGIN = 16.0
IN_FLOAT32 = {"precision.compute": "float32"}

Choices = Mapping[str, str]


class StandIn:
    """Takes the steps of evidence with one set of conventions or another."""

    def __init__(self, experiment: Experiment, side: LoadedSide, weights: Mapping[str, Array]) -> None:
        self.experiment, self.weights = experiment, weights
        self.side = LoadedSide(side.name, side.side.sharing())

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Every convention that it can be made with."""
        return [(code, choice) for code, choices in self.side.side.conventions().items() for choice in choices]

    @property
    def factors(self) -> tuple[str, ...]:
        """Conventions of which it can be made with any number."""
        return tuple(self.side.side.factors())

    def take(self, evidence: Evidence, choices: Choices) -> Told:
        """The steps of the evidence as a side with these choices takes them."""
        retraced = self._retraced(evidence, self.side.side.with_conventions(choices))
        return [{key: np.array(array) for key, array in told.items()} for told in retraced]

    def _retraced(self, evidence: Evidence, made: Any) -> Iterator[OfPiece]:
        """The same, piece by piece, in arrays that the side uses again."""
        side = LoadedSide(self.side.name, made)
        dtype = evidence.pieces[0].arrays[Key("batch", "x")].dtype
        start_side(side, self.experiment, {name: array.astype(dtype) for name, array in self.weights.items()})
        return (replay(self.experiment, side, piece, "retrace") for piece in evidence.pieces)

    def budgets(self, evidence: Evidence, choices: Choices, taken: Told | None = None) -> Told:
        """For each key the budget of each step; `taken` is what `take` gave, where that is known."""
        *_, budgets = self.growing_budgets(evidence, choices, taken)
        return budgets

    def growing_budgets(self, evidence: Evidence, choices: Choices, taken: Told | None = None) -> Iterator[Told]:
        """Budgets as they are with one member, with two, and so on: each at least as large as those before.

        So what is within one of them is within the last, but for a step that some member drives to infinity.
        """
        in_float32 = computes_in_float32(choices)
        u = unit_roundoff("float32" if in_float32 else evidence.dtype)
        exact = {code: choice for code, choice in choices.items() if (code, choice) not in IN_FLOAT32.items()}
        if taken is not None and evidence.dtype == "float64" and not in_float32:
            wide, straight = evidence, taken
        else:
            wide = Evidence(tuple(_in_float64(piece) for piece in evidence.pieces), "float64")
            straight = self.take(wide, exact)
        drifts: list[dict[Key, Array]] = [{} for _ in straight]
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite has no drift
            sizes = [{key: largest(array) for key, array in told.items()} for told in straight]
        for member in self.side.side.with_conventions(exact).with_roundings(MEMBERS, SIZE):
            with np.errstate(invalid="ignore", over="ignore"):
                for told, drift, rounded in zip(straight, drifts, self._retraced(wide, member), strict=True):
                    for key, array in told.items():
                        drift[key] = np.maximum(drift.get(key, 0.0), largest(rounded[key] - array))
                yield _budgets(drifts, sizes, u)


def _budgets(drifts: Sequence[Mapping[Key, Array]], sizes: Sequence[Mapping[Key, Array]], u: float) -> Told:
    """MARGIN times the drift, scaled to u, with what a unit roundoff of the tensor itself is."""
    keys = sizes[0]
    least = {key: _lower_quartile([drift[key] for drift in drifts if key in drift]) for key in keys}
    # A comparison that rounding can tip is tipped whole, however small the rounding.
    scale = {key: 1 / u if key.phase == "metrics" else 1 / SIZE for key in keys}
    return [
        {key: MARGIN * u * (np.maximum(drift[key], least[key]) * scale[key] + size) for key, size in of_piece.items()}
        for of_piece, drift in zip(sizes, drifts, strict=True)
    ]


def _lower_quartile(parts: list[Array]) -> float:
    """Of fewer than five numbers the smallest."""
    rising = np.sort(np.concatenate(parts))
    return float(rising[(len(rising) - 1) // 4])


def computes_in_float32(choices: Choices) -> bool:
    """Whether these choices make float32's rounding errors in any precision."""
    return IN_FLOAT32.items() <= choices.items()


def _in_float64(records: Records) -> Records:
    """The same records in float64; labels and counters as they are."""

    def wide(array: Array) -> Array:
        return np.asarray(array, np.float64) if array.dtype.kind == "f" else array

    return Records(
        records.first_step,
        {key: wide(array) for key, array in records.arrays.items()},
        {key: wide(array) for key, array in records.before.items()},
    )


def largest(array: Array) -> Array:
    """The largest absolute value at each step; a NaN counts for nothing, and what stands beside it as it does alone."""
    of_step = np.abs(array.reshape(len(array), -1))
    found = of_step.max(axis=1, initial=0.0)
    if np.isnan(found).any():
        found = np.fmax.reduce(of_step, axis=1, initial=0.0)
    return found.astype(np.float64)
