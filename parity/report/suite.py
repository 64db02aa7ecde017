"""A page for each of several results, and `index.html`, which leads to them."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from parity.report import facts
from parity.report.entries import Entry
from parity.report.html import SIGNS, page, render
from parity.report.html.assets import own

INDEX = "index.html"


def write_suite(entries: Iterable[Entry], folder: Path, title: str = "Parity") -> Path:
    """Write every result's page and the index into a folder, which is made if need be.

    The results may come one at a time, as they are made: only what the index says of each is kept.

    Returns:
        The path of the index.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    taken: set[str] = {INDEX}
    for entry in entries:
        name = _file(entry.name, taken)
        (folder / name).write_text(page(entry.result, back=INDEX), encoding="utf-8")
        rows.append(
            {
                "name": entry.name,
                "page": name,
                "passed": entry.passed,
                "note": entry.note,
                "verdict": str(entry.result.verdict),
                "sign": SIGNS[entry.result.verdict],
                "place": entry.place,
                "causes": entry.causes,
                "steps": facts.counted(entry.result.steps_compared, "step"),
                "sides": f"{entry.result.reference}, {entry.result.candidate}",
                "meaning": facts.meaning(entry.result),
            }
        )
    rows.sort(key=lambda row: bool(row["passed"]))  # what is not as expected comes first
    wrong = sum(not row["passed"] for row in rows)
    text = render("index.html.j2", scripts=[own("page.js")], title=title, rows=rows, wrong=wrong)
    (folder / INDEX).write_text(text, encoding="utf-8")
    return folder / INDEX


def _file(name: str, taken: set[str]) -> str:
    """A file name of its own for a result, whatever the result is called."""
    plain = re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:80] or "result"
    numbers = iter(range(2, len(taken) + 3))
    found = f"{plain}.html"
    while found in taken:
        found = f"{plain}-{next(numbers)}.html"
    taken.add(found)
    return found
