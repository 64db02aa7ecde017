"""Every optimizer replayed against Keras' own: the same gradients, and weights and slots equal to the last bit.

The oracle is `keras.optimizers`, its `apply` compiled with `tf.function` as `fit` compiles it.
"""

from __future__ import annotations

import numpy as np
import pytest

from keras_ref.runtime import keras, set_precision, tf
from parity.budget.rounding import RSQRT_ROUNDOFFS, unit_roundoff
from parity.config import optimizers as config
from scratch_net.optimizers import OPTIMIZERS

EXACT = {
    "SGD": ("SGD", {"learning_rate": 0.1}),
    "SGD, a rate that is no number of float32": ("SGD", {"learning_rate": 1 / 3}),
    "SGD momentum": ("SGD", {"learning_rate": 0.1, "momentum": 0.9}),
    "SGD nesterov": ("SGD", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True}),
    "Adam": ("Adam", {"learning_rate": 0.01}),
    "Adam, other constants": ("Adam", {"learning_rate": 0.3, "beta_1": 0.7, "beta_2": 0.99, "epsilon": 1e-3}),
    "Adam amsgrad": ("Adam", {"learning_rate": 0.01, "amsgrad": True}),
}
ROOTS = {
    "RMSprop": ("RMSprop", {"learning_rate": 0.01}),
    "RMSprop, other constants": ("RMSprop", {"learning_rate": 0.3, "rho": 0.5, "epsilon": 1e-3}),
    "RMSprop momentum": ("RMSprop", {"learning_rate": 0.01, "momentum": 0.9}),
    "RMSprop centered": ("RMSprop", {"learning_rate": 0.01, "centered": True}),
    "RMSprop both": ("RMSprop", {"learning_rate": 0.01, "momentum": 0.9, "centered": True}),
}
STEPS = 200
SHAPES = {"kernel": (4, 3), "bias": (3,)}


def _gradients(precision, steps=STEPS):
    """Of all sizes, some zero: (steps, ...) for each weight."""
    random = np.random.default_rng(1)
    sizes = 10.0 ** random.uniform(-6, 2, (steps, 1))
    found = {}
    for name, shape in SHAPES.items():
        g = (random.standard_normal((steps, int(np.prod(shape)))) * sizes).reshape(steps, *shape)
        g[random.random(g.shape) < 0.1] = 0
        found[name] = g.astype(precision)
    return found


def _of_keras(name, parameters, precision, gradients, first=0):
    """Weights and slots after every step, from Keras started at `iterations = first`."""
    set_precision(precision)
    start = _weights(precision)
    variables = [keras.Variable(w, dtype=precision, name=name) for name, w in start.items()]
    optimizer = getattr(keras.optimizers, name)(**parameters)
    optimizer.build(variables)
    optimizer.iterations.assign(first)
    slots = [variable for variable in optimizer.variables if variable.shape and len(variable.shape)]

    @tf.function(autograph=False, jit_compile=False)
    def step(*g):
        optimizer.apply(list(g), variables)

    states = []
    for index in range(len(gradients["bias"])):
        step(*(tf.constant(g[index]) for g in gradients.values()))
        weights = dict(zip(start, (np.array(variable) for variable in variables), strict=True))
        states.append((weights, {variable.path: np.array(variable) for variable in slots}))
    return states


def _weights(precision):
    random = np.random.default_rng(2)
    return {name: random.standard_normal(shape).astype(precision) for name, shape in SHAPES.items()}


def _slot(found, name):
    """Keras' slot of that name: `kernel/momentum` is the variable whose path ends in `kernel_momentum`."""
    weight, _, slot = name.partition("/")
    (path,) = (path for path in found if path.endswith(f"{weight}_{slot}"))
    return found[path]


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("variant", EXACT)
def test_a_replay_is_equal_to_the_last_bit(variant, precision):
    name, parameters = EXACT[variant]
    gradients = _gradients(precision)
    weights, ours = _weights(precision), OPTIMIZERS[name](**parameters)
    ours.start(weights)
    for step, (expected, slots) in enumerate(_of_keras(name, parameters, precision, gradients)):
        ours.update(weights, {weight: g[step] for weight, g in gradients.items()})
        for weight, w in expected.items():
            assert weights[weight].tobytes() == w.tobytes(), (step, weight)
        assert len(slots) == len(ours.slots)
        for slot, array in ours.slots.items():
            assert array.tobytes() == _slot(slots, slot).tobytes(), (step, slot)
    assert ours.iterations == STEPS


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("first", [999, 100_000, 2**24 + 1])
@pytest.mark.parametrize("variant", ["Adam", "Adam amsgrad"])
def test_adam_s_bias_correction_holds_late_in_training(variant, first, precision):
    name, parameters = EXACT[variant]
    gradients = _gradients(precision, 5)
    weights, ours = _weights(precision), OPTIMIZERS[name](**parameters)
    ours.start(weights)
    ours.iterations = first
    for step, (expected, _) in enumerate(_of_keras(name, parameters, precision, gradients, first)):
        ours.update(weights, {weight: g[step] for weight, g in gradients.items()})
        for weight, w in expected.items():
            assert weights[weight].tobytes() == w.tobytes(), (step, weight)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("variant", ROOTS)
def test_rmsprop_differs_by_its_root_alone(variant, precision):
    """Each step from Keras' own state: velocities are equal, what is divided by the root is within its budget."""
    name, parameters = ROOTS[variant]
    gradients, u = _gradients(precision, 60), unit_roundoff(precision)
    ours, before = OPTIMIZERS[name](**parameters), _weights(precision)
    ours.start(before)

    def increment_error(weight, slots, step):
        """Of `rate g / sqrt(v + eps)` on one side, in multiples of u: three operations and the root."""
        v = _slot(slots, f"{weight}/velocity") + ours.epsilon
        if ours.centered:
            v = v - _slot(slots, f"{weight}/average_gradient") ** 2
        return (3 + RSQRT_ROUNDOFFS) * np.abs(ours.learning_rate * gradients[weight][step]) / np.sqrt(v)

    for step, (expected, slots) in enumerate(_of_keras(name, parameters, precision, gradients)):
        weights = {weight: w.copy() for weight, w in before.items()}
        ours.update(weights, {weight: g[step] for weight, g in gradients.items()})
        for slot, array in ours.slots.items():
            theirs = _slot(slots, slot)
            if slot.endswith("momentum"):
                allowed = 2 * u * (increment_error(slot.partition("/")[0], slots, step) + np.abs(theirs))
                assert (np.abs(array - theirs) <= allowed).all(), (step, slot)
            else:
                assert array.tobytes() == theirs.tobytes(), (step, slot)
            array[...] = theirs
        for weight, w in expected.items():
            momentum = np.abs(_slot(slots, f"{weight}/momentum")) if ours.momentum else 0
            allowed = 2 * u * (increment_error(weight, slots, step) + momentum + np.abs(w))
            assert (np.abs(weights[weight] - w) <= allowed).all()
        before = expected


@pytest.mark.parametrize("variant", EXACT | ROOTS)
def test_gradients_are_left_alone_and_weights_are_updated_in_place(variant):
    name, parameters = (EXACT | ROOTS)[variant]
    weights, ours = _weights("float32"), OPTIMIZERS[name](**parameters)
    arrays, before = dict(weights), {weight: w.copy() for weight, w in weights.items()}
    gradients = {weight: g[0] + 1 for weight, g in _gradients("float32", 1).items()}
    kept = {weight: g.copy() for weight, g in gradients.items()}
    ours.start(weights)
    ours.update(weights, gradients)
    for weight, g in gradients.items():
        np.testing.assert_array_equal(g, kept[weight])
        assert weights[weight] is arrays[weight]
        assert (weights[weight] < before[weight]).all()  # every gradient was positive here
        assert weights[weight].dtype == "float32"


def test_every_optimizer_is_in_the_tables():
    names = {name for name, _ in (EXACT | ROOTS).values()}
    assert set(OPTIMIZERS) == names == {cls.__name__ for cls in config.CLASSES}
