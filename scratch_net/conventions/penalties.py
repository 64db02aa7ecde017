"""Regularizers made of others, and how they are put into a network.

An L2 that a choice changed is still an L2, an L1 still an L1, and asks the one it was made of.
"""

from __future__ import annotations

import numpy as np

from scratch_net.regularizers import L1L2, L2


def kind_of(regularizer):
    """L1 or L2: what a regularizer is, or was made of."""
    return getattr(regularizer, "kind", type(regularizer))


class Other:
    """A regularizer made of another one, and of its kind: an L2 of an L2, and an L1 of an L1."""

    def __init__(self, inner):
        self.inner, self.kind = inner, kind_of(inner)

    def penalty(self, w):
        return self.inner.penalty(w)

    def gradient(self, w):
        return self.inner.gradient(w)


class Times(Other):
    """`factor * l2 * sum w**2`, gradient `factor * 2 * l2 * w`: with a half the 2 of the derivative cancels."""

    def __init__(self, inner, factor):
        super().__init__(inner)
        self.factor = factor

    def penalty(self, w):
        return self.inner.penalty(w) * self.factor

    def gradient(self, w):
        return self.inner.gradient(w) * self.factor


class Divided(Other):
    """`l2 / n * sum w**2`, gradient `2 * l2 / n * w`, with `n = count()` examples."""

    def __init__(self, inner, count):
        super().__init__(inner)
        self.count = count

    def penalty(self, w):
        return self.inner.penalty(w) / self.count()

    def gradient(self, w):
        return self.inner.gradient(w) / self.count()


class Nothing:
    """No penalty."""

    def penalty(self, w):
        return w.dtype.type(0)

    def gradient(self, w):
        return np.zeros_like(w)


class Absent(Nothing, Other):
    """No penalty in the place of an L2."""


class Apart:
    """`told` in the loss, and the gradient of `minimised`, whose kind it is of."""

    minimised = False  # whether somebody is looking for slopes, see `gradients_of_their_own`

    def __init__(self, told, minimised):
        self.told, self.of_gradient, self.kind = told, minimised, kind_of(minimised)

    def penalty(self, w):
        return (self.of_gradient if self.minimised else self.told).penalty(w)

    def gradient(self, w):
        return self.of_gradient.gradient(w)


def gradients_of_their_own(network, regularizers):
    """Let an engine of differences, which finds slopes from the loss itself, find those of what is minimised."""
    before = network.gradients

    def gradients(y):
        for r in regularizers:
            r.minimised = True
        try:
            return before(y)
        finally:
            for r in regularizers:
                r.minimised = False

    network.gradients = gradients


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


def changed(regularizer, change, kinds=(L2,)):
    """The regularizer with `change(part)` in place of each part of it that is of these kinds."""
    if isinstance(regularizer, L1L2):
        return sum_of([changed(part, change, kinds) for part in regularizer.parts])
    return change(regularizer) if kind_of(regularizer) in kinds else regularizer


def each(network, change, places, kinds=(L2,)):
    """`change(part)` in place of each part of these kinds, in these places of every layer."""
    for layer in network.layers:
        for place in places:
            setattr(layer, place, changed(getattr(layer, place), change, kinds))
