"""What a seed means: Keras' random numbers (TensorFlow's Philox4x32-10), reproduced bit for bit in NumPy.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3", for the generator; TensorFlow's
`stateless_random_ops` and `random_distributions.h` for how words become numbers. The logarithm, sine and cosine of the
normal distribution are the C library's own, because those are what TensorFlow calls and NumPy's differ in the last bit.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import math
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

_MULTIPLIERS = (np.uint64(0xD2511F53), np.uint64(0xCD9E8D57))
_KEY_STEPS = (np.uint64(0x9E3779B9), np.uint64(0xBB67AE85))
_LOW = np.uint64(0xFFFFFFFF)
_WORD = np.uint64(32)
_ROUNDS = 10
_SCRAMBLE_KEY = (0x3EC8F720, 0x02461E29)  # TensorFlow scrambles stateless seeds with one block under this key
_SMALLEST_UNIFORM = 1e-7  # TensorFlow's floor under the logarithm of Box-Muller
_TRUNCATION = 2.0  # standard deviations

Words = npt.NDArray[np.uint64]
Floats = npt.NDArray[Any]


def philox(counters: Words, key: tuple[int, int]) -> npt.NDArray[np.uint32]:
    """Philox4x32-10: counters of shape (blocks, 4) to as many blocks of four random 32-bit words."""
    c0, c1, c2, c3 = (counters[:, word] & _LOW for word in range(4))
    k0, k1 = np.uint64(key[0]), np.uint64(key[1])
    for _ in range(_ROUNDS):
        p0, p1 = c0 * _MULTIPLIERS[0], c2 * _MULTIPLIERS[1]
        c0, c1, c2, c3 = (p1 >> _WORD) ^ c1 ^ k0, p1 & _LOW, (p0 >> _WORD) ^ c3 ^ k1, p0 & _LOW
        k0, k1 = (k0 + _KEY_STEPS[0]) & _LOW, (k1 + _KEY_STEPS[1]) & _LOW
    return np.stack([c0, c1, c2, c3], axis=1).astype(np.uint32)


def _counters(blocks: Words, high: tuple[int, int]) -> Words:
    counters = np.empty((len(blocks), 4), np.uint64)
    counters[:, 0], counters[:, 1] = blocks & _LOW, blocks >> _WORD
    counters[:, 2], counters[:, 3] = high
    return counters


@cache
def _libm(name: str, kind: type[ctypes.c_float | ctypes.c_double]) -> Callable[[float], float]:
    function = getattr(ctypes.CDLL(ctypes.util.find_library("m")), name)
    function.argtypes, function.restype = [kind], kind
    return function


def _each(function: Callable[[float], float], values: Floats) -> Floats:
    return np.fromiter(map(function, values.ravel().tolist()), values.dtype, values.size).reshape(values.shape)


class KerasRandom:
    """The draws of one Keras initializer: integer seed s is the stateless TensorFlow seed (s, 0).

    Every method draws from the start of the stream, as Keras' initializers do: they are stateless, so two equal calls
    give equal numbers.
    """

    def __init__(self, seed: int, dtype: npt.DTypeLike) -> None:
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self._number: Any = self.dtype.type  # turns a Python number into one of this dtype
        # keras/src/backend/tensorflow/random.py, _cast_seed: modulo keeps the seed an int32
        seed %= 2**31 - 2
        scrambled = philox(np.array([[seed, 0, 0, 0]], np.uint64), _SCRAMBLE_KEY)[0]
        self._key = (int(scrambled[0]), int(scrambled[1]))
        self._high = (int(scrambled[2]), int(scrambled[3]))
        self._per_block = 4 if self.dtype == np.float32 else 2

    def _words(self, blocks: Words) -> npt.NDArray[np.uint32]:
        return philox(_counters(blocks, self._high), self._key)

    def _unit(self, words: npt.NDArray[np.uint32]) -> Floats:
        """Uniform on [0, 1): the mantissa bits of a number in [1, 2), minus one."""
        if self.dtype == np.float32:
            bits = (words & np.uint32(0x7FFFFF)) | np.uint32(127 << 23)
            return bits.view(np.float32) - np.float32(1)
        wide = words.reshape(len(words), 2, 2).astype(np.uint64)
        bits64 = ((wide[..., 0] & np.uint64(0xFFFFF)) << _WORD) | wide[..., 1] | np.uint64(1023 << 52)
        return bits64.view(np.float64) - 1.0

    def _box_muller(self, words: npt.NDArray[np.uint32]) -> Floats:
        """Pairs `sin(v) r, cos(v) r`... in TensorFlow's order, with r = sqrt(-2 ln u) and v = 2 pi u'."""
        unit = self._unit(words)
        first, second = unit[:, 0::2], unit[:, 1::2]
        first = np.maximum(first, self._number(_SMALLEST_UNIFORM))
        if self.dtype == np.float32:
            log, sin, cos = (_libm(name, ctypes.c_float) for name in ("logf", "sinf", "cosf"))
        else:
            log, sin, cos = math.log, math.sin, math.cos
        angle = (2 * math.pi * second.astype(np.float64)).astype(self.dtype)
        radius = np.sqrt(self._number(-2) * _each(log, first))
        pairs = np.stack([_each(sin, angle) * radius, _each(cos, angle) * radius], axis=-1)
        return pairs.reshape(len(words), self._per_block)

    def _shaped(self, blocks_of_values: Floats, shape: tuple[int, ...]) -> Floats:
        return blocks_of_values.ravel()[: math.prod(shape)].reshape(shape)

    def _blocks(self, shape: tuple[int, ...]) -> Words:
        return np.arange(-(-math.prod(shape) // self._per_block), dtype=np.uint64)

    def uniform(self, shape: tuple[int, ...], low: float, high: float) -> Floats:
        """U(low, high). Keras passes the limits as Python floats, which TensorFlow makes float32 even for float64."""
        low, high = (self._number(np.float32(limit)) for limit in (low, high))
        return self._shaped(self._unit(self._words(self._blocks(shape))), shape) * (high - low) + low

    def normal(self, shape: tuple[int, ...], mean: float, stddev: float) -> Floats:
        """N(mean, stddev**2)."""
        drawn = self._shaped(self._box_muller(self._words(self._blocks(shape))), shape)
        return drawn * self._number(stddev) + self._number(mean)

    def truncated_normal(self, shape: tuple[int, ...], mean: float, stddev: float) -> Floats:
        """N(mean, stddev**2), drawn again where it is two standard deviations or more off.

        TensorFlow gives each block's worth of values a stream of its own, 64 blocks a value further on.
        """
        groups = self._blocks(shape)
        stride = np.uint64(64 * self._per_block)
        drawn = np.empty((len(groups), self._per_block), self.dtype)
        filled = np.zeros(len(groups), np.intp)
        attempt = np.uint64(0)
        while (open_ := np.flatnonzero(filled < self._per_block)).size:
            candidates = self._box_muller(self._words(groups[open_] * stride + attempt))
            for column in candidates.T:
                keep = (np.abs(column) < _TRUNCATION) & (filled[open_] < self._per_block)
                rows = open_[keep]
                drawn[rows, filled[rows]] = column[keep]
                filled[rows] += 1
            attempt += np.uint64(1)
        return self._shaped(drawn, shape) * self._number(stddev) + self._number(mean)


def layer_seeds(seed: int) -> Callable[[], int]:
    """Keras' automatic seeds after `set_random_seed(seed)`: one draw for each random initializer, in layer order."""
    stream = random.Random(seed)  # noqa: S311  # Keras draws them from Python's own generator
    return lambda: stream.randint(1, 10**9)


def shuffled(count: int, seed: int) -> npt.NDArray[np.int64]:
    """The order in which `fit(shuffle=True)` visits `count` examples under `set_random_seed(seed)`, in every epoch.

    TensorFlow's `random.shuffle`: for i in 0..count-2, swap i with `i + word_i % (count - i)`. The operation's own seed
    is 0, except that the pair (0, 0) would mean "unseeded" and becomes (0, 2**31 - 1). Both are taken modulo 2**31 - 1
    (tensorflow/python/framework/random_seed.py).
    """
    seed %= 2**31 - 1
    operation_seed = 2**31 - 1 if seed == 0 else 0
    blocks = np.arange(-(-count // 4), dtype=np.uint64)
    words = philox(_counters(blocks, (operation_seed, 0)), (seed, 0)).ravel().tolist()
    order = list(range(count))
    for i in range(count - 1):
        j = i + words[i] % (count - i)
        order[i], order[j] = order[j], order[i]
    return np.array(order, np.int64)
