"""How a choice changes a method: the method as it was is kept, so that choices made before go on to hold inside."""

from __future__ import annotations


def wrap(owner, method, changed):
    """Let `owner.method(...)` be `changed(previous, ...)` from now on, for this one object."""
    previous = getattr(owner, method)
    setattr(owner, method, lambda *arguments, **named: changed(previous, *arguments, **named))


def size_of_batch(network):
    """A function that tells how many examples the batch has that the network was last given."""
    last = {}

    def batch(previous, x, y):
        last["size"] = x.shape[-2]
        return previous(x, y)

    wrap(network, "batch", batch)
    return lambda: last["size"]
