"""Somebody else's code: its failures are told as its own, and nothing compared until then is lost."""

from __future__ import annotations

import io
import json
import random
import re
import subprocess
import sys
import time

import numpy as np
import pytest

from parity.asking import replay, start_side
from parity.config import validate
from parity.diagnosis.explain import NEVER_UPDATED, OTHER_WEIGHTS
from parity.errors import ExitCode, SideError
from parity.judge import BEGINS, PROMOTED
from parity.protocol import Key, Records
from parity.report import as_json, markdown, terminal
from parity.run import diff
from parity.sides import load_side
from parity.verdict import Kind, Verdict
from tests.parity.strangers import TABLE, judged, line_of, network

SHAPES = {"dense/kernel": (4, 3), "dense/bias": (3,), "dense_1/kernel": (3, 2), "dense_1/bias": (2,)}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.py"


def reports(result) -> str:
    """All of them, as text: none may fail, whatever is missing."""
    stream = io.StringIO()
    for report in (terminal, markdown, as_json):
        report.write(result, stream)
    return stream.getvalue()


def test_as_it_is_it_trains_as_it_should(path):
    network(path)
    result = judged(path)
    assert result.verdict is Verdict.PARITY
    assert not result.remarks
    assert result.crash is None


# What it fails with ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2, 5, 7])
def test_a_crash_keeps_the_steps_before_it(path, step):
    source = network(path, step=f"if self.taken == {step}: raise KeyError('no luck')")
    result = judged(path)
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert (result.crash.step, result.steps_compared) == (step, step - 1)
    assert f"raised KeyError in step() at step {step}: 'no luck'" in result.crash.message
    assert f"({path}, line {line_of('no luck', source)})" in result.crash.message
    assert result.crash.message in reports(result).replace("\n              ", " ")


def test_a_crash_of_the_reference_too(path):
    network(path, step="if self.taken == 4: raise KeyError('no luck')")
    result = diff(validate(TABLE), reference=f"{path}:Net", candidate="scratch")
    assert (result.crash.step, result.steps_compared) == (4, 3)
    reports(result)


def test_what_a_library_raises_is_told_at_the_line_that_called_it(path):
    source = network(path, step="if self.taken == 2: np.linalg.inv(np.zeros((2, 2)))")
    assert f"Singular matrix ({path}, line {line_of('linalg', source)})" in judged(path).crash.message


def test_what_cannot_be_called_is_told_where_it_is_defined(path):
    source = network(path).replace("def step(self, x, y)", "def step(self, x)")
    path.write_text(source)
    message = judged(path).crash.message
    assert f"takes 2 positional arguments but 3 were given ({path}, line {line_of('def step', source)})" in message


def test_a_divergence_before_a_crash_is_still_told_and_explained(path):
    network(path, step="if self.taken == 4: raise KeyError('no luck')", told="loss / 2")
    result = judged(path)
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert result.verdict is Verdict.DIVERGED
    assert result.first_divergence.step == 1
    assert result.diagnosis.causes
    assert "a side failed at step 4" in reports(result)


def test_a_crash_in_one_precision_keeps_the_other(path):
    network(path, start="self.narrow = self.W[0].dtype == np.float32", step="if self.narrow: raise KeyError('no luck')")
    result = judged(path, precision="both")
    assert [run.judge.steps for run in result.runs] == [7, 0]
    assert result.exit_code is ExitCode.SIDE_CRASHED
    reports(result)


def test_an_interrupt_in_a_step_keeps_the_steps_before_it(path):
    network(path, step="if self.taken == 5: raise KeyboardInterrupt")
    result = judged(path)
    assert result.exit_code is ExitCode.INTERRUPTED
    assert result.steps_compared == 4


@pytest.mark.parametrize(
    "raised",
    [
        "GeneratorExit('no luck')",
        "__import__('asyncio').CancelledError('no luck')",
        "__import__('pytest').fail.Exception('no luck')",
        "type('Mine', (BaseException,), {})('no luck')",
    ],
)
@pytest.mark.parametrize("timeout", [None, 60.0])
def test_what_no_exception_is_crashes_the_side_as_well(path, raised, timeout):
    """And ends neither the run nor, with the exit code of a traceback, as a divergence."""
    network(path, step=f"if self.taken == 4: raise {raised}")
    result = judged(path, timeout=timeout)
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert (result.crash.step, result.steps_compared) == (4, 3)
    assert re.search(r"raised \w+ in step\(\) at step 4: no luck \(.*net.py, line \d+\)", result.crash.message)


@pytest.mark.parametrize("options", [[], ["--timeout", "60"]])
def test_a_side_that_ends_the_process_ends_itself_alone(path, options):
    """With the exit code of a parity, for one. In a process of its own: it may end in earnest."""
    forked = "(lambda child: child or os._exit(7))(os.fork())"
    source = network(
        path,
        start=f"assert os.waitstatus_to_exitcode(os.waitpid({forked}, 0)[1]) == 7",
        step="if self.taken == 4: os._exit(0)",
    )
    path.write_text(f"import os\n{source}")
    experiment = path.with_suffix(".json")
    experiment.write_text(json.dumps(TABLE))
    command = [sys.executable, "-m", "parity", "diff", experiment, "--reference", "scratch"]
    ended = subprocess.run(
        [*command, "--candidate", f"{path}:Net", *options], capture_output=True, text=True, check=False
    )
    assert ended.returncode == ExitCode.SIDE_CRASHED
    assert re.search(r"raised SystemExit in\s+step\(\) at step 4: os\._exit\(0\)", ended.stderr), ended.stderr


GUARDED = """
import os, threading, time
from parity.errors import SideError
from parity.sides.guard import Guard
def told(function, timeout=None):
    try:
        Guard("mine", timeout).call(function, (), "here")
    except (SideError, SystemExit) as error:
        print(type(error).__name__)
"""


@pytest.mark.parametrize(
    ("code", "ended", "printed"),
    [
        ("told(lambda: os._exit(5))", 0, "SystemExit"),
        ("told(lambda: told(lambda: None) or os._exit(5))", 0, "SystemExit"),  # a call within a call
        ("told(lambda: None); os._exit(6)", 6, ""),
        ("told(lambda: time.sleep(0)); from os import _exit; told(lambda: _exit(5)); _exit(7)", 7, "SystemExit"),
        # A watchdog of somebody else's ends the process as it must.
        ("told(lambda: None); threading.Timer(0.2, os._exit, (8,)).start(); told(lambda: time.sleep(20))", 8, ""),
        # A call that was left behind ends nothing when it comes to it.
        (
            "def late():\n    try: time.sleep(1)\n    finally: os._exit(9)\ntold(late, 0.2); time.sleep(2)",
            0,
            "SideError",
        ),
    ],
)
def test_only_the_thread_of_a_call_cannot_end_the_process(code, ended, printed):
    command = [sys.executable, "-u", "-c", GUARDED + code]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (ended, printed), run.stderr


@pytest.mark.parametrize("exits", ["os._exit(5)", "raise SystemExit(0)", "raise KeyError('none')", "return 3"])
def test_an_environment_that_cannot_be_told_is_a_remark(path, exits):
    network(path)
    path.write_text(f"import os\n{path.read_text()}\n    def environment(self):\n        {exits}\n")
    result = judged(path)
    assert result.verdict is Verdict.PARITY
    assert "its environment is not told" in result.remarks
    reports(result)


def test_conventions_that_end_the_process_are_a_crash(path):
    network(path)
    path.write_text(f"{path.read_text()}\n    def with_conventions(self, choices):\n        raise SystemExit(0)\n")
    with pytest.raises(SideError, match=r"raised SystemExit in with_conventions\(\)"):
        load_side(f"{path}:Net[l2.penalty=half]")


def test_what_it_writes_into_the_experiment_by_force_nobody_else_sees(path):
    """Nested parts, too: what else is started from it, to explain the difference, trains as it says."""
    wrong = "object.__setattr__(experiment.optimizer, 'learning_rate', 1.5)"
    network(path, start=f"{wrong}; self.rate = experiment.optimizer.learning_rate")
    result = diff(validate(TABLE), reference="scratch", candidate=f"{path}:Net")
    assert result.experiment.optimizer.learning_rate == TABLE["optimizer"]["learning_rate"]
    assert result.verdict is Verdict.DIVERGED
    assert [str(cause) for cause in result.causes] == ["learning_rate.scale=3"]


def test_a_method_of_its_own_makes_no_recording_of_it(path):
    network(path)
    path.write_text(f"{path.read_text()}\n    def spans(self):\n        return 'bridges'\n    pass_over = spans\n")
    result = diff(validate(TABLE), reference="scratch", candidate=f"{path}:Net")
    assert result.verdict is Verdict.PARITY


@pytest.mark.parametrize("never", ["while True: pass", "time.sleep(1000)"])
def test_a_step_that_never_returns(path, never):
    network(path, step=f"if self.taken == 3:\n            {never}")
    began = time.monotonic()
    result = judged(path, timeout=0.3)
    assert time.monotonic() - began < 20
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert (result.crash.step, result.steps_compared) == (3, 2)
    assert "did not return within 0.3 s (--timeout) in step() at step 3" in result.crash.message


def test_a_timeout_that_is_kept_changes_nothing(path):
    network(path)
    assert judged(path).frame.equals(judged(path, timeout=60.0).frame)


@pytest.mark.parametrize("step", [2, 4])
def test_a_type_that_changes_is_a_finding_and_leaves_the_other_precision_alone(path, step):
    """Under NumPy 2 a float64 scalar makes float64 arrays of float32 ones; in float64 it changes nothing."""
    network(path, step=f"if self.taken == {step}: self.b[1] = self.b[1] * np.float64(1)")
    result = judged(path, precision="both")
    assert (result.exit_code, result.crash, result.steps_compared) == (ExitCode.DIVERGED, None, 7)
    assert {run.precision: run.verdict for run in result.runs} == {
        "float64": Verdict.PARITY,
        "float32": Verdict.DIVERGED,
    }
    first = result.first_divergence
    assert (first.step, str(first.key), first.precision, first.kind) == (
        step,
        "update dense_1/bias",
        "float32",
        Kind.DTYPE,
    )
    told = "the candidate gave float64 of shape (2,), the reference float32 of shape (2,): " + PROMOTED
    assert (first.note, first.index) == (told, ())
    assert "keep scalars" in reports(result)
    assert "computes in another precision" in result.diagnosis.unable


@pytest.mark.parametrize(("told", "asked"), [("float16", ""), ("float32", "ask for --precision float32, or ")])
def test_a_precision_that_is_told_is_asked_for_only_where_it_can_be(path, told, asked):
    network(path, told=f"{{'loss': np.{told}(loss)}}")
    assert judged(path).diagnosis.unable == (
        f"the candidate tells loss as {told} in a float64 run: it computes in another precision; {asked}have it "
        "compute in the dtype of its weights"
    )


@pytest.mark.parametrize("lanes", [("local", "free"), ("free",)])
def test_types_that_change_and_change_back_are_each_judged_as_they_are(path, lanes):
    """Steps are taken many at a time, and none is held against another type than its own."""
    network(path, step="self.b[1] = self.b[1].astype(np.float64 if self.taken in (3, 4) else np.float32)")
    result = judged(path, precision="float32", lanes=lanes)
    (run,) = result.runs
    assert (result.first_divergence.step, run.judge.steps) == (3, 7)
    assert run.summaries["free", Key("update", "dense_1/bias")].steps == 5
    assert run.summaries["free", Key("update", "dense_1/kernel")].steps == 7


def test_a_reference_whose_type_changes(path):
    network(path, step="if self.taken == 3: self.b[1] = self.b[1] * np.float64(1)")
    result = diff(validate(TABLE | {"precision": "float32"}), reference=f"{path}:Net", candidate="scratch")
    assert (result.crash, result.steps_compared) == (None, 7)
    assert (result.first_divergence.step, result.first_divergence.kind) == (3, Kind.DTYPE)
    assert PROMOTED not in result.first_divergence.note


# What it tells -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("told", "step", "said"),
    [
        (
            "{'loss': loss, 'gradient': {'dens/kernel': gradients[0][0]}}",
            1,
            "returned a gradient named 'dens/kernel'; there are dense/kernel, .*; did you mean 'dense/kernel'?",
        ),
        (
            "{'loss': loss, 'output': {'dense_2': outputs[1]}}",
            1,
            "returned output of 'dense_2'.*did you mean 'dense_1'?",
        ),
        ("{'loss': loss, 'penalty': {'kernel': 0.0}}", 1, "returned a penalty named 'kernel'"),
        (
            "{'loss': loss, 'gradient': {'dense/kernel': gradients[0][0].T}}",
            1,
            r"gradient dense/kernel of shape \(3, 4\); expected \(4, 3\); it is transposed: .*\(inputs, units\)",
        ),
        (
            "{'loss': loss, 'output': outputs[2].T}",
            1,
            r"forward dense_1/output of shape \(2, 6\); expected \(6, 2\); it is transposed: .*\(batch, units\)",
        ),
        (
            "{'loss': loss, 'gradient': {'dense/output': outputs[1].T}}",
            1,
            r"gradient dense/output of shape \(3, 6\); expected \(6, 3\); it is transposed: .*\(batch, units\)",
        ),
        *(
            (f"{{'loss': loss, 'gradient': {{'dense/{called}': gradients[0][0]}}}}", 1, f"did you mean 'dense/{kind}'?")
            for called, kind in [("weight", "kernel"), ("weights", "kernel"), ("W", "kernel"), ("b", "bias")]
        ),
        ("np.array([[loss]])", 1, r"returned loss of shape \(1, 1\); expected \(\); .item\(\) makes it"),
        ("(error**2).mean(axis=0)", 1, r"of shape \(2,\).*one number for the whole batch"),
        (
            "{'loss': loss} if self.taken < 4 else {'loss': loss, 'loss/data': loss}",
            4,
            r"told an array of shape \(\) as loss loss \(data\) in the float64 run, and nothing in the steps before",
        ),
        (
            "{'loss': loss, 'metrics': {'error': np.zeros(self.taken // 5)}}",
            5,
            r"of shape \(1,\) as metrics error in the float64 run, and an array of shape \(0,\) in the steps before",
        ),
        ("'no number'", 1, "gave no array of numbers as loss"),
    ],
)
def test_what_cannot_be(path, told, step, said):
    network(path, told=told)
    result = judged(path)
    assert result.exit_code is ExitCode.SIDE_CRASHED
    assert (result.crash.step, result.steps_compared) == (step, step - 1)
    with pytest.raises(SideError, match=said):
        raise SideError(result.crash.message)


@pytest.mark.parametrize("method", ["replay", "retrace", "steps"])
@pytest.mark.parametrize(
    ("told", "said"),
    [
        ("None", "returned NoneType; expected a mapping"),
        ("{'gradients': {}}", "said 'gradients', which is not in the vocabulary: .*did you mean 'gradient'?"),
        ("{'loss': np.zeros(99)}", r"gave loss of shape \(99,\); expected \d steps as its first axis"),
        ("{'output': {'dense_2': np.zeros((len(given[0]), 6, 2))}}", "returned output of 'dense_2'"),
    ],
)
def test_what_another_method_than_step_told_wrong_names_that_method(path, method, told, said):
    """Else the mistake is looked for in step()."""
    network(path, weights=f"return named\n\n    def {method}(self, *given):\n        return {told}\n        named = 0")
    if method == "retrace":
        records = Records(1, {Key("batch", "x"): np.zeros((2, 6, 4))}, {})
        with pytest.raises(SideError) as raised:
            replay(validate(TABLE), load_side(f"{path}:Net"), records, "retrace")
        message = str(raised.value)
    else:
        message = judged(path).crash.message
    assert re.search(rf"at step 1: {method}\(\) {said}".replace("?", r"\?"), message)


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ("named = {name: w.T for name, w in named.items()}", r"\(3, 4\); expected \(4, 3\); it is transposed"),
        ("named['dense/bias'] = named['dense/bias'][:, None]", r"\(3, 1\); expected \(3,\); .ravel\(\)"),
        ("named['dense/kernal'] = named.pop('dense/kernel')", "'dense/kernal'.*did you mean 'dense/kernel'?"),
        ("named = list(named)", "returned list; expected name -> array"),
    ],
)
def test_weights_that_cannot_be_are_told_before_the_first_step(path, weights, said):
    network(path, weights=weights)
    result = judged(path)
    assert result.crash.step == 0
    with pytest.raises(SideError, match=said):
        raise SideError(result.crash.message)


def test_a_side_that_begins_with_other_weights(path):
    network(path, start="self.W = [0.1 * np.random.randn(*W.shape) for W in self.W]")
    result = judged(path)
    first = result.first_divergence
    assert (first.step, str(first.key), first.note) == (0, "update dense/kernel", BEGINS)
    assert not result.diagnosis.causes
    assert "trained from different weights" in result.diagnosis.unable
    assert result.meaning is None
    reports(result)


def test_square_weights_told_transposed_are_told_as_that(path):
    network(path, weights="named['dense/kernel'] = named['dense/kernel'].T")
    square = {"layers": [{"units": 4, "activation": "sigmoid"}, {"units": 2, "activation": "sigmoid"}]}
    first = judged(path, **square).first_divergence
    assert first.step == 0
    assert first.note.endswith("these are their transpose")


def test_weights_that_can_only_be_asked_for_after_a_step(path):
    network(path, weights="assert self.taken")
    assert judged(path).verdict is Verdict.PARITY


def test_a_side_that_keeps_its_weights_in_float32_begins_with_those_given(path):
    """It shows in every step, and is named there."""
    network(path, start="self.W = [W.astype(np.float32) for W in self.W]")
    assert judged(path, explain=False).first_divergence.step >= 1


@pytest.mark.parametrize("told", ["loss if self.taken < 3 else float('nan')", "loss if self.taken < 3 else np.nan"])
def test_no_causes_are_sought_for_what_is_no_number(path, told):
    network(path, told=told)
    result = judged(path)
    assert result.first_divergence.step == 3
    assert result.diagnosis.tried == 0
    assert "is not a number from step 3 on" in result.diagnosis.unable
    assert "difference  the candidate is NaN" in reports(result)


def test_a_loss_alone_is_compared_and_is_no_parity(path):
    network(path, weights="named = {}")
    assert judged(path).verdict is Verdict.CANNOT_JUDGE
    network(path, weights="named = {}", told="loss / 2")
    assert judged(path).verdict is Verdict.DIVERGED


# What it does besides ----------------------------------------------------------------------------------------------


def test_what_it_changes_in_place_is_its_own_and_told(path):
    network(path, step="x /= 2; y[:] = 0")
    result = judged(path)
    assert result.verdict is Verdict.PARITY
    assert list(result.remarks) == ["it changes x in place", "it changes y in place"]
    assert "first in step 1" in reports(result)


def test_what_two_strangers_change_in_place_reaches_neither(path, tmp_path):
    network(path, step="x /= 2; y[:] = 0")
    other = tmp_path / "other.py"
    network(other)
    spoilt = judged(other, reference=f"{path}:Net").frame
    network(path)
    assert len(spoilt)
    assert spoilt.equals(judged(other, reference=f"{path}:Net").frame)


def test_what_it_does_to_the_global_generators_stays_with_it(path):
    network(path, start="np.random.seed(3)", step="self.b[0] += 1e-3 * np.random.rand(3)", told="loss")
    np.random.seed(11)  # noqa: NPY002
    random.seed(11)
    expected = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    one = judged(path, explain=False)
    assert np.array_equal(np.random.get_state()[1], expected[0])  # noqa: NPY002
    assert random.getstate() == expected[1]
    np.random.seed(12)  # noqa: NPY002
    assert judged(path, explain=False).frame.equals(one.frame)


def test_it_draws_the_same_whenever_it_starts(path):
    """The search for causes runs it again, and has to find what it did the first time."""
    network(path, start="self.drawn = np.random.rand(), __import__('random').random()")
    side = load_side(f"{path}:Net")
    drawn = []
    for _ in range(2):
        start_side(side, validate(TABLE), {name: np.zeros(shape) for name, shape in SHAPES.items()})
        drawn.append(side.side.drawn)
    assert drawn[0] == drawn[1]


def test_two_that_draw_from_the_global_generators_do_not_disturb_each_other(path):
    """Dropout as people write it: the same draws on both sides, whoever is called first."""
    network(path, start="np.random.seed(3)", step="self.b[0] += 1e-3 * np.random.rand(3)")
    result = judged(path, reference=f"{path}:Net")
    free = result.frame[(result.frame["lane"] == "free") & (result.frame["phase"] == "update")]
    assert len(free)
    assert (free["absolute"] == 0).all()


def test_its_warnings_are_noted_with_their_place(path):
    source = network(path, step="np.exp(np.array([1000.0 * (self.taken > 2)]))")
    result = judged(path)
    line = line_of("1000.0", source)
    assert result.remarks == {
        f"RuntimeWarning: overflow encountered in exp ({path}, line {line})": "first in step() at step 3"
    }


def test_the_local_lane_alone_judges_nobody_who_does_not_replay_and_tells_little(path):
    network(path)
    result = judged(path, lanes=("local",))
    assert result.verdict is Verdict.CANNOT_JUDGE
    assert any(item.what == "local lane" and "does not replay" in item.why for item in result.not_compared)


def test_an_interrupt_while_it_runs_again_is_one_of_the_search(path, monkeypatch):
    """The first run has 7 steps; the search takes its steps once more, where they were not kept."""
    monkeypatch.setattr("parity.diagnosis.kept.BYTES", 0)
    count = "Net.all = getattr(Net, 'all', 0) + 1"
    network(path, told="loss / 2", step=f"{count}\n        if Net.all == 9: raise KeyboardInterrupt")
    result = judged(path)
    assert result.exit_code is ExitCode.INTERRUPTED
    assert result.steps_compared == 7
    assert "interrupted while causes were looked for" in result.diagnosis.unable


def test_an_interrupt_of_the_search_is_told_as_such(path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    network(path, told="loss / 2")
    monkeypatch.setattr("parity.run.diagnose", interrupted)
    result = judged(path)
    assert result.exit_code is ExitCode.INTERRUPTED
    assert result.verdict is Verdict.DIVERGED
    assert result.steps_compared == 7
    said = reports(result)
    assert "interrupted while causes were looked for" in said
    assert "interrupted after every step had been compared" in said


def test_the_json_report_has_the_crash_and_the_remarks(path):
    network(path, step="x /= 2\n        if self.taken == 3: raise KeyError('no luck')")
    stream = io.StringIO()
    as_json.write(judged(path), stream)
    said = json.loads(stream.getvalue())
    assert said["exit_code"] == 3
    assert said["crash"]["step"] == 3
    assert "no luck" in said["crash"]["message"]
    assert said["remarks"][0]["what"] == "it changes x in place"


STILL = {
    "never updates": ("self.W[layer] -= self.rate * dW\n            self.b[layer] -= self.rate * db", "pass"),
    "updates names that nobody keeps": (
        "self.W[layer] -= self.rate * dW\n            self.b[layer] -= self.rate * db",
        "W = self.W[layer] - self.rate * dW\n            b = self.b[layer] - self.rate * db",
    ),
}


@pytest.mark.parametrize("told", ["loss", "{'loss': loss, 'gradient': {'dense/kernel': gradients[0][0]}}", "{}"])
@pytest.mark.parametrize("slip", STILL)
def test_weights_that_never_change_are_told_as_that(path, told, slip):
    """No rate or factor of nearly nothing is a cause: they fit whatever is not there."""
    old, new = STILL[slip]
    source = network(path, told=told)
    assert old in source
    path.write_text(source.replace(old, new))
    result = judged(path)
    assert result.verdict is Verdict.DIVERGED
    assert (result.causes, result.diagnosis.unable) == ((), NEVER_UPDATED)


def test_weights_that_are_told_as_they_were_at_the_start(path):
    network(
        path,
        start="self.first = [W.copy() for W in self.W], [b.copy() for b in self.b]",
        weights="named = {f'{name}/{kind}': array for kind, arrays in zip(('kernel', 'bias'), self.first)"
        " for name, array in zip(self.names, arrays)}",
    )
    result = judged(path)
    assert (result.causes, result.diagnosis.unable) == ((), OTHER_WEIGHTS)


def test_a_reference_that_trains_nothing_either_explains_itself(path):
    """Where the rate is zero nothing moves, and a wrong loss is explained as ever."""
    network(path, told="2 * loss")
    result = judged(path, optimizer={"class_name": "SGD", "learning_rate": 0})
    assert result.diagnosis.unable not in {NEVER_UPDATED, OTHER_WEIGHTS}
    assert result.causes
