"""What is minimised, by Keras' names (keras/src/losses/losses.py)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from parity.config.base import Fraction, Frozen, keras_object


class _Loss(Frozen):
    keras_only: ClassVar = {
        "name": (),
        "reduction": ("sum_over_batch_size", "mean"),  # without sample weights these are the same
        "dtype": (None,),
        "axis": (-1,),
        "ignore_class": (None,),
    }


class MeanSquaredError(_Loss):
    """`mean over the outputs of (y - p)**2`, then the mean over the batch."""

    class_name: Literal["MeanSquaredError"] = "MeanSquaredError"


class SumSquaredError(_Loss):
    """`sum over the outputs of (y - p)**2`, then the mean over the batch.

    Not a class of Keras': its Keras side is a loss function given to `compile`.
    """

    class_name: Literal["SumSquaredError"] = "SumSquaredError"


class _Crossentropy(_Loss):
    from_logits: bool = False


class CategoricalCrossentropy(_Crossentropy):
    class_name: Literal["CategoricalCrossentropy"] = "CategoricalCrossentropy"
    label_smoothing: Fraction = 0.0


class SparseCategoricalCrossentropy(_Crossentropy):
    class_name: Literal["SparseCategoricalCrossentropy"] = "SparseCategoricalCrossentropy"


class BinaryCrossentropy(_Crossentropy):
    class_name: Literal["BinaryCrossentropy"] = "BinaryCrossentropy"
    label_smoothing: Fraction = 0.0


CLASSES = (
    MeanSquaredError,
    SumSquaredError,
    CategoricalCrossentropy,
    SparseCategoricalCrossentropy,
    BinaryCrossentropy,
)

Loss = Annotated[
    MeanSquaredError | SumSquaredError | CategoricalCrossentropy | SparseCategoricalCrossentropy | BinaryCrossentropy,
    Field(discriminator="class_name"),
    keras_object(
        "loss", CLASSES, aliases={"mse": "MeanSquaredError", "sse": "SumSquaredError", "bce": "BinaryCrossentropy"}
    ),
]
