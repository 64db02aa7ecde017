"""A choice that is a number multiplies what the choice of that name multiplies."""

from __future__ import annotations

import pytest

from parity.conventions.entries import is_factor
from scratch_net.conventions import CHOICES, FACTORS, KERAS_CHOICE, check
from scratch_net.conventions.factors import factor_of
from tests.scratch_net.conventions.networks import NETWORKS, steps

NAMED = {"half": "0.5", "double": "2"}
BOTH = [(code, name, number) for code in FACTORS for name, number in NAMED.items() if name in CHOICES[code]]


def told(name, code, choice):
    return [records.arrays for records in steps(name, {code: choice})[0]]


@pytest.mark.parametrize(("code", "choice", "number"), BOTH)
@pytest.mark.parametrize("name", NETWORKS)
def test_a_number_that_has_a_name_is_the_same_choice(name, code, choice, number):
    for ours, theirs in zip(told(name, code, number), told(name, code, choice), strict=True):
        assert {key: array.tobytes() for key, array in ours.items()} == {
            key: array.tobytes() for key, array in theirs.items()
        }


@pytest.mark.parametrize("code", [code for code in FACTORS if KERAS_CHOICE[code] != "none"])
def test_one_time_is_keras_choice(code):
    for name in NETWORKS:
        for ours, theirs in zip(told(name, code, "1"), [one.arrays for one in steps(name, {})[0]], strict=True):
            assert all(array.tobytes() == theirs[key].tobytes() for key, array in ours.items())


@pytest.mark.parametrize(
    ("text", "number"), [("3", 3.0), ("0.037", 0.037), ("1/3", 1 / 3), ("-1", -1.0), ("2e-3", 0.002)]
)
def test_what_is_a_number(text, number):
    assert factor_of(text) == number
    assert is_factor(text)
    check({"loss.factor": text})


@pytest.mark.parametrize("text", ["0", "nan", "inf", "-inf", "1/0", "third", "", "3x", "1e999", "1e999999999"])
def test_what_is_none(text):
    with pytest.raises(ValueError, match=r"loss\.factor has no choice .* and any number, for example 3 or 1/3"):
        check({"loss.factor": text})
    assert not is_factor(text)
    with pytest.raises(ValueError, match="a finite number other than 0"):
        factor_of(text)


def test_only_a_factor_may_be_any_number():
    with pytest.raises(ValueError, match=r"loss\.batch has no choice '3'; there are mean, sum, mean_twice$"):
        check({"loss.batch": "3"})
