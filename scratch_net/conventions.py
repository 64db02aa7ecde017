"""The choices other people make: each swaps one part of a network for another way of writing it.

The network itself is written with Keras' choices and knows nothing of these. A convention has a code (`l2.penalty`),
and each of its other choices (`half`) is one entry of `CHOICES`.
"""

from __future__ import annotations

import math

import numpy as np

from scratch_net.finite_differences import FiniteDifferences
from scratch_net.per_example import PerExampleDense
from scratch_net.regularizers import L1L2, L2


class HalfL2(L2):
    """`l2 / 2 * sum w**2`, gradient `l2 * w`: so that the factor two of the derivative cancels."""

    def penalty(self, w):
        return self.constant(self.l2, w.dtype) / 2 * np.vdot(w, w)

    def gradient(self, w):
        return self.constant(self.l2, w.dtype) * w


def _each_regularizer(network, replace):
    """Put `replace(regularizer)` in the place of every regularizer of the network."""
    for layer in network.layers:
        for place in ("kernel_regularizer", "bias_regularizer", "activity_regularizer"):
            regularizer = getattr(layer, place)
            if isinstance(regularizer, L1L2):
                regularizer.parts = [replace(part) for part in regularizer.parts]
            elif regularizer is not None:
                setattr(layer, place, replace(regularizer))


def _half_l2(network):
    _each_regularizer(network, lambda r: HalfL2(r.l2) if type(r) is L2 else r)


def _differences(*, central):
    def install(network):
        network.differences = FiniteDifferences(central=central)
        network.stacks = False

    return install


def _per_example(network):
    network.stacks = False
    for layer in network.layers:
        layer.__class__ = PerExampleDense  # the same layer, its products written as loops


# code -> choice -> what it does to a network. Keras' own choice needs no entry but has a name.
KERAS_CHOICE = {"l2.penalty": "whole", "gradient.engine": "backpropagation"}
CHOICES = {
    "l2.penalty": {"half": _half_l2},
    "gradient.engine": {
        "forward": _differences(central=False),
        "central": _differences(central=True),
        "per_example": _per_example,
    },
}


def _difference_step(network, value):
    network.differences.step = value


# code -> what a number does to a network, after the choices were made.
NUMBERS = {"gradient.step": _difference_step}


def apply(network, choices):
    """Make a network with Keras' choices one with the given choices: {"l2.penalty": "half", ...}."""
    for code in CHOICES:
        if (choice := choices.get(code, KERAS_CHOICE[code])) != KERAS_CHOICE[code]:
            CHOICES[code][choice](network)
    for code, set_number in NUMBERS.items():
        if code in choices:
            set_number(network, float(choices[code]))
    return network


def check(choices):
    """Raise ValueError for a code or choice that does not exist, naming those that do."""
    if "gradient.step" in choices:
        _check_difference_step(choices)
    for code, choice in choices.items():
        if code in NUMBERS:
            continue
        if code not in CHOICES:
            msg = f"no convention {code!r}; there are {', '.join((*CHOICES, *NUMBERS))}"
            raise ValueError(msg)
        if choice not in (known := (KERAS_CHOICE[code], *CHOICES[code])):
            msg = f"{code} has no choice {choice!r}; there are {', '.join(known)}"
            raise ValueError(msg)


def _check_difference_step(choices):
    try:
        step = float(choices["gradient.step"])
    except ValueError:
        step = math.nan
    if not 0 < step < math.inf:
        msg = f"gradient.step must be a positive number, for example 1e-4; received {choices['gradient.step']!r}"
        raise ValueError(msg)
    if choices.get("gradient.engine") not in {"forward", "central"}:
        msg = "gradient.step needs gradient.engine=forward or gradient.engine=central"
        raise ValueError(msg)
