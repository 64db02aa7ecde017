"""Names are found beside factors that have none, and a number is told where names are not less to tell."""

from __future__ import annotations

import math

import pytest

from parity.diagnosis.numbered import Numbered
from parity.diagnosis.readings import readings
from parity.diagnosis.search import ANYWAY, Search
from parity.diagnosis.tried import Tried
from tests.parity.diagnosis.benches import bench, searched

BESIDE_NUMBERS = {
    "two names that each hide the other": (
        "weights",
        {"gradient.hidden_activation": "missing", "gradient.weights": "after_update", "loss.factor": "1.7"},
    ),
    "three names": (
        "loss and weights",
        {
            "gradient.bias": "missing",
            "gradient.hidden_activation": "missing",
            "report.when": "after_update",
            "l2.gradient": "0.7",
        },
    ),
    "a factor that has a name": (
        "weights",
        {"gradient.derivative": "hidden_of_input", "l2.gradient": "absent", "loss.factor": "1.7"},
    ),
    "two numbers": (
        "loss and weights",
        {"gradient.hidden_activation": "missing", "loss.factor": "1.7", "l2.penalty": "0.7"},
    ),
    "one that is a number as long as batches are of one size": (
        "weights",
        {"learning_rate.scale": "over_batch", "loss.factor": "0.7", "l2.layers": "not_last"},
    ),
    "one that begins after the first steps": (
        "everything",
        {"data.partial_batch": "full_size", "loss.factor": "1.7"},
    ),
}


@pytest.mark.parametrize("case", BESIDE_NUMBERS)
def test_names_are_found_beside_numbers(case):
    level, planted = BESIDE_NUMBERS[case]
    search, found = searched(bench(level), planted)
    assert not search.stopped
    assert frozenset(planted.items()) in readings(search, [frozenset(one.items()) for one in found])


def test_constants_that_are_not_rounded_beside_a_number():
    """Of several lambdas, which no number makes up for: looked for where a number is nearly one of few digits."""
    on = bench()
    search = Search(on.stand_in, on.told({"l2.penalty": "0.7", "l2.constant": "exact"}))
    numbered, exact = Numbered(search), frozenset({("l2.constant", "exact")})
    for number, nearly in (("0.69999998957", True), ("0.7", False), ("0.6999", False), ("0.69999999", True)):
        numbered.beam = [search.try_set(frozenset({("l2.penalty", number)}))]
        assert (exact in numbered._unrounded()) == nearly
    numbered.grow((), search.evidence, math.inf)
    assert (search.evidence.steps, exact) in numbered._fits


def test_what_seems_absent_may_be_somewhere_else():
    """With a decay that is no gradient, a factor of the gradient is fitted that leaves nothing of it."""
    search, _ = searched(bench("gradients"), {})
    beside = ("learning_rate.scale", "1/9")
    tried = search.try_set(frozenset({("l2.gradient", "absent"), beside}))
    larger = set(Numbered(search)._larger(tried, search.quick))
    assert frozenset({("l2.decay", "unscaled"), beside}) in larger
    assert frozenset({("loss.batch", "sum"), beside}) not in larger


def test_names_are_told_where_they_are_less():
    """Of either a number makes as much: the pair is told first all the same."""
    planted = {"loss.outputs": "mean", "l2.penalty": "half"}
    search, found = searched(bench("everything"), planted)
    assert readings(search, [frozenset(one.items()) for one in found])[0] == frozenset(planted.items())


@pytest.mark.parametrize(
    ("choices", "names"),
    [
        ({"loss.factor": "1.7"}, 1),
        ({"loss.factor": "half"}, 0),
        ({"loss.factor": "1.7", "gradient.bias": "missing"}, 2),
        ({"loss.factor": "1.7", "l2.penalty": "0.7"}, 2),
        ({"loss.factor": "1.7000000000017"}, None),
    ],
)
def test_a_number_is_told_after_sets_with_one_name_less_than_it_is_worth(choices, names):
    numbered = Numbered(None)
    numbered.found = [Tried(frozenset(choices.items()), {})]
    told = [after for after in range(5) if numbered.told(after)]
    assert told == ([] if names is None else list(range(names, 5)))
    assert bool(numbered.told()) is (names is not None)


def test_names_are_given_up_where_numbers_leave_much_less(monkeypatch):
    rounds, grown = [], Search._grown
    monkeypatch.setattr(Search, "_grown", lambda search, beam, *more: rounds.append(beam) or grown(search, beam, *more))
    planted = {"update.biases": "not_last", "report.mean": "running", "loss.factor": "1.7", "l2.gradient": "0.7"}
    _, found = searched(bench("everything"), planted)
    assert found == [planted]
    assert len(rounds) == ANYWAY


def test_where_time_is_up_for_names_numbers_go_on():
    on, planted = bench("everything"), {"gradient.bias": "missing", "loss.factor": "1.7"}
    search = Search(on.stand_in, on.told(frozenset(planted.items())))
    numbered = Numbered(search)
    numbered.grow([frozenset()], search.quick, math.inf)
    assert numbered.written[0].choices == {("loss.factor", "1.7")}
    assert not numbered.found
    numbered.go_on(search.quick, math.inf, 1)
    assert frozenset(planted.items()) in [one.choices for one in numbered.found]


def test_of_half_a_round_nothing_is_made():
    on, planted = bench("everything"), {"gradient.bias": "missing", "loss.factor": "1.7"}
    search = Search(on.stand_in, on.told(frozenset(planted.items())))
    numbered = Numbered(search)
    numbered.grow([frozenset()], search.quick, math.inf)
    followed = numbered.beam
    numbered.go_on(search.quick, 0.0, 3)
    assert search.stopped
    assert numbered.beam == followed
    assert numbered.found == []


def test_what_was_fitted_once_is_not_fitted_again(monkeypatch):
    on = bench("weights")
    search, _ = searched(on, {"gradient.hidden_activation": "missing"})
    numbered = Numbered(search)
    numbered.grow([frozenset()], search.quick, math.inf)
    takes = []
    monkeypatch.setattr(search.stand_in, "take", takes.append)
    numbered.beam = []
    numbered.grow([frozenset()], search.quick, math.inf)
    assert takes == []
