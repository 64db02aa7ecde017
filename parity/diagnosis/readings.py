"""What else explains as much: the sets of conventions that this evidence cannot tell from one that was proved.

A part of a set is exchanged for another:

    one convention for another
    one factor for two
    all factors for any few others, or for a number: only their product is seen
    a number and up to two factors for a simpler number, alone or beside a factor
    a number of many digits for one of few, beside a name
    a number for a simpler one over a size, or the learning rate, of the run
    two numbers for their product or quotient, beside a name
    two numbers for two others, alone or beside a factor
    numbers for others in the proportion in which two readings differ, beside a name

Each set that takes the candidate's steps, with nothing in it that explains nothing, is a reading of what was found; and
so is what several such exchanges at once make of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

from parity.conventions import is_number
from parity.diagnosis.factors import NAMED, fitted, numbers_of, rounder, simpler, without_numbers, written
from parity.diagnosis.scales import ALL_FACTORS, Scales, without_factors
from parity.diagnosis.search import Search
from parity.diagnosis.tried import Set

MOST = 12
"""Exchanges are put together until there are so many readings."""
MOST_FACTORS = 3
"""So many at once are tried as a product."""

_FINE = 10**6
"""Denominators of roots."""
FOR_A_NUMBER = 1.5
"""Names that a number counts for, beside its digits."""


def readings(search: Search, found: Sequence[Set]) -> list[Set]:
    """The sets that were found and every other that does as well, what is told with the least first."""
    first, scales = found[0], Scales(search, found[0])
    sets = itertools.chain(
        _exchanged(search, first),
        _split(search, first),
        _other_products(search, first, scales),
        _number(search, first),
    )
    known = [first, *_as_good(search, first, [*found[1:], *filter(scales.allow, sets)])]
    exchanges = [(first - other, other - first) for other in known[1:]]
    left = list(known)
    while left and len(known) <= MOST:
        left.remove(one := min(left, key=_told))  # what is told first is told with its alternatives
        exchanged = (one - part | instead for part, instead in exchanges if part <= one)
        more = itertools.chain(
            _beside_another_number(one, scales),
            _two_other_numbers(one, scales),
            *(_along(one, other, search) for other in known),
            _rounder(search, one),
            _over_a_size(search, one),
            _name_for_a_number(search, one),
            _hidden_by_epsilon(one),
            _other_factor(one, scales),
            exchanged,
        )
        new = _as_good(search, first, (other for other in more if len(dict(other)) == len(other)), known)
        known, left = known + new, left + new
    return sorted(known, key=_told)


def _told(choices: Set) -> float:
    """How much there is to tell, in names: a number, which is fitted, is more than one, the more the longer it is."""
    numbers = numbers_of(choices)
    return len(choices) - len(numbers) + FOR_A_NUMBER * len(numbers) + sum(_length(number)[0] for number in numbers)


def _no_more(choices: Set, than: Set) -> bool:
    """Whether there is no more to tell; that is a sum of logarithms, which are rounded."""
    length, of_other = _told(choices), _told(than)
    return length < of_other or math.isclose(length, of_other)


def _length(number: Fraction) -> tuple[float, float]:
    """Digits, as a fraction or as a decimal, whichever has fewer: 1/3 is less than 0.333. And how far it is from 1."""
    decimal = (Decimal(number.numerator) / number.denominator).normalize()
    significant = int("".join(map(str, decimal.as_tuple().digits)))
    digits = math.log10(min(significant, abs(number.numerator) * number.denominator))
    return digits, abs(math.log(abs(number)))


def _as_good(search: Search, choices: Set, sets: Iterable[Set], known: Iterable[Set] = ()) -> list[Set]:
    """Those of these sets that do as well as one does; what holds all of it holds more than is needed."""
    new = dict.fromkeys(other for other in sets if not other >= choices and other not in known)
    return [
        other
        for other in search.alike(choices, new)
        if _explains(search, other) and not any(_explains(search, other - {one}) for one in other)
    ]


def _explains(search: Search, choices: Set) -> bool:
    return search.try_set(choices).explains and search.prove(choices).explains


def _exchanged(search: Search, choices: Set) -> Iterator[Set]:
    """One convention in another's place."""
    for cause in sorted(choices):
        rest = choices - {cause}
        taken = {code for code, _ in rest}
        yield from (rest | {single} for single in search.singles if single[0] not in taken)


def _split(search: Search, choices: Set) -> Iterator[Set]:
    """Two factors in place of one, however many others there are."""
    pairs = _products(search, 2)
    for cause in sorted(choices):
        if cause[0] in ALL_FACTORS:
            rest = choices - {cause}
            taken = {code for code, _ in rest}
            yield from (rest | pair for pair in pairs if not taken & {code for code, _ in pair})


def _other_products(search: Search, choices: Set, scales: Scales) -> Iterator[Set]:
    """Any few factors in place of all; two more than there were only where their product alone shows."""
    rest = without_factors(choices)
    if rest == choices:
        return
    for size in range(1, MOST_FACTORS + 1):
        products = _products(search, size)
        yield from (rest | one for one in products if size <= len(choices - rest) + 1 or scales.show(one))


def _number(search: Search, choices: Set) -> Iterator[Set]:
    """One number in place of several factors, which is their product; and numbers in place of a number and a factor."""
    rest = without_factors(choices)
    numbers = frozenset(one for one in choices if is_number("=".join(one)))
    if not numbers and len(choices - rest) > 1:
        yield from fitted(search, rest, search.quick, 1)
    for factor in sorted(choices - rest - numbers) if numbers else ():
        yield from fitted(search, choices - numbers - {factor}, search.quick, len(numbers) + 1)


def _beside_another_number(choices: Set, scales: Scales) -> Iterator[Set]:
    """Another number, alone or beside a factor, in place of a number and up to two factors, if that is no more to tell.

    Any number is some other number times a factor.
    """
    instead = [frozenset[tuple[str, str]](), *_products(scales.search, 1)]
    factors = choices - scales.rest
    for number in sorted(one for one in factors if is_number("=".join(one))):
        others = sorted(factors - {number})
        for replaced in itertools.chain.from_iterable(itertools.combinations(others, size) for size in range(3)):
            kept = choices - {number, *replaced}
            for beside, code in itertools.product(instead, scales.search.stand_in.factors):
                codes = [code, *(of for of, _ in kept | beside)]
                texts = scales.numbers([code], kept | beside) if len(set(codes)) == len(codes) else None
                if texts and _no_more(other := kept | beside | {(code, texts[0])}, choices):
                    yield other


def _two_other_numbers(choices: Set, scales: Scales) -> Iterator[Set]:
    """Two numbers in place of two, alone or beside a factor, if that is no more to tell.

    1.7 of a penalty of which 0.7 is told is 0.7 of it, and 17/7 of that in the gradient.
    """
    instead = [frozenset[tuple[str, str]](), *_products(scales.search, 1)]
    for two in itertools.combinations(sorted(choices - without_numbers(choices)), 2):
        for beside, codes in itertools.product(instead, itertools.combinations(scales.search.stand_in.factors, 2)):
            rest = choices.difference(two) | beside
            taken = [*codes, *(code for code, _ in rest)]
            texts = scales.numbers(codes, rest) if len(set(taken)) == len(taken) else None
            if texts and _no_more(other := rest.union(zip(codes, texts, strict=True)), choices):
                yield other


def _along(choices: Set, other: Set, search: Search) -> Iterator[Set]:
    """A name and other numbers, in the proportion in which two readings differ, if that is no more to tell.

    Plain weights show 0.35 of the rate and 1.4 of a penalty as 0.35 of the loss and 0.49 of the penalty: so do half the
    loss, 0.7 of the rate and 0.7 of the penalty.
    """
    names = without_numbers(choices)
    if names != without_numbers(other):
        return
    ours, theirs = (dict(one - names) for one in (choices, other))
    shares = {code: Fraction(theirs.get(code, "1")) / Fraction(ours.get(code, "1")) for code in {**ours, **theirs}}
    if any(share < 0 for share in shares.values()):  # of another sign: there is nothing between
        return
    apart = {code: math.log(share) for code, share in shares.items()}
    for code, name in search.singles:
        if code in theirs and code not in ours and NAMED.get(name):
            way = math.log(NAMED[name]) / apart[code]
            numbers = {of: float(Fraction(text)) * math.exp(way * apart[of]) for of, text in ours.items()}
            written_so = itertools.product(*([(of, text) for text in simpler(near)] for of, near in numbers.items()))
            sets = (names | {(code, name), *one} for one in written_so)
            yield from (one for one in sets if _no_more(one, choices))


def _rounder(search: Search, choices: Set) -> Iterator[Set]:
    """A number of few digits beside a name, in place of one of many.

    0.6999999895691874 is 0.7 beside a lambda that is not rounded to float32.
    """
    for one in sorted(choices - without_numbers(choices)):
        for few in rounder(Fraction(one[1])):
            yield from (choices - {one} | {(one[0], few), single} for single in search.singles)


def _over_a_size(search: Search, choices: Set) -> Iterator[Set]:
    """A number times a size or the learning rate of the run, beside a factor, if that is a simpler number.

    Of a batch of 5 examples 0.34 is 1.7 over them, and weights alone do not show what is scaled.
    """
    factors, experiment = _products(search, 1), search.stand_in.experiment
    examples = Fraction(experiment.examples or search.evidence.batch)
    by = {Fraction(search.evidence.batch), examples, Fraction(repr(experiment.optimizer.learning_rate))}
    for one in sorted(choices - without_numbers(choices)):
        number = Fraction(one[1])
        for simpler_one in (number * size for size in sorted(by)):
            if _length(simpler_one) < _length(number):
                yield from (choices - {one} | factor | {(one[0], written(simpler_one))} for factor in factors)


def _name_for_a_number(search: Search, choices: Set) -> Iterator[Set]:
    """A name in place of one of two numbers, the other times or over that, if that is no more to tell.

    An optimizer that divides by the size of gradients hides a factor of the loss: then Adam's epsilon is what differs.
    """
    for (code, text), other in itertools.permutations(sorted(choices - without_numbers(choices)), 2):
        rest, number, by = choices - {(code, text), other}, Fraction(text), Fraction(other[1])
        for changed in (number * by, number / by, number):
            sets = (rest | {(code, written(changed)), single} for single in search.singles)
            yield from (one for one in sets if _no_more(one, choices))


def _hidden_by_epsilon(choices: Set) -> Iterator[Set]:
    """A factor of the gradient, penalties included, which the loss that is told has not, in place of an epsilon's.

    k g / (sqrt(k**2 v) + eps) is g / (sqrt(v) + eps / k), and k g / sqrt(k**2 v + eps) is g / sqrt(v + eps / k**2).
    """
    for code, power in (("adam.epsilon_scale", 1), ("rmsprop.epsilon_scale", 2)):
        text = dict(choices).get(code, "")
        if not is_number(f"{code}={text}") or Fraction(text) <= 0:
            continue
        root = Fraction(text) if power == 1 else Fraction(math.sqrt(Fraction(text)))
        k = 1 / root.limit_denominator(_FINE) if root > 1 else (1 / root).limit_denominator(_FINE)
        rest = {one for one in choices if one[0] not in {code, "l2.gradient"}}
        of_loss = rest | {("loss.factor", written(k))}
        for beside in (set(), {("loss.reported", written(1 / k))}):
            yield frozenset(of_loss | beside)
            yield frozenset(of_loss | beside | {("l2.gradient", written(k))})


def _other_factor(choices: Set, scales: Scales) -> Iterator[Set]:
    """One factor in another's place, beside a number."""
    if not numbers_of(choices):
        return
    for cause in sorted(choices - scales.rest):
        rest = choices - {cause}
        yield from filter(scales.allow, (rest | one for one in _products(scales.search, 1)))


def _products(search: Search, size: int) -> list[Set]:
    """Every set of so many factors."""
    factors = search.factors(ALL_FACTORS).values()
    return [
        frozenset(product)
        for several in itertools.combinations(factors, size)
        for product in itertools.product(*several)
    ]
