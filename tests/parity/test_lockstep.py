"""What both sides are given, and what is taken of what they say."""

from __future__ import annotations

import itertools
import threading

import numpy as np
import pytest

from parity.config import validate
from parity.data import Dataset, load_dataset
from parity.lockstep import chunk_length, draw_weights, lockstep, start_weights
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


@pytest.mark.parametrize(
    ("sizes", "batch_size", "float32", "float64"),
    [  # a step is 5 numbers for each weight, and for each example the inputs and 4 numbers for each unit
        ((3, 1), 4, 256, 256),
        ((64, 30, 10), 32, 56, 40),  # 18 468 numbers a step: 4 MiB are 56 and 28 steps
        ((784, 30, 10), 32, 40, 40),  # 149 508: 40 steps of either fit 64 MiB
        ((784, 512, 512, 10), 128, 4, 2),  # 3 978 290: as many as fit 64 MiB
        ((1024, 2048, 2048, 10), 256, 1, 1),
    ],
    ids=str,
)
def test_a_chunk_is_as_long_as_pays_and_as_memory_allows(sizes, batch_size, float32, float64):
    features, *units = sizes
    layers = [{"units": one} for one in units]
    given = {"batch_size": batch_size, "layers": layers, "data": EXPERIMENT["data"] | {"features": features}}
    experiment = validate(EXPERIMENT | given)
    shapes = {f"{at}": (a + 1, b) for at, (a, b) in enumerate(itertools.pairwise(sizes))}
    for precision, steps in (("float32", float32), ("float64", float64)):
        x, y = np.zeros((512, features), precision), np.zeros((512, 1), precision)
        weights = {name: np.zeros(shape, precision) for name, shape in shapes.items()}
        assert chunk_length(experiment, Dataset(x, y), weights) == steps


class Asked(ScratchSide):
    """The NumPy network, and the threads in which it was asked for replays."""

    def __init__(self, choices, *, beside):
        super().__init__(choices)
        self.replays_beside = beside
        self.threads = []

    def replay(self, reference):
        self.threads.append(threading.current_thread())
        return super().replay(reference)


class Alternates:
    """The NumPy network step by step, with a loss of another type at every other step: each is a part of its own."""

    def __init__(self):
        self.network, self.taken = ScratchSide(), 0

    def start(self, experiment, weights):
        self.network.start(experiment, weights)

    def initial_state(self):
        return self.network.initial_state()

    def step(self, x, y):
        said, self.taken = self.network.step(x, y), self.taken + 1
        return said | {"loss": np.array(said["loss"], np.float64 if self.taken % 2 else np.float32)}

    def weights(self):
        return self.network.weights()


def pairs_of(candidate, lanes, reference=None):
    """What lockstep yields of five chunks, copied: a pair is valid for two of them, and held against what it became."""
    described = validate(EXPERIMENT | {"steps": 19, "optimizer": "adam", "loss": "mse", "metrics": ["accuracy"]})
    dataset, scratch = load_dataset(described).astype("float32"), load_side("scratch")
    weights = start_weights(described, [draw_weights(scratch, described, 3, "float32")], 3, "float32")
    reference = reference or scratch
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


@pytest.mark.parametrize("guard", [None, Guard("alternates", None)], ids=["built in", "somebody's own"])
def test_a_reference_that_comes_in_parts_is_answered_part_by_part(guard, monkeypatch):
    """More parts than a candidate keeps answers for."""
    monkeypatch.setattr("parity.lockstep.CHUNK_STEPS", 19)
    beside, after = (
        pairs_of(
            LoadedSide("asked", Asked({}, beside=flag)),
            ("local", "free"),
            LoadedSide("alternates", Alternates(), guard),
        )
        for flag in (True, False)
    )
    assert len(beside) == 19
    assert all(local for _, _, local, _ in beside)
    assert_same(beside, after)
