"""What trials come to, and that every threshold can be missed."""

from __future__ import annotations

import math

import pytest

from parity.selftest import Outside, Rates, Thresholds, Trial

HALF, SUM = frozenset({("l2.penalty", "half")}), frozenset({("loss.batch", "sum")})
NONE = frozenset()
PLACE = ("gradient", "dense")


def trial(*named, planted=HALF, detected=True, shows=True):
    return Trial((0,), planted, "everything", shows=shows, detected=detected, named=named)


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
        (trial(SUM), "wrong"),
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
        (trial(detected=False), 1, 0, "99.0% detected, 100.0% needed"),
        (trial(), 1, 3, "96.0% named right, 97.0% needed"),
        (trial(), 2, 10, "89.0% named right, 90.0% needed"),
        (trial(), 3, 20, "79.0% named right, 80.0% needed"),
        (trial(), 5, 20, "79.0% named right, 80.0% needed"),
        (trial(), 7, 20, "79.0% named right, 80.0% needed"),
        (trial(SUM), 3, 0, "1.0% named wrong, 0.5% allowed"),
    ],
)
def test_each_threshold_is_where_it_says(other, planted, allowed, said):
    thresholds = Thresholds()
    assert thresholds.missed(many(allowed, other, planted)) == []
    assert f"these: {said}" in thresholds.missed(many(allowed + 1, other, planted))


@pytest.mark.parametrize(
    ("other", "allowed", "said"),
    [
        (defect(HALF), 0, "1 named, which nothing in the catalogue explains"),
        (defect(detected=False), 0, "99.0% detected, 100.0% needed"),
        (defect(seen=("update", "dense")), 3, "96.0% placed right, 97.0% needed"),
    ],
)
def test_each_threshold_outside_the_catalogue(other, allowed, said):
    thresholds = Thresholds()
    assert thresholds.missed(many(allowed, other, None, defect())) == []
    assert f"these: {said}" in thresholds.missed(many(allowed + 1, other, None, defect()))


def test_a_single_false_alarm_is_one_too_many():
    silent = trial(planted=NONE, detected=False)
    assert Thresholds().missed(many(0, silent, 0, silent)) == []
    assert Thresholds().missed(many(1, trial(planted=NONE), 0, silent)) == ["these: 1 false alarms"]


@pytest.mark.parametrize("planted", [None, 0, 1, 2])
@pytest.mark.parametrize("trials", [(), (trial(shows=False, detected=False),)])
def test_nothing_put_to_the_test_is_no_success(planted, trials):
    (said,) = Thresholds().missed(rates(planted, *trials))
    assert "nothing was put to the test" in said
