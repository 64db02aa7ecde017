"""Traces written by others, in NumPy, C and JavaScript, against Keras itself. None of them imports this package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parity.comparing import compare
from parity.config import load_experiment
from parity.recording import record
from parity.run import diff
from parity.verdict import Verdict

FOLDER = Path(__file__).parents[3] / "examples" / "traces"
EXPERIMENT = FOLDER / "experiment.json"


def python(out: Path, factor: str) -> list[list[str]]:
    return [[sys.executable, "-I", str(FOLDER / "writer.py"), str(out), factor]]


def c(out: Path, factor: str) -> list[list[str]]:
    compiler = shutil.which("cc") or pytest.skip("there is no C compiler: install gcc")
    out.mkdir()
    binary = str(out.with_suffix(".bin"))
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-ffp-contract=off"]
    return [
        [compiler, *flags, str(FOLDER / "writer.c"), "-lm", "-o", binary],
        [binary, str(EXPERIMENT), str(out), factor],
    ]


def javascript(out: Path, factor: str) -> list[list[str]]:
    node = shutil.which("node") or pytest.skip("Node.js is not here: install nodejs")
    return [[node, str(FOLDER / "writer.js"), str(out), factor]]


@pytest.fixture(scope="module")
def keras(runtime, tmp_path_factory):
    folder = tmp_path_factory.mktemp("keras") / "trace"
    record(load_experiment(EXPERIMENT), "keras", folder)
    return folder


@pytest.mark.parametrize("writer", [python, c, javascript], ids=lambda writer: writer.__name__)
def test_a_writer_agrees_with_keras_and_its_mistake_is_named(writer, keras, tmp_path):
    for factor in ("1", "0.5"):
        for command in writer(tmp_path / factor, factor):
            subprocess.run(command, check=True)
        for result in (
            compare(keras, tmp_path / factor),
            diff(load_experiment(EXPERIMENT), candidate=str(tmp_path / factor)),
        ):
            assert result.runs[0].judge.audited
            assert result.steps_compared == 5
            if factor == "1":
                assert result.verdict is Verdict.PARITY
            else:
                assert result.verdict is Verdict.DIVERGED
                assert result.first_divergence.key.phase == "loss"
                assert [str(cause) for cause in result.diagnosis.causes] == ["l2.penalty=half"]


def test_keras_against_keras_is_parity_and_equal_to_the_last_bit(keras):
    result = compare(keras, keras)
    assert result.verdict is Verdict.PARITY
    assert {summary.absolute for (lane, _), summary in result.runs[0].summaries.items() if lane == "free"} == {0}
