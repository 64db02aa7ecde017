"""Keras as a side: usually the reference."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_ref import runtime
from keras_ref.build import build
from keras_ref.capture import Capture
from parity.config import Experiment
from parity.protocol import Array


def _map_regularizers(experiment: Experiment, change: Callable[[Any], Any]) -> Experiment:
    places = ("kernel_regularizer", "bias_regularizer", "activity_regularizer")
    layers = tuple(
        layer.model_copy(update={place: change(r) for place in places if (r := getattr(layer, place)) is not None})
        for layer in experiment.layers
    )
    return experiment.model_copy(update={"layers": layers})


def _half_l2(experiment: Experiment) -> Experiment:
    """`l2 / 2 * sum w**2` is what Keras calls l2(l2 / 2)."""

    def halved(regularizer: Any) -> Any:
        return regularizer.model_copy(update={"l2": regularizer.l2 / 2}) if hasattr(regularizer, "l2") else regularizer

    return _map_regularizers(experiment, halved)


# The other choices that Keras can be told to make: the fix on the Keras side, as a change of the experiment.
KERAS_CHOICE = {"l2.penalty": "whole"}
CHOICES: dict[str, dict[str, Callable[[Experiment], Experiment]]] = {"l2.penalty": {"half": _half_l2}}


class _Made(NamedTuple):
    """A model that was made, with what it began with."""

    of: tuple[Any, ...]
    """What it was made from."""
    precision: str
    capture: Capture
    weights: dict[str, Array]
    slots: dict[str, Array]


KEPT = 4
"""Models kept when no side uses them any more: who changes a network asks again of the same experiment."""
LARGEST = 10**6
"""Parameters: larger models take memory, and more time to train than to make."""
_idle: dict[int, _Made] = {}


def _taken(of: tuple[Any, ...]) -> _Made | None:
    """A model that was made from the same, and is now this side's alone: sides may run at once."""
    for place, made in list(_idle.items()):
        if made.of == of and _idle.pop(place, None) is not None:
            return made
    return None


def _give_back(models: Mapping[str, _Made]) -> None:
    small = (made for made in models.values() if sum(w.size for w in made.weights.values()) <= LARGEST)
    _idle.update((id(made), made) for made in small)
    for place in list(_idle)[:-KEPT]:
        _idle.pop(place, None)


class KerasSide:
    """A side by the protocol of `parity.protocol`; `choices` are conventions that differ from Keras' defaults."""

    lasting = True  # see `steps` in the protocol

    def __init__(self, choices: Mapping[str, str] | None = None) -> None:
        self.choices = dict(choices or {})
        for code, choice in self.choices.items():
            known = (KERAS_CHOICE[code], *CHOICES[code]) if code in CHOICES else ()
            if choice not in known:
                can = ", ".join(f"{other}={name}" for other, names in CHOICES.items() for name in names)
                msg = f"Keras cannot be told {code}={choice}; it can: {can}"
                raise ValueError(msg)
        self._made: dict[str, _Made] = {}  # by precision
        self._now: _Made | None = None
        weakref.finalize(self, _give_back, self._made).atexit = False

    def makes(self) -> dict[str, str]:
        return dict(self.choices)

    def with_conventions(self, choices: Mapping[str, str]) -> KerasSide:
        return KerasSide({**self.choices, **choices})

    def environment(self) -> dict[str, str]:
        return runtime.environment()

    def initial_weights(self, experiment: Experiment, inputs: int, precision: str) -> dict[str, Array]:
        return {name: array.copy() for name, array in self._make(experiment, inputs, precision).weights.items()}

    def _make(self, experiment: Experiment, inputs: int, precision: str) -> _Made:
        """The model, unless it was made for this before: making and compiling take longer than many steps."""
        for code, choice in self.choices.items():
            if choice != KERAS_CHOICE[code]:
                experiment = CHOICES[code][choice](experiment)
        model = experiment.layers, experiment.loss, experiment.optimizer, experiment.metrics, experiment.seed
        of = (*model, inputs, precision, runtime.keras.config.epsilon())
        made = self._made.get(precision)
        if made is None or made.of != of:
            made = self._made[precision] = _taken(of) or self._new(experiment, inputs, precision, of)
        return made

    def _new(self, experiment: Experiment, inputs: int, precision: str, of: tuple[Any, ...]) -> _Made:
        with runtime.undisturbed(precision):
            capture = Capture(build(experiment, inputs, precision))
        return _Made(of, precision, capture, self._values(capture.weights), self._values(capture.slots))

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        kernel = weights[f"{experiment.layers[0].name}/kernel"]
        self._now = made = self._make(experiment, len(kernel), str(kernel.dtype))
        for values, variables in ((weights, made.capture.weights), (made.slots, made.capture.slots)):
            for name, variable in variables.items():
                variable.assign(values[name])

    @property
    def capture(self) -> Capture:
        return self._started().capture

    def _started(self) -> _Made:
        if self._now is None:
            msg = "start comes first"
            raise RuntimeError(msg)
        return self._now

    def initial_state(self) -> dict[str, Array]:
        return self._values(self.capture.slots)

    def set_state(self, state: Mapping[str, Array]) -> None:
        for name, array in state.items():
            self.capture.slots[name].assign(array)

    def weights(self) -> dict[str, Array]:
        return self._values(self.capture.weights)

    def step(self, x: Array, y: Array) -> dict[str, Any]:
        said = self.steps(x[None], y[None])
        return runtime.tf.nest.map_structure(lambda array: array[0], said)

    def steps(self, x: Array, y: Array) -> dict[str, Any]:
        with runtime.undisturbed(self._started().precision):  # a graph may still have to be made
            return self.capture.steps(x, y)

    @staticmethod
    def _values(variables: Mapping[str, Any]) -> dict[str, Array]:
        return {name: np.array(variable) for name, variable in variables.items()}
