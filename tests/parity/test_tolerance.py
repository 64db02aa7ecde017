"""Fixed tolerances at work: what they allow, what they leave alone, and what would have been enough."""

from __future__ import annotations

import dataclasses
import math
import re

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from parity.config import validate
from parity.config.tolerances import Tolerance
from parity.errors import UsageError
from parity.measure import Largest, largest, measure
from parity.protocol import Key
from parity.report import as_json, facts, steps, worth
from parity.report.meaning import meaning
from parity.run import diff
from parity.tolerance import Needed, Tolerances
from parity.verdict import Verdict

TABLE = {
    "data": {"source": "regression", "features": 3, "samples": 16},
    "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}}, {"units": 1}],
    "loss": "mse",
    "optimizer": "adam",
    "batch_size": 4,
    "steps": 6,
    "precision": "float64",
}
HALF = "scratch[l2.penalty=half]"
KEY = Key("gradient", "dense/kernel", "penalty")


def run(*rules: dict, candidate: str = HALF, **settings):
    return diff(validate({**TABLE, "tolerance": rules, **settings}), reference="scratch", candidate=candidate)


def rules_of(*rules: dict) -> Tolerances:
    return Tolerances(validate({**TABLE, "tolerance": rules}))


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_what_a_tolerance_lets_pass_is_no_share_of_a_budget_and_no_rounding(precision):
    """The loss is off by a sixth: that figure is the same on every machine."""
    rule = {"rtol": 1.0, "atol": 1.0}
    half, same = (run(rule, candidate=side, precision=precision) for side in (HALF, "scratch"))
    (line, *_), (null, *_) = (dict(facts.runs(result)).values() for result in (half, same))
    assert half.verdict is Verdict.PARITY
    assert re.fullmatch(r"PARITY: at most [0-9.]+ % of the tolerance", line)
    assert null == "PARITY: equal to the last bit"
    figures = {row.key: row.local for row in steps.table(half.runs[0]).rows}
    assert not figures[KEY].rounding
    assert "budget" not in line + meaning(half)


NUMBERS = st.floats(-8, 8, width=32) | st.sampled_from([0.0, 1e-20, -1e-20])


@given(st.sampled_from(["float32", "float64"]), st.data())
def test_the_smallest_tolerance_passes_and_a_smaller_one_does_not(dtype, data):
    r, c = (data.draw(hnp.arrays(dtype, (2, 5), elements=NUMBERS)) for _ in "rc")
    needed = Needed()
    needed.take(largest(measure(r, c)), dtype)
    eps = float(np.finfo(dtype).eps)
    for name, value in vars(needed).items():
        if not 0 < value < math.inf:
            continue
        for much, passes in ((value, True), (value * (1 - 20 * eps), False)):  # the margin of 16 roundings and a few
            rule = {"ulp": much} if name == "ulp" else {"rtol": 0.0, "atol": 0.0} | {name: much}
            used = measure(r, c, rules_of(rule).allowed(KEY, r, None))["used"]["value"]
            assert (used <= 1).all() == passes, (name, value)


@given(st.floats(0, 1e3), st.floats(0, 1e3), hnp.arrays("float64", (1, 4), elements=NUMBERS))
def test_a_rule_allows_what_it_says(rtol, atol, r):
    rows = np.array([0])
    np.testing.assert_array_equal(
        rules_of({"rtol": rtol, "atol": atol}).allowed(KEY, r, None)(rows), atol + rtol * np.abs(r)
    )
    np.testing.assert_array_equal(rules_of({"ulp": rtol}).allowed(KEY, r, None)(rows), rtol * np.spacing(np.abs(r)))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_no_tolerance_allows_for_what_is_not_finite(bad):
    r = np.array([[1.0, bad]])
    for rule in ({"rtol": 1e300, "atol": 1e300}, {"ulp": 1e300}):
        allowed = rules_of(rule).allowed(KEY, r, None)
        assert measure(r, np.zeros((1, 2)), allowed)["used"]["value"] == math.inf
        assert measure(np.zeros((1, 2)), r, allowed)["used"]["value"] == math.inf


def test_later_rules_win_and_a_rule_may_name_phase_and_part():
    rules = rules_of(
        {"ulp": 1},
        {"ulp": 2, "tensor": "dense*/kernel"},
        {"ulp": 3, "phase": "gradient", "part": "penalty"},
    )
    found = {
        Key("forward", "dense/output"): 1,
        Key("update", "dense_1/kernel"): 2,
        Key("update", "dense_1/kernel/momentum"): 1,
        KEY: 3,
        Key("loss", "dense/kernel", "penalty"): 2,
    }
    assert {key: rules.rule(key).ulp for key in found} == found
    assert rules_of().rule(KEY) is None


def test_what_has_no_rule_keeps_its_budget():
    derived = lambda _: np.ones(1)  # noqa: E731
    assert rules_of({"ulp": 1, "tensor": "loss"}).allowed(KEY, np.ones((1, 1)), derived) is derived


def test_a_rule_for_everything_leaves_exact_what_has_to_be():
    r = np.ones((1, 2))
    rows = np.array([0])
    derived = lambda _: np.array([[0.0, 1e-16]])  # noqa: E731
    assert rules_of({"rtol": 1, "atol": 0}).allowed(KEY, r, derived)(rows).tolist() == [[0, 1]]
    for named in ({"tensor": "dense/*"}, {"phase": "gradient"}):
        assert rules_of({"rtol": 1, "atol": 0, **named}).allowed(KEY, r, derived)(rows).tolist() == [[1, 1]]


def test_a_rule_for_everything_holds_where_there_is_no_budget():
    rules = rules_of({"rtol": 1, "atol": 0})
    for none in (None, lambda _: None):
        assert rules.allowed(KEY, np.ones((1, 2)), none)(np.array([0])).tolist() == [[1, 1]]


def test_a_rule_that_matches_what_was_compared_is_used_and_every_other_is_told():
    rules_of({"ulp": 1, "tensor": "*/kernel"}).check([KEY])
    with pytest.raises(UsageError) as told:
        rules_of({"ulp": 1, "tensor": "*/kernel"}, {"ulp": 2, "tensor": "a"}, {"ulp": 3, "tensor": "b"}).check([KEY])
    lines = str(told.value).splitlines()
    assert [line.partition(" for ")[2][0] for line in lines] == ["a", "b"]
    assert all(line.startswith("tolerance: the rule ulp ") for line in lines)


@pytest.mark.parametrize(
    ("rule", "told"),
    [
        ({"tensor": "kernels", "phase": "update"}, "; nearest: dense_3/kernel, dense_2/kernel, dense_1/kernel"),
        ({"tensor": "?", "phase": "update"}, "; nearest: dense/bias, dense_0/kernel, dense_1/kernel"),
        (
            {"tensor": "los", "phase": "metrics"},
            "; no tensor of that phase and part is compared at all; nearest: loss",
        ),
    ],
)
def test_what_an_unused_rule_may_have_meant(rule, told):
    """Three names at most: the nearest, or the first ones; of its own phase where that has any."""
    updates = ["dense/bias", *(f"dense_{number}/kernel" for number in range(4))]
    keys = [Key("loss", "loss"), Key("loss", "kernels_too"), *(Key("update", name) for name in updates)]
    with pytest.raises(UsageError, match=re.escape(f"matches nothing that is compared{told}") + "$"):
        rules_of({"ulp": 1, **rule}).check(keys)


@pytest.mark.parametrize(("precision", "u"), [("float32", 2.0**-24), ("float64", 2.0**-53)])
def test_the_smallest_tolerance_has_room_for_16_roundings_and_of_two_the_larger_is_needed(precision, u):
    needed = Needed()
    assert needed == Needed(0.0, 0.0, 0.0)
    needed.take(Largest(absolute=1.0, relative=2.0, ulp=3.0, used=math.nan), precision)
    margin = 1 + 16 * u
    assert needed == Needed(rtol=2 * margin, atol=margin, ulp=3 * margin)
    smaller = dataclasses.replace(needed)
    smaller.take(Largest(absolute=0.5, relative=0.5, ulp=0.5, used=math.nan), precision)
    assert smaller == needed
    assert Needed(1, 5, 3).then(Needed(4, 2, 6)) == Needed(4, 2, 6).then(Needed(1, 5, 3)) == Needed(4, 5, 6)


def test_a_rule_judges_in_both_lanes():
    """The half penalty passes once every tensor may differ by what it differs by; the budgets would not let it."""
    wide = {"rtol": 100, "atol": 1}
    result = run(wide)
    assert result.verdict is Verdict.PARITY
    assert run().verdict is Verdict.DIVERGED
    judged = {(s.lane, s.key) for s in result.runs[0].summaries.values() if s.used == s.used}
    assert ("free", Key("update", "dense/kernel")) in judged
    assert facts.headline(result).startswith("PARITY: every tensor agrees within the tolerance set for it")

    strict = {"rtol": 0, "atol": 1e-9, "phase": "forward"}
    found = run(wide, strict).first_divergence
    assert (found.step, found.lane, found.fixed) == (2, "free", True)
    assert str(found.key) == "forward dense/pre_activation"
    assert "rtol 0 + atol 1e-09 for forward *" in found.note
    assert facts.headline(run(wide, strict)) == "DIVERGED: there is a difference beyond the tolerance that was set"


def test_a_side_that_cannot_replay_can_be_judged_by_fixed_tolerances(tmp_path):
    (tmp_path / "net.py").write_text(
        "from scratch_net.adapter import ScratchSide\nclass Net(ScratchSide):\n    replay = None\n"
        "    def steps(self, x, y):\n        said = super().steps(x, y)\n"
        "        return {'loss': said['loss'], 'weights': said['weights']}\n"
    )
    side = f"{tmp_path}/net.py:Net"
    assert run(candidate=side).runs[0].envelope is not None
    result = run({"rtol": 0, "atol": 0}, candidate=side)
    assert result.verdict is Verdict.PARITY
    assert result.runs[0].envelope is None
    assert "only fixed tolerances judge" in {item.what: item.why for item in result.not_compared}["local lane"]


def test_a_rule_for_a_phase_without_such_a_tensor_is_unused():
    with pytest.raises(UsageError, match="no tensor of that phase and part is compared at all"):
        run({"ulp": 1, "phase": "update", "part": "data"})
    with pytest.raises(UsageError, match=r"for metrics \*"):
        run({"ulp": 1, "phase": "metrics"})


def test_the_smallest_tolerances_of_a_run_are_enough_for_it():
    """What the JSON says would have passed does pass, and a little less does not."""
    zero = {"rtol": 0, "atol": 0, "tensor": "?*"}
    said = as_json.as_dict(run(zero))["tolerances"]
    assert said["rules"] == [Tolerance(**zero).model_dump(mode="json")]
    atol = max(lane["atol"] for lane in said["smallest"])
    assert atol == max(tensor["smallest"]["atol"] for tensor in said["tensors"]) > 0
    assert run({**zero, "atol": atol}).verdict is Verdict.PARITY
    assert run({**zero, "atol": atol * (1 - 1e-12)}).verdict is Verdict.DIVERGED


def test_an_equal_run_needs_no_tolerance():
    said = as_json.as_dict(run(candidate="scratch"))["tolerances"]
    assert (said["rules"], said["tensors"]) == ([], [])
    assert {lane[name] for lane in said["smallest"] for name in ("rtol", "atol", "ulp")} == {0}


@given(st.floats(1e-300, 1e300))
def test_figures_are_shown_rounded_up(value):
    shown = float(worth.at_least(value))
    assert value <= shown <= value * 1.0101
