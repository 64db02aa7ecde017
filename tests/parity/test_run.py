"""`diff` from beginning to end: precisions, lanes, interrupts, and the memory it takes."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from parity import ledger
from parity.config import validate
from parity.errors import ExitCode, UsageError
from parity.run import diff
from parity.verdict import Verdict

TABLE = {
    "data": {"source": "regression", "features": 3, "samples": 20},
    "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": "l2"}, {"units": 1}],
    "loss": "mse",
    "optimizer": "adam",
    "batch_size": 8,
    "steps": 7,
}


def run(*, candidate: str = "scratch", reference: str = "scratch", more: dict | None = None, **settings):
    return diff(validate({**TABLE, **settings}), reference=reference, candidate=candidate, **(more or {}))


@pytest.mark.parametrize(
    ("precision", "runs"), [("both", ["float64", "float32"]), ("float32", ["float32"]), ("float64", ["float64"])]
)
def test_each_precision_is_judged(precision, runs):
    result = run(precision=precision)
    assert [found.precision for found in result.runs] == runs
    assert result.verdict is Verdict.PARITY
    assert result.steps_compared == 7
    assert set(result.frame["precision"]) == set(runs)


def test_the_half_convention_is_found_where_it_begins():
    result = run(candidate="scratch[l2.penalty=half]")
    assert result.verdict is Verdict.DIVERGED
    assert result.exit_code is ExitCode.DIVERGED
    first = result.first_divergence
    assert (first.step, str(first.key), first.lane, first.precision) == (
        1,
        "loss dense/kernel (penalty)",
        "local",
        "float64",
    )
    assert first.ratio == pytest.approx(0.5)


def test_the_free_lane_alone_judges_nothing():
    result = run(more={"lanes": ("free",)})
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert {lane for found in result.runs for lane, key in found.summaries if key.phase == "gradient"} == {"free"}


def test_two_runs_give_the_same_numbers():
    one, other = run(candidate="scratch[l2.penalty=half]"), run(candidate="scratch[l2.penalty=half]")
    assert one.frame.equals(other.frame)
    assert one.data_digest == other.data_digest


def test_progress_is_told_to_the_last_step():
    told = []
    run(more={"progress": lambda *at: told.append(at)})
    for precision in ("float64", "float32"):
        steps = [(done, planned) for name, done, planned in told if name == precision]
        assert steps == sorted(steps)
        assert steps[-1] == (7, 7)


def test_an_interrupt_keeps_what_was_compared():
    def stop(_, done, __):
        if done >= 2:
            raise KeyboardInterrupt

    result = run(more={"progress": stop})
    assert result.interrupted
    assert result.exit_code is ExitCode.INTERRUPTED == 130
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert 0 < result.steps_compared <= 7
    assert len(result.runs) == 1


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"dense/kernel": [[1.0]]}, r"dense/kernel has shape \(1, 1\); expected \(3, 4\)"),
        ({"dens/kernel": [[1.0]]}, "expected one of dense/kernel, dense/bias, dense_1/kernel, dense_1/bias"),
        ({"dense/kernel": [[1.0, 2.0], [3.0]]}, "every row of an array needs the same length"),
        ("nowhere.npz", "nowhere.npz"),
    ],
)
def test_initial_weights_that_do_not_fit(weights, said):
    with pytest.raises(UsageError, match=said):
        run(initial_weights=weights)


def test_initial_weights_from_a_file(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, **{"dense_1/bias": np.array([0.5])})
    assert run(initial_weights=str(path)).verdict is Verdict.PARITY
    np.savez(path, **{"dense_1/bias": np.array(["a"])})
    with pytest.raises(UsageError, match="not numbers: dense_1/bias"):
        run(initial_weights=str(path))
    path.write_bytes(b"nothing")
    with pytest.raises(UsageError, match="not readable as npz"):
        run(initial_weights=str(path))


def test_a_side_that_fails_to_draw_weights(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(
        "from scratch_net.adapter import ScratchSide\n"
        "class Net(ScratchSide):\n"
        "    def initial_weights(self, *_): raise RuntimeError('no luck')\n"
    )
    result = run(candidate=f"{path}:Net")
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert f"no luck ({path}, line 3)" in result.crash.message


def test_the_memory_does_not_grow_with_the_steps(monkeypatch):
    monkeypatch.setattr(ledger, "IN_MEMORY", 2**16)

    def peak(steps: int) -> int:
        tracemalloc.start()
        run(steps=steps, precision="float32", optimizer="sgd")
        _, highest = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return highest

    peak(3)
    assert peak(240) < 1.5 * peak(60)


def test_a_network_of_the_smallest_size():
    result = run(
        data={"source": "arrays", "x": [1.0], "y": [2.0]},
        layers=[{"units": 1}],
        batch_size="full",
        steps=None,
        epochs=1,
    )
    assert result.verdict is Verdict.PARITY
    assert result.steps_compared == 1
