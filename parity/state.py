"""What the optimizer remembers when a run begins: read from the experiment, checked, complete.

An experiment names it (`initial_state`) where the optimizer has taken steps before, as that of a saved model has. All
of it is given to a side right after `start`, by `set_state`; a side that has no such method can only begin afresh.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from parity.config import Experiment
from parity.config.experiment import ITERATIONS
from parity.config.given import ModelExperiment
from parity.data.sources import read_npz
from parity.errors import UsageError, nearest
from parity.protocol import Array
from parity.sides import LoadedSide
from parity.sides.told import Shape, weight_shapes

AFRESH = "{} has no set_state(state), so that both begin with an optimizer that has taken no step; initial_state has {}"

AnExperiment = TypeVar("AnExperiment", bound=Experiment)


def slot_shapes(experiment: Experiment, inputs: int) -> dict[str, Shape]:
    """`dense/kernel/momentum` -> its shape, after `optimizer/iterations`."""
    shapes: dict[str, Shape] = {ITERATIONS: ()}
    for slot in experiment.optimizer.slots:
        shapes |= {f"{name}/{slot}": shape for name, shape in weight_shapes(experiment, inputs).items()}
    return shapes


def with_state(experiment: AnExperiment, inputs: int, handed: Mapping[str, Array] | None = None) -> AnExperiment:
    """The experiment with its initial state in memory: what is not named is zero.

    Args:
        experiment: names it, or says that it was handed over.
        inputs: number of inputs of the first layer.
        handed: the state, where the experiment does not hold it.

    Raises:
        UsageError: the file cannot be read, or a name or a shape is not the optimizer's.
    """
    given = experiment.initial_state
    if given is None or experiment.state is not None:
        return experiment
    return experiment.with_state(checked(experiment, inputs, _read(given) if handed is None else handed))


def _read(given: Mapping[str, Any] | str) -> dict[str, Array]:
    if given == "memory":
        raise UsageError("initial_state: that of this experiment was handed over in Python; give an npz file")
    if isinstance(given, str):
        return read_npz(Path(given))
    return {name: np.array(array, np.float64) for name, array in given.items()}


def checked(experiment: Experiment, inputs: int, given: Mapping[str, Array]) -> dict[str, Array]:
    """All slots and the counter of the experiment's optimizer, zero where they are not given.

    Raises:
        UsageError: a name or a shape is not the optimizer's, or something is no number.
    """
    if isinstance(experiment, ModelExperiment):  # of its optimizer nothing is known
        return dict(given)
    shapes, optimizer = slot_shapes(experiment, inputs), experiment.optimizer.class_name
    for name, array in given.items():
        if name not in shapes:
            there = ", ".join([ITERATIONS, *(f"dense/kernel/{slot}" for slot in experiment.optimizer.slots)])
            msg = f"initial_state: {name}: {optimizer} as it is set remembers nothing of that name, but {there}"
            raise UsageError(f"{msg}{nearest(name, shapes)}; to begin afresh leave initial_state out")
        if array.shape != shapes[name]:
            raise UsageError(f"initial_state: {name} has shape {array.shape}; expected {shapes[name]}")
        if array.dtype.kind not in "fiu":
            raise UsageError(f"initial_state: {name} is no array of numbers: {array.dtype}")
    taken = given.get(ITERATIONS, np.array(0))
    if not (taken >= 0 and taken % 1 == 0 and taken < 2**53):
        raise UsageError(f"initial_state: {ITERATIONS} counts the steps that were taken; received {taken}")
    slots = {name: given.get(name, np.zeros(shape)) for name, shape in shapes.items()}
    slots = {name: np.array(array, None if array.dtype.kind == "f" else np.float64) for name, array in slots.items()}
    return slots | {ITERATIONS: np.array(taken, np.int64)}


def give_state(side: LoadedSide, experiment: Experiment, dtype: Any) -> None:
    """Hand a side, after `start`, what its optimizer remembers; nothing where it has taken no step before.

    Raises:
        UsageError: the side cannot take it.
    """
    if experiment.state is None:
        return
    if not side.can("set_state"):
        raise UsageError(
            f"{side.name} has no set_state(state), and the experiment begins with an optimizer that has taken "
            f"{steps_taken(experiment)}: give it one (docs/your-own-network.md), or begin afresh: "
            "--set initial_state=none"
        )
    state = {name: np.array(a, dtype if a.dtype.kind == "f" else None) for name, a in experiment.state.items()}
    side.call("set_state", 0, state)


def check_began(name: str, experiment: Experiment, recorded: Mapping[str, Array], inputs: int) -> None:
    """Hold what a recorded reference's optimizer remembered before the first step against the experiment's.

    Raises:
        UsageError: it was something else.
    """
    for slot in slot_shapes(experiment, inputs).keys() & recorded.keys():
        array = recorded[slot]
        given = np.zeros_like(array) if experiment.state is None else experiment.state[slot].astype(array.dtype)
        if not np.array_equal(array, given):
            raise UsageError(
                f"{name}: began with another optimizer state than is compared: {slot} differs; it has to begin with "
                "initial_state, and the other side needs set_state(state) to begin with it"
            )


def steps_taken(experiment: Experiment) -> str:
    """`40 steps`."""
    taken = int((experiment.state or {}).get(ITERATIONS, 0))
    return f"{taken} step{'s' * (taken != 1)}"


def common_state(experiment: AnExperiment, sides: Iterable[LoadedSide], inputs: int) -> tuple[AnExperiment, str]:
    """The experiment with its state, if all sides can take it; otherwise without, and why."""
    experiment = with_state(experiment, inputs)
    unable = next((side.name for side in sides if not side.can("set_state")), None)
    if experiment.state is None or unable is None:
        return experiment, ""
    return experiment.model_copy(update={"initial_state": None}), AFRESH.format(unable, steps_taken(experiment))
