"""What Keras trains of a given model, where its configuration tells something else. The oracle is `fit`."""

from __future__ import annotations

import numpy as np
import pytest

from keras_ref.adapter import KerasSide
from keras_ref.from_model import read
from keras_ref.runtime import keras, tf
from parity.api import _of_model
from parity.errors import UsageError

layers, optimizers, regularizers = keras.layers, keras.optimizers, keras.regularizers

RANDOM = np.random.default_rng(5)
X, Y = RANDOM.normal(size=(22, 5)).astype("float32"), RANDOM.normal(size=(22, 3)).astype("float32")


def sequential(*parts, optimizer="sgd", loss="mse", kind=keras.Sequential, **compiled):
    model = kind([keras.Input((5,)), *parts], name="mine")
    model.compile(optimizer, loss, **compiled)
    return with_weights(model)


def with_weights(model):
    """The same ones whenever a model is made, whatever was drawn before."""
    dice = np.random.default_rng(3)
    model.set_weights([dice.normal(size=weight.shape) / 2 for weight in model.weights])
    return model


def trained_by_fit(model):
    model.fit(X, Y, batch_size=8, epochs=2, shuffle=False, verbose=0)
    return [weight.tobytes() for weight in model.get_weights()]


def trained_by_the_reference(model):
    """The weights after the same steps of the model itself, or of what its experiment builds where that can say it."""
    given = read(model)
    side = given.side or KerasSide()
    side.start(None if given.inexpressible else _of_model(given, (X, Y), []), given.weights)
    for at in [0, 8, 16] * 2:
        side.step(X[at : at + 8], Y[at : at + 8])
    return [weight.tobytes() for weight in side.weights().values()]


# Activations ------------------------------------------------------------------------------------------------------


def relu(z):
    """Called as Keras' one."""
    return keras.ops.maximum(z, 0.1 * z)


OWN = {"called as Keras'": relu, "lambda": lambda z: z * 2, "operation": keras.ops.relu, "TensorFlow": tf.nn.relu}


@pytest.mark.parametrize("function", OWN.values(), ids=OWN)
def test_an_activation_is_keras_where_it_is_that_very_function(function):
    def make():
        return sequential(layers.Dense(4, activation=function, name="low"), layers.Dense(3))

    (said,) = read(make()).inexpressible  # so that no experiment stands in for it
    assert said == f"layer 'low' (Dense): activation: received '{function.__module__}.{function.__name__}'"
    assert trained_by_the_reference(make()) == trained_by_fit(make())


def test_an_activation_that_is_put_in_the_place_of_another_is_seen():
    model = sequential(layers.Dense(4, activation="relu", name="low"), layers.Dense(3))
    model.layers[0].activation = relu
    assert read(model).inexpressible
    model.layers[0].activation = keras.activations.tanh
    assert read(model).settings["layers"][0].activation == "tanh"


def test_a_layer_of_ones_own_may_keep_the_name_of_its_activation():
    class Named(layers.Layer):
        activation = "relu"

        def get_config(self):
            return {**super().get_config(), "activation": self.activation}

        def call(self, x):
            return x

    assert "Named is not Keras' own" in read(sequential(Named(), layers.Dense(3))).inexpressible[0]


# Attributes that were changed after they had their effect --------------------------------------------------------


def changed(change, **compiled):
    """A model whose first layer, penalised and constrained, is changed after it was built."""
    first = layers.Dense(4, kernel_regularizer="l2", kernel_constraint=compiled.pop("constraint", None), name="low")
    model = sequential(first, layers.Dense(3), **compiled)
    change(model.layers[0])
    return model


LATE = {
    "attribute": lambda layer: setattr(layer, "kernel_regularizer", regularizers.L2(0.5)),
    "no attribute": lambda layer: setattr(layer, "kernel_regularizer", None),
    "attribute of the bias": lambda layer: setattr(layer, "bias_regularizer", regularizers.L1(0.5)),
    "variable": lambda layer: setattr(layer.kernel, "regularizer", regularizers.L2(0.5)),
    "no variable": lambda layer: setattr(layer.kernel, "regularizer", None),
    "output": lambda layer: setattr(layer, "activity_regularizer", regularizers.L2(0.5)),
}


@pytest.mark.parametrize("name", LATE)
def test_penalties_are_those_that_keras_trains_with(name):
    assert read(changed(LATE[name])).inexpressible == ()
    assert trained_by_the_reference(changed(LATE[name])) == trained_by_fit(changed(LATE[name]))


def test_a_constraint_that_the_variable_keeps_is_seen():
    def make():
        return changed(lambda layer: setattr(layer, "kernel_constraint", None), constraint="non_neg")

    assert "kernel_constraint" in read(make()).inexpressible[0]
    assert trained_by_the_reference(make()) == trained_by_fit(make())


def test_a_variable_that_is_frozen_alone_is_seen():
    def make():
        return changed(lambda layer: setattr(layer.kernel, "trainable", False))

    assert read(make()).inexpressible == ("layer 'low' (Dense): trainable: received False; not offered",)
    assert trained_by_the_reference(make()) == trained_by_fit(make())


# Losses -----------------------------------------------------------------------------------------------------------


def functional(loss, outputs=1):
    x = keras.Input((5,))
    out = [layers.Dense(3, name=f"top_{at}")(x) for at in range(outputs)]
    model = keras.Model(x, out if outputs > 1 else out[0], name="mine")
    model.compile("sgd", loss)
    return with_weights(model)


@pytest.mark.parametrize("loss", [["mse"], ("mse",), [["mse"]], [keras.losses.mean_squared_error]])
def test_a_list_of_one_loss_is_that_one(loss):
    def make():
        return sequential(layers.Dense(3), loss=loss)

    assert read(make()).settings["loss"].class_name == "MeanSquaredError"
    assert trained_by_the_reference(make()) == trained_by_fit(make())


def test_the_loss_by_the_name_of_the_only_output_is_that_one():
    def make():
        return functional({"top_0": "mse"})

    assert read(make()).settings["loss"].class_name == "MeanSquaredError"
    assert trained_by_the_reference(make()) == trained_by_fit(make())


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: functional({"top": "mse"}), "a loss for the output top, but it has top_0"),
        (
            lambda: sequential(layers.Dense(3), loss={"top": "mse"}),
            "Keras knows its outputs by no name; give compile the",
        ),
        (lambda: functional(["mse", "mae"], outputs=2), "compiled with 2 losses; one is compared"),
        (lambda: functional({"top_1": "mse", "top_0": "mae"}, outputs=2), "compiled with 2 losses; one is compared"),
    ],
    ids=["another name", "no names", "several", "several by name"],
)
def test_losses_that_keras_would_not_take_for_one_output_are_refused(make, said):
    with pytest.raises(UsageError, match=said):
        read(make())


def test_the_loss_is_the_one_that_was_compiled():
    def make():
        model = sequential(layers.Dense(3))
        model.loss = "categorical_crossentropy"
        return model

    assert read(make()).settings["loss"].class_name == "MeanSquaredError"
    assert trained_by_the_reference(make()) == trained_by_fit(make())


def test_weights_of_the_loss_outlive_another_compile():
    def make():
        model = sequential(layers.Dense(3), loss_weights=[3.0])
        model.compile("sgd")  # keeps the loss
        return model

    assert read(make()).inexpressible == ("loss_weights",)
    assert trained_by_the_reference(make()) == trained_by_fit(make())


# Methods of one's own ---------------------------------------------------------------------------------------------


class OwnStep(keras.Sequential):
    def train_step(self, data):
        return super().train_step(data)


class OwnFunction(keras.Sequential):
    def make_train_function(self, force=False):
        return super().make_train_function(force)


class OwnFit(keras.Sequential):
    def fit(self, *args, **kwargs):
        return super().fit(*args, **kwargs)


class OwnLoss(keras.Sequential):
    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):  # noqa: ARG002  # Keras'
        return 3 * keras.ops.mean((y_pred - y) ** 2)


@pytest.mark.parametrize(
    ("kind", "method"), [(OwnStep, "train_step"), (OwnFunction, "make_train_function"), (OwnFit, "fit")]
)
def test_steps_of_its_own_are_refused(kind, method):
    told = f"the model 'mine' has a {method} of its own.*Allowed: call and compute_loss.*leave {method} as Keras has it"
    with pytest.raises(UsageError, match=told):
        read(sequential(layers.Dense(3), kind=kind))
    model = sequential(layers.Dense(3))
    setattr(model, method, getattr(kind, method).__get__(model))  # of the model itself; its class is Keras'
    with pytest.raises(UsageError, match=told):
        read(model)


def test_a_loss_that_the_model_computes_itself_is_taken():
    def of_class():
        return sequential(layers.Dense(3), kind=OwnLoss)

    def of_model():
        model = sequential(layers.Dense(3))
        model.compute_loss = OwnLoss.compute_loss.__get__(model)
        return model

    for make in (of_class, of_model):
        assert "with a compute_loss of its own" in read(make()).inexpressible[0]
        assert trained_by_the_reference(make()) == trained_by_fit(make())


# Optimizers -------------------------------------------------------------------------------------------------------


def decaying(wrap=lambda optimizer: optimizer, **but):
    optimizer = optimizers.AdamW(0.01, weight_decay=0.5)
    model = sequential(layers.Dense(4), layers.Dense(3), optimizer=wrap(optimizer))
    of_layer = but.pop("of_layer", None)
    optimizer.exclude_from_weight_decay(
        var_list=model.layers[of_layer].weights if of_layer is not None else None, **but
    )
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: decaying(var_names=["kernel"]),
        lambda: decaying(var_names=["ker", "bias"]),
        lambda: decaying(of_layer=1),
        lambda: decaying(of_layer=1, var_names=["bias"]),
        lambda: decaying(wrap=optimizers.LossScaleOptimizer, of_layer=0),
    ],
    ids=["name", "names", "variables", "both", "wrapped"],
)
def test_what_does_not_decay_does_not(make):
    trained = trained_by_fit(make())
    assert trained_by_the_reference(make()) == trained
    assert trained != trained_by_fit(decaying())


def rate():
    return 0.05


class Falling(optimizers.schedules.LearningRateSchedule):
    """Keras does not know it, and could not make it from its configuration."""

    def __call__(self, step):
        return 0.1 / (1 + keras.ops.cast(step, "float32"))

    def get_config(self):
        return {}


@pytest.mark.parametrize(
    ("given", "said"),
    [(lambda: 0.05, "a lambda"), (rate, "rate"), (Falling(), "Falling")],
    ids=["lambda", "function", "schedule"],
)
def test_a_learning_rate_of_ones_own_is_that_very_one(given, said):
    def make():
        return sequential(layers.Dense(3), optimizer=optimizers.SGD(given))

    assert read(make()).inexpressible == (f"optimizer: {said} is not Keras' own",)
    assert trained_by_the_reference(make()) == trained_by_fit(make())


# Without a graph --------------------------------------------------------------------------------------------------


class Looks(layers.Layer):
    """A layer that a graph would compute from the first batch for ever."""

    def call(self, x):
        return x * float(np.mean(np.abs(x.numpy()))) if hasattr(x, "numpy") else x


def test_a_model_that_runs_eagerly_is_trained_so():
    def make():
        return sequential(Looks(), layers.Dense(3), run_eagerly=True)

    assert trained_by_the_reference(make()) == trained_by_fit(make())
