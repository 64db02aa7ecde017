"""Penalties of other people, each against a network of two layers written out with its formula."""

from __future__ import annotations

import numpy as np
import pytest

from parity.protocol import Key
from scratch_net.conventions import apply
from scratch_net.conventions.factors import Factors
from scratch_net.conventions.regularization import CHOICES, KERAS_CHOICE
from scratch_net.losses import MeanSquaredError
from scratch_net.optimizers import SGD, Adam
from scratch_net.regularizers import L1, L1L2, L2
from tests.scratch_net.conventions.by_hand import (
    NAMES,
    RATE,
    TRAINING,
    B,
    N,
    assert_equal_but_for_rounding,
    batch,
    by_hand,
    changed,
    made,
    told,
    weights,
)
from tests.scratch_net.conventions.networks import steps

LAM = 0.125  # a float32 number: rounding it changes nothing
X, Y = batch()
KERNELS, BIASES = ("W1", "W2"), ("b1", "b2")


def squared_error(y, p, z):
    return ((y - p) ** 2).mean(), 2 * (p - y) / p.size


def hand(lam=LAM, told_lam=None, names=KERNELS, **more):
    """A network whose gradient has `2 lam w` and whose loss says `told_lam sum(w**2)`, which may be by name."""
    w, told_lam = weights(), lam if told_lam is None else told_lam
    of_name = told_lam if isinstance(told_lam, dict) else dict.fromkeys(names, told_lam)
    return by_hand(
        w,
        X,
        Y,
        squared_error,
        {name: 2 * lam * w[name] for name in names},
        {name: of_name.get(name, lam) * (w[name] ** 2).sum() for name in names},
        **more,
    )


def decayed(rate):
    w = weights()
    return hand(lam=0.0, told_lam=LAM, decay={name: rate * 2 * LAM * w[name] for name in KERNELS})


# What each choice computes, and what it tells first that Keras does not.
FORMULAS = {
    ("l2.penalty", "half"): (lambda: hand(LAM / 2), Key("loss", "dense/kernel", "penalty")),
    ("l2.penalty", "absent"): (lambda: hand(0.0), Key("loss", "dense/kernel", "penalty")),
    ("l2.scale", "over_batch"): (lambda: hand(LAM / B), Key("loss", "dense/kernel", "penalty")),
    ("l2.scale", "over_dataset"): (lambda: hand(LAM / N), Key("loss", "dense/kernel", "penalty")),
    ("l2.bias", "included"): (lambda: hand(names=KERNELS + BIASES), Key("loss", "dense/bias", "penalty")),
    ("l2.layers", "not_first"): (lambda: hand(names=("W2",)), Key("loss", "dense/kernel", "penalty")),
    ("l2.layers", "not_second"): (hand, None),  # it is the last: see below for one that is not
    ("l2.layers", "not_last"): (lambda: hand(names=("W1",)), Key("loss", "dense_1/kernel", "penalty")),
    ("l2.layers", "only_first"): (lambda: hand(names=("W1",)), Key("loss", "dense_1/kernel", "penalty")),
    ("l2.layers", "only_last"): (lambda: hand(names=("W2",)), Key("loss", "dense/kernel", "penalty")),
    ("l2.layers", "all"): (hand, None),  # all are penalized: see below for one that is not
    ("l2.bias", "in_gradient"): (
        lambda: hand(names=KERNELS + BIASES, told_lam={"b1": 0.0, "b2": 0.0}),
        Key("gradient", "dense_1/bias", "whole"),
    ),
    ("l2.gradient", "half"): (lambda: hand(LAM / 2, LAM), Key("gradient", "dense_1/kernel", "penalty")),
    ("l2.gradient", "absent"): (lambda: hand(0.0, LAM), Key("gradient", "dense_1/kernel", "penalty")),
    ("l2.gradient", "double"): (lambda: hand(2 * LAM, LAM), Key("gradient", "dense_1/kernel", "penalty")),
    ("l2.gradient", "over_batch"): (lambda: hand(LAM / B, LAM), Key("gradient", "dense_1/kernel", "penalty")),
    ("l2.gradient", "over_dataset"): (lambda: hand(LAM / N, LAM), Key("gradient", "dense_1/kernel", "penalty")),
    ("l2.reported", "absent"): (lambda: hand(LAM, 0.0), Key("loss", "dense/kernel", "penalty")),
    ("l2.reported", "half"): (lambda: hand(LAM, LAM / 2), Key("loss", "dense/kernel", "penalty")),
    ("l2.decay", "decoupled"): (lambda: decayed(RATE), Key("gradient", "dense_1/kernel", "penalty")),
    ("l2.decay", "unscaled"): (lambda: decayed(1), Key("gradient", "dense_1/kernel", "penalty")),
    ("l2.constant", "exact"): (hand, None),  # lambda is a float32 number: see below for one that is not
    ("activity.batch", "sum"): (hand, None),  # no activity is penalized: see below
}


def hand_l1(lam=LAM, told_lam=None):
    """A network whose gradient has `lam sign(w)` of its kernels and whose loss says `told_lam sum(|w|)`."""
    w, told_lam = weights(), lam if told_lam is None else told_lam
    slopes, told_ = ({name: of(w[name]) for name in KERNELS} for of in (np.sign, lambda w: np.abs(w).sum()))
    return by_hand(
        w,
        X,
        Y,
        squared_error,
        {name: lam * slope for name, slope in slopes.items()},
        {name: told_lam * size for name, size in told_.items()},
    )


def hand_of_outputs(lam=LAM, told_lam=None):
    """A network whose backpropagation has `2 lam a / B` of its hidden outputs and whose loss says `told_lam`'s."""
    found = by_hand(weights(), X, Y, squared_error, activity=lam / B)
    told_lam, key = lam if told_lam is None else told_lam, "loss dense/output (penalty)"
    penalty = told_lam / B * (np.tanh(X @ weights()["W1"] + weights()["b1"]) ** 2).sum()
    return found | {key: penalty, "loss loss": found["loss loss (data)"] + penalty}


def without_gradient(share, names):
    """A network without penalties whose weights lose a share of themselves beside the step."""
    w = weights()
    return by_hand(w, X, Y, squared_error, decay={name: share * w[name] for name in names})


# The same of an l1 of kernels, of an l2 that biases have of their own, and of an l2 of the hidden outputs.
OF_L1 = {
    ("l1.penalty", "half"): lambda: hand_l1(LAM / 2),
    ("l1.penalty", "absent"): lambda: hand_l1(0.0),
    ("l1.scale", "over_batch"): lambda: hand_l1(LAM / B),
    ("l1.scale", "over_dataset"): lambda: hand_l1(LAM / N),
    ("l1.gradient", "absent"): lambda: hand_l1(0.0, LAM),
    ("l1.reported", "absent"): lambda: hand_l1(LAM, 0.0),
    ("l1.constant", "exact"): hand_l1,  # as for an l2
}
OF_BIASES = {
    ("bias.penalty", "absent"): lambda: hand(0.0, names=BIASES),
    ("bias.penalty", "in_loss"): lambda: hand(0.0, LAM, names=BIASES),
    ("bias.penalty", "in_gradient"): lambda: hand(LAM, 0.0, names=BIASES),
}
OF_OUTPUTS = {
    ("activity.penalty", "half"): lambda: hand_of_outputs(LAM / 2),
    ("activity.penalty", "absent"): lambda: hand_of_outputs(0.0),
    ("activity.gradient", "absent"): lambda: hand_of_outputs(0.0, LAM),
    ("activity.reported", "absent"): lambda: hand_of_outputs(LAM, 0.0),
}
# What number there is -> a network without any penalty that has one all the same.
OF_NOTHING = {
    "l2.added": hand,
    **{
        f"weight_decay.{kernels}{place}": lambda of=of, names=names: of(names)
        for kernels, names in (("", KERNELS + BIASES), ("kernels_", KERNELS))
        for place, of in (
            ("in_gradient", lambda names: hand(LAM / 2, 0.0, names=names)),
            ("coupled", lambda names: without_gradient(RATE * LAM, names)),
            ("decoupled", lambda names: without_gradient(RATE * LAM, names)),
        )
    },
}
ROUNDED = 1e-15  # of numbers of size one: what rounding may differ by, and no choice here does


def test_every_choice_is_here():
    table = [*FORMULAS, *OF_L1, *OF_BIASES, *OF_OUTPUTS]
    assert sorted(table) == sorted((code, choice) for code, choices in CHOICES.items() for choice in choices)


def test_every_number_that_is_added_is_here():
    assert set(OF_NOTHING) == {
        code for code, choices in CHOICES.items() if isinstance(choices, Factors) and KERAS_CHOICE[code] == "none"
    }


@pytest.mark.parametrize("code", OF_NOTHING)
@pytest.mark.parametrize("l1", [False, True], ids=["no penalty", "an l1"])
def test_what_is_added_to_nothing(code, l1):
    """Beside an l1, what it adds is there as well."""
    kernel = (lambda: L1(0.25)) if l1 else None
    plain, said = (told(made(MeanSquaredError(), choices, kernel=kernel), X, Y) for choices in ({}, {code: f"{LAM}"}))
    expected, nothing = OF_NOTHING[code](), hand(0.0, names=())
    for key in ("loss loss", *(f"{phase} {of}" for phase in ("gradient", "update") for of in NAMES.values())):
        np.testing.assert_allclose(said[key], plain[key] + expected[key] - nothing[key], rtol=0, atol=ROUNDED * 10)


@pytest.mark.parametrize("kernels", ["", "kernels_"])
def test_a_coupled_decay_goes_through_the_slots_and_a_decoupled_does_not(kernels):
    """Coupled, the weights are those of a gradient that has it; decoupled, they lose it beside a step of Adam's."""
    steps = {
        place: told(made(MeanSquaredError(), {f"weight_decay.{kernels}{place}": "0.5"}, optimizer=Adam(RATE)), X, Y)
        for place in ("in_gradient", "coupled", "decoupled")
    }
    plain, w = told(made(MeanSquaredError(), {}, optimizer=Adam(RATE)), X, Y), weights()
    for name, key in NAMES.items():
        assert np.array_equal(steps["coupled"][f"update {key}"], steps["in_gradient"][f"update {key}"])
        assert np.array_equal(steps["coupled"][f"gradient {key}"], plain[f"gradient {key}"])
        lost = RATE * 0.5 * w[name] if name in KERNELS or not kernels else 0
        np.testing.assert_allclose(
            steps["decoupled"][f"update {key}"], plain[f"update {key}"] - lost, rtol=0, atol=ROUNDED
        )


@pytest.mark.parametrize("code", OF_NOTHING)
def test_an_l2_that_is_there_is_not_added_to(code):
    ours, theirs = (told(made(MeanSquaredError(), c, kernel=lambda: L2(LAM)), X, Y) for c in ({}, {code: "1"}))
    assert changed(ours, theirs) == []


def test_kernels_without_a_penalty_get_that_of_the_first_that_has_one():
    def one(choices):
        network = made(MeanSquaredError(), {}, kernel=lambda: L2(LAM))
        network.layers[0].kernel_regularizer = None
        return told(apply(network, choices, TRAINING), X, Y)

    every = told(made(MeanSquaredError(), {}, kernel=lambda: L2(LAM)), X, Y)
    assert changed(one({"l2.layers": "all"}), every) == []
    assert "loss dense/kernel (penalty)" not in one({})


@pytest.mark.parametrize("choice", FORMULAS, ids="=".join)
def test_a_step_is_that_of_the_network_written_by_hand(choice):
    said = told(made(MeanSquaredError(), dict([choice]), kernel=lambda: L2(LAM)), X, Y)
    assert_equal_but_for_rounding(said, FORMULAS[choice][0]())


@pytest.mark.parametrize("choice", FORMULAS, ids="=".join)
def test_the_forward_phase_and_the_data_agree_and_the_catalogue_s_place_is_first(choice):
    ours = told(made(MeanSquaredError(), {}, kernel=lambda: L2(LAM)), X, Y)
    theirs = told(made(MeanSquaredError(), dict([choice]), kernel=lambda: L2(LAM)), X, Y)
    differ = changed(ours, theirs)
    first = FORMULAS[choice][1]
    told_by_both = [key for key in differ if key in ours and key in theirs]
    assert not [key for key in told_by_both if key.startswith(("forward", "metrics")) or "data" in key]
    if first is None:
        assert differ == []
        return
    assert str(first) in differ
    assert any(key.startswith("loss") for key in told_by_both) == (first.phase == "loss")


@pytest.mark.parametrize("choice", OF_L1, ids="=".join)
def test_of_an_l1(choice):
    assert_equal_but_for_rounding(
        told(made(MeanSquaredError(), dict([choice]), kernel=lambda: L1(LAM)), X, Y), OF_L1[choice]()
    )


@pytest.mark.parametrize("choice", OF_BIASES, ids="=".join)
def test_of_the_biases_own(choice):
    said = told(made(MeanSquaredError(), dict([choice]), bias=lambda: L2(LAM)), X, Y)
    assert_equal_but_for_rounding(said, OF_BIASES[choice]())
    kernels = [told(made(MeanSquaredError(), c, kernel=lambda: L2(LAM)), X, Y) for c in ({}, dict([choice]))]
    assert changed(*kernels) == []


def hidden_only(choices, regularizer=lambda: L2(LAM)):
    """A network with a penalty of its hidden outputs."""
    network = made(MeanSquaredError(), choices, activity=regularizer)
    network.layers[-1].activity_regularizer = None
    return network


@pytest.mark.parametrize("choice", OF_OUTPUTS, ids="=".join)
def test_of_the_outputs(choice):
    assert_equal_but_for_rounding(told(hidden_only(dict([choice])), X, Y), OF_OUTPUTS[choice]())


@pytest.mark.parametrize("choice", [*OF_BIASES, *OF_OUTPUTS], ids="=".join)
def test_of_an_l1_and_an_l2_in_one_both(choice):
    place = {"bias": "bias", "activity": "activity"}[choice[0].partition(".")[0]]
    both, of_l1, of_l2, neither = (
        told(made(MeanSquaredError(), dict([choice]), **{place: regularizer}), X, Y)
        for regularizer in (lambda: L1L2(0.25, LAM), lambda: L1(0.25), lambda: L2(LAM), None)
    )
    for key in ("loss loss", "gradient dense/bias"):
        expected = of_l1[key] + of_l2[key] - neither[key]
        np.testing.assert_allclose(both[key], expected, rtol=0, atol=ROUNDED * 10)


@pytest.mark.parametrize("choice", OF_L1, ids="=".join)
def test_an_l2_is_no_business_of_what_is_about_an_l1(choice):
    ours, theirs = (told(made(MeanSquaredError(), c, kernel=lambda: L2(LAM)), X, Y) for c in ({}, dict([choice])))
    assert changed(ours, theirs) == []


def test_what_is_told_of_an_l1_and_of_an_l2_is_told_together():
    both = {"l1.reported": "absent", "l2.reported": "half", "l1.penalty": "half"}
    said = told(made(MeanSquaredError(), both, kernel=lambda: L1L2(0.25, LAM)), X, Y)
    w = weights()["W1"]
    assert said["loss dense/kernel (penalty)"] == pytest.approx(LAM / 2 * (w**2).sum(), rel=ROUNDED, abs=0)
    slope = 0.125 * np.sign(w) + 2 * LAM * w
    np.testing.assert_allclose(said["gradient dense/kernel (penalty)"], slope, rtol=0, atol=ROUNDED)


def test_half_of_what_is_told_goes_on_past_the_slots_as_well():
    both = {"l2.gradient": "half", "l2.decay": "decoupled"}
    said = told(made(MeanSquaredError(), both, kernel=lambda: L2(LAM)), X, Y)
    w = weights()
    decay = {name: RATE * LAM * w[name] for name in KERNELS}
    assert_equal_but_for_rounding(said, hand(lam=0.0, told_lam=LAM, decay=decay))


def test_a_bias_penalized_in_the_gradient_alone_follows_its_kernel_s_penalty():
    """Halved where that is halved; an l1 beside it, and a penalty of the bias's own, which is told."""
    both = {"l2.bias": "in_gradient", "l2.penalty": "half"}
    network = made(MeanSquaredError(), both, kernel=lambda: L1L2(0.25, LAM), bias=lambda: L2(0.5))
    b = weights()["b1"]
    said = told(network, X, Y)
    slope = (LAM + 0.5) * b + 0.25 * np.sign(b)
    np.testing.assert_allclose(said["gradient dense/bias (penalty)"], slope, rtol=0, atol=ROUNDED)
    np.testing.assert_allclose(said["loss dense/bias (penalty)"], 0.25 * (b**2).sum(), rtol=ROUNDED)


@pytest.mark.parametrize("central", ["forward", "central"])
def test_an_engine_of_differences_finds_the_slopes_of_what_no_loss_tells(central):
    engine = {"gradient.engine": central, "gradient.step": "1e-6"}
    biased, penalized = {"bias": lambda: L2(LAM)}, {"kernel": lambda: L2(LAM)}
    of = {("l2.bias", "in_gradient"): penalized, ("l2.gradient", "half"): penalized}
    of |= {("bias.penalty", "in_loss"): biased, ("bias.penalty", "in_gradient"): biased}
    for choice, settings in of.items():
        said = told(made(MeanSquaredError(), engine | dict([choice]), **settings), X, Y)
        expected = (OF_BIASES[choice] if choice in OF_BIASES else FORMULAS[choice][0])()
        for key, slope in expected.items():
            if key.startswith("gradient") and "penalty" in key:
                # Off by half the step times the curvature, 2 lam; and by rounding, 1e-16 of the loss over the step.
                np.testing.assert_allclose(said[key], slope, rtol=0, atol=1e-6, err_msg=key)


def test_half_over_the_dataset_is_the_book_s():
    both = {"l2.penalty": "half", "l2.scale": "over_dataset"}
    said = told(made(MeanSquaredError(), both, kernel=lambda: L2(LAM)), X, Y)
    assert_equal_but_for_rounding(said, hand(LAM / (2 * N)))


def test_over_batch_follows_a_smaller_batch():
    network = made(MeanSquaredError(), {"l2.scale": "over_batch"}, kernel=lambda: L2(LAM))
    w = weights()
    assert told(network, X[:2], Y[:2])["loss dense/kernel (penalty)"] == LAM * np.vdot(w["W1"], w["W1"]) / 2


@pytest.mark.parametrize(("code", "of", "by"), [("l2.constant", L2, hand), ("l1.constant", L1, hand_l1)])
def test_lambda_as_it_is(code, of, by):
    lam = 0.1
    said = told(made(MeanSquaredError(), {code: "exact"}, kernel=lambda: of(lam)), X, Y)
    assert_equal_but_for_rounding(said, by(lam))
    ours = told(made(MeanSquaredError(), {}, kernel=lambda: of(lam)), X, Y)
    off = ours["loss dense/kernel (penalty)"] / said["loss dense/kernel (penalty)"] - 1
    assert off == pytest.approx(float(np.float32(lam)) / lam - 1, rel=1e-6)


def test_in_float32_lambda_as_it_is_is_the_rounded_one():
    x, y = batch(dtype="float32")
    ours, theirs = (
        told(made(MeanSquaredError(), choices, kernel=lambda: L2(0.1), dtype="float32"), x, y)
        for choices in ({}, {"l2.constant": "exact"})
    )
    assert changed(ours, theirs) == []


def test_the_activity_penalty_of_the_batch():
    w = weights()
    mean, whole = (by_hand(w, X, Y, squared_error, activity=lam) for lam in (LAM / B, LAM))
    assert_equal_but_for_rounding(told(hidden_only({}), X, Y), mean)
    assert_equal_but_for_rounding(told(hidden_only({"activity.batch": "sum"}), X, Y), whole)


@pytest.mark.parametrize("choice", [choice for choice in FORMULAS if choice[0].startswith("l2.")], ids="=".join)
def test_an_l1_is_nobody_s_business_but_of_those_that_move_the_whole_regularizer(choice):
    ours, theirs = (told(made(MeanSquaredError(), c, kernel=lambda: L1(LAM)), X, Y) for c in ({}, dict([choice])))
    moves = choice[0] in {"l2.bias", "l2.layers"} and FORMULAS[choice][1] is not None
    assert bool(changed(ours, theirs)) == moves


@pytest.mark.parametrize(
    ("choice", "without"),
    [
        ("not_second", ("dense_1",)),
        ("only_first", ("dense_1", "dense_2")),
        ("only_last", ("dense", "dense_1")),
    ],
)
def test_of_three_layers_some_have_no_penalty(choice, without):
    """The gradient and the loss of all others are Keras', to the last bit."""
    (ours, *_), _ = steps("sgd", {})
    (theirs, *_), _ = steps("sgd", {"l2.layers": choice})
    gradients = {Key("gradient", f"{layer}/kernel") for layer in without}
    of_them = {Key("gradient", f"{layer}/kernel", part) for layer in without for part in ("whole", "data", "penalty")}
    of_them |= {Key("loss", f"{layer}/kernel", "penalty") for layer in without}
    wholes = {Key("loss", "loss"), Key("loss", "loss", "penalty")}
    wholes |= {Key("update", f"{layer}/kernel") for layer in without}
    assert ours.arrays.keys() - theirs.arrays.keys() == of_them - gradients
    for key, array in theirs.arrays.items():
        same = array.tobytes() == ours.arrays[key].tobytes()
        assert same != (key in wholes | of_them), key
    for key in gradients:
        data = ours.arrays[Key("gradient", key.tensor, "data")]
        assert theirs.arrays[key].tobytes() == data.tobytes()


@pytest.mark.parametrize("choice", ["absent", "half"])
def test_the_l1_beside_an_l2_stays(choice):
    both = told(made(MeanSquaredError(), {"l2.reported": choice}, kernel=lambda: L1L2(0.25, LAM)), X, Y)
    w = weights()["W1"]
    factor = {"absent": 0, "half": 0.5}[choice]
    expected = 0.25 * np.abs(w).sum() + factor * LAM * (w**2).sum()
    assert both["loss dense/kernel (penalty)"] == pytest.approx(expected, rel=ROUNDED, abs=0)


def test_biases_keep_their_own_penalty_beside_their_kernel_s():
    network = made(MeanSquaredError(), {"l2.bias": "included"}, kernel=lambda: L2(LAM), bias=lambda: L2(0.5))
    b = weights()["b1"]
    said = told(network, X, Y)
    np.testing.assert_allclose(said["gradient dense/bias (penalty)"], 2 * (LAM + 0.5) * b, rtol=ROUNDED)


@pytest.mark.parametrize("central", ["forward", "central"])
@pytest.mark.parametrize("choice", [("l2.gradient", "absent"), ("l2.decay", "decoupled")], ids="=".join)
def test_an_engine_of_differences_finds_no_slope_where_there_is_no_gradient(central, choice):
    engine = {"gradient.engine": central}
    said = told(made(MeanSquaredError(), engine | dict([choice]), kernel=lambda: L2(LAM)), X, Y)
    assert not said["gradient dense/kernel (penalty)"].any()
    assert said["loss dense/kernel (penalty)"] > 0
    np.testing.assert_array_equal(said["gradient dense/kernel"], said["gradient dense/kernel (data)"])


@pytest.mark.parametrize("optimizer", [lambda: SGD(RATE, momentum=0.5), lambda: Adam(RATE)], ids=["momentum", "adam"])
def test_decay_beside_the_step_goes_past_the_slots(optimizer):
    """Three steps with no data gradient to speak of: the slots of a decoupled decay see the data alone."""
    plain, decayed_ = (
        made(MeanSquaredError(), choices, kernel=kernel, optimizer=optimizer())
        for choices, kernel in (({}, None), ({"l2.decay": "decoupled"}, lambda: L2(LAM)))
    )
    w = weights()["W1"]
    one, other = told(plain, X, Y), told(decayed_, X, Y)
    np.testing.assert_array_equal(one["update dense/kernel/momentum"], other["update dense/kernel/momentum"])
    apart = other["update dense/kernel"] - one["update dense/kernel"]
    np.testing.assert_allclose(apart, -RATE * 2 * LAM * w, rtol=0, atol=ROUNDED)


def test_dividing_by_an_unknown_number_of_examples_is_refused():
    from scratch_net import conventions

    network = made(MeanSquaredError(), {}, kernel=lambda: L2(LAM))
    with pytest.raises(ValueError, match="number of examples, which is not known"):
        conventions.apply(network, {"l2.scale": "over_dataset"})
