"""The stand-in: a side that can be made with any convention takes the candidate's steps once more.

Each step is taken from where the candidate's own step began, so that what differs was made in that very step. How far
rounding alone can drive two such steps apart has no useful bound (what is carried through a whole step comes out
thousands of times too wide), so it is measured: the same step in float64 with an error of unit roundoff `SIZE` made on
purpose in every operation (`rounding.size`), by some members with different errors. Scaled to the unit roundoff u of
the run, the budget of a tensor in a step is

    MARGIN * (max over members and elements |member - straight| * u / SIZE + u * max |straight|)

where the drift of a step counts for no less than that of the median step: of a tensor with a single element, all
members can be close by chance. MARGIN covers what so few members miss; tests/parity/diagnosis/test_stand_in.py holds
that null runs use a fraction.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from parity.asking import replay, start_side
from parity.budget.rounding import unit_roundoff
from parity.config import Experiment
from parity.diagnosis.evidence import Evidence
from parity.protocol import Array, Key, Records
from parity.sides import LoadedSide

SIZE = 2.0**-24
MEMBERS = 4
MARGIN = 16.0
IN_FLOAT32 = {"precision.compute": "float32"}

Choices = Mapping[str, str]
Told = Sequence[Mapping[Key, Array]]  # a mapping for each piece of the evidence
Used = dict[Key, Array]  # difference over budget at every step


class StandIn:
    """Takes the steps of evidence with one set of conventions or another."""

    def __init__(self, experiment: Experiment, side: LoadedSide, weights: Mapping[str, Array]) -> None:
        self.experiment, self.side, self.weights = experiment, side, weights

    @property
    def choices(self) -> list[tuple[str, str]]:
        """Every convention that it can be made with."""
        return [(code, choice) for code, choices in self.side.side.conventions().items() for choice in choices]

    def take(self, evidence: Evidence, choices: Choices) -> Told:
        """The steps of the evidence as a side with these choices takes them."""
        dtype = evidence.pieces[0].arrays[Key("batch", "x")].dtype
        made = LoadedSide(self.side.name, self.side.side.with_conventions(choices))
        start_side(made, self.experiment, {name: array.astype(dtype) for name, array in self.weights.items()})
        return [
            {key: np.array(array) for key, array in replay(self.experiment, made, piece, "retrace").items()}
            for piece in evidence.pieces
        ]

    def budgets(self, evidence: Evidence, choices: Choices) -> Told:
        """For each key the budget of each step."""
        u = unit_roundoff("float32" if computes_in_float32(choices) else evidence.dtype)
        wide = Evidence(tuple(_in_float64(piece) for piece in evidence.pieces), "float64")
        exact = {code: choice for code, choice in choices.items() if (code, choice) not in IN_FLOAT32.items()}
        straight = self.take(wide, exact)
        rounded = [
            self.take(wide, {**exact, "rounding.seed": str(member), "rounding.size": str(SIZE)})
            for member in range(MEMBERS)
        ]
        with np.errstate(invalid="ignore", over="ignore"):  # what is not finite has no drift
            drifts = [
                {
                    key: np.max([_largest(taken[key] - array) for taken in members], axis=0)
                    for key, array in told.items()
                }
                for told, *members in zip(straight, *rounded, strict=True)
            ]
            typical = {
                key: np.median(np.concatenate([drift[key] for drift in drifts if key in drift])) for key in straight[0]
            }
            # A comparison that rounding can tip is tipped whole, however small the rounding.
            scale = {key: 1 / u if key.phase == "metrics" else 1 / SIZE for key in straight[0]}
            return [
                {
                    key: MARGIN * u * (np.maximum(drift[key], typical[key]) * scale[key] + _largest(array))
                    for key, array in told.items()
                }
                for told, drift in zip(straight, drifts, strict=True)
            ]


def apart(candidate: Told, taken: Told, budgets: Told, keys: Iterable[Key]) -> Used:
    """How much of its budget each of these tensors uses at every step; left out is what was never taken."""
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        return {
            key: np.concatenate(
                [
                    _used(told[key], again.get(key), budget.get(key))
                    for told, again, budget in zip(candidate, taken, budgets, strict=True)
                ]
            )
            for key in keys
            if any(key in again for again in taken) and all(key in told for told in candidate)
        }


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


def _largest(array: Array) -> Array:
    """The largest absolute value at each step; a NaN has none."""
    found = np.abs(array.reshape(len(array), -1)).max(axis=1, initial=0.0).astype(np.float64)
    return np.where(np.isnan(found), 0.0, found)


def _used(candidate: Array, told: Array | None, budget: Array | None) -> Array:
    """The largest difference at each step over its budget; infinite where there is a difference and no budget.

    A budget that is not finite is none: where rounding can blow a step up without limit, nothing but equality is proof.
    """
    if told is None or budget is None or told.shape != candidate.shape:
        return np.full(len(candidate), np.inf)
    difference = np.abs(candidate - told)
    if np.isnan(difference).any():  # the same NaN or infinity is no difference, any other is all of it
        same = (candidate == told) | (np.isnan(candidate) & np.isnan(told))
        difference = np.where(same, 0, np.nan_to_num(difference, nan=np.inf, posinf=np.inf))
    apart = difference.reshape(len(candidate), -1).max(axis=1, initial=0.0).astype(np.float64)
    used = np.divide(apart, budget, out=np.zeros(len(apart)), where=apart > 0)
    return np.where((apart > 0) & ~np.isfinite(budget), np.inf, used)
