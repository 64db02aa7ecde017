"""Every measure of every step as CSV: one row for each step, tensor, part, lane and precision."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

from parity.report.tables import frames, frames_of

if TYPE_CHECKING:
    import pandas as pd

    from parity.report.entries import Entry
    from parity.result import Result


def write(result: Result, stream: IO[str]) -> None:
    """Stream the ledgers; memory does not grow with the number of steps."""
    _stream(frames(result), stream)


def write_entries(entries: Iterable[Entry], stream: IO[str]) -> None:
    """Those of several results; the first column tells which."""
    _stream(frames_of(entries), stream)


def _stream(tables: Iterable[pd.DataFrame], stream: IO[str]) -> None:
    for index, frame in enumerate(tables):
        frame.to_csv(stream, index=False, header=not index, lineterminator="\n")
