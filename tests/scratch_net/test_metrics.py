"""The cases of the metrics' law (tests/suite/laws/metrics.py) tell right from wrong."""

from __future__ import annotations

import numpy as np

from scratch_net.metrics import accuracy
from tests.suite.laws.metrics import CASES


def test_the_cases_tell_right_from_wrong():
    found = {case: float(accuracy(np.array(y), np.array(p))) for case, (y, p) in CASES.items()}
    assert found["one output, p > 0.5 strictly"] == 0.6  # 0.5 itself counts as 0
    assert found["labels, the first of equals"] == found["one-hot, the first of equals"] == 1
    assert found["labels, the last of equals"] == found["one-hot, the last of equals"] == 0.25
