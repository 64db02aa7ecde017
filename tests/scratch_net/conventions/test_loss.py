"""Losses of other people, each against a network of two layers, or of none, written out with its formula."""

from __future__ import annotations

import numpy as np
import pytest

from scratch_net.conventions import crossentropy, loss as losses
from scratch_net.losses import (
    BinaryCrossentropy,
    CategoricalCrossentropy,
    MeanSquaredError,
    SparseCategoricalCrossentropy,
    SumSquaredError,
)
from scratch_net.regularizers import L2
from tests.scratch_net.conventions.by_hand import (
    B,
    assert_equal_but_for_rounding,
    batch,
    by_hand,
    changed,
    made,
    told,
    weights,
)

C, S = 3, 0.1  # classes, label smoothing
NUMBERS, ONE_HOT = batch(), batch(one_hot=True)


def squares(factor=1.0, told_factor=None):
    """A squared error; what is told of it may have another factor than its gradient."""

    def data(y, p, z):
        told = factor if told_factor is None else told_factor
        return told * ((y - p) ** 2).mean(), factor * 2 * (p - y) / p.size

    return lambda: by_hand(weights(), *NUMBERS, data)


def logs(factor=1.0, told_factor=None, targets=lambda y: y):
    """The cross-entropy of a softmax, with its shortcut dz = (p - y) / B."""

    def data(y, p, z):
        y, told = targets(y), factor if told_factor is None else told_factor
        return told * -(y * np.log(p)).sum(axis=1).mean(), factor * (p - y) / B

    return lambda: by_hand(weights(), *ONE_HOT, data, softmax=True)


def log_of_softmax_of_softmax(y, p, z):
    q = np.exp(p) / np.exp(p).sum(axis=1, keepdims=True)
    dp = (q - y) / B
    return -(y * np.log(q)).sum(axis=1).mean(), p * (dp - (dp * p).sum(axis=1, keepdims=True))


def log_of_softmax_of_softmax_told(y, p, z):
    return log_of_softmax_of_softmax(y, p, z)[0], (p - y) / B


def all_pairs_told(y, p, z):
    return all_pairs(y, p, z)[0], 2 * (p - y) / B


def all_pairs(y, p, z):
    pairs = y.reshape(1, -1) - p  # (B, B)
    return (pairs**2).mean(), -2 * pairs.sum(axis=1, keepdims=True) / B**2


REGRESSION = (MeanSquaredError, NUMBERS, {})
CLASSES = (CategoricalCrossentropy, ONE_HOT, {"last": "softmax"})
SMOOTHED = (lambda: CategoricalCrossentropy(S), ONE_HOT, {"last": "softmax"})

# Where each choice is seen in a network of two layers, and what it computes there.
FORMULAS = {
    ("loss.batch", "sum"): (REGRESSION, squares(B)),
    ("loss.batch", "mean_twice"): (REGRESSION, squares(1 / B)),
    ("loss.outputs", "mean"): (CLASSES, logs(1 / C)),
    ("loss.outputs", "sum"): (REGRESSION, squares(C)),
    ("loss.factor", "half"): (REGRESSION, squares(0.5)),
    ("loss.factor", "double"): (REGRESSION, squares(2)),
    ("loss.reported", "half"): (REGRESSION, squares(1, 0.5)),
    ("loss.reported", "double"): (REGRESSION, squares(1, 2)),
    ("loss.reported", "sum_outputs"): (REGRESSION, squares(1, C)),
    ("loss.reported", "mean_outputs"): (CLASSES, logs(1, 1 / C)),
    ("loss.reported", "sum_batch"): (CLASSES, logs(1, B)),
    ("loss.reported", "softmax_twice"): (
        CLASSES,
        lambda: by_hand(weights(), *ONE_HOT, log_of_softmax_of_softmax_told, softmax=True),
    ),
    ("loss.reported", "all_pairs"): (
        (MeanSquaredError, batch(1), {"outputs": 1}),
        lambda: by_hand(weights(1), *batch(1), all_pairs_told),
    ),
    ("loss.softmax", "twice"): (CLASSES, lambda: by_hand(weights(), *ONE_HOT, log_of_softmax_of_softmax, softmax=True)),
    ("loss.smoothing", "off_class"): (SMOOTHED, logs(targets=lambda y: y * (1 - S) + (1 - y) * S / (C - 1))),
    ("loss.smoothing", "ignored"): (SMOOTHED, logs()),
    ("loss.pairs", "all_pairs"): (
        (MeanSquaredError, batch(1), {"outputs": 1}),
        lambda: by_hand(weights(1), *batch(1), all_pairs),
    ),
}


@pytest.mark.parametrize("choice", FORMULAS, ids="=".join)
def test_a_step_is_that_of_the_network_written_by_hand(choice):
    (loss, given, settings), expected = FORMULAS[choice]
    assert_equal_but_for_rounding(told(made(loss(), dict([choice]), **settings), *given), expected())


@pytest.mark.parametrize("choice", FORMULAS, ids="=".join)
def test_the_forward_phase_and_the_penalties_agree_and_the_loss_is_first(choice):
    (loss, given, settings), _ = FORMULAS[choice]
    ours, theirs = (told(made(loss(), c, kernel=lambda: L2(0.125), **settings), *given) for c in ({}, dict([choice])))
    differ = changed(ours, theirs)
    assert "loss loss (data)" in differ
    assert not [key for key in differ if key.startswith(("forward", "metrics")) or "penalty" in key]
    assert any(key.startswith(("gradient", "update")) for key in differ) == (choice[0] != "loss.reported")
    assert theirs["loss loss"] == theirs["loss loss (data)"] + theirs["loss loss (penalty)"]


# Cross-entropies of probabilities: a network of no layers to speak of, whose outputs are chosen. --------------------

P = np.array([[1e-9, 0.4, 0.2], [0.3, 1e-13, 0.7], [0.5, 0.25, 0.25], [0.3, 0.3, 1e-16], [1.0, 0.5, 0.0], [0.2] * 3])
LABELS = np.array([0, 1, 2, 2, 2, 1], np.int32)
ROWS = np.eye(C)[LABELS]


def outputs_as_chosen(loss, choices, y, p=P):
    """What a step tells whose outputs are p: inputs p, a kernel that is the identity, nothing else."""
    network = made(loss, choices)
    network.layers = network.layers[-1:]
    layer = network.layers[0]
    layer.kernel, layer.bias = np.eye(p.shape[-1]), None
    return told(network, p, y)


# What is taken the logarithm of, and where a gradient goes through.
CLIPPED = {
    str(eps): (
        lambda p, eps=float(eps): np.clip(p, eps, 1 - eps),
        lambda p, eps=float(eps): (p >= eps) & (p <= 1 - eps),
    )
    for eps in ("1e-7", "1e-8", "1e-12", "1e-15")
} | {
    "added": (lambda p: p + 1e-7, lambda p: p >= 0),
    "none": (lambda p: p, lambda p: p >= 0),
}


def _of_one_logarithm(clip, *, normalized):
    """Value and dL/dp of `-1/B sum y log q`, element by element."""
    kept, inside = CLIPPED[clip]
    value, slope = 0.0, np.zeros_like(P)
    for b, p in enumerate(P):
        total = p.sum() if normalized else 1.0
        q = p / total
        with np.errstate(divide="ignore", invalid="ignore"):
            value -= (ROWS[b] * np.log(kept(q))).sum() / B
            dq = np.where(inside(q), -ROWS[b] / kept(q), 0) / B
            slope[b] = (dq - (dq * q).sum()) / total if normalized else dq
    return value, slope


# Keras' own formula for labels renormalizes what it clipped; tests/suite/laws/losses.py has it.
OF_KERAS = (SparseCategoricalCrossentropy, "normalized", "1e-7")


@pytest.mark.parametrize(
    ("loss", "outputs", "clip"),
    {
        (loss, outputs, clip): None
        for loss in (CategoricalCrossentropy, SparseCategoricalCrossentropy)
        for outputs in ("normalized", "as_given")
        for clip in CLIPPED
        if (loss, outputs, clip) != OF_KERAS
    },
)
def test_categorical_crossentropy_of_probabilities(loss, outputs, clip):
    choices = {"loss.clip": clip, "loss.probabilities": outputs}
    said = outputs_as_chosen(loss(), choices, LABELS if loss is SparseCategoricalCrossentropy else ROWS)
    value, slope = _of_one_logarithm(clip, normalized=outputs == "normalized")
    np.testing.assert_allclose(said["loss loss"], value, rtol=1e-14)
    np.testing.assert_allclose(said["gradient dense_1/output"], slope, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("clip", CLIPPED)
def test_binary_crossentropy_of_probabilities(clip):
    p = np.array([[1e-9, 0.4, 1.0], [1 - 1e-13, 1e-13, 0.7], [0.0, 0.25, 1e-16]])
    y = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0], [0.0, 1.0, 1.0]])
    kept, inside = CLIPPED[clip]
    with np.errstate(divide="ignore", invalid="ignore"):
        q, rest = kept(p), (1 - p + 1e-7) if clip == "added" else 1 - kept(p)
        value = -(y * np.log(q) + (1 - y) * np.log(rest)).mean()
        slope = np.where(inside(p), -(y / q) + (1 - y) / rest, 0) / p.size
    said = outputs_as_chosen(BinaryCrossentropy(), {"loss.clip": clip}, y, p)
    np.testing.assert_allclose(said["loss loss"], value, rtol=1e-14)
    np.testing.assert_allclose(said["gradient dense_1/output"], slope, rtol=1e-14)


# What is told the logarithm of, and of two classes the other one, beside a gradient of the logits.
LOGS = {f"plus_{eps}": lambda p, eps=float(eps): p + eps for eps in ("1e-7", "1e-8", "1e-9", "1e-10", "1e-12")} | {
    f"clip_{eps}": lambda p, eps=float(eps): np.clip(p, eps, 1 - eps) for eps in ("1e-7", "1e-8", "1e-12", "1e-15")
}
LOGS["plain"] = lambda p: p
SATURATED = 100.0  # the last kernel times this


def of_logits(loss, choices, y, *, last="softmax", size=SATURATED):
    network = made(loss, choices, last=last, kernel=lambda: L2(0.125))
    network.layers[-1].kernel *= size
    return told(network, ONE_HOT[0], y)


@pytest.mark.parametrize("choice", LOGS)
@pytest.mark.parametrize("smoothing", [0, S])
def test_a_logarithm_of_probabilities_is_told_beside_a_gradient_of_logits(choice, smoothing):
    def smoothed(y, classes):
        return y * (1 - smoothing) + smoothing / classes

    rows = ONE_HOT[1]
    cases = [(CategoricalCrossentropy(smoothing), rows, "softmax", smoothed(rows, C))]
    cases += [(BinaryCrossentropy(smoothing), rows, "sigmoid", smoothed(rows, 2))]
    cases += [] if smoothing else [(SparseCategoricalCrossentropy(), rows.argmax(axis=1), "softmax", rows)]
    for loss, given, last, y in cases:
        size = 1.0 if choice == "plain" else SATURATED
        ours, theirs = (of_logits(loss, c, given, last=last, size=size) for c in ({}, {"loss.log": choice}))
        differ = set(changed(ours, theirs))
        both = {"loss loss", "loss loss (data)"}
        assert differ <= both if choice == "plain" else differ == both  # by rounding, if it does
        p = ours["forward dense_1/output"]
        q = LOGS[choice](p)
        rest = 1 - p + float(choice.partition("_")[2]) if choice.startswith("plus") else 1 - q
        each = y * np.log(q) + ((1 - y) * np.log(rest) if last == "sigmoid" else 0)
        expected = -each.mean() if last == "sigmoid" else -each.sum(axis=1).mean()
        np.testing.assert_allclose(theirs["loss loss (data)"], expected, rtol=1e-14)
        assert theirs["loss loss"] - theirs["loss loss (data)"] == pytest.approx(
            ours["loss dense_1/kernel (penalty)"] + ours["loss dense/kernel (penalty)"]
        )


def test_a_plain_logarithm_is_not_finite_where_an_output_is_0():
    logits, plain = (of_logits(CategoricalCrossentropy(), c, ONE_HOT[1], size=1e5) for c in ({}, {"loss.log": "plain"}))
    assert np.isfinite(logits["loss loss"])
    assert not np.isfinite(plain["loss loss"])
    assert set(changed(logits, plain)) == {"loss loss", "loss loss (data)"}


def test_a_told_logarithm_goes_together_with_other_losses():
    log = {"loss.log": "plus_1e-7"}
    data = "loss loss (data)"
    alone = of_logits(CategoricalCrossentropy(), log, ONE_HOT[1])
    for others, factor in (
        ({"loss.factor": "half"}, 0.5),
        ({"loss.reported": "sum_batch"}, B),
        ({"loss.outputs": "mean"}, 1 / C),
    ):
        beside, without = (of_logits(CategoricalCrossentropy(), c, ONE_HOT[1]) for c in (others | log, others))
        assert beside[data] == pytest.approx(alone[data] * factor, rel=1e-14)
        assert set(changed(beside, without)) == {"loss loss", data}
    for others in ({"loss.input": "probabilities"}, {"loss.softmax": "twice"}):  # no more of the logits
        assert not changed(*(of_logits(CategoricalCrossentropy(), c, ONE_HOT[1]) for c in (others | log, others)))


def test_a_told_logarithm_is_taken_in_the_precision_of_the_run():
    y = ONE_HOT[1].astype("f4")
    network = made(CategoricalCrossentropy(), {"loss.log": "plus_1e-7"}, last="softmax", dtype="float32")
    said = told(network, ONE_HOT[0].astype("f4"), y)
    assert said["loss loss"].dtype == np.float32
    p = said["forward dense_1/output"]
    assert p.dtype == np.float32
    assert said["loss loss"] == pytest.approx(-(y * np.log(p + np.float32(1e-7))).sum(axis=1).mean(), rel=1e-6)


@pytest.mark.parametrize("loss", [MeanSquaredError, BinaryCrossentropy])
def test_beside_a_loss_of_all_pairs_there_is_nothing_more_to_tell(loss):
    last = {"last": "sigmoid"} if loss is BinaryCrossentropy else {}
    x, y = batch(1)
    both = {"loss.pairs": "all_pairs", "loss.reported": "all_pairs"}
    alone, beside = (
        told(made(loss(), choices, outputs=1, **last), x, y > 0) for choices in ({"loss.pairs": "all_pairs"}, both)
    )
    assert_equal_but_for_rounding(beside, alone)


def test_what_is_told_of_all_pairs_has_the_factors_of_the_loss():
    x, y = batch(1)
    for code, choice, factor in (("loss.factor", "half", 1 / 2), ("loss.batch", "sum", B)):
        alone, beside = (
            told(made(MeanSquaredError(), {"loss.reported": "all_pairs"} | more, outputs=1), x, y)
            for more in ({}, {code: choice})
        )
        np.testing.assert_allclose(beside["loss loss"], factor * alone["loss loss"], rtol=1e-15)


@pytest.mark.parametrize("loss", [CategoricalCrossentropy, SparseCategoricalCrossentropy])
@pytest.mark.parametrize("size", [1.0, 1e4])
def test_a_softmax_without_the_largest_z_subtracted(loss, size):
    """As it is written by hand, NaN where an exponential overflows."""
    y = LABELS if loss is SparseCategoricalCrossentropy else ONE_HOT[1]
    rows = ROWS if loss is SparseCategoricalCrossentropy else y
    said = of_logits(loss(), {"forward.softmax": "unshifted"}, y, size=size)
    z = said["forward dense_1/pre_activation"]
    with np.errstate(all="ignore"):
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        expected = -(rows * np.log(p)).sum(axis=1).mean()
    np.testing.assert_array_equal(said["forward dense_1/output"], p)
    np.testing.assert_allclose(said["gradient dense_1/pre_activation"], (p - rows) / B, rtol=1e-14, atol=1e-16)
    np.testing.assert_allclose(said["loss loss (data)"], expected, rtol=1e-14)
    assert np.isnan(p).any() == (size > 1)


def test_a_softmax_without_the_largest_z_subtracted_under_another_loss():
    for loss, last in ((MeanSquaredError, "softmax"), (BinaryCrossentropy, "softmax"), (BinaryCrossentropy, "sigmoid")):
        ours, keras = (
            of_logits(loss(), c, ONE_HOT[1], last=last, size=1) for c in ({"forward.softmax": "unshifted"}, {})
        )
        assert_equal_but_for_rounding(ours, keras)
        assert (changed(ours, keras) == []) == (last == "sigmoid")


def test_every_choice_is_tested():
    clips = {("loss.clip", choice) for choice in CLIPPED if choice != "1e-7"}
    others = {("loss.probabilities", "as_given"), ("loss.input", "probabilities"), ("loss.smoothing", "scaled")}
    others |= {("loss.soft_labels", "fused"), ("forward.softmax", "unshifted")} | {
        ("loss.log", choice) for choice in LOGS
    }
    tables = losses.CHOICES | crossentropy.CHOICES
    assert clips | others | set(FORMULAS) == {(code, choice) for code, choices in tables.items() for choice in choices}


def test_soft_labels_count_as_one_in_the_fused_gradient():
    x, y = ONE_HOT[0], ONE_HOT[1] * 0.7 + 0.2
    ours, theirs = (
        told(made(CategoricalCrossentropy(), c, last="softmax"), x, y) for c in ({}, {"loss.soft_labels": "fused"})
    )
    p = ours["forward dense_1/output"]
    dz, total = "gradient dense_1/pre_activation", y.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(ours[dz], (total * p - y) / len(y), rtol=1e-13)
    np.testing.assert_allclose(theirs[dz], (p - y) / len(y), rtol=1e-13)
    assert dz in changed(ours, theirs)
    assert "loss loss" not in changed(ours, theirs)
    same = [
        told(made(CategoricalCrossentropy(), c, last="softmax"), *ONE_HOT) for c in ({}, {"loss.soft_labels": "fused"})
    ]
    assert changed(*same) == []


def test_probabilities_stop_where_logits_go_on():
    """A last kernel so large that the softmax is 0 and 1 to 7 digits and more."""

    def saturated(choices):
        network = made(CategoricalCrossentropy(), choices, last="softmax")
        network.layers[-1].kernel *= 100
        return told(network, *ONE_HOT)

    logits, probabilities = saturated({}), saturated({"loss.input": "probabilities"})
    p = probabilities["forward dense_1/output"]
    q = np.clip(p, 1e-7, 1 - 1e-7)
    each = -(ONE_HOT[1] * np.log(q)).sum(axis=1)
    assert probabilities["loss loss"] == pytest.approx(each.mean(), rel=1e-14)
    assert logits["loss loss"] > probabilities["loss loss"]
    stopped = (ONE_HOT[1] * p).sum(axis=1) < 1e-7
    assert stopped.any()
    assert not probabilities["gradient dense_1/pre_activation"][stopped].any()
    assert logits["gradient dense_1/pre_activation"][stopped].any()


def test_probabilities_are_rounding_away_from_logits_where_nothing_saturates():
    ours, theirs = (told(made(CategoricalCrossentropy(), c, last="softmax"), *ONE_HOT) for c in ({}, INPUT))
    assert changed(ours, theirs)
    assert_equal_but_for_rounding({key: theirs[key] for key in ours}, ours)


INPUT = {"loss.input": "probabilities"}


@pytest.mark.parametrize("choices", [INPUT, {"loss.softmax": "twice"}], ids=str)
def test_logits_that_the_network_gives_as_such_stay_logits(choices):
    ours, theirs = (told(made(CategoricalCrossentropy(), c, from_logits=True), *ONE_HOT) for c in ({}, choices))
    assert changed(ours, theirs) == []


def test_smoothing_that_leaves_the_true_class_whole():
    """Its rows of targets sum to more than 1, where the shortcut is not the slope of the loss."""
    choices = {"loss.smoothing": "scaled", "loss.soft_labels": "fused"}
    said = told(made(CategoricalCrossentropy(S), choices, last="softmax"), *ONE_HOT)
    expected = logs(targets=lambda y: y * (1 - S / C) + S / C)()
    assert_equal_but_for_rounding(said, expected)


@pytest.mark.parametrize(
    ("choice", "target"), [("off_class", (0.1, 0.9)), ("scaled", (0.05, 1.0)), ("ignored", (0.0, 1.0))]
)
def test_smoothing_of_two_classes(choice, target):
    network = made(BinaryCrossentropy(S), {"loss.smoothing": choice}, last="sigmoid")
    np.testing.assert_allclose(network.loss.targets(np.array([[0.0, 1.0, 0.0]]))[0, :2], target, rtol=1e-15)


@pytest.mark.parametrize("loss", [BinaryCrossentropy, SumSquaredError])
def test_all_pairs_is_the_mean_over_every_shift_of_the_targets(loss):
    x, y = batch(1)
    y, last = ((y > 0).astype(float), "sigmoid") if loss is BinaryCrossentropy else (y, "linear")
    settings = {"outputs": 1, "last": last}
    shifted = [told(made(loss(), {}, **settings), x, np.roll(y, k, axis=0)) for k in range(B)]
    expected = {key: np.mean([said[key] for said in shifted], axis=0) for key in shifted[0] if "optimizer" not in key}
    expected = {key: value for key, value in expected.items() if not key.startswith("metrics")}
    for given in (y, y[:, 0]):  # however the targets are shaped
        assert_equal_but_for_rounding(told(made(loss(), {"loss.pairs": "all_pairs"}, **settings), x, given), expected)


def test_a_report_is_of_what_is_minimised():
    """Who sums over the outputs already reports no other sum, whatever the loss is called."""
    sums = {"loss.outputs": "sum", "loss.batch": "sum"}
    for reported in ("sum_outputs", "sum_batch"):
        ours, theirs = (
            told(made(MeanSquaredError(), c), *NUMBERS) for c in (sums, {**sums, "loss.reported": reported})
        )
        assert changed(ours, theirs) == []
    ours, theirs = (
        told(made(MeanSquaredError(), c), *NUMBERS) for c in (sums, {**sums, "loss.reported": "mean_outputs"})
    )
    assert theirs["loss loss"] == pytest.approx(ours["loss loss"] / C, rel=1e-15)


@pytest.mark.parametrize(
    ("choice", "loss", "settings", "given"),
    [
        (("loss.outputs", "sum"), CategoricalCrossentropy, {"last": "softmax"}, ONE_HOT),
        (("loss.outputs", "mean"), MeanSquaredError, {}, NUMBERS),
        (("loss.pairs", "all_pairs"), MeanSquaredError, {}, NUMBERS),
        (("loss.smoothing", "off_class"), CategoricalCrossentropy, {"last": "softmax"}, ONE_HOT),
        (("loss.smoothing", "scaled"), MeanSquaredError, {}, NUMBERS),
        (("loss.clip", "added"), CategoricalCrossentropy, {"last": "softmax"}, ONE_HOT),
        (("loss.clip", "none"), MeanSquaredError, {}, NUMBERS),
        (("loss.probabilities", "as_given"), CategoricalCrossentropy, {"last": "softmax"}, ONE_HOT),
        (("loss.probabilities", "as_given"), BinaryCrossentropy, {"last": "sigmoid"}, ONE_HOT),
        (("loss.log", "plus_1e-7"), CategoricalCrossentropy, {}, ONE_HOT),
        (("loss.log", "clip_1e-7"), CategoricalCrossentropy, {"from_logits": True}, ONE_HOT),
        (("loss.log", "plus_1e-7"), MeanSquaredError, {"last": "softmax"}, ONE_HOT),
        (("loss.softmax", "twice"), CategoricalCrossentropy, {}, ONE_HOT),
        (("loss.input", "probabilities"), MeanSquaredError, {"last": "softmax"}, ONE_HOT),
        (("loss.reported", "sum_outputs"), CategoricalCrossentropy, {"last": "softmax"}, ONE_HOT),
        (("loss.reported", "mean_outputs"), MeanSquaredError, {}, NUMBERS),
    ],
    ids=str,
)
def test_where_a_choice_means_nothing_not_a_bit_changes(choice, loss, settings, given):
    ours, theirs = (told(made(loss(), c, **settings), *given) for c in ({}, dict([choice])))
    assert changed(ours, theirs) == []
