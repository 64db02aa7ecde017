"""Initial values of a weight, by Keras' names (keras/src/initializers)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from parity.config.base import Frozen, NonNegative, keras_object


class Zeros(Frozen):
    class_name: Literal["Zeros"] = "Zeros"


class Ones(Frozen):
    class_name: Literal["Ones"] = "Ones"


class Constant(Frozen):
    class_name: Literal["Constant"] = "Constant"
    value: float = 0.0


class _Random(Frozen):
    seed: int | None = None
    """None draws the seed as Keras does, from the experiment's seed in the order of the layers."""


class RandomNormal(_Random):
    class_name: Literal["RandomNormal"] = "RandomNormal"
    mean: float = 0.0
    stddev: NonNegative = 0.05


class TruncatedNormal(_Random):
    class_name: Literal["TruncatedNormal"] = "TruncatedNormal"
    mean: float = 0.0
    stddev: NonNegative = 0.05


class RandomUniform(_Random):
    class_name: Literal["RandomUniform"] = "RandomUniform"
    minval: float = -0.05
    maxval: float = 0.05

    @model_validator(mode="after")
    def _ordered(self) -> RandomUniform:
        if self.minval > self.maxval:
            wrong = f"minval {self.minval} is above maxval {self.maxval}; allowed: minval <= maxval"
            raise PydanticCustomError("inconsistent", "{wrong}", {"wrong": wrong})
        return self


class _VarianceScaled(_Random):
    keras_only: ClassVar = {"input_axes": (None,), "output_axes": (None,)}


class GlorotUniform(_VarianceScaled):
    class_name: Literal["GlorotUniform"] = "GlorotUniform"


class GlorotNormal(_VarianceScaled):
    class_name: Literal["GlorotNormal"] = "GlorotNormal"


class HeUniform(_VarianceScaled):
    class_name: Literal["HeUniform"] = "HeUniform"


class HeNormal(_VarianceScaled):
    class_name: Literal["HeNormal"] = "HeNormal"


class LecunUniform(_VarianceScaled):
    class_name: Literal["LecunUniform"] = "LecunUniform"


class LecunNormal(_VarianceScaled):
    class_name: Literal["LecunNormal"] = "LecunNormal"


CLASSES = (
    Zeros,
    Ones,
    Constant,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    GlorotUniform,
    GlorotNormal,
    HeUniform,
    HeNormal,
    LecunUniform,
    LecunNormal,
)

Initializer = Annotated[
    Zeros
    | Ones
    | Constant
    | RandomNormal
    | RandomUniform
    | TruncatedNormal
    | GlorotUniform
    | GlorotNormal
    | HeUniform
    | HeNormal
    | LecunUniform
    | LecunNormal,
    Field(discriminator="class_name"),
    keras_object(
        "initializer",
        CLASSES,
        aliases={"normal": "RandomNormal", "uniform": "RandomUniform", "zero": "Zeros", "one": "Ones"},
    ),
]
