"""What an optimizer remembers, as an experiment names it; what sides make of it is in tests/keras_ref/test_state.py."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest

import parity
from parity.config import load_experiment, validate
from parity.errors import UsageError
from parity.state import with_state
from parity.verdict import Verdict
from scratch_net.adapter import ScratchSide

TABLE = {
    "data": {"source": "regression", "features": 3, "samples": 16},
    "layers": [{"units": 2, "activation": "tanh"}, {"units": 1}],
    "loss": "mse",
    "optimizer": "adam",
    "batch_size": 8,
    "steps": 3,
}
MOMENTUM = [[0.1, -0.2], [0.3, 0.4], [-0.5, 0.6]]
GIVEN = {"optimizer/iterations": 40, "dense/kernel/momentum": MOMENTUM}


def read(given, **more):
    return with_state(validate(TABLE | more | {"initial_state": given}), 3).state


def test_in_the_experiment_or_in_a_file_and_zero_where_it_is_not_named(tmp_path):
    inline = read(GIVEN)
    weights = ("dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias")
    slots = {f"{name}/{slot}" for name in weights for slot in ("momentum", "velocity")}
    assert inline.keys() == slots | {"optimizer/iterations"}
    assert inline["optimizer/iterations"] == 40
    assert inline["dense/kernel/momentum"].tolist() == MOMENTUM
    assert not any(array.flags.writeable for array in inline.values())  # it is shown to both sides
    assert inline["dense/kernel/momentum"].dtype == inline["dense/bias/momentum"].dtype == np.float64
    assert not any(inline[name].any() for name in slots - {"dense/kernel/momentum"})
    np.savez(tmp_path / "state.npz", **GIVEN)
    (tmp_path / "experiment.json").write_text(json.dumps(TABLE | {"initial_state": "state.npz"}))
    of_file = with_state(load_experiment(tmp_path / "experiment.json"), 3).state
    assert of_file.keys() == inline.keys()
    assert all(np.array_equal(of_file[name], inline[name]) for name in inline)
    assert read(None) is None


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dense/kernel/momentun": MOMENTUM}, r"momentun: Adam as it is set.*did you mean 'dense/kernel/momentum'"),
        ({"dense/kernel/velocity_hat": MOMENTUM}, "Adam as it is set remembers nothing.*initial_state out"),
        ({"optimizer/learning_rate": 0.1}, "optimizer/learning_rate: Adam as it is set remembers nothing of that name"),
        ({"dense/kernel/momentum": MOMENTUM[0]}, r"momentum has shape \(2,\); expected \(3, 2\)"),
        ({"dense/kernel/momentum": [[1, 2], [3]]}, "every row of an array needs the same length"),
        ({"optimizer/iterations": 2.5}, "counts the steps that were taken; received 2.5"),
        ({"optimizer/iterations": -1}, "counts the steps that were taken; received -1"),
        ("memory", "handed over in Python; give an npz file"),
        ("nowhere.npz", "nowhere.npz: no such file"),
    ],
)  # fmt: skip
def test_what_will_not_do_is_said(given, message):
    with pytest.raises(UsageError, match=message):
        read(given)


@pytest.mark.parametrize(
    ("optimizer", "slots"),
    [
        ("sgd", []),
        ({"class_name": "SGD", "momentum": 0.5}, ["momentum"]),
        ({"class_name": "Adam", "amsgrad": True}, ["momentum", "velocity", "velocity_hat"]),
        ({"class_name": "RMSprop", "momentum": 0.5, "centered": True}, ["average_gradient", "momentum", "velocity"]),
    ],
    ids=str,
)
def test_each_optimizer_remembers_its_own(optimizer, slots):
    state = read({"optimizer/iterations": 3}, optimizer=optimizer)
    assert sorted({name.rpartition("/")[2] for name in state if name != "optimizer/iterations"}) == slots


def test_two_experiments_with_a_state_can_be_compared():
    one, other = (with_state(validate(TABLE | {"initial_state": GIVEN}), 3) for _ in range(2))
    assert one == one.model_copy()
    assert (one == other) is False  # arrays are equal to nobody but themselves
    assert one.model_copy(update={"initial_state": None}).state is None


def test_a_change_keeps_it_and_takes_it_away():
    experiment = with_state(validate(TABLE | {"initial_state": GIVEN}), 3).with_state(
        {"optimizer/iterations": np.array(7)}
    )
    result = parity.diff(experiment, reference="scratch", changes={"batch_size": 4}, progress=False)
    assert result.experiment.state["optimizer/iterations"] == 7
    assert result.verdict is Verdict.PARITY
    result = parity.diff(experiment, reference="scratch", changes={"initial_state": None}, progress=False)
    assert result.experiment.state is None


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_side_is_given_it_in_the_precision_of_the_run(precision):
    given = {}

    class Given(ScratchSide):
        def set_state(self, state):
            given.update(state)
            super().set_state(state)

    table = TABLE | {"initial_state": GIVEN, "precision": precision}
    assert parity.diff(table, reference="scratch", candidate=Given, progress=False).verdict is Verdict.PARITY
    kinds = {name: array.dtype for name, array in given.items()}
    assert kinds.pop("optimizer/iterations") == np.int64
    assert set(kinds.values()) == {np.dtype(precision)}


def test_the_other_process_is_given_it_as_well(tmp_path):
    np.savez(tmp_path / "state.npz", **GIVEN)
    table = TABLE | {"initial_state": str(tmp_path / "state.npz"), "precision": "float64"}
    options = {"reference": "scratch", "candidate": "scratch", "progress": False, "keep_traces": tmp_path / "kept"}
    result = parity.diff(table, python=sys.executable, **options)
    assert (result.verdict, result.steps_compared) == (Verdict.PARITY, 3)
    with np.load(tmp_path / "kept" / "candidate" / "start.npz") as start:
        assert start["optimizer:dense/kernel/momentum"].tolist() == MOMENTUM
        assert start["optimizer:optimizer/iterations"] == 40
    manifest = json.loads((tmp_path / "kept" / "candidate" / "manifest.json").read_text())
    assert "initial_state" not in manifest["experiment"]
