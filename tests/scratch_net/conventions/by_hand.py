"""Networks of two layers: made of the package's parts, and written out by hand as their author would have.

`made` is the network with choices; `by_hand` computes a step of a tanh layer and a linear or softmax layer from the
formulas that it is given, with nothing of the package.
"""

from __future__ import annotations

import numpy as np

from parity.budget.rounding import gamma, unit_roundoff
from parity.protocol import keyed
from scratch_net import conventions
from scratch_net.activations import ACTIVATIONS
from scratch_net.layers import Dense
from scratch_net.metrics import METRICS
from scratch_net.network import Network
from scratch_net.optimizers import SGD
from scratch_net.record import record_step

B, N, INPUTS, HIDDEN, RATE = 6, 48, 4, 5, 0.1
TRAINING = conventions.Training(batch_size=B, examples=N, scale=16.0)
LONGEST = 100  # more operations than any result here has behind it, one after the other


def weights(outputs=3, dtype="float64"):
    random = np.random.default_rng(7)
    shapes = {"W1": (INPUTS, HIDDEN), "b1": (HIDDEN,), "W2": (HIDDEN, outputs), "b2": (outputs,)}
    return {name: random.uniform(-0.9, 0.9, shape).astype(dtype) for name, shape in shapes.items()}


def batch(outputs=3, *, one_hot=False, dtype="float64"):
    random = np.random.default_rng(8)
    x = random.standard_normal((B, INPUTS)).astype(dtype)
    labels = random.integers(0, outputs, B)
    y = np.eye(outputs)[labels] if one_hot else random.standard_normal((B, outputs))
    return x, y.astype(dtype)


def made(loss, choices, *, last="linear", hidden="tanh", kernel=None, bias=None, activity=None, optimizer=None, **more):
    """The network of the package; regularizers are functions that make one for each layer."""
    w = weights(more.pop("outputs", 3), more.pop("dtype", "float64"))

    def layer(name, kernel_name, bias_name, activation):
        new = [r() if r is not None else None for r in (kernel, bias, activity)]
        return Dense(name, w[kernel_name], w[bias_name], ACTIVATIONS[activation](), *new)

    layers = [layer("dense", "W1", "b1", hidden), layer("dense_1", "W2", "b2", last)]
    network = Network(layers, loss, optimizer or SGD(RATE), {"accuracy": METRICS["accuracy"]}, **more)
    return conventions.apply(network, choices, TRAINING)


def told(network, x, y, steps=1):
    """What each step of the network tells, under keys, as copies."""
    with np.errstate(all="ignore"):
        said = [
            {str(key): np.array(array) for key, array in keyed(record_step(network, x, y), "dense_1").items()}
            for _ in range(steps)
        ]
    return said if steps > 1 else said[0]


NAMES = {"W1": "dense/kernel", "b1": "dense/bias", "W2": "dense_1/kernel", "b2": "dense_1/bias"}


def by_hand(w, x, y, data, slopes=None, penalties=None, *, softmax=False, activity=0.0, decay=None):
    """A step of plain gradient descent.

    Args:
        w: W1, b1, W2, b2.
        data: from (y, p, z) to the data loss and dL/dz of the last layer.
        slopes: what the penalty adds to the gradient of each weight, by name.
        penalties: what the penalty of each weight adds to the told loss.
        activity: what times the sum of squares of the hidden outputs is added; told under dense/output.
        decay: what is subtracted from each weight beside the gradient's step.
    """
    a = np.tanh(x @ w["W1"] + w["b1"])
    z = a @ w["W2"] + w["b2"]
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True) if softmax else z
    loss, dz2 = data(y, p, z)
    dz1 = (dz2 @ w["W2"].T + 2 * activity * a) * (1 - a**2)
    g = {"W1": x.T @ dz1, "b1": dz1.sum(axis=0), "W2": a.T @ dz2, "b2": dz2.sum(axis=0)}
    slopes = {name: g[name] * 0 if slope is None else slope for name, slope in (slopes or {}).items()}
    whole = {name: g[name] + slopes.get(name, 0) for name in g}
    penalties = dict(penalties or {}) | ({"output": activity * (a**2).sum()} if activity else {})
    found = {"loss loss (data)": loss, "loss loss": loss + sum(penalties.values())}
    found |= {f"loss {NAMES.get(name, 'dense/output')} (penalty)": value for name, value in penalties.items()}
    for name, g_whole in whole.items():
        found[f"gradient {NAMES[name]}"] = g_whole
        found[f"update {NAMES[name]}"] = w[name] - (decay or {}).get(name, 0) - RATE * g_whole
    return found | {f"gradient {NAMES[name]} (penalty)": slope for name, slope in slopes.items()}


def assert_equal_but_for_rounding(said, expected):
    """Everything in `expected` was said, and is off by no more than rounding of terms of its size."""
    bound = gamma(LONGEST, unit_roundoff("float64"))
    for key, value in expected.items():
        assert key in said, (key, list(said))
        scale = max(1.0, float(np.max(np.abs(value))))
        np.testing.assert_allclose(said[key], value, rtol=0, atol=bound * scale, err_msg=key)


def changed(one, other):
    """The keys whose numbers differ, or that one of the two does not tell."""
    both = one.keys() & other.keys()
    return [k for k in one | other if k not in both or not np.array_equal(one[k], other[k], equal_nan=True)]
