"""Which element of a tensor a divergence is told of."""

from __future__ import annotations

import math

import numpy as np

from parity.held import Asked
from parity.measure import Rows
from parity.protocol import Array
from parity.unbounded import Derived, suspect


def element(one: Asked, row: int, measures: Rows, allowed: float | Derived | None) -> int:
    """The element that uses most of its budget; among elements that had to be equal, the most different.

    Args:
        one: the tensor, in some steps.
        row: which of them diverged.
        measures: of that step.
        allowed: what its elements may differ by.

    Returns:
        Its number in the step, as `numpy.ravel` counts.
    """
    used = measures["used"]
    return int(used["index"]) if math.isfinite(used["value"]) else _most_different(one, row, measures, allowed)


def _most_different(one: Asked, row: int, measures: Rows, allowed: float | Derived | None) -> int:
    """Of the elements that are beyond any multiple of their budget the furthest off.

    Without those that were set aside since they can have no budget: they are told as such.
    """
    rows, shape = np.array([row]), (1, *one.reference.shape[1:])
    limit = np.asarray(allowed(rows) if callable(allowed) else allowed)
    budget = np.broadcast_to(limit, shape).reshape(-1)
    unbounded: Array | bool = False
    if one.unbounded is not None and suspect(measures, one.reference.dtype):
        unbounded = one.unbounded(rows)
    reference, candidate = (array[row].astype(np.float64).reshape(-1) for array in (one.reference, one.candidate))
    with np.errstate(invalid="ignore"):
        apart = np.abs(candidate - reference)
    equal = (reference == candidate) | (np.isnan(reference) & np.isnan(candidate))
    others = equal | ((budget > 0) & (apart < np.inf)) | np.broadcast_to(unbounded, shape).reshape(-1)
    return int(np.where(others, -1.0, apart).argmax())  # a NaN is the largest: it is as far off as can be
