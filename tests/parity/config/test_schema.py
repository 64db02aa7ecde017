"""The JSON Schema says of an experiment what reading it says."""

from __future__ import annotations

import tomllib
from pathlib import Path

import jsonschema
import pytest

from parity.config import ConfigError, Experiment, validate

ROOT = Path(__file__).parents[3]
SCHEMA = Experiment.model_json_schema()
EXPERIMENTS = sorted([*ROOT.glob("reports/*/experiment.toml"), *ROOT.glob("examples/*.toml")])
SMALL = {"data": {"source": "digits"}, "layers": [{"units": 10}], "loss": "mse", "optimizer": "sgd"}


def valid(table):
    return jsonschema.Draft202012Validator(SCHEMA).is_valid(table)


def test_it_is_a_json_schema():
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: path.parent.name)
def test_it_accepts_every_experiment_of_the_project(path):
    assert valid(tomllib.loads(path.read_text()))


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": {"class_name": "Adam", "learning_rate": 0.1}},
        {"optimizer": {"class_name": "Adam", "config": {"learning_rate": 0.1}}},
        {"layers": [{"units": 10, "kernel_regularizer": {"l2": 0.01}}]},
        {"layers": [{"units": 10, "kernel_regularizer": "l2", "kernel_initializer": "glorot_uniform"}]},
        {"batch_size": "full", "epochs": 3},
        {"metrics": ["acc"]},
    ],
)
def test_it_accepts_every_spelling_that_is_read(change):
    validate(SMALL | change)
    assert valid(SMALL | change)


PENALTY = {"l1": 0.5, "l2": 1}
# Between them every setting that there is; each is replaced in turn.
EVERY_SETTING = [
    SMALL
    | {
        "name": "whole",
        "metrics": ["accuracy"],
        "batch_size": 8,
        "shuffle": True,
        "drop_remainder": True,
        "steps": 3,
        "examples": 5,
        "precision": "float64",
        "seed": 5,
        "initial_weights": {"dense/kernel": [[1.0], [3]], "dense/bias": [1, 0.5], "dense/scale": 3},
        "initial_state": {"optimizer/iterations": 3},
        "declare": {},
        "tolerance": [{"tensor": "dense*", "phase": "loss", "part": "whole", "rtol": 0.5, "atol": 1}, {"ulp": 2}],
    }
]
EVERY_SETTING += [
    SMALL | {"layers": [{"units": 3} | said]}
    for said in [
        {"class_name": "Dense", "name": "here", "activation": "relu", "use_bias": True},
        {"kernel_regularizer": PENALTY, "bias_regularizer": PENALTY, "activity_regularizer": PENALTY},
        {"kernel_initializer": {"class_name": "Constant", "value": 0.5}},
        {"bias_initializer": {"class_name": "RandomNormal", "mean": 0.5, "stddev": 1, "seed": 3}},
        {"kernel_initializer": {"class_name": "RandomUniform", "minval": -2, "maxval": 2.5, "seed": 3}},
        {"kernel_initializer": {"class_name": "HeNormal", "seed": 3}},
    ]
]
EVERY_SETTING += [SMALL | {"epochs": 2}]
EVERY_SETTING += [
    SMALL | {"optimizer": said}
    for said in [
        {"class_name": "SGD", "learning_rate": 1, "momentum": 0.5, "nesterov": True},
        {"class_name": "Adam", "learning_rate": 0.5, "beta_1": 0.5, "beta_2": 0, "epsilon": 1, "amsgrad": True},
        {"class_name": "RMSprop", "rho": 0.5, "momentum": 0.5, "epsilon": 0.5, "centered": True},
    ]
]
EVERY_SETTING += [
    SMALL | {"loss": {"class_name": "CategoricalCrossentropy", "from_logits": True, "label_smoothing": 0.5}},
    SMALL | {"loss": {"class_name": "SparseCategoricalCrossentropy", "from_logits": True}},
]
EVERY_SETTING += [
    SMALL | {"data": said}
    for said in [
        {"source": "digits", "samples": 5, "scale": 16, "one_hot": 10},
        {"source": "mnist", "path": "somewhere", "split": "train"},
        {"source": "npz", "path": "somewhere", "x": "inputs", "y": "targets"},
        {"source": "csv", "path": "somewhere", "target": "y"},
        {"source": "csv", "path": "somewhere", "target": [1, "y"]},
        {"source": "arrays", "x": [[1], [2.5]], "y": [0, 1.0]},
        {"source": "regression", "features": 3, "targets": 2, "noise": 0.5, "seed": 3},
        {"source": "classification", "features": 3, "classes": 2, "seed": 3},
    ]
]
OTHERS = [True, False, 1, 1.5, 0, -1, "1", "1.5", "true", "", "bogus", "full", [], ["1"], [1.5], {"a/b": 1}, [[True]]]


def places(value, path=()):
    """Every key path in a table, and every position in a list."""
    if path:
        yield path
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inside:
        yield from places(part, (*path, key))


def replaced(value, path, other):
    if not path:
        return other
    copy = value.copy()
    copy[path[0]] = replaced(value[path[0]], path[1:], other)
    return copy


def test_every_setting_is_replaced():
    given = {key for table in EVERY_SETTING for path in places(table) for key in path}
    named = {key for model in [SCHEMA, *SCHEMA["$defs"].values()] for key in model["properties"]}
    assert named - given == {"config"}  # Keras' serialised form, in which the same settings stand


@pytest.mark.parametrize("table", EVERY_SETTING, ids=range(len(EVERY_SETTING)))
def test_a_value_of_any_other_type_is_refused_where_the_schema_refuses_it(table):
    """No number is read from text, none from true, no text from a number, and one line says so."""
    assert valid(table)
    validate(table)
    for path in places(table):
        for other in OTHERS:
            changed = replaced(table, path, other)
            if valid(changed):
                validate(changed)
                continue
            with pytest.raises(ConfigError) as refused:
                validate(changed)
            lines = str(refused.value).splitlines()
            assert len(lines) == 2 or isinstance(other, dict), (path, other, lines)  # a table may hold several mistakes


@pytest.mark.parametrize(
    "change",
    [{"optimizer": "adamm"}, {"epocs": 3}, {"layers": []}, {"data": {"source": "digit"}}, {"batch_size": "all"}],
)
def test_it_refuses_what_is_refused(change):
    with pytest.raises(ConfigError):
        validate(SMALL | change)
    assert not valid(SMALL | change)


def test_a_code_that_is_declared_may_be_written_without_quotes():
    for choice in ("half", 3, 0.3):
        for declare in ({"l2.penalty": choice}, {"l2": {"penalty": choice}}):
            assert valid({**SMALL, "declare": declare})
    for declare in ({"l2": {"penalty": True}}, {"l2.penalty": None}, {"l2/penalty": "half"}):
        assert not valid({**SMALL, "declare": declare})
