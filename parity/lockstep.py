"""Two sides trained in lockstep: the same batches, from the same initial weights, a chunk of steps at a time."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np

from parity.asking import Failure, own_experiment, replay, start_side, steps_taken
from parity.config import Experiment, Precision
from parity.data import Chunk, Dataset, Schedule, taken
from parity.data.sources import read_npz
from parity.errors import SideError, UnrecordedError, UsageError
from parity.protocol import Array, Key, Lane, Pair, Records
from parity.sides import LoadedSide
from parity.sides.told import weight_shapes

CHUNK_BYTES = 64 * 2**20  # what one side may record in a chunk; several chunks are on their way at once
SMALL_BYTES = 4 * 2**20  # of so little, what is on its way takes some percent of a process with TensorFlow in it
LARGE_STEPS = 40  # of what is more: each chunk costs as much as dozens of steps of a small network, whatever is in it
CHUNK_STEPS = 256

_Result = TypeVar("_Result")
Taken = tuple[list[Records], Failure | None]
"""What a side did, in parts of which each has arrays of one type, and what came after that where it was not all."""
Replayed = tuple[Mapping[Key, Array] | None, SideError | None]
"""What a side makes of recorded inputs, None where too little was recorded, and how it failed."""


def draw_weights(
    side: LoadedSide, experiment: Experiment, inputs: int, precision: Precision
) -> Mapping[str, Array] | None:
    """What a side would start from by itself; None where it does not draw weights."""
    if not side.can("initial_weights"):
        return None
    return side.call("initial_weights", 0, own_experiment(experiment, side), inputs, precision)


def start_weights(
    experiment: Experiment,
    drawn: Iterable[Mapping[str, Array] | None],
    inputs: int,
    precision: Precision,
    handed: Mapping[str, Array] | None = None,
) -> dict[str, Array]:
    """The weights both sides start from: what the experiment names, the rest from the first side that draws them.

    Args:
        experiment: whose weights they are.
        drawn: what each side would start from by itself.
        inputs: number of inputs of the first layer.
        precision: of the weights.
        handed: the experiment's initial weights where they are not written in it, but in memory.

    Raises:
        UsageError: no side draws weights and not all are given, or a given one has the wrong name or shape.
    """
    shapes = weight_shapes(experiment, inputs)
    given = given_weights(experiment) if handed is None else handed
    for name, array in given.items():
        if name not in shapes or array.shape != shapes[name]:
            expected = shapes.get(name, f"one of {', '.join(shapes)}")
            msg = f"initial_weights: {name} has shape {array.shape}; expected {expected}"
            raise UsageError(msg)
        with np.errstate(over="ignore"):
            if (np.isinf(array.astype(precision)) & np.isfinite(array)).any():
                raise UsageError(f"initial_weights: {name} is too large for {precision}")
    found: Mapping[str, Array] = next((weights for weights in drawn if weights is not None), {})
    if missing := sorted(set(shapes) - set(given) - set(found)):
        msg = f"no side draws initial weights; give initial_weights for {', '.join(missing)}"
        raise UsageError(msg)
    return {name: np.array(given.get(name, found.get(name)), precision, order="C") for name in shapes}


def given_weights(experiment: Experiment) -> dict[str, Array]:
    """The initial weights that the experiment names."""
    given = experiment.initial_weights
    if given is None:
        return {}
    if given == "memory":
        msg = "initial_weights: those of this experiment were handed over in Python; give an npz file"
        raise UsageError(msg)
    if isinstance(given, str):
        stored = read_npz(Path(given))
        if wrong := [name for name, array in stored.items() if array.dtype.kind not in "fiu"]:
            msg = f"initial_weights: {given}: not numbers: {', '.join(wrong)}"
            raise UsageError(msg)
        return stored
    return {name: np.array(array, np.float64) for name, array in given.items()}


Span = tuple[int, int]
"""First and last step of some that follow on one another."""


def common_spans(sides: Iterable[LoadedSide], precision: Precision) -> tuple[Span, ...] | None:
    """The steps that every recorded side has recorded; None where no side is a recorded one."""
    common: tuple[Span, ...] | None = None
    for side in sides:
        if side.can("spans"):
            spans: tuple[Span, ...] = side.call("spans", 0, precision)
            common = spans if common is None else tuple(_overlaps(common, spans))
    return common


def _overlaps(some: tuple[Span, ...], others: tuple[Span, ...]) -> Iterator[Span]:
    i = j = 0
    while i < len(some) and j < len(others):
        first, last = max(some[i][0], others[j][0]), min(some[i][1], others[j][1])
        if first <= last:
            yield first, last
        i, j = (i + 1, j) if some[i][1] < others[j][1] else (i, j + 1)


class Walk:
    """One side's way through the steps of a run: told is what it did in the chunks that it is asked for."""

    def __init__(
        self, experiment: Experiment, side: LoadedSide, dataset: Dataset, weights: Mapping[str, Array]
    ) -> None:
        self.experiment, self.side, self.dataset = experiment, side, dataset
        self.schedule = Schedule.of(experiment, len(dataset))
        self.before = start_side(side, experiment, weights)
        self._next, self._length = 1, chunk_length(experiment, dataset, weights)
        self.copies = False
        """Whether what it tells is copied: a side that is asked for steps that nobody sees uses its arrays again."""

    def take(self, chunk: Chunk, x: Array, y: Array) -> Taken:
        """The steps of a chunk, as far as the side comes; those before it that nobody asked for are taken first."""
        if chunk.first_step > self._next:
            self._pass_over(chunk.first_step - 1)
        parts, failure = steps_taken(self.experiment, self.side, chunk, x, y)
        self._next, taken = chunk.first_step, []
        for part in parts:
            told = {key: np.array(array) for key, array in part.items()} if self.copies else part
            taken.append(records := Records(self._next, told, self.before))
            self._next, self.before = records.last_step + 1, records.state_after()
        return taken, failure

    def _pass_over(self, last: int) -> None:
        if self.side.can("pass_over"):
            self.before, self._next = self.side.call("pass_over", last, last), last + 1
            return
        for chunk in self.schedule.chunks(self._length, self._next, last):
            _, failure = self.take(chunk, *batches(self.dataset, chunk))
            if failure is not None:
                raise failure


def batches(dataset: Dataset, chunk: Chunk) -> tuple[Array, Array]:
    """x and y of each step of a chunk, for all sides: nobody may write them."""
    x, y = (taken(array, chunk.rows) for array in (dataset.x, dataset.y))
    return x, y


def lockstep(
    experiment: Experiment,
    reference: LoadedSide,
    candidate: LoadedSide,
    dataset: Dataset,
    weights: Mapping[str, Array],
    lanes: tuple[Lane, ...],
) -> Generator[Pair]:
    """Train both sides and yield what they did, chunk by chunk; memory does not grow with the number of steps.

    The reference, which waits for nobody, takes its next chunk while the candidate takes this one; a candidate that can
    be asked meanwhile is asked about that chunk. A pair stays valid until the one after the next is asked for. Where a
    side is a recorded one, only the steps that it has are yielded.

    Raises:
        SideError: a side failed; the steps before that were yielded.
    """
    schedule = Schedule.of(experiment, len(dataset))
    trusted, judged = (Walk(experiment, side, dataset, weights) for side in (reference, candidate))
    precision: Precision = "float64" if dataset.x.dtype == np.float64 else "float32"
    spans = common_spans((reference, candidate), precision)
    trusted.copies = judged.copies = spans is not None and len(spans) > 1
    length = chunk_length(experiment, dataset, weights)
    chunks = itertools.chain.from_iterable(schedule.chunks(length, *span) for span in spans or [(1, schedule.steps)])

    # What it makes of the reference's steps waits for nothing else, either.
    beside = judged.side.guard is None and getattr(judged.side.side, "replays_beside", False) and "local" in lanes

    def take(chunk: Chunk) -> tuple[Chunk, Array, Array, Taken, Replayed | None]:
        x, y = batches(dataset, chunk)  # both sides are given the same
        parts, failure = trusted.take(chunk, x, y)
        # Of several parts, each is asked about in its turn: what was answered lasts for one chunk more, not for many.
        return chunk, x, y, (parts, failure), _replayed(judged, parts[0]) if beside and len(parts) == 1 else None

    # Guarded calls are made one at a time, see `parity.sides.guard`.
    taken = (take(chunk) for chunk in chunks) if reference.guard else _ahead(take, chunks)
    with closing(taken):  # its thread ends with it, however this ends
        for chunk, x, y, (parts, failure), ahead in taken:
            for records in parts:
                steps = slice(records.first_step - chunk.first_step, records.last_step + 1 - chunk.first_step)
                asked = Chunk(records.first_step, chunk.rows[steps])
                yield from _judged(judged, records, asked, x[steps], y[steps], lanes, ahead)
            if failure is not None:
                raise failure


def _judged(
    walk: Walk,
    records: Records,
    chunk: Chunk,
    x: Array,
    y: Array,
    lanes: tuple[Lane, ...],
    ahead: Replayed | None,
) -> Generator[Pair]:
    """What the candidate did in some steps of the reference's, as far as it comes; `ahead`: what was asked before."""
    replays = walk.side.can("replay")
    taken, failure = [Records(chunk.first_step, {}, walk.before)], None
    if "free" in lanes or not replays:  # its own run is all there is of one that is not asked
        taken, failure = walk.take(chunk, x, y)
        records = records.first(sum(map(len, taken)))
    for free in taken:
        same = records.first(len(free) or len(records))
        local: Mapping[Key, Array] | None = {}
        own: Mapping[Key, Array] | None = {}
        failed: SideError | None = None
        if replays and "local" in lanes:
            local, failed = ahead if ahead is not None and len(same) == len(chunk) else _replayed(walk, same)
        if replays and len(free) and local is not None and failed is None:
            own, failed = _replayed(walk, free)
        failure = failure or failed
        yield Pair(same, free.arrays, local or {}, own or {}, free.before)
        if len(same) < len(records):
            records = records.rest(len(same))
    if failure is not None:
        raise failure


def _replayed(walk: Walk, records: Records) -> Replayed:
    """What a side makes of recorded inputs; where too little was recorded, the judge says what that costs."""
    try:
        return replay(walk.experiment, walk.side, records), None
    except UnrecordedError:
        return None, None
    except SideError as error:
        return {}, error


def _ahead(function: Callable[[Chunk], _Result], chunks: Iterable[Chunk]) -> Generator[_Result]:
    """`map`, but the next result is computed in a thread while this one is used."""
    with ThreadPoolExecutor(1, "reference") as thread:
        waiting: Future[_Result] | None = None
        for chunk in chunks:
            started = thread.submit(function, chunk)
            if waiting is not None:
                yield waiting.result()
            waiting = started
        if waiting is not None:
            yield waiting.result()


def chunk_length(experiment: Experiment, dataset: Dataset, weights: Mapping[str, Array]) -> int:
    """As many steps as fit the memory set aside: weights, gradients and slots, and what flows through the layers.

    Of a small network hundreds; of others 40 while they fit, so that soon as much memory is in use as ever will be.
    """
    parameters = sum(array.nbytes for array in weights.values())
    # Of a model's own layers nobody knows how much they put out; only the last output is kept of them.
    flowing = dataset.x[0].size + 4 * sum(getattr(layer, "units", 0) for layer in experiment.layers)
    batch_size = Schedule.of(experiment, len(dataset)).batch_size
    step_bytes = 5 * parameters + batch_size * flowing * dataset.x.itemsize
    steps = max(SMALL_BYTES // step_bytes, min(CHUNK_BYTES // step_bytes, LARGE_STEPS))
    return int(np.clip(steps, 1, CHUNK_STEPS))
