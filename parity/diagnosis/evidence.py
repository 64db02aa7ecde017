"""What is to be explained: the candidate's own run, recorded around the places where it can show what it does.

Each piece is a `Records` of consecutive steps on batches of one size, with the batches and with the weights (and slots,
if the candidate tells them) that each step began from. A step can then be repeated by somebody else from where it
began, so that nothing is inherited from step to step: only what is carried and not told is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parity.config import Experiment
from parity.data import Chunk, Dataset, Schedule
from parity.lockstep import Span, Walk, batches
from parity.protocol import Array, Key, Records
from parity.sides import LoadedSide

AFTER, AFTER_LARGE = 3, 1
"""Steps after the first divergence: a cause must explain more than the step that gave it away. Fewer of large steps,
which say more: a step is large that has `LARGE` examples times parameters."""
LARGE = 10**8
MOST = 100
"""Steps recorded at most: a partial batch that comes later is not looked for, and of a divergence that comes later the
steps around it are recorded."""

RATE = Key("update", "optimizer/learning_rate")

OfPiece = Mapping[Key, Array]
Told = Sequence[OfPiece]  # a mapping for each piece of the evidence


@dataclass(frozen=True)
class Evidence:
    """The candidate's first steps, piece by piece."""

    pieces: tuple[Records, ...]
    dtype: str

    @property
    def steps(self) -> int:
        return sum(len(piece) for piece in self.pieces)

    @property
    def numbers(self) -> list[int]:
        """Of each step its number in the run, from 1."""
        return [number for piece in self.pieces for number in range(piece.first_step, piece.last_step + 1)]

    @property
    def batch(self) -> int:
        """Examples in the first batch."""
        return int(self.pieces[0].arrays[Key("batch", "x")].shape[1])

    @property
    def uneven(self) -> bool:
        """Whether not all batches have the same size."""
        return len({piece.arrays[Key("batch", "x")].shape[1] for piece in self.pieces}) > 1

    @property
    def finite(self) -> bool:
        """Whether all that the candidate tells are finite numbers."""
        return all(np.isfinite(piece.arrays[key]).all() for piece in self.pieces for key in self.keys)

    @property
    def keys(self) -> list[Key]:
        """What the candidate tells, but for its batches, which it was given, and its rate, which the update shows."""
        return [key for key in self.pieces[0].arrays if key.phase != "batch" and key != RATE]

    @property
    def told(self) -> list[OfPiece]:
        """What the candidate tells, piece by piece."""
        return [piece.arrays for piece in self.pieces]

    @property
    def before(self) -> list[OfPiece]:
        """What each step began from, piece by piece."""
        return [piece.states_before() for piece in self.pieces]

    @property
    def still(self) -> bool:
        """Whether weights are told, and none of them changes in any step."""
        weights = [
            (piece.arrays[key], before[key])
            for piece, before in zip(self.pieces, self.before, strict=True)
            for key in before
            if key in self.keys and key.tensor.count("/") == 1 and key.layer != "optimizer"
        ]
        return bool(weights) and all(np.array_equal(after, before, equal_nan=True) for after, before in weights)

    @property
    def in_float32(self) -> bool:
        """Whether every weight the candidate tells is a float32 number."""
        with np.errstate(over="ignore"):
            return all(
                np.array_equal(array, array.astype(np.float32).astype(array.dtype), equal_nan=True)
                for piece in self.pieces
                for key, array in piece.arrays.items()
                if key.phase == "update" and array.dtype.kind == "f"
            )

    def first(self, steps: int) -> Evidence:
        """The first steps only."""
        pieces, left = [], steps
        for piece in self.pieces:
            if left > 0:
                arrays = {key: array[:left] for key, array in piece.arrays.items()}
                pieces.append(Records(piece.first_step, arrays, piece.before))
                left -= len(piece)
        return Evidence(tuple(pieces), self.dtype)

    def thin(self, rows: int) -> Evidence:
        """The same weights on the first examples of each batch: quick to take, nothing to hold a candidate against."""
        began = self.only(lambda key: key.phase == "update")
        pieces = tuple(
            Records(p.first_step, {k: a[:, :rows] if k.phase == "batch" else a for k, a in p.arrays.items()}, p.before)
            for p in began.pieces
        )
        return Evidence(pieces, self.dtype)

    def only(self, told: Callable[[Key], bool]) -> Evidence:
        """As a candidate would be seen that tells no more than this; its batches are always known."""

        def known(arrays: Mapping[Key, Array]) -> dict[Key, Array]:
            return {key: array for key, array in arrays.items() if key.phase == "batch" or told(key)}

        pieces = tuple(Records(piece.first_step, known(piece.arrays), known(piece.before)) for piece in self.pieces)
        return Evidence(pieces, self.dtype)


def take_evidence(
    experiment: Experiment,
    side: LoadedSide,
    dataset: Dataset,
    weights: Mapping[str, Array],
    until: int,
    spans: Iterable[Span] | None = None,
) -> Evidence:
    """Train a side from the start for some steps beyond `until`, and to the first smaller batch if that is near.

    Of recorded sides there are the steps of `spans` alone.
    """
    schedule = Schedule.of(experiment, len(dataset))
    parameters = sum(array.size for array in weights.values())
    first, steps = first_needed(until), steps_needed(schedule, parameters, until)
    walk = Walk(experiment, side, dataset, weights)
    pieces: list[Records] = []
    for chunk in _until(schedule, steps, _from(first, spans or [(1, schedule.steps)])):
        x, y = batches(dataset, chunk)
        parts, failure = walk.take(chunk, x, y)
        if failure is not None and (isinstance(failure, KeyboardInterrupt) or not (parts or pieces)):
            raise failure
        for taken in parts:
            at = taken.first_step - chunk.first_step
            of_batch = {Key("batch", "x"): x[at : at + len(taken)], Key("batch", "y"): y[at : at + len(taken)]}
            kept = {key: np.array(array) for key, array in {**taken.arrays, **of_batch}.items()}
            pieces.append(Records(taken.first_step, kept, taken.before))
        if failure is not None:  # a side that fails later has shown this much
            break
    return Evidence(tuple(pieces), str(dataset.x.dtype))


def first_needed(until: int) -> int:
    """The first step that is looked at: all from the start, or the last before a divergence that begins late."""
    return 1 if until <= MOST else until - 1


def steps_needed(schedule: Schedule, parameters: int, until: int) -> int:
    """How many: to some steps beyond `until`, and to the first smaller batch if that is near."""
    whole = schedule.examples // schedule.batch_size
    partial = whole + 1 if schedule.examples % schedule.batch_size and not schedule.drop_remainder else 0
    after = AFTER if schedule.batch_size * parameters < LARGE else AFTER_LARGE
    first = first_needed(until)
    last = min(until + after, schedule.steps)
    return last - first + 1 if first > 1 else min(max(last, partial if partial <= MOST else 0), MOST, schedule.steps)


def _from(first: int, spans: Iterable[Span]) -> Iterator[Span]:
    """What of those spans is not before a step."""
    yield from ((max(first, begin), end) for begin, end in spans if end >= first)


def _until(schedule: Schedule, steps: int, spans: Iterable[Span]) -> Iterator[Chunk]:
    """So many steps of those spans."""
    left = steps
    for first, last in spans:
        for chunk in schedule.chunks(steps, first, min(last, first + left - 1)):
            yield chunk
            left -= len(chunk)
