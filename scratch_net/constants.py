"""Constants as arrays and numbers of the right type, and as Keras and TensorFlow take them."""

from __future__ import annotations

from functools import cache, lru_cache

import numpy as np


@cache
def number(value, dtype):
    """A constant as an array without axes: with a Python number an operation on a small array takes twice as long."""
    return _kept(np.array(value, dtype))


@cache
def ones(count, dtype):
    """A row of ones: what is multiplied by it is added up."""
    return _kept(np.ones(count, dtype))


def _kept(array):
    array.setflags(write=False)
    return array


def keras_constant(value, dtype):
    """A Python number as Keras turns it into a tensor: rounded to float32, then cast."""
    return np.dtype(dtype).type(normal(value, np.dtype(np.float32)))


@lru_cache(maxsize=256)  # a search for causes tries thousands of values
def normal(value, dtype):
    """A constant of type `dtype` as TensorFlow's kernels take it: what is smaller than any normal number as zero.

    Source: tensorflow/core/platform/denormal.h; its threads flush what they read, and what they write.
    """
    rounded = dtype.type(value)
    return dtype.type(0) if abs(rounded) < np.finfo(dtype).smallest_normal else rounded
