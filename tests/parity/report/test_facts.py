"""Words and figures of a result, by themselves."""

from __future__ import annotations

import math

import pytest

from parity.config import validate
from parity.gate.text import _short
from parity.report import facts
from parity.run import diff


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (12.3, "12 × budget"),
        (530.0, "530 × budget"),
        (28_700.0, "29000 × budget"),
        (1.37e6, "1.4e+06 × budget"),
        (6.4e16, "6.4e+16 × budget"),
        (6.4e304, "more than 1e+20 × budget"),
        (math.inf, "must be equal"),
        (0.04, "4 % of budget"),
        (1e-9, "1e-07 % of budget"),
        (0.994, "99 % of budget"),
        (0.9961, "99.6 % of budget"),
        (0.99996, "99.996 % of budget"),
        (1.0, "100 % of budget"),
        (1.00004, "100.004 % of budget"),
        (1.2, "120 % of budget"),
    ],
)
def test_how_far_beyond_is_counted_as_long_as_it_says_something(used, said):
    assert facts.percent(used) == said


def test_a_little_more_than_the_budget_is_not_all_of_it():
    assert [facts.times(used) for used in (1.0, 1.0004, 1.26)] == ["1 ×", "1.0004 ×", "1.3 ×"]


@pytest.mark.parametrize("used", [math.nextafter(1, 0), math.nextafter(1, 2)])
def test_nothing_but_the_end_of_a_budget_is_told_as_that(used):
    assert facts.times(used) != "1 ×"


def test_one_is_not_many():
    assert [facts.counted(count, "tensor") for count in (0, 1, 2)] == ["0 tensors", "1 tensor", "2 tensors"]


def test_a_command_to_copy_is_not_cut():
    command = f"parity gate cases/{'mycase' * 30} --update"
    for words in ("the baseline is stale", "the baseline is stale: " + "its experiment is another, " * 20):
        said = _short(f"{words}; to record it again: {command}")
        assert said.endswith(f": {command}")
        assert len(said) <= 150 + len(f": {command}")
    assert _short("word " * 100).endswith("…")
    assert len(_short("word " * 100)) == 150


def test_an_interruption_after_a_divergence_says_that_causes_were_not_sought():
    def stop(_, done, __):
        if done >= 2:
            raise KeyboardInterrupt

    experiment = validate(
        {
            "data": {"source": "regression", "features": 2},
            "layers": [{"units": 1, "kernel_regularizer": {"l2": 0.1}}],
            "loss": "mse",
            "optimizer": "sgd",
            "epochs": 3,
            "precision": "float64",
        }
    )
    for candidate, expected in (("scratch[l2.penalty=half]", True), ("scratch", False)):
        result = diff(experiment, reference="scratch", candidate=candidate, progress=stop)
        assert result.interrupted
        said = [text for label, text in facts.subject(result) if label == "note"]
        assert any("causes were not sought" in text for text in said) == expected
