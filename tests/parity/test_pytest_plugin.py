"""The pytest plugin, from a user's repository with a conftest.py of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

ROOT = Path(__file__).parents[2]
INSTALLED = any(point.name == "parity" for point in entry_points(group="pytest11"))
SIDE = """
from scratch_net.adapter import ScratchSide


class Right(ScratchSide):
    pass


class Wrong(ScratchSide):
    def __init__(self, choices=None):
        super().__init__({"l2.penalty": "half", **(choices or {})})
"""
TESTS = """
import mynet


def test_right(parity):
    assert parity.check("cases/small", candidate="mynet.py:Right", run="plain").verdict == "PARITY"


def test_wrong(parity):
    parity.check("cases/small/experiment.toml", candidate=mynet.Wrong, run="plain")


@pytest.mark.parity_case("cases/small", candidate="mynet.py:Wrong", run="plain")
def test_marked():
    raise AssertionError("the body must not be reached")
"""


@pytest.fixture
def repository(pytester, recorded, monkeypatch):
    """Somebody's repository."""
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    shutil.copytree(recorded, pytester.path / "cases" / "small")
    pytester.makeconftest("import pytest\n\n\n@pytest.fixture\ndef theirs():\n    return 1\n")
    pytester.makepyfile(mynet=SIDE)
    pytester.makepyfile(test_mine="import pytest\n" + TESTS)

    def run(*options):
        loaded = () if INSTALLED else ("-p", "parity.pytest_plugin")
        return pytester.runpytest_subprocess(*loaded, "-p", "no:cacheprovider", *options)

    run.path = pytester.path
    return run


def test_what_fails_says_why_on_one_screen(repository):
    result = repository("test_mine.py")
    result.assert_outcomes(passed=1, failed=2)
    said = result.stdout.str()
    assert "the body must not be reached" not in said
    first = said[said.index("test_wrong") : said.index("test_marked", said.index("test_wrong"))].splitlines()
    assert len(first) <= 24, first
    result.stdout.fnmatch_lines(
        [
            "FAILED: small",
            "*not expected*expected PARITY, found DIVERGED",
            "*first *step 1, loss, dense/kernel (penalty part): reference *, candidate *",
            "*cause *l2.penalty=half*",
            "*fix *",
            "*see it *parity gate cases/small --candidate mynet:Wrong --run plain -v",
            "*test *pytest 'test_mine.py::test_wrong'",
        ]
    )
    assert "Traceback" not in said
    assert "array(" not in said


def test_case_folders_are_collected(repository):
    result = repository("cases", "-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*cases/small/experiment.toml::plain PASSED*", "*::half PASSED*"])


def test_an_experiment_alone_is_nobodys_test(repository):
    for name in ("case.toml", "baseline.json"):
        (repository.path / "cases" / "small" / name).unlink()
    assert repository("cases").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_case_without_a_baseline_fails(repository):
    (repository.path / "cases" / "small" / "baseline.json").unlink()
    result = repository("cases")
    result.assert_outcomes(failed=2)
    result.stdout.fnmatch_lines(["*there is no baseline*--update*"])


def test_what_fails_before_anything_runs_is_told_once(repository, pytester):
    (repository.path / "cases" / "small" / "baseline.json").unlink()
    pytester.makepyfile(
        test_mine="def test_missing(parity):\n    parity.check('cases/none')\n\n\n"
        "def test_bare(parity):\n    parity.check('cases/small', run='plain')\n"
    )
    result = repository("test_mine.py")
    result.assert_outcomes(failed=2)
    said = result.stdout.str()
    assert "During handling" not in said
    (failures, _) = said.split("short test summary")
    assert failures.count("there is no baseline") == 1


def test_mistakes_of_a_case_are_told_when_it_is_collected(repository):
    path = repository.path / "cases" / "small" / "case.toml"
    path.write_text(path.read_text().replace("about", "abuot", 1))
    result = repository("cases")
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.stdout.fnmatch_lines(["*abuot*"])


def test_reports_are_written_for_each_check(repository):
    repository("test_mine.py", "--parity-report", "out")
    written = sorted(path.name for path in (repository.path / "out").iterdir())
    assert "test_mine.py-test_wrong-plain.json" in written
    assert "test_mine.py-test_right-plain.md" in written


def test_one_precision_can_be_asked_for(repository):
    result = repository("test_mine.py", "--parity-precision", "float32", "--parity-report", "out")
    result.assert_outcomes(passed=1, failed=2)
    told = json.loads((repository.path / "out" / "test_mine.py-test_wrong-plain.json").read_text())
    assert [run["precision"] for run in told["runs"]] == ["float32"]


def test_baselines_are_recorded_when_asked_for(repository):
    path = repository.path / "cases" / "small" / "baseline.json"
    path.unlink()
    result = repository("cases", "--parity-update")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*parity baselines*", "recorded small"])
    assert path.exists()


def test_ci_records_nothing(repository, monkeypatch):
    monkeypatch.setenv("CI", "true")
    result = repository("cases", "--parity-update")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--parity-update in CI would make any failure pass*"])


def test_several_processes_at_once(repository):
    result = repository("-n", "2", "test_mine.py", "cases", "--parity-report", "out")
    result.assert_outcomes(passed=3, failed=2)
    assert (repository.path / "out" / "cases-small-experiment.toml-plain-plain.md").exists()
    refused = repository("-n", "2", "cases", "--parity-update")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR


def test_loading_it_costs_next_to_nothing():
    """A suite that does not use it: nothing heavy is imported, and the module takes less than 30 ms."""
    program = (
        "import time, pytest, sys\n"
        "before = set(sys.modules)\n"
        "began = time.process_time()\n"
        "import parity.pytest_plugin\n"
        "seconds = time.process_time() - began\n"
        "print(seconds, *sorted(set(sys.modules) - before))"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    seconds, *imported = done.stdout.split()
    assert imported == ["parity", "parity.pytest_plugin"]
    assert float(seconds) < 0.03


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("'cases/small', candidat='scratch'", "got an unexpected keyword argument 'candidat'"),
        ("", "missing a required argument: 'experiment'"),
    ],
)
def test_a_marker_is_told_what_it_takes(repository, pytester, given, said):
    pytester.makepyfile(
        test_mine=f"import pytest\n\n\n@pytest.mark.parity_case({given})\ndef test_marked():\n    pass\n"
    )
    printed = pytester.runpytest("test_mine.py").stdout.str()
    assert said in printed
    assert "parity_case(folder, candidate='scratch', run=None) was given something else" in printed
