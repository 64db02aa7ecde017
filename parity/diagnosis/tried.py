"""A set of conventions that was tried, what it leaves unexplained, and which of several leave least.

How much is left unexplained is measured by

    score = sum over tensors of the mean over steps of log10(used), where used > 1

in which a cause counts when it brings any tensor nearer, even if another cause still keeps it apart.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from parity.diagnosis.direction import Fit
from parity.diagnosis.stand_in import Used
from parity.protocol import Key

BEAM = 4
"""Sets that are followed of each ranking."""
LEAST = 0.5
"""What a larger set must take from the score to count as nearer; rounding and chance take less."""
WORST = 1e30  # what an infinite difference counts for

Set = frozenset[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Tried:
    """A set of conventions, and what it leaves unexplained."""

    choices: Set
    used: Used = field(repr=False)
    fit: Fit = field(repr=False, default=Fit({}, 0.0))
    """What is left whatever the factors are, and how far these are from 1; see `parity.diagnosis.direction`."""

    @property
    def score(self) -> float:
        return _score(self.used)

    @property
    def nearness(self) -> tuple[float, float]:
        """What is left as it is, and with other factors: the less, the nearer."""
        return self.score, _score(self.fit.used) + self.fit.factors

    @property
    def explains(self) -> bool:
        return bool(self.used) and all((used <= 1).all() for used in self.used.values())

    @property
    def first(self) -> tuple[int, Key] | None:
        """The first step, counted from 0, and in it the first tensor that is left unexplained."""
        return first_over(self.used)

    def has_explained(self, key: Key) -> bool:
        """Whether nothing is left to explain of one tensor, at any step."""
        return key in self.used and bool((self.used[key] <= 1).all())

    @property
    def worst(self) -> float:
        """The largest share of a budget."""
        return max((float(used.max(initial=0.0)) for used in self.used.values()), default=np.nan)


def first_over(used: Used) -> tuple[int, Key] | None:
    """The first step, and in it the first tensor, that is beyond its budget."""
    over = {key: int((of_key > 1).argmax()) for key, of_key in used.items() if (of_key > 1).any()}
    return min(((step, key) for key, step in over.items()), key=lambda found: found[0], default=None)


def _score(used: Used) -> float:
    return float(sum(np.log10(np.clip(of_key, 1, WORST)).mean() for of_key in used.values()))


def any_less(nearer: list[tuple[float, float]], nearest: list[tuple[float, float]]) -> bool:
    """Whether one of these is nearer than all before, in either way, by what is more than chance."""
    ways = zip(zip(*nearer, strict=True), zip(*nearest, strict=True), strict=False)  # no way at all where none is new
    return any(min(new) < min(old) - LEAST for new, old in ways)


def beam_of(tried: Iterable[Tried]) -> list[Tried]:
    """Those nearest as they are, and those nearest but for their factors."""
    found = _distinct(sorted(tried, key=rank))
    near, fitted = found[:BEAM], sorted(found, key=_rank_of_fit)[:BEAM]
    both = itertools.chain.from_iterable(zip(near, fitted, strict=True))
    return list(dict.fromkeys(both))


def _distinct(ranked: Iterable[Tried]) -> list[Tried]:
    """The first of those that leave the same over."""
    found: dict[tuple[tuple[Key, bytes], ...], Tried] = {}
    for tried in ranked:
        left = tuple((key, np.log10(np.clip(used, 1, WORST)).round(6).tobytes()) for key, used in tried.used.items())
        found.setdefault(left, tried)
    return list(found.values())


def rank(tried: Tried) -> tuple[float, int, list[tuple[str, str]]]:
    """What sorts sets by what they leave, and of those that leave as much the smaller first."""
    return tried.score, len(tried.choices), sorted(tried.choices)


def _rank_of_fit(tried: Tried) -> tuple[float, float, int, list[tuple[str, str]]]:
    return round(_score(tried.fit.used), 1), round(tried.fit.factors, 3), len(tried.choices), sorted(tried.choices)
