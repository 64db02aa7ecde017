"""`parity gate`."""

from __future__ import annotations

import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from parity.cli.options import report_option

if TYPE_CHECKING:
    from parity.gate.suite import Gate, Job, Outcome
    from parity.report import Target

Say = partial[None]
"""Prints a text."""


@click.command()
@click.argument("cases", nargs=-1, type=click.Path(path_type=Path))
@click.option("--candidate", metavar="SIDE", help="Judged in every run that names no candidate of its own.")
@click.option("--precision", type=click.Choice(["float32", "float64"]), help="Judge this one alone.")
@click.option("--run", "only", metavar="NAME", help="This run of the cases alone.")
@click.option("--live", is_flag=True, help="Run the reference as well, and say which of the two changed.")
@click.option("--update", is_flag=True, help="Record the baselines anew, and say what changed.")
@click.option("--allow-ci", is_flag=True, help="Let --update run where the environment variable CI is set.")
@click.option("--without-data", is_flag=True, help="Do not fail where a case's data is not here; it is listed.")
@click.option("--explain/--no-explain", default=True, show_default=True, help="Look for the causes of a failure.")
@click.option("-x", "--first", is_flag=True, help="Stop at the first failure.")
@report_option("Write a report of all runs")
@click.option("-q", "--quiet", is_flag=True, help="Only what failed, and the last line.")
@click.option("-v", "--verbose", is_flag=True, help="The whole report of every run that failed, or of the only run.")
def gate(
    cases: tuple[Path, ...],
    candidate: str | None,
    precision: str | None,
    only: str | None,
    live: bool,
    update: bool,
    allow_ci: bool,
    without_data: bool,
    explain: bool,
    first: bool,
    reports: tuple[str, ...],
    quiet: bool,
    verbose: bool,
) -> None:
    """Hold every case against its committed baseline; TensorFlow is not needed.

    CASES are folders with an experiment.toml, or folders of such folders; reports is taken where none is named.

    \b
    Examples:
      parity gate
      parity gate mycase --candidate mynet.py:MyNet --update
      parity gate mycase --candidate mynet.py:MyNet
      parity gate reports/l2-digits --run 'lambda = 0.01' -v
      parity gate --report junit=parity.xml --report html=parity.html
      parity gate --live
    """  # noqa: D301  # \b is click's
    began = time.perf_counter()
    from parity.gate.suite import Gate, exit_code, jobs  # noqa: PLC0415  # --help must be quick
    from parity.gate.text import summary  # noqa: PLC0415

    targets: list[Target] = []
    if reports:
        from parity.report import parse_targets  # noqa: PLC0415

        targets = parse_targets(reports, several=True)  # a mistake in them is told before anything is run
    say = partial(click.echo, err=any(target.path == "-" for target in targets))  # stdout is then the report's
    found = jobs(cases or [Path("reports")], candidate=candidate, precision=precision, only=only)  # type: ignore[arg-type]  # click checked the choice
    running = Gate(found, without_data=without_data, explain=explain)
    if update:
        from parity.gate.changes import refuse_in_ci  # noqa: PLC0415

        if only or precision:
            msg = "--update records whole baselines; leave out --run and --precision"
            raise click.UsageError(msg)
        refuse_in_ci(os.environ, allowed=allow_ci)
        _update(running, say)
    outcomes: list[Outcome] = []
    baselines = running.read()
    for job in found:
        of_job: list[Outcome] = []
        for run in job.runs:
            of_job.append(running.judge(job, run, baselines[job.folder]))
            if first and of_job[-1].exit_code:
                break
        outcomes += of_job
        _tell(of_job, say, quiet=quiet, verbose=verbose, single=len(found) == len(job.runs) == 1)
        if live and any(outcome.held for outcome in of_job):
            _live(running, job, of_job, say)
        if first and of_job[-1].exit_code:
            break
    if targets:
        from parity.gate.entries import entries  # noqa: PLC0415
        from parity.report import write_entries  # noqa: PLC0415

        write_entries(entries(outcomes), targets)
    say(summary(outcomes, time.perf_counter() - began))
    sys.exit(exit_code(outcomes))


def _tell(outcomes: list[Outcome], say: Say, *, quiet: bool, verbose: bool, single: bool) -> None:
    from parity.gate.text import case_lines  # noqa: PLC0415

    if not quiet or any(outcome.exit_code for outcome in outcomes):
        say("\n".join(case_lines(outcomes)))
    for outcome in outcomes:
        if verbose and outcome.result is not None and (single or outcome.exit_code):
            from parity.report.terminal import show  # noqa: PLC0415

            say()
            show(outcome.result, verbose=True, to_stderr=say.keywords["err"])


def _update(running: Gate, say: Say) -> None:
    from parity.errors import UsageError  # noqa: PLC0415
    from parity.gate import baseline  # noqa: PLC0415
    from parity.gate.changes import renew  # noqa: PLC0415
    from parity.gate.text import change_lines  # noqa: PLC0415

    for job in list(running.jobs):
        try:
            renewed = renew(running, job)
        except UsageError as error:
            if not (running.without_data and job.case.data):
                raise
            say(f"{job.name}: not recorded: {error}")
            running.jobs.remove(job)
            continue
        baseline.write(job.folder, renewed.baseline.contents, renewed.packed)
        size = sum((job.folder / name).stat().st_size for name in (baseline.JSON, baseline.NPZ))
        say(f"recorded      {job.name}: {size / 1000:,.0f} kB")
        say("\n".join(change_lines(renewed)))


def _live(running: Gate, job: Job, outcomes: list[Outcome], say: Say) -> None:
    """The reference of now beside that of the baseline."""
    from parity.gate.changes import renew  # noqa: PLC0415
    from parity.gate.text import live_lines  # noqa: PLC0415

    renewed = renew(running, job)
    now = [running.judge(job, run, renewed.baseline) for run in job.runs]
    say("\n".join(live_lines(renewed, outcomes, now)))
