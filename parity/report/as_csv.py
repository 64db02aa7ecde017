"""Every measure of every step as CSV: one row for each step, tensor, part, lane and precision."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from parity.result import Result


def write(result: Result, stream: IO[str]) -> None:
    """Stream the ledgers; memory does not grow with the number of steps."""
    header = True
    for run in result.runs:
        for frame in run.ledger.frames():
            frame.insert(0, "precision", run.precision)
            frame.to_csv(stream, index=False, header=header, lineterminator="\n")
            header = False
