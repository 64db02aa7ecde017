"""For GitHub Actions: Markdown for the job's summary, and annotations.

The summary is added to the file that is named, or to `$GITHUB_STEP_SUMMARY`. Annotations are lines that the runner
picks out of what a step prints; they go to stderr, which it reads as well, so that stdout stays what was asked for.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from html import escape
from pathlib import Path
from typing import IO, TYPE_CHECKING

from parity.report import causes, facts, markdown
from parity.report.entries import Entry, told_first

if TYPE_CHECKING:
    from parity.result import Result

ANNOTATIONS = 10  # GitHub shows no more of a kind for a step
SUMMARY_BYTES = 2**20  # GitHub drops a longer summary whole
_IN_MESSAGE, _IN_PROPERTY = "%\r\n", "%\r\n:,"  # what the runner reads as its own
_REST = "Steps by tensors, and what the answer is worth"
_LONG = 4000  # characters of an annotation; GitHub cuts at 64 KB


def write(result: Result, stream: IO[str]) -> None:
    """One result."""
    write_entries([Entry(result.experiment.name, result)], stream)


def write_entries(entries: Iterable[Entry], stream: IO[str]) -> None:
    """Several results: an overview, those that are not as expected in full, the others folded."""
    told = list(entries)
    stream.write(summary(told))
    for line in annotated(told):
        sys.stderr.write(f"{line}\n")


def summary(entries: list[Entry]) -> str:
    """The Markdown; what does not fit is left out, and said to be."""
    parts = [f"## keras-parity\n\n{markdown.overview(entries)}\n"] if len(entries) > 1 else []
    room = SUMMARY_BYTES // 2 - sum(len(part.encode()) for part in parts)  # other steps write there, too
    folded: list[str] = []
    left_out = 0
    for entry in told_first(entries):
        fold = entry.passed and len(entries) > 1
        part = _folded(f"{markdown.mark(entry)} {escape(entry.name)}", _body(entry)) if fold else _entry(entry)
        room -= len(part.encode())
        if room <= 0:
            left_out += 1
        else:
            (folded if fold else parts).append(part)
    if folded:
        parts.append(_folded(f"{len(folded)} as expected", "\n".join(folded)))
    if left_out:
        parts.append(f"and {left_out} more, which do not fit here\n")
    return "\n".join(parts) + "\n"


def _entry(entry: Entry) -> str:
    return f"## {markdown.mark(entry)} {markdown.escape(entry.name)}\n\n{_body(entry)}"


def _body(entry: Entry) -> str:
    note = f"{markdown.escape(entry.note)}\n\n" if entry.note else ""
    if entry.result is None:
        return f"**{markdown.escape(entry.verdict)}**\n\n{note}"
    rest = _folded(_REST, markdown.rest(entry.result, 4, made=True))
    return f"{note}{markdown.answer(entry.result, 3)}\n\n{rest}"


def _folded(title: str, body: str) -> str:
    """The title is read as HTML, what stands between empty lines as Markdown."""
    return f"<details><summary>{title}</summary>\n\n{body}\n</details>\n"


def annotated(entries: list[Entry]) -> list[str]:
    """Workflow commands: what diverged, each of its causes, and what could not be judged."""
    found = [line for entry in entries if not entry.passed for line in _annotations(entry)]
    if len(found) > ANNOTATIONS:
        more = f"and {len(found) - ANNOTATIONS + 1} more: see the summary of the job"
        found = [*found[: ANNOTATIONS - 1], command("error", more, title="keras-parity")]
    return found


def _annotations(entry: Entry) -> Iterator[str]:
    result = entry.result
    if result is None:
        yield command("error", entry.note, title=f"{entry.verdict}: {entry.name}")
        return
    where = _source(result.candidate)
    lines = [entry.note] if entry.note else []
    lines.append(facts.headline(result))
    if (first := result.first_divergence) is not None:
        lines += [f"{label}: {value}" for label, value in facts.divergence(first)]
    yield command("error", "\n".join(lines), title=f"{result.verdict}: {entry.name}", **where)
    for cause in result.diagnosis.causes if result.diagnosis else ():
        among = causes.ambiguous(cause)
        lines = [
            cause.statement,
            *([f"{among} that this run cannot tell apart"] if among else []),
            f"reference: {cause.reference_formula}",
            f"candidate: {cause.candidate_formula}",
            f"fix the reference: {cause.fix_reference}",
            f"fix the candidate: {cause.fix_candidate}",
        ]
        others = list(causes.other_readings(result.diagnosis)) if among and result.diagnosis else []
        lines += [f"{label}: {value}" for label, value in [*causes.alternatives(cause), *others]]
        title = f"{cause}, {among}" if among else str(cause)
        yield command("error", "\n".join(lines), title=f"{title}: {entry.name}", **where)


def command(kind: str, message: str, **properties: str) -> str:
    """`::error file=net.py,line=3::message` with what would end it early written as GitHub reads it."""
    cut = message if len(message) <= _LONG else f"{message[:_LONG]} … cut short: see the summary of the job"
    told = ",".join(f"{name}={_encoded(value, _IN_PROPERTY)}" for name, value in properties.items())
    return f"::{kind} {told}::{_encoded(cut, _IN_MESSAGE)}"


def _encoded(text: str, characters: str) -> str:
    """These characters as `%25`, `%0D`, `%0A`; the percent sign first."""
    for character in characters:
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def _source(side: str) -> dict[str, str]:
    """File and line of a candidate in a file of its own."""
    file, colon, name = re.sub(r" \([^()]*\)$", "", side).rpartition(":")  # without the interpreter it ran by
    path = Path(file)
    if not colon or path.suffix != ".py" or not path.is_file():
        return {}
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return {"file": file}
    lines = [node.lineno for node in tree.body if getattr(node, "name", None) == name]
    return {"file": file, "line": str(lines[0])} if lines else {"file": file}
