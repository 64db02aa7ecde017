"""All measures of one pair of tensors, in bytes a second, beside `numpy.testing.assert_allclose` in the same run.

The pair has 25 million float32 values that all differ a little, so nothing can be skipped. Measuring finds the largest
absolute, relative and ulp difference with its place, rms and cosine, and with a budget how much of it was used and how
many values are beyond it; `assert_allclose` answers yes or no. Bar: 8 times the bytes a second. With a budget for each
value there are half as many bytes again, which the last column counts.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np

from parity.measure import measure


def seconds(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--values", type=int, default=25_000_000)
    parser.add_argument("--repeats", type=int, default=7)
    arguments = parser.parse_args()

    random = np.random.default_rng(0)
    reference = random.standard_normal((1, arguments.values), dtype=np.float32)
    candidate = reference * (1 + np.float32(1e-6) * random.standard_normal(reference.shape, dtype=np.float32))
    budget = np.abs(reference) * np.float32(1e-4)
    work = {
        "assert_allclose": lambda: np.testing.assert_allclose(candidate, reference, rtol=1e-4),
        "measure": lambda: measure(reference, candidate),
        "measure with a budget": lambda: measure(reference, candidate, budget),
        "measure, equal": lambda: measure(reference, equal, budget),
    }
    equal = reference.copy()
    for each in work.values():
        each()
    # In turn, so that what disturbs the machine for a while disturbs all; the range shows whether it did.
    turns = [{name: seconds(each) for name, each in work.items()} for _ in range(arguments.repeats)]
    pair = reference.nbytes + candidate.nbytes
    sizes = {name: pair + (budget.nbytes if name == "measure with a budget" else 0) for name in work}
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
    print(f"{arguments.values:,} float32 pairs ({pair / 1e6:.0f} MB), medians of {arguments.repeats}; {load}")
    print(f"{'':24}{'ms':>10}{'lowest':>10}{'highest':>10}{'GB/s':>8}{'times assert_allclose':>24}")
    for name in work:
        taken = [turn[name] for turn in turns]
        ratio = sizes[name] / pair * median(turn["assert_allclose"] / turn[name] for turn in turns)
        times = "".join(f"{value * 1e3:10.1f}" for value in (median(taken), min(taken), max(taken)))
        print(f"{name:24}{times}{sizes[name] / median(taken) / 1e9:8.2f}{ratio:24.1f}")


if __name__ == "__main__":
    main()
