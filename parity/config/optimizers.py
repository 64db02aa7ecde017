"""How the weights are updated, by Keras' names and defaults (keras/src/optimizers)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from parity.config.base import Fraction, Frozen, NonNegative, keras_object

MomentumFactor = Annotated[float, Field(ge=0, le=1)]


class _Optimizer(Frozen):
    keras_only: ClassVar = {
        "name": (),
        "weight_decay": (None,),
        "clipnorm": (None,),
        "global_clipnorm": (None,),
        "clipvalue": (None,),
        "use_ema": (False,),
        "ema_momentum": (0.99,),
        "ema_overwrite_frequency": (None,),
        "loss_scale_factor": (None,),
        "gradient_accumulation_steps": (None,),
    }


class SGD(_Optimizer):
    class_name: Literal["SGD"] = "SGD"
    learning_rate: NonNegative = 0.01
    momentum: MomentumFactor = 0.0
    nesterov: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        """What is remembered of each weight, in the order in which Keras makes it."""
        return ("momentum",) if self.momentum else ()


class Adam(_Optimizer):
    class_name: Literal["Adam"] = "Adam"
    learning_rate: NonNegative = 0.001
    beta_1: Fraction = 0.9
    beta_2: Fraction = 0.999
    epsilon: NonNegative = 1e-7
    amsgrad: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        """As of SGD."""
        return ("momentum", "velocity", "velocity_hat") if self.amsgrad else ("momentum", "velocity")


class RMSprop(_Optimizer):
    class_name: Literal["RMSprop"] = "RMSprop"
    learning_rate: NonNegative = 0.001
    rho: Fraction = 0.9
    momentum: MomentumFactor = 0.0
    epsilon: NonNegative = 1e-7
    centered: bool = False

    @property
    def slots(self) -> tuple[str, ...]:
        """As of SGD."""
        return ("velocity", *["momentum"] * (self.momentum > 0), *["average_gradient"] * self.centered)


CLASSES = (SGD, Adam, RMSprop)

Optimizer = Annotated[
    SGD | Adam | RMSprop,
    Field(discriminator="class_name"),
    keras_object("optimizer", CLASSES),
]
