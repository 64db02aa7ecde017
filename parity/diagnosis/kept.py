"""What both sides did in the first steps of a run, kept as evidence: a diagnosis need not train them a second time.

A run that diverges mostly does so in its first steps. Until it has, and for the few steps after that which a diagnosis
looks at, copies are kept of what is told. Where they would be of more than `STEPS` or take more than `BYTES`, there are
none, and the sides are asked again (`take_evidence`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from parity.config import Experiment
from parity.data import Chunk, Dataset, Schedule
from parity.diagnosis.evidence import Evidence, first_needed, steps_needed
from parity.lockstep import batches
from parity.protocol import Array, Key, Pair, Records

BYTES = 128 * 2**20
STEPS = 16


class Kept:
    """Takes the pairs of a run in the order of its steps, after each was judged."""

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        weights: Mapping[str, Array],
        diverged: Callable[[], int | None],
    ) -> None:
        self._dataset, self._schedule, self._diverged = dataset, Schedule.of(experiment, len(dataset)), diverged
        self._parameters, self._bytes = sum(array.size for array in weights.values()), 0
        self._records: list[tuple[Records, Records]] | None = []

    def take(self, pair: Pair) -> None:
        """Keep what was told in these steps, if a diagnosis may look at them."""
        if self._records is None or self._steps >= self._needed():
            return
        count = min(len(pair.reference), STEPS - self._steps)
        both = [
            r.first(count) for r in (pair.reference, Records(pair.reference.first_step, pair.free, pair.free_before))
        ]
        told = [_told(records) for records in both]
        self._bytes += sum(array.nbytes for arrays in told for array in arrays.values())
        follows = pair.reference.first_step == self._steps + 1
        if not (count and follows and pair.free) or self._bytes > BYTES:
            self._records = None
            return
        reference, candidate = (
            Records(records.first_step, {key: np.array(array) for key, array in arrays.items()}, dict(records.before))
            for records, arrays in zip(both, told, strict=True)
        )
        self._records.append((reference, candidate))

    def evidence(self) -> tuple[Evidence, Evidence] | None:
        """What `take_evidence` would take of either side; None where that was not kept."""
        until = self._diverged()
        late = until is not None and first_needed(until) > 1
        if late or not self._records or self._steps < (needed := self._needed()):
            return None
        pieces: list[list[Records]] = [[], []]
        for chunk in self._schedule.chunks(needed, 1, needed):
            x, y = _batches(self._dataset, chunk)
            for of_side, records in zip(pieces, zip(*self._records, strict=True), strict=True):
                told = _between(records, chunk.first_step, chunk.first_step + len(chunk) - 1)
                batch = {Key("batch", "x"): x, Key("batch", "y"): y}
                of_side.append(Records(told.first_step, {**told.arrays, **batch}, told.before))
        reference, candidate = (Evidence(tuple(of_side), str(self._dataset.x.dtype)) for of_side in pieces)
        return reference, candidate

    @property
    def _steps(self) -> int:
        return self._records[-1][0].last_step if self._records else 0

    def _needed(self) -> int:
        """How many steps a diagnosis would look at; as many as there are, as long as nothing has diverged."""
        until = self._diverged()
        return self._schedule.steps if until is None else steps_needed(self._schedule, self._parameters, until)


def _batches(dataset: Dataset, chunk: Chunk) -> tuple[Array, Array]:
    """As `batches`; where every step has all examples in their order, these are not copied."""
    everything = np.arange(len(dataset))
    if chunk.rows.shape[1:] != everything.shape or (chunk.rows != everything).any():
        return batches(dataset, chunk)
    x, y = (np.broadcast_to(array, (len(chunk), *array.shape)) for array in (dataset.x, dataset.y))  # read-only
    return x, y


def _told(records: Records) -> dict[Key, Array]:
    """All but the batches."""
    return {key: array for key, array in records.arrays.items() if key.phase != "batch"}


def _between(records: Iterable[Records], first: int, last: int) -> Records:
    """These steps of several records that follow on one another."""
    found = []
    for one in records:
        begin, end = max(first, one.first_step), min(last, one.last_step)
        if begin <= end:
            found.append(one.rest(begin - one.first_step).first(end - begin + 1))
    arrays = {key: np.concatenate([one.arrays[key] for one in found]) for key in found[0].arrays}
    return Records(first, arrays, found[0].before)
