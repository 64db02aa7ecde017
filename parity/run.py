"""`diff`: train both sides of an experiment in lockstep, judge every step, in each precision asked for."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from parity.config import Experiment, Precision
from parity.data import Dataset, Schedule, load_dataset
from parity.errors import UsageError
from parity.lockstep import draw_weights, lockstep, start_weights
from parity.protocol import Lane
from parity.result import Result, Run
from parity.sides import LoadedSide, load_side
from parity.verdict import Judge

Progress = Callable[[Precision, int, int], None]
BOTH_LANES: tuple[Lane, ...] = ("local", "free")


def diff(
    experiment: Experiment,
    *,
    reference: str = "keras",
    candidate: str = "scratch",
    lanes: tuple[Lane, ...] = BOTH_LANES,
    progress: Progress = lambda *_: None,
    command: str = "",
) -> Result:
    """Train both sides side by side and compare everything they compute.

    Args:
        experiment: what to train.
        reference: the side that is trusted, by name.
        candidate: the side that is judged, by name.
        lanes: `local` gives each phase the reference's inputs, `free` lets the candidate go its own way.
        progress: called with the precision, the steps done and the steps planned.
        command: how to run this again, for the reports.

    Returns:
        The result; on Ctrl-C what was compared until then, with `interrupted` set.

    Raises:
        UsageError: the data or a side is not usable.
        SideError: a side raised.
    """
    began = time.perf_counter()
    dataset = load_dataset(experiment)
    experiment = _told(experiment, len(dataset))
    sides = load_side(reference), load_side(candidate)
    timings = {"load": time.perf_counter() - began}
    runs: list[Run] = []
    interrupted = False
    for precision in experiment.precisions:
        judge = Judge(experiment, precision)
        planned = Schedule.of(experiment, len(dataset)).steps
        started = time.perf_counter()
        try:
            _train(experiment, sides, dataset.astype(precision), judge, lanes, lambda done: progress(*done))
        except KeyboardInterrupt:
            interrupted = True
        runs.append(Run(precision, planned, judge, time.perf_counter() - started))
        timings[precision] = runs[-1].seconds
        if interrupted:
            break
    return Result(
        experiment=experiment,
        reference=reference,
        candidate=candidate,
        runs=tuple(runs),
        data_digest=dataset.digest,
        command=command,
        environment=_environment(sides),
        timings=timings | {"total": time.perf_counter() - began},
        interrupted=interrupted,
    )


def _told(experiment: Experiment, examples: int) -> Experiment:
    """The experiment that knows how many examples it has."""
    if experiment.examples not in {None, examples}:
        msg = f"examples = {experiment.examples}, but the data has {examples}; leave the key out"
        raise UsageError(msg)
    return experiment.model_copy(update={"examples": examples})


def _train(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    judge: Judge,
    lanes: tuple[Lane, ...],
    progress: Callable[[tuple[Precision, int, int]], None],
) -> None:
    """The path of the data: start, lockstep, judge."""
    planned = Schedule.of(experiment, len(dataset)).steps
    inputs = dataset.x.shape[1]
    drawn = [draw_weights(side, experiment, inputs, judge.precision) for side in sides]
    if drawn[0] is not None and drawn[1] is not None:
        judge.take_start(drawn[0], drawn[1])
    weights = start_weights(experiment, drawn, inputs, judge.precision)
    # A chunk is judged while the sides train the next one: most of both runs without holding Python's lock.
    with ThreadPoolExecutor(1, "judge") as thread:
        judged: Future[None] | None = None
        for pair in lockstep(experiment, *sides, dataset, weights, lanes):
            if judged is not None:
                judged.result()
                progress((judge.precision, judge.steps, planned))
            judged = thread.submit(judge.take, pair)
        if judged is not None:
            judged.result()
            progress((judge.precision, judge.steps, planned))


def _environment(sides: tuple[LoadedSide, LoadedSide]) -> dict[str, str]:
    environment = {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}"}
    for side in sides:
        environment |= side.environment()
    return environment
