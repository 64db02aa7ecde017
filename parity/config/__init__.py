"""The shared config: one experiment, said once for both sides."""

from parity.config.errors import ConfigError
from parity.config.experiment import Experiment, Precision
from parity.config.load import load_experiment, validate

__all__ = ["ConfigError", "Experiment", "Precision", "load_experiment", "validate"]
