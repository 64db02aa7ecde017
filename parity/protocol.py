"""What a side is, and what it says of a step: the words that both sides and the examiner share.

A side needs three methods:

    start(experiment, weights)   weights: {"dense/kernel": array, ...} in Keras' names and layout
    step(x, y)                   one update; returns a loss, or a mapping in the vocabulary below
    weights()                    after the update, same names and layout

Everything else is optional and makes the answer finer; see `Side`.

The vocabulary of a step. Every value is an array; groups map a name to an array:

    x, y                                           the batch that was trained on
    pre_activation, output                         {layer: array}, (batch, units); output may be the last layer's array
    loss, loss/data, loss/penalty                  scalars, before the update
    penalty                                        {tensor: scalar}, what each regularizer adds
    gradient, gradient/data, gradient/penalty      {tensor: array}; also of layer/pre_activation and layer/output
    weights                                        {tensor: array}, after the update
    optimizer                                      {name: array}: iterations, learning_rate, dense/kernel/momentum, ...
    metrics                                        {name: scalar}, before the update
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from parity.errors import nearest

if TYPE_CHECKING:
    from parity.config import Experiment, Precision

Array = npt.NDArray[Any]
Phase = Literal["batch", "forward", "loss", "gradient", "update", "metrics"]
Part = Literal["whole", "data", "penalty"]
Lane = Literal["local", "free"]

PHASES: tuple[Phase, ...] = ("batch", "forward", "loss", "gradient", "update", "metrics")
PARTS: tuple[Part, ...] = ("data", "penalty", "whole")  # parts before their sum


class Key(NamedTuple):
    """Names one thing a step produces."""

    phase: Phase
    tensor: str
    part: Part = "whole"

    @property
    def layer(self) -> str:
        """`dense` of `dense/kernel`, `optimizer` of `optimizer/iterations`; empty for `loss`, `x` and `y`."""
        return self.tensor.partition("/")[0] if "/" in self.tensor else ""

    def __str__(self) -> str:
        return f"{self.phase} {self.tensor}" + ("" if self.part == "whole" else f" ({self.part})")

    @property
    def in_words(self) -> str:
        """The same in a sentence, where it is `loss` and not `loss loss`."""
        return self.phase if self.tensor == self.phase and self.part == "whole" else str(self)


_GROUPS: dict[str, tuple[Phase, Part, str]] = {
    "pre_activation": ("forward", "whole", "{}/pre_activation"),
    "output": ("forward", "whole", "{}/output"),
    "penalty": ("loss", "penalty", "{}"),
    "gradient": ("gradient", "whole", "{}"),
    "gradient/data": ("gradient", "data", "{}"),
    "gradient/penalty": ("gradient", "penalty", "{}"),
    "weights": ("update", "whole", "{}"),
    "optimizer": ("update", "whole", "{}"),
    "metrics": ("metrics", "whole", "{}"),
}
_SINGLE: dict[str, Key] = {
    "x": Key("batch", "x"),
    "y": Key("batch", "y"),
    "loss": Key("loss", "loss"),
    "loss/data": Key("loss", "loss", "data"),
    "loss/penalty": Key("loss", "loss", "penalty"),
}
VOCABULARY: tuple[str, ...] = (*_SINGLE, *_GROUPS)


def keyed(said: Any, last_layer: str, steps: int | None = None) -> dict[Key, Array]:
    """What a side said of its steps, under keys.

    Args:
        said: a mapping in the vocabulary.
        last_layer: whose output a bare `output` array is.
        steps: the length of every array's first axis; None for a single step without that axis.

    Raises:
        ValueError: what was said is not in the vocabulary, not numbers, or not of that many steps.
    """
    if not isinstance(said, Mapping):
        msg = f"returned {type(said).__name__}; expected a mapping with {', '.join(VOCABULARY)}"
        raise ValueError(msg)  # noqa: TRY004  # one kind of mistake, whatever was said
    found: dict[Key, Array] = {}
    for word, value in said.items():
        if word in _SINGLE:
            found[_SINGLE[word]] = _numbers(word, value, steps)
        elif word in _GROUPS:
            phase, part, template = _GROUPS[word]
            group = value if isinstance(value, Mapping) else {last_layer: value}
            for name, array in group.items():
                found[Key(phase, template.format(name), part)] = _numbers(f"{word} of {name}", array, steps)
        else:
            msg = f"said {word!r}, which is not in the vocabulary: {', '.join(VOCABULARY)}{nearest(word, VOCABULARY)}"
            raise ValueError(msg)
    return found


def word_of(key: Key) -> tuple[str, str]:
    """The word of the vocabulary that says a key, and the name in its group: `keyed` the other way round."""
    for word, single in _SINGLE.items():
        if key == single:
            return word, ""
    if key.phase == "forward":
        layer, _, word = key.tensor.rpartition("/")
        return word, layer
    if key.phase == "update":
        layer, _, name = key.tensor.partition("/")
        return ("weights" if layer != "optimizer" and name and "/" not in name else "optimizer"), key.tensor
    return next(
        word for word, (phase, part, _) in _GROUPS.items() if (phase, part) == (key.phase, key.part)
    ), key.tensor


def _numbers(what: str, value: Any, steps: int | None) -> Array:
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "fiub":
        msg = f"gave no array of numbers as {what}: {value!r:.60}"
        raise ValueError(msg)
    if steps is not None and (array.ndim == 0 or len(array) != steps):
        msg = f"gave {what} of shape {array.shape}; expected {steps} steps as its first axis"
        raise ValueError(msg)
    return array


@dataclass(frozen=True)
class Records:
    """Everything one side produced in consecutive steps; every array has the steps as its first axis."""

    first_step: int
    arrays: Mapping[Key, Array]
    before: Mapping[Key, Array]
    """Weights and optimizer slots (update keys) as they were before the first of these steps."""

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values()))) if self.arrays else 0

    @property
    def last_step(self) -> int:
        return self.first_step + len(self) - 1

    def first(self, steps: int) -> Records:
        """The first steps alone."""
        if steps == len(self):
            return self
        kept = {key: array[:steps] for key, array in self.arrays.items()} if steps else {}
        return Records(self.first_step, kept, self.before)

    def rest(self, steps: int) -> Records:
        """All but the first steps."""
        kept = {key: array[steps:] for key, array in self.arrays.items()}
        return Records(self.first_step + steps, kept, self.first(steps).state_after() if steps else self.before)

    def step(self, index: int) -> dict[Key, Array]:
        """What one step produced."""
        return {key: array[index] for key, array in self.arrays.items()}

    def states_before(self) -> dict[Key, Array]:
        """Weights and slots that each step started from, stacked, in arrays of their own."""
        stacked = {}
        for key, array in self.arrays.items():
            if key.phase == "update" and key in self.before:
                stacked[key] = np.empty_like(array)
                stacked[key][0], stacked[key][1:] = self.before[key], array[:-1]
        return stacked

    def state_after(self) -> dict[Key, Array]:
        """Weights and slots after the last step, copied: the arrays themselves are reused by the next call."""
        return {key: np.array(array[-1]) for key, array in self.arrays.items() if key.phase == "update"}


@dataclass(frozen=True)
class Pair:
    """What both sides made of the same consecutive steps."""

    reference: Records
    free: Mapping[Key, Array]
    """The candidate going its own way from the common start."""
    local: Mapping[Key, Array]
    """The candidate given the reference's own inputs to each phase; empty where it cannot."""
    own: Mapping[Key, Array] = field(default_factory=dict)
    """The candidate given its own inputs once more: what its free run must have been; empty where it cannot."""
    free_before: Mapping[Key, Array] = field(default_factory=dict)
    """The candidate's weights and slots before the first of these steps of its free run."""

    audited: Mapping[Key, Array] = field(default_factory=dict)
    """What the stand-in makes of the candidate's own inputs to each phase, where the candidate cannot be asked."""

    @property
    def lanes(self) -> dict[Lane, Mapping[Key, Array]]:
        """What the candidate said in each lane."""
        return {"local": self.local, "free": self.free}


class Side(Protocol):
    """A side with everything the examiner can use. Only `start`, `step` and `weights` are required of a stranger's."""

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None: ...

    def step(self, x: Array, y: Array) -> Any: ...

    def weights(self) -> Mapping[str, Array]: ...

    def steps(self, x: Array, y: Array) -> Mapping[str, Any]:
        """Several updates at once: x of shape (steps, batch, features); the vocabulary with the steps as first axis.

        As with `step`, what a stranger's tells once it has to tell every time, in the same shapes.

        The arrays returned stay valid only until the next call; those of a side with `lasting = True` until two more
        chunks were taken, what it replays until one more was replayed, which saves a copy of them.
        """

    def initial_weights(self, experiment: Experiment, inputs: int, precision: Precision) -> Mapping[str, Array]:
        """What this side would start from by itself; compared exactly, and used for both if this is the reference."""

    def initial_state(self) -> Mapping[str, Array]:
        """Optimizer slots before the first step, in the names of `optimizer`."""

    def set_state(self, state: Mapping[str, Array]) -> None:
        """Called after `start` where the optimizer has taken steps before: all slots, in the names of `optimizer`.

        `optimizer/iterations` is how many. Without this method both sides begin with an optimizer that is new.
        """

    def replay(self, reference: Records) -> Mapping[str, Any]:
        """The local lane: each phase recomputed from the reference's own inputs to that phase, not from its results.

        Asked of a built-in side with `replays_beside = True` also in a second thread, while it takes steps or replays.
        """

    def retrace(self, records: Records) -> Mapping[str, Any]:
        """Each recorded batch trained on once more, from the recorded weights and slots that its step began with.

        Slots that were not recorded are carried on from step to step, as in a run.
        """

    def conventions(self) -> Mapping[str, tuple[str, ...]]:
        """Code -> the choices this side can be made with, other than Keras'."""

    def factors(self) -> tuple[str, ...]:
        """Of these the codes of which it can be made with any number as well (`l2.penalty=3`)."""

    def makes(self) -> Mapping[str, str]:
        """Code -> choice, where this side is known to differ from Keras: what stands in for it makes it, too."""

    def with_conventions(self, choices: Mapping[str, str]) -> Side:
        """The same side made with other conventions."""

    def sharing(self) -> Side:
        """The same side; what is made of it with other conventions may share work on arrays that nobody writes to."""

    def with_roundings(self, members: int, size: float) -> Sequence[Side]:
        """So many of the same side, each with rounding errors of its own made on purpose, of that unit roundoff."""

    def environment(self) -> Mapping[str, str]:
        """Versions and settings that bear on the numbers."""

    def spans(self, precision: Precision) -> tuple[tuple[int, int], ...]:
        """Of a side that was recorded: first and last step of what it has without a gap. Only that is compared."""

    def pass_over(self, last: int) -> Mapping[Key, Array]:
        """The same: go on after step `last`; returns weights and slots (update keys) that the next one began with."""


def execution_order(keys: Iterable[Key], layers: Iterable[str]) -> list[Key]:
    """Keys in the order in which a step produces them: phases, then layers forward (backward for gradients)."""
    return list(_ordered(tuple(keys), tuple(layers)))


@lru_cache(maxsize=32)
def _ordered(keys: tuple[Key, ...], layers: tuple[str, ...]) -> tuple[Key, ...]:
    """Asked for again in every chunk of steps."""
    position = {layer: index for index, layer in enumerate(layers)}
    forward = {name: rank for rank, name in enumerate(("pre_activation", "output", "kernel", "bias"))}
    backward = {name: rank for rank, name in enumerate(("output", "pre_activation", "kernel", "bias"))}

    def rank(key: Key) -> tuple[Any, ...]:
        layer, _, name = key.tensor.partition("/")
        at = position.get(layer, -1)
        if key.phase == "gradient":
            return (PHASES.index(key.phase), -at, backward.get(name, 9), name, PARTS.index(key.part))
        if key.phase == "loss":  # the data loss, each penalty, their sum, then everything
            own = key.tensor == "loss"
            stage = {"data": 0, "penalty": 2, "whole": 3}[key.part] if own else 1
            return (PHASES.index(key.phase), stage, at, forward.get(name, 9), name)
        weight, _, slot = name.partition("/")  # slots are written before the weight
        return (PHASES.index(key.phase), at, forward.get(weight, 9), not slot, slot, key.tensor)

    return tuple(sorted(keys, key=rank))
