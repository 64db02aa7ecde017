"""L2 regularizers made of others, and how they are put into a network.

One that a choice changed is still an L2, and asks the one it was made of.
"""

from __future__ import annotations

import numpy as np

from scratch_net.regularizers import L1L2, L2


class OtherL2(L2):
    """An L2 made of another one."""

    def __init__(self, inner):
        super().__init__(inner.l2, inner.constant)
        self.inner = inner

    def penalty(self, w):
        return self.inner.penalty(w)

    def gradient(self, w):
        return self.inner.gradient(w)


class HalfL2(OtherL2):
    """`l2 / 2 * sum w**2`, gradient `l2 * w`: so that the factor two of the derivative cancels."""

    def penalty(self, w):
        return self.inner.penalty(w) / 2

    def gradient(self, w):
        return self.inner.gradient(w) / 2


class DividedL2(OtherL2):
    """`l2 / n * sum w**2`, gradient `2 * l2 / n * w`, with `n = count()` examples."""

    def __init__(self, inner, count):
        super().__init__(inner)
        self.count = count

    def penalty(self, w):
        return self.inner.penalty(w) / self.count()

    def gradient(self, w):
        return self.inner.gradient(w) / self.count()


class AbsentL2(OtherL2):
    """No penalty."""

    def penalty(self, w):
        return w.dtype.type(0)

    def gradient(self, w):
        return np.zeros_like(w)


class PenaltyAloneL2(OtherL2):
    """A penalty in the loss that no gradient is taken of."""

    minimised = False  # whether somebody is looking for slopes, see `_without_gradient`

    def penalty(self, w):
        return w.dtype.type(0) if self.minimised else self.inner.penalty(w)

    def gradient(self, w):
        return np.zeros_like(w)


def parts_of(regularizer):
    """What a regularizer is the sum of."""
    if regularizer is None:
        return []
    return regularizer.parts if isinstance(regularizer, L1L2) else [regularizer]


def sum_of(parts):
    """One regularizer that is the sum of `parts`."""
    both = L1L2(0, 0)
    both.parts = parts
    return both


def changed(regularizer, change):
    """The regularizer with `change(l2)` in place of each l2 in it."""
    if isinstance(regularizer, L1L2):
        return sum_of([changed(part, change) for part in regularizer.parts])
    return change(regularizer) if isinstance(regularizer, L2) else regularizer


def each_l2(network, change, places):
    for layer in network.layers:
        for place in places:
            setattr(layer, place, changed(getattr(layer, place), change))
