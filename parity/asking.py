"""What one side is asked, and what is taken of its answers: started, trained step by step, shown records again."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from itertools import groupby
from typing import Any, Literal

import numpy as np

from parity.config import Experiment
from parity.data import Chunk
from parity.errors import SideError, UnrecordedError
from parity.protocol import Array, Key, Records, keyed
from parity.sides import LoadedSide
from parity.sides.told import check
from parity.state import give_state, with_state
from parity.trace.side import same_bits

_OF_BATCH = ("batch", "forward", "gradient")
"""Phases in which some first axes are the examples of the batch, of which a later one can have fewer."""
Failure = SideError | KeyboardInterrupt
Taken = tuple[list[dict[Key, Array]], Failure | None]
"""What a side said of its steps, and what came after them where that was not all. In parts that follow on one another:
a new one begins where the type of an array changes."""


def own_experiment(experiment: Experiment, side: LoadedSide) -> Experiment:
    """The experiment for one side: for a stranger's a copy of all that is in it, to change for nobody else.

    The built-in ones only read it; a search for causes starts one thousands of times.
    """
    return experiment if side.guard is None else experiment.model_copy(deep=True)


def start_side(side: LoadedSide, experiment: Experiment, weights: Mapping[str, Array]) -> dict[Key, Array]:
    """Start a side; returns weights and slots before the first step: of a stranger the weights that it says it has.

    Those of a recorded side are the ones that it began with.
    """
    if side.guard is not None:
        side.guard.tells = {}
    kernel = next(iter(weights.values()))
    experiment = with_state(experiment, len(kernel))
    side.call("start", 0, own_experiment(experiment, side), {name: array.copy() for name, array in weights.items()})
    give_state(side, experiment, kernel.dtype)
    slots = side.call("initial_state", 0) if side.can("initial_state") else {}
    tells = side.guard is not None or side.can("spans")
    begins = {**weights, **_other_weights(experiment, side, weights)} if tells else weights
    return {Key("update", name): np.array(array) for name, array in {**slots, **begins}.items()}


def _other_weights(experiment: Experiment, side: LoadedSide, weights: Mapping[str, Array]) -> dict[str, Array]:
    """The weights that a side says it begins with, where they are other numbers than it was given.

    In another precision they are the same numbers: a network may compute in float64 what it is given in float32, and
    one that computes in float32 shows it in every step. A recorded side has them in the precision of the run.
    """
    same = same_bits if side.can("spans") else _same
    try:
        said = side.call("weights", 0)
    except SideError:  # the protocol asks for weights after a step
        return {}
    inputs = len(next(iter(weights.values())))
    told = _read(experiment, side, 0, {"weights": _by_name(side, 0, said)}, None, inputs, None)
    return {
        name: told[key].astype(given.dtype)
        for name, given in weights.items()
        if (key := Key("update", name)) in told and not same(told[key], given)
    }


def _same(one: Array, other: Array) -> bool:
    """As float32."""
    with np.errstate(over="ignore"):
        return np.array_equal(one.astype(np.float32), other.astype(np.float32), equal_nan=True)


def take_steps(
    experiment: Experiment, side: LoadedSide, chunk: Chunk, x: Array, y: Array
) -> Iterator[tuple[Chunk, dict[Key, Array]]]:
    """The steps of a chunk on one side, in parts as in `Taken`: mostly the whole chunk.

    Raises:
        SideError: it failed in one of them.
    """
    parts, failure = steps_taken(experiment, side, chunk, x, y)
    if failure is not None:
        raise failure
    begin = 0
    for told in parts:
        end = begin + len(next(iter(told.values())))
        yield Chunk(chunk.first_step + begin, chunk.rows[begin:end]), told
        begin = end


def steps_taken(experiment: Experiment, side: LoadedSide, chunk: Chunk, x: Array, y: Array) -> Taken:
    """As far as it comes: the steps of a chunk on one side, all at once where it can, otherwise one by one."""
    if side.can("steps"):
        try:
            said = side.call("steps", chunk.first_step, x, y)
            read = _read(experiment, side, chunk.first_step, said, len(chunk), x.shape[2], x.shape[1], "steps() ")
            if not read:
                raise _wrong(side, chunk.first_step, f"steps() told nothing of {len(chunk)} steps")
            _same_words(side, chunk.first_step, {key: array[0] for key, array in read.items()}, f"in the {x.dtype} run")
        except SideError as failure:
            return [], failure
        return [_kept(side, read)], None
    taken: list[dict[Key, Array]] = []
    try:
        for offset in range(len(chunk)):
            told = _take_step(experiment, side, chunk.first_step + offset, x[offset], y[offset])
            _same_words(side, chunk.first_step + offset, told, f"in the {x.dtype} run")
            taken.append(told)
    except (SideError, KeyboardInterrupt) as failure:
        return _stacked(taken), failure
    return _stacked(taken), None


def _take_step(experiment: Experiment, side: LoadedSide, step: int, x: Array, y: Array) -> dict[Key, Array]:
    """One step, and the weights after it."""
    given = x.copy(), y.copy()
    said = side.call("step", step, *given)
    _note_changes(side, step, given, (x, y))
    said = dict(said) if isinstance(said, Mapping) else {} if said is None else {"loss": said}
    said = {word: _in_precision(value, x.dtype) for word, value in said.items()}
    if "weights" not in said:
        said["weights"] = _by_name(side, step, side.call("weights", step))
    read = _read(experiment, side, step, said, None, x.shape[1], len(x))
    return {key: np.array(array) for key, array in read.items()}


def _note_changes(side: LoadedSide, step: int, given: tuple[Array, Array], kept: tuple[Array, Array]) -> None:
    """Arrays that a side was given are its own copies; that it writes into them is told all the same."""
    for name, now, before in zip("xy", given, kept, strict=True):
        if side.guard is not None and not np.array_equal(now, before, equal_nan=before.dtype.kind == "f"):
            side.guard.remark(
                f"it changes {name} in place", f"first in step {step}; it has copies, so that nobody else is given that"
            )


def _same_words(side: LoadedSide, step: int, told: Mapping[Key, Array], where: str, asked: Hashable = "step") -> None:
    """What a stranger tells, it tells at every step, in the same shape. Its types may change: the judge tells that.

    Without that, what was held against the reference once would stand for all the steps after.
    """
    if side.guard is None:
        return
    now = {key: f"an array of shape {array.shape[key.phase in _OF_BATCH :]}" for key, array in told.items()}
    before = side.guard.tells.setdefault(asked, now)
    for key in {**before, **now}:
        if (is_now := now.get(key, "nothing")) != (was := before.get(key, "nothing")):
            raise _wrong(side, step, f"told {is_now} as {key} {where}, and {was} in the steps before")


def _stacked(taken: list[dict[Key, Array]]) -> list[dict[Key, Array]]:
    """With the steps as first axis; NumPy would stack arrays of two types as one of the wider type."""
    alike = groupby(taken, lambda step: {key: array.dtype for key, array in step.items()})
    parts = (list(steps) for _, steps in alike)
    return [{key: np.stack([step[key] for step in steps]) for key in steps[0]} for steps in parts]


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


def replay(
    experiment: Experiment, side: LoadedSide, records: Records, method: Literal["replay", "retrace"] = "replay"
) -> dict[Key, Array]:
    """What the side makes of recorded inputs: of each operation's, or (`retrace`) of each step's.

    Raises:
        UnrecordedError: an input that it needs was not recorded.
        SideError: it failed.
    """
    untouched = Records(records.first_step, _read_only(records.arrays), _read_only(records.before))
    try:
        said = side.call(method, records.first_step, untouched)
    except SideError as error:
        missed = error.__cause__.args[0] if isinstance(error.__cause__, KeyError) else None
        told = {key for key in records.arrays if key.phase != "update"} | records.states_before().keys()
        if isinstance(missed, tuple) and missed not in told:  # sides need not have our type of keys
            msg = f"{side.name} cannot {method} these records: they have no {Key(*missed)}"
            raise UnrecordedError(msg) from error
        raise
    x = records.arrays.get(Key("batch", "x"))
    inputs, batch = (None, None) if x is None else (x.shape[2], x.shape[1])
    read = _read(experiment, side, records.first_step, said, len(records), inputs, batch, f"{method}() ")
    of_step = {key: array[0] for key, array in read.items()}
    _same_words(side, records.first_step, of_step, f"in {method}()", (method, frozenset(records.arrays)))
    return _kept(side, read)


def _read_only(arrays: Mapping[Key, Array]) -> dict[Key, Array]:
    """The same arrays for somebody who is shown them, and must not write what they will be held against."""
    shown = {key: array.view() for key, array in arrays.items()}
    for array in shown.values():
        array.flags.writeable = False
    return shown


def _read(
    experiment: Experiment,
    side: LoadedSide,
    step: int,
    said: Any,
    steps: int | None,
    inputs: int | None,
    batch: int | None,
    said_by: str = "",
) -> dict[Key, Array]:
    """What a side said; that it is not in the vocabulary, or of another shape, is its mistake.

    Where that was not in a step, which also has the weights of `weights()`, the method is named.
    """
    try:
        told = keyed(said, experiment.layer_names[-1], steps)
        if inputs is not None:
            check(told, experiment, inputs, batch, 0 if steps is None else 1)
    except ValueError as error:
        raise _wrong(side, step, f"{said_by}{error}") from None
    return told


def _by_name(side: LoadedSide, step: int, said: Any) -> Mapping[str, Any]:
    """What `weights()` returned."""
    if not isinstance(said, Mapping):
        raise _wrong(
            side,
            step,
            f"weights() returned {type(said).__name__}; expected name -> array, such as {{'dense/kernel': array}}",
        )
    return said


def _wrong(side: LoadedSide, step: int, what: str) -> SideError:
    """What a side said that cannot be."""
    error = SideError(f"{side.name} {f'at step {step}' if step else 'before the first step'}: {what}")
    error.step = step
    return error
