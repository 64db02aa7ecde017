"""What else explains as much: the sets of conventions that this evidence cannot tell from one that was proved.

A part of a set is exchanged for another:

    one convention for another
    one factor for two
    all factors for any few others, or for a number: only their product is seen
    a number and up to two factors for a simpler number, alone or beside a factor
    a number of many digits for one of few, beside a name
    a number for a simpler one over a size, or the learning rate, of the run
    two numbers for their product or quotient, beside a name

Each set that takes the candidate's steps, with nothing in it that explains nothing, is a reading of what was found; and
so is what several such exchanges at once make of it.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from fractions import Fraction

import numpy as np

from parity.conventions import is_number
from parity.diagnosis.evidence import OfPiece, Told
from parity.diagnosis.factors import NAMED, fitted, numbers_of, simpler, without_numbers, written
from parity.diagnosis.search import FACTORS, Search
from parity.diagnosis.tried import Set
from parity.protocol import Array, Key

MOST = 12
"""Exchanges are put together until there are so many readings."""
MOST_FACTORS = 3
"""So many at once are tried as a product."""

ENOUGH = 256
"""Examples of a batch: by how much factors scale shows in so many as in all."""

IN_FLOAT32 = 2.0**-23
"""What rounding to float32 changes of a product of two constants, in proportion."""

SAME = 1e-4
"""So near are two factors that are one, in either precision."""

LARGEST = math.log(1e6)
"""The logarithm of what nobody multiplies by: larger is what rounding asks for, where nothing shows."""

FOR_A_NUMBER = 1.5
"""Names that a number counts for, beside its digits."""

# Conventions that are factors, also of what is told beside the update, or of a smaller last batch alone.
ALL_FACTORS = (*FACTORS, "loss.reported", "data.partial_batch")

# Sets that are the same in other words, and how they are told: a half in the loss and a half in the gradient are half a
# penalty; and where no penalty is told, nobody asks what it would be. Runs with an l2 of outputs, which `l2.penalty` is
# about as well, or an l1 of kernels, which is told in any case, know them apart. Where biases alone have a penalty, or
# outputs alone, what is about every l2, or every l1, is about theirs. A derivative that is wrong in hidden layers alone
# is wrong in all that have one, where the output is linear or the loss skips its activation; one that is missing in one
# hidden layer is missing in all, where it is the only one; the first of two layers is all but the last; and of two
# classes each is the next of the other.
UNTOLD, MISSING = ("l2.reported", "absent"), ("gradient.hidden_activation", "missing")
REWORDED: tuple[tuple[Set, Set], ...] = (
    (frozenset({("l2.gradient", "half"), ("l2.reported", "half")}), frozenset({("l2.penalty", "half")})),
    (frozenset({("l2.gradient", "half"), UNTOLD}), frozenset({("l2.penalty", "half"), UNTOLD})),
    (frozenset({("l2.gradient", "absent"), UNTOLD}), frozenset({("l2.penalty", "absent")})),
    (frozenset({("l2.bias", "in_gradient"), UNTOLD}), frozenset({("l2.bias", "included"), UNTOLD})),
    *(
        (frozenset({("l2.gradient", by), UNTOLD}), frozenset({("l2.scale", by), UNTOLD}))
        for by in ("over_batch", "over_dataset")
    ),
    *(
        (frozenset({(f"{of}.gradient", gone), (f"{of}.reported", gone)}), frozenset({(f"{of}.penalty", gone)}))
        for of, gone in (("l1", "absent"), ("activity", "absent"))
    ),
    *(
        (frozenset({(f"{of}.{what}", choice)}), frozenset({better}))
        for of in ("l2", "l1")
        for what, choice, better in (
            ("penalty", "absent", ("bias.penalty", "absent")),
            ("gradient", "absent", ("bias.penalty", "in_loss")),
            ("reported", "absent", ("bias.penalty", "in_gradient")),
            ("penalty", "absent", ("activity.penalty", "absent")),
            ("penalty", "half", ("activity.penalty", "half")),
            ("reported", "absent", ("activity.reported", "absent")),
        )
    ),
    (frozenset({("gradient.batch", "sum"), ("loss.reported", "sum_batch")}), frozenset({("loss.batch", "sum")})),
    (
        frozenset({("gradient.batch", "sum"), ("gradient.kernel", "mean")}),
        frozenset({("gradient.bias", "not_averaged")}),
    ),
    *(
        (frozenset({("gradient.derivative", f"hidden_{where}")}), frozenset({("gradient.derivative", where)}))
        for where in ("at_output", "of_input")
    ),
    *(
        (frozenset({("gradient.hidden_activation", f"missing_in_{which}")}), frozenset({MISSING}))
        for which in ("first", "second", "third")
    ),
    *(
        (frozenset({(code, f"only_{one}")}), frozenset({(code, f"not_{other}")}))
        for code, one, other in (
            ("update.layers", "first", "last"),
            ("update.layers", "last", "first"),
            ("l2.layers", "first", "last"),
            ("l2.layers", "first", "second"),
            ("l2.layers", "last", "first"),
            ("l2.layers", "last", "second"),
        )
    ),
    *(
        (frozenset({("adam.step", f"per_tensor_{order}")}), frozenset({("adam.step", "per_tensor")}))
        for order in ("backwards", "kernels_first")
    ),
    (frozenset({("data.labels", "shifted_down")}), frozenset({("data.labels", "shifted")})),
)


def readings(search: Search, found: Sequence[Set]) -> list[Set]:
    """The sets that were found and every other that does as well, what is told with the least first."""
    first, scales = found[0], _Scales(search, found[0])
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
            _rounder(search, one),
            _over_a_size(search, one),
            _name_for_a_number(search, one),
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


def _length(number: Fraction) -> tuple[float, float]:
    """Digits, as a fraction or as a decimal, whichever has fewer: 1/3 is less than 0.333. And how far it is from 1."""
    decimal = (Decimal(number.numerator) / number.denominator).normalize()
    significant = int("".join(map(str, decimal.as_tuple().digits)))
    digits = math.log10(min(significant, abs(number.numerator) * number.denominator))
    return digits, abs(math.log(abs(number)))


def reworded(sets: Sequence[Set]) -> list[Set]:
    """The same readings, and only one of those that are the same in other words."""
    known = set(sets)

    def in_better_words(one: Set) -> Set:
        for said, better in REWORDED:
            if said <= one and (other := (one - said) | better) in known:
                return in_better_words(other)
        return one

    return list(dict.fromkeys(map(in_better_words, sets)))


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


class _Scales:
    """By how much factors scale what is told, as far as they do no more: those of a product multiply.

    A bias that has no penalty moves as its gradient and the rate say, so that most products of other factors can be
    ruled out without trying them.
    """

    def __init__(self, search: Search, choices: Set) -> None:
        self.search, self.rest = search, _others(choices)
        self.evidence = search.quick.thin(ENOUGH)
        self.told = search.stand_in.take(self.evidence, dict(self.rest))
        options = [one for of_code in search.factors(ALL_FACTORS).values() for one in of_code]
        single = [np.full(len(of[key]), _is_part(key)) for of in self.told for key in self._keys(of)]
        self._sure = ~np.concatenate(single)
        self.loose = {one: self._scale(self.rest | {one}) for one in (*options, *sorted(choices - self.rest))}
        """Also of parts of a loss, of which nobody can see that no more has changed."""
        self.needed_loose = self._scale(choices)
        self.needed = np.where(self._sure, self.needed_loose, np.nan)
        self._slopes: dict[str, Array | None] = {}

    def allow(self, choices: Set) -> bool:
        """Whether a set may do as well; one that has other conventions beside its factors may."""
        factors = choices - self.rest
        if not self.rest <= choices or not all(one in self.loose or is_number("=".join(one)) for one in factors):
            return True
        off = sum(self._of(one) for one in sorted(factors)) - self.needed
        return bool((np.isnan(off) | (np.abs(off) < SAME)).all())

    def show(self, factors: Set) -> bool:
        """Whether each of these is seen to scale something of which nothing but their product shows."""
        seen = ~np.isnan(self.needed + sum(self._of(one) for one in sorted(factors)))
        return all((np.abs(self._of(one)[seen]) > SAME).any() for one in factors)

    def number(self, code: str, beside: Set) -> str | None:
        """Which number of this convention makes up what is needed beside others; None where none of few digits does."""
        if (slope := self._slope(code)) is None:
            return None
        off = self.needed_loose - sum(self._loose(one) for one in sorted(beside - self.rest))
        known = ~np.isnan(off) & ~np.isnan(slope)
        # A loss that is told of another time changes by more than a factor, in parts as well.
        numbers = (self._number(off[of], slope[of]) for of in (known, known & self._sure))
        return next(filter(None, numbers), None)

    def _number(self, off: Array, slope: Array) -> str | None:
        if not off.size:
            return None
        steepest = int(np.abs(slope).argmax())
        if abs(slope[steepest]) < SAME:
            return None
        power = float(off[steepest] / slope[steepest])
        if not (np.abs(off - power * slope) < SAME).all() or not SAME < abs(power) < LARGEST:
            return None
        factor = math.exp(power)
        if any(abs(factor - of) < SAME for of in NAMED.values()):
            return None  # it has a name
        return next((text for text in simpler(factor) if abs(math.log(Fraction(text)) - power) < SAME), None)

    def _of(self, one: tuple[str, str]) -> Array:
        return np.where(self._sure, self._loose(one), np.nan)

    def _loose(self, one: tuple[str, str]) -> Array:
        if one not in self.loose:
            self.loose[one] = self._scale(self.rest | {one})
        return self.loose[one]

    def _slope(self, code: str) -> Array | None:
        """How the scale goes with the logarithm of a number; None where no number may be chosen."""
        if code not in self._slopes:
            possible = any(single[0] == code for single in self.search.singles)
            self._slopes[code] = self._scale(self.rest | {(code, "2")}) / math.log(2) if possible else None
        return self._slopes[code]

    def _scale(self, choices: Set) -> Array:
        """The logarithm of the factor by which each tensor of each step is scaled; NaN where more has changed.

        So it is where a single number is the sum of what may change: some factor is between any two.
        """
        return np.concatenate(list(self._scales(self.search.stand_in.take(self.evidence, dict(choices)))))

    def _scales(self, told: Told) -> Iterator[Array]:
        for piece, plain, other in zip(self.evidence.pieces, self.told, told, strict=True):
            before = piece.states_before()
            for key in self._keys(plain):
                if key not in other:  # nobody tells of a penalty that there is not
                    yield np.full(len(plain[key]), np.nan)
                    continue
                start = before.get(key, 0.0)
                one, scaled = ((array - start).reshape(len(array), -1) for array in (plain[key], other[key]))
                with np.errstate(all="ignore"):
                    factor = (one * scaled).sum(axis=1) / (one * one).sum(axis=1)
                    rest = np.abs(scaled - factor[:, None] * one).max(axis=1, initial=0.0)
                    same = (rest <= SAME * np.abs(one).max(axis=1, initial=0.0)) & (factor > 0)
                    many = one.shape[1] > 1 or _is_part(key)
                    yield np.where(same & many, np.log(factor), np.nan)

    def _keys(self, told: OfPiece) -> list[Key]:
        return [key for key in self.search.keys if key in told and told[key].dtype.kind == "f"]


def _is_part(key: Key) -> bool:
    """Whether it is what the data or a penalty adds to the loss."""
    return key.phase == "loss" and key.part != "whole"


def _others(choices: Set) -> Set:
    """Conventions that are no factors."""
    return frozenset((code, choice) for code, choice in choices if code not in ALL_FACTORS)


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


def _other_products(search: Search, choices: Set, scales: _Scales) -> Iterator[Set]:
    """Any few factors in place of all; two more than there were only where their product alone shows."""
    rest = _others(choices)
    if rest == choices:
        return
    for size in range(1, MOST_FACTORS + 1):
        products = _products(search, size)
        yield from (rest | one for one in products if size <= len(choices - rest) + 1 or scales.show(one))


def _number(search: Search, choices: Set) -> Iterator[Set]:
    """One number in place of several factors, which is their product; and numbers in place of a number and a factor."""
    rest = _others(choices)
    numbers = frozenset(one for one in choices if is_number("=".join(one)))
    if not numbers and len(choices - rest) > 1:
        yield from fitted(search, rest, search.quick, 1)
    for factor in sorted(choices - rest - numbers) if numbers else ():
        yield from fitted(search, choices - numbers - {factor}, search.quick, len(numbers) + 1)


def _beside_another_number(choices: Set, scales: _Scales) -> Iterator[Set]:
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
                text = scales.number(code, kept | beside) if len(set(codes)) == len(codes) else None
                if text and _told(other := kept | beside | {(code, text)}) <= _told(choices):
                    yield other


def _rounder(search: Search, choices: Set) -> Iterator[Set]:
    """A number of few digits beside a name, in place of one of many.

    0.6999999895691874 is 0.7 beside a lambda that is not rounded to float32.
    """
    for code, text in sorted(choices - without_numbers(choices)):
        number = Fraction(text)
        for few in simpler(float(number)):
            if 0 < abs(Fraction(few) / number - 1) < IN_FLOAT32:
                yield from (choices - {(code, text)} | {(code, few), single} for single in search.singles)


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
            yield from (one for one in sets if _told(one) <= _told(choices))


def _other_factor(choices: Set, scales: _Scales) -> Iterator[Set]:
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
