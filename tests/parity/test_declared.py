"""Declared differences: a run passes when the candidate differs in just them, and fails in every other case."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from parity.cli import main
from parity.config import ConfigError, validate
from parity.declared import diff_declared
from parity.errors import ExitCode
from parity.report.as_json import as_dict
from parity.report.facts import headline
from parity.sides import load_side
from parity.verdict import Verdict

TABLE = {
    "data": {"source": "regression", "features": 3, "samples": 20},
    "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": {"l2": 0.1}}, {"units": 1}],
    "loss": "mse",
    "optimizer": {"class_name": "SGD", "learning_rate": 0.1},
    "batch_size": 8,
    "steps": 5,
}
NET = Path(__file__).parents[2] / "examples" / "per_example_net.py"


def judged(candidate, declare: dict[str, str], *, reference: str = "scratch", **settings):
    experiment = validate({**TABLE, **settings, "declare": declare})
    return diff_declared(experiment, experiment.declare, reference=reference, candidate=candidate)


@pytest.mark.parametrize(
    ("candidate", "declare"),
    [
        ("scratch[l2.penalty=half]", {"l2.penalty": "half"}),
        ("scratch[l2.penalty=half,loss.factor=half]", {"loss.factor": "half", "l2.penalty": "half"}),
    ],
)
def test_what_differs_in_just_what_was_declared_passes(candidate, declare):
    result = judged(candidate, declare)
    assert result.verdict is Verdict.PARITY
    assert result.exit_code is ExitCode.PARITY
    assert "by nothing else" in headline(result)


def test_several_are_declared_as_they_are_given_to_a_side(tmp_path):
    both = "l2.penalty=half,loss.factor=half"
    (tmp_path / "experiment.json").write_text(json.dumps(TABLE))
    words = ["diff", f"{tmp_path}/experiment.json", "--reference", "scratch", "--candidate", f"scratch[{both}]", "-q"]
    for declared, code in (([both], 0), (both.split(","), 0), (["l2.penalty=half"], 1)):
        with pytest.raises(SystemExit) as ended:
            main([*words, *(word for one in declared for word in ("--declare", one))])
        assert (ended.value.code or 0) == code


def test_against_keras_and_for_a_network_that_only_trains():
    plain = {"units": 1, "activation": "sigmoid", "kernel_initializer": "zeros"}
    layers = [{**plain, "kernel_regularizer": {"l2": 0.1}}]
    declare = {"l2.penalty": "half", "l2.constant": "exact"}
    result = judged(f"{NET}:PerExampleNet", declare, reference="keras", layers=layers, precision="float64")
    assert result.verdict is Verdict.PARITY, headline(result)
    assert result.declared is not None
    assert result.declared.trusted is Verdict.PARITY


@pytest.mark.parametrize(
    ("candidate", "declare", "named"),
    [
        ("scratch", {"l2.penalty": "half"}, "l2.penalty=whole"),  # it vanished from the candidate
        ("scratch[l2.penalty=half,loss.factor=half]", {"l2.penalty": "half"}, "loss.factor=half"),  # and more differs
        ("scratch[l2.penalty=half]", {"l2.constant": "exact"}, "l2.penalty=half"),  # it is another one
    ],
)
def test_anything_else_fails_and_is_explained(candidate, declare, named):
    result = judged(candidate, declare, precision="float64")
    assert result.verdict is Verdict.DIVERGED
    assert named in [str(cause) for cause in result.diagnosis.causes]


def test_a_declared_difference_that_makes_none_has_vanished():
    result = judged("scratch[l2.penalty=half]", {"l2.penalty": "half"}, layers=[{"units": 1}])
    assert result.verdict is Verdict.DIVERGED
    assert result.first_divergence is None
    assert "vanished" in headline(result)


def test_each_of_several_has_to_make_a_difference():
    both = {"l2.penalty": "half", "momentum.dampening": "dampened"}  # there is no momentum
    result = judged("scratch[l2.penalty=half]", both)
    assert result.verdict is Verdict.DIVERGED
    assert result.exit_code is ExitCode.DIVERGED
    assert result.declared.idle == ("momentum.dampening",)
    assert "momentum.dampening=dampened has vanished: declared, but makes no difference in this run" in headline(result)
    said = as_dict(result)["declared"]
    assert (said["shows"], said["idle"], said["unseen"], said["undone"]) == (False, ["momentum.dampening"], [], [])


def test_what_another_declared_choice_hides_makes_no_difference():
    hidden = {"l2.penalty": "absent", "l2.constant": "exact"}  # the constant of a penalty that is not there
    result = judged("scratch[l2.penalty=absent]", hidden, precision="float64")
    assert result.verdict is Verdict.DIVERGED
    assert result.declared.idle == ("l2.constant",)


@pytest.mark.parametrize("explain", [True, False])
def test_where_the_candidate_chooses_as_keras_again_the_declaration_is_to_be_removed(explain):
    experiment = validate({**TABLE, "precision": "float64"})
    choices = {"l2.penalty": "half"}
    result = diff_declared(experiment, choices, reference="scratch", candidate="scratch", explain=explain)
    assert result.declared.undone == ("l2.penalty",)
    words = "l2.penalty=half has vanished: the candidate chooses as Keras does; remove it from what is declared"
    assert headline(result) == f"DIVERGED: {words}"
    for cause in result.causes:
        assert cause.fix_reference == "remove l2.penalty=half from what is declared"


def test_one_of_several_that_the_candidate_chooses_as_keras_is_told_alone():
    both = {"l2.penalty": "half", "loss.factor": "half"}
    result = judged("scratch[loss.factor=half]", both, precision="float64")
    assert result.declared.undone == ("l2.penalty",)
    assert "l2.penalty=half has vanished" in headline(result)


class Quiet:
    """A network that only trains."""

    choices = "l2.penalty=half"
    tells_loss = True

    def __init__(self):
        self.side = load_side(f"scratch[{self.choices}]").side

    def start(self, experiment, weights):
        self.side.start(experiment, weights)

    def step(self, x, y):
        loss = self.side.step(x, y)["loss"]
        return loss if self.tells_loss else None

    def weights(self):
        return self.side.weights()


class Silent(Quiet):
    tells_loss = False


def test_where_too_little_was_told_that_is_said():
    result = judged(Silent, {"l2.penalty": "half"}, precision="float64")
    assert result.verdict is Verdict.CANNOT_JUDGE
    whether = "whether the candidate differs from scratch by just l2.penalty=half cannot be said"
    assert headline(result) == f"CANNOT_JUDGE: {whether}: its loss was not told"


def test_a_choice_that_shows_in_nothing_the_candidate_tells_cannot_be_judged():
    both = {"l2.penalty": "half", "report.accuracy": "binary"}
    layers = [TABLE["layers"][0], {"units": 3, "activation": "sigmoid"}]
    data = {"source": "classification", "features": 3, "samples": 20, "classes": 3, "one_hot": 3}
    result = judged(Quiet, both, precision="float64", metrics=["accuracy"], layers=layers, data=data)
    assert result.declared.trusted is Verdict.PARITY
    assert result.declared.idle == ()
    assert result.declared.unseen == ("report.accuracy",)
    assert result.exit_code is ExitCode.CANNOT_JUDGE
    assert headline(result).endswith("cannot be said: nothing that it tells shows report.accuracy=binary")
    assert judged(Quiet, {"l2.penalty": "half"}, precision="float64").verdict is Verdict.PARITY


def test_nothing_is_declared_on_top_of_a_reference_that_the_network_does_not_compute():
    result = judged("scratch[l2.penalty=half]", {"l2.penalty": "half"}, reference="scratch[loss.factor=half]")
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert "does not compute what scratch[loss.factor=half] does" in headline(result)


@pytest.mark.parametrize(
    ("declare", "words"), [({"l2.penalti": "half"}, "l2.penalty"), ({"l2.penalty": "third"}, "half")]
)
def test_what_nobody_can_choose_cannot_be_declared(declare, words):
    with pytest.raises(ConfigError, match=words):
        validate({**TABLE, "declare": declare})
