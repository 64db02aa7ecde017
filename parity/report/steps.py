"""The table of steps by tensors: how each did in the local lane, and how far apart the free-running sides were."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from parity.config import Precision
from parity.held import FIRST_SHOWN
from parity.protocol import Key, Lane, execution_order
from parity.report.facts import Figure, is_small, number, of_rounding, times
from parity.result import Result, Run
from parity.verdict import Summary, Verdict

SHOWN_STEPS = 6


@dataclass(frozen=True)
class Row:
    """One tensor: how it did in the local lane, and how far the free-running sides were apart at some steps."""

    key: Key
    local: Figure
    free: tuple[Figure, ...]


@dataclass(frozen=True)
class Table:
    """Steps by tensors, in one precision."""

    precision: Precision
    verdict: Verdict
    steps: tuple[int, ...]
    rows: tuple[Row, ...]
    first: int | None = None
    """At which step the two sides part."""

    def of_steps(self, count: int) -> Table:
        """The same with so many steps: where the sides part, the last and the first before any others."""
        ends = (self.first, self.steps[-1], self.steps[0])
        order = sorted(self.steps, key=lambda step: ends.index(step) if step in ends else len(ends))
        kept = [at for at, step in enumerate(self.steps) if step in order[:count]]
        rows = tuple(replace(row, free=tuple(row.free[at] for at in kept)) for row in self.rows)
        return replace(self, steps=tuple(self.steps[at] for at in kept), rows=rows)


def shown_steps(run: Run) -> tuple[int, ...]:
    """The first steps, those around the first divergence, and the last."""
    last = run.judge.steps
    chosen = {*range(1, FIRST_SHOWN + 1), last}
    if run.first is not None:
        chosen |= {run.first.step, run.first.step + 1}
    return tuple(sorted(step for step in chosen if 1 <= step <= last))[:SHOWN_STEPS]


def table(run: Run) -> Table:
    """Steps by tensors."""
    steps = shown_steps(run)
    at_worst = {summary.used_step for summary in run.summaries.values() if summary.rule is not None}
    measured = run.ledger.rows({*steps, *at_worst})
    keys = execution_order({key for _, key in run.summaries}, run.judge.experiment.layer_names)
    rows = []
    for key in keys:
        local = run.summaries.get(("local", key))
        free = tuple(_free_figure(run, measured.get((step, key, "free")), step) for step in steps)
        worst = None if local is None else measured.get((local.used_step, key, "local"))
        rows.append(Row(key, _local_figure(run, local, worst), free))
    first = None if run.first is None else run.first.step
    return Table(run.precision, run.verdict, steps, tuple(rows), first)


def _local_figure(run: Run, summary: Summary | None, worst: np.void | None) -> Figure:
    if summary is None or math.isnan(summary.used):
        return Figure("–")
    if summary.used == 0:
        return Figure("equal")
    if summary.used <= 1:
        return Figure(f"{100 * summary.used:.2g} %", of_rounding(run, summary, worst))
    text = "not equal" if math.isinf(summary.used) else f"up to {times(summary.used)}"
    return Figure(f"from step {summary.first_beyond}, {text}", beyond=True)


def _free_figure(run: Run, measures: np.void | None, step: int) -> Figure:
    """The largest difference; marked as rounding where no budget was exceeded yet or it is too small to be more."""
    if measures is None:
        return Figure("–")
    absolute = measures["absolute"]
    if absolute["value"] == 0:
        return Figure("0")
    calm = run.verdict is Verdict.PARITY or (run.first is not None and step < run.first.step)
    calm = calm and not run.by_tolerance  # which lets pass what no budget would
    ulp = float(measures["ulp"]["value"])
    rounding = calm or is_small(absolute, run.precision) or ulp < 1
    return Figure(number(float(absolute["value"]), 3), rounding=rounding)


def lane_notes(result: Result) -> str:
    """How to read the table."""
    lanes = {lane for run in result.runs for lane, _ in run.summaries}
    budget = "rounding budget"
    if any(run.by_tolerance for run in result.runs):
        budget += ", or of the tolerance that was set for it,"
    texts: dict[Lane, str] = {
        "local": "local: each phase given the reference's own inputs; what is shown is the share of its "
        f"{budget} that the worst element of the worst step uses",
        "free": "step columns: the largest difference between the two sides, each going its own way",
    }
    mark = "≈ marks figures whose digits rounding decides: they differ between machines"
    return ". ".join([*(texts[lane] for lane in texts if lane in lanes), mark]) + "."
