"""Names beside factors that have none.

A factor that is missing hides what has a name as that hides a factor: with 1.7 times the penalty every gradient is
wrong, whatever else is right. So names are sought once more, one at a time as always, in steps that have the numbers
which leave least over; and since a number that was fitted without a name is wrong, it is fitted anew beside every set
that is followed. What explains everything is told when no set of as many names does: a number counts as one and a half.
One of many digits is none that anybody wrote down, and waits until names explain nothing: half a penalty whose lambda
was not rounded is 0.5000000111759804 of Keras'.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from parity.diagnosis.evidence import Evidence
from parity.diagnosis.factors import Fit, brief, numbers_of, rounder, without_numbers
from parity.diagnosis.tried import BEAM, Progress, Set, Tried, beam_of, rank

if TYPE_CHECKING:
    from parity.diagnosis.search import Search

MOST_NUMBERS = 2
"""Factors without a name that are fitted at once."""
FEWER = 2
"""So many sets with fewer numbers are followed beside the best."""
AHEAD = 0.5
"""Numbers of few digits that leave no more than that share of what names leave are not there by chance."""


class Numbered:
    """Sets of names with the numbers that leave least beside them."""

    def __init__(self, search: Search) -> None:
        self.search = search
        self.beam: list[Tried] = []
        self.found: list[Tried] = []
        """What explains everything."""
        self.disproved: list[Set] = []
        """What explained all the steps that it was tried on, and not all others."""
        self._fits: dict[tuple[int, Set], Fit] = {}

    def grow(self, named: Iterable[Set], on: Evidence, until: float) -> None:
        """Fit numbers beside these sets, and beside those that were followed with one name more."""
        if any(brief(one.choices) for one in self.found):
            return
        larger = [tried for one in self.beam for tried in self.search.tried_until(until, self._larger(one, on), on)]
        grown = [without_numbers(tried.choices) for tried in beam_of(larger)]
        again = (base for one in self.disproved for base in (without_numbers(one), *self._in_words(one)))
        bases = dict.fromkeys([*map(self._names, named), *again, *grown, *self._unrounded()])
        fits = [self._fit(base, on) for base in bases if not self.search.out_of_time(until)]
        if self.search.stopped:  # half a round says nothing; what was followed is gone on with
            return
        explaining = [self.search.try_set(choices, on) for fit in fits for choices in fit.explaining(MOST_NUMBERS)]
        proved = self.search.proved(explaining)
        self.found += proved
        self.disproved = [] if proved else [one.choices for one in explaining]
        nearest = [[tried for tried in fit.nearest(MOST_NUMBERS) if not tried.explains] for fit in fits]
        best, fewer = [of[-1] for of in nearest if of], [tried for of in nearest for tried in of[:-1]]
        self.beam = [*sorted(best, key=rank)[:BEAM], *sorted(fewer, key=rank)[:FEWER]]

    @property
    def written(self) -> list[Tried]:
        """What is followed with numbers that somebody may have written down."""
        return [one for one in self.beam if brief(one.choices)]

    def ahead_of(self, named: Sequence[Tried]) -> bool:
        """Whether numbers leave so much less that names alone will hardly do."""
        numbers = [one.score for one in self.written if numbers_of(one.choices)]
        return bool(numbers and named) and min(numbers) < AHEAD * min(tried.score for tried in named)

    def go_on(self, on: Evidence, until: float, rounds: int) -> None:
        """Without names alone, as long as that leads nearer."""
        progress = Progress([self.search.try_set(one.choices, on) for one in self.beam])
        for _ in range(rounds):
            self.grow((), on, until)
            if self.disproved and on is not self.search.evidence:
                on, progress = self.search.evidence, Progress([self.search.try_set(frozenset(), self.search.evidence)])
            elif self.found or not progress.made_by(self.beam):
                break

    def told(self, names: float = math.inf) -> list[Tried]:
        """What explains everything with brief numbers, and is not more to tell than one name more than so many."""
        return [one for one in self.found if brief(one.choices) and _told(one.choices) <= names + 1]

    def _larger(self, tried: Tried, on: Evidence) -> Iterator[Set]:
        """One name more, or one in place of a number: that is the same in batches of one size alone.

        Or in place of what seems absent: of a penalty that is no gradient, any other name may say where it is.
        """
        yield from self.search.larger(tried, on)
        for number, names in self._named(tried.choices):
            yield from (tried.choices - {number} | {one} for one in names)
        for gone in sorted(one for one in tried.choices if one[1] == "absent"):
            rest, family = tried.choices - {gone}, gone[0].partition(".")[0]
            codes = {code for code, _ in rest}
            others = (one for one in self.search.singles if one[0].partition(".")[0] == family)
            yield from (rest | {one} for one in others if one != gone and one[0] not in codes)

    def _in_words(self, choices: Set) -> Iterator[Set]:
        """The names, and one that a number may be: what is left to other numbers is fitted anew."""
        for _, names in self._named(choices):
            yield from (without_numbers(choices) | {one} for one in names)

    def _unrounded(self) -> Iterator[Set]:
        """The names, and constants that are not rounded, where a number is nearly one of few digits.

        Lambdas of several layers are rounded by different shares: no number makes up for all.
        """
        exact = [one for one in self.search.singles if one[1] == "exact"]
        for tried in self.beam:
            names = without_numbers(tried.choices)
            if any(map(rounder, numbers_of(tried.choices))):
                yield from (names | {one} for one in exact if one[0] not in dict(names))

    def _named(self, choices: Set) -> Iterator[tuple[tuple[str, str], list[tuple[str, str]]]]:
        """Each number, and what has a name of its convention."""
        for number in sorted(choices - without_numbers(choices)):
            yield number, [one for one in self.search.singles if one[0] == number[0]]

    def _fit(self, base: Set, on: Evidence) -> Fit:
        if (on.steps, base) not in self._fits:
            self._fits[on.steps, base] = Fit(self.search, base, on)
        return self._fits[on.steps, base]

    def _names(self, choices: Set) -> Set:
        """What is no factor that may be a number: those with a name are but near to it, where there is one."""
        return frozenset(one for one in choices if one[0] not in self.search.stand_in.factors)


def _told(choices: Set) -> float:
    return len(choices) + len(numbers_of(choices)) / 2
