"""Why two sides part: causes named from the catalogue of conventions, each proved by repeating the run with it."""

from parity.diagnosis.explain import Cause, Diagnosis, diagnose

__all__ = ["Cause", "Diagnosis", "diagnose"]
