"""How the weights are updated, by Keras' names and defaults (keras/src/optimizers)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from parity.config.base import Fraction, Frozen, NonNegative, keras_object

MomentumFactor = Annotated[float, Field(ge=0, le=1)]


class SGD(Frozen):
    class_name: Literal["SGD"] = "SGD"
    learning_rate: NonNegative = 0.01
    momentum: MomentumFactor = 0.0
    nesterov: bool = False


class Adam(Frozen):
    class_name: Literal["Adam"] = "Adam"
    learning_rate: NonNegative = 0.001
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: NonNegative = 1e-7
    amsgrad: bool = False


class RMSprop(Frozen):
    class_name: Literal["RMSprop"] = "RMSprop"
    learning_rate: NonNegative = 0.001
    rho: Fraction = 0.9
    momentum: MomentumFactor = 0.0
    epsilon: NonNegative = 1e-7
    centered: bool = False


CLASSES = (SGD, Adam, RMSprop)

Optimizer = Annotated[
    SGD | Adam | RMSprop,
    Field(discriminator="class_name"),
    keras_object("optimizer", CLASSES),
]
