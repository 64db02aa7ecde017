"""The report as Markdown, the form that is committed to the case book."""

from __future__ import annotations

from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, get_args

from parity.report import facts, outline, steps
from parity.report.entries import Entry, told_first

_ROWS = 200  # of the overview

if TYPE_CHECKING:
    from parity.report.outline import Section
    from parity.result import Result


def write(result: Result, stream: IO[str]) -> None:
    """The report as one document."""
    stream.write(f"# {escape(result.experiment.name)}\n\n")
    stream.write(body(result, made=True))


def write_entries(entries: Iterable[Entry], stream: IO[str]) -> None:
    """An overview, then each result, those first that are not as expected."""
    told = list(entries)
    stream.write(f"# Parity\n\n{overview(told)}\n")
    for entry in told_first(told):
        stream.write(f"\n## {escape(entry.name)}\n\n")
        if entry.note:
            stream.write(f"{escape(entry.note)}\n\n")
        stream.write(body(entry.result, 3, made=True) if entry.result is not None else f"**{escape(entry.verdict)}**\n")


def overview(entries: list[Entry]) -> str:
    """How many are as expected, and a line for each."""
    wrong = sum(not entry.passed for entry in entries)
    count = facts.counted(len(entries), "comparison") + ", "
    count += f"**{wrong} not as expected**" if wrong else "all as expected" if entries else "**nothing compared**"
    rows = [["", "case", "verdict", "first divergence", "cause"], ["---"] * 5]
    for entry in told_first(entries)[:_ROWS]:
        place = entry.place or (entry.note.partition("\n")[0] if entry.result is None else "")
        rows.append([mark(entry), *(escape(cell or "–") for cell in (entry.name, entry.verdict, place, entry.causes))])
    more = f"\n\nand {len(entries) - _ROWS} more" if len(entries) > _ROWS else ""
    return f"{count}\n\n" + "\n".join(map(line, rows)) + more


def mark(entry: Entry) -> str:
    """Whether it is as expected, at a glance; a dash where nothing was compared, and that may be."""
    return "❌" if not entry.passed else "–" if entry.result is None else "✅"


def body(result: Result, level: int = 2, *, made: bool = False) -> str:
    """The facts under headings of the given level; on request with those that differ from machine to machine."""
    return f"{answer(result, level)}\n\n{rest(result, level, made=made)}\n"


def answer(result: Result, level: int) -> str:
    """What a reader came for: the verdict, the first divergence, the causes."""
    return "\n\n".join([f"**{escape(facts.headline(result))}**", *_told(result, level, outline.ANSWER)])


def rest(result: Result, level: int, *, made: bool) -> str:
    """Everything else."""
    others = frozenset(get_args(outline.Kind)) - outline.ANSWER
    return "\n\n".join(_told(result, level, others if made else others - {"made"}))


def _told(result: Result, level: int, kinds: frozenset[str]) -> list[str]:
    told = [section for section in outline.sections(result) if section.kind in kinds]
    return [part for section in told for part in _section(section, "#" * level)]


def _section(section: Section, heading: str) -> list[str]:
    title = [] if section.kind == "subject" else [f"{heading} {escape(section.title)}"]
    match section.kind:
        case "cause":
            return [*title, "\n".join(f"- {label}: {_code(label, text)}" for label, text in section.pairs)]
        case "long":
            return [*title, _capped(section.pairs)]
        case "next":
            return [*title, *(part for why, command in section.pairs for part in _next(why, command))]
    tables = [_table(table) for table in section.tables]
    return [*title, _list(section.pairs), *tables, *([section.note] if section.note else [])]


def _next(why: str, command: str) -> list[str]:
    return [f"{escape(why)}:", f"```sh\n{command}\n```"] if command else [escape(why)]


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
    more = [("…", f"and {len(pairs) - facts.LISTED} more")] if len(pairs) > facts.LISTED else []
    return _list([*pairs[: facts.LISTED], *more])


def _table(table: steps.Table) -> str:
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
