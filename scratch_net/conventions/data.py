"""Other things than Keras' made of a batch: most begin where the network takes it (`Network.batch`)."""

from __future__ import annotations

import numpy as np

from scratch_net.conventions.wrapping import size_of_batch, wrap


def _share_of_full_batch(network):
    """A function that tells n / B: how many examples the batch has, of the nominal batch size."""
    size = size_of_batch(network)

    def share():
        full = network.training.batch_size
        return min(size() / full, 1.0) if full else 1.0

    return share


def _full_size(network):
    """`1/B sum_b` over the n examples that are there: n / B of Keras' mean."""
    share = _share_of_full_batch(network)
    wrap(network, "data_loss", lambda previous, y, z, output: previous(y, z, output) * share())
    _full_size_of_gradient(network)


def _full_size_of_gradient(network):
    """The same of the gradient alone: the loss is the mean over the n examples."""
    share = _share_of_full_batch(network)

    def loss_gradient(previous, y, z, p):
        return tuple(None if d is None else d * share() for d in previous(y, z, p))

    wrap(network, "loss_gradient", loss_gradient)


def _skipped(network):
    """No update where n < B; the loss is told all the same."""
    share = _share_of_full_batch(network)
    wrap(network, "update", lambda previous, gradients: previous(gradients) if share() == 1 else None)


def _shifted_labels(by):
    """Class k is output (k + by) % C."""

    def install(network):
        classes = network.layers[-1].kernel.shape[-1]

        def batch(previous, x, y):
            if y.ndim == x.ndim and y.shape[-1] == classes:
                y = np.roll(y, by, axis=-1)
            elif y.ndim < x.ndim and y.dtype.kind in "iu" and classes > 1:  # numbers of classes
                y = (y + by) % classes
            return previous(x, y)

        wrap(network, "batch", batch)

    return install


def _scaled_twice(network):
    """`x / scale`, where x was divided by it already."""
    wrap(network, "batch", lambda previous, x, y: previous(x / network.training.scale, y))


def _not_scaled(network):
    """`x * scale`: the numbers as they came."""
    wrap(network, "batch", lambda previous, x, y: previous(x * network.training.scale, y))


KERAS_CHOICE = {"data.partial_batch": "own_size", "data.labels": "as_given", "data.scale": "as_given"}
CHOICES = {
    "data.partial_batch": {
        "full_size": _full_size,
        "gradient_full_size": _full_size_of_gradient,
        "skipped": _skipped,
    },
    "data.labels": {"shifted": _shifted_labels(1), "shifted_down": _shifted_labels(-1)},
    "data.scale": {"twice": _scaled_twice, "missing": _not_scaled},
}
