"""What can go wrong, and the exit code each kind ends with."""

from __future__ import annotations

import difflib
import sysconfig
from collections.abc import Iterable
from enum import IntEnum
from pathlib import Path
from traceback import walk_tb

_CALLERS = ("loader.py", "guard.py")  # of strangers' code
_READ_ONLY = "; arrays that are shown are shared: change a copy"

_NAMES = (
    "; weights are named by the layers' names, which Keras counts on for every model of a process: give the layers "
    "names, or take the weights in the order in which start gets them"
)


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
    step: int | None = None
    """At which it happened, where it was in one."""

    @classmethod
    def raised(cls, side: str, doing: str, error: BaseException, called: object = None) -> SideError:
        """What a side's own code raised, with its file and line; `called` is the function that was asked for."""
        said = f": {error}" if str(error) else ""
        hint = _READ_ONLY if isinstance(error, ValueError) and "read-only" in str(error) else ""
        hint = _NAMES if isinstance(error, KeyError) and "/" in str(error) else hint
        return cls(f"{side} raised {type(error).__name__} {doing}{said} ({_place(error, called)}){hint}")


class UnrecordedError(SideError):
    """What a side would have to be shown was not recorded: no fault of its own."""


def nearest(given: object, allowed: Iterable[str]) -> str:
    """`; did you mean 'sigmoid'?`, or nothing where no name is near."""
    spelled = {name.lower(): name for name in allowed}
    close = difflib.get_close_matches(str(given).lower(), spelled, n=1, cutoff=0.6)
    return f"; did you mean {spelled[close[0]]!r}?" if close else ""


def _place(error: BaseException, called: object = None) -> str:
    """The innermost line of the side's own code: what a library raised, it raised because of how it was called."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    frames = [(frame.f_code.co_filename, line) for frame, line in walk_tb(error.__traceback__)]
    written = [place for place in frames if not place[0].startswith("<frozen")]  # not Python's own import machinery
    libraries = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    own = [place for place in written if not any(Path(place[0]).is_relative_to(library) for library in libraries)]
    ours = Path(__file__).parent
    theirs = [place for place in own if not Path(place[0]).is_relative_to(ours)]
    adapters = [place for place in own if place[0] not in {str(ours / "sides" / name) for name in _CALLERS}]
    if not (theirs or adapters) and (code := getattr(called, "__code__", None)) is not None:
        return f"{code.co_filename}, line {code.co_firstlineno}"  # it could not even be called
    found = theirs or adapters or written
    return "{}, line {}".format(*found[-1]) if found else "unknown place"
