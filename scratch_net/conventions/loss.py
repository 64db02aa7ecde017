"""What is minimised, and what is told of it.

A loss that another choice changed is still of its class (`_instead`), and the one that was there before does the rest.
Choices of the formula come first in the table, factors of the whole loss after them.
"""

from __future__ import annotations

import numpy as np

from scratch_net.losses import EPSILON, BinaryCrossentropy, Crossentropy, SparseCategoricalCrossentropy
from scratch_net.network import Loss


def _instead(network, other):
    """Put a loss of class `other`, a subclass of the present loss's, in its place, with its numbers."""
    numbers = {name: value for name, value in vars(network.loss).items() if not callable(value)}
    network.loss = object.__new__(other)
    vars(network.loss).update(numbers)


def _smoothing(formula):
    """`formula(y, s, C)` in place of `y (1 - s) + s / C`."""

    def install(network):
        if not getattr(network.loss, "label_smoothing", 0):
            return

        class Smoothed(type(network.loss)):
            def targets(self, y):
                return formula(y, self.label_smoothing, 2 if isinstance(self, BinaryCrossentropy) else y.shape[-1])

        _instead(network, Smoothed)

    return install


def _targets(loss, y, p):
    """One target for each output: smoothed where the loss does so, one-hot for labels."""
    if isinstance(loss, SparseCategoricalCrossentropy):
        return (y[..., None] == np.arange(p.shape[-1])).astype(p.dtype)
    return loss.targets(y)


def _kept(keep, inside, both=None):
    """Other probabilities to take the logarithm of: `keep(p)`, the gradient where `inside(p)`."""

    def install(network):
        if not isinstance(network.loss, Crossentropy):
            return

        class Kept(type(network.loss)):
            def kept(self, p):
                return keep(p)

            def inside(self, p):
                return inside(p)

            def both(self, p):
                return both(p) if both is not None else super().both(p)

        _instead(network, Kept)
        if isinstance(network.loss, SparseCategoricalCrossentropy):
            _one_logarithm(network, lambda p: p.sum(axis=-1, keepdims=True))

    return install


def _clipped(epsilon):
    """`log(clip(p, eps, 1 - eps))`, no gradient where p was clipped."""
    return _kept(
        lambda p: np.clip(p, epsilon, 1 - epsilon),
        lambda p: (p >= epsilon) & (p <= 1 - epsilon),
    )


def _everywhere(p):
    return np.ones_like(p, bool)


def _one_logarithm(network, total):
    """`-1/B sum_b sum_c y log q` with `q = p / total(p)`, or `q = p` without a total.

    `dL/dq = -y / q / B` where q was not clipped. For labels as well: Keras' own form renormalizes what it clipped.
    """

    class OneLogarithm(type(network.loss)):
        def value(self, y, p):
            q = p if total is None else p / total(p)
            return -(_targets(self, y, p) * np.log(self.kept(q))).sum(axis=-1).mean(axis=-1)

        def gradient(self, y, p):
            q = p if total is None else p / total(p)
            dq = np.where(self.inside(q), -_targets(self, y, p) / self.kept(q), 0) / p.shape[-2]
            return dq if total is None else (dq - (dq * q).sum(axis=-1, keepdims=True)) / total(p)

    _instead(network, OneLogarithm)


def _as_given(network):
    """`-sum_c y log(p)`, whatever the outputs sum to."""
    if isinstance(network.loss, Crossentropy) and not isinstance(network.loss, BinaryCrossentropy):
        _one_logarithm(network, None)


def _all_pairs(network):
    """`1/B**2 sum_b sum_k loss(y_k, p_b)`: every output against every target, where there is one output.

    `mean_k (y_k - p)**2 = (mean(y) - p)**2 + var(y)`, and a cross-entropy is linear in y: so each output meets the mean
    target, which takes B numbers and not B**2.
    """
    inner = network.loss
    if network.layers[-1].kernel.shape[-1] != 1 or isinstance(inner, SparseCategoricalCrossentropy):
        return

    def mean(y, p):
        return y.reshape(p.shape).mean(axis=-2, keepdims=True, dtype=p.dtype)

    def spread(y, p):
        return ((y.reshape(p.shape) - mean(y, p)) ** 2).mean(axis=(-2, -1))

    class AllPairs(type(inner)):
        def value(self, y, p):
            value = inner.value(mean(y, p), p)
            return value if isinstance(inner, Crossentropy) else value + spread(y, p)

        def gradient(self, y, p):
            return inner.gradient(mean(y, p), p)

        def value_from_logits(self, y, z):
            return inner.value_from_logits(mean(y, z), z)

        def gradient_from_logits(self, y, z):
            return inner.gradient_from_logits(mean(y, z), z)

    _instead(network, AllPairs)


def _output_as_logits(network):
    """The output of the last softmax (or sigmoid) is taken for logits: softmax(softmax(z))."""
    if network.skips_activation:
        network.skips_activation, network.from_logits = False, True


def _probabilities(network):
    """The output of the last softmax or sigmoid is what it is, a probability."""
    if network.skips_activation:
        network.skips_activation = network.from_logits = False


def _of_outputs(factor):
    """A factor as a function of the outputs."""
    return factor if callable(factor) else lambda _: factor


def _times(network, factor, **numbers):
    """The loss and its gradient times `factor`, a number or `factor(p)`; `numbers` say what kind of loss it is then."""
    inner, factor = network.loss, _of_outputs(factor)

    class Times(type(inner)):
        def value(self, y, p):
            return inner.value(y, p) * factor(p)

        def gradient(self, y, p):
            return inner.gradient(y, p) * factor(p)

        def value_from_logits(self, y, z):
            return inner.value_from_logits(y, z) * factor(z)

        def gradient_from_logits(self, y, z):
            return inner.gradient_from_logits(y, z) * factor(z)

    _instead(network, Times)
    vars(network.loss).update(numbers)


def _mean_over_outputs(network):
    """`1/C sum_c` where it is a sum."""
    if network.loss.over_outputs == "sum":
        _times(network, lambda p: 1 / p.shape[-1], over_outputs="mean")


def _sum_over_outputs(network):
    """`sum_c` where it is `1/C sum_c`."""
    if network.loss.over_outputs == "mean":
        _times(network, lambda p: p.shape[-1], over_outputs="sum")


def _factor(factor, **numbers):
    return lambda network: _times(network, factor, **numbers)


def _told(factor, **needed):
    """Tell the data loss times `factor`, where the loss that is minimised is of the `needed` kind."""

    def install(network):
        if any(getattr(network.loss, name, kind) != kind for name, kind in needed.items()):
            return
        before, of_outputs = network.reported, _of_outputs(factor)

        def reported(loss, y):
            loss = before(loss, y)
            data = loss.data * of_outputs(network.layers[-1].a)
            return Loss(data + sum(loss.penalties.values()), data, loss.penalties)

        network.reported = reported

    return install


KERAS_CHOICE = {
    "loss.smoothing": "spread_all",
    "loss.clip": "1e-7",
    "loss.probabilities": "normalized",
    "loss.pairs": "elementwise",
    "loss.softmax": "once",
    "loss.input": "logits",
    "loss.outputs": "as_named",
    "loss.batch": "mean",
    "loss.factor": "one",
    "loss.reported": "as_gradient",
}
CHOICES = {
    "loss.smoothing": {
        "off_class": _smoothing(lambda y, s, c: y * (1 - s) + (1 - y) * (s / max(c - 1, 1))),
        "scaled": _smoothing(lambda y, s, c: y * (1 - s / c) + s / c),
    },
    "loss.clip": {
        "1e-8": _clipped(1e-8),
        "1e-12": _clipped(1e-12),
        "1e-15": _clipped(1e-15),
        "added": _kept(lambda p: p + EPSILON, _everywhere, both=lambda p: (p + EPSILON, 1 - p + EPSILON)),
        "none": _kept(lambda p: p, _everywhere),
    },
    "loss.probabilities": {"as_given": _as_given},
    "loss.pairs": {"all_pairs": _all_pairs},
    "loss.softmax": {"twice": _output_as_logits},
    "loss.input": {"probabilities": _probabilities},
    "loss.outputs": {"mean": _mean_over_outputs, "sum": _sum_over_outputs},
    "loss.batch": {
        "sum": _factor(lambda p: p.shape[-2], over_batch="sum"),
        "mean_twice": _factor(lambda p: 1 / p.shape[-2]),
    },
    "loss.factor": {"half": _factor(0.5), "double": _factor(2)},
    "loss.reported": {
        "half": _told(0.5),
        "double": _told(2),
        "sum_outputs": _told(lambda p: p.shape[-1], over_outputs="mean"),
        "mean_outputs": _told(lambda p: 1 / p.shape[-1], over_outputs="sum"),
        "sum_batch": _told(lambda p: p.shape[-2], over_batch="mean"),
    },
}
