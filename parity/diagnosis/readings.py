"""What else explains as much: the sets of conventions that this evidence cannot tell from one that was proved.

A part of a set is exchanged for another:

    one convention for another
    one factor for two
    all factors for any few others: only their product is seen

Each set that takes the candidate's steps, with nothing in it that explains nothing, is a reading of what was found; and
so is what several such exchanges at once make of it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

from parity.diagnosis.search import FACTORS, Search, Set

MOST = 12
"""Exchanges are put together until there are so many readings."""
MOST_FACTORS = 3
"""So many at once are tried as a product."""

# Conventions that are factors, also of what is told beside the update.
ALL_FACTORS = (*FACTORS, "l2.gradient", "l2.reported", "loss.reported")


def readings(search: Search, found: Sequence[Set]) -> list[Set]:
    """The sets that were found, and then every other that does as well."""
    first = found[0]
    sets = itertools.chain(found[1:], _exchanged(search, first), _split(search, first), _other_products(search, first))
    known = [first, *_as_good(search, first, sets)]
    exchanges = [(first - other, other - first) for other in known[1:]]
    for one in known:  # it grows
        if len(known) > MOST:
            break
        more = (one - part | instead for part, instead in exchanges if part <= one)
        known += _as_good(search, first, (other for other in more if len(dict(other)) == len(other)), known)
    return known


def _as_good(search: Search, choices: Set, sets: Iterable[Set], known: Iterable[Set] = ()) -> list[Set]:
    """Those of these sets that do as well as one does."""
    new = dict.fromkeys(other for other in sets if other != choices and other not in known)
    return [
        other
        for other in search.alike(choices, new)
        if _explains(search, other) and not any(_explains(search, other - {one}) for one in other)
    ]


def _explains(search: Search, choices: Set) -> bool:
    return search.try_set(choices).explains and search.prove(choices).explains


def _exchanged(search: Search, choices: Set) -> Iterator[Set]:
    """One convention in another's place."""
    for cause in choices:
        rest = choices - {cause}
        taken = {code for code, _ in rest}
        yield from (rest | {single} for single in search.singles if single[0] not in taken)


def _split(search: Search, choices: Set) -> Iterator[Set]:
    """Two factors in place of one, however many others there are."""
    pairs = _products(search, 2)
    for cause in choices:
        if cause[0] in ALL_FACTORS:
            rest = choices - {cause}
            taken = {code for code, _ in rest}
            yield from (rest | pair for pair in pairs if not taken & {code for code, _ in pair})


def _other_products(search: Search, choices: Set) -> Iterator[Set]:
    """Any few factors in place of all."""
    rest = frozenset((code, choice) for code, choice in choices if code not in ALL_FACTORS)
    if rest != choices:
        for size in range(1, min(len(choices - rest) + 1, MOST_FACTORS) + 1):
            yield from (rest | product for product in _products(search, size))


def _products(search: Search, size: int) -> list[Set]:
    """Every set of so many factors."""
    factors = search.factors(ALL_FACTORS).values()
    return [
        frozenset(product)
        for several in itertools.combinations(factors, size)
        for product in itertools.product(*several)
    ]
