"""The report as Markdown, the form that is committed to the case book."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

from parity.report import causes, facts, worth
from parity.report.following import following

if TYPE_CHECKING:
    from parity.result import Result

_CAP = 40  # entries of a list


def write(result: Result, stream: IO[str]) -> None:
    """The report as one document."""
    stream.write(f"# {escape(result.experiment.name)}\n\n")
    stream.write(body(result))


def body(result: Result, level: int = 2) -> str:
    """The facts under headings of the given level."""
    heading = "#" * level
    parts = [f"**{escape(facts.headline(result))}**", _list(facts.subject(result))]
    if (first := result.first_divergence) is not None:
        parts += [f"{heading} First divergence", _list(facts.divergence(first))]
    for title, pairs in causes.sections(result.diagnosis):
        parts += [f"{heading} {escape(title)}", "\n".join(f"- {label}: {_code(label, text)}" for label, text in pairs)]
    parts += [f"{heading} Steps by tensors", _list(facts.runs(result))]
    for run in result.runs:
        parts.append(_table(facts.table(run)))
    parts.append(facts.lane_notes({lane for run in result.runs for lane, _ in run.summaries}))
    if fixed := list(worth.tolerances(result)):
        parts += [f"{heading} Fixed tolerances", _capped(fixed)]
    if errors := list(worth.sensitivity(result)):
        parts += [f"{heading} The smallest relative error that would have been seen", _list(errors)]
    if idle := list(worth.not_exercised(result)):
        parts += [f"{heading} Not exercised", _capped(idle)]
    if result.gradcheck is not None:
        parts += [f"{heading} Gradient check", _list(facts.gradcheck(result))]
    if missing := result.not_compared:
        parts += [f"{heading} Not compared", _capped([(item.what, item.why) for item in missing])]
    if items := list(following(result)):
        parts.append(f"{heading} Next")
        for item in items:
            parts.append(escape(item.why) + (":" if item.command else ""))
            parts += [f"```sh\n{item.command}\n```"] if item.command else []
    return "\n\n".join(parts) + "\n"


def escape(text: str) -> str:
    """Names come from files: none of their characters may become markup."""
    for character in "\\`*_<>|#[]":
        text = text.replace(character, f"\\{character}")
    return text.replace("\n", " ")


def _code(label: str, text: str) -> str:
    """Formulas and lines of code as such; what says in words why there is none stays text."""
    formula = label in {"reference", "candidate"} or (label.startswith("fix ") and "=" in text)
    return f"`` {text} ``" if formula and "``" not in text else escape(text)


def _list(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"- {escape(label)}: {escape(value)}" for label, value in pairs)


def _capped(pairs: list[tuple[str, str]]) -> str:
    more = [("…", f"and {len(pairs) - _CAP} more")] if len(pairs) > _CAP else []
    return _list([*pairs[:_CAP], *more])


def _table(table: facts.Table) -> str:
    header = ["phase", "tensor", "local", *(f"step {step}" for step in table.steps)]
    lines = [
        f"{table.precision}: {table.verdict}",
        "",
        line(header),
        line(["---", "---"] + ["---:"] * (len(header) - 2)),
    ]
    for row in table.rows:
        tensor = row.key.tensor + ("" if row.key.part == "whole" else f" ({row.key.part})")
        local = f"**{row.local}**" if row.local.beyond else str(row.local)
        lines.append(line([row.key.phase, escape(tensor), local, *map(str, row.free)]))
    return "\n".join(lines)


def line(cells: Iterable[str]) -> str:
    """One row of a table."""
    return f"| {' | '.join(cells)} |"
