"""What the gate costs: whole processes from a cold start, and the loading of the pytest plugin.

One case: 64-30-10 on the digits with Adam, batches of 32, 100 steps, both precisions. The book: all cases in reports
(those whose data are not here are listed as not run). Bars: 1.0 s, 6 s, and 30 ms for the plugin. Processor seconds
are told beside the wall's, since other programs on the machine do not change them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
CASE = """
title = "a hundred steps"
about = ""
[[run]]
name = ""
reference = "scratch"
expect = { verdict = "PARITY" }
"""
LOADING = (
    "import pytest, time; began = time.perf_counter(); import parity.pytest_plugin; print(time.perf_counter() - began)"
)


def process(words: list[str]) -> tuple[float, float]:
    """Wall and processor seconds of a process that must end well."""
    before, began = os.times(), time.perf_counter()
    subprocess.run(words, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    wall, after = time.perf_counter() - began, os.times()
    return wall, after.children_user + after.children_system - before.children_user - before.children_system


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()
    parity = [sys.executable, "-m", "parity", "gate"]
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"medians of {arguments.repeats} processes; {load}")
    print(f"{'':28}{'wall s':>10}{'lowest':>10}{'processor s':>14}")
    with tempfile.TemporaryDirectory() as place:
        case = Path(place) / "hundred"
        case.mkdir()
        experiment = (ROOT / "examples" / "experiment.toml").read_text().replace("epochs = 2", "steps = 100")
        (case / "experiment.toml").write_text(experiment)
        (case / "case.toml").write_text(CASE)
        process([*parity, str(case), "--update", "--allow-ci"])
        commands = {"one case of 100 steps": [*parity, str(case)], "the book": [*parity, "reports", "--without-data"]}
        for name, words in commands.items():
            taken = [process(words) for _ in range(arguments.repeats)]
            wall, used = zip(*taken, strict=True)
            print(f"{name:28}{median(wall):10.2f}{min(wall):10.2f}{median(used):14.2f}", flush=True)
    loaded = [
        float(
            subprocess.run([sys.executable, "-c", LOADING], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        )
        for _ in range(arguments.repeats)
    ]
    print(f"{'loading the pytest plugin':28}{median(loaded):10.4f}{min(loaded):10.4f}")


if __name__ == "__main__":
    main()
