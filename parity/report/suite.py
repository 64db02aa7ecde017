"""A page for each of several results, and an index, which leads to them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote

from parity.report import facts
from parity.report.entries import Entry
from parity.report.html import SIGNS, page, render
from parity.report.html.assets import own
from parity.report.place import whole
from parity.verdict import Verdict

INDEX = "index.html"
Row = dict[str, str | bool]
"""What the index says of one result; nothing but what can be sent from one process to another."""


def write_suite(entries: Iterable[Entry], place: Path, title: str = "Parity") -> Path:
    """Write every result's page, and the index.

    The results may come one at a time, as they are made: only what the index says of each is kept.

    Args:
        entries: the results.
        place: a folder, which is made if need be, for `index.html` and the pages; or the index itself, if it ends in
            .html: its pages are then in the folder beside it that is called the same without that.
        title: of the index.

    Returns:
        The path of the index.
    """
    index, folder = (place, place.with_suffix("")) if is_page(place) else (place / INDEX, place)
    taken: set[str] = {INDEX}
    rows = [write_page(entry, folder / file_name(entry.name, taken), index) for entry in entries]
    return write_index(rows, index, title)


def is_page(place: Path) -> bool:
    """Whether it is one page, and no folder of pages."""
    return place.suffix == ".html"


def write_page(entry: Entry, path: Path, index: Path) -> Row:
    """Write the page of one result, where there is one; what the index says of it."""
    result = entry.result
    if result is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole(path) as stream:
            stream.write(page(result, back=_from(path, index)))
    return {
        "name": entry.name,
        "page": "" if result is None else _from(index, path),
        "passed": entry.passed,
        "note": entry.note,
        "verdict": entry.verdict,
        "sign": SIGNS[Verdict.CANNOT_JUDGE if result is None else result.verdict],
        "place": entry.place,
        "causes": entry.causes,
        "steps": "" if result is None else facts.counted(result.steps_compared, "step"),
        "sides": "–" if result is None else f"{result.reference}, {result.candidate}",
    }


def write_index(rows: Iterable[Row], index: Path, title: str) -> Path:
    """Write the page that leads to the others: first to what is not as expected."""
    told = sorted(rows, key=lambda row: bool(row["passed"]))
    wrong = sum(not row["passed"] for row in told)
    text = render("index.html.j2", scripts=[own("page.js")], title=title, rows=told, wrong=wrong)
    index.parent.mkdir(parents=True, exist_ok=True)
    with whole(index) as stream:
        stream.write(text)
    return index


def file_name(name: str, taken: set[str]) -> str:
    """A file name of its own for a result, whatever the result is called; it is then taken."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:80] or "result"
    numbers = iter(range(2, len(taken) + 3))
    found = f"{plain}.html"
    while found in taken:
        found = f"{plain}-{next(numbers)}.html"
    taken.add(found)
    return found


def _from(page: Path, other: Path) -> str:
    """A link from one page to another."""
    return quote(Path(os.path.relpath(other, page.parent)).as_posix())
