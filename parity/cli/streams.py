"""Standard output and error as the caller has them: a pipe that is read no further, a full disk, closed, plain ASCII.

Exit codes say what was found. Whoever reads the first line of a report and leaves must not make parity a divergence.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

from parity.errors import UsageError


class _Unread(io.FileIO):
    """What a reader no longer takes is dropped; what cannot be written for another reason is said once."""

    dropped = False

    def write(self, data: Any) -> int:
        if not self.dropped:
            try:
                return super().write(data)
            except OSError as error:
                self.dropped = True
                if error.errno != errno.EPIPE:
                    msg = f"{'standard output' if self.fileno() == 1 else 'standard error'}: {error.strerror}"
                    raise UsageError(msg) from None
        return memoryview(data).nbytes


def prepare() -> None:
    """Make both streams take whatever is printed; those that somebody has put in their place stay as they are."""
    if sys.stdout is sys.__stdout__:
        sys.stdout = _prepared(sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _prepared(sys.stderr)


def _prepared(stream: TextIO | None) -> TextIO:
    if stream is None:  # closed by the caller
        return Path(os.devnull).open("w", encoding="utf-8")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if stream.isatty():
        stream.reconfigure(errors="replace")
        return stream
    stream.flush()
    raw = _Unread(stream.fileno(), "wb", closefd=False)
    at_once = stream.write_through  # python -u
    return io.TextIOWrapper(
        raw if at_once else io.BufferedWriter(raw),  # as Python itself does
        stream.encoding,
        "replace",
        line_buffering=stream.line_buffering,
        write_through=at_once,
    )
