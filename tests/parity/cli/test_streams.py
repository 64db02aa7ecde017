"""What becomes of the output changes no exit code: a reader that leaves, a closed stream, characters it has not."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="pipes and shells as POSIX has them")

EXPERIMENT = """
data = { source = "regression", features = 3, samples = 8 }
layers = [{ units = 1, kernel_regularizer = "l2" }]
loss = "mse"
optimizer = "sgd"
precision = "float64"
"""
PARITY = "diff experiment.toml --reference scratch"
DIVERGED = f"{PARITY} --candidate 'scratch[l2.penalty=half]'"


@pytest.fixture(autouse=True)
def experiment(tmp_path) -> Path:
    path = tmp_path / "experiment.toml"
    path.write_text(EXPERIMENT)
    return path


def shell(folder: Path, arguments: str, *, rest: str = "", **environment: str) -> subprocess.CompletedProcess[bytes]:
    line = f"{shlex.quote(sys.executable)} -m parity {arguments} {rest}"
    return subprocess.run(
        ["/bin/sh", "-c", line], cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False
    )


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (PARITY, 0),
        (DIVERGED, 1),
        (f"{PARITY} -q --report markdown=-", 0),
        (f"{DIVERGED} -q --report csv=-", 1),
        (f"{PARITY} --report json=kept.json", 0),
        ("conventions", 0),
        ("schema", 0),
    ],
)
def test_a_reader_that_leaves_has_no_say_in_the_exit_code(tmp_path, arguments, code):
    read, write = os.pipe()
    os.close(read)  # it has left before the first line
    command = [sys.executable, "-m", "parity", *shlex.split(arguments)]
    done = subprocess.run(command, cwd=tmp_path, stdout=write, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write)
    assert done.returncode == code, done.stderr
    assert "Broken pipe" not in done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "kept.json").exists() == ("kept.json" in arguments)


@pytest.mark.parametrize("rest", [">&-", "2>&-", ">&- 2>&-", "2>/dev/null | head -1"])
def test_closed_streams(tmp_path, rest):
    done = shell(tmp_path, PARITY, rest=rest)
    assert done.returncode == 0
    assert done.stderr == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [PARITY, f"{PARITY} -q --report json=-"])
def test_a_full_disk_is_said_and_is_no_mistake_of_ours(tmp_path, arguments):
    done = shell(tmp_path, arguments, rest=">/dev/full")
    assert done.returncode == 2
    assert b"parity: standard output: No space left on device\n" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
@pytest.mark.parametrize("rest", ["-v", "-q --report markdown=-"])
def test_a_stream_of_few_characters_takes_every_report(tmp_path, encoding, rest):
    done = shell(tmp_path, DIVERGED, rest=rest, PYTHONIOENCODING=encoding)
    assert done.returncode == 1, done.stderr
    assert b"Traceback" not in done.stderr
    assert b"its budget" in done.stdout
