"""What Keras trains of a model, where the model's configuration would tell something else.

`get_config` tells an activation by its name alone, so that one of somebody's own seems to be Keras' of that name; and
it tells attributes that were changed after they had their effect, which Keras reads no more. So does `model.loss`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from types import FunctionType
from typing import Any

from parity.errors import UsageError

_STEPS = ("train_step", "make_train_function", "fit")
OWN_STEPS = (
    "the model {!r} has a {} of its own; the reference takes the steps of keras.Model.fit alone. Allowed: call and "
    "compute_loss of its own. Compute in compute_loss what differs, and leave {} as Keras has it"
)


def serialized(keras: Any, made: Any) -> Any:
    """An object's serialised form; of one that has none, its name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of lambdas, which nobody is going to load
        try:
            return keras.saving.serialize_keras_object(made)
        except Exception:  # noqa: BLE001  # a stranger's get_config
            name = getattr(made, "name", None)
            return {"class_name": type(made).__name__, "module": None, "config": {"name": name} if name else {}}


def check_steps(keras: Any, model: Any) -> None:
    """Whether Keras' own steps train it.

    Raises:
        UsageError: it has steps of its own, of which nothing would be known but that they were not taken.
    """
    if own := ", ".join(name for name in _STEPS if is_own(keras, model, name)):
        raise UsageError(OWN_STEPS.format(model.name, own, own))


def is_own(keras: Any, model: Any, method: str) -> bool:
    """Whether a method is not keras.Model's: its class has another, or somebody has set one on the model itself."""
    return getattr(getattr(model, method), "__func__", None) is not getattr(keras.Model, method)


def serialized_layer(keras: Any, layer: Any) -> dict[str, Any]:
    """A built layer's serialised form, with the activation that it calls and what its variables are trained with."""
    form = serialized(keras, layer)
    config = dict(form["config"] or {})
    function = getattr(layer, "activation", None)
    if "activation" in config and isinstance(function, FunctionType):
        name = function.__name__
        keras_own = getattr(keras.activations, name, None) is function
        config["activation"] = name if keras_own else f"{function.__module__}.{function.__qualname__}"
    for weight in layer.weights:
        if f"{weight.name}_regularizer" in config:
            config[f"{weight.name}_regularizer"] = serialized(keras, weight.regularizer)
            config[f"{weight.name}_constraint"] = serialized(keras, weight.constraint)
            config["trainable"] = config.get("trainable", True) and weight.trainable
    return {**form, "config": config}


def serialized_loss(keras: Any, model: Any) -> Any:
    """The one loss of a compiled model, serialised; of a function of Keras' own its name.

    Raises:
        UsageError: it was compiled with several, or with one for an output that it does not have.
    """
    loss = _one_loss(model)
    name = str(getattr(loss, "__name__", ""))
    # The serialised form of a function does not say whose it is.
    return name if getattr(keras.losses, name, None) is loss else serialized(keras, loss)


def _one_loss(model: Any) -> Any:
    """As Keras takes it: a list of one, or a loss by the name of the only output, is that one."""
    loss, outputs = model._compile_loss._user_loss, model._compile_loss.output_names or ()  # noqa: SLF001
    if isinstance(loss, Mapping) and {*loss} != {*outputs}:
        known = f"it has {', '.join(outputs)}" if outputs else "Keras knows its outputs by no name"
        msg = f"the model {model.name!r} is compiled with a loss for the output {', '.join(loss)}, but {known}; "
        raise UsageError(msg + "give compile the loss alone")
    while isinstance(loss, Mapping | list | tuple):
        if len(loss) != 1:
            raise UsageError(f"the model {model.name!r} is compiled with {len(loss)} losses; one is compared")
        (loss,) = loss.values() if isinstance(loss, Mapping) else loss
    return loss
