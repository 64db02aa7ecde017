"""The terminal report in terminals of any width: nothing that it says is cut."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from parity.report import facts, steps, terminal


def printed(result, width: int, *, verbose: bool) -> str:
    stream = io.StringIO()
    terminal._print(result, Console(file=stream, width=width, highlight=False), verbose=verbose)
    return stream.getvalue()


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("name", ["equal", "diverged", "unexplained", "only_trains"])
def test_no_figure_and_no_line_of_code_is_cut(name, width, verbose, request):
    said = printed(request.getfixturevalue(name), width, verbose=verbose)
    assert "…" not in said
    commands = {line for line in said.splitlines() if line.startswith("    parity ")}  # whole, to be copied
    assert max(map(len, set(said.splitlines()) - commands)) <= width


@pytest.mark.parametrize("width", [60, 80, 200])
def test_as_many_steps_as_there_is_room_for_and_the_first_divergence_always(diverged, width):
    table = steps.table(diverged.runs[0])
    said = printed(diverged, width, verbose=True)
    header = next(line for line in said.splitlines() if line.startswith("phase"))
    shown = tuple(int(step) for step in re.findall(r"step (\d+)", header))
    assert set(shown) <= set(table.steps)
    assert table.first in shown
    assert list(shown) == sorted(shown)
    left_out = len(table.steps) - len(shown)
    assert (f"({facts.counted(left_out, 'more step')} in a wider terminal)" in said) == bool(left_out)
    assert left_out == 0 if width == 200 else left_out or width > 60


def test_a_table_of_fewer_steps_has_their_figures(diverged):
    table = steps.table(diverged.runs[0])
    for count in range(1, len(table.steps) + 1):
        fewer = table.of_steps(count)
        assert len(fewer.steps) == count
        for row, whole in zip(fewer.rows, table.rows, strict=True):
            assert row.free == tuple(whole.free[table.steps.index(step)] for step in fewer.steps)


def test_what_is_called_equal_is_so_at_every_step_of_the_table(diverged):
    """Also at those for which there was no room."""
    table = steps.table(diverged.runs[0])
    equal = sum(
        row.local.text in {"equal", "–"} and all(figure.text in {"0", "–"} for figure in row.free) for row in table.rows
    )
    for width in (80, 200):
        assert f"and {equal} that are equal" in " ".join(printed(diverged, width, verbose=False).split())
