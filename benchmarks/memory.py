"""Peak memory of a long diff beside that of a short one: it must not grow with the number of steps.

Each diff (784-30-10, batch 32, Adam, l2, both lanes, float32) runs in a process of its own, whose largest resident
size is asked of the operating system. Bar: 10,000 steps within 10 % of 100 steps.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from pathlib import Path
from statistics import median


def peak_of_this_process() -> float:
    """Megabytes; Linux tells kilobytes, macOS bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def run(steps: int, features: int) -> None:
    from diff import experiments

    from parity.run import diff

    result = diff(list(experiments(steps, features).values())[1])
    assert result.runs[0].judge.steps == steps
    print(peak_of_this_process())


def peak(steps: int, features: int) -> float:
    command = [sys.executable, __file__, "--run", str(steps), "--features", str(features)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    return float(done.stdout.split()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--features", type=int, default=784, help="inputs of the network")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--run", type=int, metavar="STEPS", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.run is not None:
        sys.path.insert(0, str(Path(__file__).parent))
        run(arguments.run, arguments.features)
        return
    print(f"peak resident memory, medians of {arguments.repeats} processes")
    print(f"{'steps':>8}{'MiB':>10}{'of the first':>14}")
    first = 0.0
    for steps in arguments.steps:
        found = median(peak(steps, arguments.features) for _ in range(arguments.repeats))
        first = first or found
        print(f"{steps:8}{found:10.1f}{found / first:14.3f}", flush=True)


if __name__ == "__main__":
    main()
