"""`record`: train one side and write down all that it does, a chunk of steps at a time.

A recording that was cut short is gone on with by training again from the start. What was written is then held against
what comes out the second time, bit for bit, and only the rest is written. No side has to be able to set its state for
that, and what it carries without telling is in the right state as well.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from parity.config import Experiment, Precision
from parity.data import Chunk, Dataset, Schedule, load_dataset, told_examples
from parity.errors import SideError, UsageError
from parity.judge import PROMOTED
from parity.lockstep import Walk, batches, chunk_length, draw_weights, start_weights
from parity.one_thread import one_thread
from parity.paths import is_folder
from parity.protocol import Array, Key, Records, word_of
from parity.run import Progress, diff
from parity.sides import STAND_IN, LoadedSide, SideLike, load_side
from parity.trace import Manifest, Trace, TraceWriter, is_trace, open_traces
from parity.trace.keep import ALL, Keep
from parity.trace.manifest import START, array_name
from parity.trace.side import same_bits

IN_START = {"initial_weights", "initial_state"}
"""What of an experiment is in start.npz."""


@dataclass(frozen=True)
class Recorded:
    """What was written, for one precision."""

    precision: Precision
    folder: Path
    steps: int
    planned: int


@one_thread()
def record(
    experiment: Experiment,
    side: SideLike,
    out: Path,
    *,
    keep: Keep = ALL,
    resume: bool = False,
    progress: Progress = lambda *_: None,
    dataset: Dataset | None = None,
    weights: Mapping[str, Array] | None = None,
    start_from: Path | None = None,
    timeout: float | None = None,
) -> list[Recorded]:
    """Train one side and write its trace; with both precisions, one trace each in `out/float64` and `out/float32`.

    Args:
        experiment: what to train.
        side: who trains.
        out: the folder; made where it is missing.
        keep: which steps to write.
        resume: go on with what was written there before.
        progress: called with the precision, the steps done and the steps planned.
        dataset: what to train on, in place of the experiment's data.
        weights: the initial weights, where the experiment's are in memory.
        start_from: a trace, to begin with the weights that it began with; what the side draws is recorded beside them.
        timeout: seconds that one call of a side which is not built in may take.

    Raises:
        UsageError: the data, the side or the folder is not usable, or what was written does not come out again.
        SideError: the side raised.
    """
    loaded = load_side(side, timeout)
    dataset = load_dataset(experiment) if dataset is None else dataset
    experiment = told_examples(experiment, len(dataset))
    if is_trace(out) and not resume:
        raise UsageError(f"{out}: there is a trace already; go on with it (--resume) or name another folder")
    if os.path.lexists(out) and not is_folder(out):
        raise UsageError(f"{out}: is no folder")
    done = []
    for precision in experiment.precisions:
        folder = out / precision if len(experiment.precisions) > 1 else out
        data = dataset.astype(precision)
        begun = None if start_from is None else _begun_with(start_from, precision)
        one = _Recording(experiment, loaded, data, precision, folder, keep, weights, begun, resume=resume)
        done.append(one.run(progress))
    return done


class _Recording:
    """One side in one precision."""

    def __init__(
        self,
        experiment: Experiment,
        side: LoadedSide,
        dataset: Dataset,
        precision: Precision,
        folder: Path,
        keep: Keep,
        handed: Mapping[str, Array] | None,
        begun: Mapping[str, Array] | None,
        *,
        resume: bool,
    ) -> None:
        self.experiment, self.side, self.dataset, self.precision = experiment, side, dataset, precision
        self.schedule, self.keep = Schedule.of(experiment, len(dataset)), keep
        inputs = dataset.x.shape[1]
        drawn = (draw_weights(each, experiment, inputs, precision) for each in (side, load_side(STAND_IN)))
        self.drawn: Mapping[str, Array] | None = None
        if begun is None:
            self.weights = start_weights(experiment, drawn, inputs, precision, handed)
        else:
            self.weights = start_weights(experiment, [], inputs, precision, begun)
            own = next(drawn)
            self.drawn = {} if own is None else start_weights(experiment, [own], inputs, precision, handed)
        manifest = Manifest(
            side=side.name,
            experiment=experiment.model_dump(mode="json", exclude=IN_START, exclude_none=True),
            precision=precision,
            environment={
                "python": platform.python_version(),
                "machine": f"{platform.system()} {platform.machine()}",
                "numpy": np.__version__,
                **{str(name): str(value) for name, value in side.environment().items()},
            },
            keep=str(keep),
        )
        self.types: dict[Key, str] = {}
        self.written: Trace | None = None
        if resume and is_trace(folder):
            self.written = _gone_on_with(folder, manifest)
            manifest = self.written.manifest
        self.writer = TraceWriter(folder, manifest)

    def run(self, progress: Progress) -> Recorded:
        """Train, check what was written before, write the rest."""
        walk = Walk(self.experiment, self.side, self.dataset, self.weights)
        if self.written is None:
            self.writer.start(walk.before)
            if self.drawn is not None:
                self.writer.drawn(self.drawn)
        else:
            self._check_start(self.written, walk.before)
        spans = list(self.keep.spans(self.schedule.steps))
        planned, done = sum(last - first + 1 for first, last in spans), 0
        length = chunk_length(self.experiment, self.dataset, self.weights)
        waiting: list[Records] = []
        try:
            for first, last in spans:
                for chunk in _first_alone(self.schedule.chunks(length, first, last)):
                    x, y = batches(self.dataset, chunk)
                    parts, failure = walk.take(chunk, x, y)
                    whole_chunk = not isinstance(failure, KeyboardInterrupt)  # which alone can be resumed
                    for taken in parts if whole_chunk else ():
                        self._check_weights(taken)
                        self._check_types(taken)
                        steps = slice(taken.first_step - chunk.first_step, taken.last_step + 1 - chunk.first_step)
                        records = self._with_batches(taken, x[steps], y[steps])
                        if waiting and not _fits(waiting, records, length):
                            whole, waiting = waiting, []  # before: an interrupted write is not begun again
                            self._file(_joined(whole))
                        waiting.append(_copied(records))  # the arrays are the side's, which uses them again
                        done += len(records)
                        progress(self.precision, done, planned)
                    if failure is not None:
                        raise failure
        except (SideError, KeyboardInterrupt):  # also in steps that nobody asked for: what was taken is not lost
            if waiting:
                self._file(_joined(waiting))
            raise
        if waiting:
            self._file(_joined(waiting))
        return Recorded(self.precision, self.writer.folder, done, planned)

    def _file(self, records: Records) -> None:
        """Write them; where they were written before, they must be what they were."""
        files = self.written.manifest.files if self.written else ()
        file = next((file for file in files if file.first_step == records.first_step), None)
        if self.written is None or file is None:
            self.writer.write(records)
            return
        common = min(file.steps, len(records))  # where the side failed, a file ends before its chunk does
        then, now = self.written.records(file).first(common), records.first(common)
        self._check_again(self.written.folder / file.name, then, now)
        if len(records) > common:
            self._file(records.rest(common))

    def _check_weights(self, taken: Records) -> None:
        """A trace without weights could not be read."""
        if untold := [name for name in self.weights if Key("update", name) not in taken.arrays]:
            raise UsageError(
                f"{self.side.name}: weights() leaves out {', '.join(untold)}; a trace has every weight after every "
                "step. What shows its loss alone is compared by parity diff"
            )

    def _check_types(self, taken: Records) -> None:
        """A trace has one type for each tensor."""
        types = {key: str(array.dtype) for key, array in taken.arrays.items()}
        self.types = self.types or types
        for key, now in types.items():
            if (was := self.types.get(key, now)) != now:
                told = f"told {now} as {key} in the {self.precision} run, and {was} in the steps before"
                why = f": {PROMOTED}" if (was, now) == ("float32", "float64") else ""
                error = SideError(f"{self.side.name} at step {taken.first_step}: {told}{why}")
                error.step = taken.first_step
                raise error

    def _with_batches(self, records: Records, x: Array, y: Array) -> Records:
        given = {Key("batch", "x"): x, Key("batch", "y"): y}
        for key, array in given.items():
            if key in records.arrays and not same_bits(np.asarray(records.arrays[key]), array):
                raise SideError(
                    f"{self.side.name} at step {records.first_step}: tells another {key.tensor} than it got"
                )
        return Records(records.first_step, {**given, **records.arrays}, records.before)

    def _check_start(self, written: Trace, before: Mapping[Key, Array]) -> None:
        tensors = written.manifest.tensors
        told = {key: array for key, array in before.items() if not tensors or array_name(key) in tensors}
        self._check_equal(written.folder / START, "before the first step", written.start(), told)

    def _check_again(self, path: Path, then: Records, now: Records) -> None:
        self._check_equal(path, f"in steps {now.first_step} to {now.last_step}", then.arrays, now.arrays)

    def _check_equal(self, path: Path, where: str, then: Mapping[Key, Array], now: Mapping[Key, Array]) -> None:
        """What comes out the second time has every bit of the first."""
        for key in then.keys() | now.keys():
            if key not in then or key not in now or not same_bits(then[key], np.asarray(now[key])):
                told = f"{array_name(key)} {where} does not come out as it was recorded"
                raise UsageError(f"{path}: {told}: what follows would not either; name another folder")


def _begun_with(folder: Path, precision: Precision) -> dict[str, Array]:
    """The weights that a trace began with."""
    traces = open_traces(folder)
    if precision not in traces:
        raise UsageError(
            f"{folder}: was recorded in {', '.join(traces)}; there are no weights to begin with in {precision}"
        )
    return {key.tensor: array for key, array in traces[precision].start().items() if word_of(key)[0] == "weights"}


def _first_alone(chunks: Iterable[Chunk]) -> Iterator[Chunk]:
    """The same steps, the first of them by itself: what is wrong with all of them is told at once."""
    for at, chunk in enumerate(chunks):
        if at == 0 and len(chunk) > 1:
            yield Chunk(chunk.first_step, chunk.rows[:1])
            yield Chunk(chunk.first_step + 1, chunk.rows[1:])
        else:
            yield chunk


def _fits(waiting: list[Records], records: Records, length: int) -> bool:
    """Whether these steps belong in one file with those that wait: they follow on them, and are of one shape."""
    shapes = [{key: array.shape[1:] for key, array in each.arrays.items()} for each in (waiting[0], records)]
    follow = waiting[-1].last_step + 1 == records.first_step
    return follow and shapes[0] == shapes[1] and sum(map(len, waiting)) + len(records) <= length


def _copied(records: Records) -> Records:
    return Records(records.first_step, {key: np.array(array) for key, array in records.arrays.items()}, records.before)


def _joined(pieces: list[Records]) -> Records:
    arrays = {key: np.concatenate([piece.arrays[key] for piece in pieces]) for key in pieces[0].arrays}
    return Records(pieces[0].first_step, arrays, pieces[0].before)


def _gone_on_with(folder: Path, manifest: Manifest) -> Trace:
    """What was written before, if it is of this recording."""
    written = open_traces(folder)
    trace = written.get(manifest.precision)
    if trace is None:
        raise UsageError(f"{folder}: was recorded in {', '.join(written)}, not in {manifest.precision}")
    for name in ("side", "experiment", "keep", "environment"):
        then, now = getattr(trace.manifest, name), getattr(manifest, name)
        if then != now:
            raise UsageError(f"{folder}: was recorded with another {name}: {_apart(then, now)}; name another folder")
    return trace


def _apart(then: object, now: object) -> str:
    if isinstance(then, dict) and isinstance(now, dict):
        key = next(key for key in (*then, *now) if then.get(key) != now.get(key))
        return f"{key}: {_apart(then.get(key), now.get(key))}"
    return f"{then!r:.100} then, {now!r:.100} now"


def first_divergence(
    experiment: Experiment, side: SideLike, reference: SideLike, progress: Progress, **given: Any
) -> int:
    """The step at which a side parts from the reference.

    Raises:
        UsageError: it does not.
    """
    result = diff(experiment, reference=reference, candidate=side, explain=False, progress=progress, **given)
    if result.first_divergence is None:
        raise UsageError(
            f"{result.candidate} does not part from {result.reference} in {result.steps_compared} steps: "
            f"{result.verdict}"
        )
    return max(1, result.first_divergence.step)
