"""The tool put to the test: mistakes are planted, and what it says of them is counted."""

from parity.selftest.outside import Outside, run_outside
from parity.selftest.rates import Rates, Thresholds, planted_of
from parity.selftest.trials import LEVELS, Trial, all_choices, run_trials

__all__ = [
    "LEVELS",
    "Outside",
    "Rates",
    "Thresholds",
    "Trial",
    "all_choices",
    "planted_of",
    "run_outside",
    "run_trials",
]
