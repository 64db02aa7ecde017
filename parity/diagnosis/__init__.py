"""Why two sides part: causes named from the catalogue of conventions, each proved by repeating the run with it."""

from parity.diagnosis.explain import Cause, Diagnosis, diagnose
from parity.diagnosis.kept import Kept

__all__ = ["Cause", "Diagnosis", "Kept", "diagnose"]
