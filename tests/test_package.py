"""The package as others install it: built, and tried from an environment that has only it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*words, **options):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The folder of programs of a clean environment with the wheel, without TensorFlow and away from the checkout."""
    place = tmp_path_factory.mktemp("package")
    source = place / "source"  # a copy: building leaves files beside the sources, and finds those of earlier times
    shutil.copytree(ROOT, source, ignore=shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__"))
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", place, source)
    (wheel,) = place.glob("keras_parity-*.whl")
    venv.create(place / "env", with_pip=True)
    programs = place / "env" / "bin"
    run(programs / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", wheel)
    return programs


@pytest.fixture
def outside(tmp_path):
    """Where no file of the checkout is found by accident."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return {"cwd": tmp_path, "env": environment}


def test_the_command_line_works_from_the_wheel(installed, outside):
    assert "parity diff" in run(installed / "parity", "--help", **outside)
    assert "keras-parity" in run(installed / "python", "-m", "pip", "list", **outside)
    assert '"title": "Experiment"' in run(installed / "parity", "schema", **outside)
    assert "lam / 2 * sum(W**2)" in run(installed / "parity", "conventions", "l2.penalty", **outside)


def test_two_numpy_networks_are_compared_without_tensorflow(installed, outside):
    experiment = ROOT / "examples" / "experiment.toml"
    printed = run(installed / "parity", "diff", experiment, "--reference", "scratch", "--steps", "3", **outside)
    assert printed.startswith("PARITY")


def test_a_users_repository_gates_and_tests_without_tensorflow(installed, outside, tmp_path):
    """A case, a conftest.py and a test of somebody's own; the plugin is found by its entry point."""
    run(installed / "python", "-m", "pip", "install", "--quiet", "-c", ROOT / "constraints.txt", "pytest")
    shutil.copytree(ROOT / "reports" / "l2-digits", tmp_path / "cases" / "mine")
    gate = [installed / "parity", "gate", "cases/mine"]
    assert "5 runs: 5 ok" in run(*gate, **outside)
    (tmp_path / "conftest.py").write_text("import pytest\n\n\n@pytest.fixture\ndef theirs():\n    return 1\n")
    (tmp_path / "mynet.py").write_text(
        "from scratch_net.adapter import ScratchSide\n\n\nclass MyNet(ScratchSide):\n    pass\n"
    )
    (tmp_path / "test_mine.py").write_text(
        "def test_my_network(parity, theirs):\n"
        "    parity.check('cases/mine', candidate='mynet.py:MyNet', run=\"NumPy's penalty doubled\")\n"
    )
    said = run(installed / "python", "-m", "pytest", "-q", "test_mine.py", "cases", **outside)
    assert "6 passed" in said


def test_without_tensorflow_the_reference_says_how_to_get_it(installed, outside):
    experiment = ROOT / "examples" / "experiment.toml"
    done = subprocess.run(
        [str(installed / "parity"), "diff", str(experiment)], capture_output=True, text=True, check=False, **outside
    )
    assert done.returncode == 2
    assert re.search(r"pip install 'tensorflow[<>=.,\d]+' 'keras[<>=.,\d]+'$", done.stderr, re.MULTILINE)
