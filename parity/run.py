"""`diff`: train both sides of an experiment in lockstep, judge every step, in each precision asked for."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Generator, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial

from parity.arbiter import Arbitration, arbitrate
from parity.config import Experiment, Precision
from parity.data import Dataset, Schedule, load_dataset, told_examples
from parity.diagnosis import Diagnosis, Kept, diagnose
from parity.errors import SideError, UsageError
from parity.gradcheck import GradCheck, check_gradients
from parity.held import Measures
from parity.judge import Judge
from parity.lockstep import common_spans, lockstep
from parity.one_thread import one_thread
from parity.protocol import Array, Lane
from parity.result import Crash, Result, Run
from parity.sides import STAND_IN, LoadedSide, SideLike, load_side, stand_in_for
from parity.start import common_start, weights_in_float64
from parity.state import common_state
from parity.trace import TraceSide
from parity.trace.keep import Keep
from parity.trace.manifest import PRECISIONS
from parity.verdict import Divergence, Kind
from parity.watch import Watch

Progress = Callable[[Precision, int, int], None]
BOTH_LANES: tuple[Lane, ...] = ("local", "free")


@one_thread()
def diff(
    experiment: Experiment,
    *,
    reference: SideLike = "keras",
    candidate: SideLike = "scratch",
    lanes: tuple[Lane, ...] = BOTH_LANES,
    explain: bool = True,
    progress: Progress = lambda *_: None,
    searching: Callable[[int], None] = lambda _: None,
    stand_in: str = "",
    command: str = "",
    gradcheck: bool = False,
    envelope: bool = False,
    dataset: Dataset | None = None,
    weights: Mapping[str, Array] | None = None,
    timeout: float | None = None,
    measures: Measures = "all",
) -> Result:
    """Train both sides side by side and compare everything they compute.

    Args:
        experiment: what to train.
        reference: the side that is trusted: its name, itself, or what makes it.
        candidate: the side that is judged.
        lanes: `local` gives each phase the reference's inputs, `free` lets the candidate go its own way.
        explain: whether to look for the causes of a divergence.
        progress: called with the precision, the steps done and the steps planned.
        searching: called with the number of sets of conventions tried while causes are looked for.
        stand_in: the NumPy network that computes what the reference does, for what needs one that can be changed; by
            default the one with the choices that the reference is known to make.
        command: how to run this again, for the reports.
        envelope: hold the free lane against the drift of an ensemble, also of a candidate that replays.
        gradcheck: also check each side's gradient against its own loss, by differences in float64.
        dataset: what to train on, in place of the experiment's data.
        weights: the initial weights, where the experiment's are in memory.
        timeout: seconds that one call of a side which is not built in may take.
        measures: all of every step, or those that are shown where the result is printed.

    Returns:
        The result; on Ctrl-C, or where a side fails, what was compared until then, with `interrupted` or `crash` set.

    Raises:
        UsageError: the data or a side is not usable.
        SideError: a side could not be made.
    """
    began = time.perf_counter()
    dataset = load_dataset(experiment) if dataset is None else dataset
    sides = load_side(reference, timeout), load_side(candidate, timeout)
    experiment, left_out = _as_compared(told_examples(experiment, len(dataset)), sides, dataset)
    stand_in = stand_in or stand_in_for(sides[0])
    timings = {"load": time.perf_counter() - began}
    runs: list[Run] = []
    begun: dict[Precision, tuple[dict[str, Array], Kept | None]] = {}
    ended = _Ended()
    for precision in experiment.precisions:
        schedule = Schedule.of(experiment, len(dataset))
        judge = Judge(experiment, precision, schedule=schedule, replays=sides[1].can("replay"), measures=measures)
        judge.missing |= left_out
        planned = _compared_steps(schedule, sides, judge)
        watch: Watch | None = None
        started = time.perf_counter()
        with ended.noted():
            converted = dataset.astype(precision)
            start = common_start(experiment, sides, converted, judge, weights)
            kept = _kept(experiment, sides, converted, start, judge, runs) if explain else None
            begun[precision] = start, kept
            built_in = sides[1].guard is None
            watch = Watch(experiment, converted, start, judge, stand_in, lanes, envelope, kept, built_in=built_in)
            train(experiment, sides, converted, start, watch, lanes, progress, planned)
        timings[precision] = time.perf_counter() - started
        runs.append(Run(precision, planned, judge, timings[precision], watch.envelope_report if watch else None))
        if ended.early:
            break
    diverged = next(((run.precision, run.first) for run in runs if run.first is not None), None)
    diagnosis: Diagnosis | None = None
    if explain and diverged is not None and not ended.interrupted:
        precision, first = diverged
        start, kept = begun.pop(precision)
        diagnosis, ended.interrupted = _explained(
            experiment, sides, dataset.astype(precision), start, precision, first, searching, kept
        )
        timings["diagnosis"] = diagnosis.seconds
    arbiter, checked = None, None
    started = time.perf_counter()
    with ended.noted():
        if not ended.early:
            arbiter = _arbitrated(experiment, sides, dataset, runs, weights)
            if gradcheck:
                checked = _gradcheck(experiment, sides, dataset.astype("float64"), weights)
    timings["checks"] = time.perf_counter() - started
    return Result(
        experiment=experiment,
        reference=sides[0].name,
        candidate=sides[1].name,
        runs=tuple(runs),
        diagnosis=diagnosis,
        data_digest=dataset.digest,
        command=command,
        environment=environment(sides),
        timings=timings | {"total": time.perf_counter() - began},
        interrupted=ended.interrupted,
        crash=ended.crash,
        remarks={what: why for side in sides for what, why in side.remarks.items()},
        arbiter=arbiter,
        gradcheck=checked,
    )


@dataclass
class _Ended:
    """Whether a run ended early: everything until then is kept and told."""

    interrupted: bool = False
    crash: Crash | None = None

    @property
    def early(self) -> bool:
        return self.interrupted or self.crash is not None

    @contextmanager
    def noted(self) -> Generator[None]:
        try:
            yield
        except KeyboardInterrupt:
            self.interrupted = True
        except SideError as error:
            self.crash = Crash(str(error), error.step)


def _as_compared(
    experiment: Experiment, sides: Iterable[LoadedSide], dataset: Dataset
) -> tuple[Experiment, dict[str, str]]:
    """The experiment as both sides can train it; what of it is left out for that, and why.

    A precision that is only a default is left out where a side was not recorded in it.
    """
    experiment, afresh = common_state(experiment, sides, dataset.x.shape[1])
    left_out = {"optimizer state": afresh} if afresh else {}
    traces = [side.side for side in sides if side.can("spans")]
    common = [one for one in experiment.precisions if all(one in trace.precisions for trace in traces)]
    if "precision" in experiment.model_fields_set or not common or len(common) == len(experiment.precisions):
        return experiment, left_out
    return experiment.model_copy(update={"precision": common[0]}), left_out | not_recorded(traces)


def not_recorded(traces: Iterable[TraceSide]) -> dict[str, str]:
    """The precision that not all were recorded in, and who was not."""
    return {
        other: f"not judged: {trace.folder} was recorded in {trace.precisions[0]} alone"
        for trace in traces
        for other in PRECISIONS
        if other not in trace.precisions
    }


def _kept(
    experiment: Experiment,
    sides: Iterable[LoadedSide],
    dataset: Dataset,
    weights: Mapping[str, Array],
    judge: Judge,
    runs: Iterable[Run],
) -> Kept | None:
    """What keeps the first steps of both sides for a diagnosis, of the first run that diverges.

    Of what was recorded nothing is kept: it is on disk already.
    """
    if any(side.can("spans") for side in sides) or any(run.first is not None for run in runs):
        return None
    return Kept(experiment, dataset, weights, lambda: None if judge.first is None else judge.first.step)


def _explained(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    weights: Mapping[str, Array],
    precision: Precision,
    first: Divergence,
    searching: Callable[[int], None],
    kept: Kept | None,
) -> tuple[Diagnosis, bool]:
    """Why they part, and whether the search was interrupted."""
    if why := inexplicable(experiment, first, recorded=sides[1].can("spans")):
        return Diagnosis((), precision, 0, 0, 0.0, unable=why), False
    search = partial(diagnose, experiment, load_side(STAND_IN), *sides, dataset, weights, first.step)
    try:
        return search(searching, kept, fixed=first.fixed), False
    except KeyboardInterrupt:
        return Diagnosis((), precision, 0, 0, 0.0, unable="interrupted while causes were looked for"), True


def inexplicable(experiment: Experiment, first: Divergence, *, recorded: bool) -> str:
    """Why it is no use to look for causes among formulas; empty where it is."""
    if first.kind is Kind.WEIGHTS and not recorded:  # of a recorded side it is what it draws
        return "the two trained from different weights: nothing that comes after can be compared"
    no_number = math.isnan(first.candidate) and not math.isnan(first.reference)
    softmax = any(layer.activation == "softmax" for layer in experiment.layers)
    if no_number and not softmax and "crossentropy" not in experiment.loss.class_name.lower():  # these can overflow
        key = str(first.key).removeprefix("loss ")
        return f"the candidate's {key} is not a number from step {first.step} on, the reference's is: look there"
    return ""


def _gradcheck(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    handed: Mapping[str, Array] | None,
) -> GradCheck:
    live = tuple(side for side in sides if not side.can("spans")) or (load_side(STAND_IN),)
    return check_gradients(experiment, sides, dataset, weights_in_float64(experiment, live, dataset, handed))


def _arbitrated(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    runs: list[Run],
    handed: Mapping[str, Array] | None,
) -> Arbitration | None:
    judge = next((run.judge for run in runs if run.precision == "float32"), None)
    if judge is None or judge.evidence is None or judge.evidence.lane == "free":
        return None
    try:
        weights = weights_in_float64(experiment, sides, dataset, handed)
        return arbitrate(experiment, sides, dataset.astype("float64"), weights, judge)
    except UsageError as why:  # a recorded side was not recorded in float64, or from other weights
        assert judge.first is not None
        return Arbitration(judge.first.step, judge.first.key, why_not=str(why))


def _compared_steps(schedule: Schedule, sides: tuple[LoadedSide, LoadedSide], judge: Judge) -> int:
    """How many steps there are to compare; what a recorded side does not have is told."""
    spans = common_spans(sides, judge.precision)
    if spans is None:
        return schedule.steps
    compared = [(first, min(last, schedule.steps)) for first, last in spans if first <= schedule.steps]
    early = (_unfinished(side.side, judge.precision, schedule.steps) for side in sides if side.can("spans"))
    judge.cut, judge.last_recorded = "; ".join(filter(None, early)), compared[-1][1] if compared else 0
    if not compared:
        names = " and ".join(side.name for side in sides if side.can("spans"))
        msg = f"{names}: none of the experiment's {schedule.steps} steps is recorded ({judge.precision})"
        raise UsageError(msg)
    count = sum(last - first + 1 for first, last in compared)
    if count < schedule.steps:
        told = ", ".join(f"{first} to {last}" if first < last else f"{first}" for first, last in compared[:5])
        more = " and more" if len(compared) > 5 else ""
        judge.missing["steps"] = f"{count} of {schedule.steps} are recorded: {told}{more}"
    return count


def _unfinished(side: TraceSide, precision: Precision, asked: int) -> str:
    """Where a recording was to go on and did not, among the steps asked for; empty where it is whole."""
    trace = side.trace(precision)
    keep, examples = Keep.read(trace.manifest.keep), trace.experiment.examples
    if keep is None or examples is None:
        return ""
    planned = Schedule.of(trace.experiment, examples).steps
    if trace.last_step >= keep.last(min(planned, asked)):
        return ""
    return f"{side.folder} ends after step {trace.last_step}: it was to have {planned} and was never finished"


def train(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    weights: Mapping[str, Array],
    watch: Watch,
    lanes: tuple[Lane, ...],
    progress: Progress,
    planned: int,
) -> None:
    """The path of the data: lockstep, judge."""

    def told(judged: Future[None]) -> None:
        judged.result()
        progress(watch.judge.precision, watch.judge.steps, planned)

    # A chunk is judged while the sides train the next one: most of both runs without holding Python's lock.
    with closing(watch.judge), ThreadPoolExecutor(1, "judge") as thread:
        judged: Future[None] | None = None
        with closing(lockstep(experiment, *sides, dataset, weights, lanes)) as pairs:
            for pair in pairs:
                if judged is not None:
                    told(judged)
                judged = thread.submit(watch.take, pair)
        if judged is not None:
            told(judged)
    watch.finish()


def environment(sides: tuple[LoadedSide, LoadedSide]) -> dict[str, str]:
    """Versions and settings that bear on the numbers, of this process and of both sides."""
    found = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for side in sides:
        found |= side.environment()
    return found
