"""A short selftest reaches its thresholds: the same trials each time."""

from __future__ import annotations

import pytest

from parity.diagnosis import possible
from parity.selftest import Rates, Thresholds, run_outside, run_trials

SEED = 1


@pytest.mark.parametrize(("planted", "runs"), [(0, 10), (1, 25), (2, 6), (None, 8)])
def test_what_is_planted_is_found(planted, runs, monkeypatch):
    rates = Rates("short", planted)
    if planted is None:
        # Finite differences, which an unexplained small network has the search think of, take most of its time.
        monkeypatch.setattr(possible, "ENGINE_PARAMETERS", 0)
        rates.add(run_outside(runs, "everything", SEED, 1))
    else:
        rates.add(run_trials(runs, planted, "everything", SEED, 1))
    assert Thresholds().missed([rates]) == []
    assert len(rates.trials) == runs
    assert len(rates.shown) >= 0.8 * runs
