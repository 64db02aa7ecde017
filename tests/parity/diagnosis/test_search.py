"""Sets of conventions are found by what they explain, whatever hides them and however little is told."""

from __future__ import annotations

import numpy as np
import pytest

from parity.diagnosis import search as module
from parity.diagnosis.readings import readings
from parity.diagnosis.search import MOST_CAUSES, Search
from parity.protocol import Key
from parity.sides import load_side
from tests.parity.diagnosis.benches import TABLE, InPrecision, bench, searched

NONE = frozenset()
ADAM = {"class_name": "Adam", "learning_rate": 0.01}
MOMENTUM = {"class_name": "SGD", "learning_rate": 0.05, "momentum": 0.9, "nesterov": True}
PLAIN = [{"units": 9, "activation": "tanh"}, {"units": 3, "activation": "softmax"}]

FOUND = {
    "a single cause": ("everything", {}, {"l2.penalty": "half"}),
    "one that begins after the first steps": ("everything", {}, {"data.partial_batch": "full_size"}),
    "a pair": ("everything", {"optimizer": ADAM}, {"l2.penalty": "half", "adam.epsilon": "textbook"}),
    "a pair of which one begins late": (
        "everything",
        {},
        {"data.partial_batch": "full_size", "gradient.hidden_activation": "missing"},
    ),
    "a loss that looks right over a gradient that is not": (
        "everything",
        {},
        {"loss.reported": "half", "loss.factor": "double"},
    ),
    "two of which neither shows by itself": (
        "everything",
        {},
        {"loss.input": "probabilities", "loss.clip": "added"},
    ),
    "the same beside another, with more examples than are looked at first": (
        "loss and weights",
        {"data": TABLE["data"] | {"samples": 50}, "batch_size": 24},
        {"loss.input": "probabilities", "loss.clip": "added", "l2.penalty": "half"},
    ),
    "a gradient that looks right under a loss that is not": ("everything", {}, {"loss.reported": "double"}),
    "a penalty that is told and not minimised": ("everything", {}, {"l2.gradient": "absent"}),
    "a whole penalty told of one that is halved": (  # either alone leaves more than none of them does
        "everything",
        {
            "data": {"source": "classification", "samples": 25, "features": 7, "classes": 2},
            "layers": [
                {"units": 4, "activation": "relu", "kernel_regularizer": {"l2": 0.1}},
                {"units": 4, "activation": "relu"},
                {"units": 1, "activation": "sigmoid"},
            ],
            "loss": "BinaryCrossentropy",
        },
        {"l2.gradient": "half"},
    ),
    "two that cancel in every weight": (
        "everything",
        {"layers": PLAIN},
        {"loss.factor": "half", "learning_rate.scale": "double"},
    ),
    "one behind the other": (
        "everything",
        {"optimizer": MOMENTUM},
        {"momentum.dampening": "dampened", "momentum.nesterov": "off"},
    ),
    "in the forward pass and all that follows": (
        "everything",
        {},
        {"data.scale": "missing", "gradient.bias": "mean", "learning_rate.scale": "over_batch"},
    ),
    "from weights alone": ("weights", {}, {"l2.penalty": "half"}),
    "from weights alone, of an optimizer whose slots nobody tells": (
        "weights",
        {"optimizer": MOMENTUM},
        {"momentum.nesterov": "off"},
    ),
    "from the loss and the weights": ("loss and weights", {}, {"loss.batch": "sum"}),
    "from weights alone, three that hide each other": (
        "weights",
        {"layers": [{"units": 9, "activation": "relu"}, {"units": 8, "activation": "relu"}, PLAIN[1]]},
        {"gradient.hidden_activation": "missing", "loss.batch": "sum", "gradient.bias": "mean"},
    ),
    "from weights alone, factors of the data and of the penalty": (
        "weights",
        {},
        {"gradient.shortcut": "twice", "loss.factor": "half", "l2.scale": "over_dataset", "data.labels": "shifted"},
    ),
    "computed in float32": ("everything", {}, {"precision.compute": "float32", "l2.penalty": "half"}),
}


@pytest.mark.parametrize("case", FOUND)
def test_it_is_found_and_nothing_less_explains_it(case):
    level, settings, planted = FOUND[case]
    search, found = searched(bench(level, **settings), planted)
    assert planted in found
    assert all(len(one) == len(planted) for one in found)
    for code in planted:
        less = frozenset((other, choice) for other, choice in planted.items() if other != code)
        assert not search.prove(less).explains


def test_from_evidence_in_float32_alone():
    on = InPrecision(bench().experiment, "float32")
    search = Search(on.stand_in, on.told({"l2.penalty": "half"}))
    assert [dict(tried.choices) for tried in search.run()[0]] == [{"l2.penalty": "half"}]
    assert ("precision.compute", "float32") not in search.singles


def test_what_makes_no_difference_to_what_is_told_is_not_named():
    """The weights of half a loss at twice the rate are the weights that they ought to be."""
    planted = {"loss.factor": "half", "learning_rate.scale": "double"}
    search, found = searched(bench("weights", layers=PLAIN), planted)
    assert found == [{}]
    assert search.prove(NONE).explains


def test_nothing_is_named_where_nothing_was_planted():
    for level in ("everything", "weights"):
        _, found = searched(bench(level), {})
        assert found == [{}]


@pytest.mark.parametrize(("level", "defect"), [("everything", "bias_sign"), ("weights", "accumulated")])
def test_what_no_set_explains_is_not_explained(level, defect):
    on = bench(level)
    search = Search(on.stand_in, on.told_by(load_side("scratch_net.defects:DefectiveSide").side.with_defect(defect)))
    found, best = search.run()
    assert not found
    assert best
    assert all(not tried.explains and len(tried.choices) <= MOST_CAUSES for tried in best)
    nothing, *others = best
    assert nothing.choices == NONE
    assert others == sorted(others, key=lambda tried: tried.score)


def test_a_convention_beside_a_defect_is_not_explained_either():
    """What is explained of it is no proof of a cause as long as anything is left."""
    on = bench()
    side = load_side("scratch_net.defects:DefectiveSide").side.with_defect("bias_sign")
    search = Search(on.stand_in, on.told_by(side.with_conventions({"l2.penalty": "half"})))
    found, best = search.run()
    assert not found
    assert ("l2.penalty", "half") in best[1].choices


def test_what_shows_first_where_nothing_moves_any_more_is_tried():
    """Of a first layer that is never updated nothing is left over; what by itself shows there first shows later."""
    optimizer = {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.9}
    planted = {"update.layers": "only_last", "momentum.factor": "ignored"}
    search, _ = searched(bench("weights", optimizer=optimizer), planted)
    tried = search.try_set(frozenset({("update.layers", "only_last")}))
    assert tried.has_explained(Key("update", "dense/kernel"))
    larger = set(search.larger(tried, search.quick))
    assert frozenset(planted.items()) in larger


def test_what_shows_first_where_all_is_explained_is_not_tried():
    search, _ = searched(bench("weights"), {"gradient.bias": "missing"})
    plain = search.try_set(frozenset())
    assert plain.has_explained(Key("update", "dense/kernel"))
    larger = set(search.larger(plain, search.quick))
    assert frozenset({("gradient.bias", "missing")}) in larger
    assert frozenset({("data.scale", "twice")}) not in larger


def test_the_first_that_is_left_unexplained():
    """At the earliest step, and there the first in execution order."""
    on = bench()
    search = Search(on.stand_in, on.told(frozenset({("l2.penalty", "half")})))
    step, key = search.prove(NONE).first
    assert (step, str(key)) == (0, "loss dense/kernel (penalty)")
    assert search.prove(frozenset({("l2.penalty", "half")})).first is None
    late = Search(on.stand_in, on.told(frozenset({("data.partial_batch", "full_size")})))
    step, key = late.prove(NONE).first
    assert (step, str(key)) == (3, "loss loss (data)")


def test_a_set_that_explains_is_held_against_all_of_the_evidence():
    """In the first steps of full batches, of which there are two, the sum over a full batch is anybody's."""
    on = bench(batch_size=9, steps=4)  # two batches of nine, then one of two
    _, found = searched(on, {"loss.batch": "sum"})
    assert found == [{"loss.batch": "sum"}]


def test_score_counts_what_is_over_its_budget_alone():
    search, _ = searched(bench(), {"l2.penalty": "half"})
    nothing, half = search.prove(NONE), search.prove(frozenset({("l2.penalty", "half")}))
    assert half.score == 0
    over = [np.log10(np.maximum(used, 1)).mean() for used in nothing.used.values()]
    assert nothing.score == pytest.approx(sum(over))
    assert nothing.worst == max(used.max() for used in nothing.used.values())


def test_a_product_whose_factors_each_lead_away_from_it():
    """Half of a sum over ten outputs is five times Keras' loss: the sum alone is twice too much, the half ten times."""
    layers = [{"units": 9, "activation": "tanh"}, {"units": 10}]
    data = {"source": "regression", "samples": 20, "features": 8, "targets": 10}
    on = bench("weights", layers=layers, data=data, loss="mse")
    planted = {"loss.outputs": "sum", "loss.factor": "half"}
    search, found = searched(on, planted)
    assert found == [{"learning_rate.scale": "5"}, {"loss.factor": "5"}]
    named = readings(search, [frozenset(one.items()) for one in found])
    first, second = named[:2]
    assert frozenset(planted.items()) in (first, second)
    assert {("loss.outputs", "sum"), ("learning_rate.scale", "half")} in (first, second)
    alone = [search.try_set(frozenset([single])).score for single in planted.items()]
    assert min(alone) >= search.try_set(frozenset()).score


def test_one_convention_is_named_where_two_others_do_the_same():
    """Half the rate and twice the loss: half the penalty, as far as weights can tell."""
    on = bench("weights")
    planted = {"learning_rate.scale": "half", "loss.factor": "double"}
    found = searched(on, planted)[1]
    assert found == [{"l2.penalty": "half"}, {"l2.gradient": "half"}]  # which, the loss would tell
    more = frozenset([*planted.items(), ("data.labels", "shifted")])
    again = Search(on.stand_in, on.told(more))
    fewer = again.needed(again.prove(more))
    assert fewer.choices == {("l2.penalty", "half"), ("data.labels", "shifted")}
    assert more in readings(again, [fewer.choices])


def test_a_search_that_takes_too_long_is_given_up_in_the_middle(monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0.0)
    search, found = searched(bench(), {"l2.penalty": "half"})
    assert search.stopped
    assert found == []
    assert search.tried == 1


def test_factors_of_which_one_is_another_in_the_smaller_batch():
    """Two sixths of a loss are its mean over three outputs, until a batch has two examples and not six."""
    on = bench("weights", layers=PLAIN, batch_size=6)
    planted = {"loss.batch": "mean_twice", "learning_rate.scale": "double"}
    first = Search(on.stand_in, on.told(frozenset(planted.items())))
    assert first.try_set(frozenset([("loss.outputs", "mean")])).explains  # 2 / 6 = 1 / 3
    assert not first.prove(frozenset([("loss.outputs", "mean")])).explains
    found = [dict(tried.choices) for tried in first.run()[0]]
    assert planted in found


@pytest.mark.parametrize(
    ("optimizer", "families"),
    [({"class_name": "SGD"}, set()), (MOMENTUM, {"momentum"}), (ADAM, {"adam"}), ("rmsprop", {"rmsprop"})],
)
def test_what_is_about_another_optimizer_is_not_tried(optimizer, families):
    on = bench(optimizer=optimizer)
    search = Search(on.stand_in, on.told(NONE))
    tried = {code.partition(".")[0] for code, _ in search.singles}
    assert tried & {"adam", "momentum", "rmsprop", "init"} == families
    left_out = [
        one for one in on.stand_in.choices if one not in search.singles and one[0].partition(".")[0] not in tried
    ]
    for one in left_out:  # it makes no difference indeed
        assert search.prove(frozenset([one])).explains


@pytest.mark.parametrize(("batch", "shows"), [(6, True), (5, False)])
def test_a_factor_that_shows_late_is_one(batch, shows):
    """The batch that is smaller is the fourth of 20 examples, later than the steps that are tried first."""
    on = bench(batch_size=batch)
    search = Search(on.stand_in, on.told({"loss.factor": "half"}))
    assert search.quick.steps < 4
    for choices in (frozenset(), *(frozenset([single]) for single in search.singles)):
        search.try_set(choices)
    assert (
        ("data.partial_batch", "full_size") in search.factors(["data.partial_batch"])["data.partial_batch"]
    ) == shows
