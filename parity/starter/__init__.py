"""The files that somebody begins with: an experiment and a network beside it that run as they are."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from importlib import resources
from os import PathLike
from pathlib import Path

from parity.errors import UsageError

EXPERIMENT, NETWORK = "experiment.toml", "mynet.py"


def write(folder: str | PathLike[str], model: str | PathLike[str] | None = None) -> list[str]:
    """Write the files, and return what to tell: what they are and what to run next.

    Raises:
        UsageError: one of the files is there already, or the folder cannot be made.
    """
    place = Path(folder)
    files = {name: resources.files(__name__).joinpath(name).read_bytes() for name in (EXPERIMENT, NETWORK)}
    _write(place, files)
    command = ["parity", "diff", EXPERIMENT, "--candidate", f"{NETWORK}:MyNet"]
    return [
        f"wrote {place / EXPERIMENT}: what both networks are trained on, and how",
        f"wrote {place / NETWORK}: a network in NumPy that is not quite what Keras is",
        "",
        "Next",
        *([f"  cd {shlex.quote(str(place))}"] if place != Path() else []),
        f"  {shlex.join(command)}",
    ]


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    """All of the files, or none where one of them is there already."""
    if there := [name for name in files if (place / name).exists()]:
        msg = f"{place}: {', '.join(there)} is there already and is not overwritten; name another folder"
        raise UsageError(msg)
    try:
        place.mkdir(parents=True, exist_ok=True)
        for name, content in files.items():
            with (place / name).open("xb") as file:
                file.write(content)
    except OSError as error:
        msg = f"{error.filename or place}: cannot be written: {error.strerror}"
        raise UsageError(msg) from None
