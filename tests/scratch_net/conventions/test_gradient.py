"""Each wrong forward pass or backpropagation against the same mistake written out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from parity.protocol import Key
from scratch_net.conventions.gradient import CHOICES
from tests.scratch_net.conventions.networks import steps

RATE = 0.01
LAYERS = ("dense", "dense_1", "dense_2")
U = np.finfo("float64").eps / 2
ROUNDINGS = 100  # more than lie one after the other in a step of three layers with sums of at most six terms


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def softmax(z):
    return np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)


def of_squares(z, p, y):
    return 2 * (p - y) / p.size


def whole_softmax(da, p):
    """Example by example, with the Jacobian written out."""
    return np.array([one @ (np.diag(q) - np.outer(q, q)) for one, q in zip(da, p, strict=True)])


# network -> its hidden activation and the derivative, its last activation and dL/dz there
TANH = {"phi": np.tanh, "dphi": lambda da, z, a: da * (1 - a**2)}
HAND = {
    "sgd": {**TANH, "last": lambda z: z, "dlast": of_squares},
    "relu": {
        "phi": lambda z: z * (z > 0),
        "dphi": lambda da, z, a: da * (z > 0),
        "last": lambda z: z,
        "dlast": of_squares,
    },
    "sigmoid": {
        "phi": sigmoid,
        "dphi": lambda da, z, a: da * a * (1 - a),
        "last": sigmoid,
        "dlast": lambda z, p, y: of_squares(z, p, y) * p * (1 - p),
    },
    "probabilities": {**TANH, "last": softmax, "dlast": lambda z, p, y: whole_softmax(of_squares(z, p, y), p)},
    "softmax": {**TANH, "last": softmax, "dlast": lambda z, p, y: (p - y) / len(p)},
    "smoothed": {**TANH, "last": softmax, "dlast": lambda z, p, y: (p - (0.8 * y + 0.2 / 3)) / len(p)},
    "binary": {**TANH, "last": sigmoid, "dlast": lambda z, p, y: (p - y) / p.size},
}
KERAS = {
    "product": lambda x, W: x @ W,
    "used": lambda dz, above: dz,
    "dW": lambda x, dz: x.T @ dz,
    "db": lambda dz: dz.sum(axis=0),
    "dx": lambda dz, W, dW: dz @ W.T,
}


def square(W):
    return W.shape[0] == W.shape[1]


def s_prime(z):
    return sigmoid(z) * (1 - sigmoid(z))


# (choice, network) -> what is written otherwise
WRONG = {
    ("forward.kernel=transposed", "relu"): {
        "product": lambda x, W: x @ W.T if square(W) else x @ W,
        "dW": lambda x, dz: dz.T @ x if x.shape[1] == dz.shape[1] else x.T @ dz,
        "dx": lambda dz, W, dW: dz @ W if square(W) else dz @ W.T,
    },
    ("gradient.derivative=at_output", "sigmoid"): {
        "dphi": lambda da, z, a: da * s_prime(a),
        "dlast": lambda z, p, y: of_squares(z, p, y) * s_prime(p),
    },
    ("gradient.derivative=at_output", "softmax"): {"dphi": lambda da, z, a: da * (1 - np.tanh(a) ** 2)},
    ("gradient.derivative=of_input", "sigmoid"): {
        "dphi": lambda da, z, a: da * z * (1 - z),
        "dlast": lambda z, p, y: of_squares(z, p, y) * z * (1 - z),
    },
    ("gradient.derivative=of_input", "sgd"): {"dphi": lambda da, z, a: da * (1 - z**2)},
    ("gradient.derivative=hidden_at_output", "sigmoid"): {"dphi": lambda da, z, a: da * s_prime(a)},
    ("gradient.derivative=hidden_at_output", "probabilities"): {"dphi": lambda da, z, a: da * (1 - np.tanh(a) ** 2)},
    ("gradient.derivative=hidden_of_input", "sigmoid"): {"dphi": lambda da, z, a: da * z * (1 - z)},
    ("gradient.derivative=hidden_of_input", "probabilities"): {"dphi": lambda da, z, a: da * (1 - z**2)},
    ("gradient.hidden_activation=missing", "relu"): {"dphi": lambda da, z, a: da},
    ("gradient.hidden_activation=missing", "sigmoid"): {"dphi": lambda da, z, a: da},
    ("gradient.hidden_activation=missing_in_first", "relu"): {"dphi_of": {0: lambda da, z, a: da}},
    ("gradient.hidden_activation=missing_in_first", "sigmoid"): {"dphi_of": {0: lambda da, z, a: da}},
    ("gradient.hidden_activation=missing_in_second", "relu"): {"dphi_of": {1: lambda da, z, a: da}},
    ("gradient.hidden_activation=missing_in_second", "softmax"): {"dphi_of": {1: lambda da, z, a: da}},
    ("gradient.output_activation=missing", "sigmoid"): {"dlast": of_squares},
    ("gradient.softmax=diagonal", "probabilities"): {"dlast": lambda z, p, y: of_squares(z, p, y) * p * (1 - p)},
    ("gradient.shortcut=twice", "softmax"): {"dlast": lambda z, p, y: (p - y) / len(p) * p * (1 - p)},
    ("gradient.shortcut=twice", "binary"): {"dlast": lambda z, p, y: (p - y) / p.size * p * (1 - p)},
    ("gradient.shortcut=diagonal", "softmax"): {"dlast": lambda z, p, y: -y / p * p * (1 - p) / len(p)},
    ("gradient.shortcut=diagonal", "smoothed"): {
        "dlast": lambda z, p, y: -(0.8 * y + 0.2 / 3) / p * p * (1 - p) / len(p)
    },
    ("gradient.batch=sum", "sgd"): {"dlast": lambda z, p, y: 2 * (p - y) / p.shape[1]},
    ("gradient.batch=sum", "softmax"): {"dlast": lambda z, p, y: p - y},
    ("gradient.relu_at_zero=one", "relu"): {"dphi": lambda da, z, a: np.where(z < 0, 0, da)},
    ("gradient.weights=after_update", "relu"): {"dx": lambda dz, W, dW: dz @ (W - RATE * dW).T},
    ("gradient.index=shifted", "relu"): {
        "used": lambda dz, above: above if above is not None and above.shape == dz.shape else dz,
    },
    ("gradient.bias=mean", "sgd"): {"db": lambda dz: dz.mean(axis=0)},
    ("gradient.bias=not_averaged", "sgd"): {"db": lambda dz: len(dz) * dz.sum(axis=0)},
    ("gradient.bias=missing", "sgd"): {"db": lambda dz: 0 * dz[0]},
    ("gradient.bias=scalar", "sgd"): {"db": lambda dz: dz.sum() + 0 * dz[0]},
    ("gradient.kernel=mean", "relu"): {"dW": lambda x, dz: x.T @ dz / len(dz)},
    ("gradient.transposed=wrong", "relu"): {"dx": lambda dz, W, dW: dz @ W if square(W) else dz @ W.T},
}


def by_hand(x, y, weights, of):
    """Gradients of weights, pre-activations and outputs, from the last layer to the first."""
    inputs, z, a = [], [], x
    for layer in LAYERS:
        inputs.append(a)
        z.append(of["product"](a, weights[f"{layer}/kernel"]) + weights[f"{layer}/bias"])
        a = (of["last"] if layer == LAYERS[-1] else of["phi"])(z[-1])
    found, above = {}, None
    dz = of["dlast"](z[-1], a, y)
    for index in (2, 1, 0):
        layer, W = LAYERS[index], weights[f"{LAYERS[index]}/kernel"]
        found[f"{layer}/pre_activation"] = dz
        used = of["used"](dz, above)
        found[f"{layer}/kernel"] = of["dW"](inputs[index], used)
        found[f"{layer}/bias"] = of["db"](used)
        if index:
            da = of["dx"](dz, W, found[f"{layer}/kernel"])
            found[f"{LAYERS[index - 1]}/output"] = da
            dphi = of.get("dphi_of", {}).get(index - 1, of["dphi"])
            above, dz = dz, dphi(da, z[index - 1], inputs[index])
    return found


def _compare(choices, name, of):
    records, _ = steps(name, choices)
    for one in records:
        before = {key.tensor: array for key, array in one.before.items()}
        x, y = one.arrays[Key("batch", "x")][0], one.arrays[Key("batch", "y")][0]
        part = "data" if name == "sgd" else "whole"
        for tensor, expected in by_hand(x, y, before, of).items():
            key = Key("gradient", tensor, part)
            told = one.arrays[key if key in one.arrays else Key("gradient", tensor)][0]
            np.testing.assert_allclose(
                told,
                expected,
                rtol=0,
                atol=ROUNDINGS * U * np.abs(expected).max(),
                err_msg=f"{one.first_step} {tensor}",
            )


@pytest.mark.parametrize("name", HAND)
def test_by_hand_is_keras_choice_without_a_mistake(name):
    _compare({}, name, KERAS | HAND[name])


@pytest.mark.parametrize(("choice", "name"), WRONG, ids=" of ".join)
def test_a_mistake_is_the_mistake_as_written(choice, name):
    _compare(dict([choice.split("=")]), name, KERAS | HAND[name] | WRONG[choice, name])


def test_every_mistake_is_written_out():
    table = {f"{code}={choice}" for code, choices in CHOICES.items() for choice in choices}
    below = {"gradient.hidden_activation=missing_in_third"}
    assert {choice for choice, _ in WRONG} | below == table


def test_of_three_hidden_layers_the_third_alone_has_no_derivative():
    for one in steps("deep", {"gradient.hidden_activation": "missing_in_third"})[0]:
        for layer in ("dense", "dense_1", "dense_2"):
            da, dz = (one.arrays[Key("gradient", f"{layer}/{what}")][0] for what in ("output", "pre_activation"))
            a = one.arrays[Key("forward", f"{layer}/output")][0]
            assert dz.tobytes() == (da if layer == "dense_2" else da * (1 - a * a)).tobytes()


def test_the_diagonal_of_labels_is_that_of_their_one_hot_targets():
    """And where the loss has a factor, here n / B of a smaller batch, it has it, too."""
    choices = {"gradient.shortcut": "diagonal", "data.partial_batch": "full_size"}
    for one in steps("labels", choices)[0]:
        y = np.eye(3)[one.arrays[Key("batch", "y")][0]]
        p = one.arrays[Key("forward", "dense_2/output")][0]
        told = one.arrays[Key("gradient", "dense_2/pre_activation")][0]
        np.testing.assert_allclose(told, -y * (1 - p) / 6, rtol=ROUNDINGS * U, atol=0)


@pytest.mark.parametrize("name", ["sgd", "nesterov", "adam", "centered"])
def test_updated_first_means_the_very_weights_that_the_step_leaves(name):
    """Whatever the optimizer and the penalties: the error goes back through them."""
    for one in steps(name, {"gradient.weights": "after_update"})[0]:
        for layer, beneath in (("dense_2", "dense_1"), ("dense_1", "dense")):
            dz = one.arrays[Key("gradient", f"{layer}/pre_activation")][0]
            left = one.arrays[Key("update", f"{layer}/kernel")][0]
            told = one.arrays[Key("gradient", f"{beneath}/output")][0]
            assert told.tobytes() == (dz @ left.T).tobytes()


def test_a_bias_without_a_gradient_has_none_of_its_penalty_either():
    """It keeps its value, as `layer.bias.trainable = False` makes Keras' keep it."""
    for one in steps("penalized biases", {"gradient.bias": "missing"})[0]:
        for layer in LAYERS:
            for part in ("data", "penalty", "whole"):
                assert not one.arrays[Key("gradient", f"{layer}/bias", part)].any()
            assert one.arrays[Key("loss", f"{layer}/bias", "penalty")] > 0
            key = Key("update", f"{layer}/bias")
            assert one.arrays[key][0].tobytes() == one.before[key].tobytes()
