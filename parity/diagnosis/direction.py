"""How much of a step stays unexplained whatever its factors are.

A gradient, and what SGD makes of it, is the sum of what the data gives and what a penalty gives. A mean where a sum
should be, half a penalty, another rate: each of these scales a part. So the candidate's step is fitted, tensor by
tensor, with multiples of the step that was taken and of the penalty in it,

    candidate = a * taken + b * penalty + rest,    a and b by least squares over steps of the same size,

where an optimizer with momentum adds up penalties as it does gradients, `sum_k mu**k penalty(t - k)`. The rest is what
no factor accounts for. It vanishes as soon as all but factors is found, which the plain difference does not show while
one factor is missing; and how far a is from 1 and b from 0 says how much the factors still lack. Both only rank what is
tried next: Adam and RMSprop are not linear, and nothing is proved by a fit.

Thousands of sets are tried, most of them in small networks, whose tensors are therefore fitted side by side: the parts
of a step are rows as long as all of them together, and a sum over a tensor is a sum over a part of a row.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from parity.diagnosis.evidence import Evidence, OfPiece, Told
from parity.diagnosis.used import Used
from parity.protocol import Array, Key, Records

FARTHEST = 3.0
"""What a factor counts for that has the wrong sign or is far from 1, in powers of ten."""
TOGETHER = 2**16
"""Elements of a step that are fitted side by side at most, unless a single tensor has more."""
DEPENDENT = 1e-10
"""A part of which others leave no more than that share has nothing of its own."""


@dataclass(frozen=True)
class Fit:
    """What is left when every factor may be another."""

    used: Used
    factors: float
    """How far these are from what they should be, in powers of ten, over all tensors."""


NOTHING = Fit(Used((), np.zeros((0, 0))), 0.0)


class Fitting:
    """Fits steps to those of one piece of evidence after another."""

    def __init__(self, evidence: Evidence, momentum: float) -> None:
        self.momentum = momentum
        self.pieces = [(piece, piece.states_before()) for piece in evidence.pieces]
        self._kept: dict[tuple[int, tuple[Key, ...]], tuple[Array, Array]] = {}

    def fit(self, taken: Told, budgets: Told, used: Used) -> Fit:
        """`used`, with what a fit leaves of weights and their gradients; of other gradients these say enough."""
        weights = [key for key in used if _is_weight(key)]
        keys = [key for key in used if key.phase != "gradient" or _is_weight(key)]
        rows = {key: row for row, key in enumerate(keys)}
        shares, factors = np.array([used[key] for key in keys]), 0.0
        first = 0
        for (piece, before), again, budget in zip(self.pieces, taken, budgets, strict=True):
            steps = slice(first, first := first + len(piece))
            for group in _groups(weights, again):
                target, start = self._of_candidate(piece, before, group)
                parts = [_moved(_side_by_side(again, group), start), *self._penalties(again, group)]
                rest, apart = _fitted(target, parts, [again[key][0].size for key in group])
                allowed = np.array([budget[key] for key in group])
                # A rest where nothing may be left is infinitely much, and so is one of a step that overflowed.
                with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                    share = np.divide(rest, allowed, out=np.zeros(rest.shape), where=~(rest <= 0))
                shares[[rows[key] for key in group], steps] = np.where(np.isnan(share), np.inf, share)
                factors += apart
        return Fit(Used(keys, shares), factors)

    def _of_candidate(self, piece: Records, before: Mapping[Key, Array], group: tuple[Key, ...]) -> tuple[Array, Array]:
        """The candidate's step, and what it began from: a gradient is all made in its step."""
        if (piece.first_step, group) not in self._kept:
            begins = {key: before.get(key, np.zeros_like(piece.arrays[key])) for key in group}
            start = _side_by_side(begins, group)
            self._kept[piece.first_step, group] = _moved(_side_by_side(piece.arrays, group), start), start
        return self._kept[piece.first_step, group]

    def _penalties(self, taken: OfPiece, group: tuple[Key, ...]) -> list[Array]:
        """What the penalty gives to each tensor, and to the momentum that it is added up in."""
        of_key = {key: taken.get(Key("gradient", key.tensor, "penalty")) for key in group}
        if not any(penalty is not None and penalty.any() for penalty in of_key.values()):
            return []
        penalties = _side_by_side(
            {key: np.zeros_like(taken[key]) if penalty is None else penalty for key, penalty in of_key.items()}, group
        )
        if not self.momentum:
            return [penalties]
        carried = np.repeat([key.phase == "update" for key in group], [taken[key][0].size for key in group])
        summed = penalties.copy()
        for step in range(1, len(summed)):
            summed[step] += self.momentum * carried * summed[step - 1]
        return [summed, penalties * carried]


def _is_weight(key: Key) -> bool:
    return key.phase in {"gradient", "update"} and key.tensor.endswith(("/kernel", "/bias"))


def _groups(keys: Sequence[Key], taken: OfPiece) -> Iterator[tuple[Key, ...]]:
    """Tensors that are fitted side by side."""
    sums = itertools.accumulate(taken[key][0].size for key in keys)
    for _, group in itertools.groupby(zip(keys, sums, strict=True), lambda one: one[1] // TOGETHER):
        yield tuple(key for key, _ in group)


def _side_by_side(arrays: OfPiece, group: tuple[Key, ...]) -> Array:
    """(steps, elements of all): the tensors of every step in a row."""
    with np.errstate(over="ignore"):
        return np.concatenate([arrays[key].reshape(len(arrays[key]), -1) for key in group], axis=1, dtype=np.float64)


def _moved(after: Array, before: Array) -> Array:
    """What a step made of what it began from: no number where that was infinite before and still is.

    Of a tensor with such an element all is left over (`_fitted`).
    """
    with np.errstate(invalid="ignore", over="ignore"):
        return after - before


def _fitted(target: Array, parts: Sequence[Array], sizes: Sequence[int]) -> tuple[Array, float]:
    """The largest rest of each tensor at every step, and how far all the factors are from what they should be.

    That is 1 for the first part and 0 for the others.
    """
    tensors = _Tensors(sizes)
    with np.errstate(all="ignore"):
        lengths, whole = [tensors.length(part) for part in parts], tensors.length(target)
        units, shares = _orthogonal(parts, lengths, tensors)
        rest, products = target, []
        for unit in units:
            products.append(tensors.product(unit, rest))
            rest = rest - tensors.each(products[-1]) * unit
        first, *others = _factors(products, shares)
        apart = np.abs(np.log10(np.divide(first, lengths[0], out=np.zeros(len(sizes)), where=lengths[0] > 0)))
        apart = np.where(first > 0, np.minimum(apart, FARTHEST), FARTHEST)
        corrected = np.sum(np.abs(others), axis=0) / np.maximum(whole, np.finfo(float).tiny)
        apart += np.minimum(corrected, FARTHEST)
        left = np.maximum.reduceat(np.abs(rest), tensors.starts, axis=1).T
    numbers = np.isfinite([whole, *lengths]).all(axis=0)
    left[~numbers], apart[~numbers] = np.inf, FARTHEST
    apart[numbers & (whole == 0) & (lengths[0] == 0)] = 0
    return left, float(apart.sum())


class _Tensors:
    """Sums over each of several tensors that stand in a row."""

    def __init__(self, sizes: Sequence[int]) -> None:
        self.sizes, self.starts = sizes, np.concatenate([[0], np.cumsum(sizes)[:-1]])

    def product(self, one: Array, other: Array) -> Array:
        return np.add.reduceat((one * other).sum(axis=0), self.starts)

    def length(self, one: Array) -> Array:
        return np.sqrt(self.product(one, one))

    def each(self, of_tensor: Array) -> Array:
        """For every element what its tensor has."""
        return np.repeat(of_tensor, self.sizes)


def _orthogonal(
    parts: Sequence[Array], lengths: Sequence[Array], tensors: _Tensors
) -> tuple[list[Array], list[list[Array]]]:
    """Parts of length 1 that are orthogonal, and what of each part those before it have and what is its own.

    Gram and Schmidt, each twice, after which rounding is all that is left. A part that depends on those before it has
    nothing of its own.
    """
    units: list[Array] = []
    shares: list[list[Array]] = []
    for part, length in zip(parts, lengths, strict=True):
        rest = part / tensors.each(np.where(length > 0, length, 1))
        taken = [np.zeros(len(length)) for _ in units]
        for _ in range(2):
            for index, unit in enumerate(units):
                product = tensors.product(unit, rest)
                taken[index] = taken[index] + product
                rest = rest - tensors.each(product) * unit
        own = tensors.length(rest)
        own[~(own > DEPENDENT)] = 0
        units.append(rest * tensors.each(np.divide(1, own, out=np.zeros(len(own)), where=own > 0)))
        shares.append([*taken, own])
    return units, shares


def _factors(products: Sequence[Array], shares: Sequence[Sequence[Array]]) -> list[Array]:
    """Of each part of length 1 how much there is, the last part first known."""
    factors: list[Array] = []
    for index in reversed(range(len(products))):
        later = zip(shares[index + 1 :], factors, strict=True)
        own = products[index] - sum(share[index] * factor for share, factor in later)
        factors.insert(0, np.divide(own, shares[index][index], out=np.zeros(len(own)), where=shares[index][index] > 0))
    return factors
