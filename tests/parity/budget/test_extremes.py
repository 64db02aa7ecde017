"""The same formulas on both sides, at the ends of what numbers can be: no divergence. The oracle is Keras, run."""

from __future__ import annotations

import pytest

from parity.config import validate
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
