"""The free lane of a candidate that only trains: silent on rounding, loud on mistakes, and honest about the rest."""

from __future__ import annotations

import io
import math

import numpy as np
import pytest

from parity import envelope
from parity.config import validate
from parity.envelope import FALSE_ALARM, MEMBERS, SAFETY
from parity.judge import OUTSIDE
from parity.protocol import Key, Pair, Records
from parity.report import as_json, markdown, terminal
from parity.report.following import following
from parity.run import diff
from parity.verdict import Verdict

TABLE = {
    "data": {"source": "classification", "features": 6, "samples": 48, "classes": 3},
    "layers": [
        {"units": 12, "activation": "relu", "kernel_regularizer": {"l2": 0.01}},
        {"units": 8, "activation": "tanh"},
        {"units": 3, "activation": "softmax"},
    ],
    "loss": "sparse_categorical_crossentropy",
    "optimizer": {"class_name": "Adam", "learning_rate": 0.01},
    "batch_size": 16,
    "steps": 30,
}
SIDES = """
import numpy as np
from parity.protocol import word_of
from scratch_net.adapter import ScratchSide

class Bare:
    "start, step and weights, and nothing else."
    CHOICES = {}
    def __init__(self):
        self.side = ScratchSide(self.CHOICES)
    def start(self, experiment, weights):
        self.side.start(experiment, weights)
        self.taken = 0
    def step(self, x, y):
        self.taken += 1
        loss = self.side.step(x, y)["loss"]
        self.spoil()
        return loss
    def weights(self):
        return self.side.weights()
    def spoil(self):
        pass

class PerExample(Bare):
    "The same sums in another order."
    CHOICES = {"gradient.engine": "per_example"}

class Noisy(Bare):
    "One more draw of what the members drew."
    CHOICES = {"rounding.seed": "4711"}

class Half(Bare):
    CHOICES = {"l2.penalty": "half"}

class Slips(Bare):
    "Right until step 20, when one weight gets a thousandth more."
    def spoil(self):
        if self.taken == 20:
            self.side.network.layers[1].kernel[2, 3] *= 1.001

class Draws(Bare):
    def initial_weights(self, *arguments):
        return self.side.initial_weights(*arguments)

class OnlyLoss(Bare):
    def weights(self):
        return {}

class Unsaid(ScratchSide):
    "Halves the penalty, and does not say that it does."
    makes = None
    def __init__(self):
        super().__init__({"l2.penalty": "half"})

class Garbage(Bare):
    "Right until step 140; from then on the weights of its last layer are random numbers."
    def spoil(self):
        if self.taken >= 140:
            last = self.side.network.layers[-1].kernel
            last[...] = np.random.default_rng(self.taken).normal(size=last.shape)

class Echoes(Garbage):
    "The same, and gives back whatever it is shown."
    def replay(self, shown):
        said = {}
        for key, array in shown.arrays.items():
            word, name = word_of(key)
            if name:
                said.setdefault(word, {})[name] = array
            else:
                said[word] = array
        return said

class Frozen(Bare):
    "Never trains its first layer."
    def spoil(self):
        first = self.side.network.layers[0]
        if self.taken == 1:
            self.first = first.kernel.copy(), first.bias.copy()
        first.kernel[...], first.bias[...] = self.first

class OtherGradients(Bare):
    "Trains right, and tells gradients that are none of it."
    def step(self, x, y):
        said = self.side.step(x, y)
        return {"loss": said["loss"], "gradient": {name: 7 * said["gradient"][name] for name in self.weights()}}

class NoLoss(Bare):
    def step(self, x, y):
        super().step(x, y)
"""


@pytest.fixture
def run(tmp_path):
    (tmp_path / "sides.py").write_text(SIDES)

    def of(candidate: str, reference: str = "scratch", more: dict | None = None, **settings):
        side = candidate if candidate.startswith("scratch") else f"{tmp_path}/sides.py:{candidate}"
        return diff(
            validate({**TABLE, **settings}), reference=reference, candidate=side, **{"explain": False, **(more or {})}
        )

    return of


@pytest.mark.parametrize("candidate", ["Bare", "PerExample", "Noisy"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"optimizer": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9}, "steps": 120},
        {"optimizer": "rmsprop", "loss": "mse", "data": TABLE["data"] | {"one_hot": 3}},
    ],
    ids=["adam", "momentum", "rmsprop"],
)
def test_rounding_stays_inside(candidate, settings, run):
    result = run(candidate, **settings)
    assert result.verdict is Verdict.PARITY
    for found in result.runs:
        assert found.worst.used < 1
        assert not found.judge.skipped
        if candidate != "Bare":
            assert found.worst.used > 1e-4  # the envelope is not so wide that nothing could leave it


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_planted_defect_leaves_at_once(precision, run):
    result = run("Half", precision=precision)
    first = result.first_divergence
    assert result.verdict is Verdict.DIVERGED
    assert (first.step, first.lane, first.note) == (1, "free", OUTSIDE)
    assert str(first.key) == "loss loss"


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_it_is_left_at_the_step_of_the_mistake(precision, run):
    first = run("Slips", precision=precision).first_divergence
    assert (first.step, str(first.key), first.index) == (20, "update dense_1/kernel", (2, 3))


def test_a_candidate_that_shows_too_little_is_no_parity(run):
    for candidate, missing in (("OnlyLoss", "update"), ("NoLoss", "loss")):
        result = run(candidate, precision="float64")
        assert result.verdict is Verdict.CANNOT_JUDGE, candidate
        assert {key.phase for key in result.runs[0].judge.skipped} == {missing}


def test_weights_that_never_move_show_no_gradient(run):
    result = run("Half", optimizer={"class_name": "SGD", "learning_rate": 0.0}, layers=[{"units": 3}], loss="mse",
                 data=TABLE["data"] | {"one_hot": 3})  # fmt: skip
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert "never moved" in result.runs[0].envelope.why_not


def test_the_network_must_stand_for_the_reference(run, tmp_path):
    result = run("Bare", reference=f"{tmp_path}/sides.py:Unsaid")
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert "not in parity with the reference (step 1, loss dense/kernel (penalty))" in result.runs[0].envelope.why_not
    assert any(item.what == "free lane" for item in result.not_compared)


def test_the_network_makes_the_choices_that_the_reference_says_it_makes(run):
    assert run("Bare", reference="scratch[l2.penalty=half]").verdict is Verdict.DIVERGED
    assert run("Half", reference="scratch[l2.penalty=half]").verdict is Verdict.PARITY


def test_a_reference_that_only_trains_cannot_be_stood_for(run, tmp_path):
    result = run("Bare", reference=f"{tmp_path}/sides.py:Draws")
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert result.runs[0].envelope.why_not


def test_a_candidate_that_replays_is_held_against_it_when_asked(run):
    assert run("scratch", steps=3).runs[0].envelope is None
    result = run("scratch[gradient.engine=per_example]", more={"envelope": True}, steps=12)
    assert result.verdict is Verdict.PARITY
    held = [s for found in result.runs for (lane, _), s in found.summaries.items() if lane == "free"]
    assert all(math.isfinite(summary.used) for summary in held)
    assert max(summary.used for summary in held) > 1e-3


def test_the_safety_is_that_of_the_ensemble():
    """Among correct candidates fewer than promised are further out than SAFETY times the largest of the members.

    The bound is checked where it can be seen: with a smaller factor c the share is known up to sampling,
    FALSE_ALARM * (SAFETY / c)**MEMBERS.
    """
    random = np.random.default_rng(0)
    draws = np.abs(random.standard_normal((400_000, MEMBERS + 1)))
    ratio = draws[:, -1] / draws[:, :-1].max(axis=1)
    for factor in (2.0, 3.0, 4.0):
        promised = FALSE_ALARM * (SAFETY / factor) ** MEMBERS
        deviation = math.sqrt(promised / len(ratio))
        assert (ratio > factor).mean() <= promised + 5 * deviation
        assert (ratio > factor).mean() > promised / 100  # and the bound is one, not a formality


def test_every_report_tells_what_was_held_against_what(run):
    result = run("Half", precision="float64")
    for report in (terminal, markdown):
        stream = io.StringIO()
        report.write(result, stream)
        said = " ".join(stream.getvalue().split())
        assert f"held against 19 × the drift of {MEMBERS} networks with rounding errors (seeds 1 to {MEMBERS})" in said
        assert "any difference that stays below that drift, is not seen" in said
    said = as_json.as_dict(result)["envelope"]
    assert (said["members"], said["first_seed"], said["safety"]) == (MEMBERS, 1, SAFETY)
    assert [run["left_at"] for run in said["runs"]] == [1]
    assert as_json.as_dict(run("scratch", steps=2))["envelope"] is None


@pytest.mark.usefixtures("runtime")
def test_against_keras(run):
    assert run("Bare", reference="keras", steps=6).verdict is Verdict.PARITY
    assert run("Half", reference="keras", steps=6, precision="float32").verdict is Verdict.DIVERGED


def test_where_rounding_has_no_limit_nothing_is_parity(run, monkeypatch):
    """A candidate that stays in an envelope without bounds has been held against nothing."""
    measured = envelope._distance
    monkeypatch.setattr(envelope, "_distance", lambda one, other: measured(one, other) + np.inf)
    result = run("PerExample", precision="float64")
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert {item.why for item in result.not_compared if item.what == "free lane"} == {envelope.UNLIMITED}


CHAOS = {
    "data": {"source": "digits", "scale": 16, "one_hot": 10},
    "layers": [{"units": 5, "activation": "tanh"}, {"units": 10, "activation": "softmax"}],
    "loss": "categorical_crossentropy",
    "optimizer": {"class_name": "SGD", "learning_rate": 1.5, "momentum": 0.9},
    "batch_size": 16,
    "steps": 150,
    "precision": "float64",
}


@pytest.mark.parametrize("candidate", ["PerExample", "Garbage", "Echoes"])
def test_an_envelope_as_wide_as_the_training_holds_nothing(candidate, run):
    """Whatever the weights are, they would stay in it: up to where they would not, the run can be judged."""
    result = run(candidate, **CHAOS)
    (only,) = result.runs
    assert (result.verdict, only.first) == (Verdict.CANNOT_JUDGE, None)
    until = only.envelope.until
    assert 10 < until < 140
    assert only.envelope.why_not == envelope.DROWNED.format(until)
    assert as_json.as_dict(result)["envelope"]["runs"][0]["until"] == until
    (advice, *_) = following(result)
    assert advice.why == f"what can be told, up to step {until}: steps={until}, precision='float64'"
    before = run(candidate, **CHAOS | {"steps": until})
    assert (before.verdict, before.runs[0].envelope.until) == (Verdict.PARITY, 0)


@pytest.mark.parametrize(
    ("moved", "allowed", "until"),
    [  # of four steps from the 11th on, two weights each
        ([(1, 0), (2, 0), (3, 0), (4, 0)], [(0.5, 0), (0.5, 1.5), (0, 2.5), (3.5, 0)], 14),
        ([(1, 0), (2, 0), (3, 0), (4, 0)], [(0.5, 0), (0.5, 1.5), (0, 3), (4, 0)], 12),
        ([(1, 1), (0, 3), (0.1, 0), (0.1, 0)], [(0.5, 0), (1, 0), (1, 1), (4, 0)], 12),
        ([(1, 0), (2, 0), (3, 0), (4, 0)], [(1, 1), (2, 2), (3, 3), (4, 4)], 7),
        ([(0, 0)] * 4, [(0, 0)] * 4, 7),
    ],
)
def test_what_it_holds_is_less_than_training_has_moved_some_weight(moved, allowed, until):
    names = Key("update", "dense/kernel"), Key("update", "dense/bias")
    held = object.__new__(envelope.Envelope)
    held._start = {key.tensor: np.full(3, 5.0) for key in names}
    held._moved, held._until, held._hidden = False, 7, set()
    arrays = {key: np.array([[5.0, 5.0, 5.0 - row[at]] for row in moved]) for at, key in enumerate(names)}
    limits = {key: np.array([row[at] for row in allowed], np.float64) for at, key in enumerate(names)}
    held._look_at_weights(Pair(Records(11, arrays, {}), {}, {}), limits)
    assert (held._until, held._moved) == (until, any(map(any, moved)))
    assert held._hidden == {key for at, key in enumerate(names) if moved[-1][at] <= allowed[-1][at] > 0}


def test_the_built_in_network_needs_no_envelope(run):
    """Its replay is known to be of the network that trains, so that each of its operations is judged to the end."""
    result = run("scratch", **CHAOS, more={"envelope": True})
    assert (result.verdict, result.runs[0].envelope.until > 0) == (Verdict.PARITY, True)


def test_a_layer_whose_training_does_not_show_is_told(run):
    """A sigmoid far off its middle passes so little back that rounding moves the weights before it as far."""
    layers = [
        {"units": 3, "activation": "sigmoid", "bias_initializer": {"class_name": "Constant", "value": 38.0}},
        {"units": 3, "activation": "softmax"},
    ]
    hidden = {f"training of dense/{name}" for name in ("kernel", "bias")}
    for candidate in ("Bare", "Frozen"):
        result = run(candidate, layers=layers, optimizer="sgd", precision="float64")
        assert result.verdict is Verdict.PARITY
        assert hidden == {one.what for one in result.not_compared if one.why == envelope.HIDDEN}
    layers[0] |= {"bias_initializer": "zeros"}
    assert run("Frozen", layers=layers, optimizer="sgd", precision="float64").verdict is Verdict.DIVERGED
    result = run("Bare", layers=layers, optimizer="sgd", precision="float64")
    assert not any(one.why == envelope.HIDDEN for one in result.not_compared)


def test_a_mistake_before_that_is_found_and_where_it_begins(run):
    found = run("Slips", **CHAOS).first_divergence
    assert (found.step, found.key.tensor) == (20, "dense_1/kernel")


def test_what_has_no_rule_has_its_budget(run):
    """A rule for some tensors is no reason to hold the others against nothing."""
    rules = [{"phase": "update", "atol": 1e-5, "rtol": 1e-5}, {"phase": "loss", "atol": 1e-5, "rtol": 1e-5}]
    assert run("Bare", tolerance=rules).verdict is Verdict.PARITY
    assert run("OtherGradients", tolerance=rules).first_divergence.key.phase == "gradient"
    one = run("Bare", tolerance=[{"tensor": "dense/kernel", "ulp": 1e6}])
    assert one.verdict is Verdict.PARITY
    assert all(found.envelope is not None and not found.judge.skipped for found in one.runs)


def test_where_everything_has_a_rule_no_ensemble_is_trained(run):
    result = run("Bare", tolerance=[{"atol": 1e-5, "rtol": 1e-5}])
    assert (result.verdict, {found.envelope for found in result.runs}) == (Verdict.PARITY, {None})
