"""Recording baselines anew, and what became of the reference since the last time.

The reference that is trained now is held against the old recording as a candidate would be. So what changed is told in
the same measure: not a bit, within what rounding can have done, or beyond it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from hashlib import sha256
from itertools import groupby

from parity import doctor
from parity.cases import CaseRun
from parity.config import Precision
from parity.errors import SideError, UsageError
from parity.gate import baseline as stored
from parity.gate.baseline import Baseline, BaselineError, Contents, Recorded, described
from parity.gate.judging import StaleError, hold
from parity.gate.recording import record
from parity.gate.suite import Gate, Job
from parity.protocol import Array
from parity.result import Result
from parity.sides import load_side
from parity.verdict import Verdict


class Moved(StrEnum):
    """What became of the reference."""

    NEW = "new"
    EXPERIMENT = "the experiment changed"
    SAME = "not a bit changed"
    ROUNDING = "within rounding"
    BEYOND = "beyond rounding"
    UNKNOWN = "not known"


@dataclass(frozen=True)
class Change:
    """One recording, then and now."""

    runs: tuple[str, ...]
    reference: str
    moved: Moved
    why: str = ""
    result: Result | None = None
    """The reference of now, held against the recording of then."""


@dataclass(frozen=True)
class Renewed:
    """A baseline made now, what it was before, and what changed in between."""

    baseline: Baseline
    packed: bytes
    changes: tuple[Change, ...]
    environment: Mapping[str, tuple[str, str]]
    """What of the environment is not as it was."""


def renew(gate: Gate, job: Job) -> Renewed:
    """Record every reference of a case.

    Raises:
        UsageError: the data are not here, or a side is not usable.
        SideError: a reference raised.
    """
    environment = doctor.environment()  # before a side changes it
    recorded: list[Recorded] = []
    arrays: dict[str, Array] = {}
    candidates: dict[str, dict[Precision, str]] = {}
    for runs in _sharing(job):
        experiment = job.experiment(runs[0])
        dataset = gate.dataset(experiment)
        keep = {step for run in runs for step in _expected_steps(run)}
        number = len(recorded)
        one, its_arrays = record(experiment, runs[0].reference, dataset, [r.name for r in runs], keep, number)
        recorded.append(one)
        arrays |= its_arrays
        environment |= load_side(runs[0].reference).environment()
    packed = stored.packed(arrays)
    contents = Contents(
        command=job.update,
        made=datetime.now(UTC).date().isoformat(),
        environment=environment,
        arrays=sha256(packed).hexdigest(),
        candidates={},
        recorded=tuple(recorded),
    )
    baseline = Baseline(contents, stored.unpacked(packed))
    for run in job.runs:
        held = gate.judge(job, run, baseline).held
        if held is not None and held.digests and held.result.crash is None:
            candidates[run.name] = dict(held.digests)
    baseline = Baseline(contents.model_copy(update={"candidates": candidates}), baseline.arrays)
    old = _old(job)
    changes = tuple(_change(gate, job, old, one) for one in recorded)
    then = {} if old is None else old.contents.environment
    return Renewed(baseline, packed, changes, doctor.differences(then, environment))


def _sharing(job: Job) -> Iterator[list[CaseRun]]:
    """Runs of one reference in one experiment: recorded once."""

    def what(run: CaseRun) -> str:
        experiment = job.experiment(run)
        return f"{run.reference} {experiment.precision} {described(experiment)}"

    for _, runs in groupby(sorted(job.runs, key=what), key=what):
        yield list(runs)


def _expected_steps(run: CaseRun) -> Iterator[int]:
    """Steps that something is expected of."""
    expected = [run.expect] + ([run.known.expect] if run.known else [])
    for one in expected:
        yield from (figure.step for figure in one.figures)
        if one.step is not None:
            yield one.step


def _old(job: Job) -> Baseline | None:
    try:
        return stored.read(job.folder, job.update)
    except BaselineError:
        return None


def _change(gate: Gate, job: Job, old: Baseline | None, now: Recorded) -> Change:
    """What became of one reference since the old baseline."""
    found = next((number for run in now.runs if old and (number := old.recorded(run)) is not None), None)
    if old is None or found is None:
        return Change(now.runs, now.reference, Moved.NEW)
    then = old.contents.recorded[found]
    if then.reference != now.reference:
        return Change(now.runs, now.reference, Moved.EXPERIMENT, f"the reference was {then.reference}")
    run = next(run for run in job.runs if run.name == now.runs[0])
    experiment = job.experiment(run).model_copy(update={"tolerance": ()})
    try:
        kept = {precision: old.kept(found, precision) for precision in then.precisions}
        result = hold(experiment, now.reference, then, kept, gate.dataset(experiment)).result
    except StaleError as error:
        return Change(now.runs, now.reference, Moved.EXPERIMENT, str(error).removeprefix("the baseline is stale: "))
    except BaselineError:  # a damaged one is made anew
        return Change(now.runs, now.reference, Moved.NEW)
    if result.crash is not None:
        raise SideError(result.crash.message)
    same = all(then.precisions[p].digests == now.precisions[p].digests for p in experiment.precisions)
    if same:
        return Change(now.runs, now.reference, Moved.SAME, result=result)
    if result.verdict is Verdict.DIVERGED:
        return Change(now.runs, now.reference, Moved.BEYOND, result=result)
    if any(then.precisions[precision].no_drift for precision in experiment.precisions):
        why = next(filter(None, (then.precisions[precision].no_drift for precision in experiment.precisions)))
        return Change(now.runs, now.reference, Moved.UNKNOWN, why, result)
    return Change(now.runs, now.reference, Moved.ROUNDING, result=result)


def refuse_in_ci(environment: Mapping[str, str], *, allowed: bool) -> None:
    """A machine that judges must not also decide what is right.

    Raises:
        UsageError: this is one, and nobody said that it may.
    """
    if not allowed and environment.get("CI", "").lower() not in {"", "0", "false"}:
        msg = (
            "--update in CI (the environment variable CI is set) would make any failure pass: record baselines on your "
            "own machine and commit them, or say --allow-ci"
        )
        raise UsageError(msg)
