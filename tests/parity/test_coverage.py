"""What a run did not exercise: each setting once idle, and once at work."""

from __future__ import annotations

import numpy as np
import pytest

from parity import coverage
from parity.config import validate
from parity.coverage import EVERY_STEP, SOME_STEPS, Coverage
from parity.data import load_dataset
from parity.protocol import Key, Records
from parity.report import as_json, worth
from parity.run import diff

BASE = {
    "data": {"source": "classification", "features": 3, "samples": 20, "classes": 3, "one_hot": 3},
    "layers": [{"units": 6}, {"units": 3, "activation": "softmax"}],
    "loss": "categorical_crossentropy",
    "optimizer": {"class_name": "SGD", "momentum": 0.9},
    "batch_size": 8,
    "epochs": 2,
    "precision": "float64",
}


def hidden(**settings):
    return {"layers": [{"units": 6, **settings}, {"units": 3, "activation": "softmax"}]}


def last(**settings):
    return {"layers": [{"units": 6}, {"units": 3, **settings}]}


def adam(**settings):
    return {"optimizer": {"class_name": "Adam", **settings}}


def sgd(**settings):
    return {"optimizer": {"class_name": "SGD", **settings}}


ZEROS = {"units": 3, "activation": "softmax", "kernel_initializer": "zeros"}
CROSSENTROPY = {"class_name": "CategoricalCrossentropy"}
CLIP = "loss: probabilities kept 1e-07 from 0 and 1"

# setting, what leaves it idle, a word of the reason, what exercises it
PROBES = [
    ("layers.0.kernel_regularizer.l2", hidden(kernel_regularizer={"l2": 0}), "is 0", hidden(kernel_regularizer="l2")),
    ("layers.0.bias_regularizer.l1", hidden(bias_regularizer={"l1": 0}), "is 0", hidden(bias_regularizer="l1")),
    (
        "layers.0.bias_regularizer",
        hidden(bias_regularizer="l2") | {"epochs": None, "steps": 1},
        "dense/bias was zero",
        hidden(bias_regularizer="l2"),
    ),
    (
        "layers.0.bias_regularizer",
        hidden(bias_regularizer="l2", use_bias=False),
        "the layer has no bias",
        hidden(bias_regularizer="l2"),
    ),
    (
        "layers.0.activity_regularizer",
        hidden(activity_regularizer="l2", kernel_initializer="zeros") | {"epochs": None, "steps": 1},
        "dense/output was zero",
        hidden(activity_regularizer="l2"),
    ),
    (
        "layers.0.activation",
        hidden(activation="relu", kernel_initializer="zeros", bias_initializer="ones") | sgd(learning_rate=0),
        "no unit switched",
        hidden(activation="relu"),
    ),
    (
        "layers.0.activation",
        hidden(activation="relu", bias_initializer={"class_name": "Constant", "value": -99}),
        "no unit switched",
        hidden(activation="relu"),
    ),
    (
        "layers.0.activation, relu'(0)",
        hidden(activation="relu"),
        "no gradient came to a pre-activation of exactly 0",
        hidden(activation="relu", kernel_initializer="zeros"),
    ),
    (
        "layers.0.activation, relu'(0)",  # all are 0, and the zeros behind them send nothing back
        {"layers": [{"units": 6, "activation": "relu", "kernel_initializer": "zeros"}, ZEROS], "steps": 1}
        | {"epochs": None},
        "no gradient came to a pre-activation of exactly 0",
        hidden(activation="relu", kernel_initializer="zeros"),
    ),
    ("loss.label_smoothing", {}, "is 0", {"loss": {**CROSSENTROPY, "label_smoothing": 0.1}}),
    (CLIP, {}, "from what goes into the softmax", last(activation="relu")),
    (
        CLIP,
        last(activation="relu", bias_initializer="ones", kernel_initializer="zeros") | sgd(learning_rate=0),
        "no output came that near",
        last(activation="relu"),
    ),
    ("optimizer.learning_rate", sgd(learning_rate=0), "is 0", {}),
    ("optimizer.momentum", sgd(), "is 0", {}),
    ("optimizer.momentum", {"epochs": None, "steps": 1}, "one step", {}),
    ("optimizer.momentum", {"epochs": None, "steps": 1}, "one step", sgd(momentum=0.9, nesterov=True)),
    ("optimizer.nesterov", sgd(nesterov=True), "momentum is 0", sgd(nesterov=True, momentum=0.5)),
    ("optimizer.beta_1, optimizer.beta_2", adam() | {"epochs": None, "steps": 1}, "one step", adam()),
    (
        "optimizer.amsgrad",
        adam(amsgrad=True) | {"epochs": None, "steps": 1},
        "no velocity",
        adam(amsgrad=True, beta_2=0.1),
    ),
    ("optimizer.epsilon", adam(epsilon=1e-25), "changed no bit", adam()),
    ("optimizer.epsilon", adam(epsilon=0), "is 0", adam()),
    ("optimizer.epsilon", {"optimizer": {"class_name": "RMSprop", "epsilon": 1e-25}}, "changed no bit", adam()),
    (
        "layers.0.kernel",
        {"layers": [{"units": 6}, {"units": 3, "activation": "softmax", "kernel_initializer": "zeros"}], "steps": 1}
        | {"epochs": None},
        "was never trained",
        {},
    ),
    ("batch_size", {"batch_size": 10}, "every batch had 10 examples", {}),
    ("shuffle", {"shuffle": True, "epochs": 1}, "one epoch", {"shuffle": True}),
    ("drop_remainder", {"drop_remainder": True, "batch_size": 10}, "take up all examples", {"drop_remainder": True}),
]


def run(**settings):
    return diff(validate({**BASE, **settings}), reference="scratch", lanes=("local",))


@pytest.mark.parametrize(("what", "idle", "why", "busy"), PROBES)
def test_a_setting_that_is_idle_is_told_and_one_at_work_is_not(what, idle, why, busy):
    told = {item.what: item.why for item, _ in run(**idle).not_exercised}
    assert why in told[what]
    assert what not in {item.what for item, _ in run(**busy).not_exercised}


def test_a_run_that_exercises_everything_tells_nothing():
    layers = [
        {"units": 6, "activation": "relu", "kernel_regularizer": "l2", "bias_regularizer": "l1"},
        {"units": 3, "activation": "relu"},
    ]
    given = load_dataset(validate(BASE))
    x = np.vstack([np.zeros(3), given.x[1:]])  # an example whose pre-activations are 0 as long as the biases are
    data = {"source": "arrays", "x": x.tolist(), "y": given.y.tolist()}
    result = run(data=data, layers=layers, loss={**CROSSENTROPY, "label_smoothing": 0.1}, shuffle=True)
    assert result.not_exercised == []
    assert as_json.as_dict(result)["not_exercised"] == []


def test_an_exercise_in_a_later_chunk_counts(monkeypatch):
    monkeypatch.setattr("parity.lockstep.CHUNK_STEPS", 1)
    assert "layers.0.bias_regularizer" not in dict(worth.not_exercised(run(**hidden(bias_regularizer="l2"))))
    assert "batch_size" not in dict(worth.not_exercised(run()))


def test_large_tensors_are_looked_at_in_part_and_that_is_said(monkeypatch):
    dead = hidden(activation="relu", bias_initializer={"class_name": "Constant", "value": -99}) | {"batch_size": 4}
    looked = {item.what: item.looked_at for item, _ in run(**dead).not_exercised}
    assert looked["layers.0.activation"] == EVERY_STEP
    monkeypatch.setattr(coverage, "SMALL", 0)
    result = run(**dead)
    assert {item.what: item.looked_at for item, _ in result.not_exercised}["layers.0.activation"] == SOME_STEPS
    assert SOME_STEPS in dict(worth.not_exercised(result))["layers.0.activation"]


def test_what_is_idle_in_one_precision_only_says_in_which():
    result = run(**adam(epsilon=1e-12), precision="both")
    (precisions,) = (precisions for item, precisions in result.not_exercised if item.what == "optimizer.epsilon")
    assert precisions == ("float32",)
    assert "optimizer.epsilon, float32" in dict(worth.not_exercised(result))


def test_what_the_reference_does_not_record_is_not_known():
    found = Coverage(validate({**BASE, **adam(), **hidden(activation="relu")}))
    assert found.not_exercised == []  # nothing was looked at: nothing is said
    found.take(Records(1, {Key("update", "dense/kernel"): np.ones((1, 3, 6))}, {}))
    told = {item.what: item.why for item in found.not_exercised}
    assert told["layers.0.activation"] == "not known: the reference does not record forward dense/output"
    assert told["optimizer.epsilon"] == "not known: the reference does not record update optimizer/learning_rate"
