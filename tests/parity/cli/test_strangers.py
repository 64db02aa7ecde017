"""Somebody else's code on the command line: what it does to the streams, and how its failures end."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from parity.cli import main
from tests.parity.strangers import TABLE, line_of, network


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "experiment.json").write_text(json.dumps(TABLE))
    return tmp_path


def call(folder, *arguments: object, candidate: str = "net.py:Net") -> int:
    words = ["diff", folder / "experiment.json", "--reference", "scratch", "--candidate", f"{folder}/{candidate}"]
    with pytest.raises(SystemExit) as caught:
        main([str(word) for word in (*words, *arguments)])
    return caught.value.code or 0


PRINTS = """print("loss", loss)
        import os, subprocess, sys
        os.write(1, b"from C\\n")
        subprocess.run([sys.executable, "-c", "print('from a program')"], check=True)"""


def test_prints_do_not_garble_a_report_on_standard_output(folder):
    network(folder / "net.py", step=PRINTS)
    command = [sys.executable, "-m", "parity", "diff", "experiment.json", "--reference", "scratch"]
    command += ["--candidate", "net.py:Net", "--report", "json=-"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["verdict"] == "PARITY"
    for printed in ("loss ", "from C", "from a program"):
        assert done.stderr.count(printed) >= 7


def test_a_crash_ends_with_3_and_all_reports(folder, capsys):
    source = network(folder / "net.py", step="if self.taken == 3: raise KeyError('no luck')")
    reports = [f"--report={form}={folder / form}" for form in ("json", "markdown", "csv", "terminal")]
    assert call(folder, *reports) == 3
    said = capsys.readouterr()
    message = f"raised KeyError in step() at step 3: 'no luck' ({folder}/net.py, line {line_of('no luck', source)})"
    assert message in said.err
    assert "Traceback" not in said.err
    assert said.out.startswith("CANNOT_JUDGE: a side failed at step 3; until then nothing had diverged in 2 steps")
    assert "--steps 2" in said.out  # what to run next
    report = json.loads((folder / "json").read_text())
    assert (report["exit_code"], report["crash"]["step"], report["steps_compared"]) == (3, 3, 2)
    assert "a side failed at step 3" in (folder / "markdown").read_text()
    assert len((folder / "csv").read_text().splitlines()) > 2 * 5


def test_a_step_that_never_returns_ends_the_process_as_well(folder):
    network(folder / "net.py", step="while self.taken == 2: pass")
    command = [sys.executable, "-m", "parity", "diff", "experiment.json", "--reference", "scratch"]
    command += ["--candidate", "net.py:Net", "--timeout", "0.5"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 3
    assert "did not return within 0.5 s (--timeout) in step() at step 2" in done.stderr
    assert "1 of 7 steps" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "candidate", "said"),
    [
        (["--timeout", "0"], "net.py:Net", "--timeout"),
        ([], "net.py:Nett", "did you mean 'Net'?"),
    ],
)
def test_usage(folder, capsys, arguments, candidate, said):
    network(folder / "net.py")
    assert call(folder, *arguments, candidate=candidate) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("side", "said"),
    [
        ("scratch[l2.penalti=half]", "did you mean 'l2.penalty'?"),
        ("scratch[l2.penalty=haff]", "did you mean 'half'?"),
        ("sklern", "did you mean 'sklearn'?"),
    ],
)
def test_what_was_meant(folder, capsys, side, said):
    with pytest.raises(SystemExit) as caught:
        main(["diff", str(folder / "experiment.json"), "--reference", "scratch", "--candidate", side])
    assert caught.value.code == 2
    assert said in capsys.readouterr().err
