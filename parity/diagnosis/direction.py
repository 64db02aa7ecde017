"""How much of a step stays unexplained whatever its factors are.

A gradient, and what SGD makes of it, is the sum of what the data gives and what a penalty gives. A mean where a sum
should be, half a penalty, another rate: each of these scales a part. So the candidate's step is fitted, tensor by
tensor, with multiples of the step that was taken and of the penalty in it,

    candidate = a * taken + b * penalty + rest,    a and b by least squares over steps of the same size,

where an optimizer with momentum adds up penalties as it does gradients, `sum_k mu**k penalty(t - k)`. The rest is what
no factor accounts for. It vanishes as soon as all but factors is found, which the plain difference does not show while
one factor is missing; and how far a is from 1 and b from 0 says how much the factors still lack. Both only rank what is
tried next: Adam and RMSprop are not linear, and nothing is proved by a fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from parity.diagnosis.evidence import Evidence
from parity.diagnosis.stand_in import Told, Used
from parity.protocol import Array, Key

FARTHEST = 3.0
"""What a factor counts for that has the wrong sign or is far from 1, in powers of ten."""


@dataclass(frozen=True)
class Fit:
    """What is left when every factor may be another."""

    used: Used
    factors: float
    """How far these are from what they should be, in powers of ten, over all tensors."""


class Fitting:
    """Fits steps to those of one piece of evidence after another."""

    def __init__(self, evidence: Evidence, momentum: float) -> None:
        self.momentum = momentum
        self.pieces = [
            (piece.arrays, {key: before for key, before in piece.states_before().items() if _is_weight(key)})
            for piece in evidence.pieces
        ]

    def fit(self, taken: Told, budgets: Told, used: Used) -> Fit:
        """`used`, with what a fit leaves of weights and their gradients; of other gradients these say enough."""
        left: dict[Key, list[Array]] = {key: [] for key in used if _is_weight(key)}
        factors = 0.0
        for (arrays, before), again, budget in zip(self.pieces, taken, budgets, strict=True):
            for key, of_key in left.items():
                start = before.get(key, 0.0)
                # A rest where nothing may be left is infinitely much, and so is one of a step that overflowed.
                with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                    parts = [again[key] - start, *self._penalties(again, key)]
                    rest, apart = _fitted(arrays[key] - start, parts)
                    share = np.divide(rest, budget[key], out=np.zeros(len(rest)), where=~(rest <= 0))
                of_key.append(np.where(np.isnan(share), np.inf, share))
                factors += apart
        others = {key: of_key for key, of_key in used.items() if key.phase != "gradient"}
        return Fit(others | {key: np.concatenate(of_key) for key, of_key in left.items()}, factors)

    def _penalties(self, taken: Mapping[Key, Array], key: Key) -> Iterable[Array]:
        """What the penalty gives to a tensor, and to the momentum that it is added up in."""
        penalty = taken.get(Key("gradient", key.tensor, "penalty"))
        if penalty is None or not penalty.any():
            return []
        if not self.momentum or key.phase == "gradient":
            return [penalty]
        summed = penalty.copy()
        for step in range(1, len(summed)):
            summed[step] += self.momentum * summed[step - 1]
        return [summed, penalty]


def _is_weight(key: Key) -> bool:
    return key.phase in {"gradient", "update"} and key.tensor.endswith(("/kernel", "/bias"))


def _fitted(made: Array, parts: Iterable[Array]) -> tuple[Array, float]:
    """The largest rest at every step, and how far the factors are from 1 for the first part and 0 for the others."""
    with np.errstate(all="ignore"):
        columns = np.stack([part.ravel() for part in parts], axis=1).astype(np.float64)
        target, steps = made.ravel().astype(np.float64), len(made)
        sizes = np.sqrt((columns**2).sum(axis=0))
        if not (np.isfinite(sizes).all() and np.isfinite(target).all()):
            return np.full(steps, np.inf), FARTHEST
        columns, sizes = columns[:, sizes > 0], sizes[sizes > 0]
        if not len(sizes):
            return np.abs(made).reshape(steps, -1).max(axis=1, initial=0.0), FARTHEST if target.any() else 0.0
        parts_of = np.linalg.lstsq(columns / sizes, target, rcond=None)[0]
        rest = np.abs(target - columns @ (parts_of / sizes)).reshape(steps, -1).max(axis=1)
        first = parts_of[0] / sizes[0]
        apart = min(abs(np.log10(first)), FARTHEST) if first > 0 else FARTHEST
        corrected = np.abs(parts_of[1:]).sum() / max(np.sqrt(target @ target), np.finfo(float).tiny)
        return rest, float(apart + min(corrected, FARTHEST))
