"""Activation functions: `a = f(z)`, and the derivative that turns `dL/da` into `dL/dz`.

z and a have shape (batch, units). Each backward pass uses whichever of z and a makes the formula simplest.
Source of the formulas and of the choices at the kinks: keras/src/activations/activations.py and TensorFlow's kernels.
"""

from __future__ import annotations

import numpy as np


class Linear:
    """`f(z) = z`, `f'(z) = 1`."""

    def forward(self, z):
        return z

    def backward(self, da, z, a):
        return da


class Sigmoid:
    """`f(z) = 1 / (1 + exp(-z))`, `f' = a (1 - a)`."""

    def forward(self, z):
        return np.exp(np.minimum(z, 0)) / (1 + np.exp(-np.abs(z)))  # the same, and never overflows

    def backward(self, da, z, a):
        return da * (a * (1 - a))


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
    """`f(z)_i = exp(z_i) / sum_j exp(z_j)` along the units, shifted by the largest z so that nothing overflows.

    `dL/dz_i = a_i (da_i - sum_j da_j a_j)`.
    """

    def forward(self, z):
        e = np.exp(z - z.max(axis=-1, keepdims=True))
        return e / e.sum(axis=-1, keepdims=True)

    def backward(self, da, z, a):
        return (da - (da * a).sum(axis=-1, keepdims=True)) * a


ACTIVATIONS = {"linear": Linear, "sigmoid": Sigmoid, "tanh": Tanh, "relu": Relu, "softmax": Softmax}
