"""How much of its budget each step uses, where none uses more than all of it: then nothing else need be measured."""

from __future__ import annotations

from typing import Any

import numpy as np

from parity.measure import sizes
from parity.measure.block import MEMORY, shares
from parity.measure.equal import differing
from parity.measure.measuring import Budget, flat, limit_of
from parity.protocol import Array


def used_of_each(reference: Array, candidate: Array, budget: Budget | float | None) -> Array | None:
    """The column `used` of `measure`, to the last bit.

    Returns:
        A number for each step; None where one is larger than 1, a number is not finite, or a step that differs has no
        budget: what there is to say of that `measure` says.

    Raises:
        ValueError: as `measure`.
    """
    r, c = flat(reference, candidate)
    which = differing(r, c)
    used = np.zeros(len(r))
    if not which.size:
        return used
    if (limit := limit_of(budget, which, reference.shape)) is None:
        return None
    together = max(1, sizes.BLOCK // r.shape[1])
    for start in range(0, len(which), together):
        rows = which[start : start + together]
        for offset in range(0, r.shape[1], sizes.BLOCK):
            columns = slice(offset, offset + sizes.BLOCK)
            allowed = limit[start : start + together, columns]
            peak = _largest_share(r, c, (_span(rows), columns), allowed)
            if not (peak <= 1).all():  # NaN as well
                return None
            used[rows] = np.maximum(used[rows], peak)
    return used


def _span(rows: Array) -> Any:
    """The same rows, which need not be copied where they follow on one another."""
    return slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows


def _largest_share(r: Array, c: Array, pick: Any, allowed: Array) -> Array:
    """The largest |d| / budget of each row."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        d, quotient = MEMORY.arrays(2, allowed.shape, r.dtype)
        np.abs(np.subtract(c[pick], r[pick], out=d), out=d)
        peak: Array = shares(d, allowed, quotient).max(axis=1)
        return peak
