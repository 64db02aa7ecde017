"""The files that somebody begins with: an experiment and a network beside it that run as they are."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from importlib import resources
from os import PathLike
from pathlib import Path

from parity.errors import UsageError
from parity.sides import read_model
from parity.starter import of_model
from parity.starter.of_model import EXPERIMENT, NETWORK

OF_MODEL = {
    EXPERIMENT: "",
    of_model.WEIGHTS: "its weights, from which both networks start",
    of_model.STATE: "what its optimizer remembers of the steps it has taken, with which both go on",
    NETWORK: "a frame for your own network: what to fill in is step",
}


def write(folder: str | PathLike[str], model: str | PathLike[str] | None = None) -> list[str]:
    """Write the files, and return what to tell: what they are and what to run next.

    Raises:
        UsageError: one of the files is there already, or the folder cannot be made.
    """
    place = Path(folder)
    if model is None:
        told = {EXPERIMENT: "what both networks are trained on, and how"}
        told[NETWORK] = "a network in NumPy that is not quite what Keras is"
        files = {name: resources.files(__name__).joinpath(name).read_bytes() for name in told}
        notes, commands = [], [["parity", "diff", EXPERIMENT, "--candidate", f"{NETWORK}:MyNet"]]
    else:
        given = read_model(Path(model))
        files = of_model.files(given, Path(model))
        told = {name: what for name, what in OF_MODEL.items() if name in files}
        told[EXPERIMENT] = f"the model {given.name}, on generated data: name your own in [data]"
        notes = [f"left out: {what}: {why}" for what, why in given.left_out]
        commands = [["parity", "diff", EXPERIMENT], ["parity", "diff", EXPERIMENT, "--candidate", f"{NETWORK}:MyNet"]]
    _write(place, files)
    return [
        *(f"wrote {place / name}: {what}" for name, what in told.items()),
        *notes,
        "",
        "Next",
        *([f"  cd {shlex.quote(str(place))}"] if place != Path() else []),
        *(f"  {shlex.join(command)}" for command in commands),
    ]


def _write(place: Path, files: Mapping[str, bytes]) -> None:
    """All of the files, or none where one of them is there already."""
    if there := [name for name in files if os.path.lexists(place / name)]:
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
