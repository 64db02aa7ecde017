"""A factor without a name is found as a number, and the simplest number that does as well is told."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, strategies as st

from parity.conventions import catalogue
from parity.diagnosis.factors import Fit, simpler
from parity.diagnosis.readings import readings
from parity.diagnosis.search import Search
from parity.selftest.trials import LEVELS
from parity.sides import load_side
from tests.parity.diagnosis.benches import bench, searched

NO_PENALTY = {"layers": [{"units": 9, "activation": "tanh"}, {"units": 3, "activation": "softmax"}]}
SQUARED = {"loss": "mse", "layers": [{"units": 9, "activation": "tanh"}, {"units": 3, "activation": "sigmoid"}]}
L2 = {"kernel_regularizer": {"l2": 0.01}}
PENALTIES = {
    "l1.penalty": {"kernel_regularizer": {"l1": 0.02, "l2": 0.01}},
    "activity.penalty": {"activity_regularizer": {"l1": 0.01}},
}
ADAM = {"optimizer": {"class_name": "Adam", "learning_rate": 0.01}}
OPTIMIZERS = {
    "adam": ADAM,
    "momentum": {"optimizer": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9}},
    "rmsprop.momentum": {"optimizer": {"class_name": "RMSprop", "learning_rate": 0.01, "momentum": 0.8}},
    "rmsprop": {"optimizer": {"class_name": "RMSprop", "learning_rate": 0.01}},
}
OTHERS = {"share": {"-1": "5", "31.4": "3.5"}, "scale": {"-1": "3"}}  # betas lie between 0 and 1, epsilons above 0
OTHERS["momentum"] = {"-1": "0.5"}  # Keras' RMSprop takes one below 0 for none
OF_NONE = {"-1": "0.003", "31.4": "5e-05"}  # what Keras has none of is above 0


def test_any_number_is_what_the_catalogue_says_may_be():
    assert set(load_side("scratch").side.factors()) == {code for code, entry in catalogue().items() if entry.factor}


def said(level, planted, **settings):
    search, found = searched(bench(level, **settings), planted)
    return [dict(one) for one in readings(search, [frozenset(one.items()) for one in found])]


@pytest.mark.parametrize(("level", "number"), list(zip(LEVELS, ["0.7", "-1", "1/7", "31.4"], strict=True)))
@pytest.mark.parametrize("code", load_side("scratch").side.factors())
def test_it_is_named_where_it_shows(code, level, number):
    family, _, what = code.partition(".")
    layers = [
        {"units": 9, "activation": "tanh", **PENALTIES.get(code, L2)},
        {"units": 3, "activation": "softmax", **L2},
    ]
    where = NO_PENALTY if code == "l2.added" or family == "weight_decay" else {"layers": layers}
    shows = level != "weights" or not code.endswith(".reported")  # what is told of a loss
    shows = shows and (level in LEVELS[:2] or not code.endswith("in_gradient"))  # or of a gradient
    named_alike = OTHERS.get(what, OTHERS.get(what.rpartition("_")[2], {}))
    number = (named_alike if catalogue()[code].unchanged else OF_NONE).get(number, number)
    assert (
        {code: number} in said(level, {code: number}, **where, **OPTIMIZERS.get(code, OPTIMIZERS.get(family, {})))
    ) is shows


@pytest.mark.parametrize("optimizer", [{}, ADAM], ids=["sgd", "adam"])
def test_two_that_multiply(optimizer):
    planted = {"loss.factor": "0.7", "learning_rate.scale": "5"}
    assert planted in said("loss and weights", planted, **NO_PENALTY, **optimizer)


def test_beside_a_mistake_that_has_a_name():
    planted = {"gradient.bias": "missing", "l2.penalty": "0.3"}
    assert said("everything", planted) == [planted]


def test_of_a_product_the_number_is_told_beside_its_factors():
    planted = {"loss.outputs": "sum", "loss.factor": "half"}
    found = said("everything", planted, **SQUARED)
    assert found[0] == planted
    assert {"loss.factor": "1.5"} in found


def test_three_factors_that_nobody_sees_apart_are_one_number():
    planted = {"loss.outputs": "mean", "loss.factor": "half", "learning_rate.scale": "half"}
    found = said("weights", planted, **NO_PENALTY)
    assert found[:2] == [{"learning_rate.scale": "1/12"}, {"loss.factor": "1/12"}]
    assert planted in found


def test_what_has_a_name_is_no_number():
    assert said("everything", {"loss.factor": "0.5"}) == [{"loss.factor": "half"}]


def test_a_number_of_many_digits_waits_for_what_has_names():
    """Half a penalty whose lambda is not rounded to float32 is 0.5000000111759804 of Keras'."""
    planted = {"l2.penalty": "half", "l2.constant": "exact"}
    assert said("loss and weights", planted)[0] == planted
    assert said("loss and weights", {"l2.penalty": "0.5000000111759804", "gradient.bias": "mean"})[0] == {
        **planted,
        "gradient.bias": "mean",
    }


def test_a_number_of_many_digits_is_better_than_nothing():
    ((code, number),) = said("everything", {"loss.factor": "0.43429448190325176"}, **NO_PENALTY)[0].items()
    assert (code, float(number)) == ("loss.factor", pytest.approx(0.43429448190325176, rel=1e-14))


def test_numbers_are_fitted_where_something_else_is_wrong_as_well():
    """The least squares of everything are none of them: each is what explains most tensors."""
    planted = {"gradient.hidden_activation": "missing", "loss.factor": "1.7", "l2.gradient": "0.7"}
    on = bench("everything")
    search = Search(on.stand_in, on.told(frozenset(planted.items())))
    *_, nearest = Fit(search, frozenset(), search.quick).nearest(2)
    assert nearest.choices == frozenset({("loss.factor", "1.7"), ("l2.gradient", "0.7")})


@pytest.mark.parametrize("number", ["0.2", "7"])
def test_a_number_that_shows_by_what_it_divides(number):
    """RMSprop takes a factor of the gradient out again, but for epsilon: a whole step of a fit leads too far."""
    optimizer = {"class_name": "RMSprop", "learning_rate": 0.005}
    assert {"loss.factor": number} in said("weights", {"loss.factor": number}, optimizer=optimizer, **NO_PENALTY)


@pytest.mark.parametrize("level", LEVELS[:3])
def test_what_else_is_wrong_may_show_in_the_last_digits_of_a_number(level):
    """1e-7 beside a probability is in every gradient, so that each asks for a factor that is near 0.7 only."""
    planted = {("loss.factor", "0.7"), ("loss.log", "plus_1e-7"), ("gradient.bias", "scalar")}
    on = bench(level)
    search = Search(on.stand_in, on.told(frozenset(planted)))
    *_, nearest = Fit(search, frozenset(), search.quick).nearest(2)
    assert nearest.choices == {("loss.factor", "0.7")}


def test_with_two_numbers_the_nearest_with_one_is_kept():
    """A penalty that one layer lacks is nearly absent, beside another rate."""
    on = bench("weights")
    planted = {("learning_rate.scale", "over_batch"), ("loss.factor", "0.7"), ("l2.layers", "not_last")}
    search = Search(on.stand_in, on.told(frozenset(planted)))
    one, two = (tried.choices for tried in Fit(search, frozenset(), search.quick).nearest(2))
    assert [code for code, _ in one] == ["learning_rate.scale"]
    assert two == {("learning_rate.scale", "7/60"), ("l2.gradient", "absent")}


def test_what_is_made_of_rounding_asks_for_no_number():
    """The errors of a softmax add up to zero: a sum over the outputs in place of each of them is rounding alone."""
    on = bench("weights")
    planted = frozenset({("gradient.bias", "scalar"), ("learning_rate.scale", "1/6"), ("loss.factor", "0.7")})
    search = Search(on.stand_in, on.told(planted))
    fit = Fit(search, frozenset({("gradient.bias", "scalar")}), search.quick)
    assert planted in fit.explaining(2)
    assert {"learning_rate.scale": pytest.approx(1 / 6), "loss.factor": pytest.approx(0.7)} in fit.best(2, 3)


def test_a_number_holds_what_a_factor_with_a_name_beside_it_does():
    """2.1 times the mean over three outputs is 0.7 times their sum."""
    on = bench()
    search = Search(on.stand_in, on.told(frozenset({("loss.factor", "0.7"), ("gradient.bias", "missing")})))
    more = frozenset({("loss.factor", "2.1"), ("loss.outputs", "mean"), ("gradient.bias", "missing")})
    assert search.prove(more).explains
    assert search.needed(search.prove(more)).choices == {("loss.factor", "0.7"), ("gradient.bias", "missing")}


def test_a_number_that_shows_in_few_digits():
    """Adam divides by the size of gradients: 1.7 was fitted as 1.70000000004, and some gradient was off."""
    layers = [
        {"units": 5, "activation": "relu", "kernel_initializer": "he_normal", **L2},
        {"units": 4, "activation": "softmax", **L2, "bias_regularizer": {"l2": 0.01}, "activity_regularizer": "l2"},
    ]
    data = {"source": "classification", "samples": 20, "features": 6, "classes": 4, "one_hot": 4, "scale": 2.0}
    settings = {"layers": layers, "data": data | {"seed": 617}, "loss": "mse", "batch_size": 5, "seed": 1393125875}
    search, found = searched(bench("weights", **settings, **ADAM), {"loss.factor": "1.7"})
    assert found == [{"loss.factor": "1.7"}]
    assert search.tried < 500


def test_a_number_may_be_a_simpler_one_times_a_factor():
    planted = {"l2.scale": "over_dataset", "l2.penalty": "0.7"}
    found = said("gradients", planted)
    assert {"l2.penalty": "0.035"} in found
    assert planted in found
    assert all("l2.scale" not in one for one in said("gradients", {"l2.penalty": "0.3"}))  # or 6 over a dataset


def test_two_numbers_may_be_a_simpler_one_beside_two_factors():
    """What was told, 1.7 of a penalty over a dataset of 20, is 0.085 of one that is not: two exchanges lead there."""
    planted = {"l2.penalty": "half", "l2.reported": "1.7", "l2.scale": "over_dataset"}
    assert planted in said("everything", planted)


@given(
    st.fractions(min_value=-50, max_value=50, max_denominator=30).filter(bool),
    st.floats(min_value=-1e-14, max_value=1e-14),
)
def test_the_simplest_fraction_is_among_those_that_are_tried(fraction, error):
    tried = [Fraction(text) for text in simpler(float(fraction) * (1 + error))]
    assert float(fraction) in map(float, tried)
    assert all(one.denominator <= fraction.denominator for one in tried[: tried.index(fraction) + 1])


def test_a_number_is_told_as_one_would_write_it():
    assert [list(simpler(number))[-1] for number in (3.0, 0.25, -1 / 3, 0.037)] == ["3", "0.25", "-1/3", "0.037"]


@pytest.mark.parametrize("factor", [1e-200, 5e-324, 1e300])
def test_numbers_of_any_size_have_simpler_ones(factor):
    """Of 1e-200 the nearest simple number is one over an integer of 201 digits, whose square is no float."""
    on = bench("weights")
    search = Search(on.stand_in, on.told(frozenset()))
    fit = Fit(search, frozenset(), search.quick)
    assert isinstance(fit._near("loss.factor", factor, 1e-4), str)
