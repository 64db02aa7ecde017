"""Cases: experiments kept with what each is expected to show.

A case is a folder with `experiment.toml` and, where it has something to say beyond parity, `case.toml` (this module's
`Case`). One case may run its experiment several times, with settings changed, and expect something else of each. The
case book (`parity.casebook`) runs them at full size and writes reports; the gate (`parity.gate`) holds them against
baselines.
"""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, Strict, ValidationError

from parity.config import ConfigError, Experiment, load_experiment
from parity.config.base import Frozen
from parity.config.errors import mistakes_in
from parity.config.load import read_mapping
from parity.config.numbers import Listed
from parity.paths import is_file
from parity.protocol import Key, Lane, Part, Phase
from parity.report import facts
from parity.result import Result
from parity.verdict import Verdict

EXPERIMENT, CASE = "experiment.toml", "case.toml"


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

    verdict: Annotated[Verdict, Strict(False)]
    step: int | None = None
    phase: Phase | None = None
    tensor: str | None = None
    part: Part = "whole"
    figures: Listed[Figure] = ()


class Known(Frozen):
    """A failure that is known: the run is expected to show this instead, until a day."""

    reason: str
    until: date
    """The last day on which it is accepted."""
    expect: Expected


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
    grid: dict[str, Listed[Any]] = Field(default_factory=dict)
    """Run once for every combination of these settings."""
    known: Known | None = None


class Shown(Frozen):
    """A tensor of one element, whose values the report shows for all engines side by side."""

    phase: Phase
    tensor: str
    part: Part = "whole"


class Case(Frozen):
    title: str
    about: str = ""
    data: str = ""
    """What the case needs that does not ship with the project."""
    side_by_side: Listed[Shown] = ()
    gate: dict[str, Any] = Field(default_factory=dict)
    """Settings with which the gate runs it, so that its baseline stays small: fewer examples or units."""
    run: Listed[CaseRun]


def load_case(folder: Path) -> Case:
    """The case in a folder; one run that must be parity where there is an experiment and nothing else.

    Raises:
        ConfigError: neither case.toml nor experiment.toml, or mistakes in case.toml.
    """
    path = folder / CASE
    if not is_file(path) and is_file(folder / EXPERIMENT):
        return Case(title=folder.name, about="", run=(CaseRun(name="", expect=Expected(verdict=Verdict.PARITY)),))
    try:
        return Case.model_validate(read_mapping(path))
    except ValidationError as error:
        raise ConfigError(path, mistakes_in(error, Case)) from None


def cases(book: Path) -> list[Path]:
    """The folders of a case book, in order."""
    return sorted(path.parent for path in book.glob(f"*/{CASE}"))


def runs_of(case: Case) -> Iterator[CaseRun]:
    """Its runs, grids spelled out."""
    for run in case.run:
        yield from _expanded(run)


def experiment_of(folder: Path, run: CaseRun, also: Iterable[tuple[str, Any]] = ()) -> Experiment:
    """What a run trains; `also` are settings made after its own."""
    return load_experiment(folder / EXPERIMENT, [*run.set.items(), *also])


def command_of(folder: Path, run: CaseRun, also: Iterable[tuple[str, Any]] = (), name: str | None = None) -> str:
    """How to compare both sides of it, from the folder that the case's path starts at; `name` for another one's."""
    words = ["parity", "diff", name or (folder / EXPERIMENT).as_posix()]
    words += ["--reference", run.reference, "--candidate", run.candidate]
    for key, value in (*run.set.items(), *also):
        words += ["--set", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    return shlex.join(words)


def _expanded(run: CaseRun) -> Iterator[CaseRun]:
    for values in itertools.product(*run.grid.values()):
        chosen = dict(zip(run.grid, values, strict=True))
        name = run.name + "".join(f", {value}" for value in values)
        yield run.model_copy(update={"name": name.removeprefix(", "), "set": run.set | chosen, "grid": {}})


def unexpected(expected: Expected, result: Result) -> list[str]:
    """Where a result is not what was expected; empty when it is."""
    found = result.first_divergence
    wrong = []
    if result.verdict is not expected.verdict:
        wrong.append(f"expected {expected.verdict}, found {result.verdict}")
    if expected.verdict is Verdict.DIVERGED and found is not None:
        place = (expected.step, expected.phase, expected.tensor, expected.part)
        if place != (found.step, found.key.phase, found.key.tensor, found.key.part):
            wrong.append(f"expected the first divergence at {place}, found step {found.step}, {facts.place(found.key)}")
    return wrong + [problem for figure in expected.figures if (problem := wrong_figure(figure, result))]


def measures_of(figure: Figure, result: Result) -> Any:
    """What was measured of it; None where nothing was."""
    run = next((run for run in result.runs if run.precision == "float64"), None)
    return None if run is None else run.ledger.rows({figure.step}).get((figure.step, figure.key, figure.lane))


def wrong_figure(figure: Figure, result: Result) -> str | None:
    """What is measured in place of an expected figure; None where it is met."""
    measures = measures_of(figure, result)
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
