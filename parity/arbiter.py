"""Which side is off? The first difference in float32, worked out again in float64 from the same float32 operands.

The operands that the reference recorded are widened, which is exact, and the phase is computed anew in float64: what
rounding then leaves is half a billionth of what it is in float32, so that the result stands for the exact one. It comes
from the built-in NumPy network with the choices that the reference is known to make, mostly Keras', and counts only
where that network, given the reference's operands in float64, gives what the reference gives (the same tensor, within
its budget, in every step up to this one).

Each side is then held against the exact value by the whole budget of the difference: more than its own share, so no
side is blamed for rounding as it must. What has to be equal to the last bit has no budget: there a side may be off by
`REORDERED_ULPS`, for its operations and its constants, of the largest number that went in or came out.

Before that the candidate is asked for the same in float64. If it is not within rounding of the exact value there, it
computes another function, and float32 has nothing to do with it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from parity.asking import replay, start_side
from parity.budget import LocalBudget
from parity.config import Experiment, Precision
from parity.data import Dataset
from parity.judge import Judge
from parity.lockstep import lockstep
from parity.protocol import Array, Key, Records
from parity.sides import LoadedSide, load_side, stand_in_for
from parity.verdict import Divergence, Evidence

CHECKED_STEPS = 32  # at most so many steps of it are held against the reference first
REORDERED_ULPS = 8  # an update has at most 8 operations; each, and its constant, rounds by up to half an ulp


class Outcome(StrEnum):
    REFERENCE = "reference"
    CANDIDATE = "candidate"
    BOTH = "both"
    NEITHER = "neither"
    FUNCTION = "function"
    """The candidate computes something else, in float64 as well."""


@dataclass(frozen=True)
class Arbitration:
    """What the arbiter found, at the element that decides it."""

    step: int
    key: Key
    outcome: Outcome | None = None
    why_not: str = ""
    """Why there is no outcome."""
    index: tuple[int, ...] = ()
    exact: float = 0.0
    reference: float = 0.0
    candidate: float = 0.0
    candidate_float64: float = 0.0
    limit: float = 0.0
    """How far from the exact value a side may be."""


class _CannotSayError(Exception):
    """The arbiter has nothing to say; the message says why."""


def arbitrate(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    weights: Mapping[str, Array],
    judge: Judge,
) -> Arbitration | None:
    """Say which side the first difference in float32 is due to; None where there is none in the local lane.

    Args:
        experiment: what was trained.
        sides: reference and candidate; both are started anew.
        dataset: in float64.
        weights: what a run in float64 starts from.
        judge: of the run in float32.
    """
    first, evidence = judge.first, judge.evidence
    if first is None or evidence is None or evidence.lane == "free":
        return None
    try:
        return _arbitrated(experiment, sides, dataset, weights, first, evidence)
    except _CannotSayError as why:
        return Arbitration(first.step, first.key, why_not=str(why))


def _arbitrated(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    weights: Mapping[str, Array],
    first: Divergence,
    evidence: Evidence,
) -> Arbitration:
    key, records = first.key, evidence.records
    if key.phase in {"batch", "metrics"} or key.tensor.startswith("optimizer/"):
        msg = "what is handed on or counted is not computed"
        raise _CannotSayError(msg)
    if evidence.candidate.shape != records.arrays[key].shape:
        msg = "the two sides' arrays are not of one shape"
        raise _CannotSayError(msg)
    arbiter = load_side(stand_in_for(sides[0]))  # with choices that are declared, for instance
    if not _agrees(experiment, sides[0], arbiter, dataset, weights, first):
        msg = "the built-in NumPy network does not compute it as the reference does in float64"
        raise _CannotSayError(msg)
    wide = _widened(records)
    start = {name: np.array(wide.before[Key("update", name)]) for name in weights}
    exact, again = (_asked(side, experiment, start, wide, key) for side in (arbiter, sides[1]))
    reference, candidate = (np.asarray(said, np.float64)[0] for said in (records.arrays[key], evidence.candidate))
    if not np.isfinite(exact).all() or not np.isfinite(reference).all() or not np.isfinite(candidate).all():
        msg = "it is not finite"
        raise _CannotSayError(msg)

    limit, limit_float64 = _limit(experiment, "float32", key, records), _limit(experiment, "float64", key, wide)
    off = np.abs(again - exact) - limit_float64
    if not (off <= 0).all():
        outcome, at = Outcome.FUNCTION, np.where(np.isnan(off), np.inf, off)
    else:
        over = [np.abs(said - exact) - limit for said in (reference, candidate)]
        wrong = [bool((each > 0).any()) for each in over]
        outcome = {
            (False, False): Outcome.NEITHER,
            (True, False): Outcome.REFERENCE,
            (False, True): Outcome.CANDIDATE,
            (True, True): Outcome.BOTH,
        }[wrong[0], wrong[1]]
        at = np.maximum(*over)
    index = tuple(int(i) for i in np.unravel_index(int(at.argmax()), exact.shape)) if exact.shape else ()
    return Arbitration(
        first.step,
        key,
        outcome,
        index=index,
        exact=float(exact[index]),
        reference=float(reference[index]),
        candidate=float(candidate[index]),
        candidate_float64=float(again[index]),
        limit=float((limit_float64 if outcome is Outcome.FUNCTION else limit)[index]),
    )


def _agrees(
    experiment: Experiment,
    reference: LoadedSide,
    arbiter: LoadedSide,
    dataset: Dataset,
    weights: Mapping[str, Array],
    first: Divergence,
) -> bool:
    """Whether in float64 the arbiter gives that tensor as the reference does, given the reference's operands."""
    steps = min(max(first.step, 1), CHECKED_STEPS)
    short = experiment.model_copy(update={"epochs": None, "steps": steps, "tolerance": ()})
    judge = Judge(short, "float64")
    for pair in lockstep(short, reference, arbiter, dataset, weights, ("local",)):
        judge.take(pair)
    held = judge.summaries.get(("local", first.key))
    return held is not None and not held.used > 1 and str(first.key) not in judge.unheld


def _widened(records: Records) -> Records:
    """The same numbers in float64."""

    def wide(arrays: Mapping[Key, Array]) -> dict[Key, Array]:
        return {key: np.array(a, np.float64 if a.dtype.kind == "f" else a.dtype) for key, a in arrays.items()}

    return Records(records.first_step, wide(records.arrays), wide(records.before))


def _asked(side: LoadedSide, experiment: Experiment, weights: Mapping[str, Array], records: Records, key: Key) -> Array:
    """What a side makes of the recorded operands."""
    start_side(side, experiment, weights)
    said = replay(experiment, side, records)
    if key not in said or said[key].shape != records.arrays[key].shape:
        msg = f"{side.name} does not replay it in float64"
        raise _CannotSayError(msg)
    return np.asarray(said[key], np.float64)[0]


def _limit(experiment: Experiment, precision: Precision, key: Key, records: Records) -> Array:
    """How far from the exact value a side may be."""
    budget = LocalBudget(experiment, precision).of(key, records, np.array([0]))
    if budget is None:
        msg = "the reference does not record what its budget depends on"
        raise _CannotSayError(msg)
    after = np.abs(records.arrays[key][0])
    limit = np.broadcast_to(np.asarray(budget, np.float64), records.arrays[key].shape)[0]
    if key.phase != "update":
        return limit
    largest = np.maximum(after, np.abs(records.before[key]))
    weight = "/".join(key.tensor.split("/")[:2])
    if weight != key.tensor:  # a slot is made of the gradient as well
        largest = np.maximum(largest, np.abs(records.arrays[Key("gradient", weight)][0]))
    return limit + REORDERED_ULPS * np.spacing(largest.astype(precision)).astype(np.float64)
