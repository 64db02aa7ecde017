"""Whether a file or a folder is there, whatever text somebody gave: pathlib raises where a name is too long for one."""

from __future__ import annotations

from os import PathLike
from pathlib import Path


def is_file(path: str | PathLike[str]) -> bool:
    """Whether there is a file of that name."""
    try:
        return Path(path).is_file()
    except OSError:
        return False


def is_folder(path: str | PathLike[str]) -> bool:
    """Whether there is a folder of that name."""
    try:
        return Path(path).is_dir()
    except OSError:
        return False
