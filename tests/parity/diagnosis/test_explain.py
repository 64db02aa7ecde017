"""What is said of a divergence: causes and their fixes, or that there are none and where the unexplained begins."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from parity.config import load_experiment
from parity.config.tolerances import Tolerance
from parity.conventions import convention
from parity.data import Schedule
from parity.diagnosis import Diagnosis, diagnose
from parity.diagnosis.effect import effect_of
from parity.diagnosis.explain import _nearest
from parity.diagnosis.tried import Tried
from parity.diagnosis.used import Used
from parity.protocol import Key
from parity.report.causes import sections
from parity.run import diff
from parity.selftest.trials import Workbench
from parity.sides import LoadedSide, load_side
from parity.verdict import Verdict
from scratch_net.adapter import ScratchSide
from scratch_net.defects import DefectiveSide
from tests.parity.diagnosis.benches import InPrecision, bench

FOUNDING = Path(__file__).parents[3] / "reports" / "l2-digits" / "experiment.toml"
ADAM = {"class_name": "Adam", "learning_rate": 0.01}


def scratch(**choices):
    return LoadedSide("scratch", ScratchSide({code.replace("__", "."): choice for code, choice in choices.items()}))


def said(on, candidate, reference=None, until=1, **more):
    return diagnose(
        on.experiment, load_side("scratch"), reference or scratch(), candidate, on.dataset, on.weights, until, **more
    )


def test_the_founding_case():
    """The weights begin at zero: the first step has nothing to penalise. Of the images, the first few."""
    founding = load_experiment(FOUNDING)
    few = founding.model_copy(update={"data": founding.data.model_copy(update={"samples": 300})})
    found = said(Workbench(few, "everything"), scratch(l2__penalty="half"), until=2)
    (cause,) = found.causes
    entry = convention("l2.penalty").general()
    assert found.explained
    assert str(cause) == "l2.penalty=half"
    assert (cause.reference_formula, cause.candidate_formula) == (entry.keras.formula, entry.choice("half").formula)
    assert (cause.fix_reference, cause.fix_candidate) == (
        entry.choice("half").fix_reference,
        entry.choice("half").fix_candidate,
    )
    assert cause.confirmed
    assert 0 <= cause.residual_used <= 1
    assert cause.effect > 0.4  # half a penalty is off by half, where nothing else hides it
    assert (found.precision, found.unable, found.rejected) == ("float64", "", ())
    assert cause.alternatives == ()
    assert found.readings == ()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_in_either_precision(dtype):
    found = said(InPrecision(bench().experiment, dtype), scratch(l2__penalty="half"))
    assert [str(cause) for cause in found.causes] == ["l2.penalty=half"]
    assert found.precision == dtype


def test_several_causes_come_by_what_they_do():
    found = said(bench(), scratch(l2__penalty="half", learning_rate__scale="double", data__labels="shifted"))
    assert {str(cause) for cause in found.causes} == {
        "l2.penalty=half",
        "learning_rate.scale=double",
        "data.labels=shifted",
    }
    effects = [cause.effect for cause in found.causes]
    assert effects == sorted(effects, reverse=True)


def test_what_the_reference_makes_otherwise_is_no_cause():
    """It halves the penalty: the candidate, which does as well, differs in its rate alone."""
    reference = scratch(l2__penalty="half")
    found = said(bench(), scratch(l2__penalty="half", learning_rate__scale="double"), reference)
    assert [str(cause) for cause in found.causes] == ["learning_rate.scale=double"]


def test_a_candidate_that_does_as_keras_beside_a_reference_that_does_not():
    found = said(bench(), scratch(), scratch(l2__penalty="half"))
    (cause,) = found.causes
    entry = convention("l2.penalty")
    assert (cause.code, cause.choice) == ("l2.penalty", entry.keras.name)
    assert (cause.reference_formula, cause.candidate_formula) == (entry.choice("half").formula, entry.keras.formula)
    assert entry.choice("half").formula in cause.fix_candidate


def test_two_that_choose_otherwise_differently():
    found = said(bench(optimizer=ADAM), scratch(adam__epsilon="inside"), scratch(adam__epsilon="textbook"))
    (cause,) = found.causes
    entry = convention("adam.epsilon")
    assert str(cause) == "adam.epsilon=inside"
    assert cause.reference_formula == entry.choice("textbook").formula
    assert entry.choice("textbook").formula in cause.fix_candidate


@pytest.mark.parametrize("choices", [{}, {"l2__penalty": "half"}])
def test_there_is_nothing_to_explain(choices):
    found = said(bench(), scratch(**choices), scratch(**choices))
    assert not found.explained
    assert "every step the candidate takes is what the reference takes" in found.unable


@pytest.mark.parametrize(("fixed", "title"), [(False, "Cause: UNEXPLAINED"), (True, "Cause: rounding")])
def test_a_tolerance_that_is_tighter_than_rounding_is_said_to_be(fixed, title):
    found = said(bench(), scratch(), scratch(), fixed=fixed)
    ((told, lines),) = sections(found)
    assert told == title
    assert ("tolerance that was set is tighter" in str(lines)) is fixed


@pytest.mark.parametrize(
    ("candidate", "tolerance", "said"),
    [
        ("scratch[gradient.engine=per_example]", (), None),
        ("scratch[gradient.engine=per_example]", (Tolerance(rtol=1e-16, atol=0.0),), "rounding"),
        ("scratch[loss.factor=half]", (Tolerance(rtol=1e-16, atol=0.0),), "UNEXPLAINED"),
    ],
)
def test_only_what_rounds_alone_is_told_as_rounding(candidate, tolerance, said):
    experiment = bench().experiment.model_copy(update={"tolerance": tolerance, "precision": "float32"})
    result = diff(experiment, reference="scratch", candidate=candidate)
    if said is None:
        assert result.verdict is Verdict.PARITY
        return
    assert result.verdict is Verdict.DIVERGED
    assert (result.diagnosis.instead, result.diagnosis.explained) == (said, said != "rounding")


def test_a_reference_that_nobody_can_compute():
    found = said(bench(), scratch(), LoadedSide("odd", DefectiveSide(defect="slope_of_tanh")))
    assert not found.explained
    assert "does not compute what odd does" in found.unable


class NotANumber(ScratchSide):
    """A weight of the last layer is lost at step 2, in what is told and in nothing else."""

    def steps(self, x, y):
        told = super().steps(x, y)
        if len(x) == 3:  # the three whole batches that the run begins with
            told["weights"]["dense_1/kernel"][1, 0, 0] = np.nan
        return told


@pytest.mark.parametrize("both", [False, True])
def test_a_number_that_is_none(both):
    """On one side it is the one thing that nothing explains, if the next step is taken from what was told of this."""
    candidate = LoadedSide("candidate", NotANumber())
    if both:
        found = said(bench(), candidate, LoadedSide("reference", NotANumber()), until=2)
        assert "the NumPy network, which tries conventions out, does not compute what reference does" in found.unable
        return
    found = said(bench(), candidate, until=2)
    assert not found.explained
    assert found.unable == ""
    first = found.rejected[0]
    assert first.choices == ()
    assert (first.step, first.first_unexplained, first.used) == (2, Key("update", "dense_1/kernel"), np.inf)


def test_evidence_runs_into_a_smaller_batch():
    """Both sides part at step 1, where one cause shows; the other needs the fourth step, of two examples."""
    found = said(bench(), scratch(l2__penalty="half", data__partial_batch="full_size"))
    assert found.steps == 4
    assert {cause.code for cause in found.causes} == {"l2.penalty", "data.partial_batch"}


@pytest.mark.parametrize(
    ("defect", "step", "key"),
    [
        ("scaled_tanh", 1, "forward dense/output"),
        ("first_counts_double", 1, "loss loss (data)"),
        ("bias_sign", 1, "gradient dense_1/bias"),
        ("decaying_rate", 2, "update dense/kernel"),
    ],
)
def test_what_the_catalogue_does_not_hold_stays_unexplained(defect, step, key):
    found = said(bench(), LoadedSide("candidate", DefectiveSide(defect=defect)), until=step)
    assert not found.explained
    assert found.unable == ""
    assert found.rejected
    first = found.rejected[0]
    assert first.choices == ()
    assert (first.step, str(first.first_unexplained)) == (step, key)
    assert all(one.used > 1 for one in found.rejected)


def test_what_stays_unexplained_beside_a_reference_with_a_choice_of_its_own():
    """Its choice, which the candidate makes as well, comes first: not Keras', with what these leave."""
    candidate = LoadedSide("candidate", DefectiveSide({"l2.penalty": "half"}, "bias_sign"))
    found = said(bench(), candidate, scratch(l2__penalty="half"))
    assert not found.explained
    first, *others = found.rejected
    assert first.choices == ("l2.penalty=half",)
    assert (first.step, str(first.first_unexplained)) == (1, "gradient dense_1/bias")
    assert all(one.choices not in {(), first.choices} for one in others)


def test_sets_that_leave_the_same_are_told_once():
    found = said(bench(), LoadedSide("candidate", DefectiveSide({"l2.penalty": "half"}, "bias_sign")))
    left = [(one.first_unexplained, one.step, one.used) for one in found.rejected]
    assert len(left) == len(set(left)) >= 2


def test_an_effect_is_told_where_the_candidate_has_nothing_but_zeros():
    """A bias that begins at zero and is never updated: all of what it would be is missing."""
    (cause,) = said(bench(), scratch(update__biases="not_last")).causes
    assert str(cause) == "update.biases=not_last"
    assert cause.effect == 1
    assert str(cause.effect_on) == "update dense_1/bias"


A, B, C = (Key("update", f"dense/{name}") for name in "abc")
CHOICES = {name: frozenset({(f"l2.{name}", "half")}) for name in ("penalty", "gradient", "reported")}


def nearest(left, best):
    """What is told of sets that leave this much of the budgets of three tensors in two steps."""
    used = {choices: Used((A, B, C), np.array(rows, float)) for choices, rows in left.items()}

    def tried(choices, _=None):
        return Tried(choices, used.get(choices, used[frozenset()]))

    experiment = bench().experiment
    evidence = SimpleNamespace(numbers=range(1, 100))
    search = SimpleNamespace(
        try_set=tried, prove=tried, evidence=evidence, stand_in=SimpleNamespace(experiment=experiment)
    )
    baseline, *others = _nearest(search, frozenset(), best)
    assert baseline.choices == ()
    return [one.choices for one in others], [baseline, *others]


PLAIN = [[4e3, 9e9], [5e3, 5e3], [0, 6e3]]


def test_what_is_left_is_that_of_the_very_step():
    _, (baseline,) = nearest({frozenset(): PLAIN}, [])
    assert (baseline.step, baseline.first_unexplained, baseline.used) == (1, A, 4e3)
    assert baseline.left == (A, B, C)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([[5e3, 9e9], [5e3, 5e3], [0, 6e3]], False),  # more
        ([[3e3, 5e9], [4e3, 4e3], [0, 5e3]], False),  # hardly less
        ([[4e1, 9e7], [5e1, 5e1], [0, 9e3]], False),  # less of some, more of another
        ([[4e1, 9e7], [5e1, 5e1], [0, 6e1]], True),
        ([[0, 9e9], [5e3, 5e3], [0, 6e3]], True),  # later in the step
        ([[4e3, 9e9], [5e3, 5e3], [0, 0]], True),  # one tensor is explained
        ([[4e3, 9e9], [0, 0], [0, 6e3]], True),
        ([[5e3, 9e9], [0, 0], [0, 6e3]], True),  # however much is left of the others
    ],
)
def test_nearest_is_what_leaves_less_than_the_references_own_choices(rows, told):
    one = CHOICES["penalty"]
    assert nearest({frozenset(): PLAIN, one: rows}, [one])[0] == ([("l2.penalty=half",)] if told else [])


def test_a_set_that_spoils_what_was_right_is_not_near():
    one = CHOICES["penalty"]
    plain = [[4e3, 9e9], [5e3, 5e3], [0, 0]]
    assert nearest({frozenset(): plain, one: [[0, 0], [0, 0], [0, 2]]}, [one])[0] == []


def test_the_nearest_comes_first_and_without_what_explains_nothing():
    penalty, gradient, reported = CHOICES.values()
    some, most = [[4e3, 9e9], [0, 0], [0, 6e3]], [[0, 0], [0, 0], [0, 6e3]]
    left = {frozenset(): PLAIN, penalty: some, penalty | gradient: most, penalty | reported: some}
    told, (_, first) = nearest(left, [penalty, penalty | reported, penalty | gradient | reported, penalty | gradient])
    assert told == [("l2.gradient=half", "l2.penalty=half")]  # of the others each leaves all of that, and more
    assert (first.left, first.explains) == ((C,), (A, B))


class OddLoss(ScratchSide):
    """Tells its loss with something in it that is in no catalogue."""

    def steps(self, x, y):
        told = super().steps(x, y)
        return {"loss": told["loss"] * 1.01 ** np.arange(1, len(x) + 1), "weights": told["weights"]}


def test_a_set_that_leaves_one_tensor_is_told_with_its_fix_and_as_not_confirmed():
    found = said(bench(), LoadedSide("candidate", OddLoss({"l2.penalty": "half", "learning_rate.scale": "double"})))
    baseline, one, *_ = found.rejected
    loss = Key("loss", "loss")
    assert (baseline.choices, len(baseline.left)) == ((), 5)
    assert (one.left, len(one.explains)) == ((loss,), 4)
    assert not found.explained
    ((title, lines),) = sections(found)
    assert title == "Cause: UNEXPLAINED"
    near = next(text for label, text in lines if label == "nearest")
    assert near.startswith(f"{', '.join(one.choices)}: explains everything told but loss, left at step 1, ")
    assert near.endswith("Partial, NOT confirmed")
    assert [text for label, text in lines if label == "fix if so"] == list(one.fixes)
    assert dict(lines)["baseline"].startswith("Keras' own choices: leaves 5 tensors, first step 1, loss, ")


def test_that_nothing_is_nearer_is_said():
    found = said(bench(), LoadedSide("candidate", DefectiveSide(defect="bias_sign")))
    lines = sections(replace(found, rejected=found.rejected[:1]))
    assert dict(next(lines)[1])["nearest"] == "no set of them leaves less than that"


@pytest.mark.parametrize(("choice", "words"), [("double", "2 × the reference's"), ("half", "1/2 of the reference's")])
def test_the_same_share_more_and_less_are_told_apart(choice, words):
    plain = [{"units": 9, "activation": "tanh"}, {"units": 3, "activation": "softmax"}]  # of a penalty there is no half
    found = said(bench(layers=plain), scratch(loss__factor=choice))
    (cause,) = found.causes
    assert cause.effect == pytest.approx(0.5)
    ((_, lines),) = sections(found)
    told = dict(lines)["effect"]
    assert (told[:6], told[-len(words) :]) == ("makes ", words)


@pytest.mark.parametrize(
    ("one", "other", "ratio"),
    [
        ([1, -2], [10, -20], 10),
        ([1, 2], [-1, -2], -1),
        ([1, 2], [0, 0], 0),
        ([1, 2], [10, 21], None),
        ([0, 0], [1, 2], None),
        ([1, 2], [1.001, 2.002], None),  # as good as none
        ([1, 2], [np.nan, 4], None),
        ([1e-300, 0], [1e300, 0], None),
    ],
)
def test_the_ratio_of_an_effect_is_that_of_all_elements(one, other, ratio):
    found = effect_of([{A: np.array([one], float)}], [{A: np.array([other], float)}], [A])
    assert found.ratio == (None if ratio is None else pytest.approx(ratio))


@pytest.mark.parametrize(
    ("one", "other", "shares"),
    [
        ([1, 2], [np.inf, 2], 1.0),
        ([1, 2], [np.nan, 2], 1.0),
        ([np.inf, 2], [-np.inf, 2], 1.0),
        ([np.inf, 2], [np.inf, 2], 0.0),
        ([np.nan, 2], [np.nan, 1], 0.5),  # the elements that are numbers
        ([np.inf, 1], [np.inf, -1], 2.0),
        ([np.inf, 2, 1], [4, 2, -1], 1.0),
        ([1e308, 0], [-1e308, 0], 2.0),  # of which the difference would overflow
        ([5e-324, 0], [0, 0], 1.0),
    ],
)
@pytest.mark.filterwarnings("error")
def test_an_effect_of_what_is_no_number(one, other, shares):
    for given in ((one, other), (other, one)):
        found = effect_of(*([{A: np.array([array], float)}] for array in given), [A])
        assert found.share == pytest.approx(shares)


@pytest.mark.filterwarnings("error")
def test_a_step_that_overflows_hides_no_other():
    corrected, alone = np.array([[1.0, 2.0], [3.0, np.nan]]), np.array([[1.0, -2.0], [np.inf, np.inf]])
    assert effect_of([{A: corrected}], [{A: alone}], [A]).share == 2


@pytest.mark.parametrize(
    ("effect", "ratio", "words"),
    [
        (0.9, None, "changes loss by 90 % of the larger of the two"),
        (0.0041, None, "changes loss by 0.41 %"),
        (0.95, 0.05, "makes loss 1/20 of the reference's"),
        (2.0, -1.0, "makes loss -1 × the reference's"),
        (1.0, 0.0, "makes loss 0"),
        (0.111, 0.889, "changes loss by 11.1 % of the larger of the two"),
        (1.0, 1e-320, "changes loss by 100 % of the larger of the two"),
        (1.0, 1e300, "changes loss by 100 % of the larger of the two"),
    ],
)
def test_of_what_an_effect_is_a_share(effect, ratio, words):
    found = said(bench(), scratch(l2__penalty="half"))
    cause = replace(found.causes[0], effect=effect, effect_on=Key("loss", "loss"), effect_ratio=ratio)
    ((_, lines),) = sections(replace(found, causes=(cause,)))
    assert dict(lines)["effect"] == words


class LossAndWeights(ScratchSide):
    def steps(self, x, y):
        told = super().steps(x, y)
        return {"loss": told["loss"], "weights": told["weights"]}


def test_an_effect_is_what_a_cause_alone_is_worth():
    """What Keras' loss changes by where the candidate's step began."""
    on = bench()
    choices = {"l2.penalty": "half", "l2.scale": "over_batch"}
    found = said(on, LoadedSide("candidate", LossAndWeights(choices)))
    assert {cause.code: cause.choice for cause in found.causes} == choices

    run = LossAndWeights(choices)
    run.start(on.experiment, on.weights)
    lam, half, over_batch = float(np.float32(0.01)), [], []
    for chunk in Schedule.of(on.experiment, len(on.dataset)).chunks(1, 1, found.steps):
        x, y = on.dataset.x[chunk.rows], on.dataset.y[chunk.rows]
        w = {name: np.array(array) for name, array in run.weights().items()}
        outputs = np.tanh(x[0] @ w["dense/kernel"] + w["dense/bias"]) @ w["dense_1/kernel"] + w["dense_1/bias"]
        data = np.mean(np.log(np.exp(outputs).sum(axis=1)) - (y[0] * outputs).sum(axis=1))
        penalty = lam * sum(np.sum(w[name] ** 2) for name in ("dense/kernel", "dense_1/kernel"))
        half.append(penalty / 2 / (data + penalty))
        over_batch.append(penalty * (1 - 1 / len(x[0])) / (data + penalty))
        run.steps(x, y)
    effects = {cause.code: (cause.effect, str(cause.effect_on)) for cause in found.causes}
    assert effects == {
        "l2.penalty": (pytest.approx(max(half)), "loss loss"),
        "l2.scale": (pytest.approx(max(over_batch)), "loss loss"),
    }
    assert [cause.code for cause in found.causes] == ["l2.scale", "l2.penalty"]


def test_an_effect_beside_a_reference_that_differs_from_keras():
    """The reference's choices are kept; where the candidate does as Keras, its cause is Keras' choice."""
    reference = scratch(l2__penalty="half", learning_rate__scale="double")
    (cause,) = said(bench(), scratch(learning_rate__scale="double"), reference).causes
    assert (cause.code, cause.choice) == ("l2.penalty", "whole")
    assert (cause.effect, cause.effect_on.part) == (pytest.approx(0.5), "penalty")


def test_a_choice_that_matters_only_beside_another_has_no_effect_by_itself():
    """As the number that probabilities are clipped at, for one whose loss is not taken from logits."""
    found = said(bench(), scratch(l2__penalty="half"))
    without = replace(found, causes=tuple(replace(cause, effect=0.0) for cause in found.causes))
    assert dict(list(sections(without))[-1][1])["effect"] == "none by itself: it shows where the others are"


class Weights(ScratchSide):
    def steps(self, x, y):
        return {"weights": super().steps(x, y)["weights"]}


@pytest.mark.parametrize(
    ("planted", "titles"),
    [
        (  # of its weights alone nobody knows whether the loss was a sum or its gradient
            {"gradient.batch": "sum", "data.labels": "shifted"},
            [
                "Cause 1 of 2: data.labels=shifted",
                "Cause 2 of 2, in one of 2 readings that this run cannot tell apart: gradient.batch=sum",
            ],
        ),
        (  # twice the step of half the penalty is the step of twice the loss
            {"l2.penalty": "half", "learning_rate.scale": "double"},
            ["Cause, in one of 3 readings that this run cannot tell apart: loss.factor=double", "Other readings"],
        ),
        (
            {"gradient.weights": "after_update", "data.labels": "shifted"},
            ["Cause 1 of 2: data.labels=shifted", "Cause 2 of 2: gradient.weights=after_update"],
        ),
    ],
    ids=["one in its place", "a product", "one reading"],
)
def test_a_cause_that_is_not_in_every_reading_is_headed_so(planted, titles):
    found = said(bench(), LoadedSide("candidate", Weights(planted)))
    assert [title for title, _ in sections(found)] == titles


class Once(ScratchSide):
    """Does not start a second time."""

    def start(self, *_):
        raise RuntimeError("used up")


@pytest.mark.parametrize("sparse", [False, True], ids=["one-hot", "labels"])
def test_a_product_is_told_with_its_factors_and_the_run_that_knows_them_apart(sparse):
    """Twice the mean over three outputs is 2/3 of a sum; with a fourth output, that no example has, it is 1/2."""
    planted, loss = {"loss.outputs": "mean", "loss.factor": "double"}, "categorical_crossentropy"
    data = bench().experiment.data.model_dump(exclude_none=True) | ({"one_hot": None} if sparse else {})
    settings = {"data": data, "loss": f"sparse_{loss}" if sparse else loss}
    found = said(bench(**settings), LoadedSide("scratch", ScratchSide(planted)))
    (reading,) = found.readings
    more = "--set layers.1.units=4" + ("" if sparse else " --set data.one_hot=4")
    assert reading.choices == ("loss.factor=2/3",)
    assert reading.separate_by == f"run it with {more}"
    product = "loss.factor=2/3: of loss.factor=double and loss.outputs=mean only the product shows, 2/3"
    assert list(sections(found))[-1] == ("Other readings", [("or", f"{product}; to tell: run it with {more}")])

    table = bench(**settings).experiment.model_dump(mode="json", exclude={"examples"})
    four = {"layers": [table["layers"][0], table["layers"][1] | {"units": 4}]}
    four["data"] = settings["data"] | ({} if sparse else {"one_hot": 4})
    wider = bench(**settings | four)
    for choices, named in ((planted, "loss.factor=half"), ({"loss.factor": "2/3"}, "loss.factor=2/3")):
        (cause,) = said(wider, LoadedSide("scratch", ScratchSide(choices))).causes
        assert str(cause) == named


def test_a_side_that_does_not_run_again():
    found = said(bench(), LoadedSide("candidate", Once()))
    assert not found.explained
    assert "did not run a second time" in found.unable
    assert "used up" in found.unable


def test_how_many_sets_were_tried_is_told_while_they_are():
    told = []
    found = said(bench(), scratch(l2__penalty="half"), tell=told.append)
    assert told == sorted(told)
    assert told[-1] >= found.tried > 10


class Transposed(ScratchSide):
    """Tells its first kernel as (units, inputs)."""

    def steps(self, x, y):
        said = super().steps(x, y)
        said["weights"] = said["weights"] | {"dense/kernel": said["weights"]["dense/kernel"].swapaxes(1, 2)}
        return said


class Wide(ScratchSide):
    """Computes in float32 and tells float64."""

    def steps(self, x, y):
        said = super().steps(x, y)
        return said | {"loss": np.asarray(said["loss"], np.float64)}


@pytest.mark.parametrize(
    ("side", "dtype", "words"),
    [
        (Transposed, "float64", "dense/kernel of shape (9, 8); expected (8, 9)"),
        (Wide, "float32", "computes in another"),
    ],
)
def test_numbers_of_another_shape_or_precision_are_no_choice_of_formula(side, dtype, words):
    found = said(InPrecision(bench().experiment, dtype), LoadedSide("candidate", side()))
    assert not found.explained
    assert words in found.unable
    assert found.tried == 0


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        (1, "no known convention begins to differ where the candidate does"),
        (2, "2 sets of known conventions; none makes the NumPy network take the candidate's steps"),
    ],
)
def test_that_no_convention_was_worth_trying_is_told_as_what_it_is(tried, said):
    ((_, lines),) = sections(Diagnosis((), "float64", 3, tried, 0.1))
    assert dict(lines)["tried"] == said
