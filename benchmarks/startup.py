"""How long `--help` takes, for the program and for each command, and that nothing heavy is imported for it.

Wall time of a whole process, beside a Python that does nothing. Bar: 0.2 s, without tensorflow and without pandas.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from statistics import median

HEAVY = ("tensorflow", "keras", "pandas", "plotly", "scratch_net")


def seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


def imported(command: list[str]) -> list[str]:
    """Heavy packages that the command imports, as Python itself tells."""
    told = subprocess.run([command[0], "-X", "importtime", *command[1:]], capture_output=True, text=True, check=True)
    names = {line.rpartition("|")[2].strip().partition(".")[0] for line in told.stderr.splitlines()}
    return [name for name in HEAVY if name in names]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=11)
    arguments = parser.parse_args()

    from parity.cli import COMMANDS

    parity = [sys.executable, "-m", "parity"]
    commands = {"python -c pass": [sys.executable, "-c", "pass"], "parity --help": [*parity, "--help"]}
    commands |= {f"parity {name} --help": [*parity, name, "--help"] for name in COMMANDS}
    print(f"medians of {arguments.repeats} processes")
    print(f"{'':28}{'seconds':>10}   heavy imports")
    for name, command in commands.items():
        command_seconds = median(seconds(command) for _ in range(arguments.repeats))
        print(f"{name:28}{command_seconds:10.3f}   {', '.join(imported(command)) or 'none'}", flush=True)


if __name__ == "__main__":
    main()
