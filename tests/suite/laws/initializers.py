"""Initializers: the oracle of every draw is the model that Keras builds; that of their spread, whoever derived it."""

from __future__ import annotations

import numpy as np

from keras_ref.adapter import KerasSide
from parity.config.philox import KerasRandom
from scratch_net import adapter as scratch
from scratch_net.initializers import INITIALIZERS, RANDOM
from tests.suite.laws import law, small_experiment

SHAPE = (120, 80)
TRUNCATED = 0.8796256610342398  # standard deviation of a unit normal cut off at 2


def of_variance(variance):
    """Mean, variance, largest size of what is drawn uniformly, and of a normal cut off at two deviations."""
    return (0, variance, np.sqrt(3 * variance)), (0, variance, 2 * np.sqrt(variance) / TRUNCATED)


GLOROT, HE, LECUN = of_variance(2 / 200), of_variance(2 / 120), of_variance(1 / 120)

# class -> of its parameters: mean, variance, largest distance from the mean (None: unbounded)
SPREAD = {
    "Zeros": lambda: (0, 0, 0),
    "Ones": lambda: (1, 0, 0),
    "Constant": lambda value: (float(np.float32(value)), 0, 0),  # Keras rounds it
    "GlorotUniform": lambda: GLOROT[0],
    "GlorotNormal": lambda: GLOROT[1],
    "HeUniform": lambda: HE[0],
    "HeNormal": lambda: HE[1],
    "LecunUniform": lambda: LECUN[0],
    "LecunNormal": lambda: LECUN[1],
    "RandomNormal": lambda mean, stddev: (mean, stddev**2, None),
    "TruncatedNormal": lambda mean, stddev: (mean, (stddev * TRUNCATED) ** 2, 2 * stddev),
    "RandomUniform": lambda minval, maxval: (
        (minval + maxval) / 2,
        (maxval - minval) ** 2 / 12,
        (maxval - minval) / 2,
    ),
}


def parameters(said):
    return {name: value for name, value in said.items() if name not in {"class_name", "seed"}}


def drawn(said, shape, precision, seed=17):
    random = KerasRandom(said.get("seed", seed), precision) if said["class_name"] in RANDOM else None
    return INITIALIZERS[said["class_name"]](shape, np.dtype(precision), random, **parameters(said))


@law("initializers")
def every_draw_is_keras_s_to_the_last_bit(said, precision):
    """Of kernels and biases, in a network of three layers: seeds are taken in the order in which Keras takes them."""
    layers = [
        {"units": 7, "kernel_initializer": said, "bias_initializer": said},
        {"units": 4, "kernel_initializer": said},
        {"units": 1, "bias_initializer": said},
    ]
    experiment = small_experiment(layers=layers)
    theirs = KerasSide().initial_weights(experiment, 5, precision)
    ours = scratch.initial_weights(experiment, 5, precision)
    assert list(ours) == list(theirs)
    for weight, array in theirs.items():
        assert array.dtype == ours[weight].dtype == precision
        assert array.tobytes() == ours[weight].tobytes(), weight


@law("initializers")
def its_spread_is_the_one_that_was_derived(said, precision):
    """Mean and variance within five standard errors, nothing beyond the limits, and something near them. No oracle."""
    mean, variance, limit = SPREAD[said["class_name"]](**parameters(said))
    found = drawn(said, SHAPE, precision)
    assert found.shape == SHAPE
    assert found.dtype == precision
    found, u = found.astype("float64"), np.finfo("float64").eps  # so that the sums of the statistics err by u alone
    assert abs(found.mean() - mean) <= 5 * np.sqrt(variance / found.size) + found.size * u * abs(mean)
    assert abs(found.var() - variance) <= 5 * np.sqrt(2 / found.size) * variance + (found.size * u * mean) ** 2
    if limit is not None:
        largest = np.abs(found - mean).max()
        assert 0.97 * limit <= largest <= limit * (1 + 1e-6)


@law("initializers")
def a_bias_counts_its_length_as_both_fans(said, precision):
    """Where the spread depends on the fans: a bias of n units is drawn like a kernel of n to n. No oracle."""
    bias, square = (drawn(said, shape, precision) for shape in ((90,), (90, 90)))
    assert bias.tobytes() == square.reshape(-1)[:90].tobytes()


@law("initializers", of=lambda said: "seed" in said)
def its_own_seed_is_used(said, precision):
    """Whatever the seed of the experiment; the next layer, without one, is drawn anew. No oracle."""
    layers = [{"units": 4, "kernel_initializer": said}, {"units": 1}]
    one, other = (scratch.initial_weights(small_experiment(layers=layers, seed=seed), 5, precision) for seed in (1, 2))
    assert one["dense/kernel"].tobytes() == other["dense/kernel"].tobytes()
    assert (one["dense_1/kernel"] != other["dense_1/kernel"]).all()
