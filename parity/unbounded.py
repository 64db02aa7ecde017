"""Measures of what has no bound: elements that neither rounding nor a tolerance can hold to anything.

Where finite operands may overflow on the way (`parity.budget.overflow`), or the ensemble of the free lane did, two
correct sides may end with a number, an infinity and NaN. What differs there is no divergence, and no agreement either:
it uses nothing of a budget, and the step is told, so that nobody calls it parity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from parity.measure import Rows, Steps, measure
from parity.protocol import Array

Derived = Callable[[Steps], Array | float | None]
"""The budget of the chosen steps."""
Unbounded = Callable[[Steps], Array | bool]
"""Which elements of the chosen steps can have none."""


def measured(reference: Array, candidate: Array, allowed: Derived, unbounded: Unbounded) -> tuple[Rows, int | None]:
    """As `measure` does it, with nothing used by what has no bound; and the first step where that differs."""
    rows = measure(reference, candidate, allowed)
    return rows, set_aside(rows, reference, candidate, allowed, unbounded)


def suspect(rows: Rows, dtype: np.dtype[Any]) -> Array:
    """Which steps may hold such elements.

    Rounding on the way to an overflow is far larger than the root of the largest number: only where the two are so far
    apart, or not finite, is it asked for.
    """
    near = float(np.finfo(dtype).max) ** 0.5 if dtype.kind == "f" else np.inf
    found: Array = (rows["used"]["value"] > 1) & ~(rows["absolute"]["value"] < near)
    return found


def set_aside(rows: Rows, reference: Array, candidate: Array, allowed: Derived, unbounded: Unbounded) -> int | None:
    """Measure again without what has no bound, where there may be such; returns the first step where that differs."""
    steps = suspect(rows, reference.dtype).nonzero()[0]
    if not steps.size:
        return None
    r, c = reference[steps], candidate[steps]
    without = unbounded(steps) & (r != c) & ~(np.isnan(r) & np.isnan(c))
    if not without.any():
        return None
    rest = measure(r, np.where(without, r, c), lambda differing: allowed(steps[differing]))
    rows["used"][steps], rows["beyond"][steps] = rest["used"], rest["beyond"]
    return int(steps[without.reshape(len(steps), -1).any(axis=1).argmax()])
