"""`diff`: train both sides of an experiment in lockstep, judge every step, in each precision asked for."""

from __future__ import annotations

import math
import platform
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing

from parity.arbiter import Arbitration, arbitrate
from parity.config import Experiment, Precision
from parity.data import Dataset, Schedule, load_dataset
from parity.diagnosis import Diagnosis, diagnose
from parity.envelope import Envelope
from parity.errors import SideError, UsageError
from parity.gradcheck import GradCheck, check_gradients
from parity.lockstep import draw_weights, lockstep, start_weights
from parity.protocol import Array, Lane, Pair
from parity.result import Crash, Result, Run
from parity.sides import STAND_IN, LoadedSide, load_side
from parity.untold import UNDRAWN
from parity.verdict import BEGINS, Divergence, Judge

Progress = Callable[[Precision, int, int], None]
BOTH_LANES: tuple[Lane, ...] = ("local", "free")


def diff(
    experiment: Experiment,
    *,
    reference: str = "keras",
    candidate: str = "scratch",
    lanes: tuple[Lane, ...] = BOTH_LANES,
    explain: bool = True,
    progress: Progress = lambda *_: None,
    searching: Callable[[int], None] = lambda _: None,
    stand_in: str = STAND_IN,
    command: str = "",
    gradcheck: bool = False,
    envelope: bool = False,
    timeout: float | None = None,
) -> Result:
    """Train both sides side by side and compare everything they compute.

    Args:
        experiment: what to train.
        reference: the side that is trusted, by name.
        candidate: the side that is judged, by name.
        lanes: `local` gives each phase the reference's inputs, `free` lets the candidate go its own way.
        explain: whether to look for the causes of a divergence.
        progress: called with the precision, the steps done and the steps planned.
        searching: called with the number of sets of conventions tried while causes are looked for.
        stand_in: the NumPy network that computes what the reference does, for what needs one that can be changed.
        command: how to run this again, for the reports.
        envelope: hold the free lane against the drift of an ensemble, also of a candidate that replays.
        gradcheck: also check each side's gradient against its own loss, by differences in float64.
        timeout: seconds that one call of a side which is not built in may take.

    Returns:
        The result; on Ctrl-C, or where a side fails, what was compared until then, with `interrupted` or `crash` set.

    Raises:
        UsageError: the data or a side is not usable.
        SideError: a side could not be made.
    """
    began = time.perf_counter()
    dataset = load_dataset(experiment)
    experiment = _told(experiment, len(dataset))
    sides = load_side(reference, timeout), load_side(candidate, timeout)
    _refuse_lanes(lanes, sides[1])
    stand_in = _like(stand_in, sides[0])
    timings = {"load": time.perf_counter() - began}
    runs: list[Run] = []
    started_from: dict[Precision, dict[str, Array]] = {}
    diagnosis: Diagnosis | None = None
    interrupted, crash = False, None
    for precision in experiment.precisions:
        schedule = Schedule.of(experiment, len(dataset))
        judge = Judge(experiment, precision, schedule=schedule, replays=sides[1].can("replay"))
        ensemble: Envelope | None = None
        started = time.perf_counter()
        try:
            converted = dataset.astype(precision)
            weights = started_from[precision] = _common_start(experiment, sides, converted, judge)
            if "free" in lanes and (envelope or not (judge.replays or experiment.tolerance)):
                ensemble = Envelope(experiment, converted, weights, judge, stand_in)
            _train(experiment, sides, converted, weights, judge, ensemble, lanes, lambda done: progress(*done))
        except KeyboardInterrupt:
            interrupted = True
        except SideError as error:
            crash = Crash(str(error), error.step)
        report = None if ensemble is None else ensemble.report
        runs.append(Run(precision, schedule.steps, judge, time.perf_counter() - started, report))
        timings[precision] = runs[-1].seconds
        if interrupted or crash:
            break
    diverged = next(((run.precision, run.first) for run in runs if run.first is not None), None)
    if explain and diverged is not None and not interrupted:
        precision, first = diverged
        weights = started_from[precision]
        diagnosis, interrupted = _explained(
            experiment, sides, dataset.astype(precision), weights, precision, first, searching
        )
        timings["diagnosis"] = diagnosis.seconds
    arbiter, checked = None, None
    started = time.perf_counter()
    try:
        arbiter = None if interrupted or crash else _arbitrated(experiment, sides, dataset, runs)
        if gradcheck and not (interrupted or crash):
            checked = _gradcheck(experiment, sides, dataset.astype("float64"))
    except KeyboardInterrupt:
        interrupted = True
    except SideError as error:
        crash = Crash(str(error), error.step)
    timings["checks"] = time.perf_counter() - started
    return Result(
        experiment=experiment,
        reference=reference,
        candidate=candidate,
        runs=tuple(runs),
        diagnosis=diagnosis,
        data_digest=dataset.digest,
        command=command,
        environment=_environment(sides),
        timings=timings | {"total": time.perf_counter() - began},
        interrupted=interrupted,
        crash=crash,
        remarks={what: why for side in sides for what, why in side.remarks.items()},
        arbiter=arbiter,
        gradcheck=checked,
    )


def _explained(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    weights: Mapping[str, Array],
    precision: Precision,
    first: Divergence,
    searching: Callable[[int], None],
) -> tuple[Diagnosis, bool]:
    """Why they part, and whether the search was interrupted."""
    if why := _inexplicable(experiment, first):
        return Diagnosis((), precision, 0, 0, 0.0, unable=why), False
    try:
        return diagnose(experiment, load_side(STAND_IN), *sides, dataset, weights, first.step, searching), False
    except KeyboardInterrupt:
        return Diagnosis((), precision, 0, 0, 0.0, unable="interrupted while causes were looked for"), True


def _inexplicable(experiment: Experiment, first: Divergence) -> str:
    """Why it is no use to look for causes among formulas; empty where it is."""
    if first.note.startswith(BEGINS):
        return "the two trained from different weights: nothing that comes after can be compared"
    no_number = math.isnan(first.candidate) and not math.isnan(first.reference)
    if no_number and "crossentropy" not in experiment.loss.class_name.lower():  # of which an unclipped one can be NaN
        return f"the candidate's {first.key} is not a number from step {first.step} on, the reference's is: look there"
    return ""


def _refuse_lanes(lanes: tuple[Lane, ...], candidate: LoadedSide) -> None:
    if lanes == ("local",) and not candidate.can("replay"):
        msg = f"the local lane alone judges a side that replays; {candidate.name} has no method replay(reference)"
        raise UsageError(msg)


def _like(stand_in: str, reference: LoadedSide) -> str:
    """The NumPy network with the choices that the reference is known to make."""
    if stand_in != STAND_IN or not reference.can("makes"):
        return stand_in
    return f"{STAND_IN}[{','.join(f'{code}={choice}' for code, choice in reference.side.makes().items())}]"


def _told(experiment: Experiment, examples: int) -> Experiment:
    """The experiment that knows how many examples it has."""
    if experiment.examples not in {None, examples}:
        msg = f"examples = {experiment.examples}, but the data has {examples}; leave the key out"
        raise UsageError(msg)
    return experiment.model_copy(update={"examples": examples})


def _gradcheck(experiment: Experiment, sides: tuple[LoadedSide, LoadedSide], dataset: Dataset) -> GradCheck:
    return check_gradients(experiment, sides, dataset, _weights_float64(experiment, sides, dataset))


def _arbitrated(
    experiment: Experiment, sides: tuple[LoadedSide, LoadedSide], dataset: Dataset, runs: list[Run]
) -> Arbitration | None:
    judge = next((run.judge for run in runs if run.precision == "float32"), None)
    if judge is None or judge.evidence is None:
        return None
    weights = _weights_float64(experiment, sides, dataset)
    return arbitrate(experiment, sides, dataset.astype("float64"), weights, judge)


def _weights_float64(
    experiment: Experiment, sides: tuple[LoadedSide, LoadedSide], dataset: Dataset
) -> Mapping[str, Array]:
    inputs = dataset.x.shape[1]
    return start_weights(experiment, _drawn(experiment, sides, inputs, "float64"), inputs, "float64")


def _drawn(
    experiment: Experiment, sides: tuple[LoadedSide, LoadedSide], inputs: int, precision: Precision
) -> list[Mapping[str, Array] | None]:
    """What each side draws, and where none does what the built-in network draws."""
    drawn = [draw_weights(side, experiment, inputs, precision) for side in sides]
    if all(weights is None for weights in drawn):
        drawn.append(draw_weights(load_side(STAND_IN), experiment, inputs, precision))
    return drawn


def _common_start(
    experiment: Experiment, sides: tuple[LoadedSide, LoadedSide], dataset: Dataset, judge: Judge
) -> dict[str, Array]:
    """The weights both sides start from; what both of them draw by themselves is compared."""
    inputs = dataset.x.shape[1]
    drawn = _drawn(experiment, sides, inputs, judge.precision)
    if drawn[0] is not None and drawn[1] is not None:
        judge.take_start(drawn[0], drawn[1])
    if drawn[1] is None:
        judge.missing["initial weights"] = UNDRAWN
    return start_weights(experiment, drawn, inputs, judge.precision)


def _train(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    weights: Mapping[str, Array],
    judge: Judge,
    ensemble: Envelope | None,
    lanes: tuple[Lane, ...],
    progress: Callable[[tuple[Precision, int, int]], None],
) -> None:
    """The path of the data: lockstep, judge."""
    planned = Schedule.of(experiment, len(dataset)).steps

    def take(pair: Pair) -> None:
        judge.take(pair, None if ensemble is None else ensemble.take(pair))

    # A chunk is judged while the sides train the next one: most of both runs without holding Python's lock.
    with ThreadPoolExecutor(1, "judge") as thread:
        judged: Future[None] | None = None
        with closing(lockstep(experiment, *sides, dataset, weights, lanes)) as pairs:
            for pair in pairs:
                if judged is not None:
                    judged.result()
                    progress((judge.precision, judge.steps, planned))
                judged = thread.submit(take, pair)
        if judged is not None:
            judged.result()
            progress((judge.precision, judge.steps, planned))
    if ensemble is not None:
        ensemble.finish(judge)


def _environment(sides: tuple[LoadedSide, LoadedSide]) -> dict[str, str]:
    environment = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for side in sides:
        environment |= side.environment()
    return environment
