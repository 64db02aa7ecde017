"""By how much factors scale what is told: what rules products of them out without trying, and fits numbers to them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from fractions import Fraction

import numpy as np

from parity.conventions import is_number
from parity.diagnosis.evidence import OfPiece, Told
from parity.diagnosis.factors import NAMED, simpler
from parity.diagnosis.search import FACTORS, Search
from parity.diagnosis.tried import Set
from parity.protocol import Array, Key

ENOUGH = 256
"""Examples of a batch: by how much factors scale shows in so many as in all."""
SAME = 1e-4
"""So near are two factors that are one, in either precision."""
LARGEST = math.log(1e6)
"""The logarithm of what nobody multiplies by: larger is what rounding asks for, where nothing shows."""

# Conventions that are factors, also of what is told beside the update, or of a smaller last batch alone.
ALL_FACTORS = (*FACTORS, "loss.reported", "data.partial_batch")


class _Certain:
    """By how much one factor scales what no more has changed of."""

    def __init__(self, scale: Array) -> None:
        self.scale, self.known = scale, ~np.isnan(scale)
        self.moves = np.abs(scale) > SAME


class Scales:
    """By how much factors scale what is told, as far as they do no more: those of a product multiply.

    A bias that has no penalty moves as its gradient and the rate say, so that most products of other factors can be
    ruled out without trying them.
    """

    def __init__(self, search: Search, choices: Set) -> None:
        self.search, self.rest = search, without_factors(choices)
        self.evidence = search.quick.thin(ENOUGH)
        self.told = search.stand_in.take(self.evidence, dict(self.rest))
        options = [one for of_code in search.factors(ALL_FACTORS).values() for one in of_code]
        single = [np.full(len(of[key]), _is_part(key)) for of in self.told for key in self._keys(of)]
        self._sure = ~np.concatenate(single)
        self.loose = {one: self._scale(self.rest | {one}) for one in (*options, *sorted(choices - self.rest))}
        """Also of parts of a loss, of which nobody can see that no more has changed."""
        self.needed_loose = self._scale(choices)
        self.needed = np.where(self._sure, self.needed_loose, np.nan)
        self._known = ~np.isnan(self.needed)
        self._certain: dict[tuple[str, str], _Certain] = {}
        self._slopes: dict[str, Array | None] = {}

    def allow(self, choices: Set) -> bool:
        """Whether a set may do as well; one that has other conventions beside its factors may."""
        factors = choices - self.rest
        if not self.rest <= choices or not all(one in self.loose or is_number("=".join(one)) for one in factors):
            return True
        off = sum(self._of(one).scale for one in sorted(factors)) - self.needed
        return bool((np.isnan(off) | (np.abs(off) < SAME)).all())

    def show(self, factors: Set) -> bool:
        """Whether each of these is seen to scale something of which nothing but their product shows."""
        certain = [self._of(one) for one in factors]
        seen = np.logical_and.reduce([self._known, *(one.known for one in certain)])
        return all((one.moves & seen).any() for one in certain)

    def numbers(self, codes: Sequence[str], beside: Set) -> list[str] | None:
        """Which numbers of these conventions make up what is needed beside others.

        None where none of few digits do, or where they are not told apart.
        """
        slopes = [slope for code in codes if (slope := self._slope(code)) is not None]
        if len(slopes) < len(codes):
            return None
        columns = np.stack(slopes, axis=1)
        off = self.needed_loose - sum(self._loose(one) for one in sorted(beside - self.rest))
        known = ~np.isnan(off) & ~np.isnan(columns).any(axis=1)
        # A loss that is told of another time changes by more than a factor, in parts as well.
        numbers = (self._numbers(off[of], columns[of]) for of in (known, known & self._sure))
        return next(filter(None, numbers), None)

    def _numbers(self, off: Array, slopes: Array) -> list[str] | None:
        count = slopes.shape[1]
        if len(off) < count or not (np.abs(slopes).max(axis=0) >= SAME).all():
            return None
        powers, _, rank, _ = np.linalg.lstsq(slopes, off, rcond=SAME)
        if rank < count or not (np.abs(off - slopes @ powers) < SAME).all():
            return None
        texts = [text for power in powers.tolist() if (text := _written(power)) is not None]
        return texts if len(texts) == count else None

    def _of(self, one: tuple[str, str]) -> _Certain:
        if one not in self._certain:
            self._certain[one] = _Certain(np.where(self._sure, self._loose(one), np.nan))
        return self._certain[one]

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


def _written(power: float) -> str | None:
    """The number of few digits that has this logarithm; None where it has a name."""
    if not SAME < abs(power) < LARGEST:
        return None
    factor = math.exp(power)
    if any(abs(factor - of) < SAME for of in NAMED.values()):
        return None
    return next((text for text in simpler(factor) if abs(math.log(Fraction(text)) - power) < SAME), None)


def _is_part(key: Key) -> bool:
    """Whether it is what the data or a penalty adds to the loss."""
    return key.phase == "loss" and key.part != "whole"


def without_factors(choices: Set) -> Set:
    """Conventions that are no factors."""
    return frozenset((code, choice) for code, choice in choices if code not in ALL_FACTORS)
