"""What a person sees: the verdict, the first divergence, and a table of steps by tensors."""

from __future__ import annotations

from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from rich.console import Console, Group
from rich.progress import BarColumn, MofNCompleteColumn, Progress as Bar, TaskID, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from parity.config import Precision
from parity.report import causes, facts, worth
from parity.report.following import following
from parity.verdict import Verdict

if TYPE_CHECKING:
    from parity.result import Result

_STYLE = {Verdict.PARITY: "bold green", Verdict.DIVERGED: "bold red", Verdict.CANNOT_JUDGE: "bold yellow"}
_WIDTH = 120  # where there is no terminal to ask
_FEW = 3  # entries of a list without -v


class Progress:
    """A progress bar on stderr; silent where that is not a terminal."""

    def __init__(self, *, quiet: bool = False) -> None:
        console = Console(stderr=True)
        self._bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._tasks: dict[Precision, int] = {}
        self._search: TaskID | None = None

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, precision: Precision, done: int, planned: int) -> None:
        if precision not in self._tasks:
            self._tasks[precision] = self._bar.add_task(precision, total=planned)
        self._bar.update(self._tasks[precision], completed=done)  # type: ignore[arg-type]  # rich's TaskID is an int

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
        console.print(_body(result, verbose=verbose))
        _print_following(result, console)


def write(result: Result, stream: IO[str]) -> None:
    """The same as plain text."""
    console = Console(file=stream, width=_WIDTH, no_color=True, highlight=False)
    console.print(facts.headline(result))
    console.print(_body(result, verbose=True))
    _print_following(result, console)


def _print_following(result: Result, console: Console) -> None:
    """What to run next; a command on one line, however long, so that it can be copied."""
    items = list(following(result))
    if items:
        console.print(Text("\nNext", style="bold"))
    for item in items:
        console.print(Text(f"  {item.why}{':' if item.command else ''}"))
        if item.command:
            console.print(Text(f"    {item.command}"), soft_wrap=True)


def _body(result: Result, *, verbose: bool) -> Group:
    parts: list[Text | Table] = [_pairs(facts.subject(result)), Text()]
    if (first := result.first_divergence) is not None:
        parts += [Text("First divergence", style="bold"), _pairs(facts.divergence(first)), Text()]
    for title, pairs in causes.sections(result.diagnosis):
        parts += [Text(title, style="bold"), _pairs(pairs), Text()]
    parts += [_pairs(facts.runs(result)), Text()]
    for run in filter(lambda run: run.summaries, result.runs):
        parts += [_table(facts.table(run), verbose=verbose), Text()]
    parts.append(Text(facts.lane_notes({lane for run in result.runs for lane, _ in run.summaries}), style="dim"))
    if result.gradcheck is not None:
        parts += _section("Gradient check", list(facts.gradcheck(result)), verbose=True)
    parts += _section("Fixed tolerances", list(worth.tolerances(result)), verbose=verbose)
    missing = [(item.what, item.why) for item in result.not_compared]
    parts += _section("Not compared", missing, verbose=verbose)
    errors = list(worth.sensitivity(result))
    parts += _section("The smallest relative error that would have been seen", errors, verbose=True)
    parts += _section("Not exercised", list(worth.not_exercised(result)), verbose=verbose)
    return Group(*parts)


def _section(title: str, pairs: list[tuple[str, str]], *, verbose: bool) -> list[Text | Table]:
    """Nothing where there is nothing to say; the first few without -v."""
    if not pairs:
        return []
    shown = pairs if verbose else pairs[:_FEW]
    more = [Text(f"  and {len(pairs) - len(shown)} more: -v shows all")] if len(shown) < len(pairs) else []
    return [Text(), Text(title, style="bold"), _pairs(shown), *more]


def _pairs(pairs: object) -> Table:
    grid = Table.grid(padding=(0, 2), pad_edge=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    for label, value in pairs:  # type: ignore[attr-defined]  # an iterable of pairs
        grid.add_row(f"  {label}", Text(value))
    return grid


def _table(table: facts.Table, *, verbose: bool) -> Table:
    """Without -v only what is worth a look: tensors that differ somewhere."""
    drawn = Table(title=f"{table.precision}", title_justify="left", box=None, pad_edge=False, header_style="dim")
    drawn.add_column("phase", no_wrap=True)
    drawn.add_column("tensor", no_wrap=True)
    drawn.add_column("local", justify="right", no_wrap=True)
    for step in table.steps:
        drawn.add_column(f"step {step}", justify="right", no_wrap=True)
    hidden = 0
    for row in table.rows:
        dull = row.local.text in {"equal", "–"} and all(figure.text in {"0", "–"} for figure in row.free)
        if dull and not verbose:
            hidden += 1
            continue
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
