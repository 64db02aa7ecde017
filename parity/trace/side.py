"""A recorded trace as a side: it answers what was recorded, where it is asked what was asked then."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from parity.config import Experiment, Precision
from parity.errors import UsageError
from parity.protocol import Array, Key, Records, word_of
from parity.trace.manifest import PRECISIONS, File
from parity.trace.reader import Span, Trace, open_traces

# What two runs may differ in and still be held against each other: batches and weights are compared bit for bit, and
# the rest says how long, under what name and how strictly.
_FREE = {
    *("name", "data", "batch_size", "shuffle", "drop_remainder", "epochs", "steps", "examples", "precision", "seed"),
    *("initial_weights", "initial_state", "declare", "tolerance"),
}
_OF_DATA = {"data", "batch_size", "shuffle", "drop_remainder", "seed"}  # what the batches follow from
_TOLD = 3  # differences of those that are told


class TraceSide:
    """A side by the protocol of `parity.protocol` that trains nothing."""

    lasting = True  # see `steps` in the protocol

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.traces = open_traces(folder)
        self._trace = next(iter(self.traces.values()))
        self._given = self._trace.experiment
        self._next = 1
        self._file: File | None = None
        self._records = Records(1, {}, {})

    @property
    def precisions(self) -> tuple[Precision, ...]:
        return tuple(precision for precision in PRECISIONS if precision in self.traces)

    @property
    def recorded_side(self) -> str:
        return self._trace.manifest.side

    def environment(self) -> dict[str, str]:
        """That of the recording, told apart from this process'."""
        manifest = self._trace.manifest
        said = {"side": manifest.side, **manifest.environment}
        return {f"{name} ({self.folder.name})": value for name, value in said.items()}

    def spans(self, precision: Precision) -> tuple[Span, ...]:
        """First and last step of what is recorded without a gap."""
        return self.trace(precision).spans

    def trace(self, precision: Precision) -> Trace:
        """The trace in one precision.

        Raises:
            UsageError: there is none.
        """
        if precision not in self.traces:
            other = ", ".join(self.traces)
            raise UsageError(f"{self.folder}: was recorded in {other}, not in {precision}; ask for --precision {other}")
        return self.traces[precision]

    def began(self, precision: Precision) -> dict[str, Array]:
        """The weights before the first step."""
        return _weights(self.trace(precision).start())

    def draws(self, precision: Precision) -> bool:
        """Whether what it draws by itself was recorded beside what it began with."""
        return self.trace(precision).drawn() is not None

    def initial_weights(self, experiment: Experiment, inputs: int, precision: Precision) -> dict[str, Array] | None:  # noqa: ARG002  # the protocol's
        """What the side draws by itself; where that was not recorded, what it began with."""
        trace = self.trace(precision)
        if (drawn := trace.drawn()) == {}:
            return None
        return _weights(trace.start() if drawn is None else drawn)

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        """Begin again, if it is this experiment; the weights are those that it began with, whatever is given.

        Raises:
            UsageError: it is another.
        """
        precision: Precision = "float64" if next(iter(weights.values())).dtype == np.float64 else "float32"
        self._trace, self._next, self._file = self.trace(precision), 1, None
        self._given = experiment
        if not self._trace.manifest.files:
            raise UsageError(f"{self._trace.folder}: holds no steps")
        for path, given, recorded in _different(experiment, self._trace.experiment):
            raise UsageError(
                f"{self._trace.folder}: was recorded with another experiment: {path} is {recorded!r:.80} there and "
                f"{given!r:.80} here"
            )
        self._start = self._trace.start()
        began = self.weights()
        if odd := [name for name, array in weights.items() if name not in began or began[name].shape != array.shape]:
            raise UsageError(f"{self._trace.folder}: began with weights of another shape: {odd[0]} differs")

    def set_state(self, state: Mapping[str, Array]) -> None:
        """What it began with is recorded, and told by `initial_state`."""

    def initial_state(self) -> dict[str, Array]:
        return {key.tensor: array for key, array in self._start.items() if word_of(key)[0] == "optimizer"}

    def weights(self) -> dict[str, Array]:
        """After the last step; before the first those that it began with."""
        if self._next == 1:
            arrays = self._start
        else:
            arrays = self._in_file(self._next - 1).step(self._next - 1 - self._records.first_step)
        return _weights(arrays)

    def step(self, x: Array, y: Array) -> dict[str, Any]:
        said = self.steps(x[None], y[None])
        return {
            word: {name: array[0] for name, array in value.items()} if isinstance(value, dict) else value[0]
            for word, value in said.items()
        }

    def steps(self, x: Array, y: Array) -> dict[str, Any]:
        """What was recorded of the next steps, if these are the batches that were trained on.

        Raises:
            UsageError: they are others, or were not recorded.
        """
        first = self._next
        arrays = self._taken(first, len(x))
        for name, given in (("x", x), ("y", y)):
            self._check_batch(name, first, given, arrays[Key("batch", name)])
        self._next += len(x)
        said: dict[str, Any] = {}
        for key, array in arrays.items():
            word, name = word_of(key)
            if name:
                said.setdefault(word, {})[name] = array
            else:
                said[word] = array
        return said

    def pass_over(self, last: int) -> dict[Key, Array]:
        """Go on after a step without telling what was recorded; returns the state that the next one began with."""
        records = self._in_file(last + 1)
        self._next, at = last + 1, last - records.first_step
        if at >= 0:
            return {key: np.array(array[at]) for key, array in records.arrays.items() if key.phase == "update"}
        if records.before:
            return dict(records.before)
        if any(file.first_step <= last <= file.last_step for file in self._trace.manifest.files):
            before = self._in_file(last)
            return before.state_after()
        raise UsageError(f"{self._path}: does not say which state step {last + 1} began with")

    @property
    def _path(self) -> Path:
        return self._trace.folder / (self._file.name if self._file else "")

    def _in_file(self, step: int) -> Records:
        """The records of the file that holds a step; the last one is kept."""
        if self._file is None or not self._file.first_step <= step <= self._file.last_step:
            files = self._trace.manifest.files
            file = next((file for file in files if file.first_step <= step <= file.last_step), None)
            if file is None:
                raise UsageError(f"{self._trace.folder}: step {step} was not recorded")
            self._records, self._file = self._trace.records(file), file
        return self._records

    def _taken(self, first: int, count: int) -> dict[Key, Array]:
        pieces = list(self._pieces(first, count))
        if len(pieces) == 1:
            return pieces[0]
        try:
            return {key: np.concatenate([piece[key] for piece in pieces]) for key in pieces[0]}
        except ValueError:
            raise UsageError(f"{self._path}: was recorded with batches of another size from step {first} on") from None

    def _pieces(self, first: int, count: int) -> Iterator[dict[Key, Array]]:
        while count:
            records = self._in_file(first)
            at = first - records.first_step
            piece = {key: array[at : at + count] for key, array in records.arrays.items()}
            yield piece
            taken = min(count, len(records) - at)
            first, count = first + taken, count - taken

    def _check_batch(self, name: str, first: int, given: Array, recorded: Array) -> None:
        if given.shape != recorded.shape or given.dtype != recorded.dtype:
            seen = f"{given.dtype} of shape {given.shape[1:]}, recorded was {recorded.dtype} of {recorded.shape[1:]}"
            raise UsageError(f"{self._path}: was recorded with other data: {name} of step {first} is {seen}")
        if not same_bits(given, recorded):
            step = next(i for i in range(len(given)) if not same_bits(given[i], recorded[i]))
            told = [f"{path} is {there!r:.80} there and {here!r:.80} here" for path, here, there in self._other_data()]
            if name == "x" and (place := _place_of(given[step, 0], self._records.arrays[Key("batch", "x")])):
                found = f"step {self._records.first_step + place[0]} has its row 0 as row {place[1]} there"
                told.append(f"{found}: perhaps the same examples in another order")
            differs = f"{name} of step {first + step} differs"
            raise UsageError(f"{self._path}: was recorded with other data: {'; '.join([differs, *told])}")

    def _other_data(self) -> Iterator[tuple[str, Any, Any]]:
        """What this experiment says of its data and the recorded one does not."""
        here, there = (
            experiment.model_dump(mode="json", include=_OF_DATA) for experiment in (self._given, self._trace.experiment)
        )
        return islice(_apart("", here, there), _TOLD)


def _place_of(row: Array, batches: Array) -> tuple[int, int] | None:
    """In which of some batches a row is first, and where in it; None where it is in none."""
    same = (batches == row).reshape(*batches.shape[:2], -1).all(axis=-1)
    return next(((int(step), int(place)) for step, place in np.argwhere(same)), None)


def _weights(arrays: Mapping[Key, Array]) -> dict[str, Array]:
    return {key.tensor: array for key, array in arrays.items() if word_of(key)[0] == "weights"}


def same_bits(one: Array, other: Array) -> bool:
    """Equal in every bit: a zero's sign counts, and a NaN is equal to itself."""
    return one.shape == other.shape and one.dtype == other.dtype and one.tobytes() == other.tobytes()


def _different(one: Experiment, other: Experiment) -> Iterator[tuple[str, Any, Any]]:
    """Where two experiments train differently: key, and both values."""
    yield from _apart("", *(experiment.model_dump(mode="json", exclude=_FREE) for experiment in (one, other)))


def _apart(path: str, one: Any, other: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(one, dict) and isinstance(other, dict):
        for key in {**one, **other}:  # in the order of the config
            if not key.endswith("_initializer"):  # the weights themselves are compared
                yield from _apart(f"{path}.{key}".lstrip("."), one.get(key), other.get(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for index, pair in enumerate(zip(one, other, strict=True)):
            yield from _apart(f"{path}.{index}", *pair)
    elif one != other:
        yield path, one, other
