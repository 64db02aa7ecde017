"""What the tests of the gate, of its plugin and of the doctor share."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.parity.small_case import CASE, EXPERIMENT


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
