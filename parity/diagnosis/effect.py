"""How much a cause changes a step: by what share, of which tensor, and by what factor where there is one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from parity.diagnosis.evidence import Told
from parity.protocol import Array, Key

SAME_RATIO = 1e-4
"""So near to one another are ratios of elements that are one; of effects that are a hundred times larger."""


@dataclass(frozen=True)
class Effect:
    """The most that a cause changes, and of what; see `Cause`."""

    share: float
    on: Key
    ratio: float | None = None


def effect_of(corrected: Told, alone: Told, keys: Sequence[Key]) -> Effect:
    """The most that a tensor is changed by in a step, relative to the larger of the two: |one - other| / max(|.|).

    What is a number on one side alone counts as all of it.
    """
    most = Effect(0.0, keys[0])
    for key in keys:
        for one, other in zip(corrected, alone, strict=True):
            if key not in one or key not in other or one[key].dtype.kind != "f":
                continue
            shares = _shares(one[key], other[key])
            if float(shares.max(initial=0.0)) > most.share:
                step = int(shares.argmax())
                most = Effect(float(shares[step]), key, _ratio(one[key][step], other[key][step]))
    return most


def _ratio(one: Array, other: Array) -> float | None:
    """The factor by which one is the other, where there is one that is not about 1."""
    one, other = one.ravel().astype(np.float64), other.ravel().astype(np.float64)
    if not (np.isfinite(one).all() and np.isfinite(other).all() and one.any()):
        return None
    at = int(np.abs(one).argmax())
    with np.errstate(over="ignore", invalid="ignore"):
        ratio = float(other[at] / one[at])
        allowed = SAME_RATIO * max(1.0, abs(ratio)) * abs(one[at])
        same = np.abs(other - ratio * one).max() <= allowed and abs(ratio - 1) > 100 * SAME_RATIO
    return ratio if same else None


def _shares(one: Array, other: Array) -> Array:
    """Of each step the largest difference in proportion to the largest number, of those that are numbers on both sides.

    Both are divided by a power of two before one is taken from the other, so that no difference overflows.
    """
    one, other = (array.reshape(len(array), -1).astype(np.float64) for array in (one, other))
    numbers = np.isfinite(one) & np.isfinite(other)
    same = (one == other) | (np.isnan(one) & np.isnan(other))
    one, other = np.where(numbers, one, 0), np.where(numbers, other, 0)
    largest, exponents = np.frexp(np.maximum(_size(one), _size(other)))
    apart = _size(np.ldexp(one, -exponents[:, None]) - np.ldexp(other, -exponents[:, None]))
    shares = np.divide(apart, largest, out=np.zeros_like(apart), where=largest > 0)
    return np.where((numbers | same).all(axis=1), shares, np.maximum(shares, 1.0))


def _size(rows: Array) -> Array:
    """The largest number of each step."""
    return np.abs(rows).max(axis=1, initial=0.0)
