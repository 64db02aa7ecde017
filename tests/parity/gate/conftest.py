"""A small case whose reference is NumPy, so that it is recorded in a moment and without Keras."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parity.cli import cli, run

EXPERIMENT = """
name = "small"
batch_size = 8
steps = 30
loss = "mean_squared_error"
metrics = ["accuracy"]

[data]
source = "classification"
features = 5
classes = 3
samples = 20
one_hot = 3

[[layers]]
units = 4
activation = "tanh"
kernel_regularizer = { l2 = 0.01 }

[[layers]]
units = 3
activation = "softmax"

[optimizer]
class_name = "Adam"
learning_rate = 0.01
"""
CASE = """
title = "small"
about = ""

[[run]]
name = "plain"
reference = "scratch"
expect = { verdict = "PARITY" }

[[run]]
name = "half"
reference = "scratch"
candidate = "scratch[l2.penalty=half]"
expect = { verdict = "DIVERGED", step = 1, phase = "loss", tensor = "dense/kernel", part = "penalty" }
"""


class Book:
    """A folder with a case in it, and the gate run on it."""

    def __init__(self, folder: Path, capsys) -> None:
        self.folder, self.capsys = folder, capsys
        self.write("experiment.toml", EXPERIMENT)
        self.write("case.toml", CASE)

    def write(self, name: str, text: str) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / name
        path.write_text(text)
        return path

    def change(self, name: str, old: str, new: str) -> None:
        text = (self.folder / name).read_text()
        assert old in text, f"{name} has no {old!r}"
        self.write(name, text.replace(old, new))

    def gate(self, *options: str) -> tuple[int, str]:
        """Exit code, and what was printed."""
        self.capsys.readouterr()
        try:
            code = run(cli, ["gate", str(self.folder), *map(str, options)], "parity")
        except SystemExit as exit_:
            code = exit_.code
        out, err = self.capsys.readouterr()
        return int(code), out + err


@pytest.fixture(scope="session")
def recorded(tmp_path_factory) -> Path:
    """The case with its baseline, made once."""
    place = tmp_path_factory.mktemp("book") / "small"
    place.mkdir()
    (place / "experiment.toml").write_text(EXPERIMENT)
    (place / "case.toml").write_text(CASE)
    words = [sys.executable, "-m", "parity", "gate", str(place), "--update", "--allow-ci"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return place


@pytest.fixture
def book(tmp_path, capsys, recorded, monkeypatch) -> Book:
    """A copy of it, to be spoiled."""
    monkeypatch.delenv("CI", raising=False)
    made = Book(tmp_path / "small", capsys)
    for name in ("baseline.json", "baseline.npz"):
        shutil.copy(recorded / name, made.folder / name)
    return made
