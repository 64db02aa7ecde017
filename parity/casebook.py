"""The case book: experiments kept with what each is expected to show, and a committed report of what it showed.

A case is what `parity.cases` says, and its `report.md` beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click

from parity import cli
from parity.cases import (
    CaseRun,
    Figure,
    Shown,
    command_of,
    experiment_of,
    load_case,
    measures_of,
    runs_of,
    unexpected,
    wrong_figure,
)
from parity.errors import ExitCode
from parity.protocol import Key
from parity.report import facts, markdown, terminal
from parity.result import Result
from parity.run import diff
from parity.verdict import Divergence

REPORT = "report.md"


def run_case(folder: Path) -> Iterator[tuple[CaseRun, Result]]:
    """Every run of a case with its result."""
    for run in runs_of(load_case(folder)):
        experiment = experiment_of(folder, run)
        command = command_of(folder, run, name=f"reports/{folder.name}/experiment.toml")  # from the project's root
        yield run, diff(experiment, reference=run.reference, candidate=run.candidate, command=command)


def report(folder: Path, ran: list[tuple[CaseRun, Result]]) -> str:
    """The case's report: overview, then each run."""
    case = load_case(folder)
    parts = [f"# {case.title}", case.about.strip()]
    if case.data:
        parts.append(case.data.strip())
    rows = [[run.name, result.reference, result.candidate, *_outcome(run, result)] for run, result in ran]
    header = ["run", "reference", "candidate", "verdict", "first divergence", "as expected"]
    parts.append("\n".join(markdown.line(row) for row in [header, ["---"] * len(header), *rows]))
    if case.side_by_side:
        parts += ["## Side by side", *(_values(shown, ran) for shown in case.side_by_side)]
    for run, result in ran:
        if run.brief:
            continue
        parts += [f"## {run.name}", run.say.strip()] if run.say else [f"## {run.name}"]
        if figures := [_figure_line(figure, result) for figure in run.expect.figures]:
            parts.append("\n".join(figures))
        parts.append(markdown.body(result, level=3).rstrip())
    return "\n\n".join(parts) + "\n"


def _values(shown: Shown, ran: list[tuple[CaseRun, Result]]) -> str:
    """Steps by engines: the first run's reference, then every run's candidate, in float64, free-running."""
    key = Key(shown.phase, shown.tensor, shown.part)
    columns: dict[str, list[str]] = {}
    for run, result in ran:
        judged = next(of for of in result.runs if of.precision == "float64")
        measured = judged.ledger.rows(set(range(1, judged.judge.steps + 1)))
        rows = [measured[step, key, "free"]["absolute"] for step in range(1, judged.judge.steps + 1)]
        columns.setdefault(result.reference, [facts.number(row["reference"], 7) for row in rows])
        columns[run.name] = [facts.number(row["candidate"], 7) for row in rows]
    header = [facts.place(key), *columns]
    steps = zip(*columns.values(), strict=True)
    body = [[f"step {step}", *values] for step, values in enumerate(steps, 1)]
    return "\n".join(markdown.line(row) for row in [header, ["---"] + ["---:"] * len(columns), *body])


def _outcome(run: CaseRun, result: Result) -> list[str]:
    found = result.first_divergence
    return [str(result.verdict), _place(found) if found else "–", "no" if unexpected(run.expect, result) else "yes"]


def _place(found: Divergence) -> str:
    return f"step {found.step}, {facts.place(found.key)}"


def _figure_line(figure: Figure, result: Result) -> str:
    """One expected figure, and what was measured."""
    if problem := wrong_figure(figure, result):
        return f"- not as expected: {problem}"
    measures = measures_of(figure, result)
    where = f"step {figure.step}, {facts.place(figure.key)}"
    if figure.ratio is not None:
        ratio = measures["used"]["candidate"] / measures["used"]["reference"]
        return f"- {where}: candidate / reference = {facts.number(ratio, 9)}"
    if figure.difference is not None:
        rest = abs(measures["absolute"]["value"] - figure.difference)
        return (
            f"- {where}: the difference is {facts.number(measures['absolute']['value'], 7)}. {figure.formula} = "
            f"{facts.number(figure.difference, 7)} leaves ≈{facts.number(rest, 2)}, within the "
            f"{facts.number(figure.rounding, 2)} that rounding can add"
        )
    used = float(measures["used"]["value"])
    return f"- {where}: agrees, " + (f"at most ≈{facts.percent(used)}" if used else "equal to the last bit")


@click.command()
@click.argument("folders", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Write the reports there, not into the cases' folders.")
@click.option("--show", is_flag=True, help="Also print each result.")
def main(folders: tuple[Path, ...], out: Path | None, *, show: bool) -> None:
    """Run cases of the case book and write their reports; ends 0 when each showed what it should."""
    all_problems = []
    for folder in folders:
        ran, problems = [], []
        for run, result in run_case(folder):
            ran.append((run, result))
            if show:
                click.secho(f"\n{run.name}: {run.say}".rstrip(": "), bold=True)
                terminal.show(result, quiet=run.brief)
            problems += [f"{folder.name}, {run.name}: {problem}" for problem in unexpected(run.expect, result)]
        target = folder / REPORT if out is None else out / f"{folder.name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(report(folder, ran), encoding="utf-8")
        done = "not what it should" if problems else "what it should"
        click.echo(f"\n{folder.name}: {len(ran)} runs showed {done}; the report is in {target}")
        all_problems += problems
    for problem in all_problems:
        click.echo(f"not as expected: {problem}", err=True)
    sys.exit(ExitCode.DIVERGED if all_problems else ExitCode.PARITY)


if __name__ == "__main__":
    sys.exit(cli.run(main, None, "casebook"))
