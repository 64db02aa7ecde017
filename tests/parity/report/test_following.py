"""Every report that is not parity ends with what to run next, and that runs."""

from __future__ import annotations

import io
import json
import re
import shlex

import pytest

from parity.cli import main
from parity.config import validate
from parity.report import markdown, terminal
from parity.report.following import following
from parity.run import diff
from parity.verdict import Verdict

EXPERIMENT = """
data = { source = "regression", features = 3, samples = 24 }
layers = [{ units = 4, activation = "tanh", kernel_regularizer = { l2 = 0.01 } }, { units = 1 }]
loss = "mse"
optimizer = { class_name = "SGD", learning_rate = RATE }
batch_size = 8
steps = 6
"""
SIDES = """
import numpy as np
from scratch_net.adapter import ScratchSide

class NoReplay(ScratchSide):
    replay = None
    def steps(self, x, y):
        said = super().steps(x, y)
        return {"loss": said["loss"], "weights": said["weights"]}

class ThenSlower(NoReplay):
    def __init__(self, choices=None, products=None):
        super().__init__({"l2.penalty": "half"} | dict(choices or {}), products)
    def steps(self, x, y):
        said = [self._slower(x[i : i + 1], y[i : i + 1]) for i in range(len(x))]
        return {
            "loss": np.array([one["loss"][0] for one in said]),
            "weights": {name: np.array([one["weights"][name][0] for one in said]) for name in said[0]["weights"]},
        }
    def _slower(self, x, y):
        self.network.optimizer.learning_rate = 0.01 if self.network.optimizer.iterations < 4 else 0.001
        said = super().steps(x, y)
        return {"loss": said["loss"].copy(), "weights": {name: w.copy() for name, w in said["weights"].items()}}

class Told:
    def __init__(self): self.side = ScratchSide({})
    def start(self, experiment, weights): self.side.start(experiment, weights)
    def step(self, x, y): return self.side.step(x, y)["loss"]
    def weights(self): return self.side.weights()

class NoLoss(Told):
    def step(self, x, y): super().step(x, y)

class NoBias(Told):
    def weights(self): return {name: array for name, array in super().weights().items() if name != "dense/bias"}

class NoWeights(Told):
    def weights(self): return {}

class OwnStart(Told):
    def start(self, experiment, weights):
        super().start(experiment, {name: array + 1 for name, array in weights.items()})

class NoGradients(ScratchSide):
    def steps(self, x, y):
        return self.told(super().steps(x, y))
    def replay(self, reference):
        return self.told(super().replay(reference))
    def told(self, said):
        return {word: array for word, array in said.items() if not word.startswith("gradient")}
"""


@pytest.fixture
def call(tmp_path, monkeypatch, capsys):
    """Runs a command line of `parity`, as it would be typed; returns the exit code and what it printed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sides.py").write_text(SIDES)
    for name, rate in (("experiment", "0.01"), ("boundless", "1e300")):
        (tmp_path / f"{name}.toml").write_text(EXPERIMENT.replace("RATE", rate))

    def run(line: str) -> tuple[int, str]:
        words = shlex.split(line)
        monkeypatch.setattr("sys.argv", words)
        with pytest.raises(SystemExit) as ended:
            main(words[1:])
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


def commands(printed: str) -> list[str]:
    return re.findall(r"^    (parity .*)$", printed.partition("\nNext\n")[2], re.MULTILINE)


HALF = "parity diff experiment.toml --reference scratch --candidate 'scratch[l2.penalty=half]'"


@pytest.mark.parametrize(
    "line",
    [HALF, f"{HALF} --steps 3", f"{HALF} --steps=3 --precision=float32", f"{HALF} -v --report json=first.json"],
)
def test_after_a_divergence_the_same_narrowed_to_it(line, call, tmp_path):
    code, printed = call(f"{line} --report markdown=first.md")
    command, *_ = commands(printed)
    assert code == 1
    assert command in (tmp_path / "first.md").read_text()
    precision = "float32" if "float32" in line else "float64"
    assert command == f"{HALF} --steps 1 --precision {precision} -v --report markdown=divergence.md"
    code, again = call(command)
    assert code == 1
    assert "step 1, loss, dense/kernel (penalty part)" in again
    assert "DIVERGED" in (tmp_path / "divergence.md").read_text()


@pytest.mark.parametrize(
    ("candidate", "ends"), [("scratch[l2.penalty=half]", 0), ("sides.py:ThenSlower", 1)], ids=["nothing", "later"]
)
def test_whether_the_steps_that_were_not_repeated_differ_by_nothing_else_can_be_asked(candidate, ends, call):
    """Four of six steps are repeated; that a mistake of the fifth is not among them is said, and how to find it."""
    code, printed = call(
        f"parity diff experiment.toml --precision float64 --reference scratch --candidate '{candidate}'"
    )
    assert code == 1
    assert "Cause: l2.penalty=half" in printed
    assert "whether all 6 steps differ by nothing else: 4 were repeated" in printed
    again = commands(printed)[-1]
    assert again.endswith("--declare l2.penalty=half")
    code, printed = call(again)
    assert code == ends
    assert ("step 5, update" in printed) is bool(ends)


def test_what_was_declared_is_not_asked_for_once_more(call):
    """The causes beside what was declared are not all that the candidate makes."""
    code, printed = call(f"{HALF} --precision float64 --declare learning_rate.scale=half")
    assert code == 1
    assert "Cause" in printed
    assert len(commands(printed)) == 1


def test_where_all_steps_were_repeated_nobody_asks_for_more(call):
    _, printed = call(f"{HALF} --steps 4")
    assert len(commands(printed)) == 1


def test_without_the_local_lane_the_next_command_has_it(call):
    code, printed = call("parity diff experiment.toml --reference scratch --lane free")
    first, second = commands(printed)
    assert code == 4
    assert call(first)[0] == call(second)[0] == 0


def test_a_side_that_cannot_replay_is_told_what_to_add(call):
    line = "parity diff experiment.toml --reference scratch --candidate sides.py:NoReplay"
    assert call(line)[0] == 0  # its free run is judged
    code, printed = call(f"{line} --set optimizer.learning_rate=0")  # but in this one nothing moves
    assert code == 4
    assert "give sides.py:NoReplay a method replay(reference)" in printed
    (command,) = commands(printed)
    assert call(command)[0] == 0


@pytest.mark.parametrize(
    ("side", "advice"),
    [
        ("NoLoss", "have step() of sides.py:NoLoss return its loss"),
        ("NoBias", "have weights() of sides.py:NoBias return what is missing: dense/bias"),
        ("NoWeights", "its loss agrees; have weights() of sides.py:NoWeights return its weights, too"),
        ("OwnStart", "have start() of sides.py:OwnStart begin with copies of the weights that it is given"),
    ],
)
def test_what_is_required_and_was_not_told_is_asked_for_first(side, advice, call):
    code, printed = call(f"parity diff experiment.toml --reference scratch --candidate sides.py:{side} --steps 3")
    assert code == (1 if side == "OwnStart" else 4)
    assert advice in printed.partition("\nNext\n")[2].splitlines()[0]
    assert "replay" not in printed.partition("\nNext\n")[2]
    assert ("begins with those it is given" in printed) is (side != "OwnStart")


def test_a_trace_is_asked_to_record_and_the_sides_can_be_exchanged(call):
    said = "--precision float64 --out"
    assert call(f"parity record experiment.toml --side scratch {said} all")[0] == 0
    assert call(f"parity record experiment.toml --side sides.py:Told {said} some")[0] == 0
    for line in ("parity compare some all", "parity diff experiment.toml --reference some --precision float64"):
        code, printed = call(line)
        assert code == 4
        assert "have some record all that a step computes (docs/trace-format.md" in printed
        assert call(commands(printed)[0])[0] == 0
    still = "--precision float64 --set optimizer.learning_rate=0"
    assert call(f"parity record experiment.toml --side sides.py:Told {still} --out still")[0] == 0
    code, printed = call(f"parity diff experiment.toml --reference scratch --candidate still {still}")
    assert code == 4
    assert "have still record all that a step computes" in printed


def test_a_phase_that_is_left_out_is_named(call):
    code, printed = call("parity diff experiment.toml --reference scratch --candidate sides.py:NoGradients")
    assert code == 4
    assert "have replay(reference) of sides.py:NoGradients return what is missing: gradient" in printed


def test_what_comes_before_the_first_infinity_can_be_judged(call):
    code, printed = call("parity diff boundless.toml --reference scratch --precision float64")
    assert code == 4
    (command,) = commands(printed)
    first = int(re.search(r"not finite from step (\d+) on", printed)[1])
    assert f"--steps {first - 1} --precision float64" in command
    assert call(command)[0] == 0


def test_nothing_follows_parity(call):
    code, printed = call("parity diff experiment.toml --reference scratch")
    assert code == 0
    assert "Next" not in printed
    assert "Next" not in call(f"{HALF} -q")[1]


def test_what_no_command_made_has_no_command():
    table = {
        "data": {"source": "regression", "features": 2, "samples": 8},
        "layers": [{"units": 1, "kernel_regularizer": "l2"}],
        "loss": "mse",
        "optimizer": "sgd",
    }
    result = diff(validate(table), reference="scratch", candidate="scratch[l2.penalty=half]")
    assert result.verdict is Verdict.DIVERGED
    (item,) = following(result)
    assert (item.why, item.command) == ("only as far as where it begins: steps=1, precision='float64'", "")
    for writer in (terminal, markdown):
        stream = io.StringIO()
        writer.write(result, stream)
        assert stream.getvalue().rstrip().endswith("precision='float64'")


def test_a_long_command_is_one_line(call, tmp_path):
    code, printed = call(f"{HALF} --set name={'x' * 200}")
    command, *_ = commands(printed)
    assert "x" * 200 in command
    assert call(command)[0] == code == 1


def test_an_interrupted_run_can_be_run_to_the_end(monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    table = json.loads(
        '{"data": {"source": "regression", "features": 2}, "layers": [{"units": 1}], "loss": "mse", "optimizer": "sgd"}'
    )
    result = diff(validate(table), reference="scratch", progress=stop, command="parity diff a.toml -q --steps 3")
    (item,) = following(result)
    assert item.command == "parity diff a.toml --steps 3"
