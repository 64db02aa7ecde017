"""The `tf.keras` Sequential that an experiment describes, compiled."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras_ref.runtime import keras, set_precision
from parity.config import Experiment


def sum_squared_error(y_true: Any, y_pred: Any) -> Any:
    """`sum over the outputs of (y - p)**2` for each example; Keras takes the mean over the batch."""
    return keras.ops.sum(keras.ops.square(y_true - y_pred), axis=-1)


def _made(module: Any, config: Any) -> Any:
    """The Keras object of a config: same class name, same parameters."""
    return None if config is None else getattr(module, config.class_name)(**config.model_dump(exclude={"class_name"}))


def _loss(experiment: Experiment) -> Any:
    if experiment.loss.class_name == "SumSquaredError":
        return sum_squared_error
    return _made(keras.losses, experiment.loss)


def _dense(config: Any) -> Any:
    return keras.layers.Dense(
        config.units,
        activation=config.activation,
        use_bias=config.use_bias,
        kernel_initializer=_made(keras.initializers, config.kernel_initializer),
        bias_initializer=_made(keras.initializers, config.bias_initializer),
        kernel_regularizer=_made(keras.regularizers, config.kernel_regularizer),
        bias_regularizer=_made(keras.regularizers, config.bias_regularizer),
        activity_regularizer=_made(keras.regularizers, config.activity_regularizer),
        name=config.name,
    )


_LAYERS: dict[str, Callable[[Any], Any]] = {"Dense": _dense}


def build(experiment: Experiment, inputs: int, precision: str) -> Any:
    """A compiled model with its initial weights drawn under the experiment's seed.

    `jit_compile=False` is what Keras chooses by itself on a processor without a GPU.
    """
    set_precision(precision)
    keras.utils.set_random_seed(experiment.seed)
    layers = [_LAYERS[config.class_name](config) for config in experiment.layers]
    given = keras.Input((inputs,), name="inputs_" + max(experiment.layer_names, key=len))  # longer: no layer's name
    model = keras.Sequential([given, *layers], name="reference")  # uses up no names
    model.compile(
        optimizer=_made(keras.optimizers, experiment.optimizer),
        loss=_loss(experiment),
        metrics=list(experiment.metrics) or None,
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


def named_weights(model: Any) -> dict[str, Any]:
    """`dense/kernel` -> variable, in Keras' order."""
    return {f"{layer.name}/{variable.name}": variable for layer in model.layers for variable in layer.weights}


def named_slots(model: Any, optimizer: Any = None) -> dict[str, Any]:
    """`dense/kernel/momentum`, `optimizer/iterations`, ... -> variable, of the model's or of another optimizer.

    Keras calls a slot by the path of its weight, `/` replaced by `_`, and its own name behind
    (keras/src/optimizers/base_optimizer.py, add_variable_from_reference).
    """
    optimizer = optimizer or model.optimizer
    rate = optimizer._learning_rate  # noqa: SLF001  # the variable; `learning_rate` gives its value
    own = {id(optimizer.iterations): "optimizer/iterations", id(rate): "optimizer/learning_rate"}
    prefixes = {variable.path.replace("/", "_") + "_": name for name, variable in named_weights(model).items()}
    named = {}
    for variable in optimizer.variables:
        if id(variable) in own:
            named[own[id(variable)]] = variable
        else:
            prefix = max((prefix for prefix in prefixes if variable.name.startswith(prefix)), key=len)
            named[f"{prefixes[prefix]}/{variable.name.removeprefix(prefix)}"] = variable
    return named
