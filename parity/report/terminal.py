"""What a person sees: the verdict, the first divergence, and a table of steps by tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from importlib.util import find_spec
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from parity.config import Precision
from parity.report import facts, outline, steps
from parity.report.entries import Entry, told_first
from parity.verdict import Verdict

if TYPE_CHECKING:
    from parity.report.causes import Pairs
    from parity.report.outline import Section
    from parity.result import Result

_STYLE = {Verdict.PARITY: "bold green", Verdict.DIVERGED: "bold red", Verdict.CANNOT_JUDGE: "bold yellow"}
_WIDTH = 120  # where there is no terminal to ask
_ANY_WIDTH = 10_000
_FEW = 3  # entries of a list without -v


class Progress:
    """A progress bar on stderr; silent where that is neither a terminal nor a notebook that can draw one."""

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not (console.is_terminal or (console.is_jupyter and find_spec("ipywidgets"))),
        )
        self._tasks: dict[str, TaskID] = {}
        self._search: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._bar.disable:  # rich 13 ends the line of a bar that it never drew
            self._bar.stop()

    def __call__(self, precision: Precision, done: int, planned: int) -> None:
        self._show(precision, done, planned)

    def of(self, what: str) -> Callable[[Precision, int, int], None]:
        """The progress of something else, with a bar of its own."""
        return lambda precision, done, planned: self._show(f"{what}, {precision}", done, planned)

    def _show(self, what: str, done: int, planned: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bar.add_task(escape(what), total=planned)
        self._bar.update(self._tasks[what], completed=done)

    def searching(self, tried: int) -> None:
        """While causes are looked for; nobody knows how long that takes."""
        if self._search is None:
            self._search = self._bar.add_task("looking for causes: sets of conventions tried", total=None)
        self._bar.update(self._search, completed=tried)


def show(result: Result, *, quiet: bool = False, verbose: bool = False, to_stderr: bool = False) -> None:
    """Print the report: to stdout, or to stderr where stdout carries a report that was asked for."""
    console = Console(stderr=to_stderr, highlight=False)
    if not console.is_terminal:
        console = Console(file=console.file, width=_WIDTH, highlight=False)
    console.print(Text(facts.headline(result), style=_STYLE[result.verdict]))
    if not quiet:
        _print(result, console, verbose=verbose)


def write(result: Result, stream: IO[str]) -> None:
    """The same as plain text."""
    console = Console(file=stream, width=_WIDTH, no_color=True, highlight=False)
    console.print(facts.headline(result))
    _print(result, console, verbose=True)


def write_entries(entries: Iterable[Entry], stream: IO[str]) -> None:
    """One after the other under their names, those first that are not as expected."""
    for entry in told_first(list(entries)):
        stream.write(f"{'as expected' if entry.passed else 'NOT as expected'}: {entry.name}\n")
        stream.write("".join(f"{line}\n" for line in entry.note.splitlines()))
        if entry.result is None:
            stream.write(f"{entry.verdict}\n")
        else:
            write(entry.result, stream)
        stream.write("\n")


def _print(result: Result, console: Console, *, verbose: bool) -> None:
    """Section by section; how it was made only where all is asked for."""
    for section in outline.sections(result):
        if section.kind == "subject":
            console.print(_pairs(section.pairs))
        elif section.kind != "made" or verbose:
            console.print(Text(f"\n{section.title}", style="bold"))
            _print_section(section, console, verbose=verbose)


def _print_section(section: Section, console: Console, *, verbose: bool) -> None:
    if section.kind == "next":
        for why, command in section.pairs:
            console.print(Text(f"  {why}{':' if command else ''}"))
            if command:  # on one line, however long, so that it can be copied
                console.print(Text(f"    {command}"), soft_wrap=True)
        return
    shown = section.pairs if verbose or section.kind != "long" else section.pairs[:_FEW]
    console.print(_pairs(shown))
    if len(shown) < len(section.pairs):
        console.print(Text(f"  and {len(section.pairs) - len(shown)} more: -v shows all"))
    for table in section.tables:
        console.print()
        console.print(_fitting(table, console, verbose=verbose))
    if section.note:
        console.print(Text(f"\n{section.note}", style="dim"))


def _pairs(pairs: Pairs) -> Table:
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")  # a line of code is never cut
    for label, value in pairs:
        grid.add_row(f"  {label}", Text(value))
    return grid


def _fitting(table: steps.Table, console: Console, *, verbose: bool) -> Table:
    """Without -v only tensors that differ somewhere; as many steps as there is room for, with all their digits."""
    rows = table.rows if verbose else tuple(row for row in table.rows if _differs(row))
    hidden = len(table.rows) - len(rows)
    shown = replace(table, rows=rows)
    drawn = _table(shown, hidden, 0)
    for count in range(len(table.steps) - 1, 0, -1):
        if Measurement.get(console, console.options.update(width=_ANY_WIDTH), drawn).maximum <= console.width:
            break
        drawn = _table(shown.of_steps(count), hidden, len(table.steps) - count)
    return drawn


def _differs(row: steps.Row) -> bool:
    return row.local.text not in {"equal", "–"} or any(figure.text not in {"0", "–"} for figure in row.free)


def _table(table: steps.Table, hidden: int, left_out: int) -> Table:
    more = f" ({facts.counted(left_out, 'more step')} in a wider terminal)" if left_out else ""
    drawn = Table(title=f"{table.precision}{more}", title_justify="left", box=None, pad_edge=False, header_style="dim")
    drawn.add_column("phase", no_wrap=True)
    drawn.add_column("tensor", overflow="fold")
    drawn.add_column("local", justify="right", overflow="fold")
    for step in table.steps:
        drawn.add_column(f"step {step}", justify="right", no_wrap=True)
    for row in table.rows:
        tensor = row.key.tensor + ("" if row.key.part == "whole" else f" ({row.key.part})")
        local = Text(str(row.local), style="bold red" if row.local.beyond else "")
        drawn.add_row(
            row.key.phase,
            tensor,
            local,
            *(Text(str(figure), style="dim" if figure.rounding else "") for figure in row.free),
        )
    if hidden:
        drawn.add_row("", f"and {hidden} that are equal", "", *("" for _ in table.steps))
    return drawn
