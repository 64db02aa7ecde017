"""A small case whose reference is NumPy, so that it is recorded in a moment and without Keras."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from parity.cli import cli, run
from tests.parity.small_case import CASE, EXPERIMENT


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


@pytest.fixture
def book(tmp_path, capsys, recorded, monkeypatch) -> Book:
    """A copy of it, to be spoiled."""
    monkeypatch.delenv("CI", raising=False)
    made = Book(tmp_path / "small", capsys)
    for name in ("baseline.json", "baseline.npz"):
        shutil.copy(recorded / name, made.folder / name)
    return made
