"""Laws of the schedule: every step once and in order, every example once an epoch."""

from __future__ import annotations

from itertools import groupby
from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st

from parity.config import validate
from parity.config.philox import shuffled
from parity.data import Schedule
from parity.errors import UsageError


def schedule(examples: int, **settings: Any) -> Schedule:
    table = {"data": {"source": "digits"}, "layers": [{"units": 1}], "loss": "mse", "optimizer": "sgd", **settings}
    return Schedule.of(validate(table), examples)


@st.composite
def schedules(draw) -> tuple[Schedule, dict[str, Any], int]:
    examples = draw(st.integers(1, 40))
    settings: dict[str, Any] = {
        "batch_size": draw(st.integers(1, 45) | st.just("full")),
        "shuffle": draw(st.booleans()),
        "drop_remainder": draw(st.booleans()),
        "seed": draw(st.integers(0, 3)),
    }
    if settings["drop_remainder"] and settings["batch_size"] != "full":
        settings["batch_size"] = min(settings["batch_size"], examples)
    length = draw(st.sampled_from(["epochs", "steps", None]))
    if length:
        settings[length] = draw(st.integers(1, 30 if length == "steps" else 4))
    return schedule(examples, **settings), settings, examples


def batches(plan: Schedule, length: int) -> list[list[int]]:
    return [rows.tolist() for chunk in plan.chunks(length) for rows in chunk.rows]


def plainly(settings: dict[str, Any], examples: int) -> list[list[int]]:
    """The same by the words of Keras' `fit`: go through the examples in order, epoch after epoch."""
    order = shuffled(examples, settings["seed"]).tolist() if settings["shuffle"] else list(range(examples))
    size = examples if settings["batch_size"] == "full" else settings["batch_size"]
    epoch = [order[start : start + size] for start in range(0, examples, size)]
    if settings["drop_remainder"]:
        epoch = [batch for batch in epoch if len(batch) == size]
    if steps := settings.get("steps"):
        return (epoch * steps)[:steps]
    return epoch * settings.get("epochs", 1)


@given(schedules(), st.integers(1, 12))
def test_the_steps_are_those_of_a_plain_loop(planned, length):
    plan, settings, examples = planned
    assert batches(plan, length) == plainly(settings, examples)
    assert plan.steps == len(plainly(settings, examples))


@given(schedules(), st.integers(1, 12))
def test_chunks_follow_each_other_and_hold_batches_of_one_size(planned, length):
    plan, _, _ = planned
    step = 1
    for chunk in plan.chunks(length):
        assert chunk.first_step == step
        assert 1 <= len(chunk) <= length
        assert chunk.rows.ndim == 2
        assert chunk.rows.size
        step += len(chunk)
    assert step == plan.steps + 1


@given(schedules(), st.integers(1, 12), st.integers(1, 12))
def test_the_length_of_chunks_changes_nothing(planned, one, other):
    plan, _, _ = planned
    assert batches(plan, one) == batches(plan, other)


@given(st.integers(1, 60), st.integers(1, 70), st.booleans(), st.integers(1, 3))
def test_every_example_once_an_epoch(examples, batch_size, shuffle, epochs):
    plan = schedule(examples, batch_size=batch_size, shuffle=shuffle, epochs=epochs)
    seen = [row for batch in batches(plan, 5) for row in batch]
    for epoch in range(epochs):
        assert sorted(seen[epoch * examples : (epoch + 1) * examples]) == list(range(examples))
    assert len(seen) == epochs * examples


def test_dropping_the_remainder_may_leave_nothing():
    with pytest.raises(UsageError, match="leaves no batch of 3 examples"):
        schedule(3, batch_size=4, drop_remainder=True)
    assert batches(schedule(3, batch_size=4), 9) == [[0, 1, 2]]
    assert batches(schedule(3, batch_size="full", drop_remainder=True), 9) == [[0, 1, 2]]


@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("batch_size", [4, 10, 12])
def test_the_batches_of_fit(keras, runtime, shuffle, batch_size):
    """Against the batches that real Keras makes of the same settings."""
    seen: list[list[int]] = []

    class Recorder(keras.layers.Layer):
        def call(self, x):
            runtime.tf.py_function(lambda rows: seen.append(np.asarray(rows)[:, 0].astype(int).tolist()), [x], [])
            return x

    keras.utils.set_random_seed(5)
    model = keras.Sequential([keras.Input((1,)), Recorder(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    rows = np.arange(10, dtype=np.float32)[:, None]
    model.fit(rows, 0 * rows, batch_size=batch_size, epochs=2, shuffle=shuffle, verbose=0)
    assert batches(schedule(10, batch_size=batch_size, epochs=2, shuffle=shuffle, seed=5), 3) == seen
    np.testing.assert_array_equal(schedule(10, shuffle=shuffle, seed=5).order()[: len(seen[0])], seen[0])


@given(schedules(), st.integers(1, 12))
def test_steps_of_one_batch_size_are_dealt_out_evenly(planned, length):
    """Over as few chunks as there can be, and over the ends of epochs where no smaller batch comes between."""
    plan, _, _ = planned
    sizes = [len(batch) for batch in batches(plan, 1)]
    chunks = iter(plan.chunks(length))
    for _, alike in groupby(sizes):
        steps, lengths = len([*alike]), []
        while sum(lengths) < steps:
            lengths.append(len(next(chunks)))
        assert sum(lengths) == steps
        assert len(lengths) == -(-steps // length)
        assert max(lengths) - min(lengths) <= 1
