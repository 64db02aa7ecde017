"""Which steps are equal to the last bit: what is need not be measured."""

from __future__ import annotations

import numpy as np

from parity.measure import sizes
from parity.measure.table import Steps
from parity.protocol import Array


def identical(left: Array, right: Array) -> bool:
    """Whether two arrays of one shape and dtype hold the same bits, NaN and infinities included."""
    bits = f"u{left.itemsize}"
    a, b = (np.ascontiguousarray(array).reshape(-1).view(bits) for array in (left, right))
    if not (a[: sizes.GLANCE] == b[: sizes.GLANCE]).all():
        return False
    spans = (slice(at, at + 4 * sizes.BLOCK) for at in range(sizes.GLANCE, a.size, 4 * sizes.BLOCK))
    return all((a[span] == b[span]).all() for span in spans)


def differing(r: Array, c: Array) -> Steps:
    """The rows that are not equal, finite and all: the others need no measuring."""
    bits = f"u{r.itemsize}"
    if np.may_share_memory(r, c) and r.ctypes.data == c.ctypes.data:  # one array: only what is not finite needs telling
        with np.errstate(invalid="ignore", over="ignore"):
            return (~np.isfinite(np.vecdot(r, r))).nonzero()[0]
    suspect = (r[:, : sizes.GLANCE].view(bits) != c[:, : sizes.GLANCE].view(bits)).any(axis=1)
    if suspect.all():  # as rows that differ by rounding mostly do
        return np.arange(len(r))
    together = max(1, sizes.BLOCK // max(1, r.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):
        if len(r) <= together and r.shape[1] <= sizes.GLANCE:
            return (suspect | ~np.isfinite(np.vecdot(r, r))).nonzero()[0]
        for start in range(0, len(r), together):
            rows = slice(start, start + together)
            for offset in range(0, r.shape[1], sizes.LONG):
                left, right = r[rows, offset : offset + sizes.LONG], c[rows, offset : offset + sizes.LONG]
                suspect[rows] |= (left.view(bits) != right.view(bits)).any(axis=1) | ~np.isfinite(np.vecdot(left, left))
                if suspect[rows].all():  # known before the end of a long row
                    break
    return suspect.nonzero()[0]
