"""Regularizers made of others, and how they are put into a network.

An L2 that a choice changed is still an L2, and asks the one it was made of.
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


class TimesL2(OtherL2):
    """`factor * l2 * sum w**2`, gradient `factor * 2 * l2 * w`: with a half the 2 of the derivative cancels."""

    def __init__(self, inner, factor):
        super().__init__(inner)
        self.factor = factor

    def penalty(self, w):
        return self.inner.penalty(w) * self.factor

    def gradient(self, w):
        return self.inner.gradient(w) * self.factor


class DividedL2(OtherL2):
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


class AbsentL2(Nothing, OtherL2):
    """No penalty in the place of an L2."""


class Apart:
    """A penalty in the loss, and the gradient of another one."""

    minimised = False  # whether somebody is looking for slopes, see `gradients_of_their_own`

    def __init__(self, told, minimised):
        self.told, self.of_gradient = told, minimised

    def penalty(self, w):
        return (self.of_gradient if self.minimised else self.told).penalty(w)

    def gradient(self, w):
        return self.of_gradient.gradient(w)


class ApartL2(Apart, L2):
    """The same of an L2, that is still one."""

    def __init__(self, told, minimised):
        L2.__init__(self, minimised.l2, minimised.constant)
        Apart.__init__(self, told, minimised)


def apart(told, minimised):
    """`told` in the loss, `minimised` in the gradient."""
    return (ApartL2 if isinstance(minimised, L2) else Apart)(told, minimised)


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


def changed(regularizer, change):
    """The regularizer with `change(l2)` in place of each l2 in it."""
    if isinstance(regularizer, L1L2):
        return sum_of([changed(part, change) for part in regularizer.parts])
    return change(regularizer) if isinstance(regularizer, L2) else regularizer


def each_l2(network, change, places):
    for layer in network.layers:
        for place in places:
            setattr(layer, place, changed(getattr(layer, place), change))
