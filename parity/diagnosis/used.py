"""How much of its budget each tensor uses at every step: differences over budgets, and what all of them come to.

How much is left unexplained is measured by

    score = sum over tensors of the mean over steps of log10(used), where used > 1

in which a cause counts when it brings any tensor nearer, even if another cause still keeps it apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property

import numpy as np

from parity.diagnosis.evidence import OfPiece, Told
from parity.protocol import Array, Key

WORST = 1e30  # what an infinite difference counts for


class Used(Mapping[Key, Array]):
    """Tensor -> difference over budget at every step, in execution order."""

    def __init__(self, keys: Sequence[Key], shares: Array) -> None:
        """`shares` has a row for each tensor and a column for each step."""
        self.shares, self._rows = shares, {key: row for row, key in enumerate(keys)}

    def __getitem__(self, key: Key) -> Array:
        return self.shares[self._rows[key]]

    def __iter__(self) -> Iterator[Key]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def score(self) -> float:
        """How much is left unexplained."""
        return float(self._left.sum() / max(self.shares.shape[1], 1))

    @cached_property
    def explained(self) -> bool:
        """Whether everything is within its budget."""
        return bool((self.shares <= 1).all())

    @cached_property
    def first(self) -> tuple[int, Key] | None:
        """The first step, counted from 0, and in it the first tensor, that is beyond its budget."""
        over = self.shares > 1
        if not over.any():
            return None
        step = int(over.any(axis=0).argmax())
        return step, list(self._rows)[int(over[:, step].argmax())]

    @property
    def left(self) -> tuple[tuple[Key, ...], bytes]:
        """What is left over of every tensor, as what can be looked up."""
        return tuple(self._rows), self._left.round(6).tobytes()

    @property
    def _left(self) -> Array:
        return np.log10(np.clip(self.shares, 1, WORST))


def apart(candidate: Told, taken: Told, budgets: Told, keys: Iterable[Key]) -> Used:
    """How much of its budget each of these tensors uses at every step; left out is what was never taken."""
    keys = [key for key in keys if any(key in again for again in taken) and all(key in told for told in candidate)]
    pieces = [_of_piece(*piece, keys) for piece in zip(candidate, taken, budgets, strict=True)]
    return Used(keys, np.concatenate(pieces, axis=1) if pieces else np.zeros((len(keys), 0)))


def _of_piece(told: OfPiece, again: OfPiece, budget: OfPiece, keys: Sequence[Key]) -> Array:
    """The largest difference at each step over its budget; infinite where there is a difference and no budget.

    A budget that is not finite is none: where rounding can blow a step up without limit, nothing but equality is proof.
    """
    steps = len(next(iter(told.values())))
    differences, allowed = np.empty((len(keys), steps)), np.zeros((len(keys), steps))
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        for row, key in enumerate(keys):
            if key in again and key in budget and told[key].shape == again[key].shape:
                differences[row], allowed[row] = _farthest(told[key], again[key]), budget[key]
            else:
                differences[row] = np.inf
        used = np.divide(differences, allowed, out=np.zeros(differences.shape), where=differences > 0)
    used[(differences > 0) & ~np.isfinite(allowed)] = np.inf
    return used


def _farthest(told: Array, again: Array) -> Array:
    """The largest difference at each step; infinite where one of the two is no number and the other is another."""
    difference = np.subtract(told, again)
    found = np.abs(difference, out=difference).reshape(len(told), -1).max(axis=1, initial=0)
    if np.isnan(found).any():  # the same NaN or infinity is no difference, any other is all of it
        same = (told == again) | (np.isnan(told) & np.isnan(again))
        difference = np.where(same, 0, np.nan_to_num(difference, nan=np.inf, posinf=np.inf))
        found = difference.reshape(len(told), -1).max(axis=1, initial=0)
    return found
