"""From measures to a verdict: what is first, what is parity, and what cannot be judged."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, strategies as st

from parity.config import validate
from parity.data import load_dataset
from parity.errors import ExitCode
from parity.lockstep import Pair, draw_weights, lockstep, start_weights
from parity.protocol import Key, execution_order
from parity.sides import load_side
from parity.verdict import Judge, Verdict

# Layer names in the opposite of alphabetical order: "first" is never alphabetical.
EXPERIMENT = validate(
    {
        "data": {"source": "regression", "features": 3, "samples": 24},
        "layers": [
            {"units": 4, "name": "z", "activation": "tanh", "kernel_regularizer": "l2"},
            {"units": 1, "name": "a"},
        ],
        "loss": "mse",
        "optimizer": {"class_name": "SGD", "momentum": 0.9},
        "batch_size": 4,
        "steps": 6,
    }
)


def train() -> Pair:
    """Six steps of the NumPy network beside itself."""
    sides = load_side("scratch"), load_side("scratch")
    dataset = load_dataset(EXPERIMENT).astype("float64")
    drawn = [draw_weights(side, EXPERIMENT, 3, "float64") for side in sides]
    weights = start_weights(EXPERIMENT, drawn, 3, "float64")
    (pair,) = lockstep(EXPERIMENT, *sides, dataset, weights, ("local", "free"))
    kept = [
        {key: np.array(array) for key, array in said.items()} for said in (pair.reference.arrays, pair.free, pair.local)
    ]
    return Pair(dataclasses.replace(pair.reference, arrays=kept[0]), kept[1], kept[2])


PAIR = train()
ORDER = [key for key in execution_order(PAIR.local, EXPERIMENT.layer_names) if key in PAIR.reference.arrays]


def judged(pair: Pair) -> Judge:
    judge = Judge(EXPERIMENT, "float64")
    judge.take(pair)
    return judge


def spoilt(changes: dict[Key, int], by: float = 1.0) -> Pair:
    """The candidate's local answers with something added to the last element at a step."""
    local = {key: array.copy() for key, array in PAIR.local.items()}
    for key, step in changes.items():
        local[key].reshape(6, -1)[step - 1, -1] += local[key].dtype.type(by)
    return Pair(PAIR.reference, PAIR.free, local)


def test_a_network_beside_itself_is_parity():
    judge = judged(PAIR)
    assert judge.verdict is Verdict.PARITY
    assert judge.verdict.exit_code is ExitCode.PARITY == 0
    assert judge.first is None
    assert judge.steps == 6
    assert {key.phase for key in judge.judged} >= {"forward", "loss", "gradient", "update"}
    assert judge.skipped == []


def test_the_order_of_a_step():
    """Forward through the layers, the loss, back through the layers, the update: as written in the design."""
    names = [str(key) for key in ORDER]
    wanted = [
        "forward z/pre_activation",
        "forward z/output",
        "forward a/pre_activation",
        "forward a/output",
        "loss loss (data)",
        "loss z/kernel (penalty)",
        "loss loss (penalty)",
        "loss loss",
        "gradient a/kernel",
        "gradient a/bias",
        "gradient z/kernel (data)",
        "gradient z/kernel (penalty)",
        "gradient z/kernel",
        "gradient z/bias",
        "update z/kernel/momentum",
        "update z/kernel",
        "update a/kernel",
    ]
    assert [name for name in names if name in wanted] == wanted


@given(st.sampled_from(ORDER), st.integers(1, 6))
def test_when_a_step_is_found_does_not_depend_on_the_chunks(key, step):
    """Taken step by step, the verdict and the place are those of all steps at once."""
    whole = spoilt({key: step})
    parts = Judge(EXPERIMENT, "float64")
    before = whole.reference.states_before()
    for at in range(6):
        rows = slice(at, at + 1)
        reference = dataclasses.replace(
            whole.reference,
            first_step=at + 1,
            arrays={k: a[rows] for k, a in whole.reference.arrays.items()},
            before={k: a[at] for k, a in before.items()},
        )
        parts.take(Pair(reference, *({k: a[rows] for k, a in said.items()} for said in (whole.free, whole.local))))
    together = judged(whole)
    assert parts.first == together.first
    assert parts.steps == together.steps == 6
    assert parts.summaries == together.summaries or any(
        math.isnan(summary.used) for summary in together.summaries.values()
    )


def test_the_first_nan_is_that_of_the_earliest_step():
    late, early = Key("forward", "z/output"), Key("update", "a/bias")
    reference = {k: a.copy() for k, a in PAIR.reference.arrays.items()}
    local, free = ({k: a.copy() for k, a in said.items()} for said in (PAIR.local, PAIR.free))
    for said in (reference, local, free):
        said[late][3] = said[early][1] = math.nan
    assert judged(Pair(dataclasses.replace(PAIR.reference, arrays=reference), free, local)).nonfinite == (2, early)


def test_what_is_missing_is_told():
    kernel, output = Key("gradient", "z/kernel"), Key("forward", "a/output")
    local = {key: array for key, array in PAIR.local.items() if key != kernel}
    free = {key: array for key, array in PAIR.free.items() if key != kernel}
    extra = Key("gradient", "a/nonsense")
    judge = judged(
        Pair(PAIR.reference, free | {extra: np.zeros((6, 1))}, {k: v for k, v in local.items() if k != output})
    )
    told = {item.what: item.why for item in judge.not_compared}
    assert told[str(kernel)] == "the candidate does not provide it"
    assert told[f"{output}, local lane"] == "the candidate does not replay it"
    assert told[str(extra)] == "the reference does not record it"


@pytest.mark.parametrize(
    "change",
    [
        lambda a: a[..., :-1],
        lambda a: a[..., None],
        lambda a: a.astype(np.float32),
        lambda a: np.swapaxes(a, -1, -2),
    ],
    ids=["shorter", "more axes", "float32", "transposed"],
)
def test_another_shape_or_dtype_diverges(change):
    key = Key("gradient", "z/kernel")
    judge = judged(Pair(PAIR.reference, PAIR.free, {**PAIR.local, key: change(PAIR.local[key])}))
    assert judge.verdict is Verdict.DIVERGED
    assert (judge.first.step, judge.first.key) == (1, key)
    assert f"{key}, local lane" in judge.missing


def test_initial_weights_are_held_to_the_last_bit():
    judge = Judge(EXPERIMENT, "float64")
    kernel = np.ones((3, 4))
    judge.take_start({"z/kernel": kernel}, {"z/kernel": kernel.copy()})
    assert judge.first is None
    assert judge.verdict is Verdict.CANNOT_JUDGE  # nothing was trained yet
    other = kernel.copy()
    other[2, 1] = np.nextafter(1, 2)
    judge.take_start({"z/kernel": kernel}, {"z/kernel": other})
    assert (judge.first.step, judge.first.key, judge.first.index) == (0, Key("update", "z/kernel"), (2, 1))


def test_a_summary_counts_what_it_saw():
    judge = judged(spoilt({ORDER[0]: 3}))
    summary = judge.summaries["local", ORDER[0]]
    assert (summary.steps, summary.beyond, summary.first_beyond) == (6, 1, 3)
    assert (summary.absolute_step, summary.used_step) == (3, 3)
    assert summary.absolute == pytest.approx(1)
