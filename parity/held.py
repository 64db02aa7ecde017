"""What is held against what, and the short answer where all of it is within its budget.

A verdict needs to know how much of each budget was used; that nothing is beyond one, or not finite, costs a quarter of
what it costs to measure everything (`parity.measure`). A run that is to print its findings, and to write down no
measures, takes the short answer where there is one. Of anything else everything is measured, and so it is of the steps
that a printed table shows.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from parity.ledger import Ledger
from parity.measure import measure_all, used_of_each
from parity.protocol import Array, Key, Lane
from parity.unbounded import Derived, Unbounded

Measures = Literal["all", "shown"]
"""Whether all measures of every step are taken, or those that are shown where a run is printed."""
FIRST_SHOWN = 3  # steps of the free lane that a printed table begins with; it ends with the last one


@dataclass(frozen=True)
class Asked:
    """A tensor of some steps of the candidate's, and what it is held against."""

    key: Key
    lane: Lane
    first_step: int
    reference: Array
    candidate: Array
    derived: float | Derived | None
    """Its budget."""
    unbounded: Unbounded | None = None
    about: str = ""
    """What else is told of a divergence."""

    @property
    def alike(self) -> bool:
        """Whether both are of one type and shape."""
        return self.reference.shape == self.candidate.shape and self.reference.dtype == self.candidate.dtype

    def of_step(self, row: int) -> Asked:
        """A copy of one step, held against nothing."""
        reference, candidate = self.reference[row : row + 1].copy(), self.candidate[row : row + 1].copy()
        return Asked(self.key, self.lane, self.first_step + row, reference, candidate, None)


def within(asked: Iterable[Asked]) -> list[Array | None] | None:
    """How much of its budget each tensor uses in each step, None for what is held against nothing.

    Returns:
        None where that is not all there is to say: something is beyond its budget or has none that is known, it is not
        finite, or of another type or shape.
    """
    used: list[Array | None] = []
    finite: set[Key] = set()
    for one in asked:
        if not one.alike:
            return None
        if one.derived is None:
            if one.key not in finite and not np.isfinite(one.reference).all():  # so may be the candidate's
                return None
            used.append(None)
        elif (share := used_of_each(one.reference, one.candidate, one.derived)) is None:
            return None
        else:
            finite.add(one.key)
            used.append(share)
    return used


@dataclass
class Shown:
    """Measures of the steps that a printed table shows of a free lane, where all is within its budget."""

    last: list[Asked] = field(default_factory=list)
    """Of the last step so far, which nobody knows to be the last: not yet measured."""

    def take(self, asked: list[Asked], ledger: Ledger) -> None:
        """Measure what is shown of these steps in any case."""
        free = [one for one in asked if one.lane == "free"]
        if free:
            steps, first_step = len(free[0].reference), free[0].first_step
            for row in range(min(steps, FIRST_SHOWN + 1 - first_step)):
                _write([one.of_step(row) for one in free], ledger)
            shown = first_step + steps - 1 <= FIRST_SHOWN
            self.last = [] if shown else [one.of_step(steps - 1) for one in free]

    def finish(self, ledger: Ledger) -> None:
        """There are no more steps."""
        if self.last:
            _write(self.last, ledger)
        self.last = []


def _write(asked: list[Asked], ledger: Ledger) -> None:
    tables = measure_all((one.reference, one.candidate, None) for one in asked)
    ledger.extend([(one.key, one.lane, one.first_step, rows) for one, rows in zip(asked, tables, strict=True)])
