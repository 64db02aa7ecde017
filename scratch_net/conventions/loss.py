"""What is minimised, over what it is a mean, and what is told of it."""

from __future__ import annotations

import numpy as np

from scratch_net.conventions.crossentropy import output_as_logits
from scratch_net.conventions.factors import Factors
from scratch_net.conventions.instead import instead
from scratch_net.conventions.wrapping import wrap
from scratch_net.losses import Crossentropy, SparseCategoricalCrossentropy
from scratch_net.network import Loss


def _all_pairs(network):
    """`1/B**2 sum_b sum_k loss(y_k, p_b)`: every output against every target, where there is one output.

    `mean_k (y_k - p)**2 = (mean(y) - p)**2 + mean_k (y_k - mean(y))**2`, and a cross-entropy is linear in y: so each
    output meets the mean target, which takes B numbers and not B**2.
    """
    inner = network.loss
    if network.layers[-1].kernel.shape[-1] != 1 or isinstance(inner, SparseCategoricalCrossentropy):
        return

    def column(y, p):
        return y if y.ndim == p.ndim else y[..., None]

    def mean(y, p):
        return column(y, p).mean(axis=-2, keepdims=True, dtype=p.dtype)

    def spread(y, p):
        return inner.value(column(y, p), np.broadcast_to(mean(y, p), p.shape))

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

    instead(network, AllPairs)


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

    instead(network, Times)
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
        of_outputs = _of_outputs(factor)

        def reported(previous, loss, y):
            loss = previous(loss, y)
            data = loss.data * of_outputs(network.layers[-1].a)
            return Loss(data + sum(loss.penalties.values()), data, loss.penalties)

        wrap(network, "reported", reported)

    return install


LOSS = ("loss", "skips_activation", "from_logits")  # what a network has of its loss


def _told_as(change):
    """Tell the data loss as a network does that `change` was made of; the one that there is, is minimised."""

    def install(network):
        own = {name: getattr(network, name) for name in LOSS}
        change(network)
        other = {name: getattr(network, name) for name in LOSS}
        vars(network).update(own)
        if other == own:
            return

        def reported(previous, loss, y):
            loss, top = previous(loss, y), network.layers[-1]
            vars(network).update(other)
            data = network.data_loss(y, top.z, top.a)
            vars(network).update(own)
            return Loss(data + sum(loss.penalties.values()), data, loss.penalties)

        wrap(network, "reported", reported)

    return install


KERAS_CHOICE = {
    "loss.pairs": "elementwise",
    "loss.outputs": "as_named",
    "loss.batch": "mean",
    "loss.factor": "one",
    "loss.reported": "as_gradient",
}
CHOICES = {
    "loss.pairs": {"all_pairs": _all_pairs},
    "loss.outputs": {"mean": _mean_over_outputs, "sum": _sum_over_outputs},
    "loss.batch": {
        "sum": _factor(lambda p: p.shape[-2], over_batch="sum"),
        "mean_twice": _factor(lambda p: 1 / p.shape[-2]),
    },
    "loss.factor": Factors({"half": _factor(0.5), "double": _factor(2)}, _factor),
    "loss.reported": Factors(
        {
            "half": _told(0.5),
            "double": _told(2),
            "sum_outputs": _told(lambda p: p.shape[-1], over_outputs="mean"),
            "mean_outputs": _told(lambda p: 1 / p.shape[-1], over_outputs="sum"),
            "sum_batch": _told(lambda p: p.shape[-2], over_batch="mean"),
            "softmax_twice": _told_as(output_as_logits),
            "all_pairs": _told_as(_all_pairs),
        },
        _told,
    ),
}
