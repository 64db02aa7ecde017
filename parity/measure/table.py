"""The table of measures: one row for each step of a tensor."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from parity.protocol import Array

_EXTREME = [("value", "f8"), ("index", "i8"), ("reference", "f8"), ("candidate", "f8")]
MEASURES = np.dtype(
    [
        ("absolute", _EXTREME),
        ("relative", _EXTREME),
        ("ulp", _EXTREME),
        ("used", _EXTREME),
        ("rms", "f8"),
        ("cosine", "f8"),
        ("size", "i8"),
        ("beyond", "i8"),  # elements over their budget
        ("nonfinite_reference", "i8"),
        ("nonfinite_candidate", "i8"),
        ("nonfinite_both", "i8"),  # the same NaN or infinity at the same place
    ]
)
Rows = npt.NDArray[Any]  # of dtype MEASURES, one for each step
Steps = npt.NDArray[np.intp]


class Largest(NamedTuple):
    """The largest differences of some steps, and the largest share of a budget; NaN where there was none."""

    absolute: float
    relative: float
    ulp: float
    used: float


def largest(rows: Rows) -> Largest:
    """The largest of each measure over all steps."""
    return Largest(*np.fmax.reduce(extremes(rows, np.float64)[:, :, 0], axis=0, initial=np.nan).tolist())


def largest_of_each(tables: list[Rows]) -> list[Largest]:
    """`largest` of each of several tables that follow one another, none of them empty."""
    starts = np.cumsum([0, *(len(table) for table in tables[:-1])])
    values = extremes(np.concatenate([words(table) for table in tables]).view(MEASURES)[:, 0], np.float64)[:, :, 0]
    return [Largest(*peaks) for peaks in np.fmax.reduceat(values, starts).tolist()]


def words(rows: Rows) -> Array:
    """The same memory as a matrix: every field has eight bytes, and NumPy copies fields one by one."""
    return rows.view(np.int64).reshape(len(rows), MEASURES.itemsize // 8)


def extremes(rows: Rows, dtype: type) -> Array:
    """The four extremes of each row by value, index, reference and candidate: (rows, 4, 4), written through."""
    return words(rows).view(dtype)[:, :16].reshape(len(rows), 4, 4)
