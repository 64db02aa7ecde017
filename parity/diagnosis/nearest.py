"""Where nothing explains everything: which sets of conventions leave less over than the reference's own choices."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from parity.diagnosis.search import Search
from parity.diagnosis.tried import Set, Tried
from parity.protocol import Key

NEARER = 10**0.5
"""So many times less must be left over where it begins to count as nearer; rounding and chance take less."""


@dataclass(frozen=True)
class Left:
    """What a set leaves over: each tensor with the first step of it, counted from 0, in execution order."""

    choices: Set
    over: Mapping[Key, int]
    first: Key
    place: tuple[int, int]
    """Step and rank of what is left first."""
    used: float
    """And how much of it."""
    most: Mapping[Key, float]
    """How much of each tensor at any step."""

    @classmethod
    def of(cls, tried: Tried) -> Left:
        over = {key: int((used > 1).argmax()) for key, used in tried.used.items() if (used > 1).any()}
        ranks = {key: rank for rank, key in enumerate(tried.used)}
        first = min(over, key=lambda key: (over[key], ranks[key]))
        step = over[first]
        most = {key: float(tried.used[key].max()) for key in over}
        return cls(tried.choices, over, first, (step, ranks[first]), float(tried.used[first][step]), most)

    @property
    def rank(self) -> tuple[int, tuple[int, int], int, float, list[tuple[str, str]]]:
        """The nearest first: fewer tensors are left, later, by a smaller set, less of it."""
        step, tensor = self.place
        return len(self.over), (-step, -tensor), len(self.choices), self.used, sorted(self.choices)

    def nearer_than(self, other: Left) -> bool:
        """Whether less is left over: nothing more, nothing earlier, and fewer tensors, or later, or less of each."""
        if not self.over.keys() <= other.over.keys() or self.place < other.place:
            return False
        fewer = len(self.over) < len(other.over) or self.place > other.place
        less = all(most * NEARER < other.most[key] for key, most in self.most.items())
        return fewer or (less and self.used * NEARER < other.used)

    def no_better_than(self, other: Left) -> bool:
        """Whether the other leaves nothing that this does not leave, and no more of it where it begins."""
        if not other.over.keys() <= self.over.keys():
            return False
        return (other.place, -other.used) >= (self.place, -self.used)


def nearest(search: Search, makes: Set, best: Iterable[Set]) -> list[Left]:
    """What the reference's own choices leave, and then what leaves less, the nearest first."""
    if (plain := _left(search, makes)) is None:
        return []
    found = {one.choices: one for choices in best if (one := _without_idle(search, choices)) is not None}
    told = [plain]
    for one in sorted(found.values(), key=lambda left: left.rank):
        if one.nearer_than(plain) and not any(one.no_better_than(other) for other in told):
            told.append(one)
    return told


def _left(search: Search, choices: Set) -> Left | None:
    """What is left of all of the evidence, not of the steps alone that sets are tried on; None where nothing is."""
    tried = search.try_set(choices, search.evidence)
    if tried.explains:  # by the budgets of another set
        tried = search.prove(choices)
    return None if tried.explains else Left.of(tried)


def _without_idle(search: Search, choices: Set) -> Left | None:
    """What a set leaves, without what takes nothing from it."""
    left = _left(search, choices)
    for one in sorted(choices):
        fewer = _left(search, choices - {one})
        if left is not None and fewer is not None and not left.nearer_than(fewer):
            return _without_idle(search, choices - {one})
    return left
