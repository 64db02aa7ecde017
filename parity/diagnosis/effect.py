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
    """The most that a tensor is changed by in a step, relative to the larger of the two: |one - other| / max(|.|)."""
    most = Effect(0.0, keys[0])
    for key in keys:
        for one, other in zip(corrected, alone, strict=True):
            if key not in one or key not in other or one[key].dtype.kind != "f":
                continue
            sizes = np.maximum(_size(one[key]), _size(other[key]))
            apart = _size(one[key] - other[key])
            shares = np.divide(apart, sizes, out=np.zeros_like(sizes), where=sizes > 0)
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


def _size(array: Array) -> Array:
    """The largest number of each step."""
    return np.abs(array).reshape(len(array), -1).max(axis=1, initial=0.0).astype(np.float64)
