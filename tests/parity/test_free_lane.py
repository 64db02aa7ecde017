"""The free lane: a candidate must train as it answers when it is asked, step by step."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from parity.config import validate
from parity.errors import ExitCode
from parity.judge import OUTSIDE, Judge
from parity.protocol import Key
from parity.run import diff
from parity.verdict import Divergence, Verdict
from parity.watch import NOT_ASKED

EXPERIMENT = {
    "data": {"source": "regression", "features": 3, "samples": 16},
    "layers": [{"units": 4, "activation": "tanh"}, {"units": 1}],
    "loss": "mse",
    "optimizer": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9},
    "batch_size": 4,
    "steps": 10,
    "precision": "float64",
}
SIDES = """
from parity.protocol import word_of
from scratch_net.adapter import ScratchSide

class OtherRate(ScratchSide):
    "Trains with another learning rate than it replays with."
    def start(self, experiment, weights):
        super().start(experiment, weights)
        self.network.optimizer.learning_rate *= 10

class Forgets(ScratchSide):
    "Loses its momentum once, between two chunks of steps."
    def steps(self, x, y):
        for slot in self.network.optimizer.slots.values():
            slot[...] = 0
        return super().steps(x, y)

class OnlyUpdates(ScratchSide):
    def steps(self, x, y):
        return {word: said for word, said in super().steps(x, y).items() if word in ("loss", "weights")}
    def replay(self, reference):
        return {"weights": super().replay(reference)["weights"]}

class Echoes(ScratchSide):
    "Trains with another learning rate, and replays whatever it is shown."
    def start(self, experiment, weights):
        super().start(experiment, weights)
        self.network.optimizer.learning_rate *= 3
    def steps(self, x, y):
        return {word: said for word, said in super().steps(x, y).items() if word in ("loss", "gradient", "weights")}
    def replay(self, reference):
        said = {}
        for key, array in reference.arrays.items():
            word, name = word_of(key)
            if name:
                said.setdefault(word, {})[name] = array.copy()
            else:
                said[word] = array.copy()
        return said

class Borrows(Echoes):
    "The replay is of another network, which needs more than this one tells of its own run."
    def replay(self, reference):
        return ScratchSide.replay(self, reference)

class Untold(ScratchSide):
    "Its own replay differs from its run, and its run tells nothing that a budget could be computed from."
    def steps(self, x, y):
        return {"output": super().steps(x, y)["output"]}
    def replay(self, reference):
        if len(reference.arrays) > 2:
            return super().replay(reference)
        return {"output": {key.layer: 2 * array for key, array in reference.arrays.items()}}

class Exits(ScratchSide):
    def start(self, experiment, weights):
        raise SystemExit(0)

class Mute(ScratchSide):
    def replay(self, reference):
        return None
"""


@pytest.fixture
def side(tmp_path):
    (tmp_path / "sides.py").write_text(SIDES)
    return lambda name: f"{tmp_path}/sides.py:{name}"


def test_state_that_a_candidate_does_not_tell_is_found(side):
    result = diff(validate(EXPERIMENT), reference="scratch", candidate=side("OtherRate"))
    found = result.first_divergence
    assert result.verdict is Verdict.DIVERGED
    assert (found.step, found.key, found.lane, found.note) == (
        1,
        Key("update", "optimizer/learning_rate"),
        "free",
        OUTSIDE,
    )


@pytest.mark.parametrize("name", ["Echoes", "Borrows"])
def test_a_replay_does_not_speak_for_the_network_that_trains(name, side):
    """It may be of another one, or say what it is shown: the run itself is held against what rounding can do."""
    result = diff(validate(EXPERIMENT), reference="scratch", candidate=side(name))
    assert (result.verdict, result.first_divergence.lane) == (Verdict.DIVERGED, "free")
    assert [str(cause) for cause in result.causes] == ["learning_rate.scale=3"]


def test_a_free_lane_that_was_not_asked_for_is_said_to_be_missing(side):
    result = diff(validate(EXPERIMENT), reference="scratch", candidate=side("Borrows"), lanes=("local",))
    assert [item.why for item in result.not_compared if item.what == "free lane"] == [NOT_ASKED]


def test_state_lost_between_chunks_is_found_at_that_step(side, monkeypatch):
    monkeypatch.setattr("parity.lockstep.CHUNK_STEPS", 6)
    found = diff(validate(EXPERIMENT), reference="scratch", candidate=side("Forgets"), explain=False).first_divergence
    assert found.lane == "free"
    # Ten steps are dealt out evenly: 1 to 5, then 6 to 10.
    assert (found.step, found.key) == (6, Key("update", "dense/kernel/momentum"))


def test_a_difference_that_nobody_can_hold_against_a_budget_is_no_parity(side):
    result = diff(validate(EXPERIMENT), reference="scratch", candidate=side("Untold"))
    assert (result.verdict, result.first_divergence) == (Verdict.CANNOT_JUDGE, None)
    assert set(result.runs[0].judge.unheld) == {"forward dense/output", "forward dense_1/output"}


def test_first_is_first_in_execution_order_whichever_lane_found_it():
    judge = Judge(validate(EXPERIMENT), "float64")
    later = Divergence(3, Key("update", "dense/kernel"), "local", "float64", (0,), 1.0, 2.0, 0.0)
    earlier = dataclasses.replace(later, key=Key("forward", "dense/output"), lane="free")
    for found in (later, earlier, later):
        judge._diverge(found)
    assert judge.first == earlier


ALREADY_STARTED = """
import tensorflow
from parity.config import validate
from parity.errors import ExitCode
from parity.run import diff
result = diff(validate(%r))
print(result.verdict, result.not_compared, result.environment["onednn"])
"""


def test_a_tensorflow_that_somebody_started_with_onednn_is_judged_unfused():
    """What is inside a fused layer cannot be looked at: nothing would be judged there."""
    environment = {name: value for name, value in os.environ.items() if name != "TF_ENABLE_ONEDNN_OPTS"}
    done = subprocess.run(
        [sys.executable, "-c", ALREADY_STARTED % EXPERIMENT],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "PARITY [] on, layers not fused\n"


def test_a_phase_that_nobody_judged_is_no_parity(side):
    result = diff(validate(EXPERIMENT), reference="scratch", candidate=side("OnlyUpdates"))
    assert result.verdict is Verdict.CANNOT_JUDGE


@pytest.mark.parametrize(("name", "said"), [("Exits", "raised SystemExit in start"), ("Mute", "returned NoneType")])
def test_what_a_side_does_wrong_is_its_mistake(name, said, side):
    result = diff(validate(EXPERIMENT), reference="scratch", candidate=side(name))
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert said in result.crash.message
