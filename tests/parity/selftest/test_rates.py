"""What trials come to, and that every threshold can be missed."""

from __future__ import annotations

import math

import pytest

from parity.selftest import Outside, Rates, Thresholds, Trial

HALF, SUM = frozenset({("l2.penalty", "half")}), frozenset({("loss.batch", "sum")})
DOWN, UP = (frozenset([("data.labels", choice)]) for choice in ("shifted_down", "shifted"))  # of two classes one
NONE = frozenset()
PLACE = ("gradient", "dense")


def trial(*named, planted=HALF, detected=True, shows=True, **more):
    return Trial((0,), planted, "everything", shows=shows, detected=detected, named=named, **more)


def defect(*named, seen=PLACE, detected=True, shows=True):
    return Outside(
        (0,), NONE, "everything", shows=shows, detected=detected, named=named, defect="noise", place=PLACE, seen=seen
    )


def rates(planted, *trials):
    found = Rates("these", planted)
    found.add(trials)
    return found


@pytest.mark.parametrize(
    ("one", "said"),
    [
        (trial(HALF), "right alone"),
        (trial(HALF, SUM), "right"),
        (trial(SUM, HALF), "right"),
        (trial(DOWN, UP, planted=DOWN), "right alone"),
        (trial(DOWN, UP, HALF, planted=DOWN), "right"),
        (trial(SUM), "wrong"),
        (trial(SUM, in_other_words=True), ""),
        (trial(HALF | SUM), "wrong"),
        (trial(HALF, planted=HALF | SUM), "wrong"),
        (trial(), ""),
        (defect(), "right alone"),
        (defect(HALF), "wrong"),
        (defect(seen=("update", "dense")), ""),
        (defect(seen=("gradient", "dense_1")), ""),
        (defect(detected=False), ""),
    ],
)
def test_what_a_trial_is(one, said):
    assert [what for what in ("right", "alone", "wrong") if getattr(one, what)] == said.split()


def test_shares_are_of_what_shows():
    found = rates(1, trial(HALF), trial(SUM), trial(), trial(detected=False), trial(shows=False, detected=False))
    assert [found.share(what) for what in ("detected", "right", "wrong")] == [0.75, 0.25, 0.25]
    assert math.isnan(rates(1).share("right"))


def many(count, other, planted, right=None):
    """A hundred trials, so many of which are other."""
    right = right or trial(HALF)
    return rates(planted, *[right] * (100 - count), *[other] * count)


@pytest.mark.parametrize(
    ("other", "planted", "allowed", "said"),
    [
        (trial(detected=False), 1, 0, "one planted: 99.0% (99 of 100) detected, 100.0% needed"),
        (trial(), 1, 3, "one planted: 96.0% (96 of 100) named right, 97.0% needed"),
        (trial(), 2, 10, "two planted: 89.0% (89 of 100) named right, 90.0% needed"),
        (trial(), 3, 20, "three and more planted: 79.0% (79 of 100) named right, 80.0% needed"),
        (trial(), 5, 20, "three and more planted: 79.0% (79 of 100) named right, 80.0% needed"),
        (trial(), 7, 20, "three and more planted: 79.0% (79 of 100) named right, 80.0% needed"),
        (trial(SUM), 3, 0, "all planted: 1.0% (1 of 100) named wrong, 0.5% allowed"),
    ],
)
def test_each_threshold_is_where_it_says(other, planted, allowed, said):
    thresholds = Thresholds()
    assert thresholds.missed([many(allowed, other, planted)]) == []
    assert said in thresholds.missed([many(allowed + 1, other, planted)])


@pytest.mark.parametrize(
    ("other", "allowed", "said"),
    [
        (defect(HALF), 0, "1 named, which nothing in the catalogue explains"),
        (defect(detected=False), 0, "99.0% (99 of 100) detected, 100.0% needed"),
        (defect(seen=("update", "dense")), 0, "99.0% (99 of 100) placed right, 100.0% needed"),
    ],
)
def test_each_threshold_outside_the_catalogue(other, allowed, said):
    thresholds = Thresholds()
    assert thresholds.missed([many(allowed, other, None, defect())]) == []
    assert f"outside the catalogue: {said}" in thresholds.missed([many(allowed + 1, other, None, defect())])


def test_shares_are_of_all_levels_and_wrong_names_of_all_that_is_planted():
    rows = [many(5, trial(), 1), many(0, trial(), 1), many(25, trial(), 3), many(16, trial(), 4)]
    (said,) = Thresholds().missed(rows)
    assert said == "three and more planted: 79.5% (159 of 200) named right, 80.0% needed"
    wrong = [many(1, trial(SUM), 1), many(0, trial(), 2), many(1, trial(SUM), 0, trial(detected=False, planted=NONE))]
    assert Thresholds().missed(wrong[:2]) == []  # 1 of 200
    assert Thresholds().missed(wrong[:1]) == ["all planted: 1.0% (1 of 100) named wrong, 0.5% allowed"]
    assert Thresholds().missed(wrong) == ["none planted: 1 false alarms of 100"]


def test_a_single_false_alarm_is_one_too_many():
    silent = trial(planted=NONE, detected=False)
    assert Thresholds().missed([many(0, silent, 0, silent)]) == []
    alarms = [many(0, silent, 0, silent), many(1, trial(planted=NONE), 0, silent)]
    assert Thresholds().missed(alarms) == ["none planted: 1 false alarms of 200"]


@pytest.mark.parametrize("planted", [None, 0, 1, 2])
@pytest.mark.parametrize("trials", [(), (trial(shows=False, detected=False),)])
def test_nothing_put_to_the_test_is_no_success(planted, trials):
    (said,) = Thresholds().missed([rates(planted, *trials)])
    assert "nothing was put to the test" in said


@pytest.mark.parametrize(("count", "of", "bound"), [(0, 24, 0.117), (0, 598, 0.005), (1, 480, 0.0098), (24, 24, 1.0)])
def test_how_much_so_few_trials_can_hide(count, of, bound):
    """By the rule of three 3 / n where none is wrong; scipy.stats.beta.ppf(0.95, k + 1, n - k) gives the others."""
    found = rates(1, *[trial(SUM)] * count, *[trial(HALF)] * (of - count))
    assert found.at_most("wrong") == pytest.approx(bound, rel=0.02)
