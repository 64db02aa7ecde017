"""Cross-entropies: what the logarithm is taken of, and which targets it meets."""

from __future__ import annotations

import numpy as np

from scratch_net.activations import Softmax, softmax
from scratch_net.conventions.instead import instead
from scratch_net.losses import (
    EPSILON,
    BinaryCrossentropy,
    CategoricalCrossentropy,
    Crossentropy,
    SparseCategoricalCrossentropy,
    mean,
)


def _smoothing(formula):
    """`formula(y, s, C)` in place of `y (1 - s) + s / C`."""

    def install(network):
        if not getattr(network.loss, "label_smoothing", 0):
            return

        class Smoothed(type(network.loss)):
            def targets(self, y):
                return formula(y, self.label_smoothing, 2 if isinstance(self, BinaryCrossentropy) else y.shape[-1])

        instead(network, Smoothed)

    return install


def _targets(loss, y, p):
    """One target for each output: smoothed where the loss does so, one-hot for labels."""
    if isinstance(loss, SparseCategoricalCrossentropy):
        return (y[..., None] == np.arange(p.shape[-1])).astype(p.dtype)
    return loss.targets(y)


def _unshifted(network):
    """`p = exp(z) / sum_j exp(z_j)`: infinity over infinity, which is NaN, where an exponential overflows.

    And with it what is worked out of p, `-1/B sum_b sum_c y log p` and its shortcut `(sum(y) p - y) / B`.
    """

    def unshifted(z):
        e = np.exp(z)
        return e / e.sum(axis=-1, keepdims=True)

    for layer in network.layers:
        if isinstance(layer.activation, Softmax):
            layer.activation.forward = unshifted
    if not network.skips_activation or not isinstance(network.layers[-1].activation, Softmax):
        return
    if isinstance(network.loss, BinaryCrossentropy):
        return

    class Unshifted(type(network.loss)):
        def value_from_logits(self, y, z):
            return -mean((_targets(self, y, z) * np.log(unshifted(z))).sum(axis=-1))

        def gradient_from_logits(self, y, z):
            y = _targets(self, y, z)
            return (unshifted(z) * y.sum(axis=-1, keepdims=True) - y) / z.shape[-2]

    instead(network, Unshifted)


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

        instead(network, Kept)
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

    instead(network, OneLogarithm)


def _as_given(network):
    """`-sum_c y log(p)`, whatever the outputs sum to."""
    if isinstance(network.loss, Crossentropy) and not isinstance(network.loss, BinaryCrossentropy):
        _one_logarithm(network, None)


def output_as_logits(network):
    """The output of the last softmax (or sigmoid) is taken for logits: softmax(softmax(z))."""
    if network.skips_activation:
        network.skips_activation, network.from_logits = False, True


def _probabilities(network):
    """The output of the last softmax or sigmoid is what it is, a probability."""
    if network.skips_activation:
        network.skips_activation = network.from_logits = False


def _log_of(both):
    """The loss is told of the output p, its gradient stays that of the logits: `-1/B sum_b sum_c y log q`, or

        -1/B sum_b 1/C sum_c (y log q + (1 - y) log r)

    with `q, r = both(p, 1 - p)`. No row of q is made to sum to 1. After `loss.softmax` and `loss.input`, which may have
    left nothing of the logits.
    """

    def install(network):
        if not network.skips_activation:
            return
        network.complement = lambda p: 1 - p

        class Told(type(network.loss)):
            def value_from_logits(self, y, z):
                p = network.layers[-1].a
                y, (q, r) = _targets(self, y, p), both(p, network.complement(p))
                if isinstance(self, BinaryCrossentropy):
                    return -mean(mean(y * np.log(q) + (1 - y) * np.log(r)))
                return -mean((y * np.log(q)).sum(axis=-1))

        instead(network, Told)

    return install


def _log_of_sum(epsilon):
    """`q = p + eps`, `r = 1 - p + eps`."""
    return _log_of(lambda p, rest: (p + epsilon, rest + epsilon))


def _log_of_clipped(epsilon):
    """`q = clip(p, eps, 1 - eps)`, `r = 1 - q`."""

    def both(p, rest):
        q = np.clip(p, epsilon, 1 - epsilon)
        return q, np.where(q == p, rest, 1 - q)

    return _log_of(both)


def _fused(network):
    """`(softmax(z) - y) / B`, as if every row of y summed to 1."""
    if not isinstance(network.loss, CategoricalCrossentropy):
        return

    class Fused(type(network.loss)):
        def gradient_from_logits(self, y, z):
            return (softmax(z) - self.targets(y)) / z.shape[-2]

    instead(network, Fused)


KERAS_CHOICE = {
    "forward.softmax": "shifted",
    "loss.smoothing": "spread_all",
    "loss.clip": "1e-7",
    "loss.soft_labels": "summed",
    "loss.probabilities": "normalized",
    "loss.softmax": "once",
    "loss.input": "logits",
    "loss.log": "logits",
}
CHOICES = {
    "forward.softmax": {"unshifted": _unshifted},
    "loss.smoothing": {
        "off_class": _smoothing(lambda y, s, c: y * (1 - s) + (1 - y) * (s / max(c - 1, 1))),
        "scaled": _smoothing(lambda y, s, c: y * (1 - s / c) + s / c),
        "ignored": _smoothing(lambda y, s, c: y),
    },
    "loss.clip": {
        "1e-8": _clipped(1e-8),
        "1e-12": _clipped(1e-12),
        "1e-15": _clipped(1e-15),
        "added": _kept(lambda p: p + EPSILON, _everywhere, both=lambda p: (p + EPSILON, 1 - p + EPSILON)),
        "none": _kept(lambda p: p, _everywhere),
    },
    "loss.soft_labels": {"fused": _fused},
    "loss.probabilities": {"as_given": _as_given},
    "loss.softmax": {"twice": output_as_logits},
    "loss.input": {"probabilities": _probabilities},
    "loss.log": {f"plus_{eps}": _log_of_sum(float(eps)) for eps in ("1e-7", "1e-8", "1e-9", "1e-10", "1e-12")}
    | {f"clip_{eps}": _log_of_clipped(float(eps)) for eps in ("1e-7", "1e-8", "1e-12", "1e-15")}
    | {"plain": _log_of(lambda p, rest: (p, rest))},
}
