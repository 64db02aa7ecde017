"""Every loss against Keras, run for real in float64, and against central differences.

The oracle of values is `keras.losses`, that of gradients `tf.GradientTape` through it; for a loss after a softmax or a
sigmoid the tape watches what goes into that activation, as Keras does.
"""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from keras_ref.build import sum_squared_error
from keras_ref.runtime import keras, set_precision, tf
from parity.budget.losses import LossBudget
from parity.config import Experiment, losses as config
from scratch_net.activations import ACTIVATIONS
from scratch_net.adapter import build, initial_weights
from scratch_net.losses import LOSSES

CROSSENTROPIES = ("CategoricalCrossentropy", "SparseCategoricalCrossentropy", "BinaryCrossentropy")

# loss, its parameters
VARIANTS = {
    "mse": ("MeanSquaredError", {}),
    "sse": ("SumSquaredError", {}),
    "categorical": ("CategoricalCrossentropy", {}),
    "categorical smoothed": ("CategoricalCrossentropy", {"label_smoothing": 0.1}),
    "sparse": ("SparseCategoricalCrossentropy", {}),
    "binary": ("BinaryCrossentropy", {}),
    "binary smoothed": ("BinaryCrossentropy", {"label_smoothing": 0.3}),
}
KINDS = ("ordinary", "saturated", "ties", "soft")  # soft: targets that do not sum to 1


@pytest.fixture(autouse=True)
def _float64():
    set_precision("float64")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*from_logits.*")
        warnings.filterwarnings("ignore", ".*softmax over axis.*")
        yield


def _case(loss, outputs, kind):
    """Targets, and numbers before the last activation."""
    random = np.random.default_rng(5)
    z = random.uniform(-3, 3, (8, outputs))
    labels = random.integers(0, max(outputs, 2), 8)
    if kind == "saturated":
        z *= np.array([1, 10, 30, 100, 300, 1000, 1e-3, 0])[:, None]
    if kind == "ties":
        z[:] = z[:, :1]
    if loss == "SparseCategoricalCrossentropy":
        return labels.astype(np.int32), z
    if loss in CROSSENTROPIES:
        if kind == "soft":
            return random.uniform(0, 1, (8, outputs)), z
        return (labels[:, None] % 2).astype(float) if outputs == 1 else np.eye(outputs)[labels], z
    return random.standard_normal((8, outputs)), z


def _experiment(loss, parameters, outputs, activation):
    return Experiment.model_validate(
        {
            "data": {"source": "regression", "features": 2},
            "layers": [{"units": outputs, "activation": activation}],
            "loss": {"class_name": loss, **parameters},
            "optimizer": "SGD",
        }
    )


def _of_keras(experiment, y, z):
    """The loss, and its gradient by what the last layer computes before and after its activation."""
    layer, loss = experiment.layers[0], experiment.loss
    made = (
        keras.losses.MeanSquaredError()
        if loss.class_name == "MeanSquaredError"
        else (lambda y, p: tf.reduce_mean(sum_squared_error(y, p)))
        if loss.class_name == "SumSquaredError"
        else getattr(keras.losses, loss.class_name)(**loss.model_dump(exclude={"class_name"}))
    )
    z = tf.constant(z)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(z)
        a = keras.activations.get(layer.activation)(z)
        value = made(tf.constant(y), a)
    return a.numpy(), value.numpy(), *(None if g is None else g.numpy() for g in tape.gradient(value, [z, a]))


def _pairings():
    for variant, (loss, parameters) in VARIANTS.items():
        for from_logits in (False, True) if loss in CROSSENTROPIES else (None,):
            for activation in ACTIVATIONS:
                # probabilities have to be some: a linear or tanh output has no sum to divide by, a relu may be 0 / 0
                if from_logits is False and loss in CROSSENTROPIES[:2] and activation in {"linear", "tanh", "relu"}:
                    continue
                extra = {} if from_logits is None else {"from_logits": from_logits}
                for outputs in (1, 4):
                    if outputs == 1 and loss in CROSSENTROPIES[:2]:
                        continue
                    name = f"{variant}{' from logits' if from_logits else ''} of {activation}, {outputs}"
                    yield pytest.param(loss, {**parameters, **extra}, activation, outputs, id=name)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("loss", "parameters", "activation", "outputs"), list(_pairings()))
def test_value_and_gradient_are_keras_s(loss, parameters, activation, outputs, kind):
    experiment = _experiment(loss, parameters, outputs, activation)
    y, z = _case(loss, outputs, kind)
    a, expected, dz, da = _of_keras(experiment, y, z)
    network = build(experiment, initial_weights(experiment, 2, "float64"))
    budget = LossBudget(experiment, "float64")
    operands = [array[None] for array in (y, z if budget.skips_activation else a, a)]
    assert abs(network.data_loss(y, z, a) - expected) <= budget.value(*operands, expected[None])[0]

    found_da, found_dz = network.loss_gradient(y, z, a)
    allowed = budget.gradient(*operands)[0]
    if budget.skips_activation:
        assert found_da is None
        assert da is None  # Keras does not go through the activation either
        assert (np.abs(found_dz - dz) <= allowed).all()
    else:
        assert found_dz is None
        through = activation != "linear"  # of a linear activation, Keras' a is z itself
        assert (np.abs(found_da - (da if through else dz)) <= allowed).all()


@pytest.mark.parametrize("variant", [name for name, (loss, _) in VARIANTS.items() if loss in CROSSENTROPIES])
def test_probabilities_are_kept_from_zero_and_one_as_keras_keeps_them(variant):
    """p = 0, 1, and on both sides of the limits 1e-7 and 1 - 1e-7: where the gradient is cut off."""
    loss, parameters = VARIANTS[variant]
    p = np.array([[0.0, 1.0], [1.0, 0.0], [1e-7, 1 - 1e-7], [1e-8, 1 - 1e-8], [2e-7, 1 - 2e-7], [0.3, 0.7]])
    labels = np.array([0, 0, 0, 0, 0, 1], np.int32)
    y = labels if loss == "SparseCategoricalCrossentropy" else np.eye(2)[labels]
    made = getattr(keras.losses, loss)(**parameters)
    given = tf.constant(p)
    with tf.GradientTape() as tape:
        tape.watch(given)
        expected = made(tf.constant(y), given)
    slope = tape.gradient(expected, given).numpy()
    ours = LOSSES[loss](**parameters)
    budget = LossBudget(_experiment(loss, parameters, 2, "linear"), "float64")
    operands = y[None], p[None], p[None]
    assert abs(ours.value(y, p) - expected.numpy()) <= budget.value(*operands, expected.numpy()[None])[0]
    assert (np.abs(ours.gradient(y, p) - slope) <= budget.gradient(*operands)[0]).all()
    assert (slope == 0).any()  # something was cut off


@pytest.mark.parametrize(
    ("variant", "from_logits"),
    [
        (name, logits)
        for name, (loss, _) in VARIANTS.items()
        for logits in (False, True)[: 1 + (loss in CROSSENTROPIES)]
    ],
)
def test_gradient_is_the_slope_of_the_value(variant, from_logits):
    loss, parameters = VARIANTS[variant]
    ours, h = LOSSES[loss](**parameters), 1e-5
    y, z = _case(loss, 4, "ordinary")
    p = z if from_logits else ACTIVATIONS["softmax"]().forward(z)
    value, gradient = (
        (ours.value_from_logits, ours.gradient_from_logits) if from_logits else (ours.value, ours.gradient)
    )
    found = gradient(y, p)
    for index in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[index] = h
        assert found[index] == pytest.approx((value(y, p + step) - value(y, p - step)) / (2 * h), rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("loss", CROSSENTROPIES)
def test_the_two_ways_to_a_cross_entropy_agree_where_nothing_is_cut_off(loss):
    """From the logits, and from the probabilities through the activation: the same loss, the same dL/dz."""
    name = "sigmoid" if loss == "BinaryCrossentropy" else "softmax"
    ours, activation = LOSSES[loss](), ACTIVATIONS[name]()
    y, z = _case(loss, 4, "ordinary")
    p = activation.forward(z)
    assert ours.value(y, p) == pytest.approx(ours.value_from_logits(y, z), rel=1e-12)
    through = activation.backward(ours.gradient(y, p), z, p)
    np.testing.assert_allclose(through, ours.gradient_from_logits(y, z), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_the_dtype_is_kept_and_the_targets_left_alone(variant, dtype):
    loss, parameters = VARIANTS[variant]
    ours = LOSSES[loss](**parameters)
    y, z = _case(loss, 4, "saturated")
    y, z = y if y.dtype.kind == "i" else y.astype(dtype), z.astype(dtype)
    kept = y.copy()
    p = ACTIVATIONS["softmax"]().forward(z)
    found = [ours.value(y, p), ours.gradient(y, p)]
    if loss in CROSSENTROPIES:
        found += [ours.value_from_logits(y, z), ours.gradient_from_logits(y, z)]
    for result in found:
        assert result.dtype == dtype
        assert np.isfinite(result).all()
    np.testing.assert_array_equal(y, kept)


def test_every_loss_is_in_the_table():
    assert set(LOSSES) == {loss for loss, _ in VARIANTS.values()} == {cls.__name__ for cls in config.CLASSES}
