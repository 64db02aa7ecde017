"""Null runs stay silent, cover what a config can say, and would be heard if they did not."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from click.testing import CliRunner

from parity import nullruns
from parity.config import load_experiment
from parity.config.initializers import CLASSES as INITIALIZERS
from parity.config.losses import CLASSES as LOSSES
from parity.config.optimizers import CLASSES as OPTIMIZERS
from parity.random_experiments import ACTIVATIONS, LARGEST_BATCH, LARGEST_LAYER, random_experiment
from parity.run import diff
from parity.verdict import Verdict

# Seed and number; the last ones once were false alarms.
RUNS = [*((5, number) for number in range(12)), (1, 177), (1, 219), (2, 31), (2, 34), (20261121, 3)]


@pytest.fixture(scope="module")
def experiments():
    return [nullruns.null_experiment(0, number) for number in range(400)]


def test_random_experiments_cover_what_a_config_can_say(experiments):
    layers = list(itertools.chain.from_iterable(e.layers for e in experiments))
    assert {e.loss.class_name for e in experiments} == {cls.__name__ for cls in LOSSES}
    assert {e.optimizer.class_name for e in experiments} == {cls.__name__ for cls in OPTIMIZERS}
    assert {layer.activation for layer in layers} == set(ACTIVATIONS)
    for place in ("kernel", "bias"):
        found = {getattr(layer, f"{place}_initializer").class_name for layer in layers}
        assert found == {cls.__name__ for cls in INITIALIZERS}
    for place in ("kernel", "bias", "activity"):
        found = {getattr(r, "class_name", None) for layer in layers if (r := getattr(layer, f"{place}_regularizer"))}
        assert found == {"L1", "L2", "L1L2"}
    assert {e.data.source for e in experiments} == {"arrays", "classification", "digits", "regression"}
    for said in (
        lambda e: getattr(e.optimizer, "nesterov", None),
        lambda e: getattr(e.optimizer, "amsgrad", None),
        lambda e: getattr(e.optimizer, "centered", None),
        lambda e: getattr(e.loss, "from_logits", None),
        lambda e: e.shuffle,
        lambda e: e.drop_remainder,
        lambda e: e.initial_weights is not None,
        lambda e: e.metrics != (),
        lambda e: e.batch_size == "full",
    ):
        assert {True, False} <= {said(e) for e in experiments}


def test_their_sizes_reach_from_1_to_the_largest(experiments):
    units = [layer.units for e in experiments for layer in e.layers[:-1]]
    batches = [e.batch_size for e in experiments if e.batch_size != "full"]
    for sizes, largest in ((units, LARGEST_LAYER), (batches, LARGEST_BATCH)):
        assert min(sizes) == 1
        assert 0.9 * largest < max(sizes) <= largest
        assert np.median(sizes) < largest / 8


def test_the_same_seed_gives_the_same_experiment():
    one, same, other = (random_experiment(np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert one == same != other
    assert nullruns.null_experiment(1, 7) == nullruns.null_experiment(1, 7) != nullruns.null_experiment(2, 7)


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize(("seed", "number"), RUNS)
def test_a_null_run_is_silent(seed, number):
    (run,) = nullruns.null_runs(seed, range(number, number + 1))
    assert not run.false_alarm, (run.result.first_divergence, run.experiment.model_dump_json())
    assert set(run.used) == {"float32", "float64"}


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize("number", range(3))
def test_a_null_run_of_a_candidate_that_only_trains_is_silent(number):
    (run,) = nullruns.null_runs(4, range(number, number + 1), bare=True)
    assert run.result.verdict is Verdict.PARITY, (run.result.first_divergence, run.experiment.model_dump_json())
    assert all(found.envelope is not None for found in run.result.runs)


def invoke(*arguments: str):
    return CliRunner().invoke(nullruns.main, [str(argument) for argument in arguments])


def test_silence_is_0_and_the_most_used_budget_can_be_reproduced(tmp_path):
    said = invoke("--runs", 3, "--seed", 2, "--reference", "scratch", "--out", tmp_path)
    assert said.exit_code == 0, said.output
    assert "0 false alarms" in said.output
    (path,) = tmp_path.iterdir()
    assert f"parity diff {path}" in said.output
    number = int(path.stem.rpartition("-")[2])
    assert load_experiment(path) == nullruns.null_experiment(2, number, precision="both")


def test_a_false_alarm_is_1_and_its_experiment_is_told(tmp_path, monkeypatch):
    def one_sided(experiment, *, reference, candidate):
        return diff(experiment, reference=reference, candidate="scratch[l2.penalty=half]", explain=False)

    monkeypatch.setattr(nullruns, "diff", one_sided)
    said = invoke("--runs", 6, "--seed", 2, "--reference", "scratch", "--precision", "float64", "--out", tmp_path)
    assert said.exit_code == 1
    alarms = [line for line in said.output.splitlines() if line.startswith("false alarm")]
    assert alarms
    assert f"{len(alarms)} false alarms" in said.output
    number = alarms[0].split()[-1].rstrip(":")
    path = tmp_path / f"null-2-{number}.json"
    again = diff(load_experiment(path), reference="scratch", candidate="scratch[l2.penalty=half]", explain=False)
    assert again.verdict is Verdict.DIVERGED


@pytest.mark.parametrize(
    ("error", "within", "code", "told"),
    [
        (KeyboardInterrupt(), True, 130, "interrupted"),
        (KeyboardInterrupt(), False, 130, "interrupted"),
        (ValueError("no more"), True, 3, "no more"),
    ],
)
def test_what_was_found_until_it_ends_early_is_told(error, within, code, told, monkeypatch):
    """Ctrl-C within the steps of a run ends that run with what it has, and must end all, as before its first step."""
    ended = iter([None, None, error])

    def sometimes(experiment, *, reference, candidate):
        if (raised := next(ended)) is None:
            return diff(experiment, reference=reference, candidate=candidate)
        if not within:
            raise raised
        return diff(experiment, reference=reference, candidate=_raises(raised))

    monkeypatch.setattr(nullruns, "diff", sometimes)
    said = invoke("--runs", 6, "--seed", 2, "--reference", "scratch", "--precision", "float64")
    assert said.exit_code == code, said.output
    (line,) = [line for line in said.output.splitlines() if line.startswith("run 2: ")]
    assert told in line
    assert "2 null runs of seed 2" in said.output
    assert "0 false alarms" in said.output


def _raises(error):
    """A side that comes to its first step and no further."""

    class Raises:
        def start(self, _, weights):
            self.w = weights

        def step(self, *_):
            raise error

        def weights(self):
            return self.w

    return Raises
