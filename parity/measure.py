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
(`nonfinite_both`): nobody may take it for agreement.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.protocol import Array

# The exponent bits of a number: item size -> unsigned type and mask.
_POWER_OF_TWO = {2: ("u2", 0x7C00), 4: ("u4", 0x7F800000), 8: ("u8", 0x7FF0000000000000)}

BLOCK = 1 << 16  # elements: three float32 arrays of this length lie in a level-2 cache

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
    if reference.shape != candidate.shape or reference.dtype != candidate.dtype:
        msg = (
            f"expected {candidate.dtype} of shape {candidate.shape} to be {reference.dtype} of shape {reference.shape}"
        )
        raise ValueError(msg)
    steps = len(reference)
    if reference.dtype.kind != "f":  # integers and booleans: exact in float64 up to 2**53
        reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
    r = np.ascontiguousarray(reference).reshape(steps, -1)
    c = np.ascontiguousarray(candidate).reshape(steps, -1)

    rows = np.zeros(steps, MEASURES)
    rows["size"] = r.shape[1]
    rows["cosine"] = 1.0
    if budget is None:
        rows["used"]["value"] = np.nan
    if r.shape[1]:  # where all are equal, any element stands for them: the first
        for name in ("absolute", "relative", "ulp", "used"):
            rows[name]["reference"], rows[name]["candidate"] = r[:, 0], c[:, 0]
    differing = _differing(r, c)
    if differing.size:
        limit = _limit(budget, differing, reference.shape)
        rows[differing] = _measure_rows(r, c, limit, differing)
    return rows


def _limit(budget: Budget | float | None, differing: Steps, shape: tuple[int, ...]) -> Array | None:
    """The budget of the steps that differ, (steps, elements)."""
    found = budget(differing) if callable(budget) else budget
    if found is None:
        return None
    limit = np.asarray(found)
    if limit.ndim == len(shape) and not callable(budget) and len(limit) == shape[0]:
        limit = limit[differing]
    if not (limit >= 0).all():
        msg = "a budget must be zero or positive, and a number"
        raise ValueError(msg)
    return np.broadcast_to(limit, (len(differing), *shape[1:])).reshape(len(differing), -1)


def _differing(r: Array, c: Array) -> Steps:
    """The rows that are not equal, finite and all: the others need no measuring."""
    if r.shape[1] == 0:
        return np.empty(0, np.intp)
    bits = f"u{r.itemsize}"
    with np.errstate(invalid="ignore", over="ignore"):
        suspect = (r.view(bits) != c.view(bits)).any(axis=1) | ~np.isfinite(np.vecdot(r, r))
    return np.flatnonzero(suspect)


def _measure_rows(r: Array, c: Array, limit: Array | None, which: Steps) -> Rows:
    """Blocks of whole rows where rows are short, blocks of one row where they are long."""
    length = r.shape[1]
    found = np.zeros(len(which), MEASURES)
    found["size"] = length
    sums = np.zeros((3, len(which)))
    together = max(1, BLOCK // length)
    for start in range(0, len(which), together):
        rows = which[start : start + together]
        part = found[start : start + together]
        pick: Any = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
        for offset in range(0, length, BLOCK):
            columns = slice(offset, offset + BLOCK)
            allowed = None if limit is None else limit[start : start + together, columns]
            _measure_block(part, sums[:, start : start + together], r[pick, columns], c[pick, columns], allowed, offset)
    _finish(found, sums, r.dtype, judged=limit is not None)
    return found


def _measure_block(part: Rows, sums: Array, r: Array, c: Array, allowed: Array | None, offset: int) -> None:
    """Fold one block (rows, columns) into the rows' measures; `sums` are those of d*d, r*r and c*c."""
    with np.errstate(invalid="ignore", over="ignore"):
        d = np.subtract(c, r)
        np.abs(d, out=d)
        squares = (np.vecdot(d, d), np.vecdot(r, r), np.vecdot(c, c))
    size = np.abs(r)
    if not np.isfinite(squares).all() and not (np.isfinite(r).all() and np.isfinite(c).all()):
        d, size = _set_aside_nonfinite(part, r, c, d)
    sums += squares
    _fold(part["absolute"], d, r, c, offset)

    tiny = np.finfo(r.dtype).smallest_normal
    # `tiny` only keeps 0/0 away; `_finish` divides the numbers themselves.
    with np.errstate(over="ignore"):
        scale = np.add(size, tiny)
        _fold(part["relative"], np.divide(d, scale), r, c, offset)
        # An ulp of r is 2**-mantissa_bits times its power of two, which is r with the mantissa and sign masked away.
        bits, mask = _POWER_OF_TWO[r.dtype.itemsize]
        power = np.bitwise_and(size.view(bits), mask, out=size.view(bits)).view(r.dtype)
        _fold(part["ulp"], np.divide(d, np.add(power, tiny, out=power)), r, c, offset)

    if allowed is not None:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            used = np.divide(d, allowed)
        if (allowed == 0).any():  # zero out of a budget of zero is within it
            used[d == 0] = 0
        if (_fold(part["used"], used, r, c, offset) > 1).any():
            part["beyond"] += np.count_nonzero(d > allowed, axis=1)


def _set_aside_nonfinite(part: Rows, r: Array, c: Array, d: Array) -> tuple[Array, Array]:
    """Count NaN and infinities; returns |d| and |r| with them set aside.

    Where they differ the difference is infinite, where they agree it is left out: `nonfinite_both` tells of it.
    """
    r_off, c_off = ~np.isfinite(r), ~np.isfinite(c)
    same = r_off & c_off & ((r == c) | (np.isnan(r) & np.isnan(c)))
    part["nonfinite_reference"] += np.count_nonzero(r_off, axis=1)
    part["nonfinite_candidate"] += np.count_nonzero(c_off, axis=1)
    part["nonfinite_both"] += np.count_nonzero(same, axis=1)
    d = np.where(r_off | c_off, np.where(same, 0, np.inf), d).astype(r.dtype)
    return d, np.where(r_off, 0, np.abs(r)).astype(r.dtype)


def _fold(best: Rows, values: Array, r: Array, c: Array, offset: int) -> npt.NDArray[Any]:
    """Keep the largest value of each row with its place and both numbers; returns this block's largest."""
    at = values.argmax(axis=1)
    rows = np.arange(len(values))
    peak: npt.NDArray[Any] = values[rows, at]
    if offset:
        rows = np.flatnonzero(peak > best["value"])
        at = at[rows]
    if rows.size:
        best["value"][rows] = peak[rows]
        best["index"][rows] = at + offset
        best["reference"][rows] = r[rows, at]
        best["candidate"][rows] = c[rows, at]
    return peak


def _finish(found: Rows, sums: Array, dtype: np.dtype[Any], *, judged: bool) -> None:
    """From sums to rms and cosine; the extremes again in float64, from the two numbers themselves."""
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        found["rms"] = np.sqrt(sums[0] / found["size"])
        norm_r, norm_c = np.sqrt(sums[1]), np.sqrt(sums[2])
        # 1 - (|d|**2 - (|r| - |c|)**2) / (2 |r| |c|): unlike <r, c> / (|r| |c|) it resolves angles near zero
        cosine = 1 - (sums[0] - (norm_r - norm_c) ** 2) / (2 * norm_r * norm_c)
        found["cosine"] = np.where(norm_r * norm_c > 0, np.clip(cosine, -1, 1), norm_r == norm_c)
        for name in ("absolute", "relative", "ulp"):
            extreme = found[name]
            exact, size = np.abs(extreme["candidate"] - extreme["reference"]), np.abs(extreme["reference"])
            if name == "relative":
                exact = np.where(exact == 0, 0, exact / size)
            elif name == "ulp":
                exact = exact / np.spacing(size.astype(dtype)).astype(np.float64)
            extreme["value"] = np.where(np.isfinite(extreme["value"]), exact, extreme["value"])
    if not judged:
        found["used"]["value"] = np.nan
