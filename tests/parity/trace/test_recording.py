"""Recording: what is on disk, whatever happened in between."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from parity.config import validate
from parity.data import Schedule, load_dataset
from parity.errors import SideError, UsageError
from parity.lockstep import Walk, batches, start_weights
from parity.protocol import Key, keyed, word_of
from parity.recording import record
from parity.sides import load_side
from parity.trace import open_traces
from parity.trace.keep import Keep

EXPERIMENT = {
    "data": {"source": "regression", "features": 3, "samples": 11},
    "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}}, {"units": 1}],
    "loss": "mse",
    "metrics": ["accuracy"],
    "optimizer": "adam",
    "batch_size": 4,
    "steps": 23,
    "precision": "float64",
}


@pytest.fixture
def experiment():
    return validate(EXPERIMENT)


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_trace_is_what_the_side_said_bit_for_bit(tmp_path, precision):
    experiment = validate(EXPERIMENT | {"precision": precision})
    record(experiment, "scratch", tmp_path / "out")
    (trace,) = open_traces(tmp_path / "out").values()
    dataset = load_dataset(experiment).astype(precision)
    side = load_side("scratch")
    weights = start_weights(experiment, [side.side.initial_weights(experiment, 3, precision)], 3, precision)
    walk = Walk(experiment, side, dataset, weights)
    assert {key: array.tobytes() for key, array in trace.start().items()} == {
        key: array.tobytes() for key, array in walk.before.items()
    }
    told = {file.first_step: trace.records(file) for file in trace.manifest.files}
    assert sum(map(len, told.values())) == 23
    for records in told.values():
        for chunk in Schedule.of(experiment, len(dataset)).chunks(1, records.first_step, records.last_step):
            (live,), _ = walk.take(chunk, *batches(dataset, chunk))
            assert live.arrays.keys() == records.arrays.keys()
            for key, array in live.arrays.items():
                at = chunk.first_step - records.first_step
                assert records.arrays[key][at].tobytes() == array[0].tobytes()
                assert records.arrays[key].dtype == array.dtype


def test_numpy_and_json_alone_read_it(tmp_path, experiment):
    record(experiment, "scratch", tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert manifest["format_version"] == 1
    assert sum(file["steps"] for file in manifest["files"]) == 23
    for file in manifest["files"]:
        with np.load(tmp_path / file["name"], allow_pickle=False) as stored:
            assert set(stored.files) == set(manifest["tensors"])
            for name, tensor in manifest["tensors"].items():
                batch = stored["x"].shape[1]
                shape = [batch if size == "batch" else size for size in tensor["shape"]]
                assert (stored[name].dtype.str, list(stored[name].shape)) == (tensor["dtype"], [file["steps"], *shape])


def test_names_of_arrays_and_keys_are_one_to_one(experiment):
    said = {"loss": 1, "loss/data": 1, "penalty": {"dense/kernel": 1}, "output": {"dense": 1}, "x": 1}
    said |= {"gradient/data": {"dense/kernel": 1}, "weights": {"dense/bias": 1}, "metrics": {"accuracy": 1}}
    said |= {"optimizer": {"dense/kernel/momentum": 1, "optimizer/iterations": 1}, "gradient": {"dense/output": 1}}
    for word, group in said.items():
        for name in group if isinstance(group, dict) else [""]:
            (key,) = keyed({word: {name: 1} if name else 1}, "dense")
            assert word_of(key) == (word, name)


@pytest.mark.parametrize(
    ("keep", "steps"),
    [
        (Keep(every=10), [1, 11, 21]),
        (Keep(around=2), [1, 2, 3, 4, 5]),
        (Keep(around=22), [19, 20, 21, 22, 23]),
        (Keep(), list(range(1, 24))),
    ],
    ids=str,
)
def test_only_what_is_asked_for_is_kept_with_the_state_it_began_with(tmp_path, experiment, keep, steps):
    record(experiment, "scratch", tmp_path / "whole")
    record(experiment, "scratch", tmp_path / "some", keep=keep)
    (whole,), (some,) = (open_traces(tmp_path / name).values() for name in ("whole", "some"))
    states, last = {1: whole.start()}, {}
    for file in whole.manifest.files:
        records = whole.records(file)
        for at in range(len(records)):
            last[file.first_step + at] = records.step(at)
            states[file.first_step + at + 1] = {
                k: a for k, a in last[file.first_step + at].items() if k.phase == "update"
            }
    kept = []
    for file in some.manifest.files:
        records = some.records(file)
        if file.first_step - 1 not in kept and file.first_step > 1:
            before = states[file.first_step]
            assert {k: a.tobytes() for k, a in records.before.items()} == {k: a.tobytes() for k, a in before.items()}
        for at in range(len(records)):
            kept.append(file.first_step + at)
            assert {k: a.tobytes() for k, a in records.step(at).items()} == {
                k: a.tobytes() for k, a in last[kept[-1]].items()
            }
    assert kept == steps


def test_going_on_ends_with_the_same_bytes_from_any_chunk_on(tmp_path, experiment):
    record(experiment, "scratch", tmp_path / "whole")
    manifest = json.loads((tmp_path / "whole" / "manifest.json").read_text())
    for finished in range(len(manifest["files"]) + 1):
        record(experiment, "scratch", tmp_path / "cut", resume=True)  # of nothing, or of a finished one
        cut = json.loads((tmp_path / "cut" / "manifest.json").read_text())
        for file in cut["files"][finished + 1 :]:  # one is finished and not named yet
            (tmp_path / "cut" / file["name"]).unlink()
        cut["files"] = cut["files"][:finished]
        (tmp_path / "cut" / "manifest.json").write_text(json.dumps(cut, indent=1) + "\n")
        record(experiment, "scratch", tmp_path / "cut", resume=True)
        assert content(tmp_path / "cut") == content(tmp_path / "whole")


def test_what_cannot_be_gone_on_with_is_said(tmp_path, experiment):
    record(experiment, "scratch", tmp_path)
    with pytest.raises(UsageError, match="there is a trace already"):
        record(experiment, "scratch", tmp_path)
    with pytest.raises(UsageError, match="was recorded with another side"):
        record(experiment, "scratch[l2.penalty=half]", tmp_path, resume=True)
    with pytest.raises(UsageError, match="another experiment: steps: 23 then, 24 now"):
        record(validate(EXPERIMENT | {"steps": 24}), "scratch", tmp_path, resume=True)
    with pytest.raises(UsageError, match="another keep"):
        record(experiment, "scratch", tmp_path, resume=True, keep=Keep(every=2))
    with np.load(tmp_path / "steps-000000001.npz") as stored:
        arrays = {name: np.array(array) for name, array in stored.items()}
    arrays["loss"][0] = np.nextafter(arrays["loss"][0], 1)
    np.savez(tmp_path / "steps-000000001.npz", **arrays)
    with pytest.raises(
        UsageError, match=r"steps-000000001.npz: loss in steps 1 to 2 does not come out as it was recorded"
    ):
        record(experiment, "scratch", tmp_path, resume=True)


SIDES = """
import numpy as np
from scratch_net.adapter import ScratchSide

class Changes(ScratchSide):
    def steps(self, x, y):
        said = dict(super().steps(x, y))
        self.count = getattr(self, "count", 0) + 1
        return said if self.count < 3 else {word: value for word, value in said.items() if word != "loss/data"}

class Lies(ScratchSide):
    def steps(self, x, y):
        return {**super().steps(x, y), "x": x + 1}

class Bare:
    def start(self, experiment, weights): self.w = {name: w.copy() for name, w in weights.items()}
    def step(self, x, y): return 1.5
    def weights(self): return self.w
"""


def test_strangers(tmp_path, experiment):
    (tmp_path / "sides.py").write_text(SIDES)
    with pytest.raises(SideError, match=r"told nothing as loss loss \(data\)"):
        record(experiment, f"{tmp_path}/sides.py:Changes", tmp_path / "changes")
    assert open_traces(tmp_path / "changes")["float64"].last_step > 0
    with pytest.raises(SideError, match="tells another x than it"):
        record(experiment, f"{tmp_path}/sides.py:Lies", tmp_path / "lies")
    record(experiment, f"{tmp_path}/sides.py:Bare", tmp_path / "bare")  # its weights are drawn as Keras draws them
    record(experiment, "scratch", tmp_path / "scratch")
    bare, scratch = (open_traces(tmp_path / name)["float64"] for name in ("bare", "scratch"))
    key = Key("update", "dense/kernel")
    assert bare.start()[key].tobytes() == scratch.start()[key].tobytes()


FAILS = """
import time
from pathlib import Path
from scratch_net.adapter import ScratchSide

class Fails:
    def __init__(self): self.side = ScratchSide({})
    def start(self, experiment, weights):
        self.side.start(experiment, weights)
        self.taken, self.at = 0, int((Path(__file__).parent / "at").read_text())
    def step(self, x, y):
        self.taken += 1
        if self.taken == self.at:
            raise OSError("disk full")
        while self.taken == -self.at:
            time.sleep(0.01)
        return self.side.step(x, y)["loss"]
    def weights(self): return self.side.weights()
"""


@pytest.mark.parametrize("keep", [Keep(), Keep(every=3), Keep(around=6)], ids=str)
def test_what_a_side_took_before_it_failed_is_kept_and_gone_on_with(tmp_path, experiment, keep):
    (tmp_path / "fails.py").write_text(FAILS)
    side, folder = f"{tmp_path}/fails.py:Fails", tmp_path / "trace"
    for failing, message in ((6, "disk full"), (-9, "did not return within"), (2, "disk full")):
        (tmp_path / "at").write_text(str(failing))
        with pytest.raises(SideError, match=message):
            record(experiment, side, folder, keep=keep, resume=failing != 6, timeout=0.5)
        reached = {6: 5, -9: 8, 2: 8}[failing]  # what is there stays there
        last = max(step for first, last in keep.spans(23) for step in range(first, last + 1) if step <= reached)
        assert open_traces(folder)["float64"].last_step == last
    (tmp_path / "at").write_text("99")
    record(experiment, side, folder, keep=keep, resume=True)
    record(experiment, side, tmp_path / "whole", keep=keep)
    cut, whole = (open_traces(path)["float64"] for path in (folder, tmp_path / "whole"))
    assert cut.spans == whole.spans
    steps = [[trace.records(f).step(i) for f in trace.manifest.files for i in range(f.steps)] for trace in (cut, whole)]
    for one, other in zip(*steps, strict=True):
        assert {key: array.tobytes() for key, array in one.items()} == {k: a.tobytes() for k, a in other.items()}


WIDENS = """
import numpy as np
from scratch_net.adapter import ScratchSide

class Widens:
    def start(self, experiment, weights):
        self.side, self.taken = ScratchSide({}), 0
        self.side.start(experiment, weights)
    def step(self, x, y):
        self.taken += 1
        return self.side.step(x, y)["loss"]
    def weights(self):
        weights = dict(self.side.weights())
        if self.taken >= 4:
            weights["dense/bias"] = weights["dense/bias"] * np.float64(1)
        return weights
"""


def test_a_trace_has_one_type_for_each_tensor(tmp_path):
    """The steps before another one stay there."""
    (tmp_path / "widens.py").write_text(WIDENS)
    told = "at step 4: told float64 as update dense/bias in the float32 run, and float32 in the steps before: NumPy"
    with pytest.raises(SideError, match=told) as failed:
        record(validate(EXPERIMENT | {"precision": "float32"}), f"{tmp_path}/widens.py:Widens", tmp_path / "trace")
    assert failed.value.step == 4
    trace = open_traces(tmp_path / "trace")["float32"]
    assert trace.last_step == 3
    assert all(
        array.dtype != np.float64 for file in trace.manifest.files for array in trace.records(file).arrays.values()
    )


IDLE = """
from scratch_net.adapter import ScratchSide

class Idle(ScratchSide):
    def steps(self, x, y):
        said = super().steps(x, y)
        return {"loss": said["loss"], "weights": said["weights"]}
"""


def test_slots_of_which_no_step_tells_do_not_spoil_the_trace(tmp_path, experiment):
    (tmp_path / "idle.py").write_text(IDLE)
    side, folder = f"{tmp_path}/idle.py:Idle", tmp_path / "trace"
    record(experiment, side, folder)
    before = content(folder)
    (trace,) = open_traces(folder).values()
    assert {key.tensor for key in trace.start()} == {"dense/kernel", "dense/bias", "dense_1/kernel", "dense_1/bias"}
    record(experiment, side, folder, resume=True)
    assert content(folder) == before


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT to send to one process")
def test_an_interrupt_leaves_what_was_recorded(tmp_path):
    (tmp_path / "experiment.json").write_text(json.dumps(EXPERIMENT | {"steps": 10**6}))
    command = [sys.executable, "-m", "parity", "record", "experiment.json", "--side", "scratch", "--out", "trace"]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob("trace/steps-*")) and process.poll() is None:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Traceback" not in err
    (trace,) = open_traces(tmp_path / "trace").values()
    assert f"recorded is {trace.last_step} steps in trace. --resume goes on" in err
    for file in trace.manifest.files:
        trace.records(file)


@pytest.mark.parametrize(
    ("said", "untold"),
    [
        ("{}", "dense/kernel, dense/bias, dense_1/kernel, dense_1/bias"),
        ("{'dense/kernel': self.w['dense/kernel']}", "dense/bias, dense_1/kernel, dense_1/bias"),
    ],
)
def test_a_side_without_weights_is_refused_at_its_first_step(tmp_path, experiment, said, untold):
    class LossAlone:
        taken = 0

        def start(self, _, weights):
            self.w = weights

        def step(self, *_):
            LossAlone.taken += 1
            return 1.5

        def weights(self):
            return eval(said)  # noqa: S307  # of the table above

    with pytest.raises(UsageError, match=f"LossAlone: weights\\(\\) leaves out {untold}"):
        record(experiment, LossAlone, tmp_path / "trace")
    assert LossAlone.taken == 1
