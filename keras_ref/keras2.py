"""Keras 2 (`tf_keras`) as a side: did upgrading Keras change my training?

It shares the process, TensorFlow and its deterministic settings with Keras 3. Each step is what Keras 2 does in
`Model.train_step` (tf_keras/src/engine/training.py): forward, total loss, its gradient, the optimizer's update.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from keras_ref.runtime import ONEDNN, environment, tf
from parity.config import Experiment
from parity.protocol import Array

# isort: split
import tf_keras  # after TensorFlow was started as it has to be

SLOTS = {"m": "momentum", "v": "velocity", "vhat": "velocity_hat"}
"""Keras 2's names of slots that Keras 3 has under others."""


def _sum_squared_error(y_true: Any, y_pred: Any) -> Any:
    return tf.reduce_sum(tf.square(y_true - y_pred), axis=-1)


def _made(module: Any, config: Any) -> Any:
    """The Keras object of a config: same class name, same parameters."""
    return None if config is None else getattr(module, config.class_name)(**config.model_dump(exclude={"class_name"}))


def build(experiment: Experiment, inputs: int, precision: str) -> Any:
    """The compiled model, in Keras 2's words."""
    tf_keras.backend.set_floatx(precision)
    tf_keras.mixed_precision.set_global_policy(precision)
    layers = [
        tf_keras.layers.Dense(
            config.units,
            activation=config.activation,
            use_bias=config.use_bias,
            kernel_regularizer=_made(tf_keras.regularizers, config.kernel_regularizer),
            bias_regularizer=_made(tf_keras.regularizers, config.bias_regularizer),
            activity_regularizer=_made(tf_keras.regularizers, config.activity_regularizer),
            name=config.name,
        )
        for config in experiment.layers
    ]
    own_loss = experiment.loss.class_name == "SumSquaredError"
    model = tf_keras.Sequential([tf_keras.Input((inputs,)), *layers])
    model.compile(
        optimizer=_made(tf_keras.optimizers, experiment.optimizer),
        loss=_sum_squared_error if own_loss else _made(tf_keras.losses, experiment.loss),
        jit_compile=False,
    )
    model.optimizer.build(model.trainable_variables)
    return model


class Keras2Side:
    """A side by the protocol of `parity.protocol`."""

    def makes(self) -> dict[str, str]:
        """Keras 2 keeps lambda in the precision of the model; Keras 3 rounds it to float32 first."""
        return {"l2.constant": "exact"}

    def start(self, experiment: Experiment, weights: Mapping[str, Array]) -> None:
        kernel = weights[f"{experiment.layers[0].name}/kernel"]
        self.model = build(experiment, len(kernel), str(kernel.dtype))
        self._weights = {variable.name.partition(":")[0]: variable for variable in self.model.trainable_variables}
        for name, variable in self._weights.items():
            variable.assign(weights[name])
        self._slots = {_slot(variable.name): variable for variable in self.model.optimizer.variables}
        self._tapped: dict[str, tuple[Any, Any]] = {}
        for layer in self.model.layers:
            layer.activation = self._tap(layer.name, layer.activation)
        self._step = tf.function(self._train_step, jit_compile=False, autograph=False)

    def initial_state(self) -> dict[str, Array]:
        return {name: slot.numpy() for name, slot in self._slots.items()}

    def set_state(self, state: Mapping[str, Array]) -> None:
        for name, array in state.items():
            self._slots[name].assign(array)

    def weights(self) -> dict[str, Array]:
        return {name: weight.numpy() for name, weight in self._weights.items()}

    def step(self, x: Array, y: Array) -> dict[str, Any]:
        said = self._step(tf.constant(x), tf.constant(y))
        return {"x": x, "y": y, **tf.nest.map_structure(lambda tensor: tensor.numpy(), said)}

    def environment(self) -> dict[str, str]:
        return {**environment(), "tf_keras": tf_keras.__version__}

    def _tap(self, name: str, activation: Any) -> Any:
        """The same activation, which also lets us see what goes in and what comes out."""

        def tapped(z: Any) -> Any:
            a = activation(z)
            self._tapped[name] = (z, a)
            return a

        return tapped

    def _train_step(self, x: Any, y: Any) -> dict[str, Any]:
        model, weights = self.model, self._weights
        with tf.GradientTape(persistent=True) as tape:
            predicted = model(x, training=True)
            total = model.compute_loss(x, y, predicted)
            data = model.compiled_loss(y, predicted)
            penalties = self._penalties()
            penalty = tf.add_n(list(penalties.values())) if penalties else None
        outputs = {f"{layer}/output": a for layer, (_, a) in self._tapped.items()}
        inside = {} if ONEDNN else {f"{layer}/pre_activation": z for layer, (z, _) in self._tapped.items()}
        wanted = {**weights, **inside, **outputs}
        gradient = dict(zip(wanted, tape.gradient(total, list(wanted.values())), strict=True))
        model.optimizer.apply_gradients([(gradient[name], weight) for name, weight in weights.items()])
        said = {
            "pre_activation": {} if ONEDNN else {layer: z for layer, (z, _) in self._tapped.items()},
            "output": {layer: a for layer, (_, a) in self._tapped.items()},
            "loss": total,
            "loss/data": data,
            "gradient": {name: array for name, array in gradient.items() if array is not None},
            "weights": {name: tf.identity(weight) for name, weight in weights.items()},
            "optimizer": {name: tf.identity(slot) for name, slot in self._slots.items()},
        }
        if penalty is not None:
            zero = tf.UnconnectedGradients.ZERO
            sources = list(weights.values())
            said |= {
                "penalty": penalties,
                "loss/penalty": penalty,
                "gradient/data": dict(zip(weights, tape.gradient(data, sources, None, zero), strict=True)),
                "gradient/penalty": dict(zip(weights, tape.gradient(penalty, sources, None, zero), strict=True)),
            }
        return said

    def _penalties(self) -> dict[str, Any]:
        """What each regularizer adds. `layer.losses` holds that of the output first, then those of the weights."""
        penalties: dict[str, Any] = {}
        for layer in self.model.layers:
            places = ("activity_regularizer", "output"), ("kernel_regularizer", "kernel"), ("bias_regularizer", "bias")
            names = [f"{layer.name}/{name}" for place, name in places if getattr(layer, place, None) is not None]
            penalties |= dict(zip(names, layer.losses, strict=True))
        return penalties


def _slot(name: str) -> str:
    """`m/dense/kernel:0` as `dense/kernel/momentum`."""
    slot, _, weight = name.partition(":")[0].partition("/")
    return f"{weight}/{SLOTS.get(slot, slot)}" if weight else "optimizer/iterations"
