"""`parity selftest`."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from parity.errors import ExitCode

if TYPE_CHECKING:
    from parity.selftest import Rates, Trial


@click.command()
@click.option(
    "--runs",
    type=click.IntRange(min=1),
    default=50,
    show_default=True,
    help="Trials of each kind; alone, every choice at least once.",
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--planted", "sizes", type=click.IntRange(0, 7), multiple=True, help="So many at once. Repeatable.")
@click.option("--outside", is_flag=True, help="Mistakes outside the catalogue.")
@click.option("--level", "levels", multiple=True, help="What the candidate tells. Repeatable.")
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, show_default=True)
@click.option("-v", "--verbose", is_flag=True, help="Every trial that was not named right.")
def selftest(
    runs: int, seed: int, sizes: tuple[int, ...], levels: tuple[str, ...], jobs: int, *, outside: bool, verbose: bool
) -> None:
    """Plant known mistakes in random experiments and count how many are detected and named right.

    Every choice of every convention alone, then pairs and larger sets, at each level of what a candidate tells
    (everything; gradients; loss and weights; weights), and none at all. Then mistakes outside the catalogue, which
    must be called unexplained, and where they begin. --planted and --outside choose among these.

    Trials count in which all that was planted makes a difference. It is named right where it is what was confirmed, or
    told to be what the run cannot tell from that; named wrong where what was confirmed is neither, nor the same in
    other words: the same in every other experiment, too. Ends 1 below its thresholds.
    Ctrl-C counts what has ended.

    \b
    Examples:
      parity selftest
      parity selftest --runs 1000 --seed 7
      parity selftest --planted 2 --level weights -v
      parity selftest --outside --runs 42
    """  # noqa: D301  # \b is click's
    from rich.console import Console  # noqa: PLC0415  # help must not wait for it
    from rich.progress import track  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from parity.selftest import (  # noqa: PLC0415  # --help must be quick
        LEVELS,
        Rates,
        Thresholds,
        all_choices,
        planted_of,
        run_outside,
        run_trials,
    )

    if unknown := sorted(set(levels) - set(LEVELS)):
        raise click.UsageError(f"--level {unknown[0]!r}: there are {', '.join(LEVELS)}")
    console, thresholds = Console(), Thresholds()
    rows: list[tuple[Rates, str]] = []

    def run(rates: Rates, level: str, count: int, trials: Iterable[Trial]) -> None:
        rows.append((rates, level))
        for trial in track(trials, rates.title, count, console=Console(stderr=True), transient=True):
            rates.add([trial])
            if verbose and (
                trial.detected if rates.planted == 0 else not trial.right
            ):  # now: a long run may not come to its end
                console.print(_line(trial), markup=False, soft_wrap=True)

    interrupted = False
    try:
        for size in sizes or (() if outside else (0, 1, 2, 3, 4, 5)):
            count = max(runs, len(all_choices())) if size == 1 else runs
            for level in levels or LEVELS:
                rates = Rates(f"{size} at once, {level}", size)
                run(rates, level, count, run_trials(count, size, level, seed, jobs))
        for level in (levels or LEVELS) if outside or not sizes else ():
            rates = Rates(f"outside the catalogue, {level}", None)
            run(rates, level, runs, run_outside(runs, level, seed, jobs))
    except KeyboardInterrupt:
        interrupted = True

    planted = Table("planted", "told", "trials", "detected", "named right", "named alone", "wrong", "slowest", box=None)
    other = Table("outside the catalogue, told", "trials", "detected", "place right", "named", "slowest", box=None)
    for rates, level in rows:
        if rates.planted is None:
            other.add_row(*_cells(rates, level, "detected", "right", "wrong"))
        else:
            planted.add_row(str(rates.planted), *_cells(rates, level, "detected", "right", "alone", "wrong"))
    console.print(f"seed {seed}" + (", interrupted" if interrupted else ""))
    for table in (planted, other):
        if table.row_count:
            console.print(table)
    ended = [rates for rates, _ in rows]
    missed = [] if interrupted else thresholds.missed(ended)
    if (all_planted := planted_of(ended)).shown:
        wrong, of = all_planted.count("wrong"), len(all_planted.shown)
        console.print(f"{wrong} of {of} named wrong: with 95 % confidence below {all_planted.at_most('wrong'):.1%}")
    for line in missed:
        console.print(f"below the threshold: {line}", style="red", markup=False, soft_wrap=True)
    sys.exit(ExitCode.INTERRUPTED if interrupted else 1 if missed else 0)


def _cells(rates: Rates, level: str, *shares: str) -> list[str]:
    slowest = max((trial.seconds for trial in rates.shown), default=0.0)
    return [
        level,
        f"{len(rates.shown)} of {len(rates.trials)}",
        *(f"{rates.share(what):.1%}" if rates.shown else "–" for what in shares),
        f"{slowest:.1f} s",
    ]


def _line(trial: Trial) -> str:
    from parity.selftest import Outside  # noqa: PLC0415  # --help must be quick

    def words(choices: frozenset[tuple[str, str]]) -> str:
        return ", ".join(f"{code}={choice}" for code, choice in sorted(choices)) or "nothing"

    what = trial.defect if isinstance(trial, Outside) else words(trial.planted)
    if not trial.shows:
        return f"{trial.seed} {what}: no experiment found in which all of it shows"
    said = " or ".join(map(words, trial.named[:4])) or ("unexplained" if trial.detected else "not detected")
    said += ", WRONG" if trial.wrong else ", the same in other words" if trial.in_other_words else ""
    if isinstance(trial, Outside):
        said += f" from {' '.join(trial.seen)} on, begins in {' '.join(trial.place)}"
    return f"{trial.seed} planted {what}; said {said} ({trial.tried} tried, {trial.seconds:.1f} s)"
