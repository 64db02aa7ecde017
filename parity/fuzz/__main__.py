"""`python -m parity.fuzz traces|experiments|kills`."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import track
from rich.table import Table

from parity import cli
from parity.errors import ExitCode
from parity.fuzz.experiments import Experiments
from parity.fuzz.kills import kill_one
from parity.fuzz.runner import Kind, Outcome
from parity.fuzz.traces import Traces

KINDS: dict[str, type[Kind]] = {"traces": Traces, "experiments": Experiments}


@click.command()
@click.argument("kind", type=click.Choice([*KINDS, "kills"]))
@click.option("--runs", type=click.IntRange(min=1), default=100, show_default=True)
@click.option("--first", type=click.IntRange(min=0), default=0, show_default=True, help="The number of the first run.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option("-v", "--verbose", is_flag=True, help="What every run was given, and what it said.")
def main(kind: str, runs: int, first: int, seed: int, *, verbose: bool) -> None:
    """Give the command line mutated traces or experiments, or kill recordings and go on with them.

    \b
    traces       bytes flipped, files cut, manifests edited, archives bombed, links, pickles
    experiments  bytes and values of experiment files
    kills        kill -9 at a random moment; every finished chunk must be right, and going on must end bitwise equal

    Every run must end with exit code 2 and one line (experiments: every mistake), or be a correct run; no traceback, no
    hang, no more memory than allowed. A run is drawn from the seed and its number: --first NUMBER --runs 1 repeats it.
    """  # noqa: D301  # \b is click's
    console, began = Console(), time.perf_counter()
    counted: dict[tuple[str, str], int] = {}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        run = KINDS[kind](Path(folder)).run if kind in KINDS else lambda s, n: kill_one(Path(folder), s, n)
        for number in track(range(first, first + runs), kind, console=Console(stderr=True), transient=True):
            outcome: Outcome = run(seed, number)
            failed += outcome.wrong != ""
            counted[outcome.given, outcome.ended] = counted.get((outcome.given, outcome.ended), 0) + 1
            if outcome.wrong or verbose:
                console.print(f"run {number}: {outcome}", markup=False, highlight=False, soft_wrap=True)
    console.print(_table(counted))
    console.print(f"{runs} runs of seed {seed} in {time.perf_counter() - began:.0f} s: {failed} failed")
    sys.exit(ExitCode.DIVERGED if failed else ExitCode.PARITY)


def _table(counted: dict[tuple[str, str], int]) -> Table:
    """What was given by how it ended."""
    ends = sorted({ended for _, ended in counted})
    table = Table("given", *ends, box=None)
    for given in sorted({given for given, _ in counted}):
        table.add_row(given, *(str(counted.get((given, ended), "")) for ended in ends))
    return table


if __name__ == "__main__":
    sys.exit(cli.run(main, None, "fuzz"))
