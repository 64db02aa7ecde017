"""How far apart rounding alone can drive two runs: the drift of an ensemble, for candidates that are somebody's own.

Left to itself a network drifts away from any other that computes the same formulas, and how fast depends on its
dynamics and not on mistakes. So the built-in NumPy network is trained once as it is and `MEMBERS` times with rounding
errors on purpose (`rounding.seed`). What a tensor may differ by in the free lane, at a step, is

    its local budget  +  SAFETY * the largest distance so far of any member to the network without such errors

The distance is that of the element furthest off, so a tensor has one number a step; it never shrinks, since a run that
has drifted apart may come near again by chance. Inside is rounding; what is outside has left the envelope at that step.

SAFETY follows from the size of the ensemble. The drift of a correct candidate is one more draw of what the members
drew. While it is small it depends linearly on many independent errors and is normal, N, with the members' deviation;
then `P(|N| < x) <= sqrt(2 / pi) x` gives, with M members,

    P(|N| > c * largest of M) <= (2 / pi)**(M / 2) E|N|**M / c**M,   E|N|**M = 2**(M / 2) gamma((M + 1) / 2) / sqrt(pi)

and c is chosen to make that `FALSE_ALARM`. A tensor of many elements has less spread than one number.

The envelope is worth something only while the network stands for the reference (`parity.student`), and while a weight
may differ by less than the training so far has moved any: a chaotic run comes to hold whatever there is. From the step
on where either ends, nothing is judged here.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from parity.asking import start_side, take_steps
from parity.config import Experiment
from parity.data import Dataset, Schedule
from parity.data.schedule import Chunk
from parity.judge import Allowed, Judge
from parity.lockstep import chunk_length
from parity.protocol import Array, Key, Pair
from parity.sides import STAND_IN, LoadedSide
from parity.student import Student

MEMBERS = 8
FIRST_SEED = 1
FALSE_ALARM = 1e-9  # for one tensor; hundreds of tensors and steps depend on one another
UNLIMITED = "rounding alone drove the network to numbers that are not finite: from there on it has no limit"
DROWNED = "after step {} rounding may drive some weight as far as training has moved any: whatever it is, it would pass"
HIDDEN = "rounding may have driven it as far as training has: that it is trained at all does not show in it"
UNKNOWN = "the batches between the recorded steps are not known, so that no ensemble can be trained on them"
_MOMENT = 2 ** (MEMBERS / 2) * math.gamma((MEMBERS + 1) / 2) / math.sqrt(math.pi)
SAFETY = math.sqrt(2 / math.pi) * (_MOMENT / FALSE_ALARM) ** (1 / MEMBERS)


@dataclass(frozen=True)
class EnvelopeReport:
    """What the free lane was held against, in one precision."""

    why_not: str = ""
    """Why it means nothing, or nothing any more."""
    widest: float = 0.0
    """The largest drift allowed at the end, as a share of the largest number in the weight it belongs to."""
    widest_tensor: str = ""
    until: int = 0
    """The last step at which it meant something, where that is known and was not the last of all."""


class Envelope:
    """The ensemble of one run, trained along with it."""

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        weights: Mapping[str, Array],
        judge: Judge,
        student: str = STAND_IN,
    ) -> None:
        self.experiment, self.dataset = experiment, dataset
        self.student = Student(experiment, weights, judge.precision, student)
        seeds = range(FIRST_SEED, FIRST_SEED + MEMBERS)
        self.members = [
            LoadedSide(student, self.student.side.side.with_conventions({"rounding.seed": str(seed)})) for seed in seeds
        ]
        for side in self.members:
            start_side(side, experiment, weights)
        self._schedule, self._next = Schedule.of(experiment, len(dataset)), 1
        self._length = chunk_length(experiment, dataset, weights)
        self._drift: dict[Key, float] = {}
        self._start = {name: np.array(array) for name, array in weights.items()}
        self._moved, self._until = False, 0
        self._hidden: set[Key] = set()
        """Weights that rounding may have driven as far as training, at the last step so far."""
        self.report = EnvelopeReport()

    def take(self, pair: Pair) -> Allowed | None:
        """What each tensor may differ by at each step of a chunk, beside its budget; None where nothing can be said."""
        if self.report.why_not:
            return None
        records = pair.reference
        if not self.student.follow(records):
            self._give_up(self.student.why_not)
            return None
        for chunk in self._schedule.chunks(self._length, self._next, records.first_step - 1):  # nobody recorded these
            if np.isnan(self.dataset.x[chunk.rows]).any():
                self._give_up(UNKNOWN)
                return None
            self._grow(self._spread(chunk))
        rows = [chunk.rows for chunk in self._schedule.chunks(len(records), records.first_step, records.last_step)]
        largest = self._spread(Chunk(records.first_step, np.concatenate(rows)))
        self._next = records.last_step + 1
        self._grow(largest)
        allowed = {key: SAFETY * far for key, far in largest.items()}
        self._look_at_weights(pair, allowed)
        if not all(np.isfinite(far[-1]) for far in largest.values()):  # it never shrinks
            self._give_up(UNLIMITED)
        return allowed

    def _spread(self, chunk: Chunk) -> dict[Key, Array]:
        """The largest distance of a member to the network, at each of the next steps."""
        x, y = self.dataset.x[chunk.rows], self.dataset.y[chunk.rows]
        ((_, alone),) = take_steps(self.experiment, self.student.side, chunk, x, y)
        largest = {key: np.zeros(len(chunk)) for key in alone}
        for member in self.members:
            ((_, said),) = take_steps(self.experiment, member, chunk, x, y)
            for key, far in largest.items():
                np.maximum(far, _distance(alone[key], said[key]), out=far)
        return largest

    def _grow(self, largest: Mapping[Key, Array]) -> None:
        """Distances never shrink, within the chunk and from the one before."""
        for key, far in largest.items():
            far[0] = max(far[0], self._drift.get(key, 0.0))
            np.maximum.accumulate(far, out=far)
            self._drift[key] = float(far[-1])

    def finish(self, judge: Judge, *, alone: bool = True) -> None:
        """What is known only at the end: whether anything was learned, and what of the reference was judged.

        Where the candidate's own run is held by this `alone`, it has then not been judged to its end.
        """
        self.student.finish()
        if not self.report.why_not and self.student.why_not:
            self._give_up(self.student.why_not)
        if not self.report.why_not and not self._moved:
            self._give_up("the reference's weights never moved, so that no gradient shows in them")
        if not self.report.why_not and self._until < self._next - 1:
            self.report = EnvelopeReport(DROWNED.format(self._until), until=self._until)
        if self.report.why_not:
            judge.missing.setdefault("free lane", self.report.why_not)
            if alone:
                judge.forget_judged()
        elif alone:
            judge.missing |= {f"training of {key.tensor}": HIDDEN for key in sorted(self._hidden)}

    def _give_up(self, why: str) -> None:
        self.report = EnvelopeReport(why)

    def _look_at_weights(self, pair: Pair, allowed: Allowed) -> None:
        """How much they may drift, beside their size and beside how far each step finds them from where they began."""
        shares, steps = {}, len(pair.reference)
        moved, widest = np.zeros(steps), np.zeros(steps)
        for name, start in self._start.items():
            weight = pair.reference.arrays[key := Key("update", name)]
            drift, far = allowed.get(key, np.zeros(steps)), _distance(weight, start[None])
            moved, widest = np.maximum(moved, far), np.maximum(widest, drift)
            if far[-1] <= drift[-1] > 0:
                self._hidden.add(key)
            else:
                self._hidden.discard(key)
            size = float(np.abs(weight[-1]).max(initial=0.0))
            shares[name] = float(drift[-1]) / size if 0 < size < np.inf else 0.0
        self._moved = self._moved or bool(moved.any())
        if (held := (widest < moved).nonzero()[0]).size:
            self._until = pair.reference.first_step + int(held[-1])
        tensor = max(shares, key=lambda name: shares[name])
        self.report = EnvelopeReport("", shares[tensor], tensor)


def _distance(one: Array, other: Array) -> Array:
    """Of the elements furthest apart at each step; unlimited where a member is not a finite number."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(other.astype(np.float64) - one.astype(np.float64)).reshape(len(one), -1)
        far = apart.max(axis=1, initial=0.0)
    return np.where(np.isnan(far), np.inf, far)
