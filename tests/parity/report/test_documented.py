"""What docs/reports.md says is what the project does."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from parity.report import FORMATS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reports.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def workplace(tmp_path):
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    return tmp_path


@pytest.mark.parametrize("command", [line for block in blocks("sh") for line in block.splitlines()])
def test_every_command_runs(command, workplace):
    words = [sys.executable, "-m", *shlex.split(command)]
    done = subprocess.run(words, cwd=workplace, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all((workplace / path).stat().st_size for path in re.findall(r"--report \w+=(\S+)", command))


@pytest.mark.parametrize("code", blocks("python"))
def test_every_program_runs(code, workplace):
    done = subprocess.run([sys.executable, "-c", code], cwd=workplace, capture_output=True, text=True, check=False)
    assert done.stdout == "pages/index.html\n", done.stderr
    assert len([*(workplace / "pages").glob("*.html")]) == 3


def test_every_format_is_described():
    assert re.findall(r"^\| `(\w+)` \|", PAGE.partition("\n## ")[0], re.MULTILINE) == sorted(
        FORMATS, key=list(FORMATS).index
    )
