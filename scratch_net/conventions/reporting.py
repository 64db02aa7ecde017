"""What is printed of a step; the weights agree in all of these.

A replay takes steps apart and has no order: there the loss is told as Keras tells it, and these choices are seen in the
run itself.
"""

from __future__ import annotations

import numpy as np

from scratch_net.conventions.wrapping import wrap
from scratch_net.network import Loss


class LastBatch:
    """The batch of the update that was made since a loss was last computed; None in a replay, which makes none."""

    def __init__(self, network):
        self.x = None
        update, loss_of = network.update, network.loss_of

        def remember(gradients):
            x = network.layers[0].x
            update(gradients)
            self.x = x

        def forget(y, output):
            self.x = None
            return loss_of(y, output)

        network.update, network.loss_of = remember, forget


def _after_update(network):
    """The loss of the batch with the weights that the update made."""
    last = LastBatch(network)

    def reported(previous, loss, y):
        if last.x is None:
            return previous(loss, y)
        kept = [(layer, vars(layer).copy()) for layer in network.layers]
        x = last.x
        for layer in network.layers:
            layer.buffers = {}  # what the step computed is still to be told
            x = layer.forward(x)
        told = previous(network.loss_of(y, x), y)
        for layer, attributes in kept:
            vars(layer).update(attributes)
        return told

    wrap(network, "reported", reported)


def _running(network):
    """The mean of the losses of the batches so far."""
    last, told = LastBatch(network), []

    def reported(previous, loss, y):
        made = last.x is not None
        loss = previous(loss, y)
        if not made:
            return loss
        told[:] = [_sum(told[0], loss), told[1] + 1] if told else [loss, 1]
        return _over(*told)

    wrap(network, "reported", reported)


def _sum(one, other):
    penalties = {name: penalty + other.penalties[name] for name, penalty in one.penalties.items()}
    return Loss(one.whole + other.whole, one.data + other.data, penalties)


def _over(loss, count):
    return Loss(loss.whole / count, loss.data / count, {name: p / count for name, p in loss.penalties.items()})


def _binary_accuracy(network):
    """The share of outputs that are on the right side of one half, all outputs of all examples counted alike."""
    before = network.metrics.get("accuracy")

    def accuracy(y, p):
        if p.shape[-1] == 1:
            return before(y, p)
        y = y if y.shape == p.shape else y.reshape(p.shape[:-1])[..., None] == np.arange(p.shape[-1])
        return ((p > 0.5) == y).mean(axis=(-2, -1), dtype=p.dtype)

    if before is not None:
        network.metrics = {**network.metrics, "accuracy": accuracy}


KERAS_CHOICE = {"report.when": "before_update", "report.mean": "batch", "report.accuracy": "resolved"}
CHOICES = {
    "report.when": {"after_update": _after_update},
    "report.mean": {"running": _running},
    "report.accuracy": {"binary": _binary_accuracy},
}
