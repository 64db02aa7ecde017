"""Rows of any length, block by block."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.measure import sizes
from parity.measure.block import MEMORY, Found, least_sum, limits, measure_block, power_of_two, refuse_negative
from parity.measure.table import Steps
from parity.protocol import Array

_NONE: Steps = np.empty(0, np.intp)


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
    The power of two of r lies between |r| / 2 and |r|, so one comparison serves for both the relative difference and
    the ulp, and what passes, which is little, is held against each. All elements beyond their budget are left, too.
    """

    def __init__(self, first: Found, dtype: np.dtype[Any]) -> None:
        self._memory = MEMORY.arrays(2, (sizes.BLOCK,), dtype)
        self._mask = np.empty(sizes.BLOCK, np.bool_)  # in every block a new one would be fresh memory each time
        self._least = least_sum(dtype)
        self._know(first)

    def _know(self, found: Found) -> None:
        self.found = found
        self._absolute, self._relative, self._ulp, used = found.peak[:, 0].tolist()
        self._used = min(used, 1.0)

    def add(self, offset: int, r: Array, c: Array, allowed: Array | None) -> None:
        d, bound = self._memory if len(r) == sizes.BLOCK else (array[: len(r)] for array in self._memory)
        np.abs(np.subtract(c, r, out=d), out=d)
        sums = np.dot(d, d), np.dot(r, r), np.dot(c, c)
        exact = self._least < min(sums) and sum(sums) < math.inf
        columns = self._left(d, r, allowed, bound) if exact else None
        if columns is not None and not columns.size:
            self.found.sums += np.array(sums, np.float64)[:, None]
            return
        if columns is None or columns.size > len(r) // 4:  # it costs less to measure all than to take out so many
            found = measure_block(r[None], c[None], None if allowed is None else allowed[None])
        else:
            limit = None if allowed is None else allowed[None, columns]
            found = measure_block(r[None, columns], c[None, columns], limit)
            found.at, found.sums = columns[found.at], np.array(sums, np.float64)[:, None]
        found.at += offset
        self._know(self.found.then(found))

    def _left(self, d: Array, r: Array, allowed: Array | None, out: Array) -> Steps:
        """The columns that pass through."""
        mask = self._mask[: len(d)]
        left = above(d, np.abs(r, out=out), min(self._relative, self._ulp / 2), out, mask)
        if left.size > len(d) // 4:
            return left
        if left.size:
            few, size = d[left], np.abs(r[left])
            either = np.union1d(above(few, size, self._relative), above(few, power_of_two(size), self._ulp))
            left = left[either]
        if allowed is not None:
            refuse_negative(allowed.min())
            beyond = above(d, allowed, self._used, out if allowed.dtype == out.dtype else None, mask)
            left = np.union1d(left, beyond) if beyond.size else left
        if in_order(d).max().view(d.dtype) > self._absolute:
            left = np.union1d(left, d.argmax())
        return left


def above(
    d: Array, of: Array, factor: float, out: Array | None = None, mask: npt.NDArray[np.bool_] | None = None
) -> Steps:
    """Where d / of is larger than the factor; by rounding perhaps also where it is nearly as large.

    A product that is rounded to d or to less was no larger than d before, however many digits it has lost.
    """
    eps, smallest = limits(of.dtype)
    least = factor * (1 - 4 * eps)
    bound = np.multiply(of, of.dtype.type(least if least > smallest else 0), out=out)
    found: npt.NDArray[np.bool_] = np.greater_equal(d, bound, out=mask)
    return (found & (d > 0)).nonzero()[0] if found.any() else _NONE


def in_order(positive: Array) -> npt.NDArray[np.integer[Any]]:
    """The same bits as integers, which are in the same order, and are searched in two thirds of the time."""
    return positive.view(f"i{positive.itemsize}")
