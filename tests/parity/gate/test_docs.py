"""What docs/gate.md says is what the gate does."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

from parity.cases import Case
from tests.parity.small_case import EXPERIMENT

TEXT = (Path(__file__).parents[3] / "docs" / "gate.md").read_text()
NETWORK = """
from scratch_net.adapter import ScratchSide


class MyNet(ScratchSide):
    def __init__(self, choices=None):
        super().__init__({**CHOICES, **(choices or {})})
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def plain(line: str) -> str:
    """Without the digits that rounding and the clock decide."""
    line = re.sub(r"\(\d+\.\d+ s\)", "(~)", line)
    return re.sub(r"\s+", " ", re.sub(r"\d[\d.e+]*(?= ×)|0\.\d+", "~", line)).strip()


def test_the_example_of_a_case_is_one():
    case, known = blocks("toml")
    assert len(Case.model_validate(tomllib.loads(case)).run) == 2
    (run,) = tomllib.loads("[[run]]\n" + known)["run"]
    case = tomllib.loads(case)
    case["run"][0] |= run
    assert str(Case.model_validate(case).run[0].known.until) == "2027-03-31"


def test_the_commands_run_and_print_what_is_shown(tmp_path):
    """With Keras: recorded, passed, and failed after the network was changed."""
    (tmp_path / "mycase").mkdir()
    (tmp_path / "mycase" / "experiment.toml").write_text(EXPERIMENT.replace("steps = 30", "steps = 4"))
    network = tmp_path / "mynet.py"
    network.write_text(NETWORK.replace("CHOICES", "{}"))
    commands = [line.partition("#")[0] for line in blocks("sh")[0].splitlines()]

    def run(command: str) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-m", *shlex.split(command)]
        words += ["--allow-ci"] if "--update" in words else []
        return subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)

    for command in commands:
        done = run(command)
        assert done.returncode == 0, done.stdout + done.stderr
    network.write_text(NETWORK.replace("CHOICES", '{"l2.penalty": "half"}'))
    done = run(commands[-1])
    assert done.returncode == 1, done.stderr
    shown, printed = ([plain(line) for line in text.splitlines()] for text in (blocks("text")[0], done.stdout))
    assert shown == printed[: len(shown)]
