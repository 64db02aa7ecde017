"""What both sides are given, and what is taken of what they say."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from parity.config import validate
from parity.data import load_dataset
from parity.lockstep import draw_weights, lockstep, start_weights
from parity.protocol import Key
from parity.run import diff
from parity.sides import LoadedSide, load_side
from parity.sides.guard import Guard
from scratch_net.adapter import ScratchSide

EXPERIMENT = {
    "data": {"source": "regression", "features": 3, "samples": 8},
    "layers": [{"units": 1}],
    "loss": "mse",
    "optimizer": "sgd",
    "batch_size": 4,
    "precision": "float32",
}


def test_a_single_float_takes_the_precision_of_the_run(tmp_path):
    """A loss as Python's float or NumPy's is no mismatch of dtypes; an array of the wrong one is."""
    (tmp_path / "net.py").write_text(
        "import numpy as np\n"
        "class Net:\n"
        "    def start(self, experiment, weights): self.w = weights\n"
        "    def step(self, x, y): return {'loss': np.float64(0.5), 'loss/data': np.array(0.5)}\n"
        "    def weights(self): return self.w\n"
    )
    result = diff(validate(EXPERIMENT), reference="scratch", candidate=f"{tmp_path}/net.py:Net")
    (run,) = result.runs
    assert ("free", Key("loss", "loss")) in run.summaries
    assert run.first is not None
    assert run.first.key == Key("loss", "loss", "data")
    assert np.isnan(run.first.reference)


class Asked(ScratchSide):
    """The NumPy network, and the threads in which it was asked for replays."""

    def __init__(self, choices, *, beside):
        super().__init__(choices)
        self.replays_beside = beside
        self.threads = []

    def replay(self, reference):
        self.threads.append(threading.current_thread())
        return super().replay(reference)


def pairs_of(candidate, lanes):
    """What lockstep yields of five chunks, copied: a pair is valid for two of them, and held against what it became."""
    described = validate(EXPERIMENT | {"steps": 19, "optimizer": "adam", "loss": "mse", "metrics": ["accuracy"]})
    dataset, reference = load_dataset(described).astype("float32"), load_side("scratch")
    weights = start_weights(described, [draw_weights(reference, described, 3, "float32")], 3, "float32")
    kept, before = [], None
    for pair in lockstep(described, reference, candidate, dataset, weights, lanes):
        now = [dict(part) for part in (pair.reference.arrays, pair.free, pair.local, pair.own)]
        kept.append([{key: array.copy() for key, array in part.items()} for part in now])
        if before is not None:  # not yet overwritten
            assert_same([before], [kept[-2]])
        before = now
    return kept


def assert_same(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        for left, right in zip(one, other, strict=True):
            assert left.keys() == right.keys()
            for key in left:
                assert left[key].tobytes() == right[key].tobytes(), key


@pytest.mark.parametrize("lanes", [("local",), ("local", "free"), ("free",)])
@pytest.mark.parametrize("choices", [{}, {"adam.epsilon": "textbook"}, {"gradient.weights": "after_update"}], ids=str)
def test_asked_ahead_a_candidate_answers_the_same(choices, lanes, monkeypatch):
    monkeypatch.setattr("parity.lockstep.CHUNK_STEPS", 4)
    beside, after = Asked(choices, beside=True), Asked(choices, beside=False)
    found, wanted = (pairs_of(LoadedSide("asked", side), lanes) for side in (beside, after))
    assert len(found) == 5
    assert_same(found, wanted)
    assert {thread is threading.main_thread() for thread in after.threads} == {True}
    main = [thread is threading.main_thread() for thread in beside.threads]
    assert (main.count(False), main.count(True)) == (5 * ("local" in lanes), 5 * ("free" in lanes))


def test_somebody_s_own_is_asked_one_thing_at_a_time(monkeypatch):
    """What is known of the built-in network need not hold for what was made of it."""
    monkeypatch.setattr("parity.lockstep.CHUNK_STEPS", 4)
    side = Asked({}, beside=True)
    assert_same(
        pairs_of(LoadedSide("asked", side, Guard("asked", None)), ("local", "free")),
        pairs_of(load_side("scratch"), ("local", "free")),
    )
    assert len({thread.name for thread in side.threads}) == 1
