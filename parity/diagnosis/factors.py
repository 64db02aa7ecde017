"""Factors without a name: a rate that is three times the experiment's, a product of which nobody knows the parts.

Some conventions may be any number (`learning_rate.scale=3`). Which number is not tried but fitted: what the candidate
told is approached from where a set of conventions leads,

    told = taken(1) + sum_c (F_c - 1) (taken(F_c = 2) - taken(1)) + rest,    F by least squares, elements in proportion
                                                                              to the largest of their tensor and step

which is exact where nothing but one factor is missing, since a gradient, a penalty and an update are linear in theirs.
Two of them multiply (a loss, and the rate), so the fit is repeated from where it led (Gauss-Newton). A fit is no proof:
a number counts when the steps repeated with it are the candidate's, like any other choice, and of all numbers that do
the simplest is told. One of many digits is none that anybody wrote down, and is told only where no names explain it:
half a penalty whose lambda was not rounded is 0.5000000111759804 of Keras'.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np

from parity.conventions import convention, is_number
from parity.conventions.entries import is_factor
from parity.diagnosis.evidence import Evidence, Told
from parity.diagnosis.possible import possible_factors
from parity.diagnosis.stand_in import largest
from parity.diagnosis.tried import LEAST, Set, Tried, rank
from parity.diagnosis.used import WORST
from parity.protocol import Array, Key

if TYPE_CHECKING:
    from parity.diagnosis.search import Search

KEPT = 3
"""Of so many fits, the best at first sight, more than the first step is taken."""
ROUNDS = 32
"""Times that a fit is repeated from where it led: near the end each doubles the digits, far from it an epsilon."""
HALVES = 5
"""Ways that are tried from there: the whole, half of it, a quarter and so on."""
SAMPLE = 1000
"""Elements of a tensor that are looked at in each step: all are when it comes to the proof."""
ONE_BY_ONE = 3
"""Numbers that are looked for one after the other."""
ROUNDED = 16
"""Budgets: what is no larger is made of rounding."""
ALIKE = 6
"""So many digits are the same of a number that several tensors ask for."""
STEP = 2.0**-6
"""Relative change of a factor that tells its slope."""
SMALL = 2.0**-10
"""The same of a number that is added."""
NAMED = {"absent": 0.0, "half": 0.5, "double": 2.0}
ROUNDING = 1e-9
"""So near to a number that somebody wrote down is that number, in a fit."""
UNROUNDED = 2.0**-23
"""What rounding to float32 changes of a product of two constants, in proportion."""
CHANCE = 1e-4
"""Of all numbers about one in a thousand is that near to a fraction p / q, times 1 / q**2, by chance."""
NEAR = 1e-3
"""So near to a factor with a name that name is tried."""
SHARES = {"adam.gradient_share", "adam.square_share", "rmsprop.square_share"}
"""Factors of what a beta or rho leaves of 1: it lies between 0 and 1, and so does that of half of it."""
LEAST_ADDED = 1e-10
"""Less of what Keras has none of nobody meant."""
MOMENTA = {"sgd.added_momentum", "rmsprop.added_momentum"}
MOST_MOMENTUM = 1 - 1e-4
"""And no more of a momentum: gradients that nobody clears are one of 1."""
POSITIVE = SHARES | {"adam.epsilon_scale", "rmsprop.epsilon_scale", "rmsprop.momentum"}
SAME_SETTINGS = {
    "adam.epsilon_value": {"adam.epsilon_scale"},
    "adam.betas": {"adam.gradient_share", "adam.square_share"},
    "rmsprop.epsilon_value": {"rmsprop.epsilon_scale"},
    "rmsprop.rho": {"rmsprop.square_share"},
}
"""Beside a convention that gives settings other values no number is sought for these."""
STEPPED = {"adam.gradient_share", "adam.square_share"}
"""Factors of 1 - beta, whose beta is rounded to float32 in beta**t: by up to 3e-5 of 1 - beta where that is 0.001."""
UNROUNDED_CONSTANTS = {"optimizer.constants": "exact"}
"""With which these are smooth."""
DENOMINATORS = (1, 10, 100, 1000)
"""A number is told as the fraction with the smallest of these as a bound that does as well."""


def fitted(search: Search, base: Set, on: Evidence, most: int) -> list[Set]:
    """The set with the fewest numbers beside it that explain this evidence: all of that size, brief ones first."""
    return Fit(search, base, on).explaining(most)


def numbers_of(choices: Set) -> list[Fraction]:
    """The numbers among some choices."""
    return [Fraction(choice) for code, choice in choices if convention(code).is_number(choice)]


def without_numbers(choices: Set) -> Set:
    """What has a name."""
    return frozenset(one for one in choices if not is_number("=".join(one)))


def brief(choices: Set) -> bool:
    """Whether every number is one that somebody may have written down."""
    return all(_fraction(number, DENOMINATORS[-1]) == number for number in numbers_of(choices))


class Fit:
    """Numbers beside one set of conventions."""

    def __init__(self, search: Search, base: Set, on: Evidence) -> None:
        self.search, self.base, self.on = search, base, on
        taken = search.stand_in.take(on, dict(base))
        budgets = search.budgets_of(on, base, taken)
        self.scales = [
            {
                key: _scale(array, budget[key])
                for key, array in piece.items()
                if key in budget and array.dtype.kind == "f"
            }
            for piece, budget in zip(taken, budgets, strict=True)
        ]
        self.told, self.plain = self._vector(on.told), self._vector(taken)
        self.starts, self.allowed = self._rows(taken, budgets)
        set_by = {of for code, _ in base for of in (code, *SAME_SETTINGS.get(code, ()))}
        free = [code for code in possible_factors(search.stand_in, on) if code not in set_by]
        slopes = {code: self._slope(code, {}, self.plain) for code in free}
        self.slopes = {code: slope for code, slope in slopes.items() if slope.any() and np.isfinite(slope).all()}
        self._best: dict[tuple[int, int | None], list[dict[str, float]]] = {}
        self._one_by_one: list[dict[str, float]] | None = None

    def explaining(self, most: int) -> list[Set]:
        """The fewest numbers that explain everything: all sets of that size, brief ones first."""
        for size in range(1, most + 1):
            if any(map(self.simplest, self.best(size, KEPT))):  # then every other that does as well is a reading of it
                found = set(filter(None, map(self.simplest, self.best(size))))
                return sorted(found, key=lambda choices: (not brief(choices), sorted(choices)))
        return list(filter(None, map(self.simplest, self.one_by_one())))

    def nearest(self, most: int) -> list[Tried]:
        """The set with the numbers that leave least, and before it that with fewer: each number is worth it.

        One of two may stand for what is no number: a penalty that one layer lacks is nearly absent, too.
        """
        found = [self.search.try_set(self.base, self.on)]
        for fits in (*(self.best(size, KEPT) for size in range(1, most + 1)), self.one_by_one()):
            if (better := self._better(found[-1], fits)) is not found[-1]:
                found.append(better)
        return found[1:]

    def _better(self, best: Tried, fits: Iterable[dict[str, float]]) -> Tried:
        # What else is wrong may show in the last digits of every fit: what somebody may have written is worth a try.
        sets = [self._written(factors, chance) for factors in fits for chance in (0.0, CHANCE)]
        near = min((self.search.try_set(choices, self.on) for choices in sets), key=rank, default=best)
        return near if near.score < best.score - LEAST else best

    def _written(self, factors: dict[str, float], chance: float) -> Set:
        """The set with these numbers as somebody writes what they nearly are: by a name, or in few digits."""
        near = {(code, self._near(code, factor, chance)) for code, factor in factors.items()}
        return self.base | {(code, number) for code, number in near if number != f"{convention(code).unchanged:g}"}

    def _next_to(self, factors: dict[str, float]) -> Iterator[dict[str, str]]:
        """The fractions next to these numbers, which are others in a smooth fit than beside what Keras rounds."""
        for texts in itertools.product(*(self._told(code, factor) for code, factor in factors.items())):
            yield dict(zip(factors, texts, strict=True))

    def _near(self, code: str, factor: float, chance: float = 0.0) -> str:
        """The simplest that is nearer than rounding, or than any number is to one of so few digits by chance."""
        for text in self._told(code, factor):
            of = Fraction(NAMED[text]) if text in NAMED else Fraction(text)
            if abs(float(of) - factor) <= max(ROUNDING, chance * (1 / of.denominator) ** 2) * max(1, abs(factor)):
                return text
        return repr(factor)

    def one_by_one(self) -> list[dict[str, float]]:
        """Numbers that each explain as many tensors as one number can: one of them, two and so on.

        The least squares of all elements are no number that explains anything, where something else is wrong as well.
        """
        if self._one_by_one is None:
            self._one_by_one = list(self._each_explaining_most())
        return self._one_by_one

    def _each_explaining_most(self) -> Iterator[dict[str, float]]:
        factors: dict[str, float] = {}
        for _ in range(ONE_BY_ONE):
            taken = self._taken(factors) if factors else self.plain
            steps = {code: self._slope(code, factors, taken) for code in self.slopes.keys() - factors.keys()}
            numbers = [(*self._most_explaining(steps[code], taken), code) for code in sorted(steps)]
            if not numbers:
                return
            _, moved, code = min(numbers)
            factors = factors | {code: convention(code).unchanged + moved}
            if not _are_some(factors):
                return
            yield factors

    def _most_explaining(self, slope: Array, taken: Array) -> tuple[float, float]:
        """What is left, as a score, and by how much a factor moves that leaves so little: what one tensor asks for."""
        left = self.told - taken
        with np.errstate(all="ignore"):
            moves = np.add.reduceat(slope * left, self.starts) / np.add.reduceat(slope * slope, self.starts)
            moves = moves[np.isfinite(moves)]
            asked = moves[np.unique(moves.round(ALIKE), return_index=True)[1]]
            scores = [self._left(left - moved * slope) for moved in asked]
        least = int(np.argmin(scores)) if scores else -1
        return (scores[least], float(asked[least])) if scores else (np.inf, 0.0)

    def _left(self, rest: Array) -> float:
        """What a rest comes to, as `Used.score` has it."""
        used = np.maximum.reduceat(np.abs(rest), self.starts) / self.allowed
        return float(np.log10(np.clip(np.nan_to_num(used, nan=WORST), 1, WORST)).sum() / self.on.steps)

    def best(self, size: int, kept: int | None = None) -> list[dict[str, float]]:
        """Which so many factors leave least, and what they are; the best of them at first sight, or all."""
        if (size, kept) not in self._best:
            self._best[size, kept] = list(self._fits(size, kept))
        return self._best[size, kept]

    def _fits(self, size: int, kept: int | None) -> list[dict[str, float]]:
        if not np.isfinite(self.told).all():
            return []
        fits = []
        for codes in itertools.combinations(sorted(self.slopes), size):
            moved, rest = _least_squares([self.slopes[code] for code in codes], self.told - self.plain)
            fits.append((rest, codes, moved))
        fits.sort(key=lambda one: one[0])
        repeated = (self._repeated(codes, moved) for _, codes, moved in fits[:kept])
        return [factors for factors in repeated if _are_some(factors)]  # not where nothing that is added leads nearer

    def _repeated(self, codes: Sequence[str], moved: Array) -> dict[str, float]:
        """The fit from where it led, as long as that leads nearer."""
        factors, taken = np.array([convention(code).unchanged for code in codes]), self.plain
        for _ in range(ROUNDS):
            if (nearer := self._nearer(codes, factors, moved, taken)) is None:
                break
            factors, taken = nearer
            slopes = []
            for index, factor in enumerate(factors):
                other = factors.copy()
                other[index] *= 1 + (step := -STEP if codes[index] in SHARES else STEP)
                slopes.append((self._taken(dict(zip(codes, other.tolist(), strict=True))) - taken) / (factor * step))
            moved, _ = _least_squares(slopes, self.told - taken)
        return dict(zip(codes, factors.tolist(), strict=True))

    def _nearer(self, codes: Sequence[str], factors: Array, moved: Array, taken: Array) -> tuple[Array, Array] | None:
        """As far as it leads nearer: what is divided by its size leads too far at once."""
        for halves in range(HALVES):
            other = factors + moved / 2**halves
            named = dict(zip(codes, other.tolist(), strict=True))
            if not _are_some(named):
                continue
            again = self._taken(named)
            if np.linalg.norm(self.told - again) < np.linalg.norm(self.told - taken):
                return other, again
        return None

    def simplest(self, factors: dict[str, float]) -> Set | None:
        """The set with the simplest numbers that do as well; None where these do not.

        An optimizer that divides by the size of gradients hides a factor of them: its digits are few, and may not do.
        """
        near = {code: self._near(code, factor) for code, factor in factors.items()}
        tried = itertools.chain([_exact(factors), near], self._next_to(factors) if STEPPED & factors.keys() else ())
        if (exact := next(filter(self._explains, tried), None)) is None:
            return None
        for code, factor in factors.items():
            simple = next(
                (text for text in self._told(code, factor) if self._explains(exact | {code: text})), exact[code]
            )
            exact |= {code: simple}
        return self.base.union(exact.items())

    def _told(self, code: str, factor: float) -> Iterator[str]:
        """The name of a choice where that is a factor, and else the number, the simplest first."""
        named = {choice for of, choice in self.search.singles if of == code}
        yield from (name for name, of in NAMED.items() if name in named and abs(factor - of) < NEAR)
        yield from simpler(factor)

    def _explains(self, numbers: dict[str, str]) -> bool:
        return self.search.try_set(self.base.union(numbers.items()), self.on).explains

    def _slope(self, code: str, factors: dict[str, float], taken: Array) -> Array:
        """What one more times a factor changes, where there are these: `taken`. A share has to stay below 1.

        What is added is small beside 1.
        """
        more = -0.5 if code in SHARES else SMALL if convention(code).unchanged == 0 else 1.0
        with np.errstate(invalid="ignore", over="ignore"):
            return (self._taken(factors | {code: convention(code).unchanged + more}) - taken) / more

    def _taken(self, factors: dict[str, float]) -> Array:
        smooth = UNROUNDED_CONSTANTS if STEPPED & factors.keys() else {}
        return self._vector(self.search.stand_in.take(self.on, smooth | dict(self.base) | _exact(factors)))

    def _vector(self, told: Told) -> Array:
        """Some elements of each tensor that the candidate tells, in proportion to the largest of its step."""
        return np.concatenate(list(self._elements(told)) or [np.zeros(0)])

    def _elements(self, told: Told) -> Iterator[Array]:
        for of_piece, scales in zip(self._some(told), self.scales, strict=True):
            for key, some in of_piece:
                with np.errstate(invalid="ignore", over="ignore"):
                    yield np.divide(some, scales[key], out=some, where=scales[key] > 0).ravel()

    def _rows(self, told: Told, budgets: Told) -> tuple[Array, Array]:
        """Where in the vector each tensor of each step begins, and its budget in proportion to the same."""
        lengths, allowed = [], []
        for of_piece, scales, budget in zip(self._some(told), self.scales, budgets, strict=True):
            for key, some in of_piece:
                lengths += [some.shape[1]] * len(some)
                allowed.append(budget[key] / np.where(scales[key] > 0, scales[key], 1)[:, 0])
        return np.cumsum([0, *lengths[:-1]]), np.concatenate(allowed or [np.zeros(0)])

    def _some(self, told: Told) -> Iterator[list[tuple[Key, Array]]]:
        """Of each piece the tensors that the candidate tells: (steps, some elements)."""
        for piece, scales in zip(told, self.scales, strict=True):
            rows = {
                key: piece[key].reshape(len(piece[key]), -1)
                for key in self.search.keys
                if key in piece and key in scales
            }
            yield [(key, of[:, :: max(1, of.shape[1] // SAMPLE)].astype(np.float64)) for key, of in rows.items()]


def _scale(array: Array, budget: Array) -> Array:
    """The largest of each step; none of a step that is all rounding, as sums are that come to zero."""
    size = largest(array)
    return np.where(size > ROUNDED * budget, size, 0)[:, None]


def _exact(factors: Mapping[str, float]) -> dict[str, str]:
    return {code: repr(factor) for code, factor in factors.items()}


def _are_some(factors: dict[str, float]) -> bool:
    """Whether each is a number that something can be multiplied by; what is 0 times is absent, and that has a name."""
    return all(is_factor(repr(factor)) and _may_be(code, factor) for code, factor in factors.items())


def _may_be(code: str, factor: float) -> bool:
    if convention(code).unchanged == 0:
        return factor > LEAST_ADDED and (factor < MOST_MOMENTUM or code not in MOMENTA)
    return factor > 0 or code not in POSITIVE


def _least_squares(slopes: Sequence[Array], apart: Array) -> tuple[Array, float]:
    """Factors of the slopes, and what they leave of `apart`."""
    columns = np.stack(slopes, axis=1)
    if not np.isfinite(columns).all():
        return np.zeros(len(slopes)), np.inf
    moved = np.linalg.lstsq(columns, apart, rcond=None)[0]
    return moved, float(np.linalg.norm(apart - columns @ moved))


def simpler(factor: float) -> Iterator[str]:
    """Fractions near a number, the simplest first; as a decimal where that has few digits."""
    nearest = (_fraction(Fraction(factor), bound) for bound in DENOMINATORS)
    yield from map(written, dict.fromkeys(filter(None, nearest)))


def _fraction(number: Fraction, bound: int) -> Fraction:
    """The nearest with such a denominator; of a number that is small beside that one over such a fraction."""
    if 0 < abs(number) * DENOMINATORS[-1] < 1:
        return 1 / (1 / number).limit_denominator(bound)
    return number.limit_denominator(bound)


def rounder(number: Fraction) -> list[str]:
    """Numbers of few digits, of which rounding constants to float32 may have made this one; the simplest first."""
    return [few for few in simpler(float(number)) if 0 < abs(Fraction(few) / number - 1) < UNROUNDED]


def written(number: Fraction) -> str:
    """As a decimal where that has few digits, and else as a fraction."""
    short = number.denominator > 1 and (number * DENOMINATORS[-1]).denominator == 1
    small = abs(number) * DENOMINATORS[-1] < 1 and Fraction(f"{float(number):.2g}") == number
    return repr(float(number)) if short or small else str(number)
