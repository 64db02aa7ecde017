"""A compiled Keras model that somebody has, as a side: the very model is trained, and given back as it was.

Each step is what keras/src/backend/tensorflow/trainer.py does in `train_step`, with the loss, the output and the
gradients told beside it; tests/keras_ref/test_from_model.py proves that it ends bitwise as `model.fit` does. Nothing
inside a layer is looked at, so that any layer will do.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_ref import runtime
from keras_ref.build import named_slots
from keras_ref.runtime import tf
from parity.config import Experiment
from parity.errors import UsageError
from parity.protocol import Array


class ModelSide:
    """A side by the protocol of `parity.protocol`. The optimizer is another one, so that the model keeps its own."""

    lasting = True

    def __init__(self, model: Any) -> None:
        self.model = model
        self.variables = _named(model)
        self._kept = [(variable, np.array(variable)) for variable in _every(model)]
        self._last = model.layers[-1].name

    def initial(self) -> dict[str, Array]:
        """The weights that the model came with."""
        return {name: np.array(variable) for name, variable in self.variables.items()}

    def close(self) -> None:
        """Give the model back as it came: its weights, and the state of its dropout and metrics."""
        for variable, value in self._kept:
            variable.assign(value)

    def check(self, x: Array, y: Array) -> None:
        """Whether the model can be trained on such examples.

        Raises:
            UsageError: Keras cannot take them.
        """
        try:
            predicted = self.model(tf.constant(x), training=False)
            self.model._compute_loss(x=x, y=tf.constant(y), y_pred=predicted, training=False)  # noqa: SLF001
        except Exception as error:  # noqa: BLE001  # whatever Keras or a stranger's layer raises
            told = str(error).strip().partition("\n")[0]
            msg = f"the model {self.model.name!r} does not take x of shape {x.shape[1:]} and y of shape {y.shape[1:]}: "
            raise UsageError(msg + f"{type(error).__name__}: {told}") from None

    def environment(self) -> dict[str, str]:
        """The model is trained as it would be in this process without us: fused, if layers are."""
        return {**runtime.environment(), "onednn": "on" if runtime.ONEDNN else "off"}

    def initial_weights(self, experiment: Experiment, inputs: int, precision: str) -> dict[str, Array]:  # noqa: ARG002
        return self.initial()

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:  # noqa: ARG002  # it is the model's
        self.close()
        for name, variable in self.variables.items():
            variable.assign(weights[name])
        self.optimizer = _fresh(self.model.optimizer, self.model.trainable_variables)
        self.optimizer.build(self.model.trainable_variables)
        self._step: Any = None

    def initial_state(self) -> dict[str, Array]:
        return {}

    def set_state(self, state: Mapping[str, Array]) -> None:
        for name, slot in named_slots(self.model, self.optimizer).items():
            if name in state:
                slot.assign(state[name])

    def weights(self) -> dict[str, Array]:
        return self.initial()

    def step(self, x: Array, y: Array) -> dict[str, Any]:
        x, y = tf.constant(x), tf.constant(y)
        if self._step is None:
            # `fit` leaves the size of a batch open. A known one is a constant, and TensorFlow moves it within products:
            # for the gradient of mean(d**4) it computes (c * d) * (d * d), where `fit` computes c * (d * (d * d)).
            any_batch = [tf.TensorSpec((None, *given.shape[1:]), given.dtype) for given in (x, y)]
            compiled = tf.function(self._train, any_batch, jit_compile=False)
            self._step = self._train if self.model.run_eagerly else compiled
        said = self._step(x, y)
        return {**tf.nest.map_structure(np.array, said), "weights": self.initial()}

    def _train(self, x: Any, y: Any) -> dict[str, Any]:
        model, trainable = self.model, self.model.trainable_weights
        with tf.GradientTape() as tape:
            predicted = model(x, training=True) if model._call_has_training_arg else model(x)  # noqa: SLF001
            loss = model._compute_loss(x=x, y=y, y_pred=predicted, sample_weight=None, training=True)  # noqa: SLF001
            scaled = self.optimizer.scale_loss(loss)
        gradients = tape.gradient(scaled, trainable)
        self.optimizer.apply_gradients(zip(gradients, trainable, strict=True))
        names = {id(variable): name for name, variable in self.variables.items()}
        told = {
            names[id(weight)]: tf.convert_to_tensor(gradient)
            for weight, gradient in zip(trainable, gradients, strict=True)
            if gradient is not None
        }
        return {"loss": loss, "output": {self._last: predicted}, "gradient": told}


def _fresh(optimizer: Any, variables: list[Any]) -> Any:
    """Another optimizer of the same settings, those included that its configuration does not tell."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of lambdas, which are not serialised for anybody to load
            config = optimizer.get_config()
        if isinstance(config.get("learning_rate"), Mapping):  # serialised: a schedule or a function, and here it is
            config["learning_rate"] = optimizer._learning_rate  # noqa: SLF001
        if hasattr(optimizer, "inner_optimizer"):
            another = type(optimizer)(**{**config, "inner_optimizer": _fresh(optimizer.inner_optimizer, variables)})
        else:
            another = type(optimizer).from_config(config)
        without_decay = [one for one in variables if not optimizer._use_weight_decay(one)]  # noqa: SLF001
        another.exclude_from_weight_decay(var_list=without_decay)
    except Exception as error:  # noqa: BLE001  # a stranger's optimizer
        msg = f"the optimizer {type(optimizer).__name__} cannot be made a second time from its get_config(): {error}"
        raise UsageError(msg) from None
    return another


def _named(model: Any) -> dict[str, Any]:
    """`conv2d/kernel` -> variable; of what is nested in a layer, its path below that layer."""
    named: dict[str, Any] = {}
    for layer in model.layers:
        for variable in layer.weights:
            below = variable.path.split("/")
            path = below[below.index(layer.name) + 1 :] if layer.name in below else [variable.name]
            named.setdefault("/".join([layer.name, *path]), variable)
    if {id(variable) for variable in named.values()} != {id(variable) for variable in model.weights}:
        msg = f"the model {model.name!r} has weights outside its layers, or two of one name; they cannot be told apart"
        raise UsageError(msg)
    return named


def _every(model: Any) -> list[Any]:
    """All that training may change, but for the optimizer: weights, seeds of dropout, metrics."""
    return [*model.variables, *model.metrics_variables]
