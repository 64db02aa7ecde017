"""Two sides trained in lockstep: the same batches, from the same initial weights, a chunk of steps at a time."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import numpy as np

from parity.asking import Taken, own_experiment, replay, start_side, steps_taken
from parity.config import Experiment, Precision
from parity.data import Chunk, Dataset, Schedule
from parity.data.sources import read_npz
from parity.errors import SideError, UnrecordedError, UsageError
from parity.protocol import Array, Key, Lane, Pair, Records
from parity.sides import LoadedSide
from parity.sides.told import weight_shapes

CHUNK_BYTES = 16 * 2**20  # what one side may record in a chunk; several chunks are on their way at once
CHUNK_STEPS = 64

_Result = TypeVar("_Result")


def draw_weights(
    side: LoadedSide, experiment: Experiment, inputs: int, precision: Precision
) -> Mapping[str, Array] | None:
    """What a side would start from by itself; None where it does not draw weights."""
    if not side.can("initial_weights"):
        return None
    return side.call("initial_weights", 0, own_experiment(experiment), inputs, precision)


def start_weights(
    experiment: Experiment, drawn: Iterable[Mapping[str, Array] | None], inputs: int, precision: Precision
) -> dict[str, Array]:
    """The weights both sides start from: what the experiment names, the rest from the first side that draws them.

    Raises:
        UsageError: no side draws weights and not all are given, or a given one has the wrong name or shape.
    """
    shapes = weight_shapes(experiment, inputs)
    given = _given_weights(experiment)
    for name, array in given.items():
        if name not in shapes or array.shape != shapes[name]:
            expected = shapes.get(name, f"one of {', '.join(shapes)}")
            msg = f"initial_weights: {name} has shape {array.shape}; expected {expected}"
            raise UsageError(msg)
    found: Mapping[str, Array] = next((weights for weights in drawn if weights is not None), {})
    if missing := sorted(set(shapes) - set(given) - set(found)):
        msg = f"no side draws initial weights; give initial_weights for {', '.join(missing)}"
        raise UsageError(msg)
    return {name: np.array(given.get(name, found.get(name)), precision, order="C") for name in shapes}


def _given_weights(experiment: Experiment) -> dict[str, Array]:
    given = experiment.initial_weights
    if given is None:
        return {}
    if isinstance(given, str):
        stored = read_npz(Path(given))
        if wrong := [name for name, array in stored.items() if array.dtype.kind not in "fiu"]:
            msg = f"initial_weights: {given}: not numbers: {', '.join(wrong)}"
            raise UsageError(msg)
        return stored
    try:
        return {name: np.array(array, np.float64) for name, array in given.items()}
    except ValueError:
        msg = "initial_weights: every row of an array needs the same length"
        raise UsageError(msg) from None


def lockstep(
    experiment: Experiment,
    reference: LoadedSide,
    candidate: LoadedSide,
    dataset: Dataset,
    weights: Mapping[str, Array],
    lanes: tuple[Lane, ...],
) -> Generator[Pair]:
    """Train both sides and yield what they did, chunk by chunk; memory does not grow with the number of steps.

    The reference, which waits for nobody, takes its next chunk while the candidate takes this one. A pair stays valid
    until the one after the next is asked for.

    Raises:
        SideError: a side failed; the steps before that were yielded.
    """
    schedule = Schedule.of(experiment, len(dataset))
    before, own_before = (start_side(side, experiment, weights) for side in (reference, candidate))
    chunks = schedule.chunks(_chunk_length(experiment, dataset, weights, schedule))

    def take(chunk: Chunk) -> tuple[Chunk, Array, Array, Taken]:
        x, y = dataset.x[chunk.rows], dataset.y[chunk.rows]
        x.flags.writeable = y.flags.writeable = False  # both sides are given the same
        return chunk, x, y, steps_taken(experiment, reference, chunk, x, y)

    # Guarded calls are made one at a time, see `parity.sides.guard`.
    taken = (take(chunk) for chunk in chunks) if reference.guard else _ahead(take, chunks)
    with closing(taken):  # its thread ends with it, however this ends
        for chunk, x, y, (of_reference, failed) in taken:
            recorded, free, failure = of_reference, dict[Key, Array](), failed
            if "free" in lanes and recorded:
                done = _length(recorded)
                shorter = Chunk(chunk.first_step, chunk.rows[:done])
                free, failure = steps_taken(experiment, candidate, shorter, x[:done], y[:done])
                recorded, failure = _first(recorded, _length(free)), failure or failed
            records = Records(chunk.first_step, recorded, before)
            own_records = Records(chunk.first_step, free, own_before)
            local: Mapping[Key, Array] = {}
            own: Mapping[Key, Array] = {}
            if recorded and candidate.can("replay"):
                try:
                    local = replay(experiment, candidate, records) if "local" in lanes else {}
                    own = replay(experiment, candidate, own_records) if free else {}
                except UnrecordedError:  # a reference that tells little: the judge says what that costs
                    pass
                except SideError as error:
                    failure = failure or error
            if recorded:
                yield Pair(records, free, local, own, own_before)
            if failure is not None:
                raise failure
            before = records.state_after()
            own_before = own_records.state_after() if free else own_before


def _length(told: Mapping[Key, Array]) -> int:
    """How many steps were told."""
    return len(next(iter(told.values()))) if told else 0


def _first(told: dict[Key, Array], steps: int) -> dict[Key, Array]:
    """The first steps only; nothing where there are none."""
    return {key: array[:steps] for key, array in told.items()} if steps else {}


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


def _chunk_length(experiment: Experiment, dataset: Dataset, weights: Mapping[str, Array], schedule: Schedule) -> int:
    """As many steps as fit the memory set aside: weights, gradients and slots, and what flows through the layers."""
    parameters = sum(array.nbytes for array in weights.values())
    flowing = dataset.x.shape[1] + 4 * sum(layer.units for layer in experiment.layers)
    step_bytes = 5 * parameters + schedule.batch_size * flowing * dataset.x.itemsize
    return int(np.clip(CHUNK_BYTES // step_bytes, 1, CHUNK_STEPS))
