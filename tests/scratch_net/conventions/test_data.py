"""What is made of a batch, against the network with Keras' choices that is given that batch."""

from __future__ import annotations

import numpy as np
import pytest

from parity.protocol import Key, keyed
from tests.scratch_net.conventions.networks import BATCH, NETWORKS, SCALE, batches, started, steps

U = np.finfo("float64").eps / 2


def _rolled(y, by=1):
    return (y + by) % 3 if y.dtype.kind == "i" else np.roll(y, by, axis=1)


@pytest.mark.parametrize(
    ("choices", "given"),
    [
        ({"data.scale": "twice"}, lambda x, y: (x / SCALE, y)),
        ({"data.scale": "missing"}, lambda x, y: (x * SCALE, y)),
        ({"precision.inputs": "float32"}, lambda x, y: (x.astype(np.float32).astype(x.dtype), y)),
        ({"data.labels": "shifted"}, lambda x, y: (x, _rolled(y))),
        ({"data.labels": "shifted_down"}, lambda x, y: (x, _rolled(y, -1))),
        ({"data.labels": "shifted", "data.scale": "twice"}, lambda x, y: (x / SCALE, _rolled(y))),
    ],
    ids=["twice", "missing", "float32", "shifted", "shifted_down", "both"],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", NETWORKS)
def test_another_batch_is_another_batch(name, dtype, choices, given):
    side, _ = started(name, choices, dtype)
    keras, _ = started(name, {}, dtype)
    for x, y in batches(name, dtype):
        ours, theirs = (keyed(one, "dense_2") for one in (side.step(x, y), keras.step(*given(x, y))))
        for key, array in ours.items():
            expected = {Key("batch", "x"): x, Key("batch", "y"): y}.get(key, theirs[key])  # told as it was given
            assert array.tobytes() == expected.tobytes(), key


@pytest.mark.parametrize("choice", ["shifted", "shifted_down"])
def test_one_target_for_each_example_has_no_classes(choice):
    side, _ = started("one output", {"data.labels": choice})
    keras, _ = started("one output", {})
    x, y = batches("one output")[0]
    for targets in (y[:, 0], (y[:, 0] > 0).astype(np.int32)):
        assert side.network.batch(x, targets)[1] is targets
    assert side.step(x, y)["loss"] == keras.step(x, y)["loss"]


@pytest.mark.parametrize("name", NETWORKS)
def test_a_smaller_batch_over_the_full_size(name):
    """The data part, and what comes of it alone, is n / B of Keras'; the penalties are Keras'."""
    (*_, ours), _ = steps(name, {"data.partial_batch": "full_size"})
    (*_, keras), _ = steps(name, {})
    n = len(ours.arrays[Key("batch", "x")][0])
    assert 0 < n < BATCH
    for key, array in ours.arrays.items():
        expected = keras.arrays[key]
        if key.phase not in {"loss", "gradient"}:
            continue
        if key.part == "data":
            expected = expected * (n / BATCH)
        elif key.part == "whole" and Key(key.phase, key.tensor, "data") in keras.arrays:
            data = keras.arrays[Key(key.phase, key.tensor, "data")]
            expected = expected - data + data * (n / BATCH)
        elif key.phase == "gradient" and key.part == "whole" and name != "penalized outputs":
            expected = expected * (n / BATCH)
        elif name == "penalized outputs" and key.phase == "gradient":
            continue  # the penalty's part flows through every layer
        # Every number here comes of fewer than a hundred roundings of numbers of this size.
        size = np.abs(keras.arrays[key]).max()
        np.testing.assert_allclose(array, expected, rtol=0, atol=100 * U * size, err_msg=str(key))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_gradient_over_the_full_size_beside_a_loss_that_is_not(name):
    """Keras' loss, and in the gradient what the full size does to both."""
    (*_, ours), _ = steps(name, {"data.partial_batch": "gradient_full_size"})
    (*_, both), _ = steps(name, {"data.partial_batch": "full_size"})
    (*_, keras), _ = steps(name, {})
    for key, array in ours.arrays.items():
        expected = (keras if key.phase in {"forward", "loss", "metrics", "batch"} else both).arrays[key]
        assert array.tobytes() == expected.tobytes(), key


@pytest.mark.parametrize("name", NETWORKS)
def test_a_batch_that_is_skipped_is_told_and_leaves_no_trace(name):
    records, _ = steps(name, {"data.partial_batch": "skipped"})
    keras, _ = steps(name, {})
    for one, other in zip(records, keras, strict=True):
        skipped = len(one.arrays[Key("batch", "x")][0]) < BATCH
        for key, array in one.arrays.items():
            kept = skipped and key.phase == "update" and key in one.before
            assert array[0].tobytes() == (one.before[key] if kept else other.arrays[key][0]).tobytes(), key
    assert records[-1].arrays[Key("update", "optimizer/iterations")] == len(records) - 1


def test_without_a_nominal_size_every_batch_is_full():
    for choice in ("full_size", "gradient_full_size", "skipped"):
        side, _ = started("sgd", {"data.partial_batch": choice})
        keras, _ = started("sgd", {})
        side.network.training = type(side.network.training)()
        x, y = batches("sgd")[-1]
        ours, theirs = (keyed(one.step(x, y), "dense_2") for one in (side, keras))
        assert all(ours[key].tobytes() == theirs[key].tobytes() for key in theirs)
