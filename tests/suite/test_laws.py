"""Every law holds for every row of the table it is about, in both precisions."""

from __future__ import annotations

import pytest

from tests.suite.laws import applications
from tests.suite.table import TABLE


@pytest.mark.parametrize(
    ("law", "row", "precision"),
    [
        pytest.param(law, row, precision, id=f"{law.kind}-{law.name}-{row}-{precision}")
        for law, row, precision in applications()
    ],
)
def test_the_law_holds(law, row, precision):
    law.holds(TABLE[law.kind][row], precision)
