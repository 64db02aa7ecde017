"""Running the command line in this process, with limits, and judging how it ended."""

from __future__ import annotations

import contextlib
import io
import resource
import signal
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from parity import cli
from parity.errors import ExitCode

SECONDS, WAITING = 20, 300
"""Processor time that a run may take; and time by the clock, which a busy machine stretches, for one that waits."""
BYTES = 2**30
"""How much more memory than the process has already a run may ask for."""


@dataclass(frozen=True)
class Outcome:
    """One run: what it was given, how it ended, and what was wrong with that."""

    given: str
    ended: str
    wrong: str = ""
    said: str = ""

    def __str__(self) -> str:
        return f"{self.given}: {self.ended}{', WRONG: ' if self.wrong else ''}{self.wrong}\n  {self.said.strip()}"


class Kind(Protocol):
    """A kind of mutated input."""

    def __init__(self, folder: Path) -> None: ...

    def run(self, seed: int, number: int) -> Outcome: ...


class _TooLongError(BaseException):
    """No `Exception`: nothing on the way may take it for one of its own."""


def call(arguments: list[str]) -> tuple[int, str, str]:
    """The exit code of a command, and what it said on either stream; -1 where it did not come to an end."""
    out, err = io.StringIO(), io.StringIO()
    streams = contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)
    with streams[0], streams[1], warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        try:
            with _limits():
                code = cli.run(cli.cli, arguments, "parity")
        except SystemExit as end:
            code = int(end.code or 0)
        except _TooLongError:
            code = -1
    told = "".join(f"\n{one.category.__name__}: {one.message}" for one in warned)
    return code, out.getvalue(), err.getvalue() + told


def judged(given: str, code: int, out: str, err: str, *, lines: int | None = 1) -> Outcome:
    """Whether a run ended as it may; a usage error has so many lines."""
    ended = {-1: "no end"}.get(code) or str(ExitCode(code).name.lower())
    wrong = ""
    if code == -1:
        wrong = f"not finished after {SECONDS} s of work or {WAITING} s of waiting"
    elif "Traceback" in err:
        wrong = "a traceback"
    elif "Warning" in err:
        wrong = "a warning"
    elif code == ExitCode.USAGE:
        if out or not err or (lines is not None and len(err.splitlines()) != lines):
            wrong = "not the one line that was to be expected"
    elif code in {ExitCode.PARITY, ExitCode.DIVERGED, ExitCode.CANNOT_JUDGE}:
        if not out.startswith(ExitCode(code).name):
            wrong = "no verdict"
    else:
        wrong = "no exit code of a correct run"
    return Outcome(given, ended, wrong, err or out)


@contextlib.contextmanager
def _limits() -> Iterator[None]:
    def too_long(*_: object) -> None:
        raise _TooLongError

    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() if _LINUX else 0
    timers = ((signal.SIGPROF, signal.ITIMER_PROF, SECONDS), (signal.SIGALRM, signal.ITIMER_REAL, WAITING))
    kept = [signal.signal(number, too_long) for number, _, _ in timers]
    for _, timer, seconds in timers:
        signal.setitimer(timer, seconds)
    if used:
        resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        for (number, timer, _), before_it in zip(timers, kept, strict=True):
            signal.setitimer(timer, 0)
            signal.signal(number, before_it)


_LINUX = Path("/proc/self/statm").exists()  # elsewhere there is no limit of memory, only of time
