"""Null runs: both sides compute the same formulas, so nothing but rounding may part them. Any divergence is false.

    python -m parity.nullruns --runs 300 --seed 1
    python -m parity.nullruns --runs 300 --seed 1 --bare

With --bare the candidate only trains, so that its free run is held against the drift of rounding (parity.envelope).
Run i of a seed is the same experiment whatever the number of runs.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
from rich.console import Console
from rich.progress import track

from parity import cli
from parity.config import Experiment
from parity.errors import ExitCode
from parity.protocol import Array
from parity.random_experiments import random_experiment
from parity.report import facts
from parity.result import Result
from parity.run import diff
from parity.sides import load_side
from parity.verdict import Verdict


class Bare:
    """The NumPy network as somebody's who offers the three methods a side needs, and no more."""

    def __init__(self, choices: Mapping[str, str] | None = None) -> None:
        self._side = load_side("scratch").side.with_conventions(choices or {})

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        self._side.start(experiment, weights)

    def step(self, x: Array, y: Array) -> Any:
        return self._side.step(x, y)["loss"]

    def weights(self) -> Mapping[str, Array]:
        weights: Mapping[str, Array] = self._side.weights()
        return weights


@dataclass(frozen=True)
class NullRun:
    """One experiment with the same formulas on both sides, and what was found."""

    number: int
    experiment: Experiment
    result: Result

    @property
    def used(self) -> dict[str, float]:
        """The largest share of a budget in each precision."""
        return {run.precision: run.worst.used for run in self.result.runs if run.worst is not None}

    @property
    def false_alarm(self) -> bool:
        return self.result.verdict is Verdict.DIVERGED


def null_experiment(seed: int, number: int, **settings: object) -> Experiment:
    """The experiment of one run."""
    name = f"null-{seed}-{number}"
    return random_experiment(np.random.default_rng([seed, number]), name=name, **settings)


def null_runs(
    seed: int, numbers: range, *, reference: str = "keras", bare: bool = False, **settings: object
) -> Iterator[NullRun]:
    """Train the NumPy network beside the reference, with Keras' choices on both sides."""
    candidate = "parity.nullruns:Bare" if bare else "scratch"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Keras warns of some combinations; here they are drawn on purpose
        for number in numbers:
            experiment = null_experiment(seed, number, **settings)
            yield NullRun(number, experiment, diff(experiment, reference=reference, candidate=candidate))


def _reproduce(run: NullRun, out: Path | None) -> str:
    """How to run it again."""
    text = run.experiment.model_dump_json(exclude_none=True, exclude={"examples"})
    if out is None:
        return f"  its experiment, as JSON: {text}"
    path = out / f"{run.experiment.name}.json"
    path.write_text(text + "\n", encoding="utf-8")
    return f"  parity diff {path}"


@click.command()
@click.option("--runs", default=100, show_default=True, type=click.IntRange(min=1), help="How many experiments.")
@click.option("--first", default=0, show_default=True, type=click.IntRange(min=0), help="The number of the first one.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(min=0), help="What they are drawn from.")
@click.option("--precision", type=click.Choice(["float32", "float64", "both"]), default="both", show_default=True)
@click.option("--reference", default="keras", show_default=True, metavar="SIDE")
@click.option("--bare", is_flag=True, help="The candidate offers start, step and weights only.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Write the experiments that are worth a look there; else they are printed.",
)
def main(runs: int, first: int, seed: int, precision: str, reference: str, bare: bool, out: Path | None) -> None:
    """Random experiments with the same formulas on both sides; ends 1 when any of them diverges.

    Where a side fails it ends 3, and on Ctrl-C 130; what was found until then is told.
    """
    began = time.perf_counter()
    worst: dict[str, NullRun] = {}
    verdicts: Counter[Verdict] = Counter()
    ended = ExitCode.PARITY
    numbers = range(first, first + runs)
    found = null_runs(seed, numbers, reference=reference, bare=bare, precision=precision)
    try:
        for run in track(found, "null runs", runs, console=Console(stderr=True), transient=True):
            if run.result.interrupted:  # that run was told, and no other
                ended = ExitCode.INTERRUPTED
                break
            if (crash := run.result.crash) is not None:
                ended = ExitCode.SIDE_CRASHED
                click.echo(f"run {run.number}: {crash.message}\n{_reproduce(run, out)}")
                break
            verdicts[run.result.verdict] += 1
            for of, used in run.used.items():
                if not run.false_alarm and (of not in worst or used > worst[of].used[of]):
                    worst[of] = run
            if run.false_alarm:
                click.echo(f"false alarm, run {run.number}:")
                click.echo("".join(f"  {label}: {text}\n" for label, text in facts.runs(run.result)), nl=False)
                click.echo(_reproduce(run, out))
            elif run.result.verdict is Verdict.CANNOT_JUDGE:
                click.echo(f"not judged, run {run.number}: {', '.join(text for _, text in facts.runs(run.result))}")
    except KeyboardInterrupt:  # before the first step of one
        ended = ExitCode.INTERRUPTED
    if ended is ExitCode.INTERRUPTED:
        click.echo(f"run {first + verdicts.total()}: interrupted")
    for of, run in worst.items():
        summary = next(each.worst for each in run.result.runs if each.precision == of)
        assert summary is not None
        click.echo(f"most used, {of}: {facts.percent(run.used[of])}, run {run.number}, {facts.place(summary.key)}")
        click.echo(_reproduce(run, out))
    counted = ", ".join(f"{verdict} {count}" for verdict, count in sorted(verdicts.items()))
    done, false = verdicts.total(), verdicts[Verdict.DIVERGED]
    click.echo(f"{done} null runs of seed {seed} in {time.perf_counter() - began:.0f} s: {counted or 'none ended'}")
    click.echo(f"{false} false alarms")
    sys.exit(ended or (ExitCode.DIVERGED if false else ExitCode.PARITY))


if __name__ == "__main__":
    sys.exit(cli.run(main, None, "nullruns"))
