"""What is printed: the weights agree, and what was computed on the way is told as it was."""

from __future__ import annotations

import numpy as np
import pytest

from scratch_net.conventions.reporting import CHOICES
from scratch_net.losses import CategoricalCrossentropy, MeanSquaredError, SparseCategoricalCrossentropy
from scratch_net.optimizers import Adam
from scratch_net.regularizers import L2
from tests.scratch_net.conventions.by_hand import assert_equal_but_for_rounding, batch, changed, made, told

STEPS = 4
TOLD = ("loss loss", "loss loss (data)", "loss loss (penalty)", "loss dense/kernel (penalty)")


def steps(choices, **settings):
    made_with = {"kernel": lambda: L2(0.125), "optimizer": Adam(0.1), **settings}
    return told(made(MeanSquaredError(), choices, **made_with), *batch(), steps=STEPS)


@pytest.mark.parametrize("choice", [(code, c) for code, choices in CHOICES.items() for c in choices], ids="=".join)
def test_the_report_alone_differs(choice):
    differ = {
        key for ours, theirs in zip(steps({}), steps(dict([choice])), strict=True) for key in changed(ours, theirs)
    }
    assert differ
    phase = "metrics" if choice[0] == "report.accuracy" else "loss"
    assert all(key.startswith(phase) for key in differ)


def test_the_loss_after_the_update_is_the_next_step_s():
    before, after = steps({}), steps({"report.when": "after_update"})
    for this, following in zip(after, before[1:], strict=False):
        assert [this[key] for key in TOLD] == [following[key] for key in TOLD]


def test_the_running_mean():
    each, running = steps({}), steps({"report.mean": "running"})
    assert [running[0][key] for key in TOLD] == [each[0][key] for key in TOLD]
    for count in range(1, STEPS + 1):
        mean = {key: np.mean([said[key] for said in each[:count]]) for key in TOLD}
        assert_equal_but_for_rounding(running[count - 1], mean)


def test_the_running_mean_of_the_losses_after_the_updates_with_another_factor():
    """Reports of reports: each applies to what the one before tells."""
    choices = {
        "report.when": "after_update",
        "report.mean": "running",
        "loss.reported": "double",
        "l2.reported": "half",
    }
    each, running = steps({}), steps(choices)
    expected = np.mean([2 * said["loss loss (data)"] + said["loss loss (penalty)"] / 2 for said in each[1:3]])
    assert running[1]["loss loss"] == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("engine", ["central", "per_example"])
def test_after_the_update_with_another_engine(engine):
    of = {"gradient.engine": engine}
    before, after = steps(of), steps(of | {"report.when": "after_update"})
    assert [after[0][key] for key in TOLD] == [before[1][key] for key in TOLD]
    assert not [key for key in changed(before[0], after[0]) if not key.startswith("loss")]


@pytest.mark.parametrize("sparse", [False, True], ids=["one-hot", "labels"])
def test_binary_accuracy_counts_every_output(sparse):
    x, y = batch(one_hot=True)
    loss, given = (SparseCategoricalCrossentropy(), y.argmax(axis=1)) if sparse else (CategoricalCrossentropy(), y)
    said = told(made(loss, {"report.accuracy": "binary"}, last="softmax"), x, given)
    right = [
        (p > 0.5) == (t == 1)
        for row, rows in zip(said["forward dense_1/output"], y, strict=True)
        for p, t in zip(row, rows, strict=True)
    ]
    assert said["metrics accuracy"] == pytest.approx(np.mean(right), rel=1e-15)
    assert said["metrics accuracy"] != told(made(loss, {}, last="softmax"), x, given)["metrics accuracy"]


def test_with_one_output_both_accuracies_are_one():
    x, y = batch(1)
    ours, theirs = (told(made(MeanSquaredError(), c, outputs=1), x, y > 0) for c in ({}, {"report.accuracy": "binary"}))
    assert changed(ours, theirs) == []
