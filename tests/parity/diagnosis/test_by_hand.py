"""Networks as people write them, of three methods, each with one mistake in a line: what `parity.diff` names."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config import validate
from parity.run import diff
from parity.verdict import Verdict

TABLE = {
    "data": {"source": "regression", "samples": 20, "features": 8, "targets": 3},
    "layers": [
        {"units": 9, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}, "bias_initializer": "ones"},
        {"units": 7, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}, "bias_initializer": "ones"},
        {"units": 3, "kernel_regularizer": {"l2": 0.01}, "bias_initializer": "ones"},
    ],
    "loss": "mse",
    "batch_size": 6,  # the fourth step has a batch of two
    "steps": 6,
    "precision": "float64",
}
PLAIN, MOMENTUM, NESTEROV = (
    {"class_name": "SGD", "learning_rate": 0.05, **more}
    for more in ({}, {"momentum": 0.9}, {"momentum": 0.9, "nesterov": True})
)
OPTIMIZERS = {"plain": PLAIN, "momentum": MOMENTUM, "nesterov": NESTEROV}
NETWORK = """
import numpy as np

class Net:
    def start(self, experiment, weights):
        self.names = [layer.name for layer in experiment.layers]
        self.penalized = self.names
        self.w = {name: weight.copy() for name, weight in weights.items()}
        self.m = {name: np.zeros_like(weight) for name, weight in weights.items()}
        self.lam, self.mu = np.float64(np.float32(0.01)), np.float64(np.float32(experiment.optimizer.momentum))
        self.nesterov, self.lr = experiment.optimizer.nesterov, experiment.optimizer.learning_rate
        self.batch_size = experiment.batch_size

    def step(self, x, y):
        lam, mu, lr, batch_size = self.lam, self.mu, self.lr, self.batch_size
        W, b = ({name: self.w[f"{name}/{kind}"] for name in self.names} for kind in ("kernel", "bias"))
        outputs = [x]
        for name in self.names:
            z = outputs[-1] @ W[name] + b[name]
            outputs.append(z if name == self.names[-1] else np.tanh(z))
        p = outputs[-1]
        data_loss = np.mean((p - y) ** 2)
        penalty = lam * sum((W[name] ** 2).sum() for name in self.penalized)
        gradient, dz = {}, 2 * (p - y) / (len(p) * 3)
        for name, a in reversed(list(zip(self.names, outputs))):
            gradient[f"{name}/kernel"], gradient[f"{name}/bias"] = a.T @ dz, dz.sum(axis=0)
            dz = dz @ W[name].T * (1 - a**2)
        for name in self.penalized:
            gradient[f"{name}/kernel"] += 2 * lam * W[name]
        for name, g in gradient.items():
            m = self.m[name] = mu * self.m[name] - lr * g
            self.w[name] = self.w[name] + (mu * m - lr * g if self.nesterov else m)
        loss = data_loss + penalty
        optimizer = {f"{name}/momentum": m for name, m in self.m.items()} if mu else {}
        return TOLD

    def weights(self):
        return self.w
"""
LEVELS = {
    "everything": """{"loss": loss, "loss/data": data_loss, "loss/penalty": penalty, "gradient": gradient,
            "output": dict(zip(self.names, outputs[1:])), "optimizer": optimizer}""",
    "loss and weights": "loss",
    "weights": "{}",
}
WRITTEN = "gradient.items()"  # the last layer's first
UPDATE = "self.w[name] + (mu * m - lr * g if self.nesterov else m)"

# choice -> a line of the network, what stands there with the mistake, and what weights alone do not tell apart.
MISTAKES = {
    "l2.gradient=half": ("+= 2 * lam * W[name]", "+= lam * W[name]", ("l2.penalty=half", "l2.gradient=half")),
    "l2.gradient=double": ("+= 2 * lam * W[name]", "+= 4 * lam * W[name]", ()),
    "l2.gradient=over_batch": (
        "+= 2 * lam * W[name]",
        "+= 2 * lam * W[name] / len(x)",
        ("l2.scale=over_batch", "l2.gradient=over_batch"),
    ),
    "l2.gradient=over_dataset": (
        "+= 2 * lam * W[name]",
        "+= 2 * lam * W[name] / 20",
        ("l2.scale=over_dataset", "l2.gradient=over_dataset"),
    ),
    "l2.gradient=absent": ("+= 2 * lam * W[name]", "+= 0", ("l2.penalty=absent", "l2.gradient=absent")),
    "l2.penalty=absent": (
        "self.lam, self.mu = np.float64(np.float32(0.01))",
        "self.lam, self.mu = 0.0",
        ("l2.penalty=absent", "l2.gradient=absent"),
    ),
    "precision.inputs=float32": ("outputs = [x]", "outputs = [x.astype(np.float32)]", ()),
    "l2.bias=in_gradient": (
        "+= 2 * lam * W[name]",
        "+= 2 * lam * W[name]; gradient[f'{name}/bias'] += 2 * lam * b[name]",
        ("l2.bias=included", "l2.bias=in_gradient"),
    ),
    "data.partial_batch=gradient_full_size": (
        "(len(p) * 3)",
        "(batch_size * 3)",
        ("data.partial_batch=full_size", "data.partial_batch=gradient_full_size"),
    ),
    "gradient.bias=not_averaged": ("dz.sum(axis=0)", "dz.sum(axis=0) * len(x)", ()),
    "l2.layers=not_second": ("self.penalized = self.names", "self.penalized = self.names[::2]", ()),
    "l2.layers=only_first": ("self.penalized = self.names", "self.penalized = self.names[:1]", ()),
    "l2.layers=only_last": ("self.penalized = self.names", "self.penalized = self.names[-1:]", ()),
    "gradient.hidden_activation=missing": (" * (1 - a**2)", "", ()),
    "gradient.hidden_activation=missing_in_first": ("(1 - a**2)", "(1 - a**2 if name != self.names[1] else 1)", ()),
    "gradient.hidden_activation=missing_in_second": ("(1 - a**2)", "(1 - a**2 if name != self.names[2] else 1)", ()),
    "update.layers=only_first": (WRITTEN, "list(gradient.items())[-2:]", ()),
    "update.layers=only_last": (WRITTEN, "list(gradient.items())[:2]", ()),
    "momentum.factor=ignored": (UPDATE, "self.w[name] - lr * g", ()),
    "learning_rate.scale=3": ("experiment.optimizer.learning_rate", "3 * experiment.optimizer.learning_rate", ()),
    "l2.penalty=0.3": (
        "np.float64(np.float32(0.01))",
        "0.3 * np.float64(np.float32(0.01))",
        ("l2.gradient=0.3", "l2.penalty=0.3"),
    ),
    "l2.gradient=-1": ("+= 2 * lam * W[name]", "-= 2 * lam * W[name]", ("l2.gradient=-1", "l2.penalty=-1")),
    # the output is linear, so that it is the same in hidden layers alone, and told once
    "gradient.derivative=at_output": ("(1 - a**2)", "(1 - np.tanh(a) ** 2)", ()),
}


def judged(folder, level, optimizer, line="", instead="", *, network=NETWORK, **settings):
    assert not line or network.count(line) == 1
    (folder / "net.py").write_text(network.replace(line, instead).replace("TOLD", LEVELS[level]))
    experiment = validate(TABLE | {"optimizer": optimizer} | settings)
    return diff(experiment, reference="scratch", candidate=f"{folder}/net.py:Net")


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_without_a_mistake_it_trains_as_it_should(tmp_path, optimizer):
    assert judged(tmp_path, "everything", OPTIMIZERS[optimizer]).verdict is Verdict.PARITY


@pytest.mark.parametrize(
    ("choice", "level", "optimizer"),
    [  # a Latin square: each mistake with every level and with every optimizer, and each level with every optimizer
        (choice, level, list(OPTIMIZERS)[(row + column) % len(OPTIMIZERS)])
        for row, choice in enumerate(MISTAKES)
        for column, level in enumerate(LEVELS)
    ],
)
def test_the_mistake_is_named_alone_or_beside_what_the_run_cannot_tell_from_it(tmp_path, choice, level, optimizer):
    line, instead, alike = MISTAKES[choice]
    optimizer = OPTIMIZERS[optimizer]
    if choice.startswith("momentum.") and optimizer is PLAIN:
        assert judged(tmp_path, level, optimizer, line, instead).first_divergence is None
        return
    (cause,) = judged(tmp_path, level, optimizer, line, instead).causes
    if level == "weights" and alike:
        assert (str(cause), cause.alternatives) == (alike[0], alike[1:])
        assert cause.separate_by == "let the candidate tell its loss"
    else:
        assert (str(cause), cause.alternatives) == (choice, ())


@pytest.mark.parametrize(
    ("instead", "choice"),
    [
        ("+= lam * W[name]", "l2.penalty=half"),
        ("+= 2 * lam * W[name]; gradient[f'{name}/bias'] += 2 * lam * b[name]", "l2.bias=included"),
        ("+= 0", "l2.penalty=absent"),
    ],
)
def test_beside_a_loss_without_any_penalty_there_is_one_name_for_it(tmp_path, instead, choice):
    network = NETWORK.replace("loss = data_loss + penalty", "loss = data_loss")
    found = judged(tmp_path, "loss and weights", PLAIN, "+= 2 * lam * W[name]", instead, network=network)
    both = {choice, "l2.reported=absent"} if choice != "l2.penalty=absent" else {choice}
    assert set(map(str, found.causes)) == both
    assert all(cause.alternatives == () for cause in found.causes)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_derivative_that_is_missing_in_one_of_three_hidden_layers_or_in_the_only_one(tmp_path, number, level):
    first, _, last = TABLE["layers"]
    instead = f"(1 - a**2 if name != self.names[{number}] else 1)"
    which = {1: "first", 2: "second", 3: "third"}[number]
    for hidden, choice in ((3, f"missing_in_{which}"), (number, f"missing_in_{which}" if number > 1 else "missing")):
        layers = [*[first] * hidden, last]
        (cause,) = judged(tmp_path, level, MOMENTUM, "(1 - a**2)", instead, layers=layers).causes
        assert (str(cause), cause.alternatives) == (f"gradient.hidden_activation={choice}", ())


@pytest.mark.parametrize("level", LEVELS)
def test_of_two_layers_the_one_alone_is_all_but_the_other(tmp_path, level):
    layers = TABLE["layers"][1:]
    for only, left_out in (("[:1]", "not_last"), ("[-1:]", "not_first")):
        line = ("self.penalized = self.names", f"self.penalized = self.names{only}")
        (cause,) = judged(tmp_path, level, MOMENTUM, *line, layers=layers).causes
        assert (str(cause), cause.alternatives) == (f"l2.layers={left_out}", ())


# Penalties other than an l2 of kernels: a network that has them, and its layers.
SUM_OF_SQUARES, SLOPE = "lam * sum((W[name] ** 2).sum() for name in self.penalized)", "+= 2 * lam * W[name]"
OF_ERROR = "dz @ W[name].T * (1 - a**2)"


def _layers(**instead):
    """Those of the table with other regularizers; the last without a penalty of its outputs, of which it has none."""
    last = {"activity_regularizer": None} if "activity_regularizer" in instead else {}
    return [layer | instead for layer in TABLE["layers"][:2]] + [TABLE["layers"][2] | instead | last]


L1_NETWORK = NETWORK.replace("(W[name] ** 2).sum()", "abs(W[name]).sum()").replace(SLOPE, "+= lam * np.sign(W[name])")
BIASES_TOO = "lam * sum((W[name] ** 2).sum() + (b[name] ** 2).sum() for name in self.names)"
BIAS_SLOPE = "gradient[f'{name}/bias'] += 2 * lam * b[name]"
OUTPUTS_TOO = "lam * sum((a**2).sum() for a in outputs[1:-1]) / len(x)"
PENALTIES = {
    "l1": (L1_NETWORK, _layers(kernel_regularizer={"l1": 0.01})),
    "bias": (
        NETWORK.replace(SUM_OF_SQUARES, BIASES_TOO).replace(SLOPE, f"{SLOPE}; {BIAS_SLOPE}"),
        _layers(bias_regularizer={"l2": 0.01}),
    ),
    "activity": (
        NETWORK.replace(SUM_OF_SQUARES, f"{SUM_OF_SQUARES} + {OUTPUTS_TOO}").replace(
            OF_ERROR, "(dz @ W[name].T + 2 * lam * a / len(x)) * (1 - a**2)"
        ),
        _layers(activity_regularizer={"l2": 0.01}),
    ),
}
L1_SLOPE, L1_TOLD = "+= lam * np.sign(W[name])", "penalty = lam * sum(abs(W"
BOTH = {  # what the weights alone do not tell apart
    "l1.penalty=absent": ("l1.penalty=absent", "l1.gradient=absent"),
    "bias.penalty=absent": ("bias.penalty=absent", "bias.penalty=in_loss"),
    "activity.penalty=absent": ("activity.penalty=absent", "activity.gradient=absent"),
}
OF_PENALTIES = {
    "l1.penalty=half": ((L1_SLOPE, "+= lam / 2 * np.sign(W[name])"), (L1_TOLD, "penalty = lam / 2 * sum(abs(W")),
    "l1.penalty=absent": ((L1_SLOPE, "+= 0"), (L1_TOLD, "penalty = 0 * sum(abs(W")),
    "l1.scale=over_batch": ((L1_SLOPE, L1_SLOPE + " / len(x)"), (L1_TOLD, "penalty = lam / len(x) * sum(abs(W")),
    "l1.scale=over_dataset": ((L1_SLOPE, L1_SLOPE + " / 20"), (L1_TOLD, "penalty = lam / 20 * sum(abs(W")),
    "l1.gradient=absent": ((L1_SLOPE, "+= 0"),),
    "l1.reported=absent": (("loss = data_loss + penalty", "loss, penalty = data_loss, 0.0"),),
    "l1.constant=exact": (("np.float64(np.float32(0.01))", "0.01"),),
    "bias.penalty=absent": ((BIAS_SLOPE, "pass"), (BIASES_TOO, SUM_OF_SQUARES)),
    "bias.penalty=in_loss": ((BIAS_SLOPE, "pass"),),
    "bias.penalty=in_gradient": ((BIASES_TOO, SUM_OF_SQUARES),),
    "activity.penalty=half": ((OUTPUTS_TOO, OUTPUTS_TOO + " / 2"), ("+ 2 * lam * a /", "+ lam * a /")),
    "activity.penalty=absent": ((OUTPUTS_TOO, "0"), (" + 2 * lam * a / len(x)", "")),
    "activity.gradient=absent": ((" + 2 * lam * a / len(x)", ""),),
    "activity.reported=absent": ((OUTPUTS_TOO, "0"),),
}


@pytest.mark.parametrize("of", PENALTIES)
def test_with_another_penalty_and_without_a_mistake_it_trains_as_it_should(tmp_path, of):
    network, layers = PENALTIES[of]
    assert judged(tmp_path, "everything", MOMENTUM, network=network, layers=layers).verdict is Verdict.PARITY


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("choice", OF_PENALTIES)
def test_what_is_forgotten_of_another_penalty_is_named(tmp_path, choice, level):
    network, layers = PENALTIES[choice.partition(".")[0]]
    for line, instead in OF_PENALTIES[choice]:
        assert network.count(line) == 1
        network = network.replace(line, instead)
    found = judged(tmp_path, level, MOMENTUM, network=network, layers=layers)
    if level == "weights" and choice.endswith(("reported=absent", "in_gradient")):
        assert found.first_divergence is None
        return
    alike = next((both for both in BOTH.values() if choice in both), ()) if level == "weights" else ()
    named, *alternatives = alike or (choice,)
    assert _names(found) == [(named, tuple(alternatives))]


@pytest.mark.parametrize("batch_size", [16, 17, 40])
@pytest.mark.parametrize("choice", ["full_size", "gradient_full_size", "skipped"])
def test_a_smaller_last_batch_of_many_examples(choice, batch_size):
    """The search looks at a few examples of large batches first, and of these the last batch may be no smaller."""
    settings = {"data": TABLE["data"] | {"samples": 50}, "batch_size": batch_size, "steps": 5}
    experiment = validate(TABLE | {"optimizer": MOMENTUM} | settings)
    (cause,) = diff(experiment, reference="scratch", candidate=f"scratch[data.partial_batch={choice}]").causes
    assert (str(cause), cause.alternatives) == (f"data.partial_batch={choice}", ())


CLASSES = {
    "data": {"source": "classification", "samples": 20, "features": 8, "classes": 3, "one_hot": 3},
    "layers": [*TABLE["layers"][:2], TABLE["layers"][2] | {"activation": "softmax"}],
    "loss": {"class_name": "CategoricalCrossentropy", "label_smoothing": 0.1},
}
CLASSIFIER = (
    NETWORK.replace("p = outputs[-1]", "p = outputs[-1] = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)")
    .replace("2 * (p - y) / (len(p) * 3)", "(p - y) / len(p)")
    .replace("np.mean((p - y) ** 2)", "-(y * np.log(p)).sum(axis=1).mean()")
    .replace("outputs = [x]", "outputs = [x]; y = y * 0.9 + 0.1 / 3")
)


@pytest.mark.parametrize("level", LEVELS)
def test_label_smoothing_that_is_not_done(tmp_path, level):
    settings = {"network": CLASSIFIER, **CLASSES}
    assert judged(tmp_path, level, MOMENTUM, **settings).first_divergence is None
    (cause,) = judged(tmp_path, level, MOMENTUM, "; y = y * 0.9 + 0.1 / 3", "", **settings).causes
    assert (str(cause), cause.alternatives) == ("loss.smoothing=ignored", ())


LABELS = "y = np.eye(3)[y]"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("choice", "instead"), [("shifted", "np.eye(3)[(y + 1) % 3]"), ("shifted_down", "np.eye(3)[y - 1]")]
)
def test_labels_counted_from_another_number(tmp_path, choice, instead, level):
    settings = {"network": CLASSIFIER.replace("y = y * 0.9 + 0.1 / 3", LABELS), **CLASSES}
    settings |= {"data": CLASSES["data"] | {"one_hot": None}, "loss": "sparse_categorical_crossentropy"}
    assert judged(tmp_path, level, MOMENTUM, **settings).first_divergence is None
    (cause,) = judged(tmp_path, level, MOMENTUM, LABELS, f"y = {instead}", **settings).causes
    assert (str(cause), cause.alternatives) == (f"data.labels={choice}", ())


OF_SOFTMAX = "p * (dp - (dp * p).sum(axis=1, keepdims=True))"
PROBABILITIES = NETWORK.replace(
    "p = outputs[-1]", "p = outputs[-1] = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)"
).replace(
    "gradient, dz = {}, 2 * (p - y) / (len(p) * 3)",
    f"dp = 2 * (p - y) / (len(p) * 3); gradient, dz = {{}}, {OF_SOFTMAX}",
)


@pytest.mark.parametrize("level", LEVELS)
def test_a_softmax_derived_like_a_sigmoid_under_a_squared_error(tmp_path, level):
    settings = {"network": PROBABILITIES, **CLASSES, "loss": "mse"}
    assert judged(tmp_path, level, PLAIN, **settings).first_divergence is None
    (cause,) = judged(tmp_path, level, PLAIN, OF_SOFTMAX, "dp * p * (1 - p)", **settings).causes
    assert (str(cause), cause.alternatives) == ("gradient.softmax=diagonal", ())


BACKWARDS = "for name, a, z in reversed(list(zip(self.names, outputs, zs)))"
SQUASHED = (
    NETWORK.replace("z if name == self.names[-1] else np.tanh(z)", "np.tanh(z)")
    .replace("outputs = [x]", "outputs, zs = [x], [x]")
    .replace("outputs.append", "zs.append(z); outputs.append")
    .replace("2 * (p - y) / (len(p) * 3)", "2 * (p - y) / (len(p) * 3) * (1 - p**2)")
    .replace("for name, a in reversed(list(zip(self.names, outputs)))", BACKWARDS)
)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("choice", "instead"),
    [("hidden_at_output", "(1 - np.tanh(a) ** 2)"), ("hidden_of_input", "(1 - z**2)")],
)
def test_a_derivative_that_is_wrong_in_hidden_layers_alone(tmp_path, choice, instead, level):
    """Under an output whose derivative is taken, and right, it is not that of every layer."""
    settings = {"network": SQUASHED, "layers": [*TABLE["layers"][:2], TABLE["layers"][2] | {"activation": "tanh"}]}
    assert judged(tmp_path, level, MOMENTUM, **settings).first_divergence is None
    (cause,) = judged(tmp_path, level, MOMENTUM, "(1 - a**2)", instead, **settings).causes
    assert (str(cause), cause.alternatives) == (f"gradient.derivative={choice}", ())


VELOCITIES = '{f"{name}/velocity": v for name, v in self.m.items()}'
RMSPROP = (
    NETWORK.replace("self.nesterov, self.lr = experiment.optimizer.nesterov, ", "self.lr = ")
    .replace("m = self.m[name] = mu * self.m[name] - lr * g", "v = self.m[name] = 0.9 * self.m[name] + 0.1 * g**2")
    .replace(UPDATE, "self.w[name] - lr * g / np.sqrt(v + 1e-7)")
    .replace('{f"{name}/momentum": m for name, m in self.m.items()} if mu else {}', VELOCITIES)
)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    ("choice", "instead"),
    [
        ("rmsprop.epsilon_value=1e-8", "np.sqrt(v + 1e-8)"),
        ("rmsprop.epsilon=outside", "(np.sqrt(v) + 1e-7)"),
    ],
)
def test_an_rmsprop_with_another_epsilon(tmp_path, choice, instead, level):
    optimizer = {"class_name": "RMSprop", "learning_rate": 0.01}
    assert judged(tmp_path, level, optimizer, network=RMSPROP).first_divergence is None
    (cause,) = judged(tmp_path, level, optimizer, "np.sqrt(v + 1e-7)", instead, network=RMSPROP).causes
    assert (str(cause), cause.alternatives) == (choice, ())


MOMENTS = """{f"{name}/momentum": m for name, (m, v) in self.m.items()} | {
            f"{name}/velocity": v for name, (m, v) in self.m.items()}"""
STEP = "alpha = lr * (1 - self.betas[1] ** t) ** 0.5 / (1 - self.betas[0] ** t)"
ADAM = (
    NETWORK.replace("self.nesterov, self.lr = experiment.optimizer.nesterov, ", "self.t, self.lr = 0, ")
    .replace("np.float64(np.float32(experiment.optimizer.momentum))", "0")
    .replace(
        "self.batch_size = ", "self.betas = [float(np.float32(beta)) for beta in (0.9, 0.999)]; self.batch_size = "
    )
    .replace("self.m = {name: np.zeros_like(weight)", "self.m = {name: (0 * weight, 0 * weight)")
    .replace(
        "        for name, g in gradient.items():",
        f"        self.t += 1; t = self.t; {STEP}\n        for name, g in gradient.items():",
    )
    .replace(
        "m = self.m[name] = mu * self.m[name] - lr * g",
        "m, v = self.m[name]; m, v = m + (g - m) * (1 - 0.9), v + (g**2 - v) * (1 - 0.999)",
    )
    .replace(
        f"self.w[name] = {UPDATE}", "self.m[name] = m, v; self.w[name] = self.w[name] - m * alpha / (np.sqrt(v) + 1e-7)"
    )
    .replace('{f"{name}/momentum": m for name, m in self.m.items()} if mu else {}', MOMENTS)
)
PER_TENSOR = {
    "backwards": WRITTEN,
    "kernels_first": f"sorted({WRITTEN}, key=lambda one: ('bias' in one[0], self.names.index(one[0].split('/')[0])))",
    "": "[(name, gradient[name]) for name in self.w]",
}


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("order", PER_TENSOR)
def test_an_adam_that_counts_tensors(tmp_path, order, level):
    optimizer = {"class_name": "Adam", "learning_rate": 0.01}
    assert judged(tmp_path, level, optimizer, network=ADAM).first_divergence is None
    network = ADAM.replace(f"self.t += 1; t = self.t; {STEP}", "pass").replace(WRITTEN, PER_TENSOR[order])
    inside = f"self.t += 1; t = self.t; {STEP}; m, v = self.m[name];"
    (cause,) = judged(tmp_path, level, optimizer, "m, v = self.m[name];", inside, network=network).causes
    choice = f"per_tensor_{order}".rstrip("_")
    assert (str(cause), cause.alternatives) == (f"adam.step={choice}", ())


# Classifiers as they are mostly written: the loss is told of probabilities, the gradient is p - y.
ONE_HOT = CLASSIFIER.replace("; y = y * 0.9 + 0.1 / 3", "")
OF_LABELS = CLASSIFIER.replace("y = y * 0.9 + 0.1 / 3", LABELS)
BINARY = (
    NETWORK.replace("p = outputs[-1]", "p = outputs[-1] = 1 / (1 + np.exp(-z))")
    .replace("2 * (p - y) / (len(p) * 3)", "(p - y) / p.size")
    .replace("np.mean((p - y) ** 2)", "-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p))")
)
BINARY_CLASSES = {
    "data": {"source": "classification", "samples": 20, "features": 8, "classes": 2},
    "layers": [*TABLE["layers"][:2], TABLE["layers"][2] | {"units": 1, "activation": "sigmoid"}],
    "loss": "bce",
}
LOGS = {
    "softmax": (ONE_HOT, CLASSES | {"loss": "categorical_crossentropy"}),
    "smoothed": (CLASSIFIER, CLASSES),
    "labels": (
        OF_LABELS,
        CLASSES | {"data": CLASSES["data"] | {"one_hot": None}, "loss": "sparse_categorical_crossentropy"},
    ),
    "binary": (BINARY, BINARY_CLASSES),
}


def with_logs_of(name, choice):
    """A network that tells such a logarithm, and its experiment."""
    network, settings = LOGS[name]
    how, _, epsilon = choice.partition("_")
    q, rest = (
        (f"p + {epsilon}", f"1 - p + {epsilon}")
        if how == "plus"
        else (f"np.clip(p, {epsilon}, 1 - {epsilon})", f"1 - np.clip(p, {epsilon}, 1 - {epsilon})")
    )
    return network.replace("np.log(1 - p)", f"np.log({rest})").replace("np.log(p)", f"np.log({q})"), settings


def _names(verdict):
    return [(str(cause), cause.alternatives) for cause in verdict.causes]


@pytest.mark.parametrize("level", ["everything", "loss and weights"])
@pytest.mark.parametrize("choice", ["plus_1e-7", "plus_1e-8", "plus_1e-9", "plus_1e-10", "plus_1e-12"])
@pytest.mark.parametrize("name", LOGS)
def test_a_number_that_is_added_under_the_logarithm_of_the_told_loss(tmp_path, name, choice, level):
    network, settings = with_logs_of(name, choice)
    found = judged(tmp_path, level, MOMENTUM, network=network, **settings)
    assert _names(found) == [(f"loss.log={choice}", ())]


@pytest.mark.parametrize("level", ["everything", "loss and weights"])
@pytest.mark.parametrize("name", LOGS)
def test_beside_another_mistake_it_is_named_as_well(tmp_path, name, level):
    network, settings = with_logs_of(name, "plus_1e-8")
    half = ("lam * sum((W", "lam / 2 * sum((W")
    network = network.replace("+= 2 * lam * W[name]", "+= lam * W[name]")
    found = judged(tmp_path, level, MOMENTUM, *half, network=network, **settings)
    assert set(_names(found)) == {("loss.log=plus_1e-8", ()), ("l2.penalty=half", ())}


@pytest.mark.parametrize("name", LOGS)
def test_logarithms_of_probabilities_are_no_cause_where_nothing_shows_of_them(tmp_path, name):
    """They round otherwise than what is worked out from logits."""
    half = ("+= 2 * lam * W[name]", "+= lam * W[name]")
    for choice in ("", "clip_1e-12", "clip_1e-15"):
        network, settings = with_logs_of(name, choice) if choice else LOGS[name]
        assert judged(tmp_path, "everything", MOMENTUM, network=network, **settings).first_divergence is None
        found = judged(tmp_path, "loss and weights", MOMENTUM, *half, network=network, **settings)
        assert _names(found) == [("l2.gradient=half", ())]


@pytest.mark.parametrize("name", LOGS)
def test_probabilities_that_are_clipped_show_where_outputs_are_saturated(tmp_path, name):
    network, settings = with_logs_of(name, "clip_1e-12")
    *below, last = settings["layers"]
    layers = [*below, last | {"kernel_initializer": {"class_name": "RandomNormal", "stddev": 20.0}}]
    found = judged(tmp_path, "loss and weights", MOMENTUM, network=network, **settings | {"layers": layers})
    assert _names(found) == [("loss.log=clip_1e-12", ())]


IN_FLOAT32 = ("np.float64(np.float32(0.01)), np.float64(", "np.float32(0.01), np.float32(")
Z = "outputs[-1] @ W[name]"


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("product", [Z, "np.einsum('ij,kj->ik', outputs[-1], np.ascontiguousarray(W[name].T))"])
@pytest.mark.parametrize(("precision", "size"), [("float32", 20.0), ("float64", 300.0)])
@pytest.mark.parametrize("name", ["softmax", "smoothed"])
def test_a_softmax_that_overflows_beside_another_mistake(tmp_path, name, precision, size, product, level):
    """NaN in the very elements in which it is, and what is none within its budget, whatever the order of its sums."""
    network, settings = LOGS[name]
    *below, last = settings["layers"]
    layers = [*below, last | {"kernel_initializer": {"class_name": "RandomNormal", "stddev": size, "seed": 3}}]
    network = network.replace(Z, product).replace("+= 2 * lam * W[name]", "+= lam * W[name]")
    network = network.replace(*IN_FLOAT32) if precision == "float32" else network
    found = judged(tmp_path, level, PLAIN, network=network, **settings | {"layers": layers}, precision=precision)
    half = "l2.gradient=half" if level == "everything" else "l2.penalty=half"
    assert {str(cause) for cause in found.causes} == {"forward.softmax=unshifted", half}


@pytest.mark.parametrize("level", LEVELS)
def test_a_softmax_that_overflows_under_a_squared_error(tmp_path, level):
    """Its whole Jacobian is NaN, and so is every weight: outputs alone tell what it was."""
    *below, last = CLASSES["layers"]
    layers = [*below, last | {"kernel_initializer": {"class_name": "RandomNormal", "stddev": 300.0, "seed": 3}}]
    found = judged(tmp_path, level, PLAIN, network=PROBABILITIES, **CLASSES | {"loss": "mse", "layers": layers})
    assert _names(found) == ([("forward.softmax=unshifted", ())] if level == "everything" else [])


@pytest.mark.parametrize("level", LEVELS)
def test_of_weights_none_of_which_is_a_number_nothing_is_named(tmp_path, level):
    """An Adam whose t begins at 0, in a network whose softmax would overflow and does not."""
    network = ADAM.replace("self.t += 1; t = self.t;", "t = self.t; self.t += 1;")
    network = network.replace("float(np.float32(beta))", "np.float64(np.float32(beta))")  # 0 / 0 is NaN, no error
    stable = "z = z - z.max(axis=1, keepdims=True); p = outputs[-1] = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)"
    network = network.replace("p = outputs[-1]", stable).replace("2 * (p - y) / (len(p) * 3)", "(p - y) / len(p)")
    of_logits = "(y * (np.log(np.exp(z).sum(axis=1, keepdims=True)) - z)).sum(axis=1).mean()"
    network = network.replace("np.mean((p - y) ** 2)", of_logits)
    _, settings = LOGS["softmax"]
    *below, last = settings["layers"]
    layers = [*below, last | {"kernel_initializer": {"class_name": "RandomNormal", "stddev": 300.0, "seed": 3}}]
    optimizer = {"class_name": "Adam", "learning_rate": 0.01}
    found = judged(tmp_path, level, optimizer, network=network, **settings | {"layers": layers})
    assert (found.first_divergence.step, str(found.first_divergence.key)) == (1, "update dense/kernel")
    assert found.causes == ()
    assert found.diagnosis.unable.startswith("nothing of what differs in step 1 is a number")


TWICE = {
    "softmax": (("np.log(p)", "np.log(np.exp(p) / np.exp(p).sum(axis=1, keepdims=True))"),),
    "binary": (("np.log(1 - p)", "np.log(1 / (1 + np.exp(p)))"), ("np.log(p)", "np.log(1 / (1 + np.exp(-p)))")),
}
TWICE |= dict.fromkeys(("smoothed", "labels"), TWICE["softmax"])


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", LOGS)
def test_a_softmax_of_the_softmax_in_the_told_loss_alone(tmp_path, name, level):
    network, settings = LOGS[name]
    for line, instead in TWICE[name]:
        assert network.count(line) == 1
        network = network.replace(line, instead)
    found = judged(tmp_path, level, MOMENTUM, network=network, **settings)
    assert _names(found) == ([("loss.reported=softmax_twice", ())] if level != "weights" else [])


ONE_OUTPUT = NETWORK.replace("(len(p) * 3)", "len(p)")
ONE_TARGET = {
    "data": TABLE["data"] | {"targets": 1},
    "layers": [*TABLE["layers"][:2], TABLE["layers"][2] | {"units": 1}],
}


@pytest.mark.parametrize("level", LEVELS)
def test_every_target_against_every_output_in_the_told_loss_alone(tmp_path, level):
    settings = {"network": ONE_OUTPUT, **ONE_TARGET}
    assert judged(tmp_path, level, MOMENTUM, **settings).first_divergence is None
    found = judged(tmp_path, level, MOMENTUM, "np.mean((p - y) ** 2)", "np.mean((p - y.reshape(-1)) ** 2)", **settings)
    assert _names(found) == ([("loss.reported=all_pairs", ())] if level != "weights" else [])


SURE = 14.0  # a bias that makes a sigmoid of all outputs, and the loss some 1e-6
PLAIN_BINARY = BINARY.replace("loss = data_loss + penalty", "loss = data_loss").replace(
    'gradient[f"{name}/kernel"] += 2 * lam * W[name]', "pass"
)


@pytest.mark.parametrize("label", [0, 1])
@pytest.mark.parametrize("log_of_rest", ["np.log(1 - p)", "np.log1p(-p)"])
def test_a_loss_that_is_small_is_off_by_units_of_one(tmp_path, log_of_rest, label):
    """What is worked out from logits is not, and no convention is needed to explain it."""
    first, second, last = ({key: layer[key] for key in layer if "regul" not in key} for layer in TABLE["layers"])
    last |= {"units": 1, "activation": "sigmoid"}
    last["bias_initializer"] = {"class_name": "Constant", "value": SURE if label else -SURE}
    x = np.random.default_rng(3).normal(size=(20, 8)).round(3)
    data = {"source": "arrays", "x": x.tolist(), "y": [[float(label)]] * 20, "samples": 20}
    settings = {"data": data, "layers": [first, second, last], "loss": "bce"}
    network = PLAIN_BINARY.replace("np.log(1 - p)", log_of_rest)
    for log, names in (("", set()), (" + 1e-9", {"loss.log=plus_1e-9"})):
        logs = network.replace("np.log(p)", f"np.log(p{log})").replace(log_of_rest, log_of_rest[:-1] + log + ")")
        found = judged(tmp_path, "loss and weights", PLAIN, "lr * g\n", "2 * lr * g\n", network=logs, **settings)
        assert set(_names(found)) == {(name, ()) for name in names | {"learning_rate.scale=double"}}


@pytest.mark.parametrize("choice", ["plus_1e-9", "plus_1e-12", "clip_1e-12"])
def test_in_float32_a_number_that_is_lost_in_rounding_is_no_mistake(tmp_path, choice):
    network, settings = with_logs_of("softmax", choice)
    network = network.replace(*IN_FLOAT32)
    found = judged(tmp_path, "everything", MOMENTUM, network=network, **settings, precision="float32")
    assert found.verdict is Verdict.PARITY, found.first_divergence
