"""Penalties added to the loss, by Keras' names (keras/src/regularizers/regularizers.py).

Keras adds `l1 * sum(|w|)` and `l2 * sum(w**2)`, without a factor one half.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from parity.config.base import Frozen, NonNegative, keras_object


class L1(Frozen):
    class_name: Literal["L1"] = "L1"
    l1: NonNegative = 0.01


class L2(Frozen):
    class_name: Literal["L2"] = "L2"
    l2: NonNegative = 0.01


class L1L2(Frozen):
    class_name: Literal["L1L2"] = "L1L2"
    l1: NonNegative = 0.0
    l2: NonNegative = 0.0


def _named_by_keys(given: Mapping[str, Any]) -> str | None:
    """`{l2 = 0.01}` says it all: the keys name the class. What is in none is told beside all that may be given."""
    if not given:
        return None
    return {frozenset({"l1"}): "L1", frozenset({"l2"}): "L2"}.get(frozenset(given), "L1L2")


CLASSES = (L1, L2, L1L2)

Regularizer = Annotated[
    L1 | L2 | L1L2,
    Field(discriminator="class_name"),
    keras_object("regularizer", CLASSES, aliases={"l1_l2": "L1L2"}, shorthand=_named_by_keys),
]
