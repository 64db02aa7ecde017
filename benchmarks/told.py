"""What it costs to tell loss and weights alone: are verdict and cause those of a candidate that tells everything?

Every choice of every convention is planted in a random experiment in which it shows there. The network is then
compared twice by `parity.run.diff`: as itself, and behind the three methods `start`, `step` and `weights`, of which
`step` returns the loss. Initial weights are left out: a side of three methods begins with those it is given. Bar: the
same verdict and the same confirmed causes for 90 %.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

import numpy as np

from parity.nullruns import Bare
from parity.run import diff
from parity.selftest.experiments import likely_experiment
from parity.selftest.trials import SIDE, TRIES, Workbench
from parity.sides import load_side

LEVEL = "loss and weights"
BAR = 0.9


@dataclass(frozen=True)
class Found:
    planted: str
    shows: bool
    answers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Verdict and causes: told everything, told loss and weights."""

    @property
    def alike(self):
        return self.answers[0] == self.answers[1]


def one(single, seed):
    planted = frozenset([single])
    name = "=".join(single)
    random = np.random.default_rng(seed)
    for _ in range(TRIES):
        bench = Workbench(likely_experiment(random), LEVEL)
        if bench.shows(planted, frozenset()):
            break
    else:
        return Found(name, shows=False)
    made = load_side(SIDE).side.with_conventions(dict(planted))
    answers = []
    for candidate in (made, Bare(dict(planted))):
        experiment = bench.experiment.model_copy(update={"precision": "float64"})
        result = diff(experiment, reference=SIDE, candidate=candidate)
        answers.append((str(result.verdict), tuple(sorted(map(str, result.causes)))))
    return Found(name, shows=True, answers=tuple(answers))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--only", default="", metavar="PREFIX", help="conventions whose code begins so")
    parser.add_argument("-v", "--verbose", action="store_true", help="also those that are alike")
    arguments = parser.parse_args()
    choices = load_side(SIDE).side.conventions()
    left_out = ("init.", "gradient.engine")
    singles = [(code, choice) for code in choices if not code.startswith(left_out) for choice in choices[code]]
    singles = [single for single in singles if single[0].startswith(arguments.only)]
    seeds = [(arguments.seed, index) for index in range(len(singles))]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        found = []
        for trial in pool.map(one, singles, seeds):
            found.append(trial)
            if not trial.shows:
                print(f"{trial.planted}: never shows in loss and weights", flush=True)
            elif not trial.alike or arguments.verbose:
                told = "; ".join(f"{verdict} {' '.join(causes) or 'unexplained'}" for verdict, causes in trial.answers)
                print(f"{trial.planted}: {told}", flush=True)
    shown = [trial for trial in found if trial.shows]
    same_verdict = sum(trial.answers[0][0] == trial.answers[1][0] for trial in shown)
    alike = sum(trial.alike for trial in shown)
    print(f"seed {arguments.seed}: {len(shown)} of {len(found)} choices show in loss and weights")
    print(
        f"same verdict {same_verdict / len(shown):.1%}, same verdict and causes {alike / len(shown):.1%}; bar {BAR:.0%}"
    )


if __name__ == "__main__":
    main()
