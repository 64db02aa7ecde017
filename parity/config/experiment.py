"""The experiment: everything both sides must agree on before a difference between them means anything."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import BeforeValidator, Field, PrivateAttr, Strict, field_validator, model_validator
from pydantic_core import PydanticCustomError

from parity.config.base import Count, Frozen
from parity.config.data import Data
from parity.config.layers import Dense, Layer
from parity.config.losses import Loss
from parity.config.numbers import Listed, NamedNumbers
from parity.config.optimizers import Optimizer
from parity.config.tolerances import Tolerance
from parity.conventions import chosen, convention
from parity.errors import UsageError

Precision = Literal["float32", "float64"]
Metric = Annotated[
    Literal["accuracy"],
    BeforeValidator(  # the test that Keras makes (keras/src/trainers/compile_utils.py, get_metric)
        lambda given: "accuracy" if str(given).lower() in {"accuracy", "acc"} else given,
        json_schema_input_type=Literal["accuracy", "acc"],
    ),
]
ITERATIONS = "optimizer/iterations"


def inconsistencies(given: Mapping[str, Any]) -> list[str]:
    """What no single key is to blame for, in an experiment as it was written: other keys may be wrong as well."""
    found = []
    if given.get("epochs") is not None and given.get("steps") is not None:
        found.append("epochs and steps are both given; give one of them")
    layers = given.get("layers")
    places: dict[str | None, list[str]] = {}
    for at, name in enumerate(_names(layers) if isinstance(layers, list | tuple) else ()):
        places.setdefault(name, []).append(f"layers.{at}")
    for name, same in places.items():
        if name is not None and len(same) > 1:
            found.append(
                f"layer names must differ; {name!r:.60} is the name of {', '.join(same)}; allowed: any other (layers "
                "without a name are counted as in Keras: dense, dense_1, ...)"
            )
    return found


def _names(layers: Iterable[Any]) -> Iterator[str | None]:
    """Of each layer, in any of its spellings; of one without a name Keras' automatic one. None where it is no Dense.

    Keras counts the layers that it names itself, whatever the others are called (keras/src/utils/naming.py), here from
    a fresh session.
    """
    automatic = (f"dense_{count}" if count else "dense" for count in itertools.count())
    for layer in layers:
        if isinstance(layer, Mapping):
            config = layer.get("config")
            name = layer.get("name", config.get("name") if isinstance(config, Mapping) else None)
        else:
            name = getattr(layer, "name", None)
        if name is None and isinstance(layer, Mapping | Dense):
            name = next(automatic)
        yield None if name is None else str(name)


class _Arrays:
    """Arrays that nobody writes, equal to nobody but themselves: experiments are compared, and shown to sides."""

    def __init__(self, arrays: Mapping[str, Any]) -> None:
        self.arrays = {name: np.array(array) for name, array in arrays.items()}
        for array in self.arrays.values():
            array.flags.writeable = False


def _said_of_codes(given: Any) -> Any:
    """Each code with itself and all choices given for it: one value then knows what it takes to judge it.

    `l2.penalty = "half"` with no quotes around the code is in TOML a table `l2` with a key `penalty`.
    """
    if not isinstance(given, Mapping):
        return given
    said: dict[Any, tuple[str, list[Any]]] = {}
    for key, value in given.items():
        nested = isinstance(value, Mapping) and value
        choices = {f"{key}.{name}": choice for name, choice in value.items()} if nested else {key: value}
        for code, choice in choices.items():
            said.setdefault(code, (str(code), []))[1].append(choice)
    return said


def _choice_said(said: tuple[str, list[Any]]) -> Any:
    """The choice given for a code, which has to be there; each that is not is a mistake of its own."""
    code, given = said
    choices = [repr(one) if isinstance(one, int | float) and not isinstance(one, bool) else one for one in given]
    try:
        known = convention(code)
        chosen((code, choice) for choice in choices)
        if isinstance(choices[0], str):
            known.choice(choices[0])
    except UsageError as error:
        raise PydanticCustomError("inconsistent", "{wrong}", {"wrong": str(error)}) from None
    return choices[0]


class Experiment(Frozen):
    """One training run, said once for both sides. Immutable."""

    name: str = "experiment"
    data: Data
    layers: Annotated[Listed[Layer], Field(min_length=1)]
    loss: Loss
    optimizer: Optimizer
    metrics: Listed[Metric] = ()
    """Called `accuracy` in what is recorded, also where Keras would report it as `acc`."""
    batch_size: Count | Literal["full"] = 32
    shuffle: bool = False
    """As `fit(shuffle=True)` under a global seed: one permutation, the same in every epoch."""
    drop_remainder: bool = False
    """Leave out the last batch of an epoch when it is smaller than batch_size."""
    epochs: Count | None = None
    steps: Count | None = None
    """Number of updates; give either epochs or steps. Neither is one epoch."""
    examples: Count | None = None
    """How many there are to train on; filled in when the data is loaded, for those who divide by it."""
    precision: Literal[Precision, "both"] = "both"
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    initial_weights: NamedNumbers | None = None
    """Arrays by name (`"dense/kernel" = [[...]]`), or an npz file of them; what is not named is initialised.

    `memory` are arrays handed over in Python, such as those of a model.
    """
    initial_state: NamedNumbers | None = None
    """What the optimizer remembers of steps it has taken before (`"dense/kernel/momentum" = [[...]]`), and how many
    these are (`"optimizer/iterations" = 40`), or an npz file of both; what is not named is zero.

    `memory` are arrays handed over in Python, such as those of a model.
    """
    declare: Annotated[
        dict[str, Annotated[str, BeforeValidator(_choice_said)]],
        Strict(False),
        BeforeValidator(_said_of_codes, json_schema_input_type=dict[str, str | float | dict[str, str | float]]),
        Field(json_schema_extra={"propertyNames": {"pattern": r"^[a-z0-9_]+(\.[a-z0-9_]+)?$"}}),
    ] = {}  # noqa: RUF012  # pydantic copies it
    """Conventions in which the candidate is meant to differ: `l2.penalty = "half"`."""
    tolerance: Listed[Tolerance] = ()
    """Fixed tolerances in place of derived budgets; of several that match a tensor the last one holds."""

    _state: _Arrays | None = PrivateAttr(default=None)

    def with_state(self, state: Mapping[str, Any]) -> Self:
        """The same with what `initial_state` stands for in memory."""
        copy = self.model_copy(update={"initial_state": self.initial_state or "memory"})
        copy._state = _Arrays(state)  # noqa: SLF001  # its own
        return copy

    @property
    def state(self) -> Mapping[str, Any] | None:
        """What `initial_state` stands for, once it was read: all slots by name, and `optimizer/iterations`."""
        return None if self._state is None or self.initial_state is None else dict(self._state.arrays)

    @field_validator("layers")
    @classmethod
    def _name_layers(cls, layers: tuple[Layer, ...]) -> tuple[Layer, ...]:
        named = zip(layers, _names(layers), strict=True)
        return tuple(layer.model_copy(update={"name": name}) for layer, name in named)

    @field_validator("name")
    @classmethod
    def _writable(cls, name: str) -> str:
        try:
            name.encode()
        except UnicodeEncodeError:  # it is printed and written everywhere
            raise PydanticCustomError("not_allowed", "allowed: text without halves of surrogate pairs") from None
        return name

    @field_validator("metrics")
    @classmethod
    def _once(cls, metrics: tuple[Metric, ...]) -> tuple[Metric, ...]:
        return tuple(dict.fromkeys(metrics))

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        given = {"epochs": self.epochs, "steps": self.steps, "layers": self.layers}
        if wrong := inconsistencies(given):
            raise PydanticCustomError("inconsistent", "{wrong}", {"wrong": "; ".join(wrong)})
        return self

    @property
    def layer_names(self) -> tuple[str, ...]:
        return tuple(str(layer.name) for layer in self.layers)

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """What is judged, the stricter first."""
        return ("float64", "float32") if self.precision == "both" else (self.precision,)
