"""Optimizers: the oracle is `keras.optimizers`, its `apply` compiled with `tf.function` as `fit` compiles it.

Each step starts from Keras' own weights and slots and must end with Keras' bits. RMSprop alone divides by a root that
a compiled graph may turn into a product with `rsqrt`, which rounds differently: what is made of that has a bound.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from keras_ref.build import build, named_slots, named_weights
from keras_ref.runtime import keras, set_precision, tf
from parity.budget.rounding import RSQRT_ROUNDOFFS, unit_roundoff
from scratch_net.adapter import ScratchSide
from scratch_net.optimizers import OPTIMIZERS
from tests.suite.laws import law, small_experiment

STEPS = 60
LATE = (999, 100_000, 2**24 + 1)
SHAPES = {"kernel": (4, 3), "bias": (3,)}
COUNTERS = {"optimizer/iterations", "optimizer/learning_rate"}


def made(said):
    return OPTIMIZERS[said["class_name"]](**{name: value for name, value in said.items() if name != "class_name"})


def gradients(precision, steps=STEPS):
    """Of all sizes, some zero: (steps, ...) for each weight."""
    random = np.random.default_rng(1)
    sizes = 10.0 ** random.uniform(-6, 2, (steps, 1))
    found = {}
    for name, shape in SHAPES.items():
        g = (random.standard_normal((steps, int(np.prod(shape)))) * sizes).reshape(steps, *shape)
        g[random.random(g.shape) < 0.1] = 0
        found[name] = g.astype(precision)
    return found


def weights(precision):
    random = np.random.default_rng(2)
    return {name: random.standard_normal(shape).astype(precision) for name, shape in SHAPES.items()}


@cache
def of_keras(settings, precision, steps=STEPS, first=0):
    """Weights and slots after every step, from Keras started at `iterations = first`."""
    set_precision(precision)
    parameters = dict(settings)
    start = weights(precision)
    variables = [keras.Variable(w, dtype=precision, name=name) for name, w in start.items()]
    optimizer = getattr(keras.optimizers, parameters.pop("class_name"))(**parameters)
    optimizer.build(variables)
    optimizer.iterations.assign(first)
    slots = [variable for variable in optimizer.variables if variable.shape and len(variable.shape)]

    @tf.function(autograph=False, jit_compile=False)
    def step(*g):
        optimizer.apply(list(g), variables)

    states = []
    for g in zip(*gradients(precision, steps).values(), strict=True):
        step(*(tf.constant(one) for one in g))
        after = dict(zip(start, (np.array(variable) for variable in variables), strict=True))
        states.append((after, {variable.path: np.array(variable) for variable in slots}))
    return states


def slot_of(found, name):
    """Keras' slot of that name: `kernel/momentum` is the variable whose path ends in `kernel_momentum`."""
    weight, _, slot = name.partition("/")
    (path,) = (path for path in found if path.endswith(f"{weight}_{slot}"))
    return found[path]


def allowed(ours, name, w, g, slots, u):
    """By how much a weight or slot may be off: of RMSprop `rate g / sqrt(v + eps)` on both sides, otherwise nothing.

    Three operations and the root make that quotient; it and the other term of the last sum are rounded once more.
    """
    weight, _, slot = name.partition("/")
    if type(ours).__name__ != "RMSprop" or slot not in {"", "momentum"}:
        return 0.0
    v = slot_of(slots, f"{weight}/velocity") + ours.epsilon
    if ours.centered:
        v = v - slot_of(slots, f"{weight}/average_gradient") ** 2
    error = (3 + RSQRT_ROUNDOFFS) * np.abs(ours.learning_rate * g) / np.sqrt(v)
    if ours.momentum:
        error = error + np.abs(slot_of(slots, f"{weight}/momentum"))
    return 2 * u * (error if slot else error + np.abs(w))


def assert_the_steps_are_keras_s(said, precision, steps=STEPS, first=0):
    ours, before, u = made(said), weights(precision), unit_roundoff(precision)
    ours.start(before)
    ours.iterations = first
    given = gradients(precision, steps)
    for step, (expected, slots) in enumerate(of_keras(tuple(said.items()), precision, steps, first)):
        after = {weight: w.copy() for weight, w in before.items()}
        g = {weight: of[step] for weight, of in given.items()}
        ours.update(after, g)
        assert len(slots) == len(ours.slots)
        for name, array in [*ours.slots.items(), *after.items()]:
            theirs = expected[name] if name in expected else slot_of(slots, name)
            weight = name.partition("/")[0]
            limit = allowed(ours, name, expected[weight], g[weight], slots, u)
            assert (np.abs(array - theirs) <= limit).all(), (step, name)
            assert array.dtype == theirs.dtype
        for slot, array in ours.slots.items():
            array[...] = slot_of(slots, slot)
        before = expected
    assert ours.iterations == first + steps


@law("optimizers")
def every_update_is_keras_s(said, precision):
    assert_the_steps_are_keras_s(said, precision)


@law("optimizers")
def every_update_is_keras_s_late_in_training(said, precision):
    """Where corrections for the first steps have all but gone, and where a float32 counts no further."""
    for first in LATE:
        assert_the_steps_are_keras_s(said, precision, 5, first)


@law("optimizers")
def slots_are_named_and_begun_as_keras_s(said, precision):
    """In the words of the vocabulary, which are Keras' own: `dense/kernel/momentum` is `..._kernel_momentum`."""
    experiment = small_experiment(optimizer=said)
    side = ScratchSide()
    side.start(experiment, side.initial_weights(experiment, 5, precision))
    model = build(experiment, 5, precision)
    theirs, ours = named_slots(model), side.initial_state()
    assert ours.keys() == theirs.keys()
    assert len(theirs) == len(model.optimizer.variables)
    for name, slot in ours.items():
        assert slot.dtype == np.array(theirs[name]).dtype, name
        assert slot.tobytes() == np.array(theirs[name]).tobytes(), name
        if name not in COUNTERS:
            weight = named_weights(model)[name.rpartition("/")[0]]
            assert theirs[name].path.startswith(f"{model.optimizer.name}/{weight.path.replace('/', '_')}")


@law("optimizers")
def weights_are_updated_in_place_and_gradients_left_alone(said, precision):
    """And a positive gradient makes a weight smaller. No oracle."""
    found, ours = weights(precision), made(said)
    arrays, before = dict(found), {weight: w.copy() for weight, w in found.items()}
    given = {weight: np.abs(g[0]) + 1 for weight, g in gradients(precision, 1).items()}
    kept = {weight: g.copy() for weight, g in given.items()}
    ours.start(found)
    ours.update(found, given)
    for weight, g in given.items():
        assert g.tobytes() == kept[weight].tobytes()
        assert found[weight] is arrays[weight]
        assert (found[weight] < before[weight]).all()
        assert found[weight].dtype == precision
