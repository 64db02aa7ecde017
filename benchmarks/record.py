"""Peak memory of a long recording beside that of a short one: it must not grow with the number of steps.

Each recording (64-30-10 on the digits, batch 32, Adam, l2, float32) runs in a process of its own; its largest resident
size is asked of the operating system. Bar: 10,000 steps within 10 % of 100 steps.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TABLE = {
    "data": {"source": "digits", "scale": 16, "one_hot": 10},
    "layers": [
        {"units": 30, "activation": "relu", "kernel_regularizer": {"l2": 0.001}},
        {"units": 10, "activation": "softmax"},
    ],
    "loss": "categorical_crossentropy",
    "optimizer": "adam",
    "precision": "float32",
}


def run(steps: int, side: str) -> None:
    from memory import peak_of_this_process

    from parity.config import validate
    from parity.recording import record

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        record(validate(TABLE | {"steps": steps}), side, Path(folder) / "trace")
        seconds = time.perf_counter() - began
        size = sum(path.stat().st_size for path in Path(folder).rglob("*")) / 2**20
        print(peak_of_this_process(), seconds, size)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--side", default="scratch")
    parser.add_argument("--run", type=int, metavar="STEPS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        sys.path.insert(0, str(Path(__file__).parent))
        run(arguments.run, arguments.side)
        return
    print(f"{'steps':>8}{'peak MiB':>10}{'of the first':>14}{'seconds':>10}{'MiB on disk':>13}")
    first = 0.0
    for steps in arguments.steps:
        command = [sys.executable, __file__, "--run", str(steps), "--side", arguments.side]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        peak, seconds, size = map(float, done.stdout.split())
        first = first or peak
        print(f"{steps:8}{peak:10.1f}{peak / first:14.3f}{seconds:10.1f}{size:13.1f}", flush=True)


if __name__ == "__main__":
    main()
