"""Where finite operands may overflow: every order of every sum is tried."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st
from hypothesis.extra import numpy as hnp

from parity.budget import LocalBudget, Overflow
from parity.config import Experiment
from parity.protocol import Key, Records
from tests.parity.budget.test_formulas import LOSSES, STEPS, experiment_of as formulas_of, records_of

LARGEST = float(np.finfo(np.float32).max)
ROW = np.array([0])
# Powers of two and their neighbours: what overflows in one order and not in another is then common.
NUMBERS = st.sampled_from([sign * size for sign in (1, -1) for size in (1e-30, 0.5, 3.0, 1e12, 2.0**63, 1.2e19, 3e19)])
BAD = [math.nan, math.inf, -math.inf]


def experiment_of(*layers, loss="MeanSquaredError", **data):
    source = {"source": "regression", "features": 3, "targets": 2} | data
    layers = layers or ({"units": 2},)
    return Experiment.model_validate({"data": source, "layers": layers, "loss": loss, "optimizer": "SGD"})


def of(experiment, key, arrays, before=None):
    """Whether each element of one step may overflow, in float32."""
    stacked = {each: np.asarray(array)[None] for each, array in arrays.items()}
    stacked = {each: a.astype(np.float32) if a.dtype.kind == "f" else a for each, a in stacked.items()}
    update = {each: np.asarray(array, np.float32) for each, array in (before or {}).items()}
    stacked |= {each: array[None] for each, array in update.items() if each not in stacked}
    found = Overflow(LocalBudget(experiment, "float32")).of(key, Records(1, stacked, update), ROW)
    assert np.asarray(found).dtype == bool
    return found[0] if np.ndim(found) else bool(found)


def all_orders(terms):
    """What a sum comes to in float32, in every order of its terms."""
    with np.errstate(over="ignore", invalid="ignore"):
        for order in itertools.permutations(np.asarray(terms, np.float32)):
            total = np.float32(0)
            for term in order:
                total = total + term
            yield float(total)


def products(a, b):
    with np.errstate(over="ignore"):
        return np.asarray(a, np.float32) * np.asarray(b, np.float32)


def check(may_overflow, terms):
    """No order overflows where it cannot; and where it can, the terms add up to about the largest number."""
    with np.errstate(over="ignore", invalid="ignore"):
        absolute = np.abs(np.asarray(terms, np.float64)).sum()
    if not all(math.isfinite(total) for total in all_orders(terms)):
        assert may_overflow
    if absolute < 0.98 * LARGEST:
        assert not may_overflow
    if absolute > LARGEST:
        assert may_overflow


def arrays(*shape):
    return hnp.arrays(np.float32, shape, elements=NUMBERS.map(lambda number: float(np.float32(number))))


@given(arrays(2, 3), arrays(3, 2), arrays(2), st.booleans())
def test_a_layer(x, kernel, bias, use_bias):
    key, experiment = Key("forward", "dense/pre_activation"), experiment_of({"units": 2, "use_bias": use_bias})
    before = {Key("update", "dense/kernel"): kernel} | ({Key("update", "dense/bias"): bias} if use_bias else {})
    found = of(experiment, key, {Key("batch", "x"): x}, before)
    for row, unit in np.ndindex(2, 2):
        check(found[row, unit], [*products(x[row], kernel[:, unit]), *([bias[unit]] if use_bias else [])])


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("bias", [0.6, 0.3])
def test_a_bias_is_a_term_like_the_others(sign, bias):
    x, kernel = np.full((1, 3), 0.2), np.full((3, 2), LARGEST)
    before = {Key("update", "dense/kernel"): kernel, Key("update", "dense/bias"): np.full(2, sign * bias * LARGEST)}
    found = of(experiment_of(), Key("forward", "dense/pre_activation"), {Key("batch", "x"): x}, before)
    assert found.tolist() == [[bias == 0.6] * 2]


@given(arrays(3, 3), arrays(3, 2), arrays(3, 2))
def test_the_gradient_of_a_layer(x, dz, kernel):
    experiment = experiment_of({"units": 2, "name": "a"}, {"units": 2, "name": "b", "kernel_regularizer": "l2"})
    inputs = {Key("batch", "x"): x, Key("forward", "a/output"): x, Key("gradient", "b/pre_activation"): dz}
    inputs |= {Key("gradient", "a/pre_activation"): dz}
    before = {Key("update", "b/kernel"): kernel, Key("update", "a/kernel"): kernel}
    weights, data = (of(experiment, Key("gradient", "b/kernel", part), inputs, before) for part in ("whole", "data"))
    first = of(experiment, Key("gradient", "a/kernel"), inputs, before)
    bias, output = (of(experiment, Key("gradient", name), inputs, before) for name in ("b/bias", "a/output"))
    for unit in range(2):
        check(bias[unit], dz[:, unit])
        for row in range(3):
            terms = products(x[:, row], dz[:, unit])
            check(data[row, unit], terms)
            check(first[row, unit], terms)
            check(weights[row, unit], [*terms, 2 * kernel[row, unit]])
    for row, unit in np.ndindex(3, 3):
        check(output[row, unit], products(dz[row], kernel[unit]))
    assert not of(experiment, Key("gradient", "b/kernel", "penalty"), inputs, before).any()


@pytest.mark.parametrize("loss", ["MeanSquaredError", "SumSquaredError"])
@given(p=arrays(2, 2), y=arrays(2, 2))
def test_squares(loss, p, y):
    inputs = {Key("forward", "dense/output"): p, Key("batch", "y"): y}
    for part in ("data", "whole"):
        found = of(experiment_of(loss=loss), Key("loss", "loss", part), inputs)
        check(found, products(p - y, p - y).reshape(-1))
    assert not of(experiment_of(loss=loss), Key("loss", "loss", "penalty"), inputs)


@given(arrays(2, 2), arrays(2), arrays(2, 2))
def test_penalties(kernel, bias, output):
    both = {"class_name": "L1L2", "l1": 0.1, "l2": 0.1}
    layer = {"units": 2, "kernel_regularizer": "l2", "bias_regularizer": "l1", "activity_regularizer": both}
    experiment, y = experiment_of(layer), {Key("batch", "y"): output}
    before = {Key("update", "dense/kernel"): kernel, Key("update", "dense/bias"): bias}
    inputs = {Key("forward", "dense/output"): output} | y
    terms = {"kernel": products(kernel, kernel), "bias": bias, "output": products(output, output)}
    found = {}
    for place, of_place in terms.items():
        found[place] = of(experiment, Key("loss", f"dense/{place}", "penalty"), inputs, before)
        check(found[place], of_place.reshape(-1))
    together = of(experiment, Key("loss", "loss", "penalty"), inputs, before)
    assert together >= any(found.values())
    assert of(experiment, Key("loss", "loss"), inputs, before) == together  # p is y: the data lose nothing
    assert not of(experiment, Key("loss", "loss", "data"), inputs, before)


LOGITS = {
    "CategoricalCrossentropy": np.eye(2),
    "BinaryCrossentropy": np.eye(2),
    "SparseCategoricalCrossentropy": np.array([0, 1]),
}


@pytest.mark.parametrize("loss", LOGITS)
def test_logits_that_are_further_apart_than_the_largest_number(loss):
    experiment = experiment_of(loss={"class_name": loss, "from_logits": True})
    for size, may_overflow in ((0.1 * LARGEST, False), (0.9 * LARGEST, True)):
        z = {Key("forward", "dense/output"): np.array([[size, -size], [0, 0]]), Key("batch", "y"): LOGITS[loss]}
        assert of(experiment, Key("loss", "loss", "data"), z) == may_overflow


@pytest.mark.parametrize("loss", LOGITS)
@pytest.mark.parametrize("last", ["softmax", "relu"])
def test_probabilities_do_not_overflow(loss, last):
    """Unless they are made to sum to 1, and sum to nothing by themselves: nothing at all has no order."""
    experiment = experiment_of({"units": 2, "activation": last}, loss=loss)
    keys = Key("loss", "loss"), Key("gradient", "dense/output")
    for p, may_overflow in (([0.2, 0.8], False), ([0, 0], False), ([1e-20, 1e-20], False), ([1, -1], True)):
        told = {Key("forward", "dense/output"): np.array([p, [0.5, 0.5]]), Key("batch", "y"): LOGITS[loss]}
        told |= {Key("forward", "dense/pre_activation"): np.zeros((2, 2))}
        normalized = loss == "CategoricalCrossentropy" and last == "relu"
        for key in keys:
            assert np.any(of(experiment, key, told)) == (may_overflow and normalized), key


def test_the_largest_target_may_be_a_negative_one():
    experiment = experiment_of(loss={"class_name": "BinaryCrossentropy", "from_logits": True})
    for target, may_overflow in ((-0.5, False), (-9.0, True)):
        z = np.array([[0.1 * LARGEST, 0], [0, 0]])
        told = {Key("forward", "dense/output"): z, Key("batch", "y"): np.array([[target, 0.5], [0, 0]])}
        assert of(experiment, Key("loss", "loss", "data"), told) == may_overflow


def test_a_probability_of_zero_hides_no_penalty_that_overflows():
    experiment = experiment_of({"units": 2, "kernel_regularizer": "l2"}, loss="BinaryCrossentropy")
    told = {Key("forward", "dense/output"): np.zeros((2, 2)), Key("batch", "y"): np.eye(2)}
    assert of(experiment, Key("loss", "loss"), told, {Key("update", "dense/kernel"): np.full((3, 2), 1e30)})


def test_derivatives():
    key = Key("gradient", "dense/pre_activation")
    for activation, may_overflow in (("softmax", True), ("tanh", False), ("linear", False)):
        told = {
            Key("gradient", "dense/output"): np.array([[0.9 * LARGEST, 0.9 * LARGEST]]),
            Key("forward", "dense/output"): np.array([[0.5, 0.5]]),
        }
        assert np.any(of(experiment_of({"units": 2, "activation": activation}), key, told)) == may_overflow


def test_what_the_activity_penalty_adds():
    experiment = experiment_of({"units": 2, "activity_regularizer": "l2"})
    told = {Key("batch", "y"): np.zeros((2, 2)), Key("forward", "dense/output"): np.full((2, 2), 0.3 * LARGEST)}
    assert of(experiment, Key("gradient", "dense/output"), told).all()
    assert not np.any(of(experiment_of(), Key("gradient", "dense/output"), told))


@pytest.mark.parametrize("bad", BAD)
def test_an_operand_that_is_not_finite_is_no_overflow(bad):
    """Where it goes. What it has nothing to do with may overflow all the same."""
    x, kernel = np.full((2, 3), 1e30), np.full((3, 2), 1e30)
    x[0, 1] = kernel[2, 1] = bad
    before = {Key("update", "dense/kernel"): kernel, Key("update", "dense/bias"): np.zeros(2)}
    found = of(experiment_of(), Key("forward", "dense/pre_activation"), {Key("batch", "x"): x}, before)
    assert found.tolist() == [[False, False], [True, False]]


@pytest.mark.parametrize("bad", BAD)
def test_what_is_not_finite_and_meets_a_zero_may_be_passed_over(bad):
    """NumPy's own product of a column and a row is what passes over it, in some versions of its BLAS."""
    x, kernel = np.array([[bad, 1, 1], [0, 1, 1], [2, 0, 1]]), np.array([[0, 3], [bad, 3], [1, 3]])
    before = {Key("update", "dense/kernel"): kernel, Key("update", "dense/bias"): np.zeros(2)}
    found = of(experiment_of(), Key("forward", "dense/pre_activation"), {Key("batch", "x"): x}, before)
    assert found.tolist() == [[True, False], [False, False], [True, False]]
    told = {Key("batch", "x"): np.array([[0, 1, 2]]), Key("gradient", "dense/pre_activation"): np.array([[bad, 1]])}
    assert (
        of(experiment_of(), Key("gradient", "dense/kernel"), told, before).tolist()
        == [[True, False]] + [[False] * 2] * 2
    )
    above = experiment_of({"units": 3, "name": "a"}, {"units": 2, "name": "b"})
    told = {Key("gradient", "b/pre_activation"): np.array([[bad, 0]])}
    before = {Key("update", "b/kernel"): np.array([[0, 1], [1, 1], [2, bad]])}
    assert of(above, Key("gradient", "a/output"), told, before).tolist() == [[True, False, True]]


@pytest.mark.parametrize("centered", [True, False])
def test_a_centered_rmsprop_may_divide_by_nothing(centered):
    """v - a**2 + epsilon, each of size 1: what is larger than 2**-23, which rounding may make, has a bound."""
    epsilon, ulp = 2.0**-20, 2.0**-24  # of float32 just below 1
    optimizer = {"class_name": "RMSprop", "epsilon": epsilon, "centered": centered, "momentum": 0.5}
    experiment = Experiment.model_validate({**experiment_of().model_dump(exclude_none=True), "optimizer": optimizer})
    weight, slots = Key("update", "dense/kernel"), ("velocity", "average_gradient", "momentum")
    told = {Key("update", f"dense/kernel/{slot}"): np.full((2, 2), 1 - epsilon) for slot in slots}
    told[Key("update", "dense/kernel/average_gradient")] = np.array([[1 + 2 * ulp, 1], [1 - ulp, 1 - 2 * ulp]])
    told |= {weight: np.ones((2, 2)), Key("update", "optimizer/iterations"): np.array(1)}
    for key in (weight, Key("update", "dense/kernel/momentum")):
        found = np.broadcast_to(of(experiment, key, told), (2, 2))
        assert found.tolist() == ([[True, True], [True, False]] if centered else [[False] * 2] * 2)
    for tensor in ("dense/kernel/velocity", "dense/kernel/average_gradient", "optimizer/iterations"):
        assert not np.any(of(experiment, Key("update", tensor), told))
    of_sgd = experiment.model_copy(update={"optimizer": experiment_of().optimizer})
    assert not np.any(of(of_sgd, weight, told))


def test_what_has_a_fixed_order_or_is_not_recorded():
    experiment = experiment_of()
    huge = np.full((3, 2), LARGEST)
    for key in (Key("update", "dense/kernel"), Key("batch", "x"), Key("metrics", "accuracy")):
        assert not of(experiment, key, {key: huge}, {Key("update", "dense/kernel"): huge})
    told, before = (
        {Key("batch", "x"): huge.T},
        {Key("update", "dense/kernel"): huge, Key("update", "dense/bias"): [0, 0]},
    )
    assert np.all(of(experiment, Key("forward", "dense/pre_activation"), told, before))
    assert not np.any(of(experiment, Key("forward", "dense/output"), told, before))
    assert not of(experiment, Key("forward", "dense/pre_activation"), {Key("batch", "x"): huge.T})


def test_a_difference_that_overflows_takes_no_budget_from_the_rest_of_a_softmax():
    """exp(-inf) is 0, to the last bit."""
    experiment = experiment_of({"units": 3, "activation": "softmax"})
    z, a = np.array([[[0.9 * LARGEST, 0.9 * LARGEST, -0.9 * LARGEST]]], np.float32), np.array([[[0.5, 0.5, 0]]])
    key, arrays = Key("forward", "dense/output"), {Key("forward", "dense/pre_activation"): z}
    found = LocalBudget(experiment, "float32").of(key, Records(1, arrays | {key: a.astype(np.float32)}, {}), ROW)
    ordinary = arrays | {key: a, Key("forward", "dense/pre_activation"): np.array([[[1.0, 1, -1e3]]])}
    np.testing.assert_allclose(found, LocalBudget(experiment, "float32").of(key, Records(1, ordinary, {}), ROW))
    assert (found[0, 0, :2] > found[0, 0, 2]).all()


def by_hand(experiment, records, step, key):
    """The largest number on the way to each element, written a second time: one step, one example, one element."""
    now, before, name = records.step(step), records.states_before(), key.layer
    layers = {layer.name: layer for layer in experiment.layers}
    names = list(layers)

    def inputs(layer):
        at = names.index(layer)
        return now[Key("batch", "x")] if at == 0 else now[Key("forward", f"{names[at - 1]}/output")]

    def weight(tensor):
        return np.abs(before[Key("update", tensor)][step])

    def penalty(tensor):
        layer, _, place = tensor.partition("/")
        regularizer = getattr(layers[layer], {"output": "activity"}.get(place, place) + "_regularizer")
        values = np.abs(now[Key("forward", tensor)]) if place == "output" else weight(tensor)
        return sum(float(v) ** 2 if getattr(regularizer, "l2", 0) else float(v) for v in values.reshape(-1))

    def penalized():
        for layer in experiment.layers:
            for place in ("kernel", "bias", "activity"):
                if getattr(layer, f"{place}_regularizer") is not None and (place != "bias" or layer.use_bias):
                    yield f"{layer.name}/{'output' if place == 'activity' else place}"

    y, last = now[Key("batch", "y")], names[-1]
    p, loss = now[Key("forward", f"{last}/output")], experiment.loss
    squares, skips = "Squared" in loss.class_name, layers[last].activation in {"softmax", "sigmoid"}
    skips = skips and not squares
    z = now[Key("forward", f"{last}/pre_activation")] if skips else p
    normalizes = loss.class_name == "CategoricalCrossentropy"

    def quotient(row):
        return sum(abs(row)) / abs(sum(row)) ** 2 / 1e-7 if normalizes else 0.0

    def data():
        if squares:
            return sum(float(d) ** 2 for d in (p - y).reshape(-1))
        if skips or getattr(loss, "from_logits", False):
            factor = 1 + (1.0 if y.dtype.kind == "i" else max(abs(y.reshape(-1))))
            return factor * sum(abs(v) + max(abs(row)) for row in z for v in row)
        return sum(quotient(row) for row in p)  # one quotient for each example

    if key.phase == "loss":
        if key.tensor != "loss":
            return penalty(key.tensor)
        of_data = data() if key.part != "penalty" else 0.0
        return of_data + sum(penalty(tensor) for tensor in penalized() if key.part != "data")
    if key.phase == "forward":
        if key.tensor.endswith("output"):
            return 0.0
        bias = weight(f"{name}/bias") if layers[name].use_bias else 0.0
        kernel = weight(f"{name}/kernel")
        return np.array([[sum(abs(row) * column) for column in kernel.T] for row in inputs(name)]) + bias
    if key.phase != "gradient":
        return 0.0
    what = key.tensor.partition("/")[2]
    a, da = (np.abs(now[Key(phase, f"{name}/output")]) for phase in ("forward", "gradient"))
    dz = np.abs(now[Key("gradient", f"{name}/pre_activation")])
    if what == "pre_activation":
        return np.array(
            [
                row + (sum(row * other) if layers[name].activation == "softmax" else 0)
                for row, other in zip(da, a, strict=True)
            ]
        )
    if what == "output":
        found = 2 * a if layers[name].activity_regularizer is not None else 0.0
        if name == last:
            if squares:
                return found + 2 * np.abs(p - y)
            return found + (0.0 if skips else np.array([[quotient(row)] for row in p]))
        above = names[names.index(name) + 1]
        up, kernel = np.abs(now[Key("gradient", f"{above}/pre_activation")]), weight(f"{above}/kernel")
        return found + np.array([[sum(row * line) for line in kernel] for row in up])
    extra = 2 * weight(key.tensor) if getattr(layers[name], f"{what}_regularizer") is not None else 0.0
    if key.part == "penalty":
        return extra
    columns = np.abs(inputs(name)).T
    of_data = np.array([[sum(x * d) for d in dz.T] for x in columns]) if what == "kernel" else [sum(d) for d in dz.T]
    return np.asarray(of_data) + (0.0 if key.part == "data" else extra)


@pytest.mark.parametrize("hidden", ["tanh", "softmax"])
@pytest.mark.parametrize("penalties", [True, False])
@pytest.mark.parametrize(("loss", "settings", "last"), LOSSES)
def test_the_largest_number_on_the_way(loss, settings, last, penalties, hidden):
    experiment = formulas_of((loss, settings), last, hidden, penalties=penalties, depth=2)
    records, overflow = records_of(experiment), Overflow(LocalBudget(experiment, "float64"))
    for key, array in records.arrays.items():
        found = np.broadcast_to(overflow.largest(key, records, np.arange(STEPS)), array.shape)
        for step in range(STEPS):
            wanted = np.broadcast_to(by_hand(experiment, records, step, key), array.shape[1:])
            np.testing.assert_allclose(found[step], wanted, rtol=1e-12, atol=0, err_msg=str((key, step)))
