"""Fixed tolerances as they are written: in the experiment and on the command line."""

from __future__ import annotations

from typing import get_args

import pytest

from parity.config import ConfigError, validate
from parity.config.tolerances import Tolerance, from_options
from parity.errors import UsageError
from parity.protocol import Part, Phase

SMALL = {"data": {"source": "digits"}, "layers": [{"units": 10}], "loss": "mse", "optimizer": "sgd"}
NO_TOLERANCE = ["nan", "inf", "-inf", "-1", "-1e-300"]


@pytest.mark.parametrize("number", NO_TOLERANCE)
@pytest.mark.parametrize("name", ["rtol", "atol", "ulp"])
def test_a_number_that_is_no_tolerance_is_refused(name, number):
    rule = {name: float(number)} | ({} if name == "ulp" else {"rtol" if name == "atol" else "atol": 0.0})
    with pytest.raises(ConfigError, match=rf"tolerance\.0\.{name}: received {number}"):
        validate({**SMALL, "tolerance": [rule]})
    options = {key: [str(value)] for key, value in rule.items()}
    with pytest.raises(ConfigError, match=rf"{name}: received {number}"):
        from_options(*(options.get(key, []) for key in ("rtol", "atol", "ulp")))


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"rtol": 1e-5}, "rtol is given and atol is not; give both"),
        ({"atol": 1e-5}, "atol is given and rtol is not; give both"),
        ({"rtol": 1e-5, "atol": 0, "ulp": 1}, "give the pair or ulp"),
        ({}, "no tolerance is given"),
        ({"ulp": 1, "tensor": ""}, "tensor: received ''"),
        ({"ulp": 1, "phase": "updates"}, "did you mean 'update'"),
        ({"ulp": 1, "part": "half"}, "allowed: whole, data, penalty"),
        ({"ulps": 1}, "did you mean 'ulp'"),
    ],
)
def test_a_rule_that_says_nothing_or_too_much_is_refused(rule, said):
    with pytest.raises(ConfigError, match=said):
        validate({**SMALL, "tolerance": [rule]})


def test_phases_and_parts_are_those_of_the_protocol():
    words = {name: get_args(get_args(Tolerance.model_fields[name].annotation)[0]) for name in ("phase", "part")}
    assert words["phase"] == get_args(Phase)
    assert set(words["part"]) == set(get_args(Part))


def test_options_become_rules_with_patterns_last():
    rules = from_options(["dense/*=1e-5", "1e-3"], ["0", "dense/*=1e-8"], ["*/bias=2"])
    assert rules == (
        Tolerance(rtol=1e-3, atol=0),
        Tolerance(tensor="dense/*", rtol=1e-5, atol=1e-8),
        Tolerance(tensor="*/bias", ulp=2),
    )
    assert from_options([], [], []) == ()


@pytest.mark.parametrize(
    ("rtol", "said"), [(["much"], "expected a number"), (["1", "2"], "give it once"), (["a=1", "a=1"], "give it once")]
)
def test_options_that_are_no_rules(rtol, said):
    with pytest.raises(UsageError, match=said):
        from_options(rtol, ["0"], [])
