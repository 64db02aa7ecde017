"""Products that several networks share: those with other conventions that are given the very same batch.

For a large batch, most of a step is the product of the batch with a kernel, and of its transpose with dz. Few
conventions change what is multiplied, and a product of the same numbers has the same bits.
"""

from __future__ import annotations

from collections import deque

import numpy as np

MANY = 256
"""Examples of a batch that make its products worth keeping."""
KEPT = 16
"""Results that are kept of one batch for one purpose: of some steps, and of some networks."""


def keeps(x):
    """Whether it is worth it to keep what is made of a batch, and nobody can change it."""
    return len(x) >= MANY and not x.flags.writeable


class Products:
    """What was made of batches that nobody can write to, for all networks that are given the very same arrays."""

    def __init__(self):
        self._made = {}

    def of(self, what, make, same, x, *others):
        """`make()`, or what it was for this x and others of which each was the same: `same(then, now)`."""
        if not keeps(x):
            return make()
        key = what, x.__array_interface__["data"], x.shape, x.strides
        known = self._made.setdefault(key, deque(maxlen=KEPT))
        for _, then, made in known:
            if len(then) == len(others) and all(map(same, then, others)):
                return made
        made = make()
        known.append((x, [other.copy() for other in others], made))  # with x kept, its address stays its own
        return made


def share(network, products, *, gradients):
    """Let the layers of a network take their products from there; first of all, as what they do may be changed.

    Their gradients, too, unless each network has its own dz.
    """
    for layer in network.layers:
        _share_affine(layer, products)
        if gradients:
            _share_gradients(layer, products)


def _share_affine(layer, products):
    def affine(x):
        kind = type(layer)  # which may multiply otherwise
        if not keeps(x):
            return kind.affine(layer, x)

        def make():
            return kind.affine(layer, x)

        return products.of((kind, "affine"), make, np.array_equal, x, *layer.weights.values()).copy()

    layer.affine = affine


def _share_gradients(layer, products):
    def copied(made):
        return {name: g.copy() for name, g in made.items()}

    def backward_weights(x, dz):
        kind = type(layer)
        if not keeps(x):
            return kind.backward_weights(layer, x, dz)

        def make():
            return copied(kind.backward_weights(layer, x, dz))

        return copied(products.of((kind, layer.name, "gradients"), make, np.array_equal, x, dz))

    layer.backward_weights = backward_weights
