"""A cause of an l2 or l1 is told of what the experiment penalizes: weights, outputs, or both."""

from __future__ import annotations

import ast

import pytest

from parity.config import validate
from parity.conventions import catalogue, convention
from parity.diagnosis import penalized
from parity.diagnosis.effect import Effect
from parity.diagnosis.explain import _cause
from parity.diagnosis.own_words import own_words
from parity.protocol import Key
from tests.parity.diagnosis.benches import TABLE

WEIGHTS, OUTPUTS = {"kernel_regularizer": {"l2": 0.02}}, {"activity_regularizer": {"l2": 0.01}}
OF_BOTH_KINDS = {"activity_regularizer": {"l1": 0.01, "l2": 0.02}}
OF_W = "penalty = lam * np.sum(W**2); dW += 2 * lam * W"
OF_A = "penalty = (lam * np.sum(a**2)) / len(a); da += (2 * lam * a) / len(a)"


def experiment(**regularizers):
    plain = dict.fromkeys(("kernel_regularizer", "bias_regularizer", "activity_regularizer"))
    first, *others = ({**layer, **plain} for layer in TABLE["layers"])
    return validate({**TABLE, "layers": [first | regularizers, *others]})


def cause(code, choice, on, own=None):
    return _cause(on, code, choice, own, Effect(0.5, Key("loss", "loss")), 0.0)


@pytest.mark.parametrize(
    ("regularizers", "reference", "candidate", "fix"),
    [
        (WEIGHTS, "lam * sum(W**2), gradient 2 * lam * W", "lam / 2 * sum(W**2), gradient lam * W", OF_W),
        (
            OUTPUTS,
            "lam * sum(a**2) / B, gradient 2 * lam * a / B",
            "lam / 2 * sum(a**2) / B, gradient lam * a / B",
            OF_A,
        ),
        (
            WEIGHTS | OUTPUTS,
            "lam * sum(W**2), gradient 2 * lam * W; of outputs lam * sum(a**2) / B, gradient 2 * lam * a / B",
            "lam / 2 * sum(W**2), gradient lam * W; of outputs lam / 2 * sum(a**2) / B, gradient lam * a / B",
            f"{OF_W}  # of outputs: {OF_A}",
        ),
        (
            {"kernel_regularizer": {"l1": 0.02}} | OUTPUTS,  # of the weights no l2 can be halved
            "lam * sum(a**2) / B, gradient 2 * lam * a / B",
            "lam / 2 * sum(a**2) / B, gradient lam * a / B",
            OF_A,
        ),
    ],
)
def test_half_an_l2_is_told_of_what_has_one(regularizers, reference, candidate, fix):
    told = cause("l2.penalty", "half", experiment(**regularizers))
    assert (told.reference_formula, told.candidate_formula, told.fix_candidate) == (reference, candidate, fix)


def test_a_factor_says_once_of_which_lambda_it_is():
    (one, other) = (
        cause("l2.penalty", "1/3", experiment(**of)).fix_candidate.partition("  # ")
        for of in (OUTPUTS, WEIGHTS | OUTPUTS)
    )
    assert (one[0], one[2]) == (OF_A, "lam of the experiment, not 1/3 times it")
    assert (other[0], other[2]) == (OF_W, f"lam of the experiment, not 1/3 times it; of outputs: {OF_A}")


def test_what_the_reference_makes_is_told_of_outputs_as_well():
    assert cause("l2.penalty", None, experiment(**OUTPUTS), own="half").fix_candidate == (
        "compute lam / 2 * sum(a**2) / B, gradient lam * a / B"
    )


def test_both_factors_of_an_output_are_rounded():
    told = cause("l1.constant", "exact", experiment(**OF_BOTH_KINDS))
    assert told.fix_candidate == "l1, l2 = (float(np.float32(c)) for c in (l1, l2))"


@pytest.mark.parametrize(
    "regularizers", [OUTPUTS, WEIGHTS | OUTPUTS, {"activity_regularizer": {"l1": 0.01, "l2": 0.02}}]
)
def test_every_line_stays_python_and_what_is_of_weights_alone_stays_as_it_is(regularizers):
    on = experiment(**regularizers)
    for entry in catalogue().values():
        for choice in entry.listed:
            line = penalized.line(choice, on)
            ast.parse(own_words(line, on))
            if "_everywhere" not in choice.fix_reference:
                assert line == choice.fix_candidate
                assert penalized.formula(choice.formula, choice, on) == choice.formula


@pytest.mark.parametrize("of", ["l1", "l2"])
def test_of_outputs_it_is_what_the_entries_of_outputs_say(of):
    """Which were written by hand, for an l2."""
    on = experiment(activity_regularizer={of: 0.01})
    of_weights, of_outputs = (convention(f"{kind}.penalty").choice("half") for kind in (of, "activity"))
    assert own_words(penalized.line(of_weights, on), on) == own_words(of_outputs.fix_candidate, on)
