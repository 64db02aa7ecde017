"""A set of conventions that was tried, what it leaves unexplained, and which of several leave least."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from parity.diagnosis.direction import NOTHING, Fit
from parity.diagnosis.used import Used
from parity.protocol import Key

BEAM = 4
"""Sets that are followed of each ranking."""
LEAST = 0.5
"""What a larger set must take from the score to count as nearer; rounding and chance take less."""

Set = frozenset[tuple[str, str]]


@dataclass(frozen=True, eq=False)
class Tried:
    """A set of conventions, and what it leaves unexplained."""

    choices: Set
    used: Used = field(repr=False)
    fit: Fit = field(repr=False, default=NOTHING)
    """What is left whatever the factors are, and how far these are from 1; see `parity.diagnosis.direction`."""

    @property
    def score(self) -> float:
        return self.used.score

    @property
    def nearness(self) -> tuple[float, float]:
        """What is left as it is, and with other factors: the less, the nearer."""
        return self.score, self.fit.used.score + self.fit.factors

    @property
    def explains(self) -> bool:
        return bool(self.used) and self.used.explained

    @property
    def first(self) -> tuple[int, Key] | None:
        """The first step, counted from 0, and in it the first tensor that is left unexplained."""
        return self.used.first

    def has_explained(self, key: Key) -> bool:
        """Whether nothing is left to explain of one tensor, at any step."""
        return key in self.used and bool((self.used[key] <= 1).all())

    @property
    def worst(self) -> float:
        """The largest share of a budget."""
        return float(self.used.shares.max(initial=0.0)) if self.used else np.nan


class Progress:
    """Whether sets that are tried later are nearer than all before them, in either way, by what is more than chance."""

    def __init__(self, tried: Iterable[Tried]) -> None:
        self._nearest = [one.nearness for one in tried]

    def made_by(self, tried: Iterable[Tried]) -> bool:
        nearer, before = [one.nearness for one in tried], self._nearest
        self._nearest = [*before, *nearer]
        ways = zip(zip(*nearer, strict=True), zip(*before, strict=True), strict=False)  # no way where none is new
        return any(min(new) < min(old) - LEAST for new, old in ways)


def beam_of(tried: Iterable[Tried]) -> list[Tried]:
    """Those nearest as they are, and those nearest but for their factors."""
    found = _distinct(sorted(tried, key=rank))
    near, fitted = found[:BEAM], sorted(found, key=_rank_of_fit)[:BEAM]
    both = itertools.chain.from_iterable(zip(near, fitted, strict=True))
    return list(dict.fromkeys(both))


def _distinct(ranked: Iterable[Tried]) -> list[Tried]:
    """The first of those that leave the same over."""
    found: dict[object, Tried] = {}
    for tried in ranked:
        found.setdefault(tried.used.left, tried)
    return list(found.values())


def rank(tried: Tried) -> tuple[float, int, list[tuple[str, str]]]:
    """What sorts sets by what they leave, and of those that leave as much the smaller first."""
    return tried.score, len(tried.choices), sorted(tried.choices)


def _rank_of_fit(tried: Tried) -> tuple[float, float, int, list[tuple[str, str]]]:
    return round(tried.fit.used.score, 1), round(tried.fit.factors, 3), len(tried.choices), sorted(tried.choices)
