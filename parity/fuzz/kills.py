"""Recordings killed at any moment: what is finished is right, and going on ends with the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import time
from functools import cache
from pathlib import Path

import numpy as np

from parity.config import Experiment, validate
from parity.fuzz.runner import Outcome
from parity.recording import record
from parity.trace import is_trace, open_traces
from parity.trace.manifest import START

STEPS = 640


@cache
def _whole(folder: Path) -> tuple[Experiment, float]:
    """The recording that nobody killed, and how long it took."""
    experiment = validate(
        {
            "data": {"source": "regression", "features": 16, "samples": 128},
            "layers": [{"units": 32, "activation": "tanh"}, {"units": 1}],
            "loss": "mse",
            "optimizer": "adam",
            "batch_size": 8,
            "steps": STEPS,
            "precision": "float64",
        }
    )
    began = time.perf_counter()
    record(experiment, "scratch", folder / "whole")
    return experiment, time.perf_counter() - began


def kill_one(folder: Path, seed: int, number: int) -> Outcome:
    """Record in a process of its own, kill it, look at what is there, go on, and look again."""
    random = np.random.default_rng([seed, number])
    whole, killed = folder / "whole", folder / "killed"
    experiment, seconds = _whole(folder)
    shutil.rmtree(killed, ignore_errors=True)
    child = os.fork()
    if child == 0:
        try:
            record(experiment, "scratch", killed)
        finally:
            os._exit(0)
    time.sleep(float(random.uniform(0, seconds)))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    found, wrong = _finished(whole, killed)
    record(experiment, "scratch", killed, resume=True)
    names = sorted(path.name for path in whole.iterdir())
    if not wrong and names != sorted(path.name for path in killed.iterdir()):
        wrong = "going on left other files"
    if not wrong and any((whole / name).read_bytes() != (killed / name).read_bytes() for name in names):
        wrong = "going on did not end with the same bytes"
    ended = "nothing yet" if found == 0 else "all of it" if found == STEPS else "a part of it"
    return Outcome("a recording, killed", f"{ended}, went on", wrong, f"{found} of {STEPS} steps were there")


def _finished(whole: Path, killed: Path) -> tuple[int, str]:
    """How many steps are there, and whether each is that of the recording that nobody killed."""
    if not is_trace(killed):
        return 0, ""
    (trace,) = open_traces(killed).values()
    for name in (START, *(file.name for file in trace.manifest.files)):
        if (killed / name).read_bytes() != (whole / name).read_bytes():
            return trace.last_step, f"{name} is not what was recorded"
    for file in trace.manifest.files:
        trace.records(file)
    return trace.last_step, ""
