"""Activations: the oracle of values is `keras.activations`, that of gradients `tf.GradientTape` through it."""

from __future__ import annotations

import warnings

import numpy as np

from keras_ref.runtime import keras, set_precision, tf
from parity.budget import LocalBudget
from parity.protocol import Key, Records
from scratch_net.activations import ACTIVATIONS
from tests.suite.laws import law, small_experiment

SHAPES = ((6, 5), (30, 1))
POINTS = ("ordinary", "edges", "ties")
EDGES = [0.0, -0.0, 800.0, -800.0, 36.0, -36.0, 1e-9, -1e-9, 1e-300, 5.0]


def points(shape, kind, dtype):
    z = np.random.default_rng(1).uniform(-5, 5, shape)
    if kind == "edges":
        z.reshape(-1)[: len(EDGES)] = EDGES
    if kind == "ties":
        z[:] = z[:, :1]
    return z.astype(dtype)


def of_keras(name, z, da):
    z = tf.constant(z)
    with warnings.catch_warnings(), tf.GradientTape() as tape:
        warnings.filterwarnings("ignore", ".*softmax over axis.*")  # of a single output, on purpose
        tape.watch(z)
        a = keras.activations.get(name)(z)
    return a.numpy(), tape.gradient(a, z, tf.constant(da)).numpy()


def budgets(name, precision, z, a, da, dz):
    """What two implementations of this activation may differ by, in value and in gradient."""
    experiment = small_experiment(layers=[{"units": z.shape[1], "activation": name}, {"units": 1}])
    arrays = {
        Key("forward", "dense/pre_activation"): z,
        Key("forward", "dense/output"): a,
        Key("gradient", "dense/output"): da,
        Key("gradient", "dense/pre_activation"): dz,
    }
    records = Records(1, {key: array[None] for key, array in arrays.items()}, {})
    keys = Key("forward", "dense/output"), Key("gradient", "dense/pre_activation")
    found = (LocalBudget(experiment, precision).of(key, records, np.array([0])) for key in keys)
    return [np.broadcast_to(budget, (1, *z.shape))[0] for budget in found]


def compared(name, precision):
    """Ours, Keras' and the budget, of value and gradient, at every kind of point."""
    set_precision(precision)
    for shape in SHAPES:
        for kind in POINTS:
            z = points(shape, kind, precision)
            da = np.random.default_rng(2).standard_normal(shape).astype(precision)
            a, dz = of_keras(name, z, da)
            ours = ACTIVATIONS[name]()
            yield (
                f"{kind} {shape}",
                (ours.forward(z), ours.backward(da, z, a)),
                (a, dz),
                budgets(name, precision, z, a, da, dz),
            )


@law("activations")
def the_value_is_keras_s(name, precision):
    for where, (ours, _), (theirs, _), (allowed, _) in compared(name, precision):
        assert (np.abs(ours - theirs) <= allowed).all(), where


@law("activations")
def the_gradient_is_keras_s(name, precision):
    for where, (_, ours), (_, theirs), (_, allowed) in compared(name, precision):
        assert (np.abs(ours - theirs) <= allowed).all(), where


@law("activations", precisions=("float64",))
def the_gradient_is_the_slope_of_the_value(name, precision):
    """Central differences are off by h**2 and by u / h: with h = 1e-5 both are below 1e-9 here. No oracle."""
    activation, h = ACTIVATIONS[name](), 1e-5
    random = np.random.default_rng(3)
    z, da = random.uniform(-3, 3, (4, 3)), random.standard_normal((4, 3))
    found = activation.backward(da, z, activation.forward(z))
    for index in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[index] = h
        slope = (da * (activation.forward(z + step) - activation.forward(z - step))).sum() / (2 * h)
        assert abs(found[index] - slope) <= 1e-8


@law("activations")
def the_dtype_is_kept_and_the_input_left_alone(name, precision):
    activation, z = ACTIVATIONS[name](), points((6, 5), "edges", precision)
    kept = z.copy()
    a = activation.forward(z)
    dz = activation.backward(np.ones_like(z), z, a)
    assert a.dtype == dz.dtype == precision
    assert z.tobytes() == kept.tobytes()


@law("activations")
def no_input_overflows(name, precision):
    """Warnings are errors. No oracle."""
    activation, largest = ACTIVATIONS[name](), np.finfo(precision).max / 4
    z = np.array([[largest, -largest, 0], [-largest, -largest, -largest], [largest, largest, 1]], precision)
    a = activation.forward(z)
    assert np.isfinite(a).all()
    assert np.isfinite(activation.backward(np.ones_like(z), z, a)).all()
