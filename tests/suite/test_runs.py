"""Whole runs, from the first batch to the last weight: only rounding parts the two, and looking changes nothing."""

from __future__ import annotations

import re

import numpy as np
import pytest

from keras_ref.build import named_slots, named_weights
from parity.config import validate
from parity.protocol import Key
from parity.run import diff
from parity.verdict import Verdict
from tests.suite import runs, table

pytestmark = pytest.mark.filterwarnings("ignore:.*from_logits", "ignore:.*softmax over axis")  # meant


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return runs.write_files(tmp_path_factory.mktemp("files"))


@pytest.mark.parametrize(("number", "precision"), runs.RUNS)
def test_nothing_but_rounding_parts_the_two(number, precision, files):
    """And everything was compared: every tensor of every phase of every step, in the local lane.

    Where an output is penalized, the parts of a gradient are compared in the free lane alone; the whole in both.
    """
    result, _ = runs.compared(number, precision, files)
    assert result.verdict is Verdict.PARITY, (result.first_divergence, runs.rows_of(number, precision))
    (run,) = result.runs
    one = runs.experiment(number, precision, files)
    if any(layer.activity_regularizer is not None for layer in one.layers):
        left = [found.what for found in run.judge.not_compared]
        assert all(re.fullmatch(r"gradient \S+ \((data|penalty)\), local lane", what) for what in left), left
    else:
        assert run.judge.not_compared == []
    weights = [f"{layer.name}/{kind}" for layer in one.layers for kind in ("kernel", "bias")[: 1 + layer.use_bias]]
    outputs = [f"{layer.name}/{what}" for layer in one.layers for what in ("pre_activation", "output")]
    expected = {
        *(Key("forward", name) for name in outputs),
        Key("loss", "loss"),
        *(Key(phase, name) for phase in ("gradient", "update") for name in weights),
        *(Key("metrics", name) for name in one.metrics),
    }
    assert expected <= {key for lane, key in run.summaries if lane == "local"}


@pytest.mark.parametrize(("number", "precision"), runs.RUNS)
def test_it_ends_bitwise_as_plain_fit(number, precision, files):
    _, model = runs.compared(number, precision, files)
    plain = runs.fitted(runs.experiment(number, precision, files))
    for named in (named_weights, named_slots):
        expected = {name: np.array(variable) for name, variable in named(plain).items()}
        found = {name: np.array(variable) for name, variable in named(model).items()}
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            assert found[name].dtype == array.dtype, name
            assert found[name].tobytes() == array.tobytes(), (name, np.abs(found[name] - array).max())


@pytest.mark.parametrize("amsgrad", [False, True])
def test_adam_without_an_epsilon(amsgrad):
    """Not in the table: a gradient that is zero makes it 0 / 0. TensorFlow then multiplies by the root's reciprocal."""
    said = {
        "data": {"source": "regression", "features": 3, "samples": 10},
        "layers": [{"units": 4, "activation": "tanh"}, {"units": 1}],
        "loss": "mse",
        "optimizer": {"class_name": "Adam", "epsilon": 0, "learning_rate": 0.01, "amsgrad": amsgrad},
        "batch_size": 4,
        "epochs": 4,
    }
    result = diff(validate(said))
    assert result.verdict is Verdict.PARITY, result.first_divergence
    for run in result.runs:
        weight = run.summaries["local", Key("update", "dense/kernel")]
        assert 0 < weight.used <= 1  # not to the last bit
        assert run.summaries["local", Key("update", "dense/kernel/velocity")].used == 0


@pytest.mark.parametrize("precision", table.PRECISIONS)
def test_every_row_of_the_table_has_its_turn(precision):
    taken: dict[str, set[str]] = {}
    for number in range(runs.COUNT):
        for kind, names in runs.rows_of(number, precision).items():
            taken.setdefault(kind, set()).update(names)
    for kind, rows in {**table.TABLE, "schedules": table.SCHEDULES}.items():
        assert taken[kind] == set(rows), kind


def test_every_source_of_data_has_its_turn():
    taken = {row for number, precision in runs.RUNS for row in runs.rows_of(number, precision)["data"]}
    assert taken == {row for rows in table.DATA.values() for row in rows}
