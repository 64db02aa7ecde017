"""Measures of what has no bound: elements that neither rounding nor a tolerance can hold to anything.

Where finite operands may overflow on the way (`parity.budget.overflow`), or the ensemble of the free lane did, two
correct sides may end with a number, an infinity and NaN. What differs there is no divergence, and no agreement either:
it uses nothing of a budget, and the step is told, so that nobody calls it parity.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from parity.measure import Rows, Steps, measure
from parity.protocol import Array

Derived = Callable[[Steps], Array | float | None]
"""The budget of the chosen steps."""
Unbounded = Callable[[Steps], Array | bool]
"""Which elements of the chosen steps can have none."""


def measured(reference: Array, candidate: Array, allowed: Derived, unbounded: Unbounded) -> tuple[Rows, int | None]:
    """As `measure` does it, with nothing used by what has no bound; and the first step where that differs.

    Rounding on the way to an overflow is far larger than the root of the largest number: only where the two are so far
    apart, or not finite, is it asked for.
    """
    rows = measure(reference, candidate, allowed)
    near = float(np.finfo(reference.dtype).max) ** 0.5 if reference.dtype.kind == "f" else np.inf
    steps = ((rows["used"]["value"] > 1) & ~(rows["absolute"]["value"] < near)).nonzero()[0]
    if not steps.size:
        return rows, None
    r, c = reference[steps], candidate[steps]
    without = unbounded(steps) & (r != c) & ~(np.isnan(r) & np.isnan(c))
    if not without.any():
        return rows, None
    rest = measure(r, np.where(without, r, c), lambda differing: allowed(steps[differing]))
    rows["used"][steps], rows["beyond"][steps] = rest["used"], rest["beyond"]
    return rows, int(steps[without.reshape(len(steps), -1).any(axis=1).argmax()])
