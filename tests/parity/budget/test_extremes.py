"""The same formulas on both sides, at the ends of what numbers can be: no divergence. The oracle is Keras, run."""

from __future__ import annotations

import numpy as np
import pytest

from parity.budget import LocalBudget
from parity.budget.rounding import gamma, underflow, unit_roundoff
from parity.config import validate
from parity.protocol import Key, Records
from parity.run import diff
from parity.verdict import Verdict

LIKELY = {"source": "regression", "samples": 8, "features": 3, "targets": 2, "seed": 0}
TANH = [{"units": 5, "activation": "tanh"}, {"units": 2}]
CENTERED = {"class_name": "RMSprop", "learning_rate": 0.001, "centered": True}
SMALL = {"class_name": "Constant", "value": 1e-19}  # of which the square is no normal number in float32
RUNS = {
    "rmsprop divides by a difference that is nothing but rounding": (
        {"data": LIKELY, "layers": TANH, "optimizer": {**CENTERED, "rho": 0.0}, "batch_size": 4, "steps": 4},
        Verdict.CANNOT_JUDGE,
    ),
    "and of nearly equal numbers": (
        {"data": LIKELY, "layers": TANH, "optimizer": {**CENTERED, "rho": 1e-3}, "batch_size": 4, "steps": 4},
        Verdict.PARITY,
    ),
    "the sum of the absolute weights overflows, no product does": (
        {
            "data": {"source": "digits", "samples": 32, "scale": 16, "one_hot": 10},
            "layers": [{"units": 16}, {"units": 10}],
            "optimizer": {"class_name": "SGD", "learning_rate": 1000.0},
            "batch_size": 1,
            "steps": 4,  # in the last of which the loss is infinite
        },
        Verdict.CANNOT_JUDGE,
    ),
    "squares are flushed before lambda multiplies them": (
        {
            "data": LIKELY,
            "layers": [
                {
                    "units": 50,
                    "activation": "tanh",
                    "kernel_initializer": SMALL,
                    "kernel_regularizer": {"class_name": "L2", "l2": 100.0},
                },
                {"units": 2},
            ],
            "optimizer": {"class_name": "SGD", "learning_rate": 1e-6},
            "batch_size": 4,
            "steps": 4,
        },
        Verdict.PARITY,
    ),
}


@pytest.mark.parametrize("run", RUNS)
def test_a_null_run_at_the_ends_is_no_divergence(run):
    table, verdict = RUNS[run]
    experiment = validate({"name": run, "loss": "mse", "precision": "float32", "shuffle": False, **table})
    result = diff(experiment, explain=False)
    assert result.first_divergence is None
    assert result.verdict is verdict


@pytest.mark.parametrize("inputs", [1, 2, 3, 4, 5])
def test_what_flushed_operands_lose_is_finite_where_only_the_sum_of_weights_overflows(inputs):
    """2 tiny for each product, and 2 tiny times each operand of the other side: by hand, in float64."""
    largest, small = float(np.finfo(np.float32).max), 1e-30
    layers = [{"units": 1, "use_bias": False, "name": "dense"}]
    table = {"name": "largest", "data": LIKELY, "layers": layers, "loss": "mse", "optimizer": "sgd", "steps": 1}
    experiment = validate({**table, "precision": "float32"})
    z, weight = Key("forward", "dense/pre_activation"), Key("update", "dense/kernel")
    x = np.full((1, 1, inputs), small, np.float32)
    kernel = np.full((1, inputs, 1), largest, np.float32)
    records = Records(1, {Key("batch", "x"): x, z: x[..., :1], weight: kernel}, {weight: kernel[0]})
    found = LocalBudget(experiment, "float32").of(z, records, np.arange(1))
    rounding = 2 * gamma(inputs, unit_roundoff("float32")) * inputs * small * largest
    lost = 2 * underflow("float32") * inputs * (1 + largest + small)
    assert found.item() == pytest.approx(rounding + lost, rel=1e-6)
