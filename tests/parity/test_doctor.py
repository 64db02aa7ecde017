"""The doctor tells what bears on the numbers, without loading what it tells of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from parity import doctor, switches
from parity.cli import cli, run
from parity.sides import load_side


def told(capsys, *options):
    capsys.readouterr()
    assert run(cli, ["doctor", *map(str, options)], "parity") == 0
    return capsys.readouterr().out


def test_every_fact_has_a_value_and_every_switch_a_meaning(capsys):
    facts = json.loads(told(capsys, "--json"))["environment"]
    assert facts["numpy"] == np.__version__
    assert facts["subnormal numbers"] == "kept"
    assert all(facts.values())
    text = told(capsys)
    for name, value in facts.items():
        assert re.search(rf"^{re.escape(name)} +{re.escape(value)}", text, re.MULTILINE), name
    assert all(meaning in text for meaning in switches.SWITCHES.values())


def test_switches_and_threads_are_those_of_this_process(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    with threadpool_limits(1, user_api="blas"):
        facts = doctor.environment()
    assert facts["TF_ENABLE_ONEDNN_OPTS"] == "1"
    assert facts["NVIDIA_TF32_OVERRIDE"] == "not set"
    assert facts["blas threads"] == "1"


def test_what_is_not_installed_is_told(monkeypatch):
    monkeypatch.setattr(doctor, "PACKAGES", ("numpy", "no-such-package"))
    facts = doctor.environment()
    assert facts["no-such-package"] == "not installed"


def test_what_differs_from_a_baseline_is_marked(capsys, monkeypatch, recorded, tmp_path):
    document = json.loads((recorded / "baseline.json").read_text())
    document["environment"]["numpy"] = "1.26.0"
    for name in ("baseline.json", "baseline.npz"):
        (tmp_path / name).write_bytes((recorded / name).read_bytes())
    (tmp_path / "baseline.json").write_text(json.dumps(document))
    assert "0 of" in told(capsys, "--baseline", recorded)
    text = told(capsys, "--baseline", tmp_path)
    assert f"{np.__version__}   (baseline: 1.26.0)" in text
    assert text.rstrip().endswith("differ from the baseline: numpy")
    differs = json.loads(told(capsys, "--baseline", tmp_path, "--json"))["differs"]
    assert differs == {"numpy": {"baseline": "1.26.0", "now": np.__version__}}


def test_without_a_baseline_to_compare_with_it_says_how_to_make_one(capsys, tmp_path):
    assert run(cli, ["doctor", "--baseline", str(tmp_path)], "parity") == 4
    assert "--update" in capsys.readouterr().err


@pytest.mark.parametrize("heavy", ["tensorflow", "keras", "pandas", "pydantic"])
def test_nothing_heavy_is_loaded(heavy):
    program = f"import sys, parity.doctor; parity.doctor.environment(); print({heavy!r} in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_what_a_side_sets_for_itself_is_no_change_of_the_environment(monkeypatch, tmp_path):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    monkeypatch.setattr(switches, "_set_by_sides", {})
    (tmp_path / "mynet.py").write_text(
        "import os\nos.environ |= {'XLA_FLAGS': '', 'OMP_NUM_THREADS': '1'}\n"
        "class Net:\n    start = step = weights = lambda *_: None\n"
    )
    before = doctor.environment()
    load_side(f"{tmp_path / 'mynet.py'}:Net")
    assert os.environ["OMP_NUM_THREADS"] == "1"
    assert doctor.environment() == before
    load_side(f"{tmp_path / 'mynet.py'}:Net")  # which finds them set, by itself
    assert doctor.differences(before, doctor.environment()) == {}
    os.environ["OMP_NUM_THREADS"] = "2"  # by somebody else
    assert doctor.differences(before, doctor.environment()) == {"OMP_NUM_THREADS": ("3", "2")}


@pytest.mark.parametrize(
    ("then", "now", "differs"),
    [("2, 2", "2", False), ("2", "2, 2", False), ("2", "2, 4", True), ("a, b", "b, a", False), ("2", "22", True)],
)
def test_a_library_that_is_loaded_twice_is_the_same_library(then, now, differs):
    assert bool(doctor.differences({"blas threads": then}, {"blas threads": now})) == differs


def test_libraries_that_are_alike_are_told_once(monkeypatch):
    pool = {"user_api": "blas", "filepath": "numpy.libs/blas.so", "architecture": "Haswell", "num_threads": 2}
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: [pool, pool, {**pool, "num_threads": 4}])
    facts = doctor.environment()
    assert (facts["blas kernels"], facts["blas threads"]) == ("Haswell", "2, 4")
