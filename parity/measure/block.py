"""All measures of a block of rows that fits the processor's cache."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.protocol import Array

# The exponent bits of a number: item size -> unsigned type and mask.
_POWER_OF_TWO = {2: ("u2", 0x7C00), 4: ("u4", 0x7F800000), 8: ("u8", 0x7FF0000000000000)}
_LINE = 64  # bytes of a cache line


@dataclass
class Found:
    """What some columns of some rows show; the last axis of every array is the rows."""

    at: npt.NDArray[np.intp]
    """The columns where |d|, |d| / |r|, |d| / ulp and |d| / budget are largest, (4, rows)."""
    peak: Array
    """The largest values; without a budget the last is NaN, and its column the first."""
    sums: Array
    """The sums of d*d, r*r and c*c, (3, rows)."""
    counts: npt.NDArray[np.intp]
    """How many are beyond budget, not finite in the reference, in the candidate, and in both alike, (4, rows)."""

    @staticmethod
    def together(parts: list[Found]) -> Found:
        """Some rows after others."""
        if len(parts) == 1:
            return parts[0]
        columns = ([getattr(part, name) for part in parts] for name in ("at", "peak", "sums", "counts"))
        return Found(*(np.concatenate(column, axis=1) for column in columns))

    def then(self, later: Found) -> Found:
        """Together with what columns further right show; the first of equal peaks is kept."""
        larger = later.peak > self.peak
        return Found(
            np.where(larger, later.at, self.at),
            np.where(larger, later.peak, self.peak),
            self.sums + later.sums,
            self.counts + later.counts,
        )


class Memory(threading.local):
    """Where the values of a block are worked out, one place for each thread.

    It begins at a cache line, which arrays that NumPy allocates do not: writing across lines takes twice as long. And
    it is kept, since the first touch of fresh memory costs as much as several passes over it.
    """

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)
        self._first = 0

    def arrays(self, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[Array]:
        """So many arrays, with whatever they held last."""
        size = math.prod(shape) * dtype.itemsize
        stride = -(-size // _LINE) * _LINE
        if self._bytes.size < count * stride + _LINE:
            self._bytes = np.empty(count * stride + _LINE, np.uint8)
            self._first = -self._bytes.ctypes.data % _LINE
        starts = range(self._first, self._first + count * stride, stride)
        return [self._bytes[start : start + size].view(dtype).reshape(shape) for start in starts]


MEMORY = Memory()


def measure_block(r: Array, c: Array, allowed: Array | None) -> Found:
    """All measures of one block (rows, columns), each array of which is still in the cache when it is needed again."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        d, size, quotient = MEMORY.arrays(3, r.shape, r.dtype)
        np.abs(np.subtract(c, r, out=d), out=d)
        np.abs(r, out=size)
        sums = _squares(d, r, c)
        counts = np.zeros((4, len(r)), np.intp)
        smallest = limits(r.dtype)[1]
        if not (sums.min() > least_sum(r.dtype) and sums.max() < np.inf):  # squares are lost
            if not (np.isfinite(r).all() and np.isfinite(c).all()):
                counts[1:], d, size = _set_aside_nonfinite(r, c, d)
            wide = [array.astype(np.float64) for array in (r, c)]
            difference = np.abs(wide[1] - wide[0])
            sums = _squares(np.where(np.isfinite(difference), difference, d), *wide)

        below = None
        if size.min() < smallest:  # no 0/0, and an ulp of zero is that of the smallest
            below = (size < smallest) & (d > 0)
            enlarged = d[below] / size[below]
            np.maximum(size, r.dtype.type(smallest), out=size)
        np.divide(d, size, out=quotient)
        if below is not None:
            quotient[below] = enlarged
        at = [d.argmax(axis=1), quotient.argmax(axis=1)]
        rows = np.arange(len(r))
        peaks = [d[rows, at[0]], quotient[rows, at[1]]]

        power = power_of_two(size)
        np.divide(d, power, out=quotient)
        at.append(quotient.argmax(axis=1))
        if np.isinf(quotient[rows, at[2]]).any():  # overflow: which is the largest, on a smaller scale
            at[2] = np.divide(d * d.dtype.type(smallest / 2), power).argmax(axis=1)
        peaks.append(quotient[rows, at[2]])

        if allowed is not None:
            used = shares(d, allowed, quotient)
            at.append(used.argmax(axis=1))
            peaks.append(used[rows, at[3]])
            peaks[3][np.isnan(peaks[3])] = np.inf
            if (peaks[3] > 1).any():
                counts[0] = np.count_nonzero(~(used <= 1), axis=1)
        else:
            at.append(np.zeros_like(at[0]))
            peaks.append(np.full(len(r), np.nan))
    return Found(np.array(at), np.array(peaks, np.float64), sums, counts)


def power_of_two(size: Array) -> Array:
    """The largest power of two that is no larger, in place: the number with its mantissa masked away.

    An ulp is 2**-mantissa_bits times as much.
    """
    bits, mask = _POWER_OF_TWO[size.dtype.itemsize]
    return np.bitwise_and(size.view(bits), mask, out=size.view(bits)).view(size.dtype)


def shares(d: Array, allowed: Array, out: Array) -> Array:
    """|d| / budget of each element; infinite out of infinite is NaN, which argmax and max take for the largest."""
    least = allowed.min()
    refuse_negative(least)
    used = np.divide(d, allowed, out=out if allowed.dtype == d.dtype else None)
    if least == 0:  # zero out of a budget of zero, of either sign, is within it; all else is beyond
        np.abs(used, out=used)[d == 0] = 0
    return used


def _squares(*arrays: Array) -> Array:
    """The sum of squares of each row of each array, (arrays, rows)."""
    return np.array([np.vecdot(array, array) for array in arrays], np.float64)


@cache
def limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The relative distance of neighbours, and the smallest number that has it."""
    limits = np.finfo(dtype)
    return float(limits.eps), float(limits.smallest_normal)


def least_sum(dtype: np.dtype[Any]) -> float:
    """In a smaller sum of squares, squares may have vanished."""
    eps, smallest = limits(dtype)
    return smallest / eps


def refuse_negative(least: Any) -> None:
    """Raise ValueError where the smallest budget is below zero, or one is NaN."""
    if not least >= 0:
        msg = "a budget must be zero or positive, and a number"
        raise ValueError(msg)


def _set_aside_nonfinite(r: Array, c: Array, d: Array) -> tuple[Array, Array, Array]:
    """Count NaN and infinities; returns the counts, and |d| and |r| with them set aside.

    Where they differ the difference is infinite, where they agree it is left out: `nonfinite_both` tells of it.
    """
    r_off, c_off = ~np.isfinite(r), ~np.isfinite(c)
    same = r_off & c_off & ((r == c) | (np.isnan(r) & np.isnan(c)))
    counts = np.array([np.count_nonzero(off, axis=1) for off in (r_off, c_off, same)])
    d = np.where(r_off | c_off, np.where(same, 0, np.inf), d).astype(r.dtype)
    return counts, d, np.where(r_off, 0, np.abs(r)).astype(r.dtype)
