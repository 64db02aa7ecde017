"""`parity selftest`."""

from __future__ import annotations

import os
import sys

import click


@click.command()
@click.option("--runs", type=click.IntRange(min=1), default=200, show_default=True, help="Trials of each kind.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("--planted", "sizes", type=click.IntRange(0, 7), multiple=True, help="So many at once. Repeatable.")
@click.option("--level", "levels", multiple=True, help="What the candidate tells. Repeatable.")
@click.option("--jobs", type=click.IntRange(min=1), default=os.cpu_count() or 1, show_default=True)
@click.option("-v", "--verbose", is_flag=True, help="Every trial that was not named right.")
def selftest(
    runs: int, seed: int, sizes: tuple[int, ...], levels: tuple[str, ...], jobs: int, *, verbose: bool
) -> None:
    """Plant known mistakes in random experiments and count how many are detected and named right.

    Every choice of every convention alone, then pairs and larger sets, at each level of what a candidate tells
    (everything; gradients; loss and weights; weights), and none at all. Ends 1 below its thresholds.

    \b
    Examples:
      parity selftest
      parity selftest --runs 1000 --seed 7
      parity selftest --planted 2 --level weights -v
    """  # noqa: D301  # \b is click's
    from rich.console import Console  # noqa: PLC0415  # help must not wait for it
    from rich.progress import track  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    from parity.selftest import LEVELS, Rates, Thresholds, run_trials  # noqa: PLC0415

    if unknown := sorted(set(levels) - set(LEVELS)):
        raise click.UsageError(f"--level {unknown[0]!r}: there are {', '.join(LEVELS)}")
    console, thresholds = Console(), Thresholds()
    table = Table("planted", "told", "trials", "detected", "named right", "named alone", "wrong", "slowest", box=None)
    missed: list[str] = []
    for size in sizes or (0, 1, 2, 3, 4, 5):
        for level in levels or LEVELS:
            rates = Rates(f"{size} at once, {level}", size)
            trials = run_trials(runs, size, level, seed, jobs)
            rates.add(track(trials, rates.title, runs, console=Console(stderr=True), transient=True))
            shares = [f"{rates.share(what):.1%}" for what in ("detected", "right", "alone", "wrong")]
            slowest = max((trial.seconds for trial in rates.shown), default=0.0)
            table.add_row(str(size), level, str(len(rates.shown)), *shares, f"{slowest:.1f} s")
            missed += thresholds.missed(rates)
            if verbose:
                for trial in rates.trials:
                    if not trial.right and size:
                        console.print(_line(trial), markup=False, soft_wrap=True)
    console.print(f"seed {seed}")
    console.print(table)
    for line in missed:
        console.print(f"below the threshold: {line}", style="red", markup=False)
    sys.exit(1 if missed else 0)


def _line(trial: object) -> str:
    from parity.selftest import Trial  # noqa: PLC0415

    assert isinstance(trial, Trial)

    def words(choices: frozenset[tuple[str, str]]) -> str:
        return ", ".join(f"{code}={choice}" for code, choice in sorted(choices)) or "nothing"

    if not trial.shows:
        return f"{trial.seed} {words(trial.planted)}: no experiment found in which all of it shows"
    said = " or ".join(map(words, trial.named[:4])) or ("unexplained" if trial.detected else "not detected")
    return f"{trial.seed} planted {words(trial.planted)}; said {said} ({trial.tried} tried, {trial.seconds:.1f} s)"
