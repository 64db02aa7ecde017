"""The sensitivity in every report, proved: an error four times as large is found, one four times smaller is not."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from parity.config import load_experiment, validate
from parity.protocol import Key
from parity.report import as_json, worth
from parity.run import diff
from parity.verdict import Verdict
from scratch_net.adapter import ScratchSide
from scratch_net.constants import keras_constant
from scratch_net.regularizers import L1, L1L2, L2
from tests.parity.test_casebook import BOOK

GLOROT = [("layers.0.kernel_initializer", "glorot_uniform"), ("layers.1.kernel_initializer", "glorot_uniform")]


class Planted(ScratchSide):
    """The NumPy network with one constant off by a relative error, or one kernel element by some ulp.

    It trains and replays with the error and says nothing of it: the learning rate that it names is the true one.
    """

    what: ClassVar[str]
    error: ClassVar[float]

    def built(self, products=None):
        network = super().built(products)
        self.plant(network)
        return network

    def plant(self, network):
        optimizer, off = network.optimizer, lambda value: np.asarray(value).dtype.type(float(value) * (1 + self.error))
        match self.what.split("."):
            case ["learning rate"]:
                step = optimizer.step
                optimizer.step = lambda w, g, rate, *slots: step(w, g, off(rate), *slots)
            case ["epsilon"]:
                optimizer.epsilon = off(network.dtype.type(optimizer.epsilon))
            case ["one kernel element" | "every kernel element"]:
                update = optimizer.update
                optimizer.update = lambda weights, gradients: (update(weights, gradients), self.nudge(weights))
            case ["layers", at, place, name]:
                regularizer = getattr(network.layers[int(at)], place)
                parts = regularizer.parts if isinstance(regularizer, L1L2) else [regularizer]
                (part,) = (part for part in parts if isinstance(part, {"l1": L1, "l2": L2}[name]))
                part.constant = lambda value, dtype: off(keras_constant(value, dtype))

    def nudge(self, weights):
        elements = (weights["dense/kernel"][..., 0, 0],)
        if self.what.startswith("every"):
            elements = [w for name, w in weights.items() if name.endswith("/kernel")]
        for element in elements:
            element[...] += np.copysign(self.error * np.spacing(np.abs(element)), element)


def planted(experiment, what, error, monkeypatch, reference="keras"):
    monkeypatch.setattr(Planted, "what", what, raising=False)
    monkeypatch.setattr(Planted, "error", error, raising=False)
    # The figures are of operations; its own run may show a smaller error where the tolerance of an operation is wide.
    lanes = ("local",)
    return diff(experiment, reference=reference, candidate=f"{__name__}:Planted", explain=False, lanes=lanes)


def experiment(**settings):
    return validate(
        {
            "data": {"source": "regression", "features": 6, "samples": 16},
            "layers": [{"units": 5, "activation": "tanh"}, {"units": 1}],
            "loss": "mse",
            "optimizer": "sgd",
            "batch_size": 8,
            "steps": 2,
            **settings,
        }
    )


def hidden(**regularizers):
    return [{"units": 5, "activation": "tanh", "bias_initializer": "ones", **regularizers}, {"units": 1}]


# One weight that is large beside its update: an error in a constant has to be large to reach its last bit.
FEW = {"layers": [{"units": 1, "use_bias": False}], "initial_weights": {"dense/kernel": [[3.0]]}, "steps": 1}
FEW |= {"data": {"source": "arrays", "x": [1.0, 2.0], "y": [1.5, 2.25]}, "batch_size": 2}

PROVED = [
    ("layers.0.kernel_regularizer.l2", {"layers": hidden(kernel_regularizer="l2")}),
    ("layers.0.kernel_regularizer.l1", {"layers": hidden(kernel_regularizer={"l1": 0.02, "l2": 0.01})}),
    ("layers.0.kernel_regularizer.l2", {"layers": hidden(kernel_regularizer={"l1": 0.02, "l2": 0.01})}),
    ("layers.0.bias_regularizer.l1", {"layers": hidden(bias_regularizer="l1")}),
    ("layers.0.bias_regularizer.l2", {"layers": hidden(bias_regularizer="l2")}),
    ("layers.0.activity_regularizer.l2", {"layers": hidden(activity_regularizer="l2")}),
    ("learning rate", {}),
    ("learning rate", FEW | {"optimizer": {"class_name": "SGD", "learning_rate": 1e-5}}),
    ("learning rate", {"optimizer": {"class_name": "SGD", "learning_rate": 1e-3, "momentum": 0.9}}),
    ("learning rate", FEW | {"optimizer": {"class_name": "Adam", "learning_rate": 1e-4}}),
    ("learning rate", {"optimizer": {"class_name": "RMSprop", "learning_rate": 1.0}}),
    ("learning rate", {"optimizer": {"class_name": "RMSprop", "learning_rate": 1.0, "momentum": 0.5}}),
    ("epsilon", FEW | {"optimizer": {"class_name": "Adam", "epsilon": 1e-2, "learning_rate": 0.01}}),
    ("epsilon", {"optimizer": {"class_name": "Adam"}}),
    ("epsilon", {"optimizer": {"class_name": "RMSprop", "learning_rate": 1.0, "epsilon": 1e-3}}),
    # A tolerance that was set takes the budget's place here as well.
    (
        "layers.0.kernel_regularizer.l2",
        {"layers": hidden(kernel_regularizer="l2"), "tolerance": [{"rtol": 1e-4, "atol": 0}]},
    ),
    ("learning rate", {"tolerance": [{"rtol": 1e-4, "atol": 0, "phase": "update"}]}),
]


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("what", "settings"), PROVED)
def test_the_figure_is_the_smallest_error_that_is_seen(what, settings, precision, monkeypatch):
    given = experiment(**settings, precision=precision)
    null = planted(given, what, 0.0, monkeypatch)
    assert null.verdict is Verdict.PARITY
    assert null.runs[0].worst.used < 0.75  # what is left is more than the quarter that is planted below
    (found,) = (finding for finding in null.runs[0].judge.sensitivity.findings if finding.what == what)
    assert found.error > 0

    larger = planted(given, what, 4 * found.error, monkeypatch)
    assert larger.verdict is Verdict.DIVERGED
    assert larger.first_divergence.step <= found.step
    assert planted(given, what, found.error / 4, monkeypatch).verdict is Verdict.PARITY


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize(("what", "settings"), [proved for proved in PROVED if proved[0].startswith("layers.")])
def test_a_lambdas_figure_is_sharp_where_the_candidate_does_not_round_otherwise(what, settings, precision, monkeypatch):
    """Beside itself the NumPy network uses nothing of what is allowed: half as much again is seen, a third less is not.

    Two roundings of the changed constant and of what is made of it lie between, of six that the narrowest budget has.
    """
    given = experiment(**settings, precision=precision)
    null = planted(given, what, 0.0, monkeypatch, reference="scratch")
    (found,) = (finding for finding in null.runs[0].judge.sensitivity.findings if finding.what == what)
    for times, verdict in ((1.5, Verdict.DIVERGED), (1 / 1.5, Verdict.PARITY)):
        assert planted(given, what, times * found.error, monkeypatch, reference="scratch").verdict is verdict


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "RMSprop"])
@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_one_kernel_element(optimizer, precision, monkeypatch):
    """Seen from 1 ulp upward where the update is exact; where both sides round, as the figure of the best element."""
    given = experiment(optimizer={"class_name": optimizer, "learning_rate": 1.0}, precision=precision, steps=1)
    what = "one kernel element"
    (found,) = (f for f in diff(given).runs[0].judge.sensitivity.findings if f.what == what)
    if optimizer == "RMSprop":
        assert found.error >= 4
        every = "every kernel element"
        assert planted(given, every, 4 * found.error, monkeypatch).verdict is Verdict.DIVERGED
        assert planted(given, every, found.error // 4, monkeypatch).verdict is Verdict.PARITY
        return
    assert (found.error, found.elements) == (1, (30, 30))
    result = planted(given, what, 1, monkeypatch)
    assert (result.verdict, result.first_divergence.key) == (Verdict.DIVERGED, Key("update", "dense/kernel"))


@pytest.fixture(scope="module")
def founding():
    """The founding question from Glorot weights, batches of 32."""
    return load_experiment(BOOK / "l2-digits" / "experiment.toml", [*GLOROT, ("batch_size", 32), ("steps", 2)])


@pytest.mark.parametrize(("precision", "error"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize("what", ["layers.0.kernel_regularizer.l2", "layers.1.kernel_regularizer.l2", "learning rate"])
def test_the_bars_of_the_founding_question(founding, precision, what, error, monkeypatch):
    """An error of that size in lambda or the learning rate is found at step 1, and so is every larger one."""
    given = founding.model_copy(update={"precision": precision})
    for times in (1, 10, 1000):
        result = planted(given, what, times * error, monkeypatch)
        assert (result.verdict, result.first_divergence.step) == (Verdict.DIVERGED, 1)
    (found,) = (f for f in result.runs[0].judge.sensitivity.findings if f.what == what)
    assert found.error < error


@pytest.mark.parametrize("precision", ["float64", "float32"])
def test_two_ulp_in_one_kernel_element_are_found(founding, precision, monkeypatch):
    result = planted(founding.model_copy(update={"precision": precision}), "one kernel element", 2, monkeypatch)
    found = result.first_divergence
    assert (result.verdict, found.step, found.key) == (Verdict.DIVERGED, 1, Key("update", "dense/kernel"))
    assert found.index == (0, 0)
    assert found.difference == 2 * np.spacing(np.array(abs(found.reference), precision))


class Bare:
    """The same, and tells loss and weights alone."""

    def __init__(self):
        self._side = Planted()

    def start(self, experiment, weights):
        self._side.start(experiment, weights)

    def step(self, x, y):
        return self._side.step(x, y)["loss"]

    def weights(self):
        return self._side.weights()


FIGURES = {  # docs/your-own-network.md; the envelope of another machine may round otherwise
    "Planted": [
        ("layers.0.kernel_regularizer.l2", 1e-15, 1e-6),
        ("layers.1.kernel_regularizer.l2", 1e-15, 1e-6),
        ("learning rate", 1e-15, 1e-7),
        ("one kernel element", 1, 1),
    ],
    "Bare": [
        ("layers.0.kernel_regularizer.l2", 1e-12, 1e-4),
        ("layers.1.kernel_regularizer.l2", 1e-12, 1e-3),
        ("learning rate", 1e-13, 1e-4),
        ("one kernel element", 128, 2048),
    ],
}


@pytest.mark.parametrize(
    ("tells", "what", "float64", "float32"), [(tells, *row) for tells, rows in FIGURES.items() for row in rows]
)
def test_the_figures_of_the_page(founding, tells, what, float64, float32, monkeypatch):
    """What a candidate finds that tells everything, and one that tells loss and weights alone."""
    monkeypatch.setattr(Planted, "what", what, raising=False)
    for precision, figure in (("float64", float64), ("float32", float32)):
        given = founding.model_copy(update={"precision": precision})
        for error, verdict in ((10 * figure, Verdict.DIVERGED), (figure / 100, Verdict.PARITY)):
            monkeypatch.setattr(Planted, "error", error, raising=False)
            result = diff(given, reference="scratch", candidate=f"{__name__}:{tells}", explain=False)
            assert result.verdict is verdict, (precision, error)
            assert verdict is Verdict.PARITY or result.first_divergence.step == 1


def test_every_report_says_it(founding):
    result = diff(founding, reference="scratch")
    said = as_json.as_dict(result)["sensitivity"]
    assert {(item["precision"], item["what"]) for item in said} == {
        (precision, what)
        for precision in ("float64", "float32")
        for what in (
            *(f"layers.{at}.kernel_regularizer.l2" for at in (0, 1)),
            *("learning rate", "one kernel element"),
        )
    }
    assert all(item["step"] == 1 and item["error"] > 0 for item in said)
    told = dict(worth.sensitivity(result))
    wanted = "1 ulp in float64 and 1 ulp in float32 seen in 1920 of the 1920 elements of update dense/kernel at step 1"
    assert told["one kernel element"] == wanted
    assert "in float32 seen in gradient dense/kernel (penalty) at step 1" in told["layers.0.kernel_regularizer.l2"]


def test_what_was_not_judged_has_no_sensitivity():
    result = diff(experiment(), reference="scratch", lanes=("free",))
    assert as_json.as_dict(result)["sensitivity"] == []


def test_a_constant_that_does_nothing_is_said_not_to_be_seen():
    given = experiment(optimizer={"class_name": "Adam", "epsilon": 1e-30}, layers=hidden(kernel_regularizer="l2"))
    result = diff(given, reference="scratch")
    told = dict(worth.sensitivity(result))["epsilon"]
    assert told == "nothing up to twice the value in float64 and nothing up to twice the value in float32"
    zero = experiment(optimizer={"class_name": "SGD", "learning_rate": 0}, layers=hidden(kernel_regularizer={"l2": 0}))
    named = dict(worth.sensitivity(diff(zero, reference="scratch")))
    assert set(named) == {"one kernel element"}


@pytest.mark.parametrize(("optimizer", "value"), [("Adam", 1e-40), ("RMSprop", 1e-40), ("SGD", 0.0)])
def test_an_epsilon_that_is_taken_for_zero_has_no_error(optimizer, value):
    """And where it divides nothing by nothing, a number that is none shows nothing of any constant."""
    asleep = {"units": 3, "activation": "relu", "bias_initializer": {"class_name": "Constant", "value": -9.0}}
    epsilon = {"epsilon": value} if value else {}
    given = experiment(optimizer={"class_name": optimizer, **epsilon}, layers=[asleep, {"units": 1}], loss="mse")
    given = given.model_copy(update={"precision": "float32"})
    found = {item["what"]: item for item in as_json.as_dict(diff(given, reference="scratch"))["sensitivity"]}
    assert "epsilon" not in found
    assert 0 < found["learning rate"]["error"] < 1e-3


def test_how_steps_are_dealt_out_changes_nothing(founding, monkeypatch):
    said = []
    for length in (64, 1):
        monkeypatch.setattr("parity.lockstep.CHUNK_STEPS", length)
        said.append(as_json.as_dict(diff(founding, reference="scratch"))["sensitivity"])
    assert said[0] == said[1]
