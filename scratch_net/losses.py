"""Losses: `value` is the mean over the batch of a loss per example, `gradient` its derivative by the network's output.

y and p have shape (batch, outputs); sparse labels have shape (batch,). B is the batch size, C the number of outputs.
Any axes before these are kept: a stack of steps gives a value for each. All of it is in the dtype of p.
A cross-entropy can also be taken from the logits z, the numbers that go into the last softmax or sigmoid: it is then
exact where the probability itself would have been rounded to 0 or 1. Keras does so with every cross-entropy whenever
the last layer is a softmax or a sigmoid, whether it belongs to the loss or not and even with `from_logits=False`; see
`takes_logits_of`.

Source: keras/src/losses/losses.py and keras/src/backend/tensorflow/nn.py.
"""

from __future__ import annotations

import numpy as np

from scratch_net.activations import sigmoid, softmax, softmax_parts
from scratch_net.constants import number

EPSILON = 1e-7  # keras.config.epsilon(): probabilities are kept this far from 0 and 1


def sums(values):
    """The sum along the last axis, as `values.sum(axis=-1)`, without the Python in between."""
    return np.add.reduce(values, axis=-1)


def mean(values):
    """The mean along the last axis. `ndarray.mean` gives the same bits and takes four times as long for a batch."""
    return sums(values) / values.shape[-1]


def minus_log_softmax(z):
    """`log(sum_j exp(z_j)) - z`, shifted by the largest z: no overflow, and nothing large to cancel."""
    shifted, total, _ = softmax_parts(z)
    return np.log(total) - shifted


class MeanSquaredError:
    """`1/B sum_b 1/C sum_c (y - p)**2`."""

    takes_logits_of = ()
    over_outputs = "mean"

    def value(self, y, p):
        return mean(mean((y - p) ** 2))

    def gradient(self, y, p):
        """`2 (p - y) / (B C)`."""
        return (p - y) * (2 / (p.shape[-2] * p.shape[-1]))


class SumSquaredError:
    """`1/B sum_b sum_c (y - p)**2`: the cost of 3Blue1Brown's chapters, summed over the outputs."""

    takes_logits_of = ()
    over_outputs = "sum"

    def value(self, y, p):
        return mean(sums((y - p) ** 2))

    def gradient(self, y, p):
        """`2 (p - y) / B`."""
        return (p - y) * (2 / p.shape[-2])


class Crossentropy:
    """What the cross-entropies share."""

    takes_logits_of = ("softmax", "sigmoid")

    def kept(self, p):
        """The probabilities that the logarithm is taken of: eps away from 0 and 1."""
        return np.clip(p, EPSILON, 1 - EPSILON)

    def inside(self, p):
        """Where a probability was not clipped, so that the gradient goes through."""
        return (p >= EPSILON) & (p <= 1 - EPSILON)


class CategoricalCrossentropy(Crossentropy):
    """`-1/B sum_b sum_c y log q`, with `q = p / sum(p)` kept in [eps, 1 - eps]; y smoothed to `y (1 - s) + s / C`."""

    over_outputs = "sum"

    def __init__(self, label_smoothing=0.0):
        self.label_smoothing = label_smoothing

    def targets(self, y):
        return y * (1 - self.label_smoothing) + self.label_smoothing / y.shape[-1] if self.label_smoothing else y

    def value(self, y, p):
        q = self.kept(p / p.sum(axis=-1, keepdims=True))
        return -mean(sums(self.targets(y) * np.log(q)))

    def gradient(self, y, p):
        """`dL/dq = -y/q / B` where q was not clipped, then through `q = p / sum(p)`."""
        total = p.sum(axis=-1, keepdims=True)
        q = p / total
        dq = np.where(self.inside(q), -self.targets(y) / self.kept(q), 0) / p.shape[-2]
        return (dq - (dq * q).sum(axis=-1, keepdims=True)) / total

    def value_from_logits(self, y, z):
        """`1/B sum_b sum_c y (log(sum_j exp(z_j)) - z)`."""
        return mean(sums(self.targets(y) * minus_log_softmax(z)))

    def gradient_from_logits(self, y, z):
        """`(sum(y) softmax(z) - y) / B`: a row of y need not sum to 1.

        So TensorFlow where operations have to be deterministic: it differentiates its log-softmax. Its fused kernel,
        which runs otherwise, takes the row to sum to 1 and gives `(softmax(z) - y) / B`
        (tensorflow/python/ops/nn_ops.py, softmax_cross_entropy_with_logits_v2_helper).
        """
        y = self.targets(y)
        dz = softmax(z) * np.add.reduce(y, axis=-1, keepdims=True)
        dz -= y
        dz /= number(z.shape[-2], dz.dtype)
        return dz


class SparseCategoricalCrossentropy(Crossentropy):
    """Categorical cross-entropy with labels given as the number of the class."""

    over_outputs = "sum"

    def value(self, y, p):
        return self.value_from_logits(y, np.log(self.kept(p)))

    def gradient(self, y, p):
        """Keras takes `z = log clip(p)` for logits: `dL/dp = dL/dz / p` where p was not clipped."""
        kept = self.kept(p)
        return np.where(self.inside(p), self.gradient_from_logits(y, np.log(kept)) / kept, 0)

    def value_from_logits(self, y, z):
        """`1/B sum_b (log(sum_j exp(z_j)) - z_y)`."""
        return mean(np.take_along_axis(minus_log_softmax(z), y[..., None], axis=-1)[..., 0])

    def gradient_from_logits(self, y, z):
        """`(softmax(z) - onehot(y)) / B`."""
        onehot = y[..., None] == np.arange(z.shape[-1])
        return (softmax(z) - onehot) / z.shape[-2]


class BinaryCrossentropy(Crossentropy):
    """`-1/B sum_b 1/C sum_c (y log q + (1 - y) log(1 - q))`, q = p kept in [eps, 1 - eps].

    With label smoothing s the target is `y (1 - s) + s / 2`.
    """

    over_outputs = "mean"

    def __init__(self, label_smoothing=0.0):
        self.label_smoothing = label_smoothing

    def targets(self, y):
        return y * (1 - self.label_smoothing) + 0.5 * self.label_smoothing if self.label_smoothing else y

    def both(self, p):
        """The probabilities that the two logarithms are taken of: q, and its complement."""
        q = self.kept(p)
        return q, 1 - q

    def value(self, y, p):
        y, (q, rest) = self.targets(y), self.both(p)
        return -mean(mean(y * np.log(q) + (1 - y) * np.log(rest)))

    def gradient(self, y, p):
        """`(q - y) / (q (1 - q)) / (B C)` where p was not clipped."""
        y, (q, rest) = self.targets(y), self.both(p)
        return np.where(self.inside(p), (1 - y) / rest - y / q, 0) / (p.shape[-2] * p.shape[-1])

    def value_from_logits(self, y, z):
        """`max(z, 0) - z y + log(1 + exp(-|z|))`, the mean over outputs and batch."""
        y = self.targets(y)
        return mean(mean(np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))))

    def gradient_from_logits(self, y, z):
        """`(sigmoid(z) - y) / (B C)`."""
        return (sigmoid(z) - self.targets(y)) / (z.shape[-2] * z.shape[-1])


LOSSES = {
    loss.__name__: loss
    for loss in (
        MeanSquaredError,
        SumSquaredError,
        CategoricalCrossentropy,
        SparseCategoricalCrossentropy,
        BinaryCrossentropy,
    )
}
