"""From measures to a verdict: what is first, what is parity, and what cannot be judged."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from parity.config import validate
from parity.config.tolerances import Tolerance
from parity.data import load_dataset
from parity.errors import ExitCode, UsageError
from parity.held import Asked
from parity.judge import AGAIN, ALONE, AUDITED, BEGINS, BEGINS_STATE, FIXED, OUTSIDE, PROMOTED, Judge
from parity.lockstep import Pair, draw_weights, lockstep, start_weights
from parity.measure import measure
from parity.protocol import Key, Records, execution_order
from parity.sides import load_side
from parity.untold import untold
from parity.verdict import Divergence, Kind, Verdict

# Layer names in the opposite of alphabetical order: "first" is never alphabetical.
DATA = {"data": {"source": "regression", "features": 3, "samples": 24}, "loss": "mse", "optimizer": "sgd"}
EXPERIMENT = validate(
    {
        "data": DATA["data"],
        "layers": [
            {"units": 4, "name": "z", "activation": "tanh", "kernel_regularizer": "l2"},
            {"units": 1, "name": "a"},
        ],
        "loss": "mse",
        "optimizer": {"class_name": "SGD", "momentum": 0.9},
        "batch_size": 4,
        "steps": 6,
    }
)


def train() -> Pair:
    """Six steps of the NumPy network beside itself."""
    sides = load_side("scratch"), load_side("scratch")
    dataset = load_dataset(EXPERIMENT).astype("float64")
    drawn = [draw_weights(side, EXPERIMENT, 3, "float64") for side in sides]
    weights = start_weights(EXPERIMENT, drawn, 3, "float64")
    (pair,) = lockstep(EXPERIMENT, *sides, dataset, weights, ("local", "free"))
    kept = [
        {key: np.array(array) for key, array in said.items()} for said in (pair.reference.arrays, pair.free, pair.local)
    ]
    return Pair(dataclasses.replace(pair.reference, arrays=kept[0]), kept[1], kept[2])


PAIR = train()
ORDER = [key for key in execution_order(PAIR.local, EXPERIMENT.layer_names) if key in PAIR.reference.arrays]


KERNEL, OUTPUT = Key("update", "z/kernel"), Key("forward", "z/output")


def judged(pair: Pair) -> Judge:
    judge = Judge(EXPERIMENT, "float64")
    judge.take(pair)
    return judge


def spoilt(changes: dict[Key, int], by: float = 1.0) -> Pair:
    """The candidate's local answers with something added to the last element at a step."""
    local = {key: array.copy() for key, array in PAIR.local.items()}
    for key, step in changes.items():
        local[key].reshape(6, -1)[step - 1, -1] += local[key].dtype.type(by)
    return Pair(PAIR.reference, PAIR.free, local)


def test_a_network_beside_itself_is_parity():
    judge = judged(PAIR)
    assert judge.verdict is Verdict.PARITY
    assert judge.verdict.exit_code is ExitCode.PARITY == 0
    assert judge.first is None
    assert judge.steps == 6
    assert {key.phase for key in judge.judged} >= {"forward", "loss", "gradient", "update"}
    assert judge.skipped == []


def test_the_order_of_a_step():
    """Forward through the layers, the loss, back through the layers, the update: as written in the design."""
    names = [str(key) for key in ORDER]
    wanted = [
        "forward z/pre_activation",
        "forward z/output",
        "forward a/pre_activation",
        "forward a/output",
        "loss loss (data)",
        "loss z/kernel (penalty)",
        "loss loss (penalty)",
        "loss loss",
        "gradient a/kernel",
        "gradient a/bias",
        "gradient z/kernel (data)",
        "gradient z/kernel (penalty)",
        "gradient z/kernel",
        "gradient z/bias",
        "update z/kernel/momentum",
        "update z/kernel",
        "update a/kernel",
    ]
    assert [name for name in names if name in wanted] == wanted


@given(st.sampled_from(ORDER), st.integers(1, 6))
def test_when_a_step_is_found_does_not_depend_on_the_chunks(key, step):
    """Taken step by step, the verdict and the place are those of all steps at once."""
    whole = spoilt({key: step})
    parts = Judge(EXPERIMENT, "float64")
    before = whole.reference.states_before()
    for at in range(6):
        rows = slice(at, at + 1)
        reference = dataclasses.replace(
            whole.reference,
            first_step=at + 1,
            arrays={k: a[rows] for k, a in whole.reference.arrays.items()},
            before={k: a[at] for k, a in before.items()},
        )
        parts.take(Pair(reference, *({k: a[rows] for k, a in said.items()} for said in (whole.free, whole.local))))
    together = judged(whole)
    assert parts.first == together.first
    assert parts.steps == together.steps == 6
    assert parts.summaries == together.summaries or any(
        math.isnan(summary.used) for summary in together.summaries.values()
    )


def test_the_first_nan_is_that_of_the_earliest_step():
    late, early = Key("forward", "z/output"), Key("update", "a/bias")
    reference = {k: a.copy() for k, a in PAIR.reference.arrays.items()}
    local, free = ({k: a.copy() for k, a in said.items()} for said in (PAIR.local, PAIR.free))
    for said in (reference, local, free):
        said[late][3] = said[early][1] = math.nan
    assert judged(Pair(dataclasses.replace(PAIR.reference, arrays=reference), free, local)).nonfinite == (2, early)


def test_what_is_missing_is_told():
    kernel, output = Key("gradient", "z/kernel"), Key("forward", "a/output")
    local = {key: array for key, array in PAIR.local.items() if key != kernel}
    free = {key: array for key, array in PAIR.free.items() if key != kernel}
    extra = Key("gradient", "a/nonsense")
    judge = judged(
        Pair(PAIR.reference, free | {extra: np.zeros((6, 1))}, {k: v for k, v in local.items() if k != output})
    )
    told = {item.what: item.why for item in judge.not_compared}
    assert told[str(kernel)] == "the candidate does not provide it"
    assert told[f"{output}, local lane"] == "the candidate does not replay it"
    assert told[str(extra)] == "the reference does not record it"


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        (lambda a: a[..., :-1], Kind.SHAPE),
        (lambda a: a[..., None], Kind.SHAPE),
        (lambda a: a.astype(np.float32), Kind.DTYPE),
        (lambda a: np.swapaxes(a, -1, -2), Kind.SHAPE),
    ],
    ids=["shorter", "more axes", "float32", "transposed"],
)
def test_another_shape_or_dtype_diverges(change, kind):
    key = Key("gradient", "z/kernel")
    judge = judged(Pair(PAIR.reference, PAIR.free, {**PAIR.local, key: change(PAIR.local[key])}))
    assert judge.verdict is Verdict.DIVERGED
    assert (judge.first.step, judge.first.key) == (1, key)
    assert f"{key}, local lane" in judge.missing
    assert (judge.first.budget, judge.first.used, judge.first.kind) == (0, math.inf, kind)
    assert (judge.evidence is None) == (kind is Kind.DTYPE)  # right numbers of another type are not off
    assert PROMOTED not in judge.first.note  # that makes float64 of float32


@pytest.mark.parametrize(
    ("reference", "candidate", "promoted"),
    [
        ("float32", "float64", True),
        ("float64", "float32", False),
        ("float16", "float64", False),
        ("float32", "float16", False),
        ("float32", "int64", False),
    ],
)
def test_how_float64_comes_into_a_float32_run_is_told_there_alone(reference, candidate, promoted):
    key = Key("gradient", "z/kernel")
    judge = Judge(EXPERIMENT, "float32")
    judge.hold(Asked(key, "local", 1, np.ones((2, 3), reference), np.ones((2, 3), candidate), 0.0))
    assert judge.first.kind is Kind.DTYPE
    assert (PROMOTED in judge.first.note) is promoted


def test_of_another_shape_nothing_is_said_of_types():
    judge = Judge(EXPERIMENT, "float32")
    judge.hold(Asked(Key("loss", "loss"), "local", 1, np.ones(2, "float32"), np.ones((2, 1), "float64"), 0.0))
    assert judge.first.kind is Kind.SHAPE
    assert PROMOTED not in judge.first.note


def test_initial_weights_are_held_to_the_last_bit():
    judge = Judge(EXPERIMENT, "float64")
    kernel = np.ones((3, 4))
    judge.take_start({"z/kernel": kernel}, {"z/kernel": kernel.copy()})
    assert judge.first is None
    assert judge.verdict is Verdict.CANNOT_JUDGE  # nothing was trained yet
    other = kernel.copy()
    other[2, 1] = np.nextafter(1, 2)
    judge.take_start({"z/kernel": kernel}, {"z/kernel": other})
    assert (judge.first.step, judge.first.key, judge.first.index) == (0, Key("update", "z/kernel"), (2, 1))


def test_a_summary_counts_what_it_saw():
    judge = judged(spoilt({ORDER[0]: 3}))
    summary = judge.summaries["local", ORDER[0]]
    assert (summary.steps, summary.beyond, summary.first_beyond) == (6, 1, 3)
    assert (summary.absolute_step, summary.used_step) == (3, 3)
    assert summary.absolute == pytest.approx(1)
    assert (summary.shape, summary.rule, judge.first.note) == (PAIR.local[ORDER[0]].shape[1:], None, "")


def test_all_that_trains_has_to_be_judged():
    layers = [{"units": 4, "name": "z", "use_bias": False}, {"units": 1, "name": "a"}]
    settings = {"data": {"source": "regression", "features": 3}, "loss": "mse", "optimizer": "sgd", "layers": layers}
    weights = ["z/kernel", "a/kernel", "a/bias"]
    replaying, training = (Judge(validate(settings), "float64", replays=replays) for replays in (True, False))
    gradients, updates = ([Key(phase, name) for name in weights] for phase in ("gradient", "update"))
    assert replaying.skipped == [Key("loss", "loss"), *gradients, *updates]
    assert training.skipped == [Key("loss", "loss"), *updates]  # its gradients show in its weights
    replaying.judged.update(replaying.skipped[1:])
    assert (replaying.skipped, replaying.verdict) == ([Key("loss", "loss")], Verdict.CANNOT_JUDGE)
    replaying.judged.add(Key("loss", "loss"))
    assert replaying.verdict is Verdict.PARITY
    replaying.unheld["forward a/output"] = "nobody could say whether it may"
    assert replaying.verdict is Verdict.CANNOT_JUDGE


def test_what_nobody_saw_is_no_parity():
    judge = judged(PAIR)
    assert (judge.verdict, judge.last_recorded) == (Verdict.PARITY, 0)
    judge.cut = "ends after step 6"
    assert judge.verdict is Verdict.CANNOT_JUDGE


def test_judged_are_equal_initial_weights_only_when_something_was_trained():
    judge = Judge(EXPERIMENT, "float64")
    judge.take_start({"z/kernel": np.zeros(2)}, {"z/kernel": np.ones(2)})
    assert judge.judged == set()
    assert judge.summaries["local", Key("update", "z/kernel")].steps == 1
    judge.take_start({"a/bias": np.zeros(2)}, {})
    assert judge.missing == {"initial a/bias": "the candidate does not draw it"}


# The free lane ------------------------------------------------------------------------------------------------------


def to_itself(key: Key, by: float, step: int = 3, without: Key | None = None) -> Judge:
    """A free run in which one element of one step is not what the candidate makes of the same state."""
    free = {k: a.copy() for k, a in PAIR.free.items() if k != without}
    own = {k: a.copy() for k, a in PAIR.free.items()}
    free[key].reshape(6, -1)[step - 1, -1] += by
    return judged(Pair(PAIR.reference, free, PAIR.local, own, PAIR.reference.before))


@pytest.mark.parametrize("key", ORDER, ids=str)
def test_a_free_run_is_held_to_what_the_candidate_makes_of_the_same_state(key):
    assert to_itself(key, 0).verdict is Verdict.PARITY
    judge = to_itself(key, 1)
    assert judge.verdict is Verdict.DIVERGED
    assert (judge.first.step, judge.first.key, judge.first.lane) == (3, key, "free")
    assert (judge.first.difference, judge.first.note) == (pytest.approx(1), AGAIN)
    assert (judge.first.kind, judge.evidence) == (Kind.REPLAY, None)
    assert judge.first.index == tuple(length - 1 for length in PAIR.free[key].shape[1:])
    assert judge.unheld == {}
    assert judge.evidence is None  # that is of the local lane


def test_a_free_run_may_differ_from_its_replay_within_the_budget():
    budget = judged(PAIR)._budget.of(OUTPUT, PAIR.reference, np.array([2]))[0, -1, -1]
    assert to_itself(OUTPUT, 0.8 * budget).verdict is Verdict.PARITY
    assert to_itself(OUTPUT, 1.2 * budget).verdict is Verdict.DIVERGED


def test_a_free_run_that_nobody_can_hold_against_a_budget_is_no_parity():
    """The derivative of tanh needs its output."""
    judge = to_itself(Key("gradient", "z/pre_activation"), 1e-30, without=OUTPUT)
    assert judge.first is None
    assert judge.unheld == {}  # lost in the addition: equal to the last bit
    judge = to_itself(Key("gradient", "z/pre_activation"), 1e-3, without=OUTPUT)
    assert (judge.first, list(judge.unheld)) == (None, ["gradient z/pre_activation"])
    assert judge.verdict is Verdict.CANNOT_JUDGE


def alone(key: Key, by: float, drift: float, step: int = 3) -> Judge:
    """A candidate that only trains, with something added to an element of one step."""
    free = {**PAIR.free, key: PAIR.free[key].copy()}
    free[key].reshape(6, -1)[step - 1, -1] += by
    judge = Judge(EXPERIMENT, "float64", replays=False)
    judge.take(Pair(PAIR.reference, free, {}), dict.fromkeys(ORDER, drift * np.arange(1.0, 7)))
    return judge


def test_a_run_alone_may_be_as_far_away_as_rounding_drives_it_by_that_step():
    allowed = 3 * 1e-3
    assert alone(KERNEL, 0.999 * allowed, 1e-3).verdict is Verdict.PARITY
    judge = alone(KERNEL, 1.001 * allowed, 1e-3)
    assert (judge.first.step, judge.first.key, judge.first.lane, judge.first.note) == (3, KERNEL, "free", OUTSIDE)
    assert judge.first.kind is Kind.DRIFT
    assert judge.first.budget == pytest.approx(allowed)
    assert judge.missing["local lane"] == ALONE


def test_to_what_rounding_drives_it_comes_the_budget_of_the_operation():
    budget = judged(PAIR)._budget.of(OUTPUT, PAIR.reference, np.array([2]))[0, -1, -1]
    assert alone(OUTPUT, 2 * budget, 2 * budget / 3).verdict is Verdict.PARITY
    assert alone(OUTPUT, 2.5 * budget, 2 * budget / 3).verdict is Verdict.PARITY
    assert alone(OUTPUT, 4 * budget, 2 * budget / 3).verdict is Verdict.DIVERGED


def test_without_the_local_lane_or_a_drift_nothing_is_judged_and_that_is_said():
    for rules, left in ((), "nothing is judged"), ((Tolerance(rtol=0, atol=0),), "only fixed tolerances judge"):
        judge = Judge(EXPERIMENT.model_copy(update={"tolerance": rules}), "float64", replays=not rules)
        judge.take(Pair(PAIR.reference, PAIR.free, {}))
        why = "the candidate does not replay" if rules else "the reference does not record what it takes"
        assert judge.missing["local lane"] == f"not asked for, or {why}: {left}"
        assert (judge.verdict is Verdict.PARITY) == bool(rules)


def test_only_what_the_drift_is_known_of_is_judged_in_the_free_lane():
    judge = Judge(EXPERIMENT, "float64", replays=False)
    judge.take(Pair(PAIR.reference, PAIR.free, {}), {KERNEL: np.zeros(6)})
    assert {key for key in judge.judged if key.phase != "batch"} == {KERNEL}
    both = Judge(EXPERIMENT, "float64")
    both.take(PAIR, dict.fromkeys(ORDER, np.zeros(6)))
    assert both.verdict is Verdict.PARITY
    assert not both.missing


def test_each_step_has_its_own_drift():
    """Two steps that differ; the drift of the later one would not do for the earlier."""
    free = {**PAIR.free, OUTPUT: PAIR.free[OUTPUT].copy()}
    drift = np.array([0, 1e-3, 0, 0, 2e-3, 0])
    free[OUTPUT] += 0.999 * drift[:, None, None]
    for much, verdict in ((1, Verdict.PARITY), (0.99, Verdict.DIVERGED)):
        judge = Judge(EXPERIMENT, "float64", replays=False)
        judge.take(Pair(PAIR.reference, free, {}), dict.fromkeys(ORDER, much * drift))
        assert judge.verdict is verdict


@pytest.mark.parametrize(("value", "verdict"), [(0.5, Verdict.PARITY), (0.50001, Verdict.DIVERGED)])
@pytest.mark.parametrize("ruled", [True, False])
def test_a_free_run_may_differ_from_its_replay_by_a_tolerance_that_was_set(value, verdict, ruled):
    """Where the tolerance is for another tensor the budget judges as before, and needs nothing."""
    rule = Tolerance(rtol=0, atol=0.5, tensor=KERNEL.tensor if ruled else "a/bias")
    judge = Judge(EXPERIMENT.model_copy(update={"tolerance": (rule,)}), "float64")
    own, free = ({**PAIR.free, KERNEL: PAIR.free[KERNEL].copy()} for _ in range(2))
    at = (2, *np.argwhere((PAIR.free[KERNEL][2] > 0.01) & (PAIR.free[KERNEL][2] < 0.49))[0])  # also near the reference
    own[KERNEL][at], free[KERNEL][at] = 0, value
    judge.take(Pair(PAIR.reference, free, PAIR.local, own, PAIR.reference.before))
    assert judge.verdict is (verdict if ruled else Verdict.DIVERGED)
    apart = abs(value - PAIR.free[KERNEL][at])  # from the reference
    assert judge.needed["free"].atol == pytest.approx(max(apart, value if ruled else 0))
    assert judge.needed["local"].atol == 0
    if judge.first is not None:
        assert judge.first.fixed is ruled
        assert judge.first.note.startswith(AGAIN)
        assert ("atol 0.5" in judge.first.note) is ruled


def test_a_rule_may_be_for_what_the_candidate_alone_tells():
    key = Key("gradient", "z/extra")
    judge = Judge(
        EXPERIMENT.model_copy(update={"tolerance": (Tolerance(rtol=0, atol=1, tensor="z/extra"),)}), "float64"
    )
    own, free = {key: np.zeros((6, 2))}, {**PAIR.free, key: np.full((6, 2), 0.5)}
    judge.take(Pair(PAIR.reference, free, PAIR.local, own, PAIR.reference.before))
    assert judge.verdict is Verdict.PARITY
    assert judge.missing == {str(key): "the reference does not record it"}


def test_a_replay_of_another_shape_or_dtype_is_told_elsewhere():
    for change in (lambda a: a.astype("float32"), lambda a: 2 * a[..., None]):
        judge = judged(Pair(PAIR.reference, PAIR.free, PAIR.local, {OUTPUT: change(PAIR.free[OUTPUT])}, {}))
        assert judge.verdict is Verdict.PARITY


def test_minus_zero_beside_zero_needs_no_budget():
    key = Key("gradient", "z/pre_activation")
    own, free = ({k: a.copy() for k, a in PAIR.free.items() if k != OUTPUT} for _ in range(2))
    own[key][1, 0, 0], free[key][1, 0, 0] = 0.0, -0.0
    judge = judged(Pair(PAIR.reference, free, PAIR.local, own, PAIR.reference.before))
    assert (judge.first, judge.unheld) == (None, {})


def test_what_differs_and_depends_on_what_is_not_recorded_is_unheld_unless_a_tolerance_was_set():
    key = Key("gradient", "z/pre_activation")
    arrays = {k: a for k, a in PAIR.reference.arrays.items() if k != OUTPUT}
    pair = dataclasses.replace(spoilt({key: 3}, by=1e-9), reference=dataclasses.replace(PAIR.reference, arrays=arrays))
    named, all_of_them = Tolerance(rtol=0, atol=1, tensor=key.tensor), Tolerance(rtol=0, atol=1)
    for rules, unheld in ((), [str(key)]), ((named,), []), ((all_of_them,), []):
        judge = Judge(EXPERIMENT.model_copy(update={"tolerance": rules}), "float64")
        judge.coverage.take = judge.sensitivity.take = lambda *_: None  # they need whole records
        judge.take(pair)
        assert (judge.first, list(judge.unheld)) == (None, unheld)
        assert (judge.verdict is Verdict.CANNOT_JUDGE) == bool(unheld)


@pytest.mark.parametrize("lanes", ["free", "local", "both", "none"])
def test_a_rule_is_used_where_its_tensor_is_compared_in_any_lane(lanes):
    judge = Judge(EXPERIMENT.model_copy(update={"tolerance": (Tolerance(ulp=1, tensor="z/output"),)}), "float64")
    said = [
        {k: a for k, a in of.items() if k.tensor != "z/output" or lanes in {lane, "both"}}
        for lane, of in (("free", PAIR.free), ("local", PAIR.local))
    ]
    pair = Pair(PAIR.reference, *said)
    if lanes == "none":
        with pytest.raises(UsageError, match="z/output matches nothing"):
            judge.take(pair)
    else:
        judge.take(pair)


@pytest.mark.parametrize("lane", ["free", "local"])
def test_a_rule_for_a_tensor_of_another_shape_is_used_and_allows_nothing(lane):
    rule = Tolerance(ulp=1, tensor="z/output", phase="forward")
    judge = Judge(EXPERIMENT.model_copy(update={"tolerance": (rule,)}), "float64")
    said = {of: {k: a for k, a in PAIR.free.items() if k != OUTPUT} for of in ("free", "local")}
    said[lane][OUTPUT] = PAIR.free[OUTPUT][..., 1:]
    judge.take(Pair(PAIR.reference, said["free"], said["local"]))
    assert (judge.first.step, judge.first.key, judge.first.lane) == (1, OUTPUT, lane)


def test_what_a_run_is_worth_is_looked_at_as_well():
    judge = judged(PAIR)
    assert judge.coverage.not_exercised != Judge(EXPERIMENT, "float64").coverage.not_exercised
    assert {finding.what.split()[0] for finding in judge.sensitivity.findings} >= {"learning"}
    assert all(0 < finding.error < 1e9 for finding in judge.sensitivity.findings if finding.error is not None)
    assert any(finding.error is not None for finding in judge.sensitivity.findings)


# What the first divergence was made of ------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 4])
def test_the_evidence_is_what_the_step_began_with_and_what_both_made_of_it(step):
    pair = spoilt({OUTPUT: step})
    evidence = judged(pair).evidence
    assert evidence.records.first_step == step
    np.testing.assert_array_equal(evidence.candidate, pair.local[OUTPUT][step - 1 : step])
    for key, array in PAIR.reference.arrays.items():
        np.testing.assert_array_equal(evidence.records.arrays[key], array[step - 1 : step])
        assert not np.shares_memory(evidence.records.arrays[key], array)
    states = {key: array[step - 1] for key, array in PAIR.reference.states_before().items()}
    assert evidence.records.before.keys() == states.keys()
    for key, array in states.items():
        np.testing.assert_array_equal(evidence.records.before[key], array)
    later = judged(pair)
    later.take(dataclasses.replace(pair, reference=dataclasses.replace(pair.reference, first_step=7)))
    assert later.evidence.records.first_step == step
    assert later.steps == 12


def test_the_evidence_of_a_run_alone_is_all_that_it_said_of_that_step():
    judge = alone(KERNEL, 1.0, 1e-3)
    assert (judge.evidence.lane, judge.evidence.key, judge.evidence.records.first_step) == ("free", KERNEL, 3)
    assert judge.evidence.said.keys() == PAIR.free.keys()
    np.testing.assert_array_equal(judge.evidence.candidate, judge.evidence.said[KERNEL])
    assert judge.evidence.candidate[0, -1, -1] == PAIR.free[KERNEL][2, -1, -1] + 1
    assert not np.shares_memory(judge.evidence.said[OUTPUT], PAIR.free[OUTPUT])
    assert to_itself(KERNEL, 1).evidence is None  # that is between a side and itself
    assert begins(KERNEL, put((2, 3), 5)).evidence is None  # nobody has recorded a step 0
    assert audited(KERNEL, 1).evidence is None


def test_what_a_candidate_tells_nothing_of_is_said_once_for_the_phase():
    free, local = ({k: a for k, a in of.items() if k.phase != "gradient"} for of in (PAIR.free, PAIR.local))
    judge = judged(Pair(PAIR.reference, free, local))
    assert judge.missing == untold(PAIR.reference.arrays.keys(), free.keys())[0]
    assert judge.missing.keys() == {"gradient"}
    judge.missing["gradient"] = "told already"
    judge.take(Pair(PAIR.reference, free, local))
    assert judge.missing == {"gradient": "told already"}


# Where it begins, and a candidate that cannot be asked again ---------------------------------------------------------


def begins(key: Key, change, first_step: int = 1) -> Judge:
    before = {**PAIR.reference.before, key: change(PAIR.reference.before[key].copy())}
    reference = dataclasses.replace(PAIR.reference, first_step=first_step)
    judge = Judge(EXPERIMENT, "float64")
    judge.take(Pair(reference, PAIR.free, PAIR.local, {}, before))
    return judge


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


def test_one_that_begins_with_other_weights_diverges_before_the_first_step():
    given = PAIR.reference.before[KERNEL][2, 3]
    for told in (given - 5, np.nextafter(given, 9)):
        first = begins(KERNEL, put((2, 3), told)).first
        assert (first.step, first.key, first.lane, first.index) == (0, KERNEL, "free", (2, 3))
        assert (first.reference, first.candidate, first.budget, first.note) == (given, told, 0, BEGINS)
        assert first.kind is Kind.WEIGHTS
    assert begins(KERNEL, lambda array: array).verdict is Verdict.PARITY
    handed = Judge(EXPERIMENT, "float64", missing={"initial weights": "begins with those it is given"})
    before = {KERNEL: put((0, 0), 9)(PAIR.reference.before[KERNEL].copy())}
    handed.take(Pair(PAIR.reference, PAIR.free, PAIR.local, {}, before))
    assert "initial weights" not in handed.missing  # it does not
    none = Judge(EXPERIMENT, "float64")
    none._hold_beginning(
        Pair(Records(1, {}, {KERNEL: np.array([math.nan])}), {}, {}, {}, {KERNEL: np.array([math.nan])})
    )
    assert none.first is None
    assert begins(KERNEL, put((2, 3), 5), first_step=7).first is None  # that is in the middle of a run
    assert begins(Key("update", "optimizer/learning_rate"), put((), 5)).first is None
    assert begins(KERNEL, lambda array: array[:-1]).first is None  # nothing to hold element by element


@pytest.mark.parametrize(("slot", "index"), [("z/kernel/momentum", (2, 3)), ("optimizer/iterations", ())])
def test_one_whose_optimizer_remembers_something_else_diverges_before_the_first_step(slot, index):
    """Every operation of it may be right, and every step what it makes of its own state."""
    key = Key("update", slot)
    judge = begins(key, put(index, 5))
    first = judge.first
    assert (first.step, first.key, first.lane, first.index, first.note) == (0, key, "free", index, BEGINS_STATE)
    assert (first.reference, first.candidate, judge.verdict) == (0, 5, Verdict.DIVERGED)
    assert first.kind is Kind.STATE


def test_a_beginning_with_the_transpose_is_named():
    layers = [{"units": 3, "name": "z"}, {"units": 1, "name": "a"}]
    experiment = EXPERIMENT.model_copy(update={"layers": validate({**DATA, "layers": layers}).layers})
    square = np.arange(9.0).reshape(3, 3)
    for told, note in ((square.T, f"{BEGINS}; these are their transpose"), (square + 1, BEGINS)):
        judge = Judge(experiment, "float64")
        judge._hold_beginning(Pair(Records(1, {}, {KERNEL: square}), {}, {}, {}, {KERNEL: told}))
        assert judge.first.note == note


def audited(key: Key | None = None, by: float = 0.0, step: int = 3, without: Key | None = None) -> Judge:
    """A candidate that was not asked: what it should have made of its own inputs, and what it says, spoilt."""
    free = {k: a.copy() for k, a in PAIR.free.items() if k != without}
    made = {k: a.copy() for k, a in PAIR.free.items() if k != without}
    if key is not None:
        free[key].reshape(6, -1)[step - 1, -1] += by
    judge = Judge(EXPERIMENT, "float64")
    judge.take(Pair(PAIR.reference, free, {}, {}, PAIR.reference.before, made))
    return judge


@pytest.mark.parametrize("key", [key for key in ORDER if key.phase != "batch"], ids=str)
def test_each_operation_is_held_against_what_follows_from_the_candidate_s_own_inputs(key):
    judge = audited(key, 1)
    assert (judge.first.step, judge.first.key, judge.first.lane) == (3, key, "local")
    assert (judge.first.difference, judge.first.note) == (pytest.approx(1), AUDITED)


def test_an_audited_run_is_judged_in_the_local_lane():
    judge = audited()
    assert judge.audited
    assert not judged(PAIR).audited
    assert judge.verdict is Verdict.PARITY
    assert "local lane" not in judge.missing
    assert {finding.what for finding in judge.sensitivity.findings if finding.error is not None} >= {"learning rate"}
    budget = judge._budget.of(OUTPUT, PAIR.reference, np.array([2]))[0, -1, -1]
    assert audited(OUTPUT, 0.8 * budget).verdict is Verdict.PARITY
    assert audited(OUTPUT, 1.2 * budget).verdict is Verdict.DIVERGED


def test_what_an_audited_run_leaves_out_is_unheld_where_it_is_needed():
    judge = audited(Key("gradient", "z/pre_activation"), 1e-9, without=OUTPUT)
    assert (judge.first, list(judge.unheld)) == (None, ["gradient z/pre_activation"])


# Which it is --------------------------------------------------------------------------------------------------------


def test_exactly_the_tolerance_is_within_it():
    rule = Tolerance(rtol=0, atol=0.5, tensor=KERNEL.tensor)
    experiment = EXPERIMENT.model_copy(update={"tolerance": (rule,)})
    arrays, local = ({**of, KERNEL: of[KERNEL].copy()} for of in (PAIR.reference.arrays, PAIR.local))
    arrays[KERNEL][:, 0, 0], local[KERNEL][:, 0, 0] = 0, [0, 0.5, 0, 0.75, 0, 0]
    pair = Pair(dataclasses.replace(PAIR.reference, arrays=arrays), arrays, local)
    judge = Judge(experiment, "float64")
    judge.take(pair)
    assert (judge.first.step, judge.first.used, judge.first.budget, judge.first.fixed) == (4, 1.5, 0.5, True)
    assert judge.summaries["local", KERNEL].rule == rule
    assert judge.needed["local"].atol == pytest.approx(0.75)
    local[KERNEL][3, 0, 0] = -0.5
    judge = Judge(experiment, "float64")
    judge.take(pair)
    assert judge.verdict is Verdict.PARITY
    judge = Judge(experiment, "float64")
    judge.take(Pair(pair.reference, {**arrays, KERNEL: local[KERNEL] + 0.25}, {}))
    assert (judge.first.step, judge.first.lane, judge.first.note) == (2, "free", FIXED.format(rule))
    assert judge.first.kind is Kind.VALUE


@pytest.mark.parametrize("sign", [1, -1])
def test_told_is_the_element_that_uses_most_of_its_budget(sign):
    judge, r = Judge(EXPERIMENT, "float64"), np.full((1, 2, 3), 9.0)
    c = r.copy()
    c[0, 0, 1], c[0, 1, 2] = 9 + sign * 0.5, 9 + sign * 0.25
    budget = np.full((1, 2, 3), 0.25)
    budget[0, 1, 2] = 1 / 16
    found = judge._divergence(Asked(OUTPUT, "local", 5, r, c, lambda _: budget), 5, measure(r, c, budget)[0])
    assert (found.index, found.difference, found.budget, found.used) == ((1, 2), 0.25, 1 / 16, 4)
    found = judge._divergence(Asked(OUTPUT, "local", 5, r, c, 0.0), 5, measure(r, c, 0.0)[0])
    assert (found.index, found.difference, found.budget, found.used) == ((0, 1), 0.5, 0, math.inf)
    assert (found.step, found.key, found.lane) == (5, OUTPUT, "local")
    assert (found.reference, found.candidate) == (9, 9 + sign / 2)


@pytest.mark.parametrize(
    ("candidate", "unbounded", "at"),
    [
        ([np.inf, 1e-3, 1.5], lambda _: np.array([[True, False, False]]), 2),
        ([1.0, 2.0, 1.0], lambda _: np.array([[False, False, False]]), 1),
        ([np.inf, 2.0, 1.0], None, 0),
    ],
)
def test_told_is_an_element_of_the_step_that_diverged(candidate, unbounded, at):
    judge, reference = Judge(EXPERIMENT, "float64"), np.array([[0.0, 0.0, 1.0]] * 2)
    said = np.stack([reference[0], candidate])
    judge.hold(Asked(KERNEL, "local", 4, reference, said, lambda steps: np.zeros((len(steps), 3)), unbounded))
    assert (judge.first.step, judge.first.index) == (5, (at,))
    assert (judge.first.reference, judge.first.candidate) == (reference[1, at], said[1, at])


def test_the_first_of_any_order_of_finding_is_the_same():
    found = [
        Divergence(step, key, "local", "float64", (), 1.0, 2.0, 0.0)
        for step in (2, 3)
        for key in (OUTPUT, Key("gradient", "a/kernel"), Key("gradient", "z/kernel"))
    ]
    for order in itertools.permutations(found, 4):
        judge = Judge(EXPERIMENT, "float64")
        for each in order:
            judge._diverge(each)
        assert judge.first == min(order, key=found.index)
    again = dataclasses.replace(found[0], lane="free")
    judge._diverge(found[0])
    judge._diverge(again)
    assert judge.first == found[0]


def test_of_one_step_the_first_nan_is_the_first_in_execution_order():
    arrays = {k: a.copy() for k, a in PAIR.reference.arrays.items()}
    for key in (KERNEL, OUTPUT):
        arrays[key][3] = math.nan
    judge = judged(Pair(dataclasses.replace(PAIR.reference, arrays=arrays), arrays, arrays))
    assert judge.nonfinite == (4, OUTPUT)


def test_of_two_that_tell_everything_nothing_is_missing():
    assert judged(PAIR).missing == {}
    judge = judged(Pair(PAIR.reference, PAIR.free, {}))
    assert judge.missing.keys() == {"local lane"}
    assert [item.what for item in judge.not_compared] == ["local lane"]
    part = {key: array for key, array in PAIR.local.items() if key != OUTPUT}
    assert judged(Pair(PAIR.reference, PAIR.free, part)).missing.keys() == {f"{OUTPUT}, local lane"}


def test_shown_is_an_element_that_could_overflow_and_did_not():
    """Where the difference is far too small for an overflow, its budget holds."""
    judge = Judge(EXPERIMENT, "float64")
    reference, candidate = np.array([[0.0, 0.0, 1.0]]), np.array([[0.0, 0.0, 1.5]])
    unbounded = np.array([[False, False, True]])
    judge.hold(Asked(KERNEL, "local", 1, reference, candidate, lambda _: np.zeros((1, 3)), lambda _: unbounded))
    assert judge.first.index == (2,)


def test_what_is_forgotten_is_all_but_what_a_tolerance_judged():
    judge = judged(PAIR)
    judge.forget_judged()
    assert judge.judged == set()
    ruled = EXPERIMENT.model_copy(update={"tolerance": (Tolerance(tensor="z/kernel", phase="update", ulp=1),)})
    judge = Judge(ruled, "float64")
    judge.take(PAIR)
    judge.forget_judged()
    assert judge.judged == {KERNEL}
