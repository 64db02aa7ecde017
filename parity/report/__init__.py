"""Reports: all written from one model of facts, one format a file.

To add a format, write a module with `write(result, stream)`, for several results `write_entries(entries, stream)`, and
name it in `FORMATS`.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any

from parity.errors import UsageError, nearest
from parity.paths import is_folder
from parity.report.place import READ_ONLY, added, read_only, whole

if TYPE_CHECKING:
    from parity.held import Measures
    from parity.report.entries import Entry
    from parity.result import Result

SUMMARY = "GITHUB_STEP_SUMMARY"
STDOUT = "/dev/stdout"


@dataclass(frozen=True)
class Format:
    module: str
    binary: bool = False
    adds: bool = False
    """Whether it is added to what the file holds already."""
    pages: bool = False
    """Whether several results are several files: `write_entries` takes a path, and that may be a folder."""
    measures: bool = False
    """Whether it tells what is measured of every step, not only of those that are printed."""
    needs: str = ""
    """A package that is an extra of this one, of the same name as the format."""


FORMATS = {
    "terminal": Format("parity.report.terminal"),
    "markdown": Format("parity.report.markdown"),
    "html": Format("parity.report.html", pages=True, measures=True),
    "json": Format("parity.report.as_json", measures=True),
    "csv": Format("parity.report.as_csv", measures=True),
    "parquet": Format("parity.report.as_parquet", binary=True, measures=True, needs="pyarrow"),
    "junit": Format("parity.report.junit"),
    "github": Format("parity.report.github", adds=True),
}


@dataclass(frozen=True)
class Target:
    format: str
    path: str
    """`-` is standard output."""


def parse_targets(texts: Iterable[str], *, several: bool = False) -> list[Target]:
    """`markdown=diff.md` as a format and a path; `github` alone is the summary of the job that runs.

    Args:
        texts: as they were given.
        several: whether several results are to be told.

    Raises:
        UsageError: no such format, no path, a folder that is not there, a file that is read-only, or a package that is
            not installed.
    """
    targets: list[Target] = []
    for text in texts:
        form, _, path = text.partition("=")
        if text == "github" and SUMMARY in os.environ:
            path = os.environ[SUMMARY]
        if path == STDOUT:  # where that is a file, what is printed and the report have it together
            path = "-"
        if form not in FORMATS or not path:
            msg = f"--report {text}: expected FORMAT=PATH, FORMAT one of {', '.join(FORMATS)}"
            msg += f"; did you mean {form}=FILE?" if form in FORMATS else nearest(form, FORMATS)
            msg += f" (without a file: ${SUMMARY}, which is not set)" if form == "github" else ""
            raise UsageError(msg)
        if path != "-" and not is_folder(Path(path).parent):
            msg = f"--report {text}: there is no folder {Path(path).parent}"
            raise UsageError(msg)
        pages = several and FORMATS[form].pages
        if pages and path == "-":
            msg = f"--report {text}: several results are several pages; name a folder, or a file for the index"
            raise UsageError(msg)
        if is_folder(path) and not (pages and Path(path).suffix != ".html"):
            msg = f"--report {text}: {path} is a folder; name a file"
            raise UsageError(msg)
        if path != "-" and read_only(Path(path)):
            msg = f"--report {text}: {path} cannot be written: {READ_ONLY}"
            raise UsageError(msg)
        if path in {target.path for target in targets}:
            msg = f"--report {text}: {'standard output' if path == '-' else path} already takes another report"
            raise UsageError(msg)
        needs = FORMATS[form].needs
        if needs and importlib.util.find_spec(needs) is None:  # told before anything is trained
            msg = f"--report {text}: needs {needs}, which is not installed: pip install {needs}"
            raise UsageError(msg)
        targets.append(Target(form, path))
    return targets


def measures_for(targets: Iterable[Target]) -> Measures:
    """What has to be measured for these reports, and for what is printed."""
    return "all" if any(FORMATS[target.format].measures for target in targets) else "shown"


def write_reports(result: Result, targets: Iterable[Target]) -> None:
    """Write each report of one result.

    A file appears whole or not at all, and one that cannot be written takes no other with it.

    Raises:
        UsageError: a file could not be written; the others were.
    """
    _each(targets, lambda target: _to_stream(target, lambda module, stream: module.write(result, stream)))


def write_entries(entries: list[Entry], targets: Iterable[Target]) -> None:
    """The same for several results.

    Raises:
        UsageError: a file could not be written; the others were.
    """

    def write(target: Target) -> None:
        if FORMATS[target.format].pages:
            importlib.import_module(FORMATS[target.format].module).write_entries(entries, Path(target.path))
        else:
            _to_stream(target, lambda module, stream: module.write_entries(entries, stream))

    _each(targets, write)


def _each(targets: Iterable[Target], write: Callable[[Target], None]) -> None:
    unwritten: list[str] = []
    mistakes: list[Exception] = []
    for target in targets:
        try:
            write(target)
        except OSError as error:
            unwritten.append(f"--report {target.format}={target.path}: cannot be written: {error.strerror}")
        except Exception as error:  # noqa: BLE001  # ours; it is raised when the others are written
            mistakes.append(error)
    if mistakes:
        raise mistakes[0]
    if unwritten:
        raise UsageError("\n".join(unwritten))


def _to_stream(target: Target, write: Callable[[ModuleType, IO[Any]], None]) -> None:
    form = FORMATS[target.format]
    module = importlib.import_module(form.module)
    if target.path == "-":
        write(module, sys.stdout.buffer if form.binary else sys.stdout)
        sys.stdout.flush()
        return
    with (added if form.adds else whole)(Path(target.path), binary=form.binary) as stream:
        write(module, stream)
