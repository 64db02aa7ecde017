"""How far apart two arrays are, element by element, one row of measures for each step.

All measures of a tensor are taken in one pass over blocks that fit the processor's cache, so that measuring costs
little more than reading. Nothing is averaged before it is compared: means and sums hide what single elements show.

    absolute   |c - r|
    relative   |c - r| / |r|; infinite where r = 0 and c != 0, zero where both are 0
    ulp        |c - r| / (distance from |r| to the next larger number of its dtype)
    rms        sqrt(mean (c - r)**2)
    cosine     <r, c> / (|r| |c|); 1 where both are zero, 0 where one is
    used       |c - r| / budget; infinite where the budget is 0 and c != r

A NaN or an infinity agrees with nothing that is not the same NaN or infinity, and even then it is counted apart
(`nonfinite_both`): nobody may take it for agreement. Where the two differ there, the difference is infinite and the
cosine 0.

Which of nearly equal elements is the largest is decided in the dtype of the tensor; what is said of it is computed in
float64.
"""

from __future__ import annotations

import itertools
import math
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from parity.protocol import Array

# The exponent bits of a number: item size -> unsigned type and mask.
_POWER_OF_TWO = {2: ("u2", 0x7C00), 4: ("u4", 0x7F800000), 8: ("u8", 0x7FF0000000000000)}

BLOCK = 1 << 17  # elements: fewer would not pay for the calls, more would not lie in a level-2 cache
GLANCE = 1 << 8  # elements: tells most rows that differ from equal ones
_LINE = 64  # bytes of a cache line
LONG = 1 << 20  # elements: more of a row are not compared before it is asked whether the rest matters

_EXTREME = [("value", "f8"), ("index", "i8"), ("reference", "f8"), ("candidate", "f8")]
MEASURES = np.dtype(
    [
        ("absolute", _EXTREME),
        ("relative", _EXTREME),
        ("ulp", _EXTREME),
        ("used", _EXTREME),
        ("rms", "f8"),
        ("cosine", "f8"),
        ("size", "i8"),
        ("beyond", "i8"),  # elements over their budget
        ("nonfinite_reference", "i8"),
        ("nonfinite_candidate", "i8"),
        ("nonfinite_both", "i8"),  # the same NaN or infinity at the same place
    ]
)
Rows = npt.NDArray[Any]  # of dtype MEASURES, one for each step
Steps = npt.NDArray[np.intp]
Budget = Array | Callable[[Steps], Array | float | None]


def measure(reference: Array, candidate: Array, budget: Budget | float | None = None) -> Rows:
    """Measures of `candidate` against `reference` for each step.

    Args:
        reference: (steps, ...), floating or integer.
        candidate: same shape and dtype.
        budget: the largest difference that is allowed: a number, an array that broadcasts to `reference`, or a
            function from the numbers of the steps that differ to such an array for them, so that a budget is only
            computed where it is needed. None, or a function's None, measures without judging: `used` is then NaN.

    Returns:
        An array of dtype `MEASURES` and length `steps`.

    Raises:
        ValueError: shapes or dtypes differ, or a budget is negative or not a number.
    """
    (rows,) = measure_all([(reference, candidate, budget)])
    return rows


def measure_all(pairs: Iterable[tuple[Array, Array, Budget | float | None]]) -> list[Rows]:
    """`measure` of several tensors; what is said of each row is worked out for all of them at once.

    The tables that are returned are parts of one, in the order of the tensors. Most tensors of a network are so small
    that calling NumPy takes longer than what it then does.
    """
    return _tell([_look(*pair) for pair in pairs])


@dataclass
class _Look:
    """What was seen of one tensor."""

    r: Array
    c: Array
    """(steps, elements)"""
    differing: Steps
    """The steps that are not equal, finite and all."""
    judged: bool
    """Whether there is a budget."""
    found: _Found | None = None
    """What the differing steps show."""


def _look(reference: Array, candidate: Array, budget: Budget | float | None) -> _Look:
    if reference.shape != candidate.shape or reference.dtype != candidate.dtype:
        msg = (
            f"expected {candidate.dtype} of shape {candidate.shape} to be {reference.dtype} of shape {reference.shape}"
        )
        raise ValueError(msg)
    steps = len(reference)
    if reference.dtype.kind != "f":  # integers and booleans: exact in float64 up to 2**53
        reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
    elements = math.prod(reference.shape[1:])
    r = np.ascontiguousarray(reference).reshape(steps, elements)
    c = np.ascontiguousarray(candidate).reshape(steps, elements)
    look = _Look(r, c, _differing(r, c), budget is not None)
    if look.differing.size:
        look.found = _measure_rows(r, c, _limit(budget, look.differing, reference.shape), look.differing)
    return look


class Largest(NamedTuple):
    """The largest differences of some steps, and the largest share of a budget; NaN where there was none."""

    absolute: float
    relative: float
    ulp: float
    used: float


def largest(rows: Rows) -> Largest:
    """The largest of each measure over all steps."""
    return Largest(*np.fmax.reduce(_extremes(rows, np.float64)[:, :, 0], axis=0, initial=np.nan).tolist())


def largest_of_each(tables: list[Rows]) -> list[Largest]:
    """`largest` of each of several tables that follow one another, none of them empty."""
    starts = np.cumsum([0, *(len(table) for table in tables[:-1])])
    values = _extremes(np.concatenate([words(table) for table in tables]).view(MEASURES)[:, 0], np.float64)[:, :, 0]
    return [Largest(*peaks) for peaks in np.fmax.reduceat(values, starts).tolist()]


def words(rows: Rows) -> Array:
    """The same memory as a matrix: every field has eight bytes, and NumPy copies fields one by one."""
    return rows.view(np.int64).reshape(len(rows), MEASURES.itemsize // 8)


def _extremes(rows: Rows, dtype: type) -> Array:
    """The four extremes of each row by value, index, reference and candidate: (rows, 4, 4), written through."""
    return words(rows).view(dtype)[:, :16].reshape(len(rows), 4, 4)


def _limit(budget: Budget | float | None, differing: Steps, shape: tuple[int, ...]) -> Array | None:
    """The budget of the steps that differ, (steps, elements)."""
    found = budget(differing) if callable(budget) else budget
    if found is None:
        return None
    limit = np.asarray(found)
    if limit.ndim == len(shape) and not callable(budget) and len(limit) == shape[0] != len(differing):
        limit = limit[differing]
    return np.broadcast_to(limit, (len(differing), *shape[1:])).reshape(len(differing), -1)


def identical(left: Array, right: Array) -> bool:
    """Whether two arrays of one shape and dtype hold the same bits, NaN and infinities included."""
    bits = f"u{left.itemsize}"
    a, b = (np.ascontiguousarray(array).reshape(-1).view(bits) for array in (left, right))
    spans = (slice(start, start + 4 * BLOCK) for start in range(0, a.size, 4 * BLOCK))
    return bool((a[:GLANCE] == b[:GLANCE]).all()) and all((a[span] == b[span]).all() for span in spans)


def _differing(r: Array, c: Array) -> Steps:
    """The rows that are not equal, finite and all: the others need no measuring."""
    bits = f"u{r.itemsize}"
    if np.may_share_memory(r, c) and r.ctypes.data == c.ctypes.data:  # one array: only what is not finite needs telling
        with np.errstate(invalid="ignore", over="ignore"):
            return (~np.isfinite(np.vecdot(r, r))).nonzero()[0]
    suspect = (r[:, :GLANCE].view(bits) != c[:, :GLANCE].view(bits)).any(axis=1)
    if suspect.all():  # as rows that differ by rounding mostly do
        return np.arange(len(r))
    together = max(1, BLOCK // max(1, r.shape[1]))
    with np.errstate(invalid="ignore", over="ignore"):
        if len(r) <= together and r.shape[1] <= GLANCE:
            return (suspect | ~np.isfinite(np.vecdot(r, r))).nonzero()[0]
        for start in range(0, len(r), together):
            rows = slice(start, start + together)
            for offset in range(0, r.shape[1], LONG):
                left, right = r[rows, offset : offset + LONG], c[rows, offset : offset + LONG]
                suspect[rows] |= (left.view(bits) != right.view(bits)).any(axis=1) | ~np.isfinite(np.vecdot(left, left))
                if suspect[rows].all():  # known before the end of a long row
                    break
    return suspect.nonzero()[0]


@dataclass
class _Found:
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
    def together(parts: list[_Found]) -> _Found:
        """Some rows after others."""
        if len(parts) == 1:
            return parts[0]
        columns = ([getattr(part, name) for part in parts] for name in ("at", "peak", "sums", "counts"))
        return _Found(*(np.concatenate(column, axis=1) for column in columns))

    def then(self, later: _Found) -> _Found:
        """Together with what columns further right show; the first of equal peaks is kept."""
        larger = later.peak > self.peak
        return _Found(
            np.where(larger, later.at, self.at),
            np.where(larger, later.peak, self.peak),
            self.sums + later.sums,
            self.counts + later.counts,
        )


class _Memory(threading.local):
    """Where the values of a block are worked out, one place for each thread.

    It begins at a cache line, which arrays that NumPy allocates do not: writing across lines takes twice as long. And
    it is kept, since the first touch of fresh memory costs as much as several passes over it.
    """

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def arrays(self, count: int, shape: tuple[int, ...], dtype: np.dtype[Any]) -> list[Array]:
        """So many arrays, with whatever they held last."""
        size = math.prod(shape) * dtype.itemsize
        stride = -(-size // _LINE) * _LINE
        if self._bytes.size < count * stride + _LINE:
            self._bytes = np.empty(count * stride + _LINE, np.uint8)
        first = -self._bytes.ctypes.data % _LINE
        starts = range(first, first + count * stride, stride)
        return [self._bytes[start : start + size].view(dtype).reshape(shape) for start in starts]


_MEMORY = _Memory()


def _measure_rows(r: Array, c: Array, limit: Array | None, which: Steps) -> _Found:
    """Blocks of whole rows where rows are short, blocks of one row where they are long."""
    together = max(1, BLOCK // r.shape[1])
    parts = []
    for start in range(0, len(which), together):
        rows = which[start : start + together]
        pick: Any = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
        parts.append(_measure_columns(r[pick], c[pick], None if limit is None else limit[start : start + together]))
    return _Found.together(parts)


def _measure_columns(r: Array, c: Array, limit: Array | None) -> _Found:
    """Rows from the first column to the last; a row longer than a block is alone, and sifted after its first block."""
    found = _measure_block(r[:, :BLOCK], c[:, :BLOCK], None if limit is None else limit[:, :BLOCK])
    if r.shape[1] <= BLOCK:
        return found
    sieve = _Sieve(found, r.dtype)
    with np.errstate(invalid="ignore", over="ignore", under="ignore"):
        for offset in range(BLOCK, r.shape[1], BLOCK):
            columns = slice(offset, offset + BLOCK)
            sieve.add(offset, r[0, columns], c[0, columns], None if limit is None else limit[0, columns])
    return sieve.found


class _Sieve:
    """The blocks of one row after its first: a few comparisons leave what can be larger than all before.

    |d| / |r| > p and |d| > p |r| are the same but for rounding, and a multiplication takes half as long as a division.
    An ulp of r lies between eps |r| / 2 and eps |r|, so one comparison serves for both the relative difference and the
    ulp. All elements beyond their budget are left, too.
    """

    def __init__(self, first: _Found, dtype: np.dtype[Any]) -> None:
        self._memory = _MEMORY.arrays(2, (BLOCK,), dtype)
        self._least = _least_sum(dtype)
        self._know(first)

    def _know(self, found: _Found) -> None:
        self.found = found
        self._absolute, relative, ulp, used = found.peak[:, 0].tolist()
        self._relative, self._used = min(relative, ulp / 2), min(used, 1.0)

    def add(self, offset: int, r: Array, c: Array, allowed: Array | None) -> None:
        d, bound = self._memory if len(r) == BLOCK else (array[: len(r)] for array in self._memory)
        np.abs(np.subtract(c, r, out=d), out=d)
        sums = np.dot(d, d), np.dot(r, r), np.dot(c, c)
        exact = self._least < min(sums) and sum(sums) < math.inf
        left = self._left(d, np.abs(r, out=bound), allowed) if exact else None
        if left is not None and not left.any():
            self.found.sums += np.array(sums, np.float64)[:, None]
            return
        columns = None if left is None else left.nonzero()[0]
        if columns is None or columns.size > len(r) // 4:  # it costs less to measure all than to take out so many
            found = _measure_block(r[None], c[None], None if allowed is None else allowed[None])
        else:
            limit = None if allowed is None else allowed[None, columns]
            found = _measure_block(r[None, columns], c[None, columns], limit)
            found.at, found.sums = columns[found.at], np.array(sums, np.float64)[:, None]
        found.at += offset
        self._know(self.found.then(found))

    def _left(self, d: Array, size: Array, allowed: Array | None) -> npt.NDArray[np.bool_]:
        """What passes through; overwrites |r|."""
        left = _above(d, size, self._relative, size)
        if allowed is not None:
            _refuse_negative(allowed.min())
            left |= _above(d, allowed, self._used, size if allowed.dtype == size.dtype else None)
        if d.max() > self._absolute:
            left[d.argmax()] = True
        return left


def _above(d: Array, of: Array, factor: float, out: Array | None) -> npt.NDArray[np.bool_]:
    """Where d / of is larger than the factor; by rounding perhaps also where it is nearly as large."""
    eps, smallest = _limits(of.dtype)
    bound = np.multiply(of, of.dtype.type(factor * (1 - 4 * eps)), out=out)
    above: npt.NDArray[np.bool_] = d > bound
    if not bound.min() >= smallest:  # so small a product, 0 most of all, says nothing
        above |= (bound < smallest) & (d > 0)
    return above


def _measure_block(r: Array, c: Array, allowed: Array | None) -> _Found:
    """All measures of one block (rows, columns), each array of which is still in the cache when it is needed again."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        d, size, quotient = _MEMORY.arrays(3, r.shape, r.dtype)
        np.abs(np.subtract(c, r, out=d), out=d)
        np.abs(r, out=size)
        sums = _squares(d, r, c)
        counts = np.zeros((4, len(r)), np.intp)
        smallest = _limits(r.dtype)[1]
        if not (sums.min() > _least_sum(r.dtype) and sums.max() < np.inf):  # squares are lost
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

        # An ulp of r is 2**-mantissa_bits times its power of two, which is r with the mantissa masked away.
        bits, mask = _POWER_OF_TWO[r.dtype.itemsize]
        power = np.bitwise_and(size.view(bits), mask, out=size.view(bits)).view(r.dtype)
        np.divide(d, power, out=quotient)
        at.append(quotient.argmax(axis=1))
        if np.isinf(quotient[rows, at[2]]).any():  # overflow: which is the largest, on a smaller scale
            at[2] = np.divide(d * d.dtype.type(2**-100), power).argmax(axis=1)
        peaks.append(quotient[rows, at[2]])

        if allowed is not None:
            least = allowed.min()
            _refuse_negative(least)
            used = np.divide(
                d, allowed, out=quotient if allowed.dtype == d.dtype else None
            )  # infinite out of infinite is NaN, which argmax takes for the largest
            if least == 0:  # zero out of a budget of zero is within it
                used[d == 0] = 0
            at.append(used.argmax(axis=1))
            peaks.append(used[rows, at[3]])
            peaks[3][np.isnan(peaks[3])] = np.inf
            if (peaks[3] > 1).any():
                counts[0] = np.count_nonzero(~(used <= 1), axis=1)
        else:
            at.append(np.zeros_like(at[0]))
            peaks.append(np.full(len(r), np.nan))
    return _Found(np.array(at), np.array(peaks, np.float64), sums, counts)


def _squares(*arrays: Array) -> Array:
    """The sum of squares of each row of each array, (arrays, rows)."""
    return np.array([np.vecdot(array, array) for array in arrays], np.float64)


@cache
def _limits(dtype: np.dtype[Any]) -> tuple[float, float]:
    """The relative distance of neighbours, and the smallest number that has it."""
    limits = np.finfo(dtype)
    return float(limits.eps), float(limits.smallest_normal)


def _least_sum(dtype: np.dtype[Any]) -> float:
    """In a smaller sum of squares, squares may have vanished."""
    eps, smallest = _limits(dtype)
    return smallest / eps


def _refuse_negative(least: Any) -> None:
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


def _tell(looks: list[_Look]) -> list[Rows]:
    """The rows of the table. Where a step is equal throughout, any element stands for all: the first."""
    steps = [len(look.r) for look in looks]
    rows = np.zeros(sum(steps), MEASURES)
    rows["size"] = np.repeat([look.r.shape[1] for look in looks], steps)
    rows["cosine"] = 1.0
    rows["used"]["value"] = np.where(np.repeat([look.judged for look in looks], steps), 0.0, np.nan)
    firsts = [0, *itertools.accumulate(steps)]
    tables = [rows[first : first + count] for first, count in zip(firsts, steps, strict=False)]
    for look, table in zip(looks, tables, strict=True):
        if look.r.shape[1] and len(look.differing) < len(look.r):
            _extremes(table, np.float64)[:, :, 2:] = np.stack((look.r[:, 0], look.c[:, 0]), axis=1)[:, None]
    different = [(look, first) for look, first in zip(looks, firsts, strict=False) if look.found is not None]
    if different:
        where = np.concatenate([first + look.differing for look, first in different])
        words(rows)[where] = words(_differences([look for look, _ in different]))
    return tables


def _differences(looks: list[_Look]) -> Rows:
    """Of all steps that differ: extremes again in float64, from the two numbers themselves; sums to rms and cosine."""
    parts = [look.found for look in looks if look.found is not None]
    found = _Found.together(parts)
    picked = [
        tuple(array[look.differing, part.at] for array in (look.r, look.c))
        for look, part in zip(looks, parts, strict=True)
    ]
    reference, candidate = (np.concatenate(side, axis=1).astype(np.float64) for side in zip(*picked, strict=True))
    gaps = np.concatenate([np.spacing(np.abs(r[2])) for r, _ in picked]).astype(np.float64)
    sizes = np.concatenate([np.full(len(look.differing), look.r.shape[1]) for look in looks])
    rows = np.zeros(len(sizes), MEASURES)
    rows["size"] = sizes
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        exact, size = np.abs(candidate - reference), np.abs(reference)
        values = found.peak
        finite = np.isfinite(exact[:3])
        exact[1] = np.where(exact[1] == 0, 0, exact[1] / size[1])
        exact[2] /= gaps
        values[:3] = np.where(finite, exact[:3], values[:3])
        extremes = _extremes(rows, np.float64)
        extremes[:, :, 0], extremes[:, :, 2], extremes[:, :, 3] = values.T, reference.T, candidate.T
        _extremes(rows, np.int64)[:, :, 1] = found.at.T

        dd, rr, cc = found.sums
        rows["rms"] = np.sqrt(dd / sizes)
        norm_r, norm_c = np.sqrt(rr), np.sqrt(cc)
        # 1 - (|d|**2 - (|r| - |c|)**2) / (2 |r| |c|): unlike <r, c> / (|r| |c|) it resolves angles near zero
        both = norm_r * norm_c
        cosine = 1 - (dd - (norm_r - norm_c) ** 2) / (2 * both)
        usual = (both > 0) & (both < np.inf)
        apart = usual & (np.maximum(norm_r, norm_c) > 2 * np.minimum(norm_r, norm_c))
        if apart.any():  # but cancels where the lengths are far apart
            cosine = np.where(apart, _inner_products(looks, apart) / both, cosine)
        rows["cosine"] = np.where(usual, cosine.clip(-1, 1), norm_r == norm_c)
    for name, count in zip(
        ("beyond", "nonfinite_reference", "nonfinite_candidate", "nonfinite_both"), found.counts, strict=True
    ):
        rows[name] = count
    return rows


def _inner_products(looks: list[_Look], where: npt.NDArray[np.bool_]) -> Array:
    """<r, c> of the chosen ones among all steps that differ, in float64; 0 elsewhere."""
    products, first = np.zeros(len(where)), 0
    for look in looks:
        chosen = where[first : first + len(look.differing)].nonzero()[0]
        r, c = (array[look.differing[chosen]].astype(np.float64) for array in (look.r, look.c))
        products[first + chosen] = np.vecdot(r, c)
        first += len(look.differing)
    return products
