"""Initial weights of shape (inputs, units), drawn from `random`.

`random` has the methods `uniform(shape, low, high)`, `normal(shape, mean, stddev)` and
`truncated_normal(shape, mean, stddev)`. Source: keras/src/initializers/random_initializers.py
and constant_initializers.py.

    Glorot and Bengio 2010:  variance 2 / (fan_in + fan_out)
    He et al. 2015:          variance 2 / fan_in
    LeCun et al. 1998:       variance 1 / fan_in
"""

from __future__ import annotations

import math

import numpy as np

# The standard deviation of a unit normal cut off at two standard deviations.
TRUNCATED_STDDEV = 0.87962566103423978


def fans(shape):
    """(fan_in, fan_out): the rows and columns of a kernel; a bias counts its length twice."""
    return (shape[0], shape[-1])


def constant(shape, dtype, value):
    """Keras rounds the value to float32 first."""
    return np.full(shape, np.float32(value), dtype)


def variance(mode, shape):
    """The variance each author derived so that signals neither grow nor vanish from layer to layer."""
    fan_in, fan_out = fans(shape)
    scale, fan = {
        "Glorot": (1, (fan_in + fan_out) / 2),
        "He": (2, fan_in),
        "Lecun": (1, fan_in),
    }[mode]
    return scale / max(1, fan)


def variance_scaled_uniform(mode, shape, random):
    """U(-limit, limit) has variance limit**2 / 3."""
    limit = math.sqrt(3 * variance(mode, shape))
    return random.uniform(shape, -limit, limit)


def variance_scaled_normal(mode, shape, random):
    """Cutting the normal at two standard deviations narrows it; dividing makes up for that."""
    stddev = math.sqrt(variance(mode, shape)) / TRUNCATED_STDDEV
    return random.truncated_normal(shape, 0.0, stddev)


# Whose variance the name stands for, and how it is drawn.
UNIFORM = {"GlorotUniform": "Glorot", "HeUniform": "He", "LecunUniform": "Lecun"}
NORMAL = {"GlorotNormal": "Glorot", "HeNormal": "He", "LecunNormal": "Lecun"}

# Name -> (shape, dtype, random, **parameters) -> array. The first three need no random numbers.
DETERMINISTIC = {
    "Zeros": lambda shape, dtype, _: np.zeros(shape, dtype),
    "Ones": lambda shape, dtype, _: np.ones(shape, dtype),
    "Constant": lambda shape, dtype, _, value: constant(shape, dtype, value),
}
RANDOM = {
    "RandomNormal": lambda shape, _, random, mean, stddev: random.normal(shape, mean, stddev),
    "RandomUniform": lambda shape, _, random, minval, maxval: random.uniform(shape, minval, maxval),
    "TruncatedNormal": lambda shape, _, random, mean, stddev: random.truncated_normal(shape, mean, stddev),
    **{
        name: lambda shape, _, random, of=of: variance_scaled_uniform(of, shape, random) for name, of in UNIFORM.items()
    },
    **{name: lambda shape, _, random, of=of: variance_scaled_normal(of, shape, random) for name, of in NORMAL.items()},
}
INITIALIZERS = DETERMINISTIC | RANDOM
