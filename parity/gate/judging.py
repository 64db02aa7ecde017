"""A candidate held against a recorded reference.

    local lane   at the kept steps: every operation from the reference's own inputs, within its derived budget
    free lane    at every step each scalar, at the kept ones every tensor, after the last the weights: within what
                 rounding can have driven apart by then, as it was measured when the reference was recorded
    to itself    at every step: the run is what the candidate makes of the same state when it is asked again

A mistake that shows at a kept step is charged to its operation. One that shows later is seen in the loss once it has
moved it by more than rounding, and in the weights at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from parity.asking import replay, start_side, take_steps
from parity.config import Experiment, Precision
from parity.data import Dataset, Schedule, told_examples
from parity.data.schedule import Chunk
from parity.diagnosis import Diagnosis, diagnose
from parity.errors import SideError
from parity.gate.baseline import BaselineError, Kept, Recorded, Series, described, digest
from parity.held import Asked
from parity.judge import Judge
from parity.lockstep import chunk_length, draw_weights, start_weights
from parity.measure import Steps
from parity.protocol import Array, Key, Pair, Records
from parity.result import Crash, Result, Run
from parity.run import inexplicable
from parity.sides import STAND_IN, LoadedSide, load_side
from parity.verdict import Verdict

UNKNOWN_DRIFT = "measured, not judged: {}"


@dataclass(frozen=True)
class Held:
    """What a candidate showed, and the digest of its own run."""

    result: Result
    digests: Mapping[Precision, str]


class StaleError(BaselineError):
    """The baseline is of another experiment or other data."""


def hold(
    experiment: Experiment,
    candidate: str,
    recorded: Recorded,
    kept: Mapping[Precision, Kept],
    dataset: Dataset,
    command: str = "",
) -> Held:
    """Hold a candidate against a recorded reference, in every precision that the experiment asks for.

    Where it fails, what was compared until then is judged, and the result has the crash.

    Raises:
        StaleError: the baseline is of another experiment or other data.
        UsageError: the side is not usable.
        SideError: the side could not be made.
    """
    began = time.perf_counter()
    experiment = told_examples(experiment, len(dataset))
    check_fresh(experiment, dataset, recorded)
    side = load_side(candidate)
    runs, digests, crash = [], {}, None
    for precision in experiment.precisions:
        started = time.perf_counter()
        held = _Run(experiment, precision, dataset.astype(precision), side, recorded, kept[precision])
        try:
            held.take()
        except SideError as error:
            crash = Crash(str(error), error.step)
        runs.append(Run(precision, held.schedule.steps, held.judge, time.perf_counter() - started))
        if crash is not None:
            break
        digests[precision] = digest([("bits", np.array(held.bits))])
    result = Result(
        experiment=experiment,
        reference=recorded.reference,
        candidate=candidate,
        runs=tuple(runs),
        data_digest=dataset.digest,
        command=command,
        environment=dict(side.environment()),
        crash=crash,
        timings={run.precision: run.seconds for run in runs} | {"total": time.perf_counter() - began},
    )
    return Held(result, digests)


def explain(result: Result, recorded: Recorded, kept: Mapping[Precision, Kept], dataset: Dataset) -> Diagnosis | None:
    """The causes of a divergence, sought with the NumPy network in the reference's place.

    It may stand there only if it is in parity with the baseline itself; where the candidate is that very network, and
    the mistake is in it, there is nobody left to try conventions out.
    """
    found = next(((run.precision, run.first) for run in result.runs if run.first is not None), None)
    if found is None:
        return None
    precision, first = found
    if why := inexplicable(result.experiment, first, recorded=False):
        return Diagnosis((), precision, 0, 0, 0.0, unable=why)
    own = result.experiment.model_copy(update={"tolerance": (), "declare": {}})
    trusted = hold(own, recorded.stand_in, recorded, kept, dataset).result
    if trusted.verdict is not Verdict.PARITY:
        why = f"the NumPy network, which tries conventions out, is not in parity with the baseline ({trusted.verdict})"
        return Diagnosis((), precision, 0, 0, 0.0, unable=why)
    sides = load_side(STAND_IN), load_side(recorded.stand_in), load_side(result.candidate)
    return diagnose(own, *sides, dataset.astype(precision), kept[precision].start, first.step, fixed=first.fixed)


def check_fresh(experiment: Experiment, dataset: Dataset, recorded: Recorded) -> None:
    """Whether it is this experiment, on this data, that was recorded.

    Raises:
        StaleError: it is not; says what changed.
    """
    ours = described(experiment)
    if ours != recorded.experiment:
        changes = ", ".join(_changes(recorded.experiment, ours))
        msg = f"the baseline is stale: the experiment changed since it was recorded ({changes})"
        raise StaleError(msg)
    if dataset.digest != recorded.data:
        msg = (
            "the baseline is stale: the experiment is the same, and its data are others "
            f"(digest {dataset.digest[:12]}, recorded {recorded.data[:12]})"
        )
        raise StaleError(msg)
    if missing := set(experiment.precisions) - recorded.precisions.keys():
        msg = f"the baseline is stale: {', '.join(sorted(missing))} was not recorded"
        raise StaleError(msg)


def _changes(before: object, now: object, at: str = "") -> Iterator[str]:
    """`optimizer.learning_rate: 0.5 -> 0.1`."""
    if isinstance(before, dict) and isinstance(now, dict):
        for name in dict.fromkeys([*before, *now]):
            yield from _changes(before.get(name), now.get(name), f"{at}.{name}" if at else str(name))
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for index, (one, other) in enumerate(zip(before, now, strict=True)):
            yield from _changes(one, other, f"{at}.{index}")
    elif before != now:
        yield f"{at}: {_short(before)} -> {_short(now)}"


def _short(value: object) -> str:
    return "default" if value is None else f"{value!s:.40}"


class _Run:
    """One precision of one candidate."""

    def __init__(
        self,
        experiment: Experiment,
        precision: Precision,
        dataset: Dataset,
        side: LoadedSide,
        recorded: Recorded,
        kept: Kept,
    ) -> None:
        self.experiment, self.precision, self.dataset, self.side = experiment, precision, dataset, side
        self.recorded, self.kept, self.scalars = recorded, kept, kept.scalars
        self.schedule = Schedule.of(experiment, len(dataset))
        self.replays = side.can("replay")
        self.judge = Judge(experiment, precision, schedule=self.schedule, replays=self.replays)
        self.bits: list[str] = []

    def take(self) -> None:
        start = self._start()
        before = start_side(self.side, self.experiment, start)
        for chunk in self._chunks(start):
            x, y = self.dataset.x[chunk.rows], self.dataset.y[chunk.rows]
            x.flags.writeable = y.flags.writeable = False
            for part, free in take_steps(self.experiment, self.side, chunk, x, y):
                own_records = Records(part.first_step, free, before)
                own = replay(self.experiment, self.side, own_records) if self.replays else {}
                after = own_records.state_after()
                self._digest(free, len(part))
                if part.first_step in self.kept.contents.kept:
                    self._kept(part, x, y, free, own, before)
                else:
                    self._between(part, free, own, before)
                before = after
        if self.kept.contents.no_drift:
            self.judge.missing.setdefault("free lane", UNKNOWN_DRIFT.format(self.kept.contents.no_drift))
            if self.side.guard is not None:  # its replay may be of another network than the one that trains
                self.judge.forget_judged()

    def _start(self) -> dict[str, Array]:
        """The reference's initial weights; what the candidate draws by itself is held against them."""
        start, inputs = self.kept.start, self.dataset.x.shape[1]
        if any(not np.array_equal(array, start[name]) for name, array in self._given(start, inputs).items()):
            msg = "the baseline is stale: the initial weights that the experiment names changed since it was recorded"
            raise StaleError(msg)
        drawn = draw_weights(self.side, self.experiment, inputs, self.precision) if self.recorded.draws else None
        if drawn is not None:
            self.judge.take_start({name: start[name] for name in self._drawn_names(start)}, drawn)
        return start

    def _given(self, start: Mapping[str, Array], inputs: int) -> dict[str, Array]:
        return start_weights(self.experiment, [start], inputs, self.precision)

    def _drawn_names(self, start: Mapping[str, Array]) -> list[str]:
        given = self.experiment.initial_weights
        return [name for name in start if given is None or (isinstance(given, dict) and name not in given)]

    def _chunks(self, start: Mapping[str, Array]) -> Iterator[Chunk]:
        """The schedule's, with every kept step alone."""
        kept = set(self.kept.contents.kept)
        for chunk in self.schedule.chunks(chunk_length(self.experiment, self.dataset, start)):
            steps = range(chunk.first_step, chunk.first_step + len(chunk))
            cuts = sorted(
                {0, len(chunk)} | {at + side for at, step in enumerate(steps) if step in kept for side in (0, 1)}
            )
            for begin, end in pairwise(cuts):
                yield Chunk(chunk.first_step + begin, chunk.rows[begin:end])

    def _digest(self, free: Mapping[Key, Array], steps: int) -> None:
        batch = {key for key in free if key.phase == "batch"}
        for row in range(steps):
            self.bits.append(digest((str(key), array[row]) for key, array in free.items() if key not in batch))

    def _kept(
        self,
        chunk: Chunk,
        x: Array,
        y: Array,
        free: Mapping[Key, Array],
        own: Mapping[Key, Array],
        before: Mapping[Key, Array],
    ) -> None:
        """A step of which everything is known: judged as in a run beside the reference."""
        records = self.kept.step(chunk.first_step)
        records = Records(
            chunk.first_step, {Key("batch", "x"): x, Key("batch", "y"): y, **records.arrays}, records.before
        )
        # What a candidate returned may be overwritten by its next call, and its replay of itself came before.
        local = replay(self.experiment, self.side, records) if self.replays else {}
        self.judge.take(Pair(records, free, local, own, before), self.kept.drift(chunk.first_step))

    def _between(
        self, chunk: Chunk, free: Mapping[Key, Array], own: Mapping[Key, Array], before: Mapping[Key, Array]
    ) -> None:
        """Steps of which the scalars are known, and after the last one the weights."""
        judge, first, last = self.judge, chunk.first_step, chunk.first_step + len(chunk) - 1
        asked: list[Asked] = []
        for key, series in self.scalars.items():
            if key in free:
                recorded, limit = series.array(slice(first - 1, last)), _allowed(series, first, last)
                asked.append(Asked(key, "free", first, recorded, free[key], limit))
            else:
                judge.missing.setdefault(str(key), "the candidate does not provide it")
        if last == self.schedule.steps:
            for key, array in self.kept.final.items():
                if key in free:
                    final = self.kept.contents.final[key.tensor]
                    asked.append(Asked(key, "free", last, array, free[key][-1:], final))
        judge.hold(*asked)
        judge.hold_to_itself(Pair(Records(first, {}, {}), free, {}, own, before))
        judge.steps += len(chunk)


def _allowed(series: Series, first: int, last: int) -> Callable[[Steps], Array] | None:
    """What a scalar may be off by at these steps; infinite where nobody knows, None where nobody ever knew."""
    limits = series.allowed[first - 1 : last]
    if all(limit is None for limit in limits):
        return None
    known = np.array([np.inf if limit is None else limit for limit in limits])
    return lambda rows: known[rows]
