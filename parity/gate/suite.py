"""Cases against their baselines: which run against which recording, and what of it was expected.

Verdicts count both ways: a run that is expected to diverge at one place fails when it reaches parity, and when it
diverges at another.
"""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path

from parity import doctor
from parity.cases import (
    CASE,
    EXPERIMENT,
    Case,
    CaseRun,
    cases,
    command_of,
    experiment_of,
    load_case,
    runs_of,
    unexpected,
)
from parity.config import Experiment, Precision
from parity.data import Dataset, load_dataset
from parity.declared import diff_declared
from parity.errors import CannotJudgeError, ExitCode, SideError, UsageError, nearest
from parity.gate import baseline as stored
from parity.gate.baseline import Baseline, BaselineError
from parity.gate.judging import Held, StaleError, explain, hold
from parity.paths import is_file, is_folder
from parity.result import Result
from parity.sides import STAND_IN
from parity.verdict import Verdict


class State(StrEnum):
    PASSED = "ok"
    KNOWN = "known"
    """It fails as a listed exception says, and that has not expired."""
    FAILED = "FAILED"
    CRASHED = "CRASHED"
    CANNOT_JUDGE = "cannot judge"
    NOT_RUN = "not run"
    """Its data is not here, and the caller said that this may be."""


_EXITS = {
    State.FAILED: ExitCode.DIVERGED,
    State.CRASHED: ExitCode.SIDE_CRASHED,
    State.CANNOT_JUDGE: ExitCode.CANNOT_JUDGE,
}


@dataclass(frozen=True)
class Job:
    """A case as the gate runs it."""

    folder: Path
    case: Case
    runs: tuple[CaseRun, ...]
    precision: Precision | None = None
    candidate: str | None = None
    """Asked for in the place of what the runs leave open."""

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def update(self) -> str:
        """The command that records its baseline."""
        return shlex.join([*self._words, "--update"])

    @property
    def _words(self) -> list[str]:
        words = ["parity", "gate", self.folder.as_posix()]
        return words if self.candidate is None else [*words, "--candidate", self.candidate]

    def experiment(self, run: CaseRun) -> Experiment:
        """What the gate trains for it: the case's own, made small."""
        experiment = experiment_of(self.folder, run, self.case.gate.items())
        return experiment.model_copy(update={"precision": self.precision}) if self.precision else experiment

    def again(self, run: CaseRun) -> str:
        """The command that judges this run alone, and shows everything."""
        return shlex.join([*self._words, *(("--run", run.name) if run.name else ()), "-v"])


@dataclass(frozen=True)
class Outcome:
    """One run of a case, judged."""

    job: Job
    run: CaseRun
    state: State
    problems: tuple[str, ...] = ()
    held: Held | None = None
    unchanged: bool | None = None
    """Whether the candidate computed the same bits as when the baseline was made."""
    environment: Mapping[str, tuple[str, str]] = field(default_factory=dict)
    """Of a failure: what is not as it was where the baseline was made, then and now."""
    seconds: float = 0.0
    note: str = ""

    @property
    def result(self) -> Result | None:
        return None if self.held is None else self.held.result

    @property
    def exit_code(self) -> ExitCode:
        return _EXITS.get(self.state, ExitCode.PARITY)


def exit_code(outcomes: Sequence[Outcome]) -> ExitCode:
    """The worst of them; comparing nothing is never parity."""
    codes = {outcome.exit_code for outcome in outcomes}
    for code in (ExitCode.DIVERGED, ExitCode.SIDE_CRASHED, ExitCode.CANNOT_JUDGE):
        if code in codes:
            return code
    judged = any(outcome.state is not State.NOT_RUN for outcome in outcomes)
    return ExitCode.PARITY if judged else ExitCode.CANNOT_JUDGE


def jobs(
    folders: Sequence[Path],
    *,
    candidate: str | None = None,
    precision: Precision | None = None,
    only: str | None = None,
) -> list[Job]:
    """The cases in these folders, or in the folders in them.

    Args:
        folders: of a case, or of several.
        candidate: judged in every run that names none.
        precision: the one that is judged, in place of the experiments'.
        only: the name of a run; the others are left out.

    Raises:
        UsageError: a folder without a case, or no run of that name.
        ConfigError: mistakes in a case.
    """
    found = [job for folder in folders for job in _jobs_in(folder, candidate, precision)]
    if only is None:
        return found
    chosen = [replace(job, runs=tuple(run for run in job.runs if run.name == only)) for job in found]
    if not any(job.runs for job in chosen):
        names = [run.name for job in found for run in job.runs]
        msg = f"--run {only!r}: no case has a run of that name{nearest(only, names)}"
        raise UsageError(msg)
    return [job for job in chosen if job.runs]


def _jobs_in(folder: Path, candidate: str | None, precision: Precision | None) -> Iterator[Job]:
    alone = is_file(folder / EXPERIMENT)
    there = is_folder(folder)
    found = {*cases(folder), *(path.parent for path in folder.glob(f"*/{EXPERIMENT}"))} if there else ()
    inside = [folder] if alone else sorted(found)
    if not inside:
        what = "no such folder" if not there else f"no {EXPERIMENT} in it, or in a folder in it"
        msg = f"{folder}: {what}; a case is a folder with {EXPERIMENT}, and {CASE} if it expects more than parity"
        raise UsageError(msg)
    for place in inside:
        case = load_case(place)
        runs = tuple(_judging(run, candidate) for run in runs_of(case))
        names = [run.name for run in runs]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            msg = f"{place / CASE}: runs need names of their own; given twice: {', '.join(twice)}"
            raise UsageError(msg)
        yield Job(place, case, runs, precision, candidate)


def _judging(run: CaseRun, candidate: str | None) -> CaseRun:
    if candidate is None or "candidate" in run.model_fields_set:
        return run
    return run.model_copy(update={"candidate": candidate})


@dataclass
class Gate:
    """Runs cases against their baselines."""

    jobs: list[Job]
    today: date = field(default_factory=lambda: datetime.now(UTC).date())
    without_data: bool = False
    explain: bool = True
    _datasets: dict[str, Dataset] = field(default_factory=dict)

    def read(self) -> dict[Path, Baseline]:
        """Every baseline, before anything is run.

        Raises:
            BaselineError: one is missing, cannot be used, or has nothing for a run.
        """
        found, missing = {}, []
        for job in self.jobs:
            try:
                found[job.folder] = baseline = stored.read(job.folder, job.update)
            except BaselineError as error:
                missing.append(str(error))
                continue
            if new := [run.name for run in job.runs if baseline.recorded(run.name) is None]:
                missing.append(f"{job.folder}: nothing was recorded for {', '.join(new)}; to record it: {job.update}")
        if missing:
            raise BaselineError("\n".join(missing))
        return found

    def run(self) -> Iterator[Outcome]:
        """Judge every run of every case.

        Raises:
            BaselineError: before any of them, where one has no baseline.
        """
        baselines = self.read()
        for job in self.jobs:
            for run in job.runs:
                yield self.judge(job, run, baselines[job.folder])

    def judge(self, job: Job, run: CaseRun, baseline: Baseline) -> Outcome:
        """One run against its recording."""
        began = time.perf_counter()
        try:
            outcome = self._judged(job, run, baseline)
        except SideError as error:
            outcome = Outcome(job, run, State.CRASHED, (str(error),))
        except StaleError as error:
            outcome = Outcome(job, run, State.CANNOT_JUDGE, (f"{error}; to record it again: {job.update}",))
        except CannotJudgeError as error:
            outcome = Outcome(job, run, State.CANNOT_JUDGE, (str(error),))
        return replace(outcome, seconds=time.perf_counter() - began)

    def dataset(self, experiment: Experiment) -> Dataset:
        """Read once for all that share it."""
        shape = f"{experiment.data!r} {experiment.loss.class_name} {experiment.layers[-1].units}"
        if shape not in self._datasets:
            self._datasets[shape] = load_dataset(experiment)
        return self._datasets[shape]

    def _judged(self, job: Job, run: CaseRun, baseline: Baseline) -> Outcome:
        experiment = job.experiment(run)
        try:
            dataset = self.dataset(experiment)
        except UsageError as error:
            state = State.NOT_RUN if self.without_data and job.case.data else State.CANNOT_JUDGE
            return Outcome(job, run, state, (" ".join([job.case.data, str(error)]).strip(),))
        number = baseline.recorded(run.name)
        assert number is not None  # looked for before
        recorded = baseline.contents.recorded[number]
        if recorded.reference != run.reference:
            msg = f"the baseline is stale: the reference is {run.reference}, recorded was {recorded.reference}"
            raise StaleError(msg)
        kept = {precision: baseline.kept(number, precision) for precision in recorded.precisions}
        command = command_of(job.folder, run, job.case.gate.items())
        judged = hold(experiment, STAND_IN if experiment.declare else run.candidate, recorded, kept, dataset, command)
        if experiment.declare:  # the NumPy network was held against the baseline, to stand for the reference
            declared = diff_declared(
                experiment,
                experiment.declare,
                reference=run.reference,
                candidate=run.candidate,
                trusted=judged.result.verdict,
                explain=False,
                command=command,
            )
            judged = Held(declared, {})
        judged = replace(judged, result=_recorded_with(judged.result, baseline))
        if (crash := judged.result.crash) is not None:
            return Outcome(job, run, State.CRASHED, (crash.message,), judged)
        state, problems = self._expected(run, judged.result)
        if state is State.FAILED and self.explain and judged.result.declared is None:
            diagnosis = explain(judged.result, recorded, kept, dataset)
            judged = replace(judged, result=replace(judged.result, diagnosis=diagnosis))
        then = baseline.contents.candidates.get(run.name, {})
        known = {precision: digest for precision, digest in judged.digests.items() if precision in then}
        unchanged = all(then[p] == digest for p, digest in known.items()) if known else None
        note = f"{run.known.reason} (until {run.known.until})" if state is State.KNOWN and run.known else ""
        then_and_now = {}
        if state is State.FAILED:
            then_and_now = doctor.differences(baseline.contents.environment, doctor.environment())
        return Outcome(job, run, state, problems, judged, unchanged, then_and_now, note=note)

    def _expected(self, run: CaseRun, result: Result) -> tuple[State, tuple[str, ...]]:
        """Whether it showed what it should, or what a known exception says."""
        problems = tuple(unexpected(run.expect, result))
        if (known := run.known) is None:
            if problems and result.verdict is Verdict.CANNOT_JUDGE:
                return State.CANNOT_JUDGE, problems
            return (State.FAILED if problems else State.PASSED), problems
        if not problems:
            return State.FAILED, (f"the known exception ({known.reason}) is there no more: take it out of {CASE}",)
        if self.today > known.until:
            return State.FAILED, (*problems, f"it was a known exception until {known.until}: {known.reason}")
        elsewhere = tuple(unexpected(known.expect, result))
        if elsewhere:
            return State.FAILED, (*elsewhere, f"which is not the known exception ({known.reason})")
        return State.KNOWN, ()


def _recorded_with(result: Result, baseline: Baseline) -> Result:
    """The result, whose environment also tells where the reference's part of it comes from."""
    recorded = {name: baseline.contents.environment.get(name, "not known") for name in ("keras", "tensorflow")}
    recorded["reference recorded on"] = baseline.contents.made
    return replace(result, environment={**recorded, **result.environment})
