"""The tool put to the test: mistakes are planted, and what it says of them is counted."""

from parity.selftest.outside import Outside, run_outside
from parity.selftest.rates import Rates, Thresholds
from parity.selftest.trials import LEVELS, Trial, run_trials

__all__ = ["LEVELS", "Outside", "Rates", "Thresholds", "Trial", "run_outside", "run_trials"]
