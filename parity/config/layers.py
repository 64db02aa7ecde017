"""The layers of a Sequential network, by Keras' names (keras/src/layers/core/dense.py)."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from parity.config.base import Count, Frozen, keras_object
from parity.config.initializers import GlorotUniform, Initializer, Zeros
from parity.config.regularizers import Regularizer

ActivationName = Annotated[
    Literal["linear", "sigmoid", "tanh", "relu", "softmax"],
    BeforeValidator(lambda given: "linear" if given is None else given),  # Dense(activation=None) is linear
]


# The dtype of a layer is the experiment's precision; float32 is what Keras writes where nobody chose one.
_DEFAULT_POLICY = {
    "module": "keras",
    "class_name": "DTypePolicy",
    "config": {"name": "float32"},
    "registered_name": None,
}


class Dense(Frozen):
    """`activation(x @ kernel + bias)` with x of shape (batch, inputs) and kernel of shape (inputs, units)."""

    keras_only: ClassVar = {
        "trainable": (True,),
        "dtype": (None, "float32", _DEFAULT_POLICY),
        "kernel_constraint": (None,),
        "bias_constraint": (None,),
        "lora_rank": (None,),
        "lora_alpha": (None,),
        "quantization_config": (None,),
    }

    class_name: Literal["Dense"] = "Dense"
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.][A-Za-z0-9_.\-]*$")] | None = None
    """None takes Keras' automatic name: dense, dense_1, ..."""
    units: Count
    activation: ActivationName = "linear"
    use_bias: bool = True
    kernel_initializer: Initializer = GlorotUniform()
    bias_initializer: Initializer = Zeros()
    kernel_regularizer: Regularizer | None = None
    bias_regularizer: Regularizer | None = None
    activity_regularizer: Regularizer | None = None


CLASSES = (Dense,)

Layer = Annotated[Dense, keras_object("layer", CLASSES, shorthand=lambda _: "Dense")]
