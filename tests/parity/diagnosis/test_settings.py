"""Settings of an optimizer that a network has written down itself, other than the experiment has, are told as such."""

from __future__ import annotations

import pytest

from parity.config import validate
from parity.run import diff
from parity.verdict import Verdict
from scratch_net.adapter import ScratchSide
from scratch_net.conventions.wrapping import wrap
from scratch_net.network import Gradients
from tests.parity.diagnosis.benches import TABLE

EVERYTHING = ("loss", "gradient", "optimizer", "weights")
SGD = {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9}
ADAM = {"class_name": "Adam", "learning_rate": 0.01}
RMSPROP = {"class_name": "RMSprop", "learning_rate": 0.01}


class Written:
    """A network by hand whose optimizer has some settings of its own; it tells these words, and its weights."""

    def __init__(self, settings, tells):
        self.settings, self.tells = settings, tells

    def start(self, experiment, weights):
        optimizer = experiment.optimizer.model_copy(update=self.settings)
        self.network = ScratchSide()
        self.network.start(experiment.model_copy(update={"optimizer": optimizer}), weights)

    def step(self, x, y):
        return {word: value for word, value in self.network.step(x, y).items() if word in self.tells}

    def weights(self):
        return self.network.weights()


def compared(optimizer, settings, tells):
    experiment = validate({**TABLE, "optimizer": optimizer, "steps": 12, "precision": "float64"})
    return diff(experiment, reference="scratch", candidate=lambda: Written(settings, tells))


@pytest.mark.parametrize("tells", [EVERYTHING, ("loss",)], ids=["everything", "loss and weights"])
@pytest.mark.parametrize(
    ("optimizer", "settings", "causes"),
    [
        (SGD, {"momentum": 0.5}, "momentum.factor=5/9"),
        (SGD, {"momentum": 0.99}, "momentum.factor=1.1"),
        (SGD | {"nesterov": True}, {"momentum": 0.8}, "momentum.factor=8/9"),
        (SGD, {"learning_rate": 0.07}, "learning_rate.scale=0.7"),
        (SGD, {"learning_rate": 0.07, "momentum": 0.5}, "learning_rate.scale=0.7 momentum.factor=5/9"),
        (ADAM, {"beta_1": 0.95}, "adam.gradient_share=0.5"),
        (ADAM, {"beta_2": 0.99}, "adam.square_share=10"),
        (ADAM, {"beta_2": 0.9}, "adam.square_share=100"),
        (ADAM, {"beta_2": 0.9999}, "adam.square_share=0.1"),
        (ADAM, {"beta_1": 0.999, "beta_2": 0.9}, "adam.betas=exchanged"),
        (ADAM, {"beta_1": 0.5, "beta_2": 0.99}, "adam.gradient_share=5 adam.square_share=10"),
        (ADAM, {"epsilon": 1e-3}, "adam.epsilon_scale=10000"),
        (ADAM, {"epsilon": 1.0}, "adam.epsilon_scale=10000000"),  # one over it is no number of few digits
        (RMSPROP, {"epsilon": 1.0}, "rmsprop.epsilon_scale=10000000"),
        (ADAM, {"beta_2": 0.99, "epsilon": 1e-5}, "adam.square_share=10 adam.epsilon_scale=100"),
        (ADAM, {"epsilon": 0.0}, "adam.epsilon_scale=absent"),
        (ADAM, {"epsilon": 1e-12}, "adam.epsilon_scale=1e-05"),
        (ADAM | {"epsilon": 1e-2}, {"epsilon": 1e-6}, "adam.epsilon_scale=0.0001"),
        (ADAM | {"beta_1": 0.0}, {"beta_1": 0.9}, "adam.gradient_share=0.1"),
        (
            ADAM | {"beta_1": 0.0, "beta_2": 0.9},
            {"beta_1": 0.5, "beta_2": 0.99},
            "adam.gradient_share=0.5 adam.square_share=0.1",
        ),
        (RMSPROP, {"epsilon": 0.0}, "rmsprop.epsilon_scale=absent"),
        (RMSPROP | {"rho": 0.0}, {"rho": 0.9}, "rmsprop.square_share=0.1"),
        (RMSPROP | {"rho": 0.3}, {"rho": 0.5}, "rmsprop.square_share=5/7"),
        (RMSPROP, {"rho": 0.99}, "rmsprop.rho=0.99"),
        (RMSPROP, {"rho": 0.95}, "rmsprop.square_share=0.5"),
        (RMSPROP, {"epsilon": 1e-4}, "rmsprop.epsilon_scale=1000"),
        (RMSPROP | {"momentum": 0.9}, {"momentum": 0.5}, "rmsprop.momentum=5/9"),
        (RMSPROP | {"momentum": 0.9}, {"momentum": 0.0}, "rmsprop.momentum=ignored"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_another_setting_is_named(optimizer, settings, causes, tells):
    result = compared(optimizer, settings, tells)
    assert result.verdict is Verdict.DIVERGED
    assert {str(cause) for cause in result.causes} == set(causes.split())


PLAIN = {"class_name": "SGD", "learning_rate": 0.1}
NO_PENALTY = [{**layer, "kernel_regularizer": None} for layer in TABLE["layers"]]
L2 = {"kernel_regularizer": {"class_name": "L2", "l2": 0.01}}


class OfAnother:
    """A network by hand that was made for another experiment: it has settings of which this one has none."""

    def __init__(self, experiment, choices, tells):
        self.experiment, self.network, self.tells = experiment, ScratchSide(choices), tells

    def start(self, _, weights):
        self.network.start(self.experiment, weights)

    def step(self, x, y):
        return {word: value for word, value in self.network.step(x, y).items() if word in self.tells}

    def weights(self):
        return self.network.weights()


@pytest.mark.parametrize("tells", [EVERYTHING, ("loss",), ()], ids=["everything", "loss and weights", "weights"])
@pytest.mark.parametrize(
    ("table", "changes", "choices", "causes"),
    [
        ({"optimizer": PLAIN}, {"optimizer": PLAIN | {"momentum": 0.9}}, {}, "sgd.added_momentum=0.9"),
        ({"optimizer": RMSPROP}, {"optimizer": RMSPROP | {"momentum": 0.8}}, {}, "rmsprop.added_momentum=0.8"),
        ({}, {}, {"learning_rate.decay": "0.001"}, "learning_rate.decay=0.001"),
        ({"optimizer": ADAM}, {}, {"learning_rate.decay": "5e-7"}, "learning_rate.decay=5e-07"),
        ({"layers": NO_PENALTY}, {}, {"l2.added": "0.0005"}, "l2.added=0.0005"),
        (
            {"layers": [NO_PENALTY[0], *(layer | L2 for layer in NO_PENALTY[1:])]},
            {"layers": [layer | L2 for layer in NO_PENALTY]},
            {},
            "l2.layers=all",
        ),
        *(
            ({"layers": NO_PENALTY, "optimizer": optimizer}, {}, {f"weight_decay.{code}": "0.0005"}, "")
            for code, optimizer in (
                ("coupled", SGD),
                ("kernels_coupled", SGD),
                ("coupled", ADAM),
                ("kernels_coupled", RMSPROP),
                ("decoupled", ADAM),
                ("kernels_decoupled", ADAM),
            )
        ),
        (
            {"layers": NO_PENALTY, "optimizer": PLAIN},
            {"optimizer": PLAIN | {"momentum": 0.9}},
            {"weight_decay.coupled": "0.0005"},
            "sgd.added_momentum=0.9 weight_decay.coupled=0.0005",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_the_experiment_has_none_of_is_named(table, changes, choices, causes, tells):
    experiments = [validate({**TABLE, **table, **more, "steps": 12, "precision": "float64"}) for more in ({}, changes)]
    result = diff(experiments[0], reference="scratch", candidate=lambda: OfAnother(experiments[1], choices, tells))
    assert result.verdict is Verdict.DIVERGED
    expected = set(causes.split()) or {"=".join(one) for one in choices.items()}
    if "l2.added" in choices and not tells:  # a penalty of the loss is told by its loss
        (cause,) = result.causes
        assert {str(cause), *cause.alternatives} >= expected
    else:
        assert {str(cause) for cause in result.causes} == expected


@pytest.mark.parametrize("kernels", ["", "kernels_"])
def test_a_decay_that_is_told_in_the_gradient_is_told_there(kernels):
    experiment = validate({**TABLE, "layers": NO_PENALTY, "optimizer": ADAM, "precision": "float64"})
    choices = {f"weight_decay.{kernels}in_gradient": "0.01"}
    result = diff(experiment, reference="scratch", candidate=lambda: OfAnother(experiment, choices, EVERYTHING))
    assert [str(cause) for cause in result.causes] == [f"weight_decay.{kernels}in_gradient=0.01"]


@pytest.mark.parametrize(
    ("optimizer", "found"), [(ADAM, "adam.epsilon_scale=1/3"), (RMSPROP, "rmsprop.epsilon_scale=1/9")], ids=str
)
@pytest.mark.parametrize("penalty", [True, False], ids=["l2", "plain"])
def test_three_times_the_gradient_is_told_beside_a_third_of_epsilon(optimizer, found, penalty):
    """Who divides by the size of gradients cannot tell: 3 g / (sqrt(9 v) + eps) is g / (sqrt(v) + eps / 3)."""

    class Triples(Written):
        def start(self, experiment, weights):
            super().start(experiment, weights)
            wrap(self.network.network, "update", lambda previous, gradients: previous(self.tripled(gradients)))

        def tripled(self, gradients):
            return Gradients({name: 3 * g for name, g in gradients.whole.items()}, {}, {})

    plain = {} if penalty else {"layers": [{**layer, "kernel_regularizer": None} for layer in TABLE["layers"]]}
    experiment = validate({**TABLE, **plain, "optimizer": optimizer, "steps": 12, "precision": "float64"})
    result = diff(experiment, reference="scratch", candidate=lambda: Triples({}, ("loss",)))
    assert [str(cause) for cause in result.causes] == [found]
    of_penalty = {"l2.gradient=3"} if penalty else set()
    readings = {frozenset(reading.choices): reading for reading in result.diagnosis.readings}
    reading = readings[frozenset({"loss.factor=3", "loss.reported=1/3"} | of_penalty)]
    assert "gradient" in reading.separate_by


def test_a_rate_that_is_only_told_otherwise_is_no_cause():
    class Says(Written):
        def step(self, x, y):
            said = super().step(x, y)
            return said | {"optimizer": said["optimizer"] | {"optimizer/learning_rate": 0.2}}

    experiment = validate({**TABLE, "optimizer": SGD, "precision": "float64"})
    result = diff(experiment, reference="scratch", candidate=lambda: Says({}, EVERYTHING))
    assert result.verdict is Verdict.DIVERGED
    assert str(result.first_divergence.key) == "update optimizer/learning_rate"
    assert result.diagnosis.unable.startswith("every step the candidate takes is what the reference takes")
