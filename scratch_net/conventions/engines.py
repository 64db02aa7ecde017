"""How gradients come about: by backpropagation, or by other ways that should give the same."""

from __future__ import annotations

from scratch_net.finite_differences import FiniteDifferences
from scratch_net.per_example import PerExampleDense


def _differences(*, central):
    def install(network):
        network.differences = FiniteDifferences(central=central)
        network.stacks = False

    return install


def _per_example(network):
    network.stacks = False
    for layer in network.layers:
        layer.__class__ = PerExampleDense  # the same layer, its products written as loops


KERAS_CHOICE = {"gradient.engine": "backpropagation"}
CHOICES = {
    "gradient.engine": {
        "forward": _differences(central=False),
        "central": _differences(central=True),
        "per_example": _per_example,
    },
}


def _difference_step(network, value):
    network.differences.step = value


NUMBERS = {"gradient.step": _difference_step}
