"""Every measure of every step as tables, some thousands of rows at a time: what CSV and Parquet hold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from parity.ledger import Ledger
from parity.measure import MEASURES
from parity.protocol import Key

if TYPE_CHECKING:
    import pandas as pd

    from parity.report.entries import Entry
    from parity.result import Result


def frames(result: Result) -> Iterator[pd.DataFrame]:
    """One row for each precision, step, tensor, part and lane; where nothing was measured, the columns alone."""
    yield _frame("", _one_row()).iloc[:0]
    yield from _measured(result)


def frames_of(entries: Iterable[Entry]) -> Iterator[pd.DataFrame]:
    """Those of several results; the first column tells which."""
    yield _of_case("", _frame("", _one_row()).iloc[:0])
    for entry in entries:
        for frame in _measured(entry.result) if entry.result is not None else ():
            yield _of_case(entry.name, frame)


def _of_case(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    frame.insert(0, "case", name)
    return frame


def _measured(result: Result) -> Iterator[pd.DataFrame]:
    for run in result.runs:
        for frame in run.ledger.frames():
            yield _frame(run.precision, frame)


def _frame(precision: str, frame: pd.DataFrame) -> pd.DataFrame:
    frame.insert(0, "precision", precision)
    return frame


def _one_row() -> pd.DataFrame:
    ledger = Ledger()
    ledger.append(Key("loss", "loss"), "local", 1, np.zeros(1, MEASURES))
    return next(ledger.frames())
