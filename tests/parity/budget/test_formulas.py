"""Every budget written a second time, from its reasons alone: one example, one element and one step at a time.

The operands are random, and u and tiny are so large that no term of a formula is lost beside another. Held from both
sides: a budget that is too wide hides mistakes, one that is too narrow cries wolf.
"""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import pytest

from parity.budget import LocalBudget, losses
from parity.config import validate
from parity.protocol import Key, Records

U, TINY, EPSILON = 2.0**-10, 3e-3, 1e-2
STEPS, BATCH, INPUTS, HIDDEN, CLASSES = 3, 4, 2, 5, 3
ULPS = {"exp": 6, "log": 10, "log1p": 12, "sigmoid": 14, "tanh": 14}  # tests/parity/budget/test_rounding.py measures
RSQRT = 7.4  # 1.5 (1.5 * 2**-12)**2 / 2**-24 + 4
RATE, OPTIMIZER_EPSILON = 0.25, 0.04
SMOOTHING = 0.2

OPTIMIZERS = {
    "sgd": {"class_name": "SGD", "learning_rate": RATE, "momentum": 0.9},
    "adam": {"class_name": "Adam", "learning_rate": RATE, "epsilon": OPTIMIZER_EPSILON},
    "adam, no epsilon": {"class_name": "Adam", "learning_rate": RATE, "epsilon": 0.0},
    "rmsprop": {"class_name": "RMSprop", "learning_rate": RATE, "epsilon": OPTIMIZER_EPSILON},
    "rmsprop, everything": {
        "class_name": "RMSprop", "learning_rate": RATE, "epsilon": OPTIMIZER_EPSILON, "momentum": 0.5, "centered": True
    },
}  # fmt: skip
LOSSES = [
    *[(name, {}, activation) for name in ("MeanSquaredError", "SumSquaredError") for activation in ("linear", "tanh")],
    *[
        (name, {"from_logits": logits} | ({} if name.startswith("Sparse") else {"label_smoothing": SMOOTHING}), last)
        for name in ("CategoricalCrossentropy", "SparseCategoricalCrossentropy", "BinaryCrossentropy")
        for logits, last in ((False, "softmax"), (False, "sigmoid"), (True, "linear"), (False, "relu"))
    ],
    ("CategoricalCrossentropy", {}, "relu"),
]


def experiment_of(loss="mse", last="linear", hidden="tanh", optimizer="sgd", *, penalties=True, depth=1):
    name, settings = (loss, {}) if isinstance(loss, str) else loss
    both = {"class_name": "L1L2", "l1": 0.3, "l2": 0.7}
    layers = [
        {"units": HIDDEN, "activation": hidden, "bias_regularizer": {"class_name": "L1", "l1": 0.5}},
        {"units": CLASSES, "activation": last},
    ]
    if penalties:
        layers[0] |= {"kernel_regularizer": both, "activity_regularizer": {"class_name": "L2", "l2": 0.4}}
        layers[-1] |= {"activity_regularizer": both, "kernel_regularizer": {"class_name": "L2", "l2": 0.2}}
    unbiased = {"units": HIDDEN, "activation": "sigmoid", "use_bias": False, "bias_regularizer": "l2"}
    layers[1:1] = [unbiased | {"activity_regularizer": "l1"}] * (depth - 1)
    one_hot = {} if name.startswith("Sparse") else {"one_hot": CLASSES}
    data = {"source": "classification", "features": INPUTS, "classes": CLASSES, "samples": 8} | one_hot
    return validate(
        {"data": data, "layers": layers, "loss": {"class_name": name} | settings, "optimizer": OPTIMIZERS[optimizer]}
        if name != "mse"
        else {"data": data, "layers": layers, "loss": "mse", "optimizer": OPTIMIZERS[optimizer]}
    )


def records_of(experiment, seed=1) -> Records:
    """Numbers of all sizes and both signs under the keys of a step; they need not fit together."""
    random = np.random.default_rng(seed)

    def some(*shape):
        return random.standard_normal((STEPS, *shape)) * random.choice([1e-2, 1, 3], (STEPS, *shape))

    arrays = {Key("batch", "x"): some(BATCH, INPUTS), Key("loss", "loss", "data"): some()}
    if experiment.loss.class_name.startswith("Sparse"):
        arrays[Key("batch", "y")] = random.integers(0, CLASSES, (STEPS, BATCH))
    else:
        arrays[Key("batch", "y")] = random.choice([0.0, 1.0, 0.25, -0.5, 2.0], (STEPS, BATCH, CLASSES))
    arrays |= {Key("loss", "loss"): some(), Key("loss", "loss", "penalty"): some(), Key("metrics", "accuracy"): some()}
    inputs = INPUTS
    for layer in experiment.layers:
        name, units = layer.name, layer.units
        wide = (BATCH, units)
        arrays[Key("forward", f"{name}/pre_activation")] = some(*wide)
        arrays[Key("forward", f"{name}/output")] = random.uniform(-0.6, 1.1, (STEPS, *wide))
        for what in ("output", "pre_activation"):
            arrays[Key("gradient", f"{name}/{what}")] = some(*wide)
        for what, shape in (("kernel", (inputs, units)), ("bias", (units,))):
            for part in ("data", "penalty", "whole"):
                arrays[Key("gradient", f"{name}/{what}", part)] = some(*shape)
            arrays[Key("update", f"{name}/{what}")] = 300 * some(*shape)
            arrays[Key("update", f"{name}/{what}/momentum")] = 300 * some(*shape)
            arrays[Key("update", f"{name}/{what}/velocity")] = 300 * some(*shape) ** 2
            arrays[Key("update", f"{name}/{what}/average_gradient")] = some(*shape) ** 3
        for what in ("kernel", "bias", "output"):
            arrays[Key("loss", f"{name}/{what}", "penalty")] = some()
        inputs = units
    arrays[Key("update", "optimizer/iterations")] = np.arange(STEPS)
    before = {key: 300 * random.standard_normal(array.shape[1:]) for key, array in arrays.items()}
    return Records(1, arrays, {key: array for key, array in before.items() if key.phase == "update"})


def g(n):
    sure, likely = n * U / (1 - n * U) if n * U < 1 else math.inf, math.expm1(8 * math.sqrt(n) * U + n * U**2 / (1 - U))
    return min(sure, likely)


def softmax(z):
    e = [math.exp(v - max(z)) for v in z]
    return np.array([v / sum(e) for v in e])


def of_softmax(z):
    """exp of a number that was rounded, in numerator and sum; two exp; a sum; two more roundings."""
    s, p = np.abs(z - max(z)), softmax(z)
    return U * (s + sum(p * s) + 4 * ULPS["exp"] + 2) + g(len(z))


def clipped(p):
    return np.array([min(max(v, EPSILON), 1 - EPSILON) for v in p])


class Plain:
    """The budgets of one step."""

    def __init__(self, experiment, records, step):
        self.experiment, self.step = experiment, step
        self.layers = list(experiment.layers)
        self.now = records.step(step)
        self.before = records.before if step == 0 else records.step(step - 1)
        self.loss = experiment.loss.class_name
        last = self.layers[-1].activation
        self.fused = self.loss.endswith("Crossentropy") and last in {"softmax", "sigmoid"}
        self.logits = self.fused or getattr(experiment.loss, "from_logits", False)

    def of(self, key):
        match key.phase:
            case "batch" | "metrics":
                return 0.0
            case "update":
                return self.update(key)
            case "loss":
                return self.total(key.part) if key.tensor == "loss" else self.penalty(key.tensor)
        index = [layer.name for layer in self.layers].index(key.layer)
        what = key.tensor.removeprefix(f"{key.layer}/")
        return getattr(self, f"{key.phase}_{what}", partial(self.gradient_weight, what, key.part))(index)

    def value(self, phase, layer, what):
        return self.now[Key(phase, f"{layer.name}/{what}")]

    def old(self, layer, what):
        return self.before[Key("update", f"{layer.name}/{what}")]

    def input(self, index):
        return self.value("forward", self.layers[index - 1], "output") if index else self.now[Key("batch", "x")]

    @staticmethod
    def product(a, b, added=None):
        """2: both sides. Every number that is flushed is multiplied by one of the other factor."""
        a, b = np.abs(a), np.abs(b)
        found = np.empty((len(a), b.shape[1]))
        for i, j in np.ndindex(found.shape):
            terms = [*(a[i] * b[:, j]), *([] if added is None else [abs(added[j])])]
            found[i, j] = 2 * g(len(terms)) * sum(terms) + 2 * TINY * (len(terms) + sum(a[i]) + sum(b[:, j]))
        return found

    def forward_pre_activation(self, index):
        layer = self.layers[index]
        bias = self.old(layer, "bias") if layer.use_bias else None
        return self.product(self.input(index), self.old(layer, "kernel"), bias)

    def forward_output(self, index):
        layer = self.layers[index]
        a, z = np.abs(self.value("forward", layer, "output")), self.value("forward", layer, "pre_activation")
        match layer.activation:
            case "softmax":
                return np.array([2 * of_softmax(row) * out + TINY for row, out in zip(z, a, strict=True)])
            case "sigmoid" | "tanh":
                return 2 * ULPS[layer.activation] * U * a + TINY
        return 0.0

    def penalized(self):
        names = {"kernel": "kernel_regularizer", "bias": "bias_regularizer", "output": "activity_regularizer"}
        return [
            f"{layer.name}/{what}"
            for layer in self.layers
            for what in names
            if getattr(layer, names[what]) is not None and (layer.use_bias or what != "bias")
        ]

    def penalty(self, tensor):
        phase = "forward" if tensor.endswith("output") else "update"
        n = self.now[Key(phase, tensor)].size
        name, what = tensor.split("/")
        of = "activity_regularizer" if what == "output" else f"{what}_regularizer"
        (regularizer,) = (getattr(layer, of) for layer in self.layers if layer.name == name)
        size = abs(self.now[Key("loss", tensor, "penalty")])
        return 2 * (g(n) + 6 * U) * size + 2 * (n + 6) * self.lost_by(regularizer)

    def total(self, part):
        tensors = self.penalized()
        terms = [] if part == "data" else [self.penalty(tensor) for tensor in tensors]
        sizes = [abs(self.now[Key("loss", tensor, "penalty")]) for tensor in tensors]
        if part != "penalty":
            terms.append(self.data_loss())
            sizes.append(abs(self.now[Key("loss", "loss", "data")]))
        return sum(terms) + (2 * g(len(tensors) + 1) * sum(sizes) if part != "data" else 0)

    def examples(self):
        """Targets, what the loss takes, and outputs, of each example."""
        last = self.layers[-1]
        p = self.value("forward", last, "output")
        z = self.value("forward", last, "pre_activation") if self.fused else p
        y = self.now[Key("batch", "y")]
        if self.loss.startswith("Sparse"):
            y = [[float(c == label) for c in range(CLASSES)] for label in y]
        elif self.loss.startswith("Categorical"):
            y = y * (1 - self.experiment.loss.label_smoothing) + self.experiment.loss.label_smoothing / CLASSES
        elif self.loss.startswith("Binary"):
            y = y * (1 - self.experiment.loss.label_smoothing) + self.experiment.loss.label_smoothing / 2
        return [tuple(map(np.asarray, each)) for each in zip(y, z, p, strict=True)]

    def data_loss(self):
        if self.loss.endswith("SquaredError"):
            size = self.now[Key("loss", "loss", "data")]
            return 2 * (g(CLASSES) + g(BATCH) + 6 * U) * size + 4 * CLASSES * TINY
        of_one = self.binary_loss if self.loss.startswith("Binary") else self.categorical_loss
        errors, sizes = zip(*[of_one(*each) for each in self.examples()], strict=True)
        mean_error, mean_size = sum(errors) / BATCH, sum(sizes) / BATCH
        return 2 * (mean_error + (g(BATCH) + U) * mean_size) + 4 * CLASSES * TINY

    def categorical_loss(self, y, z, p):
        given = np.zeros(CLASSES)
        if not self.logits and self.loss.startswith("Categorical"):
            each = -np.log(clipped(p / sum(p)))
            errors = g(CLASSES) * sum(np.abs(p)) / abs(sum(p)) + 2 * U + 2 * U * ULPS["log"] * each
        else:
            if not self.logits:
                z = np.log(clipped(p))
                given = 2 * U * ULPS["log"] * np.abs(z)
                given = given + sum(clipped(p) * given)
            s = z - max(z)
            log_sum = math.log(sum(np.exp(s)))
            each = log_sum - s
            of_sum = 2 * U * ULPS["exp"] + g(CLASSES) + U * sum(softmax(z) * np.abs(s))
            errors = of_sum + 2 * U * ULPS["log"] * log_sum + U * np.abs(s) + given
        size = sum(np.abs(y) * each)
        return sum(np.abs(y) * (errors + 6 * U * each)) + g(CLASSES) * size, size

    def binary_loss(self, y, z, p):
        if self.logits:
            e = np.exp(-np.abs(z))
            tail = np.log(1 + e)
            each = np.abs(z) + np.abs(z * y) + tail
            errors = 2 * U * (ULPS["log1p"] * tail + ULPS["exp"] * e)
        else:
            q = clipped(p)
            each = -np.abs(y) * np.log(q) - np.abs(1 - y) * np.log(1 - q)
            errors = 2 * U * (ULPS["log"] * each + 1)
        size = sum(each) / CLASSES
        return sum(errors + 6 * U * each) / CLASSES + (g(CLASSES) + U) * size, size

    def loss_gradient(self):
        """Of what the loss takes: the outputs, or the numbers before the last activation."""
        return np.array([self.example_gradient(*each) for each in self.examples()])

    def example_gradient(self, y, z, p):
        match self.loss, self.logits:
            case ("MeanSquaredError", _):
                return 2 * 7 * U * np.abs(p - y) * 2 / (BATCH * CLASSES) + 4 * TINY
            case ("SumSquaredError", _):
                return 2 * 7 * U * np.abs(p - y) * 2 / BATCH + 4 * TINY
            case ("BinaryCrossentropy", True):
                return 2 * U * (2 * ULPS["exp"] + 8) * (1 + np.abs(y)) / (BATCH * CLASSES) + 4 * TINY
            case ("BinaryCrossentropy", _):
                q = clipped(p)
                return 2 * 8 * U * (np.abs(1 - y) / (1 - q) + np.abs(y) / q) / (BATCH * CLASSES) + 4 * TINY / EPSILON
            case (_, True):
                soft, total = softmax(z), sum(np.abs(y))
                error = (of_softmax(z) + g(CLASSES)) * soft * total
                return 2 * (error + 4 * U * np.abs(y) + 3 * U * np.abs(soft * total - y)) / BATCH + 4 * TINY
            case ("CategoricalCrossentropy", _):
                total = sum(p)
                each = np.abs(y) / clipped(p / total)
                size = each + sum(each * np.abs(p / total))
                relative = 2 * g(CLASSES) * sum(np.abs(p)) / abs(total) + 10 * U
                return (2 * relative * size / BATCH + 4 * TINY) / abs(total)
        kept = clipped(p)
        soft = softmax(np.log(kept))
        relative = of_softmax(np.log(kept)) + 2 * 2 * U * ULPS["log"] * np.abs(np.log(kept))
        return (2 * (relative * soft + 6 * U * (y + soft)) / BATCH + 4 * TINY) / kept

    @staticmethod
    def regularizer_gradient(regularizer, values):
        return getattr(regularizer, "l1", 0) + 2 * getattr(regularizer, "l2", 0) * np.abs(values)

    def lost_by(self, regularizer):
        """What is flushed before a factor multiplies it, or after."""
        return TINY * max(1, self.regularizer_gradient(regularizer, 1))

    def gradient_weight(self, what, part, index):
        layer = self.layers[index]
        dz = self.value("gradient", layer, "pre_activation")
        data = (
            self.product(self.input(index).T, dz)
            if what == "kernel"
            else 2 * g(BATCH) * sum(np.abs(dz)) + 2 * BATCH * TINY
        )
        regularizer = getattr(layer, f"{what}_regularizer")
        penalty = 0.0
        if regularizer is not None:
            penalty = 2 * 3 * U * self.regularizer_gradient(regularizer, self.old(layer, what))
            penalty = penalty + 2 * 3 * self.lost_by(regularizer)
        if part == "whole" and regularizer is not None:
            return data + penalty + 2 * U * np.abs(self.value("gradient", layer, what)) + 2 * TINY
        return penalty if part == "penalty" else data

    def gradient_output(self, index):
        layer = self.layers[index]
        if index + 1 < len(self.layers):
            above = self.layers[index + 1]
            found = self.product(self.value("gradient", above, "pre_activation"), self.old(above, "kernel").T)
        else:
            found = 0.0 if self.fused else self.loss_gradient()
        if layer.activity_regularizer is not None:
            a, da = self.value("forward", layer, "output"), self.value("gradient", layer, "output")
            found = found + 2 * 5 * U * self.regularizer_gradient(layer.activity_regularizer, a) / BATCH
            found = found + 2 * U * np.abs(da) + 2 * 5 * self.lost_by(layer.activity_regularizer)
        return found

    def gradient_pre_activation(self, index):
        layer = self.layers[index]
        fused = self.fused and index + 1 == len(self.layers)
        if fused and layer.activity_regularizer is None:
            return self.loss_gradient()
        da, dz = (np.abs(self.value("gradient", layer, what)) for what in ("output", "pre_activation"))
        a = np.abs(self.value("forward", layer, "output"))
        match layer.activation:
            case "sigmoid":
                found = 2 * 4 * U * da * a * (1 - a) + 4 * TINY * (1 + da)
            case "tanh":
                found = 2 * U * da * (a**2 + 4 * (1 - a**2)) + 4 * TINY * (1 + da)
            case "softmax":
                inner = np.array([row + sum(row * out) for row, out in zip(da, a, strict=True)])
                lost = np.array([[a.shape[1] + sum(row)] for row in da])
                found = 2 * (g(a.shape[1]) + 4 * U) * a * inner + 4 * TINY * lost
            case _:
                found = 0.0
        return self.loss_gradient() + found + 2 * U * dz + 2 * TINY if fused else found

    def update(self, key):
        """A sum of more than 4 lost / u is rounded back to what it was."""
        if key.layer == "optimizer":
            return 0.0
        name, after = key.tensor, self.now[key]
        weight = "/".join(name.split("/")[:2])
        slot = name.removeprefix(weight)
        lost = 8 * TINY
        optimizer = self.experiment.optimizer
        if optimizer.class_name == "Adam" and not slot:
            lost += lost * (1 + RATE) / max(optimizer.epsilon, math.sqrt(TINY))
        if optimizer.class_name == "RMSprop" and slot in {"", "/momentum"}:
            lost += lost * (1 + RATE) / max(math.sqrt(optimizer.epsilon), math.sqrt(TINY))
        flushed = np.where(np.abs(after) < 4 * lost / U, lost, 0)
        if optimizer.class_name == "Adam" and not slot and optimizer.epsilon == 0:
            increment = np.abs(after - self.before[key]) + 2 * U * np.abs(after)
            return flushed + 2 * (2 + RSQRT) * U * increment + 2 * U * np.abs(after)
        if optimizer.class_name != "RMSprop" or slot in {"/velocity", "/average_gradient"}:
            return flushed
        slots = {
            what: self.now[Key("update", f"{weight}/{what}")] for what in ("velocity", "average_gradient", "momentum")
        }
        largest = slots["velocity"] + OPTIMIZER_EPSILON
        below = largest - slots["average_gradient"] ** 2 if optimizer.centered else largest
        below = np.where(np.abs(below) < TINY, TINY, below)
        dividend = RATE * np.abs(self.now[Key("gradient", weight)])
        increment = dividend / np.sqrt(np.where(below > TINY, below, TINY))
        error = 2 * (3 + RSQRT) * U * increment
        if optimizer.centered:  # one side's difference is off by that share of it, up or down
            share = np.where(below > 0, U * (2 * largest + np.abs(below)) / np.abs(below), 1)
            inside = np.where(share < 1, share, 0)
            spread = ((1 - inside) ** -0.5 - (1 + inside) ** -0.5) * increment
            error = error + np.where(share < 1, spread, 2 * dividend / math.sqrt(TINY))
        if optimizer.momentum:
            error = error + 2 * U * np.abs(slots["momentum"])
        return flushed + error + (0 if slot else 2 * U * np.abs(after))


def check(experiment, monkeypatch, *chosen):
    """One budget, asked for these steps of these records."""
    monkeypatch.setattr(losses, "EPSILON", EPSILON)
    budget = LocalBudget(experiment, "float64")
    budget.u = budget.loss.u = U
    budget.tiny = budget.loss.tiny = TINY
    for rows, records in itertools.product(chosen, [records_of(experiment, seed) for seed in range(len(chosen))]):
        _check(experiment, budget, rows, records)


def _check(experiment, budget, rows, records):
    for key, array in records.arrays.items():
        found = np.broadcast_to(budget.of(key, records, np.array(rows)), (len(rows), *array.shape[1:]))
        wanted = [np.broadcast_to(Plain(experiment, records, step).of(key), array.shape[1:]) for step in rows]
        np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=0, err_msg=str(key))


@pytest.mark.parametrize("penalties", [True, False])
@pytest.mark.parametrize(("loss", "settings", "last"), LOSSES)
def test_losses(loss, settings, last, penalties, monkeypatch):
    check(experiment_of((loss, settings), last, penalties=penalties), monkeypatch, [0, 1, 2])


@pytest.mark.parametrize("hidden", ["linear", "relu", "sigmoid", "tanh", "softmax"])
def test_activations(hidden, monkeypatch):
    check(experiment_of(hidden=hidden, last=hidden), monkeypatch, [0, 1, 2])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_optimizers(optimizer, monkeypatch):
    check(experiment_of(optimizer=optimizer), monkeypatch, [0, 1, 2])


def test_budgets_of_some_steps(monkeypatch):
    check(experiment_of(), monkeypatch, [0], [1], [2], [0, 2], [1, 2], [0, 1])


@pytest.mark.parametrize(
    ("precision", "u", "tiny"), [("float32", 2.0**-24, 2.0**-126), ("float64", 2.0**-53, 2.0**-1022)]
)
def test_a_budget_is_that_of_its_precision(precision, u, tiny):
    budget = LocalBudget(experiment_of(), precision)
    assert (budget.u, budget.tiny) == (budget.loss.u, budget.loss.tiny) == (u, tiny)


@pytest.mark.parametrize("depth", [3, 70])
def test_a_deep_network_whose_middle_has_no_bias(depth, monkeypatch):
    check(experiment_of(("CategoricalCrossentropy", {}), "softmax", depth=depth), monkeypatch, [1])


@pytest.mark.parametrize(("loss", "settings", "last"), LOSSES)
def test_long_sums_whose_errors_partly_cancel(loss, settings, last, monkeypatch):
    for name, size in {"BATCH": 70, "HIDDEN": 66, "CLASSES": 68}.items():
        monkeypatch.setitem(globals(), name, size)
    check(experiment_of((loss, settings), last, hidden="softmax"), monkeypatch, [1])


def test_the_probabilities_of_a_cross_entropy_are_clipped_as_keras_does():
    assert losses.EPSILON == 1e-7  # keras.config.epsilon()


def test_a_sum_that_is_rounded_back_has_to_be_equal():
    experiment = experiment_of(penalties=False)
    key, budget = Key("update", "dense/bias"), LocalBudget(experiment, "float32")
    edge = 4 * 8 * 2.0**-126 / 2.0**-24
    records = Records(1, {key: np.array([[0, np.nextafter(edge, 0), edge, 2 * edge]])}, {})
    assert budget.of(key, records, np.array([0])).tolist() == [[8 * 2.0**-126, 8 * 2.0**-126, 0, 0]]


@pytest.mark.parametrize("bad", [math.inf, -math.inf, math.nan])
def test_only_the_element_that_is_not_finite_has_to_be_the_same(bad):
    key, output = Key("forward", "dense/output"), np.array([[[0.5, bad, 0.25]]])
    records = Records(1, {key: output, Key("forward", "dense/pre_activation"): np.zeros((1, 1, 3))}, {})
    found = LocalBudget(experiment_of(), "float64").of(key, records, np.array([0]))
    np.testing.assert_allclose(found, [[[2 * 14 * 2.0**-53 * 0.5, 0, 2 * 14 * 2.0**-53 * 0.25]]], rtol=1e-15, atol=0)
