"""A Keras model that somebody already has, as an experiment: as far as that can say it, and beyond."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from parity.config.base import Frozen
from parity.config.experiment import Experiment, Precision
from parity.config.layers import Dense
from parity.config.losses import Loss
from parity.config.numbers import Listed
from parity.config.optimizers import Optimizer


class Opaque(Frozen):
    """What only Keras can compute: it comes with a model, and no experiment file can say it."""

    class_name: str
    name: str | None = None
    config: dict[str, Any] = {}  # noqa: RUF012  # pydantic copies it
    """As Keras serialises it; empty where it cannot."""


class ModelExperiment(Experiment):
    """The training of a model that an experiment cannot express; the reference is then that very model."""

    # Wider than an experiment's own: whoever asks for a layer's units has to know that it is one that has any.
    layers: Listed[Dense | Opaque]  # type: ignore[assignment]  # a model has layers that no experiment can say
    loss: Loss | Opaque  # type: ignore[assignment]
    optimizer: Optimizer | Opaque  # type: ignore[assignment]
    weight_shapes: dict[str, Listed[int]]
    """`conv2d/kernel` -> its shape, in Keras' order."""
    inexpressible: Listed[str]
    """What the NumPy network cannot be told, by name."""


@dataclass(frozen=True)
class GivenModel:
    """What was read of a model."""

    name: str
    settings: Mapping[str, Any]
    """`layers`, `loss`, `optimizer`, `metrics` and `precision` of an experiment; some of them may be `Opaque`."""
    weights: Mapping[str, npt.NDArray[Any]]
    inputs: tuple[int | None, ...] | None
    """Shape of an example; None where any size will do, or nobody knows."""
    state: Mapping[str, npt.NDArray[Any]] = field(default_factory=dict)
    """What its optimizer remembers, by the names of `initial_state`; empty where it has taken no step."""
    inexpressible: tuple[str, ...] = ()
    """What an experiment cannot say, each by name with the reason."""
    left_out: tuple[tuple[str, str], ...] = ()
    """What takes no part in the comparison although the model has it, and why."""
    precision: Precision = "float32"
    """What it computes in."""
    side: Any = None
    """The model itself as a side, where it is a model and not a file."""
