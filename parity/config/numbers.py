"""Lists in an experiment, and numbers written in it: one, a row of them, or rows of the same length."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeVar

import numpy as np
from pydantic import AfterValidator, Discriminator, Field, Strict, Tag
from pydantic_core import PydanticCustomError

_T = TypeVar("_T")

Listed = Annotated[tuple[_T, ...], Strict(False)]
"""A list, whatever Python calls it; an experiment is strict about what is in it."""


def told_apart(which: Callable[[Any], str | None], allowed: str) -> Discriminator:
    """A union whose members `which` tells apart by their tags: what is wrong is then said of the one that is meant."""
    return Discriminator(which, custom_error_type="not_allowed", custom_error_message=f"allowed: {allowed}")


def is_list(given: Any) -> bool:
    """Whether it has members; an array without dimensions is a number."""
    return isinstance(given, list | tuple) or (isinstance(given, np.ndarray) and given.ndim > 0)


def _shape(given: Any) -> str | None:
    if is_list(given):
        return "rows" if len(given) and is_list(given[0]) else "row"
    return "number" if isinstance(given, int | float | np.number | np.ndarray) else None


def _named(given: Any) -> str | None:
    return "table" if isinstance(given, Mapping) else "file" if isinstance(given, str) else None


def _even(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    if odd := [(at, len(row)) for at, row in enumerate(rows) if len(row) != len(rows[0])]:
        wrong = "row {} has {}, row 0 has {}; every row of an array needs the same length".format(*odd[0], len(rows[0]))
        raise PydanticCustomError("inconsistent", "{wrong}", {"wrong": wrong})
    return rows


FileName = Annotated[str, Field(min_length=1)]
_Number = Annotated[float, Tag("number")]
_Cells = Annotated[Listed[float], Field(min_length=1, fail_fast=True)]  # one mistake is told of many that are alike
_Row = Annotated[_Cells, Tag("row")]
_Rows = Annotated[Listed[_Cells], Field(min_length=1, fail_fast=True), AfterValidator(_even), Tag("rows")]
_LISTS = "a list of numbers, or a list of such lists"

Values = Annotated[_Row | _Rows, told_apart(_shape, _LISTS)]
"""Of examples: a number or a row each."""
Numbers = Annotated[_Number | _Row | _Rows, told_apart(_shape, f"a number, {_LISTS}")]
NamedNumbers = Annotated[
    Annotated[dict[str, Numbers], Strict(False), Tag("table")] | Annotated[FileName, Tag("file")],
    told_apart(_named, "a table of arrays by name, or the path of an npz file"),
]
