"""Words and figures of a result, by themselves."""

from __future__ import annotations

import math

import pytest

from parity.gate.text import _short
from parity.report import facts


@pytest.mark.parametrize(
    ("used", "said"),
    [
        (12.3, "12 × budget"),
        (6.4e16, "6.4e+16 × budget"),
        (6.4e304, "more than 1e+20 × budget"),
        (math.inf, "must be equal"),
        (0.04, "4 % of budget"),
    ],
)
def test_how_far_beyond_is_counted_as_long_as_it_says_something(used, said):
    assert facts.percent(used) == said


def test_one_is_not_many():
    assert [facts.counted(count, "tensor") for count in (0, 1, 2)] == ["0 tensors", "1 tensor", "2 tensors"]


def test_a_command_to_copy_is_not_cut():
    command = f"parity gate cases/{'mycase' * 30} --update"
    for words in ("the baseline is stale", "the baseline is stale: " + "its experiment is another, " * 20):
        said = _short(f"{words}; to record it again: {command}")
        assert said.endswith(f": {command}")
        assert len(said) < 150 + len(command)
    assert _short("word " * 100).endswith("…")
    assert len(_short("word " * 100)) == 150
