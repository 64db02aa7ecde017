"""The choices other people make: each swaps one part of a network for another way of writing it.

The network itself is written with Keras' choices and knows nothing of these. A convention has a code (`l2.penalty`) and
each of its other choices (`half`) is a function that changes a network that was built with Keras' choices. They are
applied in the order of the tables, whatever the order they were asked for in, so that any of them go together.

A choice holds for a single step and for a stack of steps (see `scratch_net.replay`), or sets `network.stacks = False`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from scratch_net.conventions import (
    crossentropy,
    data,
    engines,
    gradient,
    initialization,
    loss,
    optimizer,
    precision,
    regularization,
    reporting,
    rounding,
)
from scratch_net.conventions.factors import Factors
from scratch_net.conventions.initialization import asked_for, initializers, seeds
from scratch_net.conventions.sharing import Products, share

__all__ = [
    "CHOICES",
    "FACTORS",
    "KERAS_CHOICE",
    "NUMBERS",
    "Training",
    "apply",
    "asked_for",
    "check",
    "initializers",
    "seeds",
]

# code -> choice -> what it does to a network. Keras' own choice needs no entry but has a name.
FAMILIES = (
    initialization,
    engines,
    precision,
    data,
    gradient,
    crossentropy,
    loss,
    regularization,
    optimizer,
    reporting,
)
KERAS_CHOICE = {code: choice for family in FAMILIES for code, choice in family.KERAS_CHOICE.items()}
CHOICES = {code: choices for family in FAMILIES for code, choices in family.CHOICES.items()}

# Codes whose choice may be a number as well, see `factors`.
FACTORS = tuple(code for code, choices in CHOICES.items() if isinstance(choices, Factors))

# code -> what a number does to a network, after the choices were made.
NUMBERS = engines.NUMBERS | rounding.NUMBERS


@dataclass(frozen=True)
class Training:
    """What some choices depend on beside the network; None where it is not known."""

    batch_size: int | None = None
    """As the experiment says it; the last batch of an epoch may be smaller."""
    examples: int | None = None
    """How many there are to train on."""
    scale: float = 1.0
    """What the inputs were divided by."""
    products: Products | None = None
    """What several networks share, where they do."""


def apply(network, choices, training=None):
    """Make a network with Keras' choices one with the given choices: {"l2.penalty": "half", ...}."""
    network.training = training or Training()
    if network.training.products is not None:
        share(network, network.training.products, gradients="rounding.seed" not in choices)
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
    if "rounding.seed" in choices or "rounding.size" in choices:
        _check_rounding(choices)
    for code, choice in choices.items():
        if code in NUMBERS:
            continue
        if code not in CHOICES:
            msg = f"no convention {code!r}; `parity conventions` lists all"
            raise ValueError(msg)
        if choice not in (known := (KERAS_CHOICE[code], *CHOICES[code])):
            _check_factor(code, choice, ", ".join(known))


def _check_factor(code, choice, known):
    """Where a choice has no name it may be a number, see `factors`."""
    also = ", and any number, for example 3 or 1/3" if code in FACTORS else ""
    try:
        CHOICES[code][choice]
    except (KeyError, ValueError):
        msg = f"{code} has no choice {choice!r}; there are {known}{also}"
        raise ValueError(msg) from None


def _check_rounding(choices):
    if not choices.get("rounding.seed", "").isdecimal():
        msg = f"rounding.seed must be a whole number, for example 1; received {choices.get('rounding.seed')!r}"
        raise ValueError(msg)
    if "rounding.size" in choices and not 0 < _number(choices["rounding.size"]) < 1:
        msg = f"rounding.size must be a number between 0 and 1, for example 6e-8; received {choices['rounding.size']!r}"
        raise ValueError(msg)


def _number(text):
    try:
        return float(text)
    except ValueError:
        return math.nan


def _check_difference_step(choices):
    if not 0 < _number(choices["gradient.step"]) < math.inf:
        msg = f"gradient.step must be a positive number, for example 1e-4; received {choices['gradient.step']!r}"
        raise ValueError(msg)
    if choices.get("gradient.engine") not in {"forward", "central"}:
        msg = "gradient.step needs gradient.engine=forward or gradient.engine=central"
        raise ValueError(msg)
