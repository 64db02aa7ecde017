"""Losses: the oracle of values is `keras.losses`, that of gradients `tf.GradientTape` through it.

For a loss after a softmax or a sigmoid the tape watches what goes into that activation, as Keras does.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_ref.build import sum_squared_error
from keras_ref.runtime import keras, set_precision, tf
from parity.budget.losses import LossBudget
from scratch_net.activations import ACTIVATIONS
from scratch_net.adapter import build, initial_weights
from scratch_net.losses import LOSSES
from tests.suite.laws import law, small_experiment

KINDS = ("ordinary", "saturated", "ties", "soft")  # soft: targets that do not sum to 1
SATURATED = np.array([1, 10, 30, 100, 300, 1000, 1e-3, 0])[:, None]
# p = 0, 1, and on both sides of the limits 1e-7 and 1 - 1e-7: where the gradient is cut off
LIMITS = np.array([[0.0, 1.0], [1.0, 0.0], [1e-7, 1 - 1e-7], [1e-8, 1 - 1e-8], [2e-7, 1 - 2e-7], [0.3, 0.7]])


def takes_logits(row) -> bool:
    return bool(row.said.get("from_logits"))


def is_crossentropy(row) -> bool:
    return row.said["class_name"].endswith("Crossentropy")


def ours_of(row):
    parameters = {name: value for name, value in row.said.items() if name not in {"class_name", "from_logits"}}
    return LOSSES[row.said["class_name"]](**parameters)


def value_and_gradient(row):
    ours = ours_of(row)
    if takes_logits(row):
        return ours.value_from_logits, ours.gradient_from_logits
    return ours.value, ours.gradient


def case(row, outputs, kind, dtype):
    """Targets, and numbers before the last activation."""
    random = np.random.default_rng(5)
    z = random.uniform(-3, 3, (8, outputs))
    labels = random.integers(0, max(outputs, 2), 8)
    if kind == "saturated":
        z *= SATURATED
    if kind == "ties":
        z[:] = z[:, :1]
    z = z.astype(dtype)
    if row.targets == "labels":
        return labels.astype(np.int32), z
    if row.targets == "numbers":
        return random.standard_normal((8, outputs)).astype(dtype), z
    if kind == "soft":
        return random.uniform(0, 1, (8, outputs)).astype(dtype), z
    y = labels[:, None] % 2 if outputs == 1 else np.eye(outputs)[labels]
    return y.astype(dtype), z


def keras_loss(said):
    """`SumSquaredError` is no class of Keras': there its side is a function, and the mean over the batch is Keras'."""
    name, parameters = said["class_name"], {key: value for key, value in said.items() if key != "class_name"}
    if name == "SumSquaredError":
        return lambda y, p: tf.reduce_mean(sum_squared_error(y, p))
    return getattr(keras.losses, name)(**parameters)


def of_keras(row, activation, y, z):
    """What the last layer puts out, the loss, and its gradients by z and by that output."""
    made, z = keras_loss(row.said), tf.constant(z)
    with warnings.catch_warnings(), tf.GradientTape(persistent=True) as tape:
        warnings.filterwarnings("ignore", ".*from_logits.*")  # meant here
        warnings.filterwarnings("ignore", ".*softmax over axis.*")
        tape.watch(z)
        a = keras.activations.get(activation)(z)
        value = made(tf.constant(y), a)
    return a.numpy(), value.numpy(), *(None if g is None else g.numpy() for g in tape.gradient(value, [z, a]))


@dataclass(frozen=True)
class Compared:
    """One case of a loss after an activation, computed by both."""

    where: str
    ours: Any
    value: Any
    dz: Any
    da: Any
    """Keras' gradient by the output; None where the loss does not go through the activation."""
    budget: LossBudget
    operands: list[Any]
    through: bool
    """Whether the activation makes something else of z."""


def compared(row, precision) -> Iterator[Compared]:
    """The loss after every activation it can follow, of one output and of several, for every kind of targets."""
    set_precision(precision)
    several = row.said["class_name"] in {"CategoricalCrossentropy", "SparseCategoricalCrossentropy"}
    for activation in row.after:
        for outputs in (4,) if several else (1, 4):
            layers = [{"units": outputs, "activation": activation}]
            experiment = small_experiment(layers=layers, loss=row.said)
            network = build(experiment, initial_weights(experiment, 5, precision))
            for kind in KINDS:
                y, z = case(row, outputs, kind, precision)
                a, value, dz, da = of_keras(row, activation, y, z)
                budget = LossBudget(experiment, precision)
                operands = [array[None] for array in (y, z if budget.skips_activation else a, a)]
                ours = network.data_loss(y, z, a), *network.loss_gradient(y, z, a)
                where = f"{kind}, {activation}, {outputs}"
                yield Compared(where, ours, value, dz, da, budget, operands, activation != "linear")


@law("losses")
def the_value_is_keras_s(row, precision):
    for one in compared(row, precision):
        allowed = one.budget.value(*one.operands, one.value[None])[0]
        assert abs(one.ours[0] - one.value) <= allowed, one.where


@law("losses")
def the_gradient_is_keras_s(row, precision):
    for one in compared(row, precision):
        _, da, dz = one.ours
        allowed = one.budget.gradient(*one.operands)[0]
        if one.budget.skips_activation:
            assert da is None, one.where
            assert one.da is None, one.where  # Keras does not go through the activation either
            assert (np.abs(dz - one.dz) <= allowed).all(), one.where
        else:
            assert dz is None, one.where
            expected = one.da if one.through else one.dz  # of a linear activation, Keras' a is z itself
            assert (np.abs(da - expected) <= allowed).all(), one.where


@law("losses", of=lambda row: is_crossentropy(row) and not takes_logits(row), precisions=("float64",))
def probabilities_are_kept_from_zero_and_one_as_keras_keeps_them(row, precision):
    set_precision(precision)
    labels = np.array([0, 0, 0, 0, 0, 1], np.int32)
    y = labels if row.targets == "labels" else np.eye(2)[labels]
    made, given = keras_loss(row.said), tf.constant(LIMITS)
    with tf.GradientTape() as tape:
        tape.watch(given)
        expected = made(tf.constant(y), given)
    slope = tape.gradient(expected, given).numpy()
    value, gradient = value_and_gradient(row)
    experiment = small_experiment(layers=[{"units": 2, "activation": "linear"}], loss=row.said)
    budget, operands = LossBudget(experiment, precision), (y[None], LIMITS[None], LIMITS[None])
    assert abs(value(y, LIMITS) - expected.numpy()) <= budget.value(*operands, expected.numpy()[None])[0]
    assert (np.abs(gradient(y, LIMITS) - slope) <= budget.gradient(*operands)[0]).all()
    assert (slope == 0).any(), "nothing was cut off"


@law("losses", precisions=("float64",))
def the_gradient_is_the_slope_of_the_value(row, precision):
    """Central differences with h = 1e-5: off by h**2 times a third derivative, and by u / h. No oracle."""
    value, gradient = value_and_gradient(row)
    y, z = case(row, 4, "ordinary", precision)
    p, h = z if takes_logits(row) else ACTIVATIONS["softmax"]().forward(z), 1e-5
    found = gradient(y, p)
    for index in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[index] = h
        slope = (value(y, p + step) - value(y, p - step)) / (2 * h)
        assert abs(found[index] - slope) <= 1e-5 * abs(slope) + 1e-8, index


@law("losses", of=lambda row: is_crossentropy(row) and not takes_logits(row), precisions=("float64",))
def the_way_over_the_logits_agrees_where_nothing_is_cut_off(row, precision):
    """The same loss and the same dL/dz from the probabilities through their activation. No oracle."""
    name = "sigmoid" if row.said["class_name"] == "BinaryCrossentropy" else "softmax"
    ours, activation = ours_of(row), ACTIVATIONS[name]()
    y, z = case(row, 4, "ordinary", precision)
    p = activation.forward(z)
    assert abs(ours.value(y, p) / ours.value_from_logits(y, z) - 1) <= 1e-12
    through = activation.backward(ours.gradient(y, p), z, p)
    direct = ours.gradient_from_logits(y, z)
    assert (np.abs(through - direct) <= 1e-10 * np.abs(direct) + 1e-14).all()


@law("losses")
def the_dtype_is_kept_and_the_targets_left_alone(row, precision):
    """And saturated outputs stay numbers."""
    value, gradient = value_and_gradient(row)
    y, z = case(row, 4, "saturated", precision)
    kept = y.copy()
    p = z if takes_logits(row) else ACTIVATIONS["softmax"]().forward(z)
    for found in (value(y, p), gradient(y, p)):
        assert found.dtype == precision
        assert np.isfinite(found).all()
    assert y.tobytes() == kept.tobytes()
