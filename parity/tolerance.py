"""Fixed tolerances at work: which rule holds for which tensor, what it allows, and what would have been enough.

A rule takes the place of the derived budget wherever its tensor is compared. A rule for everything leaves exact what
has to be exact (batches, replayed updates, ...): only a rule that names a tensor or a phase speaks of that.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

import numpy as np

from parity.config import Experiment, Precision
from parity.config.tolerances import Tolerance
from parity.errors import UsageError
from parity.measure import Largest, Steps
from parity.protocol import Array, Key

Budget = Callable[[Steps], Array | float | None]

# Between the largest relative difference as it is measured and the share of a tolerance that is used stand at most 16
# roundings of the tensor's dtype: of the difference, of the quotients that are compared, of the tolerance, in each.
_ROUNDINGS = 16
_NAMES_SHOWN = 3


@dataclass
class Needed:
    """The smallest tolerances under which everything seen would have passed: each alone, the others zero."""

    rtol: float = 0.0
    atol: float = 0.0
    ulp: float = 0.0

    def take(self, seen: Largest, precision: Precision) -> None:
        """Infinite where nothing finite would do: a relative tolerance of zero, or a NaN on one side."""
        margin = 1 + _ROUNDINGS * float(np.finfo(precision).eps) / 2
        self.rtol, self.atol = max(self.rtol, seen.relative * margin), max(self.atol, seen.absolute * margin)
        self.ulp = max(self.ulp, seen.ulp * margin)

    def then(self, other: Needed) -> Needed:
        return Needed(max(self.rtol, other.rtol), max(self.atol, other.atol), max(self.ulp, other.ulp))


class Tolerances:
    """The rules of an experiment over one run."""

    def __init__(self, experiment: Experiment) -> None:
        self.rules = experiment.tolerance
        self._of: dict[Key, Tolerance | None] = {}
        self._matched: set[int] = set()

    def rule(self, key: Key) -> Tolerance | None:
        """The last rule that matches."""
        if key not in self._of:
            numbers = [number for number, rule in enumerate(self.rules) if _matches(rule, key)]
            self._matched.update(numbers)
            self._of[key] = self.rules[numbers[-1]] if numbers else None
        return self._of[key]

    def allowed(self, key: Key, reference: Array, derived: Budget | float | None) -> Budget | float | None:
        """What the tensor may differ by: as the rule says where there is one, otherwise as derived."""
        rule = self.rule(key)
        if rule is None:
            return derived

        def fixed(rows: Steps) -> Array:
            limit = _limit(rule, reference[rows])
            if rule.names_a_tensor:
                return limit
            own = derived(rows) if callable(derived) else derived
            return limit if own is None else np.where(np.asarray(own) == 0, 0.0, limit)

        return fixed

    def check(self, compared: Iterable[Key]) -> None:
        """Every rule must have something to say: one that matches nothing is a mistake that would go unseen.

        Raises:
            UsageError: a rule that matches no tensor that was compared.
        """
        keys = list(compared)
        for key in keys:
            self.rule(key)
        unused = [rule for number, rule in enumerate(self.rules) if number not in self._matched]
        if unused:
            raise UsageError("\n".join(f"tolerance: {_unused(rule, keys)}" for rule in unused))


def _matches(rule: Tolerance, key: Key) -> bool:
    fits = rule.phase in {None, key.phase} and rule.part in {None, key.part}
    return fits and fnmatchcase(key.tensor, rule.tensor)


def _limit(rule: Tolerance, reference: Array) -> Array:
    """Element by element. NaN and infinity have no neighbourhood: they must be the same."""
    size = np.abs(reference if reference.dtype.kind == "f" else reference.astype(np.float64))
    with np.errstate(invalid="ignore", over="ignore"):
        if rule.ulp is not None:
            found = rule.ulp * np.spacing(size).astype(np.float64)
        else:
            found = (rule.atol or 0.0) + (rule.rtol or 0.0) * size.astype(np.float64)
    return np.where(np.isfinite(found), found, 0.0)


def _unused(rule: Tolerance, keys: list[Key]) -> str:
    fitting = {key.tensor for key in keys if rule.phase in {None, key.phase} and rule.part in {None, key.part}}
    names = sorted(fitting or {key.tensor for key in keys})
    near = difflib.get_close_matches(rule.tensor, names, n=_NAMES_SHOWN, cutoff=0.4) or names[:_NAMES_SHOWN]
    where = "" if fitting else "; no tensor of that phase and part is compared at all"
    return f"the rule {rule} matches nothing that is compared{where}; nearest: {', '.join(near) or 'none'}"
