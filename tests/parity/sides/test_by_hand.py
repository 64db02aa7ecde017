"""Layouts of hand-written networks: there and back without a change, and refused where they cannot be right."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from parity.config import validate
from parity.errors import ExitCode, SideError, UsageError
from parity.run import diff
from parity.sides.by_hand import BIASES, KERNELS, Epochs, Flat, Lists, Numbered, pairs


def experiment(*units: int, bias: bool = True):
    return validate(
        {
            "data": {"source": "regression", "features": 3, "samples": 8, "targets": units[-1]},
            "layers": [{"units": count, "use_bias": bias} for count in units],
            "loss": "mse",
            "optimizer": "sgd",
        }
    )


def weights_of(config, inputs=3):
    random, found = np.random.default_rng(0), {}
    for layer in config.layers:
        found[f"{layer.name}/kernel"] = random.normal(size=(inputs, layer.units))
        if layer.use_bias:
            found[f"{layer.name}/bias"] = random.normal(size=layer.units)
        inputs = layer.units
    return found


def side(base, **settings):
    return type("Side", (base,), settings)()


@given(
    st.sampled_from([Lists, Numbered, Flat]),
    st.sampled_from(list(KERNELS)),
    st.sampled_from(list(BIASES)),
    st.sampled_from(["layers", "kernels"]),
    st.sampled_from(["C", "F"]),
    st.lists(st.integers(1, 4), min_size=1, max_size=3),
    st.booleans(),
)
def test_weights_come_back_as_they_were_given(base, kernel_layout, bias_layout, order, read, units, bias):
    config = experiment(*units, bias=bias)
    given_weights = weights_of(config)
    made = side(base, kernel_layout=kernel_layout, bias_layout=bias_layout, order=order, read=read)
    made.start(config, given_weights)
    told = made.weights()
    assert list(told) == list(given_weights)
    for name, array in given_weights.items():
        assert np.array_equal(told[name], array)


def test_a_network_gets_what_was_declared():
    config = experiment(2, 1)
    given_weights = weights_of(config)
    kernel, bias = given_weights["dense/kernel"], given_weights["dense/bias"]

    lists = side(Lists, kernel_layout="units, inputs", bias_layout="column")
    lists.start(config, given_weights)
    assert np.array_equal(lists.W[0], kernel.T)
    assert lists.b[1].shape == (1, 1)

    numbered = side(Numbered, held_in="", called=("theta_{}", "c_{}"), first=0, bias_layout="row")
    numbered.start(config, given_weights)
    assert np.array_equal(numbered.theta_0, kernel)
    assert np.array_equal(numbered.c_0, bias[None])

    flat = side(Flat, kernel_layout="units, inputs", read="F", order="kernels")
    flat.start(config, given_weights)
    assert np.array_equal(flat.theta[:6], kernel.ravel())  # columns of the transpose are rows
    assert np.array_equal(flat.theta[-3:-1], bias)


def test_a_layer_without_bias_has_none_in_its_list():
    lists = side(Lists)
    lists.start(experiment(2, bias=False), {"dense/kernel": np.ones((3, 2))})
    assert lists.b == [None]


def test_training_in_place_leaves_what_was_given_alone():
    config = experiment(2)
    lists = side(Lists)
    given_weights = weights_of(config)
    lists.start(config, given_weights)
    lists.W[0] += 1
    assert not np.array_equal(lists.weights()["dense/kernel"], given_weights["dense/kernel"])
    lists.restart()
    assert np.array_equal(lists.weights()["dense/kernel"], given_weights["dense/kernel"])


def holding(**attributes):
    return lambda _self, _experiment: SimpleNamespace(**attributes)


@pytest.mark.parametrize(
    ("base", "settings", "said"),
    [
        (
            Lists,
            {"make": holding(W=[np.ones((2, 3))], b=[np.ones(2)])},
            r"W\[0\] holds an array of shape \(2, 3\), .*\(it makes \(3, 2\)\); kernel_layout = 'units, inputs' would",
        ),
        (
            Lists,
            {"make": holding(W=[np.ones((3, 2))], b=[np.ones((2, 1))])},
            r"b\[0\] holds an array of shape \(2, 1\).*; bias_layout = 'column' would",
        ),
        (Lists, {"make": holding(W=[np.ones((3, 2))] * 2)}, "W has 2 entries; the experiment has 1 layers"),
        (
            Numbered,
            {"make": holding(parameters={"W1": np.ones((5, 5))})},
            r"parameters\['W1'\] holds.*\(it makes \(3, 2\)\)$",
        ),
        (Flat, {"make": holding(theta=np.ones(7))}, "theta has 7 numbers; the experiment's weights are 8"),
    ],
)
def test_a_layout_that_cannot_be_right_is_refused(base, settings, said):
    config = experiment(2)
    with pytest.raises(SideError, match=said):
        side(base, **settings).start(config, weights_of(config))


@pytest.mark.parametrize(
    ("base", "settings", "said"),
    [
        (
            Lists,
            {"kernel_layout": "units,inputs"},
            "kernel_layout = 'units,inputs'; allowed.*did you mean 'units, inputs'",
        ),
        (Lists, {"bias_layout": "columns"}, "did you mean 'column'"),
        (Flat, {"order": "layer"}, "did you mean 'layers'"),
        (Flat, {"read": "c"}, "read = 'c'; allowed: 'C', 'F'"),
    ],
)
def test_a_layout_that_there_is_not_is_refused(base, settings, said):
    config = experiment(2)
    with pytest.raises(UsageError, match=said):
        side(base, **settings).start(config, weights_of(config))


def test_shapes_that_training_spoils_are_refused():
    """`W - rate * dW` with a gradient of another shape makes a third one, by broadcasting."""
    config = experiment(2)
    lists = side(Lists)
    lists.start(config, weights_of(config))
    lists.b[0] = lists.b[0] - np.ones((2, 1))
    with pytest.raises(SideError, match=r"b\[0\] now holds an array of shape \(2, 2\)"):
        lists.weights()
    lists.b = [None]
    with pytest.raises(SideError, match=r"the network has no b\[0\]"):
        lists.weights()


SQUARE = """
import numpy as np
from parity.sides.by_hand import Lists

class Side(Lists):
    "Its kernels are (units, inputs); who declares nothing says they are (inputs, units)."
    def step(self, x, y):
        hidden = np.tanh(x @ self.W[0].T + self.b[0])
        output = hidden @ self.W[1].T + self.b[1]
        d2 = 2 * (output - y) / y.size
        d1 = d2 @ self.W[1] * (1 - hidden**2)
        loss = ((output - y) ** 2).mean()
        self.W = [self.W[0] - 0.25 * d1.T @ x, self.W[1] - 0.25 * d2.T @ hidden]
        self.b = [self.b[0] - 0.25 * d1.sum(axis=0), self.b[1] - 0.25 * d2.sum(axis=0)]
        return loss

class Declared(Side):
    kernel_layout = "units, inputs"
"""


@pytest.mark.parametrize(("name", "causes"), [("Side", ["forward.kernel=transposed"]), ("Declared", [])])
def test_square_kernels_stored_transposed_are_found_and_named(tmp_path, name, causes):
    (tmp_path / "net.py").write_text(SQUARE)
    config = validate(
        {
            "data": {"source": "regression", "features": 4, "samples": 24, "targets": 4},
            "layers": [{"units": 4, "activation": "tanh"}, {"units": 4}],
            "loss": "mse",
            "optimizer": {"class_name": "SGD", "learning_rate": 0.25},
            "batch_size": 8,
            "steps": 5,
            "precision": "float64",
        }
    )
    result = diff(config, reference="scratch", candidate=f"{tmp_path}/net.py:{name}")
    assert result.exit_code is (ExitCode.DIVERGED if causes else ExitCode.PARITY)
    named = result.diagnosis.causes if result.diagnosis else ()
    assert [str(cause) for cause in named] == causes


def test_pairs():
    x, y = np.arange(6.0).reshape(2, 3), np.array([0, 1])
    ((first, target), _) = pairs(x, y, "column")
    assert (first.shape, target.shape) == ((3, 1), (1,))
    assert [one.shape for one, _ in pairs(x, y)] == [(3,), (3,)]
    assert pairs(x, x, "row")[1][1].shape == (1, 3)
    with pytest.raises(UsageError, match="did you mean 'column'"):
        pairs(x, y, "colum")


def test_training_anew_needs_the_same_batch():
    class Side(Epochs, Lists):
        continues = False

        def train(self, _x, _y, epochs):
            return list(range(epochs))

    config = experiment(2)
    made = Side()
    made.start(config, weights_of(config))
    x = np.ones((4, 3))
    assert [made.step(x, x), made.step(x, x)] == [0, 1]
    with pytest.raises(UsageError, match='set batch_size = "full"'):
        made.step(x + 1, x)
    made.start(config, weights_of(config))
    assert made.step(x + 1, x) == 0
