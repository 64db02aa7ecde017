"""Penalties on a weight (or on a layer's output): `penalty(w)` is added to the loss, `gradient(w)` to its gradient.

Source: keras/src/regularizers/regularizers.py. Keras passes its factors through float32, so a float64 network of Keras'
with l2 = 0.01 really uses 0.009999999776482582; `keras_constant` does the same.
"""

from __future__ import annotations

import numpy as np

from scratch_net.constants import keras_constant


def penalty_of(regularizer, w, ndim):
    """What a regularizer adds for an array of `ndim` axes; for a stack of such arrays one number for each."""
    return regularizer.penalty(w) if w.ndim == ndim else np.array([regularizer.penalty(one) for one in w])


class L1:
    """`l1 * sum |w|`; gradient `l1 * sign(w)`, 0 at 0."""

    def __init__(self, l1, constant=keras_constant):
        self.l1, self.constant = l1, constant

    def penalty(self, w):
        return self.constant(self.l1, w.dtype) * np.abs(w).sum()

    def gradient(self, w):
        return self.constant(self.l1, w.dtype) * np.sign(w)


class L2:
    """`l2 * sum w**2`, without a factor one half; gradient `2 * l2 * w`."""

    def __init__(self, l2, constant=keras_constant):
        self.l2, self.constant = l2, constant

    def penalty(self, w):
        return self.constant(self.l2, w.dtype) * np.vdot(w, w)

    def gradient(self, w):
        return (2 * self.constant(self.l2, w.dtype)) * w


class L1L2:
    """The sum of both."""

    def __init__(self, l1, l2):
        self.parts = [part for part in (L1(l1) if l1 else None, L2(l2) if l2 else None) if part]

    def penalty(self, w):
        return sum((part.penalty(w) for part in self.parts), w.dtype.type(0))

    def gradient(self, w):
        return sum((part.gradient(w) for part in self.parts), np.zeros_like(w))


REGULARIZERS = {regularizer.__name__: regularizer for regularizer in (L1, L2, L1L2)}
