"""The laws: what holds for every row of the table. A law is a function that asserts; its name is what it says.

The oracle is Keras, run; where a law needs none of it (a gradient is the slope of its value), it says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from parity.config import Experiment, validate
from tests.suite.table import PRECISIONS, TABLE

Holds = Callable[[Any, str], None]


@dataclass(frozen=True)
class Law:
    """`holds(said, precision)` asserts it of one row."""

    kind: str
    holds: Holds
    of: Callable[[Any], bool]
    precisions: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.holds.__name__


LAWS: list[Law] = []


def law(
    kind: str, *, of: Callable[[Any], bool] = lambda _: True, precisions: tuple[str, ...] = PRECISIONS
) -> Callable[[Holds], Holds]:
    """Register a law of a kind: for the rows that `of` is true of, in these precisions."""

    def register(holds: Holds) -> Holds:
        LAWS.append(Law(kind, holds, of, precisions))
        return holds

    return register


def applications() -> Iterator[tuple[Law, str, str]]:
    """Every law with every row it is about and every precision."""
    for one in LAWS:
        for row, said in TABLE[one.kind].items():
            if one.of(said):
                for precision in one.precisions:
                    yield one, row, precision


def small_experiment(**settings: Any) -> Experiment:
    """Whatever a law is not about is as simple as can be."""
    simple = {
        "data": {"source": "regression", "features": 5, "samples": 8},
        "layers": [{"units": 3, "activation": "tanh"}, {"units": 1, "name": "out_put"}],
        "loss": "mse",
        "optimizer": "sgd",
        "seed": 11,
    }
    return validate({**simple, **settings})


from tests.suite.laws import activations, initializers, losses, metrics, optimizers, regularizers  # noqa: E402, F401
