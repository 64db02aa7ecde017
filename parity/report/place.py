"""The file that a report is written to, whatever is there already: another file, a link, a device, a named pipe."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

READ_ONLY = "the file is read-only"


def read_only(path: Path) -> bool:
    """Whether there is a file that nobody is to write to, which a rename would put another in the place of.

    Its mode says so to the superuser as well, who may write to every file.
    """
    try:
        mode = _mode(path)
    except OSError:
        return False  # it cannot be written to for a reason of its own
    return stat.S_ISREG(mode) and (not mode & 0o222 or not os.access(path, os.W_OK))


@contextmanager
def whole(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """A file that appears when it is complete, with the mode of the one whose place it takes.

    A link stays, and what it leads to is replaced. Into a device or a pipe is written as it comes: nothing else can
    have their place.

    Raises:
        OSError: it cannot be written to, or is read-only.
    """
    _refuse_read_only(path)
    mode = _mode(path)
    if mode and not stat.S_ISREG(mode):
        with _open(path, "w", binary=binary) as stream:
            yield stream
        return
    place = Path(os.path.realpath(path))
    unfinished = place.with_name(f".{place.name}.{os.getpid()}")
    try:
        with _open(unfinished, "w", binary=binary) as stream:
            yield stream
        if mode:
            unfinished.chmod(stat.S_IMODE(mode))
        unfinished.replace(place)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def added(path: Path, *, binary: bool = False) -> Iterator[IO[Any]]:
    """The end of a file that others write to as well.

    Raises:
        OSError: it cannot be written to, or is read-only.
    """
    _refuse_read_only(path)
    with _open(path, "a", binary=binary) as stream:
        yield stream


def _mode(path: Path) -> int:
    """What is there, 0 where nothing is.

    Raises:
        OSError: a link to itself, a name that is too long, a folder that nobody may look into.
    """
    try:
        return path.stat().st_mode
    except FileNotFoundError:
        return 0


def _refuse_read_only(path: Path) -> None:
    if read_only(path):
        raise PermissionError(errno.EACCES, READ_ONLY)


def _open(path: Path, mode: str, *, binary: bool) -> IO[Any]:
    return path.open(f"{mode}b") if binary else path.open(mode, encoding="utf-8", newline="")
