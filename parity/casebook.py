"""The case book: experiments kept with what each is expected to show, and a committed report of what it showed.

A case is a folder with `case.toml` (this module's `Case`), `experiment.toml` and `report.md`. One case may run its
experiment several times, with settings changed, and expect something else of each.
"""

from __future__ import annotations

import itertools
import json
import math
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import Field, ValidationError

from parity import cli
from parity.config import ConfigError, load_experiment
from parity.config.base import Frozen
from parity.config.errors import mistakes_in
from parity.config.load import read_mapping
from parity.errors import ExitCode
from parity.protocol import Key, Lane, Part, Phase
from parity.report import facts, markdown, terminal
from parity.result import Result
from parity.run import diff
from parity.verdict import Divergence, Verdict

REPORT = "report.md"


class Figure(Frozen):
    """A figure that a run must show, in float64, at one step, of one tensor."""

    step: int
    phase: Phase
    tensor: str
    part: Part = "whole"
    lane: Lane = "local"
    ratio: float | None = None
    """Candidate over reference, to within the budget."""
    difference: float | None = None
    """Largest difference, to within `rounding`."""
    rounding: float = 0.0
    within_budget: bool = False
    formula: str = ""
    """Where the number comes from."""

    @property
    def key(self) -> Key:
        return Key(self.phase, self.tensor, self.part)


class Expected(Frozen):
    """What a run is expected to show. A divergence is expected at its place, and parity everywhere."""

    verdict: Verdict
    step: int | None = None
    phase: Phase | None = None
    tensor: str | None = None
    part: Part = "whole"
    figures: tuple[Figure, ...] = ()


class CaseRun(Frozen):
    name: str
    reference: str = "keras"
    candidate: str = "scratch"
    set: dict[str, Any] = Field(default_factory=dict)
    """Settings of the experiment that this run changes, by dotted key."""
    expect: Expected
    say: str = ""
    brief: bool = False
    """Only a line in the report's overview."""
    grid: dict[str, tuple[Any, ...]] = Field(default_factory=dict)
    """Run once for every combination of these settings."""


class Shown(Frozen):
    """A tensor of one element, whose values the report shows for all engines side by side."""

    phase: Phase
    tensor: str
    part: Part = "whole"


class Case(Frozen):
    title: str
    about: str
    data: str = ""
    """What the case needs that does not ship with the project."""
    side_by_side: tuple[Shown, ...] = ()
    run: tuple[CaseRun, ...]


def load_case(folder: Path) -> Case:
    """The case in a folder.

    Raises:
        ConfigError: no case.toml, or mistakes in it.
    """
    path = folder / "case.toml"
    try:
        return Case.model_validate(read_mapping(path))
    except ValidationError as error:
        raise ConfigError(path, mistakes_in(error, Case)) from None


def cases(book: Path) -> list[Path]:
    """The folders of a case book, in order."""
    return sorted(path.parent for path in book.glob("*/case.toml"))


def run_case(folder: Path) -> Iterator[tuple[CaseRun, Result]]:
    """Every run of a case with its result."""
    for run in load_case(folder).run:
        for single in _expanded(run):
            experiment = load_experiment(folder / "experiment.toml", single.set.items())
            command = _command(folder, single)
            yield single, diff(experiment, reference=single.reference, candidate=single.candidate, command=command)


def _command(folder: Path, run: CaseRun) -> str:
    """How to run it alone, from the project's root."""
    words = ["parity", "diff", f"reports/{folder.name}/experiment.toml"]
    words += ["--reference", run.reference, "--candidate", run.candidate]
    for key, value in run.set.items():
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def _expanded(run: CaseRun) -> Iterator[CaseRun]:
    for values in itertools.product(*run.grid.values()):
        chosen = dict(zip(run.grid, values, strict=True))
        name = run.name + "".join(f", {value}" for value in values)
        yield run.model_copy(update={"name": name.removeprefix(", "), "set": run.set | chosen, "grid": {}})


def unexpected(run: CaseRun, result: Result) -> list[str]:
    """Where a result is not what its run expects; empty when it is."""
    expected, found = run.expect, result.first_divergence
    wrong = []
    if result.verdict is not expected.verdict:
        wrong.append(f"expected {expected.verdict}, found {result.verdict}")
    if expected.verdict is Verdict.DIVERGED and found is not None:
        place = (expected.step, expected.phase, expected.tensor, expected.part)
        if place != (found.step, found.key.phase, found.key.tensor, found.key.part):
            wrong.append(f"expected the first divergence at {place}, found step {found.step}, {facts.place(found.key)}")
    return wrong + [problem for figure in expected.figures if (problem := _wrong_figure(figure, result))]


def _measures(figure: Figure, result: Result) -> Any:
    run = next((run for run in result.runs if run.precision == "float64"), None)
    return None if run is None else run.ledger.rows({figure.step}).get((figure.step, figure.key, figure.lane))


def _wrong_figure(figure: Figure, result: Result) -> str | None:
    measures = _measures(figure, result)
    where = f"step {figure.step}, {facts.place(figure.key)}"
    if measures is None:
        return f"{where}: was not measured"
    used, absolute = measures["used"], measures["absolute"]
    if figure.within_budget and not used["value"] <= 1:
        return f"{where}: uses {used['value']:.3g} of its budget"
    if figure.ratio is not None:
        difference = abs(used["candidate"] - used["reference"])
        budget = difference / used["value"] if used["value"] else 0.0
        if not abs(used["candidate"] - figure.ratio * used["reference"]) <= budget:
            return f"{where}: candidate / reference is {used['candidate'] / used['reference']}, not {figure.ratio}"
    if figure.difference is not None and not abs(absolute["value"] - figure.difference) <= figure.rounding:
        return f"{where}: the difference is {absolute['value']}, not {figure.difference} to within {figure.rounding}"
    return None


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
    return [str(result.verdict), _place(found) if found else "–", "no" if unexpected(run, result) else "yes"]


def _place(found: Divergence) -> str:
    return f"step {found.step}, {facts.place(found.key)}"


def _figure_line(figure: Figure, result: Result) -> str:
    """One expected figure, and what was measured."""
    measures = _measures(figure, result)
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
    used = measures["used"]["value"]
    return f"- {where}: agrees, ≈{facts.percent(0.0 if math.isnan(used) else float(used))}"


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
            problems += [f"{folder.name}, {run.name}: {problem}" for problem in unexpected(run, result)]
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
