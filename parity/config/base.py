"""What every part of the shared config has in common: immutable, strict, and willing to read Keras' own spellings."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal, Union

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

# Keras serialises these beside `class_name` and `config`; they carry no setting.
_KERAS_BOOKKEEPING = frozenset({"module", "registered_name", "build_config", "shared_object_id"})


class Frozen(BaseModel):
    """An immutable part of an experiment. Unknown keys are errors, never ignored; nothing is read as another type."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    keras_only: ClassVar[Mapping[str, tuple[Any, ...]]] = {}
    """Settings of Keras' that are not offered here -> the values with which they do nothing; empty for mere labels.

    Keras writes them into every serialised object, so they are read, and refused where they would do something.
    """

    @model_validator(mode="before")
    @classmethod
    def _only_settings(cls, given: Any) -> Any:
        """Without idle ones of Keras', and with Python's numbers in place of NumPy's."""
        if not isinstance(given, Mapping):
            return given
        idle = {key for key, values in cls.keras_only.items() if key in given and (not values or given[key] in values)}
        return {key: plain(value) for key, value in given.items() if key not in idle}


def plain(value: Any) -> Any:
    """A number of NumPy's as Python's: those that are handed over in Python are as good."""
    return value.item() if isinstance(value, np.generic | np.ndarray) and value.ndim == 0 else value


NonNegative = Annotated[float, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1, le=2**31 - 1)]
"""Of what is made or done: what is larger is a slip of the keyboard."""
Fraction = Annotated[float, Field(ge=0, lt=1)]


class Serialized(BaseModel):
    """A Keras object as `keras.saving.serialize_keras_object` writes it."""

    class_name: str
    config: dict[str, Any]


def snake_case(name: str) -> str:
    """`GlorotUniform` -> `glorot_uniform`, `RMSprop` -> `rmsprop`: Keras' string identifiers."""
    if re.search("[A-Z]{2}", name):
        return name.lower()
    partly = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", name)
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", partly).lower()


def _unwrap(value: Any, shorthand: Callable[[Mapping[str, Any]], str | None]) -> dict[str, Any] | None:
    """Any accepted spelling as one flat mapping with `class_name`, or None where it is not one of them."""
    if isinstance(value, BaseModel):
        return {"class_name": type(value).__name__, **value.model_dump(exclude={"class_name"})}
    if isinstance(value, str):
        return {"class_name": value}
    if not isinstance(value, Mapping):
        return None
    flat = {key: item for key, item in value.items() if key not in _KERAS_BOOKKEEPING}
    if isinstance(flat.get("config"), Mapping):  # Keras: {"class_name": "L2", "config": {"l2": 0.01}}
        config = dict(flat.pop("config"))
        flat = {**config, **flat}
    if "class_name" not in flat and (implied := shorthand(flat)):
        flat["class_name"] = implied
    return flat


def keras_object(
    kind: str,
    classes: tuple[type[Frozen], ...],
    *,
    aliases: Mapping[str, str] | None = None,
    shorthand: Callable[[Mapping[str, Any]], str | None] = lambda _: None,
) -> BeforeValidator:
    """A validator that reads a Keras object in any of its spellings and names its class as Keras does.

    Accepted are the class name (`"L2"`), Keras' string identifier (`"l2"`), an alias (`"mse"`), Keras' serialised form
    (`{"class_name": ..., "config": {...}}`), the same flat (`{"class_name": "L2", "l2": 0.01}`) and, where the keys say
    it all, the parameters alone (`{"l2": 0.01}`).
    """
    names = {cls.__name__: cls.__name__ for cls in classes}
    names |= {snake_case(cls.__name__): cls.__name__ for cls in classes}
    names |= aliases or {}
    allowed = sorted({snake_case(cls.__name__) for cls in classes} | set(aliases or {}))

    def read(value: Any) -> Any:
        flat = _unwrap(value, shorthand)
        if flat is None or not isinstance(flat.get("class_name"), str):
            raise PydanticCustomError(
                "keras_object",
                "not readable as {kind}: give a name, or a table with class_name; allowed: {allowed}",
                {"kind": kind, "allowed": ", ".join(allowed), "names": allowed},
            )
        given = flat["class_name"]
        name = names.get(given) or names.get(given.lower())
        if name is None:
            raise PydanticCustomError(
                "unknown_name",
                "unknown {kind} {given!r}; allowed: {allowed}",
                {"kind": kind, "given": given, "allowed": ", ".join(allowed), "names": sorted({*allowed, *names})},
            )
        return {**flat, "class_name": name}

    spellings = Union[Literal[tuple(allowed)], Serialized, *classes]  # type: ignore[valid-type]  # made at run time
    return BeforeValidator(read, json_schema_input_type=spellings)
