"""What is found: of one tensor over all its steps, and of the first difference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given, strategies as st

from parity.measure import largest, measure
from parity.protocol import Key
from parity.verdict import Divergence, Summary

KERNEL = Key("update", "z/kernel")


@example([[0.0]], True)
@example([[1.0]], True)
@example([[0.5, 0.0], [0.5]], True)
@example([[1.0, 2.0], [2.0]], True)
@example([[3.0], [2.0, 4.0]], True)
@given(st.lists(st.lists(st.floats(0, 3), min_size=1, max_size=4), min_size=1, max_size=4), st.booleans())
def test_a_summary_is_that_of_all_its_steps(chunks, judged):
    """Differences as drawn, of a reference of ones that may differ by one."""
    summary, step, seen = Summary(KERNEL, "local", (1,)), 7, []
    for chunk in chunks:
        reference = np.ones((len(chunk), 1))
        rows = measure(reference, reference + np.array(chunk)[:, None], 1.0 if judged else None)
        summary.take(step, rows, largest(rows), "float64")
        differences = rows["absolute"]["value"].tolist()
        seen += differences
        step += len(chunk)
    most = max(seen)
    over = [at for at, difference in enumerate(seen, 7) if difference > 1]
    assert (summary.steps, summary.differing) == (len(seen), sum(difference > 0 for difference in seen))
    assert summary.absolute == most
    assert summary.absolute_step == (7 + seen.index(most) if most else 0)
    assert summary.needed.atol == pytest.approx(most)
    if judged:
        assert (summary.used, summary.used_step) == (most, 7 + seen.index(most))
        assert (summary.beyond, summary.first_beyond) == (len(over), over[0] if over else None)
    else:
        assert math.isnan(summary.used)
        assert (summary.used_step, summary.beyond, summary.first_beyond) == (0, 0, None)


@pytest.mark.parametrize(
    ("reference", "candidate", "budget", "difference", "used", "ratio"),
    [
        (2.0, 3.0, 0.5, 1.0, 2.0, 1.5),
        (3.0, 2.0, 0.5, 1.0, 2.0, 2 / 3),
        (2.0, 3.0, 0.0, 1.0, math.inf, 1.5),
        (0.0, 3.0, 1.0, 3.0, 3.0, None),
        (2.0, math.inf, 1.0, math.inf, math.inf, None),
        (math.inf, 2.0, 1.0, math.inf, math.inf, None),
        (math.nan, 2.0, 1.0, math.nan, math.inf, None),
        (2.0, math.nan, 0.0, math.nan, math.inf, None),
    ],
)
def test_what_a_divergence_says_of_itself(reference, candidate, budget, difference, used, ratio):
    found = Divergence(1, KERNEL, "local", "float64", (), reference, candidate, budget)
    np.testing.assert_equal((found.difference, found.used, found.ratio), (difference, used, ratio))
    assert (found.note, found.fixed) == ("", False)
