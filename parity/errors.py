"""What can go wrong, and the exit code each kind ends with."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from enum import IntEnum
from traceback import walk_tb


class ExitCode(IntEnum):
    PARITY = 0
    DIVERGED = 1
    USAGE = 2
    SIDE_CRASHED = 3
    CANNOT_JUDGE = 4
    INTERRUPTED = 130


class ParityError(Exception):
    """Something the user is told in plain words: never shown as a traceback."""

    exit_code = ExitCode.USAGE


class UsageError(ParityError):
    """The command, the experiment or the data is not usable as given."""


class CannotJudgeError(ParityError):
    """Nothing, or nothing meaningful, could be compared."""

    exit_code = ExitCode.CANNOT_JUDGE


class SideError(ParityError):
    """A side raised, or returned something that is not what the protocol says."""

    exit_code = ExitCode.SIDE_CRASHED

    @classmethod
    def raised(cls, side: str, doing: str, error: BaseException) -> SideError:
        """What a side's own code raised, with its file and line."""
        return cls(f"{side} raised {type(error).__name__} {doing}: {error} ({_place(error)})")


def nearest(given: object, allowed: Iterable[str]) -> str:
    """`; did you mean 'sigmoid'?`, or nothing where no name is near."""
    spelled = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(str(given).lower(), spelled, n=1, cutoff=0.6)
    return f"; did you mean {spelled[close[0]]!r}?" if close else ""


def _place(error: BaseException) -> str:
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    written = [place for place in frames if not place[0].startswith("<frozen")]  # not Python's own import machinery
    return "{}, line {}".format(*written[-1]) if written else "unknown place"
