"""The catalogue's lines with an experiment's own loss and optimizer in them: still lines of Python, and its own."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

from parity.config import validate
from parity.conventions import NAMES, catalogue, convention
from parity.diagnosis.own_words import own_words
from tests.parity.diagnosis.benches import TABLE

LOSSES = ("mse", "SumSquaredError", "categorical_crossentropy", "sparse_categorical_crossentropy", "bce")
OPTIMIZERS = (
    {"class_name": "SGD", "momentum": 0.8, "nesterov": True},
    {"class_name": "Adam", "beta_1": 0.8},
    {"class_name": "RMSprop", "centered": True},
)
SUM_SQUARED = "keras.ops.sum(keras.ops.square(y - p), axis=-1)"
OF_OPTIMIZER = {"adam": "Adam", "momentum": "SGD", "rmsprop": "RMSprop"}
LINES = [
    pytest.param(entry.code, line, id=f"{entry.code}={choice.name} {field}")
    for entry in catalogue().values()
    for choice in entry.choices
    for field in ("fix_reference", "fix_candidate")
    if (line := getattr(choice, field))
]


def experiment(loss="categorical_crossentropy", optimizer=OPTIMIZERS[0]):
    data = TABLE["data"] | ({"one_hot": None} if str(loss).startswith("sparse") else {})
    return validate({**TABLE, "data": data, "loss": loss, "optimizer": optimizer})


def can_be_named(code, experiment):
    """A convention of one optimizer is never found in a run of another, nor one of a loss in another loss's."""
    family = code.partition(".")[0]
    if code in {"loss.input", "loss.softmax", "loss.smoothing"}:
        return experiment.loss.class_name.endswith("Crossentropy")
    if code == "optimizer.constants":
        return experiment.optimizer.class_name != "RMSprop"
    return OF_OPTIMIZER.get(family, experiment.optimizer.class_name) == experiment.optimizer.class_name


@pytest.mark.parametrize(("code", "line"), LINES)
def test_a_line_stays_a_line_of_python_and_names_no_loss_or_optimizer_but_the_experiment_s(code, line):
    for loss in LOSSES:
        for optimizer in OPTIMIZERS:
            on = experiment(loss, optimizer)
            if not can_be_named(code, on):
                continue
            said = own_words(line, on)
            tree = ast.parse(said)
            names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
            assert names <= {*NAMES, "keras", "np", "tf", "softmax", "float", "sum", "len", "range", "zip"} | {
                node.id for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Name)
            }
            if "keras.optimizers." in said:
                assert f"keras.optimizers.{on.optimizer.class_name}(" in said
            if "reduction='sum'" in said:
                assert f"keras.losses.{on.loss.class_name}(" in said


@pytest.mark.parametrize(
    ("code", "choice", "field", "settings", "said"),
    [
        (
            "loss.batch",
            "sum",
            "fix_reference",
            {"loss": {"class_name": "CategoricalCrossentropy", "label_smoothing": 0.1}},
            "loss = keras.losses.CategoricalCrossentropy(label_smoothing=0.1, reduction='sum')",
        ),
        (
            "loss.batch",
            "sum",
            "fix_reference",
            {"loss": "SumSquaredError"},
            "loss = lambda y, p: keras.ops.sum(keras.ops.square(y - p))",
        ),
        (
            "loss.factor",
            "half",
            "fix_candidate",
            {"loss": "categorical_crossentropy"},
            "loss = -np.sum(y * np.log(p), axis=-1).mean(); dz = (p - y) / len(p)",
        ),
        (
            "loss.reported",
            "half",
            "fix_reference",
            {"loss": "SumSquaredError"},
            f"loss = lambda y, p: (l := {SUM_SQUARED}) - keras.ops.stop_gradient(l) / 2",
        ),
        (
            "optimizer.constants",
            "exact",
            "fix_reference",
            {"optimizer": OPTIMIZERS[0]},
            "optimizer = keras.optimizers.SGD(learning_rate=lr, momentum=np.float64(0.8), nesterov=True)",
        ),
    ],
)
def test_in_its_own_words(code, choice, field, settings, said):
    line = getattr(convention(code).choice(choice), field)
    assert own_words(line, experiment(**settings)) == said != line


def test_keras_takes_what_is_said(keras):
    for optimizer in OPTIMIZERS:
        on = experiment("categorical_crossentropy", optimizer)
        for code in ("l2.decay", "optimizer.constants", "momentum.dampening", "adam.epsilon_value", "rmsprop.rho"):
            for choice in convention(code).choices:
                line = choice.fix_reference
                if not line or not can_be_named(code, on):
                    continue
                call = ast.parse(own_words(line, on)).body[0].value
                made = getattr(keras.optimizers, call.func.attr)
                inspect.signature(made).bind(**{keyword.arg: None for keyword in call.keywords})


def test_no_penalty_of_the_experiment_is_left_out():
    l2, both = {"class_name": "L2", "l2": 0.1}, {"class_name": "L1L2", "l1": 0.01, "l2": 0.1}
    first, *rest = TABLE["layers"]
    layers = [first | {"kernel_regularizer": both, "bias_regularizer": l2, "activity_regularizer": l2}, *rest]
    of_all = validate({**TABLE, "layers": layers})
    said = own_words(convention("l2.penalty").choice("half").fix_reference, of_all).split("; ")
    assert "kernel_regularizer=keras.regularizers.L1L2(l1=0.01, l2=lam / 2)" in said
    assert {
        "bias_regularizer=keras.regularizers.L2(lam / 2)",
        "activity_regularizer=keras.regularizers.L2(lam / 2)",
    } < {*said}


@pytest.mark.parametrize(("code", "choice"), [("l2.constant", "exact"), ("optimizer.constants", "exact")])
def test_a_constant_rounded_as_the_fix_says_promotes_no_float32_array(code, choice):
    names = {"lam": 0.1, "mu": 0.1, "beta_1": 0.1, "beta_2": 0.1, "np": np}
    exec(convention(code).choice(choice).fix_candidate, names)  # noqa: S102  # the line as it is to be copied
    constants = ["lam"] if code == "l2.constant" else ["mu", "beta_1", "beta_2"]
    for name in constants:
        assert names[name] == np.float32(0.1)
        assert (names[name] * np.ones(1, np.float32)).dtype == np.float32
