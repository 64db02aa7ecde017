"""What a run did not exercise: settings that could have been wrong without anybody noticing.

Every such setting is a probe that looks at the reference's records until it has seen the setting matter; then it looks
no more. What remains at the end is told. Large tensors are looked at in the first and the last step of each chunk only,
and the report says so: a setting may then be exercised in between without this knowing, never the other way round.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from parity.config import Experiment
from parity.data import Schedule
from parity.protocol import Array, Key, Records
from parity.updates import recorded_rate, update_of

SMALL = 1 << 16  # elements of a tensor in a chunk: up to here every step is looked at
_CLIP = 1e-7  # keras.config.epsilon()

EVERY_STEP = "every step"
SOME_STEPS = "the first and the last step of each chunk of steps"
SETTING = "the experiment"


class NotExercised(NamedTuple):
    what: str
    """The setting, as a key of the experiment."""
    why: str
    looked_at: str


class Look:
    """One step of the reference's records."""

    def __init__(self, records: Records, row: int) -> None:
        self.records, self.row = records, row

    def __call__(self, key: Key) -> Array:
        return np.asarray(self.records.arrays[key][self.row])

    @property
    def step(self) -> int:
        return self.records.first_step + self.row


@dataclass
class Probe:
    """A setting, and how to see that it matters."""

    what: str
    why: str
    watches: Key | None = None
    """The tensor it is about; None: nothing that happens in the run can exercise it."""
    seen: Callable[[Look], bool] = lambda _: False
    looked_at: str = SETTING

    def take(self, records: Records) -> bool:
        """Whether it was exercised in these steps."""
        if self.watches is None:
            return False
        if (array := records.arrays.get(self.watches)) is None:
            return self._not_known(self.watches)
        rows = list(range(len(array)))
        if array.size > SMALL and len(array) > 2:
            rows, self.looked_at = [0, len(array) - 1], SOME_STEPS
        elif self.looked_at != SOME_STEPS:
            self.looked_at = EVERY_STEP
        try:
            with np.errstate(all="ignore"):
                return any(self.seen(Look(records, row)) for row in rows)
        except KeyError as error:
            return self._not_known(error.args[0])

    def _not_known(self, key: Key) -> bool:
        self.watches, self.why, self.looked_at = None, f"not known: the reference does not record {key}", "nothing"
        return False


class Coverage:
    """The probes of one run."""

    def __init__(self, experiment: Experiment, schedule: Schedule | None = None) -> None:
        self.schedule = schedule
        self.steps = 0
        self._batch_sizes: set[int] = set()
        self._experiment = experiment
        self._probes = [
            *_regularizers(experiment),
            *_activations(experiment),
            *_loss(experiment),
            *_optimizer(experiment),
            *_updates(experiment),
            *_at_zero(experiment),
        ]

    def take(self, records: Records) -> None:
        self.steps += len(records)
        if (x := records.arrays.get(Key("batch", "x"))) is not None:
            self._batch_sizes.add(x.shape[1])
        self._probes = [probe for probe in self._probes if not probe.take(records)]

    @property
    def not_exercised(self) -> list[NotExercised]:
        if not self.steps:
            return []
        found = [NotExercised(probe.what, probe.why, probe.looked_at) for probe in self._probes]
        return found + list(self._batches())

    def _batches(self) -> Iterator[NotExercised]:
        """Which examples make a step."""
        if len(self._batch_sizes) == 1:
            (size,) = self._batch_sizes
            yield NotExercised("batch_size", f"no smaller last batch: every batch had {size} examples", EVERY_STEP)
        if self.schedule is None:
            return
        if self._experiment.shuffle and self.steps <= self.schedule.epoch_steps:
            yield NotExercised("shuffle", "one epoch: whether the next has the same order was never seen", EVERY_STEP)
        if self._experiment.drop_remainder and not self.schedule.examples % self.schedule.batch_size:
            yield NotExercised("drop_remainder", "the batches take up all examples", SETTING)


def _regularizers(experiment: Experiment) -> Iterator[Probe]:
    for at, layer in enumerate(experiment.layers):
        for place in ("kernel", "bias", "activity"):
            if (regularizer := getattr(layer, f"{place}_regularizer")) is None:
                continue
            setting = f"layers.{at}.{place}_regularizer"
            if place == "bias" and not layer.use_bias:
                yield Probe(setting, "the layer has no bias")
                continue
            factors = {name: value for name in ("l1", "l2") if (value := getattr(regularizer, name, None)) is not None}
            for name, factor in factors.items():
                if not factor:
                    yield Probe(f"{setting}.{name}", "is 0")
            if any(factors.values()):
                tensor = f"{layer.name}/{'output' if place == 'activity' else place}"
                penalty = Key("loss", tensor, "penalty")
                yield Probe(setting, f"{tensor} was zero: nothing to penalise", penalty, _nonzero(penalty))


def _later(look: Look) -> bool:
    return look.step > 1


def _fell(weights: Sequence[str]) -> Callable[[Look], bool]:
    """Whether some velocity is below the largest it was."""
    slots = [(Key("update", f"{name}/velocity"), Key("update", f"{name}/velocity_hat")) for name in weights]
    return lambda look: any((look(now) < look(largest)).any() for now, largest in slots)


def _nonzero(key: Key) -> Callable[[Look], bool]:
    return lambda look: bool(np.any(look(key)))


def _activations(experiment: Experiment) -> Iterator[Probe]:
    for at, layer in enumerate(experiment.layers):
        if layer.activation == "relu":
            output = Key("forward", f"{layer.name}/output")
            why = "no unit switched: each was on for every example or off for every example"
            yield Probe(f"layers.{at}.activation", why, output, _Switched(output))


def _at_zero(experiment: Experiment) -> Iterator[Probe]:
    """Where relu has no derivative, and each implementation chooses one: which shows where a gradient comes.

    Units are there by rare chance, or many at once: with weights or inputs that are zero.
    """
    for at, layer in enumerate(experiment.layers):
        if layer.activation == "relu":
            z, da = Key("forward", f"{layer.name}/pre_activation"), Key("gradient", f"{layer.name}/output")

            def met(look: Look, z: Key = z, da: Key = da) -> bool:
                zero = look(z) == 0
                return bool(zero.any()) and bool(np.any(look(da)[zero]))

            yield Probe(
                f"layers.{at}.activation, relu'(0)", "no gradient came to a pre-activation of exactly 0", z, met
            )


class _Switched:
    """Whether some unit of a relu was both on and off; it remembers what it saw of each."""

    def __init__(self, output: Key) -> None:
        self.output = output
        self.on: Array = np.zeros(1, bool)
        self.off: Array = np.zeros(1, bool)

    def __call__(self, look: Look) -> bool:
        positive = look(self.output) > 0
        self.on, self.off = self.on | positive.any(axis=0), self.off | ~positive.all(axis=0)
        return bool((self.on & self.off).any())


def _loss(experiment: Experiment) -> Iterator[Probe]:
    loss, last = experiment.loss, experiment.layers[-1]
    if getattr(loss, "label_smoothing", None) == 0:
        yield Probe("loss.label_smoothing", "is 0")
    if not loss.class_name.endswith("Crossentropy"):
        return
    clip = f"loss: probabilities kept {_CLIP:g} from 0 and 1"
    if getattr(loss, "from_logits", False) or last.activation in {"softmax", "sigmoid"}:
        yield Probe(clip, f"the loss is taken from what goes into the {last.activation}, which is not clipped")
        return
    output = Key("forward", f"{last.name}/output")

    def reached(look: Look) -> bool:
        p = look(output)
        if loss.class_name == "CategoricalCrossentropy":
            p = p / p.sum(axis=-1, keepdims=True)
        return bool(((p < _CLIP) | (p > 1 - _CLIP)).any())

    yield Probe(clip, "no output came that near", output, reached)


def _weights(experiment: Experiment) -> list[str]:
    return [f"{layer.name}/{kind}" for layer in experiment.layers for kind in ("kernel", "bias")[: 1 + layer.use_bias]]


def _optimizer(experiment: Experiment) -> Iterator[Probe]:
    optimizer: Any = experiment.optimizer
    weights = _weights(experiment)
    if optimizer.learning_rate == 0:
        yield Probe("optimizer.learning_rate", "is 0")
    if getattr(optimizer, "momentum", None) == 0:
        yield Probe("optimizer.momentum", "is 0")
        if getattr(optimizer, "nesterov", False):
            yield Probe("optimizer.nesterov", "momentum is 0")
    first = Key("update", weights[0])
    if getattr(optimizer, "momentum", 0) and not getattr(optimizer, "nesterov", False):
        yield Probe("optimizer.momentum", "one step: there was nothing yet to carry on", first, _later)
    if optimizer.class_name == "Adam":
        why = "one step: in the first the bias correction cancels them"
        yield Probe("optimizer.beta_1, optimizer.beta_2", why, first, _later)
    if getattr(optimizer, "amsgrad", False):
        why = "no velocity ever fell: its largest was always the last"
        yield Probe("optimizer.amsgrad", why, Key("update", f"{weights[0]}/velocity"), _fell(weights))
    if optimizer.class_name != "SGD" and optimizer.epsilon:
        yield Probe("optimizer.epsilon", "adding it changed no bit of any weight", first, _epsilon(experiment))
    elif optimizer.class_name != "SGD":
        yield Probe("optimizer.epsilon", "is 0")


def _epsilon(experiment: Experiment) -> Callable[[Look], bool]:
    """Whether leaving epsilon out would have made another weight of the recorded operands."""
    optimizer: Any = experiment.optimizer

    def mattered(look: Look) -> bool:
        rate = recorded_rate(look.records, look.row)
        again = (update_of(optimizer, look.records, look.row, name) for name in _weights(experiment))
        return any(
            (array != update(rate, 0.0)[name]).any()
            for update in again
            for name, array in update(rate, optimizer.epsilon).items()
        )

    return mattered


def _updates(experiment: Experiment) -> Iterator[Probe]:
    for (at, layer), kind in itertools.product(enumerate(experiment.layers), ("kernel", "bias")):
        if kind == "kernel" or layer.use_bias:
            gradient = Key("gradient", f"{layer.name}/{kind}")
            why = f"the gradient of {gradient.tensor} was zero: it was never trained"
            yield Probe(f"layers.{at}.{kind}", why, gradient, _nonzero(gradient))
