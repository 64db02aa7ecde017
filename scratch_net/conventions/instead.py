"""How a loss is changed: by a subclass of it, so that it is still of its class and the one before does the rest."""

from __future__ import annotations


def instead(network, other):
    """Put a loss of class `other`, a subclass of the present loss's, in its place, with its numbers."""
    numbers = {name: value for name, value in vars(network.loss).items() if not callable(value)}
    network.loss = object.__new__(other)
    vars(network.loss).update(numbers)
