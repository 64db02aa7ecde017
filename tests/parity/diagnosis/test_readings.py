"""What a run cannot tell from what was found is named beside it, and nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from parity.diagnosis import readings as module, scales as scales_module, search as search_module
from parity.diagnosis.readings import readings
from parity.diagnosis.rewording import REWORDED, UNTOLD, reworded
from parity.diagnosis.scales import Scales
from parity.diagnosis.search import Search
from tests.parity.diagnosis.benches import bench, searched
from tests.scratch_net.conventions.by_hand import assert_equal_but_for_rounding
from tests.scratch_net.conventions.networks import NETWORKS, steps

PLAIN = [{"units": 9, "activation": "tanh"}, {"units": 3, "activation": "softmax"}]
NO_PENALTY = {"layers": PLAIN}
PENALTY = {"kernel_regularizer": {"l2": 0.01}}
PENALISED_OUTPUTS = [PLAIN[0] | {"activity_regularizer": {"l2": 0.01}}, PLAIN[1]]


def in_words(choices):
    """A name that is the same in every process."""
    return ", ".join(sorted(map("=".join, choices)))


def said(level, planted, **settings):
    """What is named where this is planted, first what is found."""
    search, found = searched(bench(level, **settings), planted)
    return [dict(one) for one in readings(search, [frozenset(one.items()) for one in found])]


def test_twice_the_loss_or_twice_the_rate():
    """Without a penalty, plain weights do not tell which; the loss does."""
    planted = {"loss.factor": "double"}
    assert {"learning_rate.scale": "double"} in said("weights", planted, **NO_PENALTY)
    assert said("everything", planted, **NO_PENALTY) == [planted]


def test_a_product_of_factors():
    """Half a loss, with everything told but the loss itself: any factors that make one half do."""
    named = said("weights", {"learning_rate.scale": "half"}, **NO_PENALTY)
    assert {"loss.factor": "half"} in named
    assert {"loss.factor": "double"} not in named


def test_a_factor_that_is_taken_back_in_what_is_told():
    """Twice the loss that is minimised, half of it told: twice the rate."""
    named = said("loss and weights", {"learning_rate.scale": "double"}, **NO_PENALTY)
    assert {"loss.factor": "double", "loss.reported": "half"} in named


def test_one_factor_or_two_beside_other_causes():
    """Every kernel divided once more, and a sum of activity penalties: the loss divided twice, where no bias moves."""
    planted = {"activity.batch": "sum", "gradient.kernel": "mean", "gradient.bias": "missing", "loss.factor": "double"}
    named = said("weights", planted, layers=PENALISED_OUTPUTS, optimizer={"class_name": "SGD", "learning_rate": 0.05})
    assert named[0] != planted
    assert planted in named
    assert planted not in said("gradients", {"loss.batch": "mean_twice", "gradient.bias": "missing"})


def test_three_factors_in_place_of_one():
    """A sum over six examples, halved, of means over three outputs: all that shows is the smaller last batch."""
    planted = {"loss.batch": "sum", "loss.factor": "half", "loss.outputs": "mean"}
    for settings in ({}, NO_PENALTY):  # a loss with its penalty is scaled by no factor, though it is a single number
        named = said("everything", planted, **settings)
        assert named[0] == {"data.partial_batch": "full_size"}
        assert planted in named


DATA = {"source": "classification", "features": 8, "classes": 3, "one_hot": 3}
ADAM = {"class_name": "Adam", "learning_rate": 0.01}
# What is found, one that the run cannot tell from it, the level and the settings of the run.
OTHER_NUMBERS = {
    "a number over the examples": (
        {"l2.penalty": "0.085"},
        {"l2.penalty": "1.7", "l2.scale": "over_dataset"},
        ("weights", {}),
    ),
    "a number over a batch of five": (
        {"l2.penalty": "0.34"},
        {"l2.penalty": "1.7", "l2.scale": "over_batch"},
        ("weights", {"batch_size": 5}),
    ),
    "a number over a batch of ten": (
        {"l2.penalty": "0.07"},
        {"l2.penalty": "0.7", "l2.scale": "over_batch"},
        ("weights", {"batch_size": 10}),
    ),
    "in place of two numbers": (
        {"activity.penalty": "37", "l2.penalty": "17/370", "activity.gradient": "absent"},
        {"l2.penalty": "1.7", "l2.scale": "over_dataset", "activity.gradient": "absent"},
        ("loss and weights", {"layers": [PENALISED_OUTPUTS[0] | PENALTY, PLAIN[1]], "data": DATA | {"samples": 37}}),
    ),
    "a decay that is not times the learning rate": (
        {"l2.gradient": "17"},
        {"l2.decay": "unscaled", "l2.gradient": "1.7"},
        ("weights", {}),
    ),
    "a number that 17 examples make, and the first 16 do not": (
        {"l2.penalty": "1/17", "loss.factor": "1.7"},
        {"l2.scale": "over_batch", "loss.factor": "1.7"},
        ("weights", {"batch_size": 17, "data": DATA | {"samples": 34}}),
    ),
    "a number of many digits": (
        {"l2.penalty": str(1.7 * 0.01 / float(np.float32(0.01)))},
        {"l2.penalty": "1.7", "l2.constant": "exact"},
        ("weights", {}),
    ),
    "a factor of the loss that Adam hides": (
        {"loss.factor": "10", "l2.gradient": "7"},
        {"adam.epsilon_value": "1e-8", "l2.gradient": "0.7"},
        ("weights", {"optimizer": ADAM}),
    ),
    "two of a penalty, one of which is told": (
        {"l2.gradient": "17/7", "l2.penalty": "0.7"},
        {"l2.penalty": "1.7", "l2.reported": "0.7"},
        ("everything", {}),
    ),
    "a sum, also in the smaller batch": (
        {"loss.factor": "7", "data.partial_batch": "full_size"},
        {"loss.factor": "0.7", "loss.batch": "sum"},
        ("everything", {"batch_size": 10, "data": DATA | {"samples": 25}}),
    ),
    "a loss that is told of another time": (
        {"loss.factor": "4.2", "data.partial_batch": "full_size", "report.when": "after_update"},
        {"loss.factor": "0.7", "loss.batch": "sum", "report.when": "after_update"},
        ("everything", {}),
    ),
}


def found(choices, level, settings):
    """The readings of this, if it is what the search found."""
    on, choices = bench(level, **settings), frozenset(choices.items())
    search = Search(on.stand_in, on.told(choices))
    search.try_set(frozenset())  # as every search begins: budgets for ranking are those of the first set
    return readings(search, [choices])


@pytest.mark.parametrize("case", OTHER_NUMBERS)
def test_another_number_beside_a_name(case):
    choices, other, (level, settings) = OTHER_NUMBERS[case]
    assert frozenset(other.items()) in found(choices, level, settings)


def test_a_number_that_is_no_simpler_times_a_size_of_the_run():
    named = found({"l2.penalty": "0.7"}, "weights", {"batch_size": 10})
    assert not any(code == "l2.scale" for one in named for code, _ in one)


def test_beside_any_name_a_number_is_looked_for():
    """Also beside one with which a penalty is gone, of which nothing is told then."""
    choices = frozenset({("l2.penalty", "1.7")})
    search = Search((on := bench("everything")).stand_in, on.told(choices))
    scales = Scales(search, choices)
    told = [scales.numbers(["l2.penalty"], frozenset({one})) for one in search.singles if one[0] != "l2.penalty"]
    assert ["1.7"] in told


def test_two_numbers_that_scale_the_same_are_not_told_apart():
    choices = frozenset({("loss.factor", "0.7"), ("l2.penalty", "1.7")})
    search = Search((on := bench("everything")).stand_in, on.told(choices))
    scales = Scales(search, choices)
    assert scales.numbers(["l2.penalty", "loss.factor"], frozenset()) == ["1.7", "0.7"]
    assert scales.numbers(["l2.penalty", "l2.penalty"], frozenset({("loss.factor", "0.7")})) is None


def test_numbers_in_the_proportion_in_which_two_readings_differ():
    """What plain weights show of a rate, a loss and a penalty is two products of them."""
    planted = {"learning_rate.scale": "0.7", "loss.factor": "half", "l2.penalty": "0.7"}
    same = {"learning_rate.scale": "0.35", "l2.penalty": "1.4"}, {"loss.factor": "0.35", "l2.penalty": "0.49"}
    on = bench("weights")
    search = Search(on.stand_in, on.told(planted))
    named = readings(search, [frozenset(one.items()) for one in same])
    assert frozenset(planted.items()) in named
    assert all(search.prove(one).explains for one in named)


def test_between_numbers_of_another_sign_there_is_none():
    """A step uphill: the loss turned round, and the penalty with it, or the rate alone."""
    same = {"learning_rate.scale": "-0.35", "l2.penalty": "1.4"}, {"loss.factor": "-0.35", "l2.penalty": "-0.49"}
    on = bench("weights")
    search, sets = Search(on.stand_in, on.told(same[0])), [frozenset(one.items()) for one in same]
    assert set(sets) <= set(readings(search, sets))


def test_what_is_told_first_is_gone_on_with_first(monkeypatch):
    """Half of a sum over six examples is a sum over three outputs."""
    choices = {"loss.batch": "sum", "loss.factor": "half", "gradient.bias": "missing"}
    followed = []
    monkeypatch.setattr(module, "_over_a_size", lambda _, one: followed.append(one) or [])
    named = found(choices, "weights", NO_PENALTY | {"loss": "mse", "data": DATA | {"samples": 24}})
    assert named[0] == {("loss.outputs", "sum"), ("gradient.bias", "missing")}
    assert followed[0] == named[0]


OF_ITS_OWN = {"bias": "bias_regularizer", "activity": "activity_regularizer"}
WHERE_ALONE = [
    (said, better)
    for said, better in REWORDED
    if {code.partition(".")[0] for code, _ in said} < {"l1", "l2"}
    and any(code.partition(".")[0] in OF_ITS_OWN for code, _ in better)
]


@pytest.mark.parametrize(("said", "better"), WHERE_ALONE, ids=in_words)
def test_what_is_about_every_l1_or_l2_is_about_the_biases_or_outputs_where_they_alone_have_one(said, better):
    (kind,), (of,) = ({code.partition(".")[0] for code, _ in one} for one in (said, better))
    place, penalty = OF_ITS_OWN[of], {kind: 0.01}
    alone = [layer | {place: penalty, "bias_initializer": "ones"} for layer in PLAIN]
    beside = [layer | {"kernel_regularizer": penalty} for layer in alone]
    for layers, same in ((alone, True), (beside, False)):
        on = bench("everything", layers=layers)
        one, other = (on.told(choices).pieces[0].arrays for choices in (said, better))
        equal = [np.array_equal(array, other[key]) for key, array in one.items()]
        assert all(equal) == same


def _of_layers(*activations, penalized=()):
    return [
        {"units": 3, "activation": activation} | (PENALTY if index in penalized else {})
        for index, activation in enumerate(activations)
    ]


TANH = _of_layers("tanh", "tanh", "tanh", "softmax", penalized=range(4))
# choice -> what it is told as, the layers where it is the same, and others where it is not.
WHERE_FEW = {
    "gradient.hidden_activation=missing_in_first": ("missing", _of_layers("tanh", "softmax"), TANH),
    "gradient.hidden_activation=missing_in_second": ("missing", _of_layers("linear", "tanh", "softmax"), TANH),
    "gradient.hidden_activation=missing_in_third": ("missing", _of_layers("linear", "linear", "tanh", "softmax"), TANH),
    "update.layers=only_first": ("not_last", TANH[-2:], TANH[-3:]),
    "update.layers=only_last": ("not_first", TANH[-2:], TANH[-3:]),
    "l2.layers=only_first": ("not_last", TANH[-2:], TANH[-3:]),
    "l2.layers=only_last": ("not_first", TANH[-2:], TANH[-3:]),
    "adam.step=per_tensor_backwards": ("per_tensor", TANH[-1:], TANH[-2:]),
    "adam.step=per_tensor_kernels_first": ("per_tensor", [one | {"use_bias": False} for one in TANH], TANH[-2:]),
}


@pytest.mark.parametrize("choice", WHERE_FEW)
def test_of_few_layers_it_is_the_same_in_other_words(choice):
    code, _, name = choice.partition("=")
    better, few, more = WHERE_FEW[choice]
    assert (frozenset({(code, name)}), frozenset({(code, better)})) in REWORDED
    optimizer = {"optimizer": ADAM} if code == "adam.step" else {}
    for layers, same in ((few, True), (more, False)):
        on = bench("everything", layers=layers, **optimizer)
        one, other = (on.told({code: choice}).pieces[0].arrays for choice in (name, better))
        equal = [np.array_equal(array, other[key]) for key, array in one.items()]
        assert all(equal) == same


def test_of_three_layers_two_of_which_have_a_penalty_the_first_alone_is_all_but_the_other():
    for penalized, only, better in (((0, 1), "first", "not_second"), ((1, 2), "last", "not_second")):
        on = bench("everything", layers=_of_layers("tanh", "tanh", "softmax", penalized=penalized))
        one, other = (on.told({"l2.layers": choice}).pieces[0].arrays for choice in (f"only_{only}", better))
        assert all(np.array_equal(array, other[key]) for key, array in one.items())


IN_SOME_NETWORKS = [*WHERE_ALONE, *(row for row in REWORDED if {"=".join(one) for one in row[0]} <= set(WHERE_FEW))]


@pytest.mark.parametrize(("said", "better"), [row for row in REWORDED if row not in IN_SOME_NETWORKS], ids=in_words)
@pytest.mark.parametrize("name", NETWORKS)
def test_what_is_told_in_other_words_is_the_same_but_where_a_run_knows_them_apart(name, said, better):
    # outputs' penalties, which change with the loss as well; an l1; an output whose own derivative is taken
    apart = {"penalized outputs": {"l2.penalty", "gradient.bias"}, "sgd": {"l2.bias"}}
    apart |= {"sigmoid": {"gradient.derivative"}, "probabilities": {"gradient.derivative"}}
    if ("data.labels", "shifted") in better and name != "one output":  # of three classes
        apart[name] = {"data.labels"}
    one, other = (steps(name, dict(choices))[0] for choices in (said, better))
    if apart.get(name, set()) & {code for code, _ in better}:
        assert any(not np.array_equal(array, other[2].arrays[key]) for key, array in one[2].arrays.items())
        return
    if ("gradient.kernel", "mean") in said:  # multiplied by the batch size and divided again, but in what lies between
        between = ("/pre_activation", "/output")
        expected = {
            key: a for key, a in other[0].arrays.items() if key.phase != "gradient" or not key.tensor.endswith(between)
        }
        assert_equal_but_for_rounding(one[0].arrays, expected)
        return
    for ours, theirs in zip(one, other, strict=True):
        for key in ours.arrays.keys() & theirs.arrays.keys():
            np.testing.assert_array_equal(ours.arrays[key], theirs.arrays[key], err_msg=str(key))
        assert {key for key in ours.arrays.keys() ^ theirs.arrays.keys() if key.part != "penalty"} == set()


@pytest.mark.parametrize(("said", "better"), REWORDED, ids=in_words)
def test_what_is_the_same_in_other_words_is_told_once(said, better):
    beside, other = ("adam.step", "ahead"), ("data.scale", "twice")
    sets = [said | {beside}, better | {beside}, said | {other}]
    assert reworded(sets) == [sets[1], sets[2]]
    assert reworded(sets[::-1]) == [sets[2], sets[1]]


def test_of_two_classes_the_one_before_is_the_one_after():
    """Numbers of classes, and columns; a third class tells them apart."""
    one_hot = {"source": "classification", "samples": 20, "features": 8, "classes": 2, "one_hot": 2}
    numbers = {"data": one_hot | {"one_hot": None}, "loss": "SparseCategoricalCrossentropy"}
    two = [PLAIN[0], {"units": 2, "activation": "softmax"}]
    for settings in ({"data": one_hot}, numbers):
        search, found = searched(bench(layers=two, **settings), {"data.labels": "shifted_down"})
        named = readings(search, [frozenset(one.items()) for one in found])
        assert reworded(named) == [frozenset({("data.labels", "shifted")})]
    assert said("everything", {"data.labels": "shifted_down"}) == [{"data.labels": "shifted_down"}]


def test_two_rewordings_at_once():
    last, *_ = reversed(REWORDED)
    halved = {("l2.gradient", "half"), ("l2.bias", "in_gradient"), UNTOLD}
    known = [frozenset(halved), REWORDED[1][1] | {("l2.bias", "in_gradient")}, REWORDED[1][1] | REWORDED[3][1], last[1]]
    assert reworded(known) == known[2:]


def test_several_exchanges_at_once():
    """A loss or a rate; a bias without a gradient or without an update: each with each."""
    named = said("weights", {"loss.factor": "double", "gradient.bias": "missing"}, **NO_PENALTY)
    for factor in ("loss.factor", "learning_rate.scale"):
        for bias in ({"gradient.bias": "missing"}, {"update.layers": "no_biases"}):
            assert {factor: "double", **bias} in named


def test_each_is_proved_and_nothing_of_it_is_idle():
    on = bench("weights", layers=[{"units": 9, "activation": "tanh"}, {"units": 3}], loss="mse")
    search, found = searched(on, {"loss.factor": "half", "data.labels": "shifted"})
    named = readings(search, [frozenset(one.items()) for one in found])
    assert {"learning_rate.scale": "half", "data.labels": "shifted"} in map(dict, named)
    assert not any(("loss.outputs", "mean") in one for one in named)  # it is the mean already
    assert len(named) == len(set(named))
    for one in named:
        assert search.prove(one).explains
        assert not any(search.prove(one - {part}).explains for part in one)


def test_of_a_large_batch_few_examples_leave_the_same_readings(monkeypatch):
    found = frozenset([("learning_rate.scale", "half")])
    search, _ = searched(bench("weights", **NO_PENALTY), {"learning_rate.scale": "half"})
    named = readings(search, [found])
    monkeypatch.setattr(search_module, "THIN", 3)  # of six
    monkeypatch.setattr(scales_module, "ENOUGH", 3)
    again = Search(search.stand_in, search.evidence)
    assert readings(again, [found]) == named


def test_they_are_followed_up_to_a_limit(monkeypatch):
    found = frozenset({("loss.factor", "double"), ("gradient.bias", "missing")})
    search = Search((on := bench("weights", **NO_PENALTY)).stand_in, on.told(found))
    every = readings(search, [found])
    monkeypatch.setattr(module, "MOST", 1)
    assert readings(search, [found]) == every[: len(readings(search, [found]))]
    assert len(readings(search, [found])) < len(every)


SAID = """
from parity.diagnosis import diagnose
from parity.sides import LoadedSide, load_side
from scratch_net.adapter import ScratchSide
from tests.parity.diagnosis.benches import bench

class Weights(ScratchSide):
    def steps(self, x, y):
        return {"weights": super().steps(x, y)["weights"]}

on, side = bench(), load_side("scratch")
candidate = LoadedSide("candidate", Weights({"l2.penalty": "half", "learning_rate.scale": "double"}))
found = diagnose(on.experiment, side, side, candidate, on.dataset, on.weights, 1)
print([vars(cause) for cause in found.causes])
print([vars(one) for one in found.readings])
"""


def test_what_is_said_does_not_hang_on_the_seed_of_hashes():
    """Of what a candidate could tell, the first that would tell two readings apart."""
    root = str(Path(__file__).parents[3])
    said = {
        subprocess.run(
            [sys.executable, "-c", SAID],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": root},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "5")
    }
    assert len(said) == 1
    assert "let the candidate tell its loss" in said.pop()
