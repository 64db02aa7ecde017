"""What a seed means, against real Keras, to the last bit."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from parity.config.philox import KerasRandom, layer_seeds, philox, shuffled
from scratch_net.initializers import RANDOM

SEEDS = (0, 1, 1337, 663307073, 2**31 - 3, 2**31 - 2, 2**31 - 1, 2**40 + 3, -5)
SHAPES = ((1,), (3, 5), (1, 1), (64, 30), (0, 3), (257,))
PARAMETERS: dict[str, Any] = {
    "RandomNormal": {"mean": 0.1, "stddev": 0.3},
    "TruncatedNormal": {"mean": -0.1, "stddev": 0.3},
    "RandomUniform": {"minval": -0.1, "maxval": 0.3},
}


# Vectors of the generator's authors: Random123, tests/kat_vectors, philox4x32 with 10 rounds.
@pytest.mark.parametrize(
    ("counter", "key", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
        ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
        (
            (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
            (0xA4093822, 0x299F31D0),
            (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
        ),
    ],
)
def test_the_generator(counter, key, expected):
    np.testing.assert_array_equal(philox(np.array([counter], np.uint64), key)[0], expected)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", sorted(RANDOM))
def test_every_random_initializer_of_keras(keras, name, dtype):
    given = PARAMETERS.get(name, {})
    for seed in SEEDS:
        theirs = getattr(keras.initializers, name)(**given, seed=seed)
        for shape in SHAPES if seed in {0, 1337} else SHAPES[1:2]:
            expected = np.asarray(theirs(shape, dtype))
            drawn = RANDOM[name](shape, np.dtype(dtype), KerasRandom(seed, dtype), **given)
            assert drawn.dtype == expected.dtype
            np.testing.assert_array_equal(drawn, expected, err_msg=f"{name} {seed} {shape}")


def test_every_class_of_the_config_that_takes_a_seed_is_drawn():
    from parity.config import initializers

    assert {cls.__name__ for cls in initializers.CLASSES if "seed" in cls.model_fields} == set(RANDOM)


def test_a_large_draw_to_the_last_bit(keras):
    """More blocks than one truncation stride: 784 x 30 truncated normals."""
    for dtype in ("float32", "float64"):
        expected = np.asarray(keras.initializers.HeNormal(seed=3)((784, 30), dtype))
        drawn = RANDOM["HeNormal"]((784, 30), np.dtype(dtype), KerasRandom(3, dtype))
        np.testing.assert_array_equal(drawn, expected)


@given(st.integers(0, 2**31 - 1), st.integers(0, 40), st.integers(0, 40))
def test_a_shorter_draw_is_the_beginning_of_a_longer_one(seed, short, more):
    for dtype in ("float32", "float64"):
        source = KerasRandom(seed, dtype)
        for draw in (source.uniform, source.normal, source.truncated_normal):
            np.testing.assert_array_equal(draw((short + more,), 0.0, 1.0)[:short], draw((short,), 0.0, 1.0))


@given(st.integers(0, 2**31 - 1))
def test_draws_lie_where_they_belong(seed):
    source = KerasRandom(seed, "float32")
    uniform = source.uniform((500,), -0.25, 0.5)
    assert ((uniform >= -0.25) & (uniform < 0.5)).all()
    assert (np.abs(source.truncated_normal((500,), 0.0, 1.0)) < 2).all()
    assert np.isfinite(source.normal((500,), 0.0, 1.0)).all()


@pytest.mark.parametrize("seed", [0, 1, 1337, 2**31 - 2, 2**31 - 1])
def test_the_order_in_which_layers_take_seeds(keras, seed):
    """A real model whose kernels and biases are random: every weight is the draw of the next seed."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(4, bias_initializer="random_normal"),
            keras.layers.Dense(2, kernel_initializer="zeros", bias_initializer="uniform"),
            keras.layers.Dense(2, kernel_initializer=keras.initializers.HeNormal(seed=11)),
            keras.layers.Dense(1),
        ]
    )
    next_seed = layer_seeds(seed)
    drawn = [
        RANDOM["GlorotUniform"]((3, 4), np.dtype("float32"), KerasRandom(next_seed(), "float32")),
        RANDOM["RandomNormal"]((4,), np.dtype("float32"), KerasRandom(next_seed(), "float32"), mean=0.0, stddev=0.05),
        np.zeros((4, 2), np.float32),
        RANDOM["RandomUniform"](
            (2,), np.dtype("float32"), KerasRandom(next_seed(), "float32"), minval=-0.05, maxval=0.05
        ),
        RANDOM["HeNormal"]((2, 2), np.dtype("float32"), KerasRandom(11, "float32")),
        np.zeros(2, np.float32),
        RANDOM["GlorotUniform"]((2, 1), np.dtype("float32"), KerasRandom(next_seed(), "float32")),
        np.zeros(1, np.float32),
    ]
    for weight, expected in zip(model.get_weights(), drawn, strict=True):
        np.testing.assert_array_equal(weight, expected)


def test_asking_for_seeds_leaves_pythons_own_generator_alone():
    random.seed(5)
    untouched = random.random()  # noqa: S311
    random.seed(5)
    layer_seeds(5)()
    assert random.random() == untouched  # noqa: S311


def visited(keras, runtime, count: int, seed: int, epochs: int, batch: int) -> list[list[int]]:
    """The examples as `fit(shuffle=True)` really hands them to a layer, epoch by epoch."""
    seen: list[int] = []

    class Recorder(keras.layers.Layer):
        def call(self, x):
            runtime.tf.py_function(lambda rows: seen.extend(int(row) for row in np.asarray(rows)[:, 0]), [x], [])
            return x

    keras.utils.set_random_seed(seed)
    model = keras.Sequential([keras.Input((1,)), Recorder(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    rows = np.arange(count, dtype=np.float32)[:, None]
    model.fit(rows, 0 * rows, batch_size=batch, epochs=epochs, shuffle=True, verbose=0)
    return [seen[start : start + count] for start in range(0, len(seen), count)]


@pytest.mark.parametrize("seed", [0, 1, 1337, 2**31 - 2, 2**31 - 1])
@pytest.mark.parametrize("count", [1, 2, 10, 103])
def test_the_order_of_fit(keras, runtime, count, seed):
    epochs = visited(keras, runtime, count, seed, epochs=3, batch=32)
    assert len(epochs) == 3
    for order in epochs:
        assert order == shuffled(count, seed).tolist()


@given(st.integers(0, 300), st.integers(0, 2**31 - 1))
def test_an_order_has_every_example_once(count, seed):
    np.testing.assert_array_equal(np.sort(shuffled(count, seed)), np.arange(count))
