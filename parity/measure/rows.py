"""Rows of any length, block by block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.measure import sizes
from parity.measure.block import MEMORY, Found, least_sum, limits, measure_block, refuse_negative
from parity.measure.table import Steps
from parity.protocol import Array


def measure_rows(r: Array, c: Array, limit: Array | None, which: Steps) -> Found:
    """Blocks of whole rows where rows are short, blocks of one row where they are long."""
    together = max(1, sizes.BLOCK // r.shape[1])
    parts = []
    for start in range(0, len(which), together):
        rows = which[start : start + together]
        pick: Any = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
        parts.append(_measure_columns(r[pick], c[pick], None if limit is None else limit[start : start + together]))
    return Found.together(parts)


def _measure_columns(r: Array, c: Array, limit: Array | None) -> Found:
    """Rows from the first column to the last; a row longer than a block is alone, and sifted after its first block."""
    found = measure_block(r[:, : sizes.BLOCK], c[:, : sizes.BLOCK], None if limit is None else limit[:, : sizes.BLOCK])
    if r.shape[1] <= sizes.BLOCK:
        return found
    sieve = _Sieve(found, r.dtype)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        for offset in range(sizes.BLOCK, r.shape[1], sizes.BLOCK):
            columns = slice(offset, offset + sizes.BLOCK)
            sieve.add(offset, r[0, columns], c[0, columns], None if limit is None else limit[0, columns])
    return sieve.found


class _Sieve:
    """The blocks of one row after its first: a few comparisons leave what can be larger than all before.

    |d| / |r| > p and |d| > p |r| are the same but for rounding, and a multiplication takes half as long as a division.
    An ulp of r lies between eps |r| / 2 and eps |r|, so one comparison serves for both the relative difference and the
    ulp. All elements beyond their budget are left, too.
    """

    def __init__(self, first: Found, dtype: np.dtype[Any]) -> None:
        self._memory = MEMORY.arrays(2, (sizes.BLOCK,), dtype)
        self._least = least_sum(dtype)
        self._know(first)

    def _know(self, found: Found) -> None:
        self.found = found
        self._absolute, relative, ulp, used = found.peak[:, 0].tolist()
        self._relative, self._used = min(relative, ulp / 2), min(used, 1.0)

    def add(self, offset: int, r: Array, c: Array, allowed: Array | None) -> None:
        d, bound = self._memory if len(r) == sizes.BLOCK else (array[: len(r)] for array in self._memory)
        np.abs(np.subtract(c, r, out=d), out=d)
        sums = np.dot(d, d), np.dot(r, r), np.dot(c, c)
        exact = self._least < min(sums) and sum(sums) < math.inf
        left = self._left(d, np.abs(r, out=bound), allowed) if exact else None
        if left is not None and not left.any():
            self.found.sums += np.array(sums, np.float64)[:, None]
            return
        columns = None if left is None else left.nonzero()[0]
        if columns is None or columns.size > len(r) // 4:  # it costs less to measure all than to take out so many
            found = measure_block(r[None], c[None], None if allowed is None else allowed[None])
        else:
            limit = None if allowed is None else allowed[None, columns]
            found = measure_block(r[None, columns], c[None, columns], limit)
            found.at, found.sums = columns[found.at], np.array(sums, np.float64)[:, None]
        found.at += offset
        self._know(self.found.then(found))

    def _left(self, d: Array, size: Array, allowed: Array | None) -> npt.NDArray[np.bool_]:
        """What passes through; overwrites |r|."""
        left = above(d, size, self._relative, size)
        if allowed is not None:
            refuse_negative(allowed.min())
            left |= above(d, allowed, self._used, size if allowed.dtype == size.dtype else None)
        if d.max() > self._absolute:
            left[d.argmax()] = True
        return left


def above(d: Array, of: Array, factor: float, out: Array | None) -> npt.NDArray[np.bool_]:
    """Where d / of is larger than the factor; by rounding perhaps also where it is nearly as large."""
    eps, smallest = limits(of.dtype)
    bound = np.multiply(of, of.dtype.type(factor * (1 - 4 * eps)), out=out)
    found: npt.NDArray[np.bool_] = d > bound
    if not bound.min() >= smallest:  # so small a product, 0 most of all, says nothing
        found |= (bound < smallest) & (d > 0)
    return found
