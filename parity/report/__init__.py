"""Reports: all written from one model of facts, one format a file.

To add a format, write a module with `write(result, stream)` and name it in `FORMATS`.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from parity.errors import UsageError, nearest

if TYPE_CHECKING:
    from parity.result import Result

FORMATS = {
    "terminal": "parity.report.terminal",
    "markdown": "parity.report.markdown",
    "json": "parity.report.as_json",
    "csv": "parity.report.as_csv",
}


@dataclass(frozen=True)
class Target:
    format: str
    path: str
    """`-` is standard output."""


def parse_targets(texts: Iterable[str]) -> list[Target]:
    """`markdown=diff.md` as a format and a path.

    Raises:
        UsageError: no such format, no path, or a folder that is not there.
    """
    targets: list[Target] = []
    for text in texts:
        form, _, path = text.partition("=")
        if form not in FORMATS or not path:
            msg = f"--report {text}: expected FORMAT=PATH, FORMAT one of {', '.join(FORMATS)}"
            msg += f"; did you mean {form}=FILE?" if form in FORMATS else nearest(form, FORMATS)
            raise UsageError(msg)
        if path != "-" and not Path(path).parent.is_dir():
            msg = f"--report {text}: there is no folder {Path(path).parent}"
            raise UsageError(msg)
        if Path(path).is_dir():
            msg = f"--report {text}: {path} is a folder; name a file"
            raise UsageError(msg)
        if path in {target.path for target in targets}:
            msg = f"--report {text}: {'standard output' if path == '-' else path} already takes another report"
            raise UsageError(msg)
        targets.append(Target(form, path))
    return targets


def write_reports(result: Result, targets: Iterable[Target]) -> None:
    """Write each report; a file appears whole or not at all."""
    for target in targets:
        write = importlib.import_module(FORMATS[target.format]).write
        if target.path == "-":
            write(result, sys.stdout)
            continue
        path = Path(target.path)
        unfinished = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with unfinished.open("w", encoding="utf-8", newline="") as stream:
                write(result, stream)
            unfinished.replace(path)
        except OSError as error:
            msg = f"--report {target.format}={target.path}: cannot be written: {error.strerror}"
            raise UsageError(msg) from None
        finally:
            unfinished.unlink(missing_ok=True)
