"""`diff` against a model that an experiment cannot express: the reference is that very model.

No budget can be derived for operations that are not known, and no NumPy network can stand in for them. What is left are
loss, output, weights and gradients of every step, each side on its own, held against the tolerances that somebody sets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from parity.budget import LocalBudget
from parity.config.given import ModelExperiment
from parity.coverage import Coverage
from parity.data import Dataset, Schedule
from parity.diagnosis import Diagnosis
from parity.errors import SideError
from parity.judge import Judge
from parity.protocol import Array, Key, Pair
from parity.result import Crash, Result, Run
from parity.run import Progress, environment, train
from parity.sensitivity import Sensitivity
from parity.sides import SideLike, load_side
from parity.state import common_state
from parity.tolerance import Tolerances
from parity.watch import Watch

UNKNOWN = "nobody derives a budget for what the model computes: {}; set tolerances"
UNABLE = "conventions are tried out with the NumPy network, and an experiment cannot tell it {}"


class _NoBudget(LocalBudget):
    def __init__(self) -> None:
        """Of operations that are not known."""

    def of(self, *_: object) -> None:
        return None


class _NoCoverage(Coverage):
    def __init__(self) -> None:
        self.steps = 0

    def take(self, *_: object) -> None:
        pass


class _NoSensitivity(Sensitivity):
    def __init__(self) -> None:
        self._found = {}

    def take(self, *_: object) -> None:
        pass


@dataclass
class ModelJudge(Judge):
    """The judge of a `ModelExperiment`."""

    experiment: ModelExperiment

    def __post_init__(self) -> None:
        self._budget = _NoBudget()
        self.tolerances = Tolerances(self.experiment)
        self.coverage, self.sensitivity = _NoCoverage(), _NoSensitivity()
        if not self.tolerances.rules:
            self.missing["free lane"] = UNKNOWN.format("; ".join(self.experiment.inexpressible))

    @property
    def skipped(self) -> list[Key]:
        names = self.experiment.weight_shapes
        training = [Key("loss", "loss"), *(Key("update", name) for name in names)]
        return [key for key in training if key not in self.judged]


class _JudgeAlone(Watch):
    def __init__(self, judge: ModelJudge) -> None:
        """With no network that could stand in for the model."""
        self.judge = judge

    def take(self, pair: Pair) -> None:
        self.judge.take(pair)

    def finish(self) -> None:
        pass


def diff_model(
    experiment: ModelExperiment,
    *,
    reference: SideLike,
    candidate: SideLike,
    dataset: Dataset,
    weights: Mapping[str, Array],
    progress: Progress,
    command: str = "",
    timeout: float | None = None,
) -> Result:
    """`parity.run.diff` where the reference is a model of somebody's own.

    Returns:
        The result; on Ctrl-C, or where a side fails, what was compared until then, with `interrupted` or `crash` set.

    Raises:
        UsageError: the data or a side is not usable.
        SideError: a side could not be made.
    """
    began = time.perf_counter()
    experiment = experiment.model_copy(update={"examples": len(dataset)})
    sides = load_side(reference), load_side(candidate, timeout)
    experiment, afresh = common_state(experiment, sides, dataset.x.shape[1])
    (precision,) = experiment.precisions
    schedule = Schedule.of(experiment, len(dataset))
    judge = ModelJudge(experiment, precision, replays=False)
    judge.missing |= {"optimizer state": afresh} if afresh else {}
    started, interrupted, crash = time.perf_counter(), False, None
    try:
        watch = _JudgeAlone(judge)
        train(experiment, sides, dataset.astype(precision), weights, watch, ("free",), progress, schedule.steps)
    except KeyboardInterrupt:
        interrupted = True
    except SideError as error:
        crash = Crash(str(error), error.step)
    run = Run(precision, schedule.steps, judge, time.perf_counter() - started)
    unable = UNABLE.format("; ".join(experiment.inexpressible))
    return Result(
        experiment=experiment,
        reference=sides[0].name,
        candidate=sides[1].name,
        runs=(run,),
        diagnosis=None if run.first is None else Diagnosis((), precision, 0, 0, 0.0, unable=unable),
        data_digest=dataset.digest,
        command=command,
        environment=environment(sides),
        timings={precision: run.seconds, "total": time.perf_counter() - began},
        interrupted=interrupted,
        crash=crash,
        remarks={what: why for side in sides for what, why in side.remarks.items()},
    )
