"""The lines of the catalogue that make Keras choose differently: Keras knows them, they run, and Keras then differs."""

from __future__ import annotations

import ast
import inspect

import numpy as np
import pytest

from parity.conventions import Convention, catalogue, convention

IN_LAYER = {"kernel_regularizer", "bias_regularizer", "activity_regularizer", "activation", "kernel_initializer"}
IN_COMPILE = {"loss", "loss_weights", "optimizer", "metrics"}
OF_OPTIMIZERS = {"mu": 0.9, "beta_1": 0.9, "beta_2": 0.999, "rho": 0.9, "eps": 1e-7}
NUMBERS = {"lam": 0.1, "lr": 0.05, **OF_OPTIMIZERS, "s": 0.2, "scale": 2.0, "centered": False}
ANY = "0.5"  # where any number may be chosen
SIZES = {"N": 7, "n": 1, "batch_size": 3, "C": 3}


def assigned(line: str) -> str | None:
    """The argument of a layer or of compile that the line gives, or None where it is a statement of its own."""
    first = ast.parse(line).body[0]
    name = first.targets[0].id if isinstance(first, ast.Assign) and isinstance(first.targets[0], ast.Name) else None
    return name if name in IN_LAYER | IN_COMPILE else None


LINES = [
    pytest.param(entry.code, choice.fix_reference, id=f"{entry.code}={choice.name}")
    for entry in map(Convention.general, catalogue().values())
    for choice in [*entry.choices, *([entry.factor.of_factor(ANY)] if entry.factor else [])]
    if choice.fix_reference
]
ARGUMENTS = [line for line in LINES if assigned(line.values[1])]
STATEMENTS = [line for line in LINES if not assigned(line.values[1])]


@pytest.mark.parametrize(("code", "line"), LINES)
def test_keras_has_every_name_and_takes_every_argument(code, line, keras):
    calls = [node for node in ast.walk(ast.parse(line)) if isinstance(node, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Call):  # what was made a moment ago
            continue
        path = ast.unparse(call.func).split(".")
        if path[0] not in {"keras", "model"}:
            continue
        found = keras if path[0] == "keras" else keras.Model
        for name in path[1:]:
            found = getattr(found, name)
        given = [None] * (len(call.args) + (path[0] == "model"))  # a method's self
        inspect.signature(found).bind(*given, **{keyword.arg: None for keyword in call.keywords})


def told(code: str, line: str, keras) -> dict:
    """What Keras is told without the line, such that the line's choice can be seen."""
    classes = "categorical" in line or "ops.log" in line or code in {"report.accuracy", "forward.softmax"}
    told = {"loss": "categorical_crossentropy" if classes else "mean_squared_error", "metrics": ["accuracy"]}
    told["activation"] = "softmax" if classes else None
    if code == "loss.probabilities":
        told["activation"] = "exponential"  # positive, and no logits that Keras could take
    if code == "loss.smoothing":
        told["loss"] = keras.losses.CategoricalCrossentropy(label_smoothing=NUMBERS["s"])
    if code == "gradient.relu_at_zero":
        told["activation"] = "relu"
    family, given = code.partition(".")[0], not line.endswith("every layer")  # not what the line adds
    if family in {"l1", "l2", "bias", "activity"} and given:
        place = "kernel_regularizer" if family in {"l1", "l2"} else f"{family}_regularizer"
        told[place] = (keras.regularizers.L1 if family == "l1" else keras.regularizers.L2)(NUMBERS["lam"])
    if code.startswith("init."):
        told["kernel_initializer"] = keras.initializers.HeNormal(seed=1)
    rate = {"learning_rate": NUMBERS["lr"]}
    if "Adam" in line:
        told["optimizer"] = keras.optimizers.Adam(**rate)
    elif "RMSprop" in line:
        mu = NUMBERS["mu"] if code == "rmsprop.momentum" else 0.0
        told["optimizer"] = keras.optimizers.RMSprop(**rate, momentum=mu)
    else:
        mu = NUMBERS["mu"] if code.startswith("momentum.") else 0.0
        told["optimizer"] = keras.optimizers.SGD(
            **rate, momentum=mu, nesterov=code == "momentum.nesterov" and "nesterov=True" not in line
        )
    return told


def data(code: str, line: str) -> dict:
    random = np.random.default_rng(0)
    x, labels = random.normal(size=(SIZES["N"], 3)), np.array([0, 2, 1, 1, 0, 2, 1])
    W, b = random.normal(size=(3, 3)), random.normal(size=3)
    if code in {"loss.clip", "loss.input", "loss.log"}:
        W *= 100  # saturated: the targets' probabilities are near 0
    if code == "gradient.relu_at_zero":
        W, b = 0 * W, 0 * b
    if "(1, -1)" in line:  # every target against every output, of which there is one
        return {"x": x, "y": labels * 1.0, "W": W[:, :1], "b": b[:1]}
    return {"x": x, "y": np.eye(3)[labels], "labels": labels, "W": W, "b": b}


def compiled(keras, code: str, told: dict, given: dict):
    layer = keras.layers.Dense(given["W"].shape[1], **{key: told[key] for key in IN_LAYER & told.keys()})
    below = [keras.layers.Dense(3) for _ in range(3 if code in {"update.layers", "update.biases"} else 0)]
    model = keras.Sequential([keras.Input((3,)), *below, layer])
    if not code.startswith("init."):
        layer.set_weights([given["W"], given["b"]])
    model.compile(**{key: told[key] for key in IN_COMPILE & told.keys()}, run_eagerly=True)
    return model, layer


@pytest.mark.parametrize(("code", "line"), ARGUMENTS)
def test_an_argument_makes_keras_train_differently(code, line, keras, runtime):
    runtime.set_precision("float64")
    given = data(code, line)
    names = {"keras": keras, "np": np, **given, **NUMBERS, **SIZES}
    exec(line, names)  # noqa: S102  # the catalogue's own
    line_says = {assigned(line): names[assigned(line)]}
    if code == "l2.decay":
        line_says["kernel_regularizer"] = None  # as its comment says
    outcome = []
    for changed in ({}, line_says):
        model, layer = compiled(keras, code, told(code, line, keras) | changed, given)
        said = [model.train_on_batch(given["x"], given["y"]) for _ in range(2)]
        outcome.append([np.ravel(said), *map(np.ravel, layer.get_weights())])
    assert not np.array_equal(*map(np.concatenate, outcome))


@pytest.mark.parametrize(("code", "line"), STATEMENTS)
def test_a_statement_runs(code, line, keras, runtime):
    keras.utils.set_random_seed(0)  # fit shuffles
    given = data(code, line)
    model, layer = compiled(keras, code, told(code, line, keras), given)
    if "labels" in line:
        model.compile(loss="sparse_categorical_crossentropy", run_eagerly=True)
    model.optimizer.build(model.trainable_variables)
    names = {"keras": keras, "tf": runtime.tf, "np": np, "model": model, "layer": layer, "optimizer": model.optimizer}
    exec(line, names | given | NUMBERS | SIZES)  # noqa: S102  # the catalogue's own


def test_what_the_reference_can_be_told_has_a_line_in_the_catalogue(runtime):
    from keras_ref.adapter import CHOICES, KERAS_CHOICE

    assert CHOICES
    for code, choices in CHOICES.items():
        assert KERAS_CHOICE[code] == convention(code).keras.name
        assert all(convention(code).choice(name).fix_reference for name in choices)
