"""Two sides trained in lockstep: the same batches, from the same initial weights, a chunk of steps at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np

from parity.config import Experiment, Precision
from parity.data import Chunk, Dataset, Schedule
from parity.data.sources import read_npz
from parity.errors import SideError, UsageError
from parity.protocol import Array, Key, Lane, Pair, Records, keyed
from parity.sides import LoadedSide

CHUNK_BYTES = 16 * 2**20  # what one side may record in a chunk; several chunks are on their way at once
CHUNK_STEPS = 64

_Taken = TypeVar("_Taken")


def draw_weights(
    side: LoadedSide, experiment: Experiment, inputs: int, precision: Precision
) -> Mapping[str, Array] | None:
    """What a side would start from by itself; None where it does not draw weights."""
    if not side.can("initial_weights"):
        return None
    return _asked(side, 0, "initial_weights", _own(experiment), inputs, precision)


def _own(experiment: Experiment) -> Experiment:
    """The experiment for one side: what is not immutable in it is a copy, so that no side changes it for another."""
    given = experiment.initial_weights
    return experiment.model_copy(update={"initial_weights": dict(given)}) if isinstance(given, dict) else experiment


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


def weight_shapes(experiment: Experiment, inputs: int) -> dict[str, tuple[int, ...]]:
    """`dense/kernel` -> (inputs, units), ... in Keras' order."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in experiment.layers:
        shapes[f"{layer.name}/kernel"] = (inputs, layer.units)
        if layer.use_bias:
            shapes[f"{layer.name}/bias"] = (layer.units,)
        inputs = layer.units
    return shapes


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
) -> Iterator[Pair]:
    """Train both sides and yield what they did, chunk by chunk; memory does not grow with the number of steps.

    The reference, which waits for nobody, takes its next chunk while the candidate takes this one. A pair stays valid
    until the one after the next is asked for.
    """
    schedule = Schedule.of(experiment, len(dataset))
    before, own_before = (start_side(side, experiment, weights) for side in (reference, candidate))
    chunks = schedule.chunks(chunk_length(experiment, dataset, weights, schedule))

    def take(chunk: Chunk) -> tuple[Chunk, Array, Array, dict[Key, Array]]:
        x, y = dataset.x[chunk.rows], dataset.y[chunk.rows]
        x.flags.writeable = y.flags.writeable = False  # both sides are given the same
        return chunk, x, y, take_steps(experiment, reference, chunk, x, y)

    for chunk, x, y, recorded in _ahead(take, chunks):
        records = Records(chunk.first_step, recorded, before)
        free: dict[Key, Array] = {}
        local: Mapping[Key, Array] = {}
        own: Mapping[Key, Array] = {}
        replays = candidate.can("replay")
        if "local" in lanes and replays:
            local = replay(experiment, candidate, records)
        if "free" in lanes:
            free = take_steps(experiment, candidate, chunk, x, y)
            own_records = Records(chunk.first_step, free, own_before)
            own = replay(experiment, candidate, own_records) if replays else {}
        yield Pair(records, free, local, own, own_before)
        before = records.state_after()
        own_before = own_records.state_after() if free else own_before


def _ahead(function: Callable[[Chunk], _Taken], chunks: Iterable[Chunk]) -> Iterator[_Taken]:
    """`map`, but the next result is computed in a thread while this one is used."""
    with ThreadPoolExecutor(1, "reference") as thread:
        waiting: Future[_Taken] | None = None
        for chunk in chunks:
            started = thread.submit(function, chunk)
            if waiting is not None:
                yield waiting.result()
            waiting = started
        if waiting is not None:
            yield waiting.result()


def start_side(side: LoadedSide, experiment: Experiment, weights: Mapping[str, Array]) -> dict[Key, Array]:
    """Start a side; returns weights and slots before the first step."""
    _asked(side, 0, "start", _own(experiment), {name: array.copy() for name, array in weights.items()})
    slots = _asked(side, 0, "initial_state") if side.can("initial_state") else {}
    return {Key("update", name): np.array(array) for name, array in {**slots, **weights}.items()}


def replay(
    experiment: Experiment, side: LoadedSide, records: Records, method: Literal["replay", "retrace"] = "replay"
) -> dict[Key, Array]:
    """What the side makes of recorded inputs: of each operation's, or (`retrace`) of each step's."""
    untouched = Records(records.first_step, _read_only(records.arrays), _read_only(records.before))
    said = _asked(side, records.first_step, method, untouched)
    return _kept(side, _read(experiment, side, records.first_step, said, len(records)))


def _read_only(arrays: Mapping[Key, Array]) -> dict[Key, Array]:
    """The same arrays for somebody who is shown them, and must not write what they will be held against."""
    shown = {key: array.view() for key, array in arrays.items()}
    for array in shown.values():
        array.flags.writeable = False
    return shown


def _read(experiment: Experiment, side: LoadedSide, step: int, said: Any, steps: int | None) -> dict[Key, Array]:
    """What a side said; that it is not in the vocabulary is its mistake."""
    try:
        return keyed(said, experiment.layer_names[-1], steps)
    except ValueError as error:
        msg = f"{side.name} at step {step}: {error}"
        raise SideError(msg) from None


def chunk_length(experiment: Experiment, dataset: Dataset, weights: Mapping[str, Array], schedule: Schedule) -> int:
    """As many steps as fit the memory set aside: weights, gradients and slots, and what flows through the layers."""
    parameters = sum(array.nbytes for array in weights.values())
    flowing = dataset.x.shape[1] + 4 * sum(layer.units for layer in experiment.layers)
    step_bytes = 5 * parameters + schedule.batch_size * flowing * dataset.x.itemsize
    return int(np.clip(CHUNK_BYTES // step_bytes, 1, CHUNK_STEPS))


def take_steps(experiment: Experiment, side: LoadedSide, chunk: Chunk, x: Array, y: Array) -> dict[Key, Array]:
    """The steps of a chunk on one side: all at once where it can, one after the other where it cannot."""
    if side.can("steps"):
        said = _asked(side, chunk.first_step, "steps", x, y)
        return _kept(side, _read(experiment, side, chunk.first_step, said, len(chunk)))
    taken = []
    for offset in range(len(chunk)):
        step = chunk.first_step + offset
        said = _asked(side, step, "step", x[offset].copy(), y[offset].copy())
        said = dict(said) if isinstance(said, Mapping) else {} if said is None else {"loss": said}
        said = {word: _in_precision(value, x.dtype) for word, value in said.items()}
        if not isinstance(weights := said.setdefault("weights", _asked(side, step, "weights")), Mapping):
            msg = f"{side.name} at step {step}: weights() returned {type(weights).__name__}; expected name -> array"
            raise SideError(msg)
        read = _read(experiment, side, step, said, None)
        taken.append({key: np.array(array) for key, array in read.items()})
    shapes = [{key: array.shape for key, array in step.items()} for step in taken]
    if any(step != shapes[0] for step in shapes):
        msg = f"{side.name}: what it says changes its shape between the steps from {chunk.first_step} on"
        raise SideError(msg)
    return {key: np.stack([step[key] for step in taken]) for key in taken[0]}


def _in_precision(said: Any, dtype: np.dtype[Any]) -> Any:
    """A single float, Python's or NumPy's own, takes the precision of the run. Arrays keep theirs."""
    if isinstance(said, Mapping):
        return {name: _in_precision(value, dtype) for name, value in said.items()}
    return dtype.type(said) if isinstance(said, float) else said  # np.float64 is one


def _kept(side: LoadedSide, said: dict[Key, Array]) -> dict[Key, Array]:
    """What a side said, still there after its next call: a pair is judged while the sides train the next chunk."""
    if getattr(side.side, "lasting", False):
        return said
    return {key: np.array(array) for key, array in said.items()}


def _asked(side: LoadedSide, step: int, method: str, *arguments: Any) -> Any:
    """Call a side's method; what it raises is reported as its own."""
    try:
        return getattr(side.side, method)(*arguments)
    except (Exception, SystemExit) as error:  # whatever a stranger's code raises
        at = f"step {step}" if step else "the start"
        raise SideError.raised(side.name, f"in {method} at {at}", error) from error
