"""How small an error the run would have seen: in lambda, the learning rate, epsilon, and one element of a kernel.

Computed from what was allowed (derived budgets, or tolerances that were set) and from the recorded operands:

    lambda           the smallest of allowed / |effect|: a relative error of d changes a penalty by d times itself, and
                     its gradient by d * 2 l2 w (d * l1 sign w)
    learning rate,   the update computed again with a larger value (`parity.updates`): the smallest relative error that
    epsilon          takes some weight beyond what is allowed
    kernel element   allowed / ulp, the next whole number of ulp

What is allowed is there for the candidate's own rounding as well: where it uses a part of it, an error may need up to
twice the figure to be seen (it can never hide behind more), and one in the direction of that rounding needs less.

Looked at are the 1st, 2nd, 4th, 8th, ... step, since a later one hardly shows more than all before it, and of a long
weight's update the first `SPAN` elements, so the run may see more than this says, and never less.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from parity.config import Experiment, Precision
from parity.protocol import Array, Key, Records
from parity.updates import recorded_rate, update_of

SPAN = 1 << 16  # elements
_FINENESS = 0.1  # of a power of two: how closely the smallest error is searched for
_LARGEST = 0.0  # power of two: an error as large as the value itself

Allowed = Callable[[Key, Records, Any], Array | float | None]
Unit = Literal["relative", "ulp"]


@dataclass(frozen=True)
class Finding:
    """The smallest error in one thing that would have been seen, and where."""

    what: str
    unit: Unit
    error: float | None
    """None: not even twice the value would have been seen."""
    step: int = 0
    seen_in: Key | None = None
    elements: tuple[int, int] | None = None
    """In how many elements an error so small is seen, and how many there are."""


class Sensitivity:
    """The findings of one run, smaller with every step that shows more."""

    def __init__(self, experiment: Experiment, precision: Precision) -> None:
        self.experiment = experiment
        self._least = float(np.finfo(precision).eps) / 2  # no relative error below it changes a number at all
        self._found: dict[str, Finding] = {}

    @property
    def findings(self) -> list[Finding]:
        return list(self._found.values())

    def take(self, records: Records, local: Mapping[Key, Array], allowed: Allowed) -> None:
        """Look at a chunk of steps in which the tensors of `local` were compared."""
        for row in range(len(records)):
            if (step := records.first_step + row) & (step - 1):  # no power of two
                continue
            look = _Look(records, row, local, allowed)
            with np.errstate(all="ignore"):
                for what, effects in _penalties(self.experiment, look):
                    self._take_effects(what, look, effects)
                self._take_constants(look)
                self._take_kernels(look)

    def _keep(self, found: Finding) -> None:
        best = self._found.get(found.what)
        if best is None or best.error is None or (found.error is not None and found.error < best.error):
            self._found[found.what] = found

    def _take_effects(self, what: str, look: _Look, effects: Mapping[Key, Array]) -> None:
        for key, effect in effects.items():
            if (limit := look.allowed(key)) is None:
                continue
            share = np.broadcast_to(limit, np.shape(effect)) / np.abs(effect)
            if math.isfinite(least := float(np.fmin.reduce(share, axis=None))):
                self._keep(Finding(what, "relative", max(least, self._least), look.step, key))

    def _take_kernels(self, look: _Look) -> None:
        for layer in self.experiment.layers:
            key = Key("update", f"{layer.name}/kernel")
            if (limit := look.allowed(key)) is None:
                continue
            w = look.records.arrays[key][look.row]
            ulps = np.floor(np.broadcast_to(limit, w.shape) / np.spacing(np.abs(w))) + 1
            least = float(np.fmin.reduce(ulps, axis=None))
            if math.isfinite(least):
                elements = int(np.count_nonzero(ulps == least)), w.size
                self._keep(Finding("one kernel element", "ulp", least, look.step, key, elements))

    def _take_constants(self, look: _Look) -> None:
        optimizer: Any = self.experiment.optimizer
        weights = [f"{layer.name}/{kind}" for layer in self.experiment.layers for kind in ("kernel", "bias")]
        try:
            rate = recorded_rate(look.records, look.row)
            updates = [
                update_of(optimizer, look.records, look.row, name, slice(SPAN))
                for name in weights
                if Key("update", name) in look.local
            ]
        except KeyError:  # the reference does not record it: nothing can be said
            return
        epsilon = getattr(optimizer, "epsilon", 0.0)
        usual = [update(rate, epsilon) for update in updates]
        limits = {
            name: np.reshape(np.broadcast_to(limit, look.records.arrays[key][look.row].shape), -1)[:SPAN]
            for made in usual
            for name in made
            if (limit := look.allowed(key := Key("update", name))) is not None
        }

        def seen(changed: tuple[Any, Any]) -> Key | None:
            """The first tensor that these constants take beyond what is allowed."""
            for update, before in zip(updates, usual, strict=True):
                for name, after in update(*changed).items():
                    if name in limits and _beyond(after, before[name], limits[name]):
                        return Key("update", name)
            return None

        number = type(rate)  # a constant has the precision of the run, and errors in it come in its last places
        tiny = np.finfo(number).smallest_normal  # what is smaller Keras takes for zero
        if limits and abs(rate) >= tiny:
            self._search("learning rate", look, rate, lambda changed: seen((changed, epsilon)))
        if limits and number(epsilon) >= tiny:
            self._search("epsilon", look, number(epsilon), lambda changed: seen((rate, changed)))

    def _search(self, what: str, look: _Look, value: Any, seen: Callable[[Any], Key | None]) -> None:
        """Halve the range of powers of two in which the smallest error lies that is seen, from the value upwards."""

        def enlarged(power: float) -> Any:
            return type(value)(float(value) * (1 + 2**power))

        best = self._found.get(what)
        above = _LARGEST if best is None or best.error is None else math.log2(best.error) - _FINENESS
        below = math.log2(self._least)
        if above <= below or (key := seen(enlarged(above))) is None:
            self._found.setdefault(what, Finding(what, "relative", None))
            return
        while above - below > _FINENESS:
            middle = (above + below) / 2
            if found := seen(enlarged(middle)):
                above, key = middle, found
            else:
                below = middle
        error = (float(enlarged(above)) - float(value)) / float(value)
        self._keep(Finding(what, "relative", error, look.step, key))


def _beyond(after: Array, before: Array, limit: Array) -> bool:
    """Whether an element is off by more than is allowed; where there was no number before, nothing is seen."""
    return not ((np.abs(after - before) <= limit) | np.isnan(before)).all()


@dataclass(frozen=True)
class _Look:
    """One step, and what may differ in it."""

    records: Records
    row: int
    local: Mapping[Key, Array]
    limits: Allowed

    @property
    def step(self) -> int:
        return self.records.first_step + self.row

    def allowed(self, key: Key) -> Array | float | None:
        """For this step, without the axis of steps; None where the tensor is not compared or not judged."""
        if key not in self.local or key not in self.records.arrays:
            return None
        found = self.limits(key, self.records, np.array([self.row]))
        array = np.asarray(found) if found is not None else None
        return array if array is None or array.ndim == 0 else np.asarray(array[0])

    def values(self, tensor: str) -> Array | None:
        """What a penalty falls on: a weight before the step, or an output in it."""
        if tensor.endswith("/output"):
            found = self.records.arrays.get(Key("forward", tensor))
            return None if found is None else found[self.row]
        key = Key("update", tensor)
        if self.row == 0:
            return self.records.before.get(key)
        return self.records.arrays[key][self.row - 1] if key in self.records.arrays else None


def _penalties(experiment: Experiment, look: _Look) -> Iterator[tuple[str, dict[Key, Array]]]:
    """Each lambda, and how much of each tensor it makes: what a relative error of one would add."""
    for at, layer in enumerate(experiment.layers):
        for place in ("kernel", "bias", "activity"):
            tensor = f"{layer.name}/{'output' if place == 'activity' else place}"
            regularizer = getattr(layer, f"{place}_regularizer")
            if regularizer is None or (w := look.values(tensor)) is None:
                continue
            share = 1 / len(w) if place == "activity" else 1.0  # Keras divides that penalty by the batch
            l1, l2 = (share * (getattr(regularizer, name, None) or 0.0) for name in ("l1", "l2"))
            ways = {"l1": (l1 * np.abs(w).sum(), l1 * np.sign(w)), "l2": (l2 * np.vdot(w, w), 2 * l2 * w)}
            for name, (value, gradient) in ways.items():
                if getattr(regularizer, name, None):
                    losses = (Key("loss", tensor, "penalty"), Key("loss", "loss", "penalty"), Key("loss", "loss"))
                    parts = (Key("gradient", tensor, "penalty"), Key("gradient", tensor))
                    effects = dict.fromkeys(losses, np.asarray(value)) | dict.fromkeys(parts, np.asarray(gradient))
                    yield f"layers.{at}.{place}_regularizer.{name}", effects
