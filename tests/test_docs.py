"""What the documents say is what the project does."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
DOCUMENTS = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted(ROOT.glob("docs/**/*.md"))]


def commands(language: str = "sh") -> list[str]:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def workplace(tmp_path):
    """A copy of what the commands read, so that what they write lands nowhere else."""
    for name in ("examples", "reports"):
        shutil.copytree(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("command", [text for text in commands() if text.startswith("parity")])
def test_every_parity_command_of_the_readme_runs(command, workplace):
    words = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(words, cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_make_commands_of_the_readme_exist():
    targets = [text.split()[1] for text in commands() if text.startswith("make")]
    assert targets == ["demo", "test"]
    for target in targets:
        done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_the_first_screen_is_what_the_command_prints(workplace):
    """Every line that the README shows is printed by its command, but for digits that rounding decides."""
    screen = re.search(r"```text\n\$ (.*?)\n\n(.*?)```", README, re.DOTALL)
    assert screen is not None
    words = [sys.executable, "-m", *shlex.split(screen[1])]
    done = subprocess.run(words, cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr

    def plain(line: str) -> str:
        line = re.sub(r"≈\S+( %)?|[\d.e+]+ ×", "~", line)
        return re.sub(r"\s+", " ", line).strip()

    printed = {plain(line) for line in done.stdout.splitlines()}
    shown = {plain(line) for line in screen[2].splitlines()} - {"..."}
    assert shown <= printed, shown - printed


def test_the_example_is_the_readmes():
    block = re.search(r"```toml\n(.*?)```", README, re.DOTALL)
    assert block is not None
    assert tomllib.loads(block[1]) == tomllib.loads((ROOT / "examples" / "experiment.toml").read_text())


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_and_every_file_named_is_there(document):
    text = document.read_text()
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link]
    named = re.findall(r"`((?:parity|scratch_net|keras_ref|tests|reports|benchmarks|examples)/[\w./-]*)`", text)
    missing = [link for link in links + named if not (document.parent / link).exists()]
    assert not missing, missing


def test_nothing_tracked_names_a_machine_or_a_registry():
    """The project speaks of itself alone."""
    found = subprocess.run(
        [
            "git",
            "grep",
            "-nIE",
            r"/(root|home|tmp)/|https?://[^ ]*(/simple|registry)",
            "--",
            ".",
            ":!tests/test_docs.py",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert found.stdout == ""


def test_the_commands_of_the_trace_format_run(workplace):
    """In order: later ones read what earlier ones wrote."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "trace-format.md").read_text(), re.DOTALL)
    for line in "".join(blocks).splitlines():
        command, _, note = line.partition("  #")
        words = shlex.split(command)
        words = [sys.executable, *(words[1:] if words[0] == "python" else ["-m", *words])]
        done = subprocess.run(words, cwd=workplace, capture_output=True, text=True, check=False)
        assert done.returncode == (1 if "ends 1" in note else 0), (command, done.stderr)
        assert "DIVERGED" not in note or ("DIVERGED" in done.stdout and "Cause: l2.penalty=half" in done.stdout)
