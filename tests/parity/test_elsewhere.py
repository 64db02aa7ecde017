"""A side trained by another interpreter: the same answer as in this process, and plain words where it cannot be."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import parity
from parity.errors import ExitCode
from parity.verdict import Verdict

HERE = sys.executable
TABLE = {
    "data": {"source": "regression", "features": 3, "samples": 11},
    "layers": [
        {"units": 4, "activation": "tanh", "kernel_initializer": "he_normal", "kernel_regularizer": {"l2": 0.01}},
        {"units": 1},
    ],
    "loss": "mse",
    "optimizer": {"class_name": "SGD", "learning_rate": 0.1, "momentum": 0.5},
    "batch_size": 4,
    "steps": 5,
}
HALF = "scratch[l2.penalty=half]"
BARE = """
import os, sys, time
from pathlib import Path
import parity
from scratch_net.adapter import ScratchSide

class Bare:
    choices = {}
    def __init__(self):
        self.side = ScratchSide(self.choices)
    def environment(self):
        package = Path(parity.__file__)
        beside = " ".join(sorted(path.name for path in package.parent.parent.iterdir()))
        return {"harness": str(package.resolve()), "beside": beside, "process": os.getpid()}
    def start(self, experiment, weights):
        self.taken = 0
        self.side.start(experiment, weights)
    def step(self, x, y):
        self.taken += 1
        if self.taken == 4:
            self.fourth()
        return self.side.step(x, y)["loss"]
    def weights(self):
        return self.side.weights()
    def fourth(self):
        pass

class Half(Bare):
    choices = {"l2.penalty": "half"}

class Raises(Bare):
    def fourth(self):
        print("so far so good")
        raise RuntimeError("lost it")

class Killed(Bare):
    def fourth(self):
        os.kill(os.getpid(), 9)

class Hangs(Bare):
    def fourth(self):
        (Path(__file__).parent / "began").write_text(str(os.getpid()))
        time.sleep(60)
"""


@pytest.fixture
def bare(tmp_path, monkeypatch):
    """A file of sides that tell loss and weights; temporary files have a folder of their own."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "bare.py").write_text(BARE)
    return f"{tmp_path / 'bare.py'}:"


def said(result):
    """What has to be the same: the verdict, what came first, why, and what was compared."""
    first = result.first_divergence
    place = first and (first.step, first.key, first.lane, first.precision, first.index, first.candidate)
    return result.verdict, place, {str(cause) for cause in result.causes}, result.steps_compared, result.meaning


def diff(candidate="scratch", table=TABLE, **options):
    return parity.diff(table, **{"reference": "scratch", "candidate": candidate, "progress": False} | options)


@pytest.mark.parametrize("candidate", ["scratch", HALF, "scratch[init.fan=swapped]", "Bare", "Half", "Raises"])
def test_the_answer_is_that_of_one_process(candidate, bare):
    name = candidate if "scratch" in candidate else bare + candidate
    here, there = diff(name), diff(name, python=HERE)
    assert said(there) == said(here)
    assert there.exit_code == here.exit_code
    assert (there.crash and (there.crash.message, there.crash.step)) == (
        here.crash and (here.crash.message, here.crash.step)
    )


@pytest.mark.parametrize("choices", [{"l2.penalty": "half"}, {"init.fan": "swapped"}])
@pytest.mark.parametrize("candidate", [HALF, "scratch[init.fan=swapped]"])
def test_declared_differences_are_judged_alike(choices, candidate):
    assert said(diff(candidate, declare=choices, python=HERE)) == said(diff(candidate, declare=choices))


def test_both_begin_with_what_the_reference_draws(bare):
    """Which is not what the NumPy network draws by itself."""
    options = {"reference": "scratch[init.fan=swapped]", "python": HERE}
    result = diff(bare + "Bare", **options)
    assert [run.precision for run in result.runs] == ["float64", "float32"]
    assert result.verdict is Verdict.PARITY
    assert said(diff(bare + "Bare", reference_python=HERE, **options)) == said(result)


def test_weights_that_the_experiment_names_are_given_to_both(bare, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "given.npz", **{"dense/bias": np.array([1.0, 2.0, 3.0, 4.0])})
    for given in ({"dense/bias": [1, 2, 3, 4]}, "given.npz"):
        result = diff("scratch[init.fan=swapped]", TABLE | {"initial_weights": given}, python=HERE)
        assert result.first_divergence.key.tensor == "dense/kernel"  # drawn otherwise; the bias was not drawn
        assert diff(bare + "Bare", TABLE | {"initial_weights": given}, python=HERE).verdict is Verdict.PARITY


def test_examples_in_memory_are_handed_over():
    table = {key: value for key, value in TABLE.items() if key != "data"}
    x, y = np.random.default_rng(0).normal(size=(2, 11, 3))
    here, there = (parity.diff(table, x, y[:, :1], reference="scratch", candidate=HALF, python=python, progress=False)
                   for python in (None, HERE))  # fmt: skip
    assert said(here) == said(there)
    assert there.verdict is Verdict.DIVERGED


def test_it_is_said_who_was_trained_by_what_with_this_very_package(bare):
    result = diff(bare + "Bare", python=HERE, reference_python=HERE)
    assert (result.reference, result.candidate) == (f"scratch ({HERE})", f"{bare}Bare ({HERE})")
    assert result.environment["harness (candidate)"] == str(Path(parity.__file__).resolve())
    assert result.environment["beside (candidate)"] == "keras_ref parity scratch_net"
    assert result.environment["process (candidate)"] != str(os.getpid())
    for role in ("reference", "candidate"):
        assert result.environment[f"numpy ({role})"] == np.__version__
    assert "does not replay" in result.runs[0].judge.missing["local lane"]
    assert "not drawn by the candidate" in result.runs[0].judge.missing["initial weights"]


@pytest.mark.usefixtures("bare")
def test_a_module_of_the_current_folder_is_found_there_as_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    assert diff("bare:Bare", python=HERE).verdict is Verdict.PARITY


def test_traces_are_removed_or_kept(bare, tmp_path):
    temporary = tmp_path / "temporary"
    diff(HALF, python=HERE)
    assert not list(temporary.iterdir())
    result = diff(HALF, python=HERE, reference_python=HERE, keep_traces=tmp_path / "kept")
    assert not list(temporary.iterdir())
    again = parity.compare(tmp_path / "kept" / "reference", tmp_path / "kept" / "candidate", progress=False)
    assert said(again) == said(result)
    with pytest.raises(parity.UsageError, match="there is a trace already"):
        diff(HALF, python=HERE, reference_python=HERE, keep_traces=tmp_path / "kept")
    with pytest.raises(parity.UsageError, match="nothing is recorded"):
        diff(HALF, keep_traces=tmp_path / "more")


def test_what_fails_there_is_told_here_with_what_came_before(bare, capfd):
    result = diff(bare + "Raises", python=HERE)
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert (result.steps_compared, result.crash.step) == (3, 4)
    assert "bare.py:Raises raised RuntimeError in step() at step 4: lost it" in result.crash.message
    assert capfd.readouterr().err == "so far so good\n"
    late = diff(bare + "Hangs", python=HERE, timeout=0.5)
    assert (late.steps_compared, late.exit_code) == (3, ExitCode.SIDE_CRASHED)
    assert "did not return within 0.5 s" in late.crash.message


def test_a_process_that_is_killed_takes_nobody_along(bare):
    result = diff(bare + "Killed", python=HERE)
    assert result.crash.message == f"{bare}Killed ended its process, {HERE}, by SIGKILL"
    assert (result.exit_code, result.verdict) == (ExitCode.SIDE_CRASHED, Verdict.CANNOT_JUDGE)
    assert (result.steps_compared, result.crash.step) == (2, 3)  # of whole chunks: batches of another size begin one
    with pytest.raises(parity.SideError, match=r"Killed ended its process, .*, by SIGKILL"):
        diff(bare + "Killed", TABLE | {"batch_size": 11}, python=HERE)  # nothing was whole yet


@pytest.mark.parametrize(
    ("candidate", "message"),
    [("nosuch.py:Net", "no such file"), ("scratch[l2.penalty=haff]", "'half'"), (object(), "is an object of this")],
)
def test_what_the_other_process_cannot_use_is_said(candidate, message):
    with pytest.raises(parity.UsageError, match=message):
        diff(candidate, python=HERE)


def test_a_trace_is_not_trained(tmp_path):
    parity.record(TABLE, side="scratch", out=tmp_path / "trace", progress=False)
    with pytest.raises(parity.UsageError, match="is a trace, which nobody trains"):
        diff(str(tmp_path / "trace"), python=HERE)


@pytest.fixture
def poor(tmp_path):
    """An interpreter that has nothing but itself."""
    subprocess.run([HERE, "-m", "venv", "--without-pip", tmp_path / "poor"], check=True)
    return tmp_path / "poor" / "bin" / "python"


def test_an_interpreter_that_lacks_something_is_told_what(poor, monkeypatch):
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(
        parity.UsageError, match=r"has no click, numpy, pydantic, rich, .*: .* -m pip install click"
    ) as told:
        diff(reference_python=poor)
    assert str(told.value).startswith(f"--reference-python {poor}: ")


def test_libraries_of_this_interpreter_are_not_shown_to_another(poor, monkeypatch):
    monkeypatch.setattr("parity.elsewhere.NEEDED", ())
    monkeypatch.delenv("PYTHONPATH", raising=False)
    with pytest.raises(parity.UsageError, match="No module named 'click'"):
        diff(python=poor)


def script(path, text):
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo Python 3.8.18", r"is Python 3.8.18; keras-parity needs 3.11 or newer. .*docs/trace-format.md"),
        ("echo hello", "is no Python that can be asked: hello"),
        ("echo wrong >&2; exit 3", "is no Python that can be asked: wrong"),
    ],
)
def test_what_is_no_python_is_said(text, message, tmp_path):
    with pytest.raises(parity.UsageError, match=message):
        diff(python=script(tmp_path / "python", text))


def test_what_cannot_be_started_is_said(tmp_path, poor):
    with pytest.raises(parity.UsageError, match=r"--python .*nowhere: cannot be started: No such file"):
        diff(python=tmp_path / "nowhere")
    with pytest.raises(parity.UsageError, match=f"did you mean {poor}"):
        diff(python=poor.parent.parent)


def ended(process):
    """Gone, or waiting for somebody to ask how it ended."""
    try:
        return psutil.Process(process).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL], ids=["ctrl-c", "kill -9"])
@pytest.mark.usefixtures("bare")
def test_what_ends_this_process_ends_the_other_too(tmp_path, how):
    words = [HERE, "-m", "parity", "diff", "experiment.json", "--reference", "scratch", "--candidate", "bare.py:Hangs"]
    (tmp_path / "experiment.json").write_text(parity.load_experiment(TABLE).model_dump_json())
    root = Path(parity.__file__).parent.parent
    environment = os.environ | {"TMPDIR": str(tmp_path / "temporary"), "PYTHONPATH": str(root)}
    with subprocess.Popen([*words, "--python", HERE], cwd=tmp_path, env=environment, stderr=subprocess.PIPE) as process:
        until = time.monotonic() + 60
        while not (tmp_path / "began").exists() or not (tmp_path / "began").read_text():
            assert time.monotonic() < until
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        process.send_signal(how)
        killed = how == signal.SIGKILL
        assert process.wait(30) == (-signal.SIGKILL if killed else ExitCode.INTERRUPTED)
        assert process.stderr.read().decode().strip() == ("" if killed else "parity: interrupted")
    until = time.monotonic() + 20  # it was told to end, and is ending
    while not ended(int((tmp_path / "began").read_text())):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert killed or not list((tmp_path / "temporary").iterdir())


def test_what_a_side_reads_is_not_what_tells_it_to_end(bare, tmp_path):
    (tmp_path / "bare.py").write_text(
        f"{BARE}\n    def read(self): pass\n\nclass Reads(Bare):\n    def fourth(self): assert sys.stdin.read() == ''\n"
    )
    assert diff(f"{bare}Reads", python=HERE).crash is None


def test_a_recording_that_begins_as_another_says_what_the_side_draws(tmp_path):
    begun = tmp_path / "begun"
    parity.record(TABLE, side="scratch", out=begun, progress=False)
    parity.record(TABLE, side="scratch[init.fan=swapped]", out=tmp_path / "other", start_from=begun, progress=False)
    for precision in ("float64", "float32"):
        stored = [
            np.load(tmp_path / name / precision / "start.npz")["weights:dense/kernel"] for name in ("begun", "other")
        ]
        drawn = np.load(tmp_path / "other" / precision / "drawn.npz")["weights:dense/kernel"]
        assert stored[0].tobytes() == stored[1].tobytes() != drawn.tobytes()
    result = parity.compare(begun, tmp_path / "other", progress=False)
    assert (result.verdict, result.first_divergence.step) == (Verdict.DIVERGED, 0)
    assert "init.fan=swapped" in {str(cause) for cause in result.causes}
    np.savez(tmp_path / "other" / "float64" / "drawn.npz", **{"weights:dense/kernel": np.zeros(2)})
    with pytest.raises(parity.UsageError, match=r"drawn\.npz: 'weights:dense/kernel' is <f8 of shape"):
        parity.compare(begun, tmp_path / "other", progress=False)
    with pytest.raises(parity.UsageError, match="no weights to begin with in float32"):
        parity.record(
            TABLE,
            side="scratch",
            out=tmp_path / "third",
            start_from=begun / "float64",
            precision="float32",
            progress=False,
        )
