"""Trials: what is planted shows, what a level leaves untold is untold, the same seed gives the same trials."""

from __future__ import annotations

import json
import math
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from parity.config import validate
from parity.conventions import catalogue
from parity.diagnosis.evidence import Evidence
from parity.diagnosis.search import Search
from parity.diagnosis.tried import Tried
from parity.protocol import Key, Records
from parity.selftest import LEVELS, outside, run_outside, run_trials, trials
from parity.selftest.experiments import likely_experiment
from parity.selftest.trials import Trial, Workbench, in_other_words, run_trial, tells
from parity.sides import load_side
from tests.parity.diagnosis.benches import TABLE

DOUBLED = frozenset([("loss.factor", "double")])
TOLD = {
    Key("forward", "dense/pre_activation"): LEVELS[:2],
    Key("forward", "dense_1/output"): LEVELS[:2],
    Key("loss", "loss"): LEVELS[:3],
    Key("loss", "loss", "data"): LEVELS[:2],
    Key("loss", "loss", "penalty"): LEVELS[:2],
    Key("loss", "dense/kernel", "penalty"): LEVELS[:2],
    Key("gradient", "dense/kernel"): LEVELS[:2],
    Key("gradient", "dense/kernel", "data"): LEVELS[:2],
    Key("metrics", "accuracy"): LEVELS[:2],
    Key("update", "dense/kernel"): LEVELS,
    Key("update", "dense/bias"): LEVELS,
    Key("update", "dense/kernel/momentum"): LEVELS[:1],
    Key("update", "optimizer/iterations"): LEVELS[:1],
    Key("update", "optimizer/learning_rate"): LEVELS[:1],
}


@pytest.mark.parametrize("key", TOLD, ids=str)
def test_what_each_level_tells(key):
    assert tuple(level for level in LEVELS if tells(level, key)) == TOLD[key]


@pytest.mark.parametrize("level", LEVELS)
def test_a_trial_sees_what_its_level_tells_and_no_more(level):
    bench = Workbench(likely_experiment(np.random.default_rng(3)), level)
    told = bench.told(frozenset())
    assert told.keys
    assert all(tells(level, key) for key in told.keys)
    assert all(
        tells(level, key) or key.phase == "batch" for piece in told.pieces for key in (*piece.arrays, *piece.before)
    )


def test_every_choice_of_the_catalogue_is_planted_but_ways_to_the_same_gradient():
    planted = trials.all_choices()
    listed = {(code, choice.name) for code, entry in catalogue().items() for choice in entry.choices}
    made = {(code, choice) for code, choices in load_side("scratch").side.conventions().items() for choice in choices}
    any_number = [code for code, entry in catalogue().items() if entry.factor]
    numbers = {(code, number) for code in any_number for number in trials.numbers_of(code)}
    assert all(len(trials.numbers_of(code)) == 2 for code in any_number)
    assert set(planted) == (listed & made) - {pair for pair in made if pair[0] == "gradient.engine"} | numbers
    assert len(planted) == len(set(planted))


def _without_time(found):
    return [replace(trial, seconds=0.0) for trial in found]


def test_the_same_seed_gives_the_same_trials():
    one, again = (_without_time(run_trials(3, 1, "gradients", 5, 1)) for _ in range(2))
    assert one == again
    other = _without_time(run_trials(3, 1, "gradients", 6, 1))
    assert any(here.experiment != there.experiment for here, there in zip(one, other, strict=True))


def test_pairs_are_drawn_by_the_seed():
    def drawn(seed):
        random = np.random.default_rng(seed)
        return Workbench(likely_experiment(random), "gradients").plant(2, random)

    assert drawn(5) == drawn(5) != drawn(6)


def test_in_parallel_they_are_the_same():
    assert _without_time(run_trials(3, 1, "weights", 5, 2)) == _without_time(run_trials(3, 1, "weights", 5, 1))


LOSS, WEIGHT = Key("loss", "loss"), Key("update", "dense/kernel")


def _told(loss, weight):
    arrays = {LOSS: np.array(loss), WEIGHT: np.array(weight)}
    return Evidence((Records(1, arrays, {}),), "float64")


PLAIN = _told([0.0, math.nan], [1.0, 2.0])


@pytest.mark.parametrize(
    ("loss", "weight", "places"),
    [
        ([-0.0, math.nan], [1.0, 2.0], []),
        ([0.0, 1.0], [3.0, 2.0], [WEIGHT]),  # a step before the NaN
        ([0.0, 1.0], [1.0, 2.0], [LOSS]),
        ([0.0, 1.0], [1.0, 3.0], [LOSS, WEIGHT]),
        ([1e-300, math.nan], [1.0, 2.0], [LOSS]),  # all of a tensor that was 0
        ([0.0, math.nan], [1.0 + 0.9e-12, 2.0], []),
        ([0.0, math.nan], [1.0 + 1.1e-12, 2.0], [WEIGHT]),
    ],
)
def test_a_mistake_shows_in_the_first_step_in_which_another_number_is_told(loss, weight, places):
    assert outside._first_changed(PLAIN, _told(loss, weight), [LOSS, WEIGHT]) == places


def test_a_change_counts_beside_the_largest_element_of_its_step():
    one, other = ([{WEIGHT: np.array([[[1e3, 1.0]], [[1.0, 1.0]]]) + d}] for d in (0.0, 1e-11))
    assert trials.changed(one, other, [WEIGHT])[WEIGHT].tolist() == [False, True]


@pytest.mark.parametrize(("weight", "right"), [(1e-14, None), (0.1, True)])
def test_a_mistake_too_small_to_be_seen_where_it_is_made_is_looked_for_in_another_run(weight, right):
    """The gradient of the upper kernel is that weight in the first step: if small, adding it says nothing."""
    first = {"class_name": "Constant", "value": weight}
    experiment = {
        "data": {"source": "arrays", "x": [[1.0]] * 3, "y": [[1.0]] * 3},
        "layers": [
            {"units": 1, "use_bias": False, "kernel_initializer": first},
            {"units": 1, "use_bias": False, "kernel_initializer": "ones"},
        ],
        "loss": "MeanSquaredError",
        "optimizer": {"class_name": "SGD", "learning_rate": 0.1},
        "batch_size": 1,
        "steps": 3,
    }
    trial = outside._trial(Workbench(validate(experiment), "gradients"), "accumulated")
    assert (trial and trial.right) is right


def test_every_mistake_outside_the_catalogue_has_its_turn(monkeypatch):
    made = []
    monkeypatch.setattr(outside, "run_defect", lambda defect, level, seed: made.append((defect, level, seed)))
    names = list(load_side(outside.DEFECTIVE).side.defects())
    for seed in (1, 1, 2):
        list(run_outside(2 * len(names), "weights", seed, 1))
    first, again, other = (made[start : start + 2 * len(names)] for start in range(0, len(made), 2 * len(names)))
    assert first == again != other
    assert sorted(defect for defect, _, _ in first) == sorted(2 * names)
    assert sorted(defect for defect, _, _ in first[: len(names)]) == sorted(names)


def test_what_is_planted_shows_and_each_of_it_is_of_another_convention():
    for trial in run_trials(2, 3, "everything", 13, 1):
        assert trial.shows
        assert len({code for code, _ in trial.planted}) == len(trial.planted) == 3


def test_what_can_not_show_is_said_not_to():
    """What a loss is printed as is in no weight."""
    trial = run_trial(frozenset({("report.when", "after_update")}), 1, "weights", (1,))
    assert (trial.shows, trial.detected, trial.named) == (False, False, ())


def test_null_trials_are_silent():
    for trial in run_trials(4, 0, "everything", 2, 1):
        assert (trial.shows, trial.detected, trial.named) == (True, False, ())


def test_likely_experiments_differ_and_end_on_a_smaller_batch_mostly():
    random = np.random.default_rng(0)
    found = [likely_experiment(random) for _ in range(60)]
    assert {experiment.optimizer.class_name for experiment in found} == {"SGD", "Adam", "RMSprop"}
    assert len({experiment.model_dump_json() for experiment in found}) == len(found)
    smaller = [experiment for experiment in found if experiment.data.samples % experiment.batch_size]
    assert len(smaller) > len(found) / 2
    assert {experiment.steps for experiment in found} <= set(range(4, 11))


RARE = [
    ("init.normal", "plain"),
    ("init.fan", "swapped"),
    ("loss.clip", "1e-8"),
    ("loss.clip", "added"),
    ("loss.clip", "none"),
    ("loss.probabilities", "as_given"),
    ("loss.soft_labels", "fused"),
]


@pytest.mark.parametrize("choice", RARE, ids=str)
def test_what_shows_in_few_runs_only_is_put_to_the_test_as_well(choice):
    trial = run_trial(frozenset([choice]), 1, "everything", (3,))
    assert (trial.shows, trial.detected, trial.right, trial.wrong) == (True, True, True, False)


def test_the_seed_says_in_which_order_each_choice_has_its_turn(monkeypatch):
    monkeypatch.setattr(trials, "run_trial", lambda wanted, *_: wanted)
    first, again, other = (list(run_trials(9, 1, "everything", seed, 1)) for seed in (1, 1, 2))
    assert first == again != other


def test_a_trial_is_repeated_from_its_experiment():
    (trial,) = run_trials(1, 2, "weights", 3, 1)
    again = Workbench(validate(json.loads(trial.experiment)), "weights")
    assert again.shows_all(trial.planted)
    search = Search(again.stand_in, again.told(trial.planted))
    assert all(search.prove(named).explains for named in trial.named)


# A sum of activity penalties beside kernels divided once more is a loss divided twice, where no bias moves: whoever
# tells no more than weights computes the same in every experiment.
DIVIDED = frozenset({("activity.batch", "sum"), ("gradient.bias", "missing"), ("gradient.kernel", "mean")})
TWICE = frozenset({("gradient.bias", "missing"), ("loss.batch", "mean_twice")})
RATE = frozenset({("gradient.bias", "missing"), ("learning_rate.scale", "over_batch")})


@pytest.mark.parametrize(
    ("named", "level", "same"),
    [(TWICE, "weights", True), (TWICE, "gradients", False), (RATE, "weights", False), (DIVIDED, "gradients", True)],
)
def test_what_is_the_same_in_every_experiment_is_the_same_in_other_words(named, level, same):
    trial = Trial((0,), DIVIDED, level, detected=True, named=(named,))
    assert in_other_words(trial, np.random.default_rng(0)) is same


def test_what_cannot_be_tried_elsewhere_is_not_taken_for_the_same(monkeypatch):
    monkeypatch.setattr(trials, "TRIES", 2)  # fewer experiments than must show it
    trial = Trial((0,), DIVIDED, "weights", detected=True, named=(DIVIDED,))
    assert not in_other_words(trial, np.random.default_rng(0))


def test_a_name_that_only_this_run_cannot_tell_is_wrong(monkeypatch):
    """The search finds another set; that it is not told beside what was planted is not excused by this run."""
    other = frozenset({("learning_rate.scale", "double")})
    monkeypatch.setattr(trials, "readings", lambda *_: [other])
    trial = run_trial(frozenset({("loss.factor", "double")}), 1, "weights", (1,))
    assert trial.named == (other,)
    assert (trial.right, trial.in_other_words, trial.wrong) == (False, False, True)


def test_each_choice_is_planted_alone(monkeypatch):
    monkeypatch.setattr(trials, "run_trial", lambda wanted, *_: wanted)
    choices = trials.all_choices()
    planted = list(run_trials(len(choices), 1, "everything", 0, 1))
    assert sorted(map(sorted, planted)) == sorted([choice] for choice in choices)


@pytest.mark.parametrize("level", ["everything", "weights"])
def test_what_is_drawn_and_what_is_computed_are_named_together(level):
    planted = frozenset([("init.normal", "plain"), ("l2.penalty", "half")])
    trial = run_trial(planted, 2, level, (5,))
    assert trial.shows
    assert planted in trial.named


def test_other_initial_weights_that_nobody_drew_are_no_cause():
    """The planted network draws Keras' weights: nothing of it is named."""
    bench = Workbench(likely_experiment(np.random.default_rng(3)), "everything")
    assert not bench.shows(frozenset([("l2.penalty", "whole")]), frozenset())
    with_init = frozenset([("init.fan", "swapped")])
    assert bench.shows(with_init, frozenset()) == any(
        not np.array_equal(array, bench.drawn(frozenset())[name]) for name, array in bench.drawn(with_init).items()
    )


def test_two_that_undo_each_other_are_not_planted():
    """Half the loss at twice the rate beside a decay that has no rate in it: no weight can tell."""
    planted = frozenset([("l2.decay", "unscaled"), ("learning_rate.scale", "double"), ("loss.factor", "half")])
    bench = Workbench(validate(TABLE), "weights")
    assert all(bench.shows(planted, planted - {one}) for one in planted)
    assert bench.trial(planted, 3, np.random.default_rng(0)) is None


def test_what_nothing_that_is_told_shows_by_step_two_is_not_seen_late():
    """Two batches of zeros leave the kernel as it is: only the loss, which this candidate does not tell, is doubled."""
    x = [[0.0], [0.0], [1.0], [1.0]]
    experiment = {
        "data": {"source": "arrays", "x": x, "y": [[1.0]] * 4},
        "layers": [{"units": 1, "use_bias": False}],
        "loss": "MeanSquaredError",
        "optimizer": {"class_name": "SGD", "learning_rate": 0.1},
        "batch_size": 1,
        "steps": 4,
    }
    trial = Workbench(validate(experiment), "weights").trial(DOUBLED, 1, np.random.default_rng(0))
    assert trial is not None
    assert trial.detected
    assert DOUBLED in trial.named


def test_what_is_told_and_called_rounding_until_later_was_not_detected(monkeypatch):
    bench = Workbench(validate(TABLE), "weights")
    search = Search(bench.stand_in, bench.told(DOUBLED))
    monkeypatch.setattr(Tried, "explains", True)
    assert not trials._seen_early(search, DOUBLED, "weights")


@pytest.mark.parametrize(("times", "asked"), [(2.0, False), (0.5, True)])
def test_a_change_below_the_resolution_is_not_asked_for_by_step_two(monkeypatch, times, asked):
    """Taken for rounding by the search, whatever it is: what was asked for is told by the figure alone."""
    bench = Workbench(validate(TABLE), "weights")
    search = Search(bench.stand_in, bench.told(DOUBLED))
    monkeypatch.setattr(Tried, "explains", True)
    (clean,), (made,) = (bench.stand_in.take(search.evidence.first(2), dict(some)) for some in (frozenset(), DOUBLED))
    share = max(
        float((np.abs(made[key] - array).reshape(2, -1).max(axis=1) / np.abs(array).reshape(2, -1).max(axis=1)).max())
        for key, array in clean.items()
        if tells("weights", key)
    )
    monkeypatch.setattr(trials, "RESOLUTION", times * share)
    assert trials._seen_early(search, DOUBLED, "weights") is not asked


def test_whoever_stops_asking_does_not_wait_for_trials_under_way():
    """As on Ctrl-C, which the processes that make the trials do not hear of."""
    found = trials.in_parallel(time.sleep, [(0.0,), *[(600.0,)] * 3], jobs=2)
    assert next(found) is None
    workers = multiprocessing.active_children()
    assert len(workers) == 2
    for worker in workers:
        os.kill(worker.pid, signal.SIGINT)
    assert all(worker.is_alive() for worker in workers)
    found.close()
    assert not any(worker.is_alive() for worker in workers)
