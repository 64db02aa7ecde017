"""Every command of docs/your-own-network.md ends as the page says."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path

import pytest

from parity.cli import main

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "your-own-network.md").read_text()
COMMANDS = re.findall(r"^parity (.*?)  # (\d)$", PAGE, re.MULTILINE)


def test_every_command_says_how_it_ends():
    assert len(COMMANDS) == len(re.findall(r"^parity ", PAGE, re.MULTILINE)) > 5


@pytest.mark.usefixtures("runtime")
@pytest.mark.parametrize(("command", "code"), COMMANDS, ids=[command for command, _ in COMMANDS])
def test_it_ends_as_the_page_says(command, code, tmp_path, monkeypatch, capsys):
    for name in ("examples", "reports"):
        shutil.copytree(ROOT / name, tmp_path / name)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as caught:
        main([sys.executable if word == "old/bin/python" else word for word in shlex.split(command)])
    assert (caught.value.code or 0) == int(code), capsys.readouterr().err


def test_the_example_on_the_page_is_the_one_that_runs():
    shown = re.search(r"```python\n(class Side\(Lists\).*?)```", PAGE, re.DOTALL)
    assert shown is not None
    real = (ROOT / "examples" / "styles" / "lists_and_pairs.py").read_text()
    lines = [re.sub(r"  +# .*", "", line) for line in shown[1].splitlines()]
    assert "\n".join(lines).strip() in real
