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
    ],
)
def test_it_accepts_every_spelling_that_is_read(change):
    validate(SMALL | change)
    assert valid(SMALL | change)


@pytest.mark.parametrize(
    "change",
    [{"optimizer": "adamm"}, {"epocs": 3}, {"layers": []}, {"data": {"source": "digit"}}, {"batch_size": "all"}],
)
def test_it_refuses_what_is_refused(change):
    with pytest.raises(ConfigError):
        validate(SMALL | change)
    assert not valid(SMALL | change)
