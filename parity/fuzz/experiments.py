"""Experiment files with other bytes, and with other values."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import numpy as np

from parity.errors import ExitCode
from parity.fuzz.runner import Outcome, call, judged
from parity.fuzz.traces import edit

TOML = """
name = "fuzz"
batch_size = 4
epochs = 1
loss = { class_name = "MeanSquaredError" }
metrics = ["accuracy"]
shuffle = true
seed = 3

[data]
source = "regression"
features = 3
targets = 2
samples = 8
noise = 0.1

[[layers]]
units = 4
activation = "relu"
kernel_initializer = { class_name = "RandomNormal", stddev = 0.5 }
kernel_regularizer = { class_name = "L1L2", l1 = 0.01, l2 = 0.02 }

[[layers]]
units = 2
activation = "softmax"

[optimizer]
class_name = "Adam"
learning_rate = 0.01
"""
TABLE: dict[str, Any] = {
    "data": {"source": "arrays", "x": [[0, 1], [1, 0], [0.5, 2]], "y": [1, 0, 2], "one_hot": 3},
    "layers": [{"class_name": "Dense", "config": {"units": 3, "activation": "softmax"}}],
    "initial_weights": {"dense/bias": [0.5, 0, 0.25]},
    "initial_state": {"dense/bias/velocity": [0.5, 0, 0.25], "optimizer/iterations": 4},
    "loss": "categorical_crossentropy",
    "optimizer": {"class_name": "RMSprop", "rho": 0.8},
    "tolerance": [{"tensor": "dense*", "rtol": 1e-3, "atol": 0}],
    "batch_size": 2,
    "steps": 3,
}


class Experiments:
    """Both kinds of file, and what is made of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, seed: int, number: int) -> Outcome:
        random = np.random.default_rng([seed, number])
        if random.random() < 0.5:
            given, path, content = "values", self.folder / "mutated.json", _with_other_values(random)
        else:
            given, path = "bytes", self.folder / f"mutated.{('toml', 'json')[int(random.integers(2))]}"
            text = TOML if path.suffix == ".toml" else json.dumps(TABLE, indent=1)
            content = _with_other_bytes(text.encode(), random)
        path.write_bytes(content)
        few = ["--steps", "2", "--precision", "float32", "--no-explain", "-q"]
        code, out, err = call(["diff", str(path), "--reference", "scratch", *few])
        if code == ExitCode.CANNOT_JUDGE and "not enough memory" in err and "Traceback" not in err:
            return Outcome(given, "told that it is too large", said=err)
        return judged(given, code, out, err, lines=None)


def _with_other_values(random: np.random.Generator) -> bytes:
    table = json.loads(json.dumps(TABLE)) if random.random() < 0.5 else tomllib.loads(TOML)
    for _ in range(int(random.integers(1, 3))):
        edit(table, random)
    return json.dumps(table).encode()


def _with_other_bytes(content: bytes, random: np.random.Generator) -> bytes:
    changed = bytearray(content)
    for _ in range(int(random.integers(1, 4))):
        at = int(random.integers(len(changed)))
        match int(random.integers(5)):
            case 0:
                changed[at] ^= 1 << int(random.integers(8))
            case 1:
                del changed[at : at + int(random.integers(1, 20))]
            case 2:
                changed[at:at] = random.bytes(int(random.integers(1, 6)))
            case 3:
                changed[at:at] = changed[: int(random.integers(1, 80))]
            case _:
                changed[at:at] = b"0123456789-.[]{}\"',=\n"[(i := int(random.integers(20))) : i + 1]
        if not changed:
            break
    return bytes(changed)
