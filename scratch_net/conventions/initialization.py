"""Other initial weights than Keras', where the network draws its own.

They are drawn before there is a network: `initializers`, `asked_for` and `seeds` have the choices, and on a network
they change nothing.
"""

from __future__ import annotations

import math

from scratch_net.initializers import INITIALIZERS, NORMAL, UNIFORM, variance


def initializers(choices):
    """`INITIALIZERS` with these choices: {"init.fan": "swapped", ...}."""
    found = dict(INITIALIZERS)
    if choices.get("init.normal") == "plain":
        found |= {name: _plain_normal(mode) for name, mode in NORMAL.items()}
    if choices.get("init.uniform") == "stddev":
        found |= {name: _narrow_uniform(mode) for name, mode in UNIFORM.items()}
    if choices.get("init.fan") == "swapped":
        found |= {name: _swapped(found[name]) for name in (*NORMAL, *UNIFORM)}
    return found


def asked_for(choices, initializer, parameters, inputs):
    """The name of the initializer of a weight of a layer with so many inputs, and its parameters."""
    if choices.get("init.initializers") != "pytorch":
        return initializer, parameters
    limit = 1 / math.sqrt(inputs)
    return "RandomUniform", {"minval": -limit, "maxval": limit}


def seeds(choices, next_seed):
    """`next_seed`, or a function that gives the first seed again and again."""
    if choices.get("init.seed") != "shared":
        return next_seed
    first = next_seed()
    return lambda: first


def _plain_normal(mode):
    """`stddev * N(0, 1)`, not cut off."""
    return lambda shape, _, random: random.normal(shape, 0.0, math.sqrt(variance(mode, shape)))


def _narrow_uniform(mode):
    """U(-stddev, stddev), whose standard deviation is `stddev / sqrt(3)`."""

    def draw(shape, _, random):
        limit = math.sqrt(variance(mode, shape))
        return random.uniform(shape, -limit, limit)

    return draw


def _swapped(initializer):
    """Fan-in and fan-out of `kernel.T`, in the order of the kernel."""
    return lambda shape, dtype, random: initializer(shape[::-1], dtype, random).reshape(shape)


def _drawn_before(network):
    pass


KERAS_CHOICE = {
    "init.normal": "truncated",
    "init.uniform": "sqrt_3",
    "init.fan": "as_named",
    "init.initializers": "as_given",
    "init.seed": "of_each",
}
CHOICES = {
    "init.normal": {"plain": _drawn_before},
    "init.uniform": {"stddev": _drawn_before},
    "init.fan": {"swapped": _drawn_before},
    "init.initializers": {"pytorch": _drawn_before},
    "init.seed": {"shared": _drawn_before},
}
