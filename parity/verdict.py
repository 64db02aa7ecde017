"""What is found: a verdict, the first divergence, what each tensor showed, and what was not compared."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from parity.config import Precision
from parity.config.tolerances import Tolerance
from parity.errors import ExitCode
from parity.measure import Largest, Rows
from parity.protocol import Array, Key, Lane, Pair, Records
from parity.tolerance import Needed


class Verdict(StrEnum):
    PARITY = "PARITY"
    DIVERGED = "DIVERGED"
    CANNOT_JUDGE = "CANNOT_JUDGE"

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode[self.name]


class Kind(StrEnum):
    """What it is that parted."""

    VALUE = "value"
    """The candidate's number from the reference's."""
    DRIFT = "drift"
    """Two free runs, further than rounding can have driven them by that step."""
    REPLAY = "replay"
    """The candidate's run from what it makes of the same state when it is asked again, which is the reference here."""
    WEIGHTS = "weights"
    """The weights that the candidate begins with from those that it was given."""
    STATE = "state"
    """What its optimizer begins with from what it was given, or from zeros."""
    DTYPE = "dtype"
    SHAPE = "shape"


@dataclass(frozen=True)
class Divergence:
    """The first element that rounding cannot explain, or that is beyond a tolerance that was set."""

    step: int
    key: Key
    lane: Lane
    precision: Precision
    index: tuple[int, ...]
    reference: float
    candidate: float
    budget: float
    note: str = ""
    """What else there is to say, for people to read."""
    kind: Kind = Kind.VALUE
    fixed: bool = False
    """Whether the budget is a tolerance that was set, not derived."""

    @property
    def difference(self) -> float:
        return abs(self.candidate - self.reference)

    @property
    def used(self) -> float:
        """Difference over budget; infinite where the two had to be equal."""
        if math.isnan(self.difference):
            return math.inf
        return self.difference / self.budget if self.budget else math.inf

    @property
    def ratio(self) -> float | None:
        """Candidate over reference, where that says anything."""
        finite = math.isfinite(self.reference) and math.isfinite(self.candidate)
        return self.candidate / self.reference if self.reference and finite else None


@dataclass
class Summary:
    """One tensor in one lane over all steps."""

    key: Key
    lane: Lane
    shape: tuple[int, ...]
    steps: int = 0
    differing: int = 0
    absolute: float = 0.0  # NaN where not every step was measured
    absolute_step: int = 0
    used: float = math.nan  # NaN as long as nothing was judged
    used_step: int = 0
    beyond: int = 0
    first_beyond: int | None = None
    rule: Tolerance | None = None
    """The fixed tolerance that it was held against in place of a budget."""
    needed: Needed = field(default_factory=Needed)

    def take(self, first_step: int, rows: Rows, seen: Largest, precision: Precision) -> None:
        """Take in some steps, and the largest of their measures."""
        self.steps += len(rows)
        if seen.absolute:
            self.needed.take(seen, precision)
            differences = rows["absolute"]["value"]
            self.differing += int(np.count_nonzero(differences))
            if seen.absolute > self.absolute:
                self.absolute, self.absolute_step = seen.absolute, first_step + int(differences.argmax())
        used = seen.used
        if used >= 0 and not self.used >= used:
            self.used, self.used_step = used, first_step + int((rows["used"]["value"] == used).argmax())
        if used > 1:
            over = np.flatnonzero(rows["used"]["value"] > 1)
            self.beyond += len(over)
            if self.first_beyond is None:
                self.first_beyond = first_step + int(over[0])

    def take_used(self, first_step: int, steps: int, used: Array | None) -> None:
        """Take in steps of which nothing was measured but what they use of the budget, at most all of it."""
        self.steps += steps
        self.absolute = math.nan
        if used is not None and not self.used >= used.max():
            self.used, self.used_step = float(used.max()), first_step + int(used.argmax())


@dataclass(frozen=True)
class Evidence:
    """The step of the first divergence: the reference's records of it, and what the candidate made of it."""

    records: Records
    lane: Lane
    said: Mapping[Key, Array]
    """All that the candidate said of that step in that lane."""
    key: Key

    @property
    def candidate(self) -> Array:
        """The tensor that diverged."""
        return self.said[self.key]

    @staticmethod
    def of(first: Divergence, pair: Pair) -> Evidence | None:
        """Copies: the sides use their arrays again. None where it is not one between the two sides."""
        said = pair.lanes[first.lane]
        if first.key not in said or first.kind in (Kind.REPLAY, Kind.DTYPE) or not first.step:
            return None
        at = first.step - pair.reference.first_step
        arrays = {key: np.array(array[at : at + 1]) for key, array in pair.reference.arrays.items()}
        before = pair.reference.before if at == 0 else {k: array[at - 1] for k, array in pair.reference.arrays.items()}
        kept = {key: np.array(array) for key, array in before.items() if key.phase == "update"}
        told = {key: np.array(array[at : at + 1]) for key, array in said.items()}
        return Evidence(Records(first.step, arrays, kept), first.lane, told, first.key)


@dataclass(frozen=True)
class NotCompared:
    what: str
    why: str
