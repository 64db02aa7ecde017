"""Every mistake of the table is made, begins where the table says, and is no mistake where its place is missing."""

from __future__ import annotations

import numpy as np
import pytest

from parity.config import validate
from parity.protocol import execution_order, keyed
from scratch_net.adapter import ScratchSide
from scratch_net.defects import DEFECTS, DefectiveSide
from tests.scratch_net.conventions.networks import INPUTS, NETWORKS, batches, experiment, started

LOGITS = {"softmax", "labels", "smoothed", "binary"}
ALL = set(NETWORKS)
# Where a mistake has no place to be made in, it changes nothing.
ONLY = {
    "hard_sigmoid": {"sigmoid", "binary"},
    "leaky_relu": {"relu"},
    "scaled_tanh": ALL - {"relu", "linear", "sigmoid"},
    "bias_twice": ALL - {"no biases"},
    "bias_subtracted": ALL - {"no biases"},
    "tempered_softmax": {"probabilities", "softmax", "labels", "smoothed"},
    "huber": ALL - LOGITS,
    "power_penalty": set(),  # the l1 and l2 of "sgd" is no l2; see below
    "absolute_error_gradient": ALL - LOGITS,
    "bias_sign": ALL - {"no biases"},
    "threshold_in_relu": {"relu"},
    "slope_of_tanh": ALL - {"relu", "linear", "sigmoid"},
    "without_root": {"adam", "amsgrad"},
}


def first_difference(of, weights, side, other, taken):
    """The first step, and in it the first key, that two sides do not tell to the last bit alike."""
    for one in (side, other):
        one.start(of, weights)
    for step, (x, y) in enumerate(taken, 1):
        told = [keyed(one.step(x, y), of.layer_names[-1]) for one in (side, other)]
        for key in execution_order(told[0], of.layer_names):
            if told[0][key].tobytes() != told[1][key].tobytes():
                return step, key
    return None


def begins(defect, network):
    _, weights = started(network, {})
    weights = {name: w for name, w in weights.items() if name.count("/") == 1 and not name.startswith("optimizer/")}
    return first_difference(experiment(network), weights, ScratchSide(), DefectiveSide(defect=defect), batches(network))


@pytest.mark.parametrize("defect", DEFECTS)
def test_it_begins_where_the_table_says(defect):
    phase, layer = DefectiveSide().defects()[defect]
    networks = ONLY.get(defect, ALL)
    found = {network: begins(defect, network) for network in NETWORKS}
    assert {network for network, first in found.items() if first and network not in networks} == set()
    for network, first in found.items():
        if first:
            key, layers = first[1], experiment(network).layer_names
            position = {"first": {layers[0]}, "last": {layers[-1]}, "any": set(layers), "": {""}}[layer]
            assert (key.phase, key.layer in position) == (phase, True), network
    assert any(found.values()) == bool(networks)


def test_a_power_penalty_needs_an_l2_alone():
    data = {"source": "regression", "samples": 2, "features": INPUTS}
    layers = [{"units": 4, "kernel_regularizer": "l2"}]
    of = validate({"data": data, "layers": layers, "loss": "mse", "optimizer": "sgd", "steps": 1})
    weights = {"dense/kernel": np.eye(INPUTS) / 3, "dense/bias": np.zeros(4)}
    taken = [(np.ones((2, INPUTS)), np.ones((2, 4)))]
    step, key = first_difference(of, weights, ScratchSide(), DefectiveSide(defect="power_penalty"), taken)
    assert (step, str(key)) == (1, "loss dense/kernel (penalty)")


def test_without_a_defect_it_is_the_side_it_is_built_on():
    for network in NETWORKS:
        assert begins(None, network) is None


def test_a_defect_and_a_convention_go_together():
    side = DefectiveSide().with_defect("bias_sign").with_conventions({"l2.penalty": "half"})
    assert (side.defect, side.choices) == ("bias_sign", {"l2.penalty": "half"})
    assert side.with_defect("noise").choices == {"l2.penalty": "half"}


def test_a_defect_that_does_not_exist():
    with pytest.raises(ValueError, match="no defect 'leaky'; there are hard_sigmoid, leaky_relu"):
        DefectiveSide().with_defect("leaky")
