"""What CI systems are given: every file can be read, and every command, option, input and format in it exists."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
import yaml

from parity.errors import ExitCode
from parity.report import FORMATS

ROOT = Path(__file__).parent.parent
ACTION = yaml.safe_load((ROOT / "action.yml").read_text())
HOOKS = {hook["id"]: hook for hook in yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())}
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
PAGE = (ROOT / "docs" / "ci.md").read_text()
EXAMPLES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", PAGE, re.DOTALL)]
GITHUB = [WORKFLOW, *(example for example in EXAMPLES if "jobs" in example)]
GITLAB = [example["parity"] for example in EXAMPLES if "parity" in example]
USED_HOOKS = [hook for example in EXAMPLES for repo in example.get("repos", []) for hook in repo["hooks"]]

STEPS = [step for workflow in GITHUB for job in workflow["jobs"].values() for step in job["steps"]]
SCRIPTS = [
    *(step["run"] for step in [*ACTION["runs"]["steps"], *STEPS] if "run" in step),
    *("\n".join(job["script"]) for job in GITLAB),
    *(f"{HOOKS[hook['id']]['entry']} {shlex.join(hook['args'])}" for hook in USED_HOOKS),
    *re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL),
]


def invocations() -> list[tuple[str, list[str]]]:
    """Every `parity` command of every script, with its options: those of its line, and those collected before it."""
    found = []
    for script in SCRIPTS:
        collected: list[str] = []
        for line in script.replace("\\\n", " ").splitlines():
            for inside in re.findall(r"options\+?=\((.*?)\)(?:;|$)", line):
                collected += shlex.split(inside)
            words = shlex.split(line, comments=True)
            if words[:1] == ["parity"]:
                found.append((words[1], [*words[2:], *collected]))
    return found


INVOCATIONS = invocations()


def test_the_files_are_what_their_systems_read():
    assert ACTION["runs"]["using"] == "composite"
    assert all("shell" in step for step in ACTION["runs"]["steps"] if "run" in step)
    for workflow in GITHUB:
        assert {True, "jobs"} <= set(workflow), "`on` is read as true"
        for job in workflow["jobs"].values():
            assert all(("run" in step) != ("uses" in step) for step in job["steps"])
    for hook in HOOKS.values():
        assert {"id", "name", "entry", "language", "pass_filenames"} <= set(hook)
    assert GITLAB
    assert USED_HOOKS


def test_the_action_is_used_with_inputs_that_it_has():
    """By the project itself in both ways, and by the examples."""
    uses = [step for step in STEPS if step.get("uses") == "./" or "keras-parity" in step.get("uses", "")]
    assert [step["with"].get("live") for step in uses] == [None, "true"] * 2
    for step in uses:
        assert set(step["with"]) <= set(ACTION["inputs"])
    text = (ROOT / "action.yml").read_text()
    assert set(re.findall(r"\$\{\{ inputs\.([\w-]+)", text)) == set(ACTION["inputs"]), "every input does something"


def test_nothing_from_outside_is_pasted_into_a_script():
    """An expression inside `run` would be read as shell; by the environment it is a value."""
    assert not [script for script in SCRIPTS if "${{" in script]


@pytest.mark.parametrize("script", SCRIPTS)
def test_every_script_is_shell(script):
    done = subprocess.run(["bash", "-n"], input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_make_target_exists():
    targets = [
        words[1] for script in SCRIPTS for line in script.splitlines() if (words := line.split())[:1] == ["make"]
    ]
    assert targets == ["test"]
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(("command", "words"), INVOCATIONS, ids=[shlex.join(found[1]) for found in INVOCATIONS])
def test_every_command_exists_with_its_options(command, words):
    made: click.Command = getattr(importlib.import_module(f"parity.cli.{command}"), command)
    options = {name for parameter in made.params for name in [*parameter.opts, *parameter.secondary_opts]}
    assert {word for word in words if word.startswith("-")} <= options
    reports = [words[at + 1] for at, word in enumerate(words) if word == "--report"]
    assert {report.partition("=")[0] for report in reports} <= set(FORMATS)


def test_the_exit_codes_are_those_of_the_page():
    told = {int(code) for code in re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE)}
    assert told == set(ExitCode)
    assert all(str(code.value) in ACTION["outputs"]["exit-code"]["description"] for code in ExitCode if code < 130)


@pytest.mark.parametrize(
    ("candidate", "expected"), [("", ExitCode.PARITY), ("scratch[adam.epsilon=inside]", ExitCode.DIVERGED)]
)
def test_the_action_gates(tmp_path, candidate, expected):
    """Its own script, run as GitHub runs it."""
    (script,) = (step["run"] for step in ACTION["runs"]["steps"] if step.get("id") == "gate")
    shutil.copytree(ROOT / "reports" / "keras-chapter", tmp_path / "reports" / "keras-chapter")
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "parity").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m parity "$@"\n')
    (programs / "parity").chmod(0o755)
    given = {
        "CASES": "reports",
        "CANDIDATE": candidate,
        "LIVE": "false",
        "WITHOUT_DATA": "true",
        "REPORT": "parity-report",
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
    done = subprocess.run(words, cwd=tmp_path, env={**os.environ, **given}, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    assert (tmp_path / "output").read_text() == f"exit-code={int(expected)}\n"
    if expected:
        assert expected.name in (tmp_path / "summary.md").read_text()
        assert "<testsuite" in (tmp_path / "parity-report" / "parity.xml").read_text()
