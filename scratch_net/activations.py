"""Activation functions: `a = f(z)`, and the derivative that turns `dL/da` into `dL/dz`.

z and a have shape (batch, units), and one dtype, which is kept. Each backward pass uses whichever of z and a makes the
formula simplest.
Source of the formulas and of the choices at the kinks: keras/src/activations/activations.py and TensorFlow's kernels.
"""

from __future__ import annotations

import numpy as np

from scratch_net.constants import number

_last = (None, None)  # the array that `softmax_parts` was last asked about, and what it found


@np.errstate(over="ignore")
def sigmoid(z):
    """`1 / (1 + exp(-z))`; where the exponential overflows, 0, which is less than the smallest normal number off."""
    a = np.negative(z)  # and then in place: for large layers new memory costs more than the arithmetic
    np.exp(a, a)
    np.add(a, number(1, a.dtype), a)
    return np.reciprocal(a, a)


def softmax_parts(z):
    """`z - max z` along the units, the sum of its exponentials, and the softmax: each exponential over that sum.

    In a training step the forward pass, the loss and its gradient ask for them in turn. Of a z that can never change
    again, as `Dense.forward` leaves it, they are worked out once.
    """
    global _last  # noqa: PLW0603  # one tuple, replaced at once: threads may train networks side by side
    of, found = _last
    if of is not z:
        shifted = z - np.maximum.reduce(z, axis=-1, keepdims=True)
        e = np.exp(shifted)
        total = np.add.reduce(e, axis=-1, keepdims=True)
        found = shifted, total, e / total
        if z.base is None and not z.flags.writeable:
            for part in found:
                part.setflags(write=False)
            _last = z, found
    return found


def softmax(z):
    """`exp(z_i) / sum_j exp(z_j)`, shifted by the largest z so that nothing overflows."""
    return softmax_parts(z)[2]


class Linear:
    """`f(z) = z`, `f'(z) = 1`."""

    def forward(self, z):
        return z

    def backward(self, da, z, a):
        return da


class Sigmoid:
    """`f(z) = 1 / (1 + exp(-z))`, `f' = a (1 - a)`."""

    def forward(self, z):
        return sigmoid(z)

    def backward(self, da, z, a):
        slope = np.subtract(number(1, a.dtype), a)
        slope *= a
        slope *= da  # in place, as above
        return slope


class Tanh:
    """`f(z) = tanh(z)`, `f' = 1 - a**2`."""

    def forward(self, z):
        return np.tanh(z)

    def backward(self, da, z, a):
        return da * (1 - a * a)


class Relu:
    """`f(z) = max(z, 0)`, `f' = 1 where z > 0`; at z = 0 Keras takes 0."""

    def forward(self, z):
        return np.maximum(z, 0)

    def backward(self, da, z, a):
        return da * (z > 0)


class Softmax:
    """`f(z)_i = exp(z_i) / sum_j exp(z_j)` along the units.

    `dL/dz_i = a_i (da_i - sum_j da_j a_j)`.
    """

    def forward(self, z):
        return softmax(z)

    def backward(self, da, z, a):
        return (da - (da * a).sum(axis=-1, keepdims=True)) * a


ACTIVATIONS = {"linear": Linear, "sigmoid": Sigmoid, "tanh": Tanh, "relu": Relu, "softmax": Softmax}
