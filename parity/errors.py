"""What can go wrong, and the exit code each kind ends with."""

from __future__ import annotations

from enum import IntEnum


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
