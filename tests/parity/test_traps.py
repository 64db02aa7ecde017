"""Each of these disarmed somebody's gate once. Each test fails where this one is disarmed in the same way.

Elsewhere: hooks that change Keras' own numbers (tests/suite/test_runs.py: bitwise the weights of `fit`); what is
no tolerance (tests/parity/config/test_tolerances.py); 0/0 in every measure (tests/parity/test_measure.py); a budget
much wider than what rounding uses (tests/parity/budget/test_local.py).
"""

from __future__ import annotations

import ast
import dataclasses
import io
import itertools
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, strategies as st

from parity.budget import LocalBudget, Overflow
from parity.config import validate
from parity.config.tolerances import Tolerance
from parity.data import load_dataset
from parity.errors import ExitCode, UsageError
from parity.judge import Judge
from parity.lockstep import Pair, draw_weights, lockstep, start_weights
from parity.measure import largest, measure
from parity.protocol import Key
from parity.report import FORMATS, as_json, facts, parse_targets, terminal, worth, write_reports
from parity.run import diff
from parity.sides import load_side
from parity.tolerance import Needed
from parity.verdict import Verdict
from tests.parity.test_judge import EXPERIMENT, ORDER, PAIR, judged, spoilt

TESTS = Path(__file__).parents[1]
TABLE = {
    "data": {"source": "regression", "features": 3, "samples": 16},
    "layers": [{"units": 3, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}}, {"units": 1}],
    "loss": "mse",
    "optimizer": {"class_name": "SGD", "momentum": 0.9},
    "batch_size": 4,
    "steps": 6,
    "precision": "float64",
}
TRAINING = Judge(EXPERIMENT, "float64").skipped  # nothing was judged yet: all that must be
SIDES = """
import numpy as np
from parity.protocol import Key
from scratch_net.adapter import ScratchSide

class TransposedWeights(ScratchSide):
    "Takes (3, 3) for (units, inputs)."
    word = "weights"
    def replay(self, reference):
        said = super().replay(reference)
        turned = {"dense/kernel": np.swapaxes(said[self.word]["dense/kernel"], -1, -2).copy()}
        return {**said, self.word: said[self.word] | turned}

class TransposedGradient(TransposedWeights):
    word = "gradient"

class Predicts(ScratchSide):
    "Right in every forward pass; never trains."
    def replay(self, reference):
        said = super().replay(reference)
        before = reference.states_before()
        return {**said, "weights": {name: before[Key("update", name)] for name in said["weights"]}}

class OnlyPredicts(ScratchSide):
    def steps(self, x, y):
        return self.predicted(super().steps(x, y))
    def replay(self, reference):
        return self.predicted(super().replay(reference))
    def predicted(self, said):
        return {word: said[word] for word in ("pre_activation", "output", "loss")}

class Scribbles(ScratchSide):
    "Writes what it makes over what it is held against."
    def replay(self, reference):
        for array in reference.arrays.values():
            array[...] = 0
        return super().replay(reference)

class ScribblesBefore(ScratchSide):
    def replay(self, reference):
        for array in reference.before.values():
            array[...] = 0
        return super().replay(reference)

class Normalizes(ScratchSide):
    def steps(self, x, y):
        x -= x.mean()
        return super().steps(x, y)

class _TellsLess(ScratchSide):
    "All of it in the first steps, of which there are as many as in a chunk, and less later."
    def start(self, experiment, weights):
        super().start(experiment, weights)
        self.begun, self.shown = False, False
    def steps(self, x, y):
        said, self.begun = super().steps(x, y), self.begun + 1
        return self.less(said) if self.begun > 1 else said

class TellsNothing(_TellsLess):
    def less(self, said):
        return {}

class TellsOther(_TellsLess):
    def less(self, said):
        return {"metrics": {"other": np.zeros(len(said["loss"]))}}

class TellsNoWeights(_TellsLess):
    def less(self, said):
        return {word: value for word, value in said.items() if word != "weights"}

class ReplaysNothing(_TellsLess):
    def less(self, said):
        return said
    def replay(self, reference):
        return super().replay(reference) if reference.first_step == 1 else {}

class ReplaysNoGradient(ReplaysNothing):
    def replay(self, reference):
        said = ScratchSide.replay(self, reference)
        return said if reference.first_step == 1 else {word: said[word] for word in said if "gradient" not in word}

class Meddles(ScratchSide):
    "Changes the experiment that it is handed."
    def start(self, experiment, weights):
        experiment.initial_weights["dense_1/bias"] = (99.0,)
        super().start(experiment, weights)
"""


@pytest.fixture
def side(tmp_path):
    (tmp_path / "sides.py").write_text(SIDES)
    return lambda name: f"{tmp_path}/sides.py:{name}"


def run(candidate: str = "scratch", **settings):
    return diff(validate({**TABLE, **settings}), reference="scratch", candidate=candidate, explain=False)


def long_run(candidate: str):
    return run(candidate, steps=400, data=TABLE["data"] | {"samples": 4})


def with_local(key: Key, change) -> Pair:
    """The candidate's local answer for one tensor, changed."""
    local = {**PAIR.local, key: PAIR.local[key].copy()}
    change(local[key])
    return Pair(PAIR.reference, PAIR.free, local)


# Comparing means or sums instead of elements ------------------------------------------------------------------------


@pytest.mark.parametrize("key", [key for key in ORDER if PAIR.local[key][0].size > 1], ids=str)
def test_two_elements_that_changed_places_are_found(key):
    """Sum, mean, norm, extremes and sorted values stay what they were."""

    def swap(array):
        flat = array[5].reshape(-1)
        ends = [flat.argmin(), flat.argmax()]
        flat[ends] = flat[ends[::-1]]

    judge = judged(with_local(key, swap))
    assert (judge.verdict, judge.first.step, judge.first.key) == (Verdict.DIVERGED, 6, key)


# Checking only the first step, or the wrong phase -------------------------------------------------------------------


@pytest.mark.parametrize("key", ORDER, ids=str)
def test_every_tensor_of_every_phase_is_checked_at_the_last_step(key):
    judge = judged(spoilt({key: 6}))
    assert (judge.verdict, judge.first.step, judge.first.key) == (Verdict.DIVERGED, 6, key)


@pytest.mark.parametrize("name", ["x", "y"])
def test_a_batch_that_is_another_one_is_found(name):
    free = {**PAIR.free, Key("batch", name): PAIR.reference.arrays[Key("batch", name)].copy()}
    assert judged(Pair(PAIR.reference, free, PAIR.local)).verdict is Verdict.PARITY
    free[Key("batch", name)][5].reshape(-1)[-1] += 1
    judge = judged(Pair(PAIR.reference, free, PAIR.local))
    assert (judge.first.step, judge.first.key) == (6, Key("batch", name))


# An inverted pass rule ----------------------------------------------------------------------------------------------

BUDGETED = [key for key in ORDER if np.any(LocalBudget(EXPERIMENT, "float64").of(key, PAIR.reference, np.array([5])))]


@pytest.mark.parametrize("key", BUDGETED, ids=str)
def test_within_the_budget_passes_and_one_ulp_more_does_not(key):
    reference = PAIR.reference.arrays[key][5]
    budget = LocalBudget(EXPERIMENT, "float64").of(key, PAIR.reference, np.array([5]))
    allowed = np.broadcast_to(budget, (1, *reference.shape))[0]
    at = np.unravel_index(np.argmax(np.where(reference == 0, 0, allowed)), allowed.shape)
    ulp = np.spacing(np.abs(reference[at]))
    most = math.floor(allowed[at] / ulp)
    assert most >= 1
    for ulps, verdict in ((most, Verdict.PARITY), (most + 1, Verdict.DIVERGED)):
        changed = reference[at] - np.copysign(ulps * ulp, reference[at])  # towards zero: no rounding
        judge = judged(with_local(key, lambda array, value=changed: array.__setitem__((5, *at), value)))
        assert judge.verdict is verdict


# Rounding before comparing ------------------------------------------------------------------------------------------


def test_the_last_bit_counts_and_is_shown():
    key = Key("update", "z/kernel")
    judge = judged(with_local(key, lambda array: array[5].__setitem__((2, 3), np.nextafter(array[5][2, 3], 9))))
    assert (judge.verdict, judge.first.key, judge.first.index) == (Verdict.DIVERGED, key, (2, 3))
    assert judge.first.difference == np.spacing(min(abs(judge.first.reference), abs(judge.first.candidate)))
    shown = dict(facts.divergence(judge.first))["difference"]
    assert float(shown.partition(";")[0]) > 0


# NaN replaced by zero; inf equal to inf; missing equal to missing ---------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_the_same_nan_on_both_sides_is_never_parity(bad):
    key = Key("forward", "z/output")
    reference = {k: a.copy() for k, a in PAIR.reference.arrays.items()}
    local, free = ({k: a.copy() for k, a in said.items()} for said in (PAIR.local, PAIR.free))
    for said in (reference, local, free):
        said[key][3, 0, 0] = bad
    judge = judged(Pair(dataclasses.replace(PAIR.reference, arrays=reference), free, local))
    assert judge.verdict is not Verdict.PARITY
    assert judge.nonfinite == (4, key)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("key", [key for key in ORDER if PAIR.local[key].dtype.kind == "f"], ids=str)
def test_a_nan_on_one_side_diverges(bad, key):
    judge = judged(spoilt({key: 2}, by=bad))
    assert judge.verdict is Verdict.DIVERGED
    assert (judge.first.step, judge.first.key) == (2, key)
    assert judge.first.used == math.inf


@pytest.mark.parametrize("key", [key for key in ORDER if PAIR.local[key].dtype.kind == "f"], ids=str)
def test_a_nan_where_the_reference_has_zero_diverges(key):
    reference = {**PAIR.reference.arrays, key: PAIR.reference.arrays[key].copy()}
    local = {**PAIR.local, key: PAIR.local[key].copy()}
    reference[key].reshape(6, -1)[:, -1] = 0
    local[key].reshape(6, -1)[:, -1] = math.nan
    judge = judged(Pair(dataclasses.replace(PAIR.reference, arrays=reference), PAIR.free, local))
    assert judge.verdict is Verdict.DIVERGED
    assert judge.first.step == 1


@pytest.mark.parametrize("key", [key for key in ORDER if PAIR.local[key].dtype.kind == "f"], ids=str)
def test_that_finite_numbers_may_overflow_excuses_nothing_where_they_cannot(key):
    """The operands here are ordinary numbers; of large ones tests/parity/test_unbounded.py has more."""
    may_overflow = Overflow(LocalBudget(EXPERIMENT, "float64")).of(key, PAIR.reference, np.arange(6))
    assert not np.any(may_overflow)
    for bad in (np.finfo(np.float64).max, math.inf, math.nan):
        assert judged(spoilt({key: 6}, by=bad)).verdict is Verdict.DIVERGED


@pytest.mark.parametrize("key", TRAINING, ids=str)
def test_what_both_sides_lack_is_not_equal(key):
    without = ({k: a for k, a in said.items() if k != key} for said in (PAIR.reference.arrays, PAIR.free, PAIR.local))
    arrays, free, local = without
    judge = Judge(EXPERIMENT, "float64")
    judge.coverage.take = judge.sensitivity.take = lambda *_: None  # they need whole records
    judge.take(Pair(dataclasses.replace(PAIR.reference, arrays=arrays), free, local))
    assert judge.verdict is Verdict.CANNOT_JUDGE
    assert key in judge.skipped


# A NaN or negative tolerance that passes everything -----------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize("way", ["rtol", "atol", "ulp"])
def test_what_is_no_tolerance_passes_nothing_even_where_nobody_checked_it(way, bad):
    given = {"tensor": "?*", "phase": None, "part": None, "rtol": None, "atol": None, "ulp": None}
    rule = Tolerance.model_construct(**given | ({"ulp": bad} if way == "ulp" else {"rtol": 0.0, "atol": 0.0, way: bad}))
    judge = Judge(EXPERIMENT.model_copy(update={"tolerance": (rule,)}), "float64")
    try:
        judge.take(spoilt({ORDER[0]: 2}, by=1e-3))
    except ValueError as refused:
        assert "zero or positive" in str(refused)  # noqa: PT017  # either is right: refused, or not passed
    else:
        assert judge.verdict is Verdict.DIVERGED


# Zero tensors compared printed as "all match"; skips allowed by default ---------------------------------------------


@pytest.mark.parametrize(
    "local",
    [
        {},
        {key: array for key, array in PAIR.local.items() if key.phase in {"batch", "metrics"}},
    ],
    ids=["nothing", "no phase that trains"],
)
def test_comparing_nothing_is_not_parity(local):
    judge = judged(Pair(PAIR.reference, {}, local))
    assert judge.verdict is Verdict.CANNOT_JUDGE
    assert judge.verdict.exit_code == 4
    assert Judge(EXPERIMENT, "float64").verdict is Verdict.CANNOT_JUDGE


def test_comparing_nothing_is_not_printed_as_agreement(tmp_path):
    (tmp_path / "net.py").write_text(
        "class Net:\n"
        "    def start(self, experiment, weights): pass\n"
        "    def step(self, x, y): return {}\n"
        "    def weights(self): return {}\n"
    )
    result = run(f"{tmp_path}/net.py:Net")
    assert (result.verdict, result.exit_code, result.tensors_compared) == (Verdict.CANNOT_JUDGE, 4, 0)
    stream = io.StringIO()
    terminal.write(result, stream)
    assert not {"PARITY", "agree", "agrees", "equal"} & set(stream.getvalue().replace(":", " ").split())
    assert "0 tensors a step" in stream.getvalue()


@pytest.mark.parametrize("key", TRAINING, ids=str)
def test_leaving_out_any_tensor_that_trains_is_no_parity(key):
    free, local = ({k: a for k, a in said.items() if k != key} for said in (PAIR.free, PAIR.local))
    judge = judged(Pair(PAIR.reference, free, local))
    assert judge.verdict is Verdict.CANNOT_JUDGE
    assert judge.skipped == [key]
    assert str(key) in {item.what for item in judge.not_compared}
    assert str(key) in facts.left_out(judge) or key.phase == facts.left_out(judge)


# An unused tolerance rule -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["TellsNothing", "TellsOther", "TellsNoWeights", "ReplaysNothing", "ReplaysNoGradient"]
)
def test_what_was_told_once_does_not_stand_for_the_steps_after(name, side):
    """In the steps before all was held against the reference, and nothing in those after."""
    result = long_run(side(name))
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert result.crash.step == 201
    assert "nothing" in result.crash.message


@pytest.mark.parametrize("steps", [6, 200])
def test_an_unused_rule_is_an_error_after_the_first_chunk(steps):
    told = []
    with pytest.raises(UsageError, match=r"ulp 1 for dens/kernel matches nothing.*nearest: dense/kernel"):
        diff(
            validate({**TABLE, "steps": steps, "tolerance": [{"ulp": 1, "tensor": "dens/kernel"}]}),
            reference="scratch",
            progress=lambda *at: told.append(at),
        )
    assert told == []


# A tolerance raised to silence a flake; a fudge factor hidden in a test ---------------------------------------------


def test_budgets_are_what_the_model_of_rounding_gives_by_hand():
    """Written a second time, as numbers: whoever widens a budget has to say here why it is that wide.

    x, kernel and bias are ones, of 2 examples, 3 inputs and 2 units; y is 0, l2 is 0.5. In multiples of u.
    """
    experiment = validate(
        {
            "data": {"source": "arrays", "x": [[1.0] * 3] * 2, "y": [[0.0] * 2] * 2},
            "layers": [
                {
                    "units": 2,
                    "kernel_initializer": "ones",
                    "bias_initializer": "ones",
                    "kernel_regularizer": {"l2": 0.5},
                }
            ],
            "loss": "mse",
            "optimizer": "sgd",
            "batch_size": 2,
            "steps": 1,
        }
    )
    pair = only_chunk(experiment)
    by_hand = {
        "forward dense/pre_activation": 2 * 4 * 4,  # both sides; a sum of 3 products and the bias, each 1: 4 roundings
        "forward dense/output": 0,  # linear: copied
        "loss loss (data)": 2 * (2 + 2 + 6) * 16,  # two sums of 2 and 6 operations; the loss is 4**2
        "loss dense/kernel (penalty)": 2 * (6 + 6) * 3,  # a sum of 6 and 6 operations; 0.5 * 6
        "loss loss (penalty)": 2 * (6 + 6) * 3 + 2 * 2 * 3,
        "loss loss": 2 * (2 + 2 + 6) * 16 + 2 * (6 + 6) * 3 + 2 * 2 * 19,
        "gradient dense/output": 2 * 7 * 4 * 2 / 4,  # 7 operations on 2 (4 - 0) / 4
        "gradient dense/pre_activation": 0,
        "gradient dense/kernel (data)": 2 * 2 * 4,  # a sum over 2 examples of 1 * 2
        "gradient dense/kernel (penalty)": 2 * 3 * 1,  # 3 operations on 2 * 0.5 * 1
        "gradient dense/kernel": 2 * 2 * 4 + 2 * 3 * 1 + 2 * 5,  # and their sum
        "gradient dense/bias": 2 * 2 * 4,
        "update dense/kernel": 0,
        "update dense/bias": 0,
    }
    budget = LocalBudget(experiment, "float64")
    found = {
        str(key): float(np.max(budget.of(key, pair.reference, np.array([0])))) / 2.0**-53
        for key in pair.local
        if not key.tensor.startswith("optimizer/")
    }
    assert found == pytest.approx(by_hand, rel=1e-12)  # (n u)**2 is left out of the numbers above


@pytest.mark.parametrize(
    ("activation", "output", "pre_activation"),
    [
        # z is 0 for both of 2 units, so a is 1/2 (softmax, sigmoid) or 0; y is -1, so da is a + 1
        ("sigmoid", 2 * 14 / 2, 2 * 4 * 1.5 / 4),  # 14 ulp of 1/2; 4 operations on da a (1 - a)
        ("softmax", 2 * (2 * 2 * 6 + 2 + 2) / 2, 2 * (2 + 4) * (1.5 + 1.5) / 2),  # two exp of 6 ulp; (da - sum da a) a
        ("tanh", 0, 2 * 4 * 1),  # 4 operations on da (1 - a**2)
        ("relu", 0, 0),
    ],
)
def test_budgets_of_activations_by_hand(activation, output, pre_activation):
    experiment = validate(
        {
            "data": {"source": "arrays", "x": [1.0], "y": [[-1.0, -1.0]]},
            "layers": [{"units": 2, "activation": activation, "kernel_initializer": "zeros"}],
            "loss": "mse",
            "optimizer": "sgd",
            "steps": 1,
        }
    )
    budget, pair = LocalBudget(experiment, "float64"), only_chunk(experiment)
    for key, wanted in (("forward", "dense/output"), output), (("gradient", "dense/pre_activation"), pre_activation):
        found = np.max(budget.of(Key(*key), pair.reference, np.array([0]))) / 2.0**-53
        assert found == pytest.approx(wanted, rel=1e-12)


def only_chunk(experiment) -> Pair:
    """The NumPy network beside itself."""
    sides = load_side("scratch"), load_side("scratch")
    dataset = load_dataset(experiment).astype("float64")
    inputs = dataset.x.shape[1]
    weights = start_weights(experiment, [draw_weights(sides[0], experiment, inputs, "float64")], inputs, "float64")
    (pair,) = lockstep(experiment, *sides, dataset, weights, ("local",))
    return pair


ALLOWED = {"used", "budget", "allowed", "limit"}


def fudged(source: str) -> list[int]:
    """Lines that compare with a budget times a number above 1, or take more than all of one for little enough."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Compare)
        for small, operator, large in zip([node.left, *node.comparators], node.ops, node.comparators, strict=False)
        if isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE)
        for below, above in [(small, large) if isinstance(operator, ast.Lt | ast.LtE) else (large, small)]
        if (_names(above) & ALLOWED and _widened(above)) or (_names(below) & {"used"} and (_number(above) or 0) > 1)
    ]


def _names(node: ast.AST) -> set[str]:
    return {
        getattr(inner, "id", None) or getattr(inner, "attr", None) or getattr(inner, "value", None)
        for inner in ast.walk(node)
        if isinstance(inner, ast.Name | ast.Attribute) or (isinstance(inner, ast.Constant) and inner.value in ALLOWED)
    }


def _number(node: ast.AST) -> float | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, int | float) else None


def _widened(node: ast.AST) -> bool:
    for inner in ast.walk(node):
        if isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Mult):
            if any((_number(side) or 0) > 1 for side in (inner.left, inner.right)):
                return True
        elif isinstance(inner, ast.BinOp) and isinstance(inner.op, ast.Div) and 0 < (_number(inner.right) or 1) < 1:
            return True
    return False


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("assert difference <= 2 * budget", True),
        ("assert (found - exact <= budget * 1.5).all()", True),
        ("assert row['used'] < 3", True),
        ("assert summary.used <= 1.01", True),
        ("assert 10 >= summary.used", True),
        ("assert difference < allowed / 0.5", True),
        ("assert difference <= budget", False),
        ("assert summary.used <= 1", False),
        ("assert summary.used > 100", False),
        ("assert difference <= budget / 2", False),
        ("assert used < 0.75", False),
    ],
)
def test_the_scan_sees_a_fudge_factor(line, found):
    assert bool(fudged(line)) is found


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_no_test_widens_a_budget(path):
    source = path.read_text()
    assert fudged(source) == []
    excuses = {"xfail", "flaky", "rerunfailures", "reruns"}
    told = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
    assert not told & excuses


# A transpose guessed from the shape ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "phase"), [("TransposedWeights", "update"), ("TransposedGradient", "gradient")])
def test_a_square_kernel_is_not_taken_for_its_transpose(name, phase, side):
    found = run(side(name)).first_divergence
    assert (found.step, found.key) == (1, Key(phase, "dense/kernel"))


# "First" in alphabetical order --------------------------------------------------------------------------------------


@given(st.dictionaries(st.sampled_from(ORDER), st.integers(2, 3), min_size=1, max_size=8))
def test_the_first_divergence_is_the_first_in_execution_order(changes):
    judge = judged(spoilt(changes))
    assert judge.verdict is Verdict.DIVERGED
    step = min(changes.values())
    first = next(key for key in ORDER if changes.get(key) == step)
    assert (judge.first.step, judge.first.key, judge.first.lane) == (step, first, "local")
    assert judge.first.difference == pytest.approx(1)
    assert judge.first.used > 1
    shape = PAIR.local[first].shape[1:]
    assert judge.first.index == tuple(length - 1 for length in shape)


def test_first_is_last_in_the_alphabet_where_it_is_computed_first():
    """Layer z comes before layer a, but for its gradients; both come forward before the loss."""
    wanted = ["forward z/output", "forward a/output", "loss loss", "gradient a/kernel", "gradient z/kernel"]
    wanted += ["update z/kernel", "update a/kernel"]
    keys = {str(key): key for key in ORDER}
    for earlier, later in itertools.pairwise(wanted):
        assert str(judged(spoilt({keys[later]: 2, keys[earlier]: 2})).first.key) == earlier


# Hooks that change the numbers --------------------------------------------------------------------------------------


def test_being_asked_changes_no_number():
    """The free run is the same to the last bit whether or not the candidate was also asked phase by phase."""
    both, alone = (
        diff(validate(TABLE), reference="scratch", candidate="scratch[l2.penalty=half]", lanes=lanes, explain=False)
        for lanes in (("local", "free"), ("free",))
    )
    columns = [name for name in both.frame.columns if not name.startswith("used")]
    left, right = (
        frame.loc[frame["lane"] == "free", columns].reset_index(drop=True) for frame in (both.frame, alone.frame)
    )
    assert len(left) > 100
    assert left.equals(right)


@pytest.mark.parametrize("name", ["Scribbles", "ScribblesBefore", "Normalizes"])
def test_a_side_cannot_write_on_what_it_is_held_against(name, side):
    result = run(side(name))
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert re.search(r"read-only.*sides\.py, line.*change a copy", result.crash.message)


# A config mutated between runs --------------------------------------------------------------------------------------


def test_an_experiment_is_not_changed_by_its_run():
    experiment = validate(TABLE)
    before = experiment.model_dump_json()
    diff(experiment, reference="scratch", candidate="scratch[l2.penalty=half]")
    assert experiment.model_dump_json() == before


def test_a_side_does_not_change_the_experiment_of_the_others(side):
    """The other side, and the next precision, start from what the experiment says."""
    experiment = validate({**TABLE, "initial_weights": {"dense/bias": (0.5, 0.5, 0.5)}, "precision": "both"})
    before = experiment.model_dump_json()
    result = diff(experiment, reference=side("Meddles"), candidate="scratch")
    assert result.verdict is Verdict.PARITY
    assert experiment.model_dump_json() == before
    assert result.experiment.initial_weights == {"dense/bias": (0.5, 0.5, 0.5)}


# A report that crashes on a zero difference -------------------------------------------------------------------------


def test_a_report_of_equal_sides_has_nothing_to_divide_by(tmp_path):
    result = run(tolerance=[{"ulp": 0}])
    for form in FORMATS:
        write_reports(result, parse_targets([f"{form}={tmp_path / form}"]))
    said = json.loads((tmp_path / "json").read_text())
    assert (said["verdict"], said["first_divergence"], said["explained"]) == ("PARITY", None, True)
    for found in said["runs"]:
        assert {tensor["absolute"] for tensor in found["tensors"]} == {0}
        assert all(tensor["used"] in {0, None} for tensor in found["tensors"])
    for form in ("markdown", "terminal"):
        assert "equal to the last bit" in (tmp_path / form).read_text()
    assert [show(0.0) for show in (facts.number, worth.at_least, facts.percent)] == ["0", "0", "0 % of budget"]


# Relative error at values near zero; 0/0 ----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_next_to_zero_a_relative_tolerance_allows_nothing_and_zero_beside_zero_is_equal(dtype):
    least = np.finfo(dtype).smallest_subnormal
    r, c = np.zeros((2, 2), dtype), np.array([[0, 0], [0, least]], dtype)
    judge = Judge(EXPERIMENT.model_copy(update={"tolerance": (Tolerance(rtol=0.5, atol=0),)}), "float64")
    rows = measure(r, c, judge.tolerances.allowed(ORDER[0], r, None))
    assert rows["used"]["value"].tolist() == [0, math.inf]
    assert rows["relative"]["value"].tolist() == [0, math.inf]
    needed = Needed()
    needed.take(largest(rows), dtype)
    assert (needed.rtol, needed.ulp >= 1, needed.atol >= least) == (math.inf, True, True)


def test_a_tensor_that_has_to_be_zero_is_not_lost_beside_large_ones():
    """A mean or a norm would call it rounding."""
    key = Key("gradient", "a/kernel")
    arrays = {**PAIR.reference.arrays, key: PAIR.reference.arrays[key].copy()}
    local = {**PAIR.local, key: PAIR.local[key].copy()}
    for said in (arrays, local):
        said[key][:] = 1e3
        said[key][:, 0] = 0
    pair = Pair(dataclasses.replace(PAIR.reference, arrays=arrays), PAIR.free, local)
    first = judged(pair).first
    assert first is None or first.key != key
    local[key][0, 0] = 1e-3
    first = judged(pair).first
    assert (first.step, first.key, first.index) == (1, key, (0, 0))


# Comparing in inference mode only -----------------------------------------------------------------------------------


def test_a_side_that_predicts_right_and_never_trains_diverges(side):
    found = run(side("Predicts")).first_divergence
    assert (found.step, found.key.phase) == (1, "update")


def test_a_side_that_only_predicts_cannot_be_judged(side):
    result = run(side("OnlyPredicts"))
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert facts.left_out(result.runs[0].judge) == "gradient, update"
    assert as_json.as_dict(result)["exit_code"] == 4
