"""From two arrays and a budget to the rows of the table."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from parity.measure.block import Found
from parity.measure.equal import differing
from parity.measure.rows import measure_rows
from parity.measure.table import MEASURES, Rows, Steps, extremes, words
from parity.protocol import Array

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
    found: Found | None = None
    """What the differing steps show."""


def _look(reference: Array, candidate: Array, budget: Budget | float | None) -> _Look:
    r, c = flat(reference, candidate)
    look = _Look(r, c, differing(r, c), budget is not None)
    if look.differing.size:
        look.found = measure_rows(r, c, limit_of(budget, look.differing, reference.shape), look.differing)
    return look


def flat(reference: Array, candidate: Array) -> tuple[Array, Array]:
    """Both as (steps, elements) of floating numbers."""
    if reference.shape != candidate.shape or reference.dtype != candidate.dtype:
        msg = (
            f"expected {candidate.dtype} of shape {candidate.shape} to be {reference.dtype} of shape {reference.shape}"
        )
        raise ValueError(msg)
    steps = len(reference)
    if reference.dtype.kind != "f":  # integers and booleans: exact in float64 up to 2**53
        reference, candidate = reference.astype(np.float64), candidate.astype(np.float64)
    elements = math.prod(reference.shape[1:])
    r, c = (np.ascontiguousarray(array).reshape(steps, elements) for array in (reference, candidate))
    return r, c


def limit_of(budget: Budget | float | None, differing: Steps, shape: tuple[int, ...]) -> Array | None:
    """The budget of the steps that differ, (steps, elements)."""
    found = budget(differing) if callable(budget) else budget
    if found is None:
        return None
    limit = np.asarray(found)
    if limit.ndim == len(shape) and not callable(budget) and len(limit) == shape[0] != len(differing):
        limit = limit[differing]
    asked = len(differing), *shape[1:]
    return (limit if limit.shape == asked else np.broadcast_to(limit, asked)).reshape(len(differing), -1)


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
            extremes(table, np.float64)[:, :, 2:] = np.stack((look.r[:, 0], look.c[:, 0]), axis=1)[:, None]
    different = [(look, first) for look, first in zip(looks, firsts, strict=False) if look.found is not None]
    if different:
        where = np.concatenate([first + look.differing for look, first in different])
        words(rows)[where] = words(_differences([look for look, _ in different]))
    return tables


def _differences(looks: list[_Look]) -> Rows:
    """Of all steps that differ: extremes again in float64, from the two numbers themselves; sums to rms and cosine."""
    parts = [look.found for look in looks if look.found is not None]
    found = Found.together(parts)
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
        columns = extremes(rows, np.float64)
        columns[:, :, 0], columns[:, :, 2], columns[:, :, 3] = values.T, reference.T, candidate.T
        extremes(rows, np.int64)[:, :, 1] = found.at.T

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
