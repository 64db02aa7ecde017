"""Divergences that begin after more steps than are recorded from the start: the steps around them are looked at."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parity.config import validate
from parity.diagnosis.evidence import AFTER, MOST, take_evidence
from parity.run import diff
from scratch_net.adapter import ScratchSide
from tests.parity.diagnosis.benches import InPrecision

EXAMPLES = 8 * MOST + 3  # the smaller batch is that of step 101


def _table(optimizer: Any = "SGD", **more: Any) -> dict[str, Any]:
    return {
        "data": {"source": "regression", "samples": EXAMPLES, "features": 3, "seed": 1},
        "layers": [{"units": 4, "activation": "tanh"}, {"units": 1}],
        "loss": "mean_squared_error",
        "optimizer": optimizer,
        "batch_size": 8,
        "epochs": 2,
        "precision": "float64",
        **more,
    }


def _telling(*words: str) -> Any:
    """The NumPy network with a smaller batch left out, telling no more than this."""

    class Tells(ScratchSide):
        replay = None

        def __init__(self, choices: Any = None, products: Any = None) -> None:
            super().__init__(choices or {"data.partial_batch": "skipped"}, products)

        def steps(self, x: Any, y: Any) -> Any:
            return {word: said for word, said in super().steps(x, y).items() if word in words}

        initial_state = None

    return Tells


ADAM = {"class_name": "Adam", "learning_rate": 0.01}
SKIPPED = ["data.partial_batch=skipped"]


@pytest.mark.parametrize(
    ("optimizer", "words"),
    [
        ("SGD", ("weights",)),
        ("SGD", ("loss", "weights")),
        (ADAM, ("loss", "weights", "optimizer")),
    ],
    ids=str,
)
def test_a_mistake_that_shows_late_is_named_from_the_steps_around_it(optimizer, words):
    result = diff(validate(_table(optimizer)), reference="scratch", candidate=_telling(*words))
    assert result.first_divergence.step == MOST + 1
    assert [str(cause) for cause in result.causes] == SKIPPED


def test_all_that_is_told_is_told_of_late_steps_as_well():
    result = diff(validate(_table(ADAM)), reference="scratch", candidate="scratch[data.partial_batch=skipped]")
    assert [str(cause) for cause in result.causes] == SKIPPED


def test_what_is_carried_and_not_told_is_said_to_be_missing():
    """The steps before show nothing, so that they are repeated does not say what Adam carries on from them."""
    result = diff(validate(_table(ADAM)), reference="scratch", candidate=_telling("loss", "weights"))
    assert result.causes == ()
    assert "does not tell what its optimizer carries on (momentum, velocity)" in result.diagnosis.unable


def test_what_is_left_is_told_with_the_step_of_the_run():
    class Slower:
        def __init__(self):
            self.side = ScratchSide()

        def start(self, experiment, weights):
            self.side.start(experiment, weights)

        def step(self, x, y):
            optimizer = self.side.network.optimizer
            optimizer.learning_rate = 0.01 if optimizer.iterations < MOST + 9 else 0.003
            return self.side.step(x, y)["loss"]

        def weights(self):
            return self.side.weights()

    result = diff(validate(_table()), reference="scratch", candidate=Slower)
    assert result.diagnosis.instead == "UNEXPLAINED"
    assert result.first_divergence.step == MOST + 10
    assert result.diagnosis.rejected[0].step == MOST + 10


@pytest.mark.parametrize(
    ("until", "steps"),
    [
        (MOST - 1, (1, MOST)),
        (MOST, (1, MOST)),
        (MOST + 1, (MOST, MOST + 1 + AFTER)),
        (2 * MOST + 2, (2 * MOST + 1, 2 * MOST + 2)),  # the last there is
    ],
)
def test_which_steps_are_recorded(until, steps):
    bench = InPrecision(validate(_table()), "float64")
    evidence = take_evidence(bench.experiment, bench.side, bench.dataset, bench.weights, until)
    assert (evidence.numbers[0], evidence.numbers[-1]) == steps
    assert evidence.numbers == list(range(steps[0], steps[1] + 1))
    assert evidence.steps == len(evidence.numbers)


def test_steps_begin_where_the_side_was():
    bench = InPrecision(validate(_table()), "float64")
    late = take_evidence(bench.experiment, bench.side, bench.dataset, bench.weights, MOST + 1)
    early = take_evidence(bench.experiment, bench.side, bench.dataset, bench.weights, MOST - 1)
    for key, array in late.pieces[0].before.items():
        assert np.array_equal(early.pieces[-1].step(len(early.pieces[-1]) - 2)[key], array)
