"""Every measure of every step as CSV: one row for each step, tensor, part, lane and precision."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

from parity.report.tables import frames

if TYPE_CHECKING:
    from parity.result import Result


def write(result: Result, stream: IO[str]) -> None:
    """Stream the ledgers; memory does not grow with the number of steps."""
    for index, frame in enumerate(frames(result)):
        frame.to_csv(stream, index=False, header=not index, lineterminator="\n")
