"""The short answer: what a run prints is the same, whether everything was measured or what is shown alone."""

from __future__ import annotations

import dataclasses
import io
import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from parity import lockstep
from parity.config import validate
from parity.data import load_dataset
from parity.held import FIRST_SHOWN, Asked, Shown, within
from parity.judge import Judge
from parity.ledger import Ledger
from parity.lockstep import draw_weights, start_weights
from parity.measure import measure, sizes, used_of_each
from parity.protocol import Key
from parity.report import measures_for, parse_targets, terminal
from parity.run import diff
from parity.sides import LoadedSide, load_side
from parity.verdict import Verdict

KEY = Key("update", "dense/kernel")
OTHER = Key("loss", "loss")


def experiment(**changes):
    return validate(
        {
            "name": "held",
            "data": {"source": "regression", "features": 3, "samples": 24},
            "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": "l2"}, {"units": 1}],
            "loss": "mse",
            "optimizer": "adam",
            "batch_size": 4,
            "steps": 15,
            **changes,
        }
    )


def later(step, change, *, replayed=False):
    """A network whose own run, or what it replays, is changed from a step on."""
    side = load_side("scratch").side
    taken = itertools.count()

    class Changed(type(side)):
        def steps(self, x, y):
            said = super().steps(x, y)
            at = step - 1 - next(taken) * 4
            if not replayed and at < len(x):
                change(said["weights"]["dense/kernel"][max(at, 0) :])
            return said

        def replay(self, reference):
            said = super().replay(reference)
            at = step - reference.first_step
            if replayed and at < len(reference):
                change(said["weights"]["dense/kernel"][max(at, 0) :])
            return said

    return LoadedSide("later", Changed())


class Alone:
    """A candidate that only trains."""

    def start(self, experiment, weights):
        self.side = load_side("scratch").side
        self.side.start(experiment, weights)

    def step(self, x, y):
        return self.side.step(x, y)["loss"]

    def weights(self):
        return self.side.weights()


def telling():
    """A candidate that tells everything and cannot be asked again: it is audited."""
    side = load_side("scratch").side
    return LoadedSide("telling", SimpleNamespace(start=side.start, steps=side.steps, weights=side.weights))


def add(array):
    array += 1e-3


def spoil(array):
    array[..., 0, 0] = np.nan


CANDIDATES = {
    "equal": lambda: "scratch",
    "another convention": lambda: "scratch[l2.penalty=half]",
    "its own run, in the middle of a chunk": lambda: later(7, add),
    "its own run, where a chunk ends": lambda: later(8, add),
    "what it replays": lambda: later(10, add, replayed=True),
    "a NaN of its own": lambda: later(14, spoil),
    "the last step": lambda: later(15, add, replayed=True),
    "one that only trains": lambda: Alone,
    "one that tells all and cannot be asked again": telling,
}
EXPERIMENTS = {
    "usual": {},
    "one step": {"steps": 1},
    "steps that are shown in any case": {"steps": 3},
    "float32": {"precision": "float32"},
    "integer targets": {
        "data": {"source": "classification", "features": 3, "classes": 4, "samples": 24},
        "layers": [{"units": 4, "activation": "softmax"}],
        "loss": "sparse_categorical_crossentropy",
        "metrics": ["accuracy"],
    },
    "overflow": {"layers": [{"units": 4}, {"units": 1}], "optimizer": {"class_name": "SGD", "learning_rate": 1e3}},
    "a tolerance": {"tolerance": [{"rtol": 1e-6, "atol": 1e-9}]},
}


def printed(result):
    """The whole report, but for how long it took."""
    stream = io.StringIO()
    terminal.write(dataclasses.replace(result, timings=dict.fromkeys(result.timings, 0.0)), stream)
    return stream.getvalue()


def both(candidate, described, monkeypatch, **options):
    """With all measures, and with those that are shown."""
    monkeypatch.setattr(lockstep, "CHUNK_STEPS", 4)
    return [
        diff(described, reference="scratch", candidate=candidate(), explain=False, measures=measures, **options)
        for measures in ("all", "shown")
    ]


def same(one, other):
    """Whether two results print the same, and found the same."""
    assert printed(one) == printed(other)
    for run, shown in zip(one.runs, other.runs, strict=True):
        assert repr((run.verdict, run.first, run.judge.steps)) == repr((shown.verdict, shown.first, shown.judge.steps))
        assert (run.judge.nonfinite, run.judge.judged) == (shown.judge.nonfinite, shown.judge.judged)
        assert run.judge.not_compared == shown.judge.not_compared
        assert list(run.summaries) == list(shown.summaries)
        for summary, short in zip(run.summaries.values(), shown.summaries.values(), strict=True):
            used = summary.used, summary.used_step, summary.beyond, summary.first_beyond, summary.steps
            assert repr(used) == repr((short.used, short.used_step, short.beyond, short.first_beyond, short.steps))
        if run.first is not None:
            assert run.last_bits == shown.last_bits


@pytest.mark.parametrize("candidate", CANDIDATES)
def test_what_is_printed_of_a_candidate_is_the_same(candidate, monkeypatch):
    same(*both(CANDIDATES[candidate], experiment(), monkeypatch))


@pytest.mark.parametrize("described", EXPERIMENTS)
def test_what_is_printed_of_an_experiment_is_the_same(described, monkeypatch):
    same(*both(CANDIDATES["equal"], experiment(**EXPERIMENTS[described]), monkeypatch))


@pytest.mark.parametrize("options", [{"lanes": ("local",)}, {"lanes": ("free",)}, {"envelope": True}])
def test_what_is_printed_of_a_lane_is_the_same(options, monkeypatch):
    same(*both(CANDIDATES["equal"], experiment(), monkeypatch, **options))


def test_one_that_is_interrupted_prints_its_last_step(monkeypatch):
    def stopping():
        side = later(1, lambda _: None)
        steps, taken = side.side.steps, itertools.count()

        def until(x, y):
            if next(taken) == 2:
                raise KeyboardInterrupt
            return steps(x, y)

        side.side.steps = until
        return side

    one, other = both(stopping, experiment(precision="float64"), monkeypatch)
    assert one.interrupted
    assert one.steps_compared == 8
    same(one, other)
    assert {int(step) for step in other.frame["step"]} >= {1, 2, 3, 8}


def test_measured_is_what_is_shown(monkeypatch):
    everything, shown = both(CANDIDATES["equal"], experiment(precision="float64"), monkeypatch)
    table = shown.frame[shown.frame["step"] > 0]
    assert set(table["step"]) == {*range(1, FIRST_SHOWN + 1), 15}
    assert set(table["lane"]) == {"free"}
    columns = ["step", "phase", "tensor", "part", "lane"]
    whole = everything.frame.set_index(columns).loc[table.set_index(columns).index].reset_index()
    assert whole.drop(columns=["used"]).equals(table.reset_index(drop=True)[whole.columns].drop(columns=["used"]))
    assert len(everything.frame) > 3 * len(shown.frame)


def test_what_was_not_measured_is_not_said_to_be_equal(monkeypatch):
    _, shown = both(CANDIDATES["equal"], experiment(precision="float64"), monkeypatch)
    assert all(np.isnan(summary.absolute) for summary in shown.runs[0].summaries.values() if summary.steps > 1)


@pytest.mark.parametrize("form", ["json", "csv", "html", "parquet"])
def test_a_report_that_tells_measures_needs_them_all(form, tmp_path):
    targets = parse_targets(["terminal=-", f"{form}={tmp_path / 'report'}"])
    assert measures_for(targets) == "all"
    assert measures_for(targets[:1]) == measures_for([]) == "shown"


def asked(reference, candidate, budget, key=KEY, lane="local"):
    return Asked(key, lane, 1, np.asarray(reference), np.asarray(candidate), budget)


ONES = np.ones((3, 2))
NEAR = np.array([[1, 1], [1.001, 1], [1, 1.002]])


def test_within_tells_what_each_step_uses():
    (used,) = within([asked(ONES, NEAR, 1e-2)])
    assert np.array_equal(used, measure(ONES, NEAR, 1e-2)["used"]["value"])
    assert within([asked(ONES, NEAR, 1e-2), asked(ONES, NEAR, None, lane="free")])[1] is None


@pytest.mark.parametrize("which", [[0], [3, 4], [0, 2, 4], [1, 2, 3, 4], [0, 1, 2, 3, 4], [1, 4]])
@pytest.mark.parametrize("block", [1, 4, 6, 100])
@pytest.mark.parametrize("scale", [1.0, 0.0])
def test_what_is_used_is_what_is_measured(which, block, scale, monkeypatch):
    """To the last bit, whichever steps differ, and however much is looked at at once."""
    monkeypatch.setattr(sizes, "BLOCK", block)
    random = np.random.default_rng(block)
    reference, budget = random.normal(size=(5, 3)), np.float32(random.uniform(1, 2, (5, 3)))
    candidate = reference.copy()
    candidate[which] -= scale * random.uniform(-0.9, 0.9, (len(which), 3))
    for allowed in (budget, lambda rows: budget[rows], 5.0, np.where(candidate == reference, 0, budget)):
        wanted = measure(reference, candidate, allowed)["used"]["value"]
        assert np.array_equal(used_of_each(reference, candidate, allowed), wanted)
    for more in (1.5, 2.5):
        candidate[which[-1], 2] = reference[which[-1], 2] - more * budget[which[-1], 2]
        assert used_of_each(reference, candidate, budget) is None
    candidate[which[-1], 2] = reference[which[-1], 2] - 1
    assert used_of_each(reference, candidate, 1.0 + 1e-12)[which[-1]] == pytest.approx(1)


def test_all_of_a_budget_may_be_used():
    assert used_of_each(np.zeros((1, 1)), np.ones((1, 1)), 1.0).tolist() == [1]


@pytest.mark.parametrize(
    "off",
    [
        asked(ONES, NEAR, 1e-3),
        asked(ONES, NEAR, lambda _: None),
        asked(ONES, ONES[:, :1], 1.0),
        asked(ONES, ONES.astype("float32"), 1.0),
        asked([[np.nan]], [[np.nan]], 1.0),
        asked([[1.0, np.inf]], [[1.0, np.inf]], None),
        asked([[1.0]], [[np.inf]], 1.0),
    ],
)
def test_within_leaves_to_others_what_has_to_be_measured(off):
    assert within([asked(ONES, ONES, 0.0, OTHER), off]) is None


def test_of_a_run_alone_the_reference_has_to_be_finite():
    nowhere = asked([[np.nan]], [[1.0]], None, lane="free")
    assert within([nowhere]) is None
    assert within([asked([[1.0]], [[np.nan]], None, lane="free")]) == [None]


def test_shown_are_copies():
    ledger, shown, array = Ledger(), Shown(), np.ones((5, 2))
    shown.take([dataclasses.replace(asked(array, array, None, lane="free"), first_step=4)], ledger)
    assert ledger.length == 0
    array[...] = np.nan
    shown.finish(ledger)
    shown.finish(ledger)
    assert [entries["step"].tolist() for entries in ledger] == [[8]]
    assert [float(entries["measures"]["nonfinite_both"][0]) for entries in ledger] == [0]


@pytest.mark.parametrize(("first", "steps", "wanted"), [(1, 3, [1, 2, 3]), (1, 5, [1, 2, 3, 5]), (2, 3, [2, 3, 4])])
def test_no_step_is_shown_twice(first, steps, wanted):
    ledger, shown, array = Ledger(), Shown(), np.ones((steps, 2))
    shown.take([dataclasses.replace(asked(array, array, None, lane="free"), first_step=first)], ledger)
    shown.finish(ledger)
    assert [step for entries in ledger for step in entries["step"].tolist()] == wanted


def test_steps_that_are_not_numbered_as_they_are_counted_are_all_measured():
    """A table shows the step by whose number they were counted: in a recording without its first steps, any."""
    described = experiment(precision="float64", steps=4)
    sides = load_side("scratch"), load_side("scratch")
    dataset = load_dataset(described).astype("float64")
    weights = start_weights(described, [draw_weights(sides[0], described, 3, "float64")], 3, "float64")
    (pair,) = lockstep.lockstep(described, *sides, dataset, weights, ("local", "free"))
    judge = Judge(described, "float64", measures="shown")
    judge.take(dataclasses.replace(pair, reference=dataclasses.replace(pair.reference, first_step=5)))
    assert {entry for entries in judge.ledger for entry in entries["step"].tolist()} == {5, 6, 7, 8}


def test_a_verdict_needs_no_measures(monkeypatch):
    one, other = both(CANDIDATES["what it replays"], experiment(precision="float64"), monkeypatch)
    assert one.verdict is other.verdict is Verdict.DIVERGED
    assert one.first_divergence == other.first_divergence
