"""What an answer is worth: the smallest error it would have seen, what it never tried, what would have passed."""

from __future__ import annotations

import math
from collections.abc import Iterator

from parity.coverage import SETTING
from parity.report.facts import number, place
from parity.result import Result
from parity.sensitivity import Finding
from parity.tolerance import Needed


def at_least(value: float) -> str:
    """Three significant digits, rounded up: who sets a tolerance to what is shown must pass."""
    if not 0 < value < math.inf:
        return number(value)
    last = 10.0 ** (math.floor(math.log10(value)) - 2)
    return next(text for more in range(3) if float(text := f"{value + more * last:.3g}") >= value)


def sensitivity(result: Result) -> Iterator[tuple[str, str]]:
    """The smallest error in each constant that the local lane would have shown."""
    found: dict[str, dict[str, list[str]]] = {}
    for run in result.runs:
        for finding in run.judge.sensitivity.findings:
            places = found.setdefault(finding.what, {})
            places.setdefault(_seen_in(finding), []).append(f"{_smallest(finding)} in {run.precision}")
    for what, places in found.items():
        yield what, " and ".join(f"{' and '.join(texts)}{where}" for where, texts in places.items())


def _smallest(finding: Finding) -> str:
    if finding.error is None:
        return "nothing up to twice the value"
    return f"{finding.error:g} ulp" if finding.unit == "ulp" else f"≈{number(finding.error, 2)}"


def _seen_in(finding: Finding) -> str:
    if finding.seen_in is None:
        return ""
    elements = "" if finding.elements is None else "{} of the {} elements of ".format(*finding.elements)
    return f" seen in {elements}{finding.seen_in} at step {finding.step}"


def not_exercised(result: Result) -> Iterator[tuple[str, str]]:
    """Settings that could be wrong without this run showing it."""
    every = {run.precision for run in result.runs}
    for item, precisions in result.not_exercised:
        where = "" if set(precisions) == every else f", {' and '.join(precisions)}"
        looked = "" if item.looked_at == SETTING else f" (looked at: {item.looked_at})"
        yield f"{item.what}{where}", f"{item.why}{looked}"


def tolerances(result: Result) -> Iterator[tuple[str, str]]:
    """What was judged by a fixed tolerance, and what would have been enough; nothing where none was set."""
    if not result.experiment.tolerance:
        return
    for run in result.runs:
        for lane, needed in run.judge.needed.items():
            yield f"{run.precision}, everything, {lane} lane", f"would pass with {_enough(needed)}"
        fixed = [summary for summary in run.summaries.values() if summary.rule is not None]
        for summary in sorted(fixed, key=lambda summary: not summary.beyond):  # what was beyond comes first
            label = f"{run.precision}, {place(summary.key)}, {summary.lane} lane"
            yield label, f"{summary.rule}; would pass with {_enough(summary.needed)}"


def _enough(needed: Needed) -> str:
    """Each alone, the others zero."""
    if not math.isfinite(needed.atol):
        return "no tolerance: it is not finite"
    if not needed.atol:
        return "zero: equal to the last bit"
    ways = [f"{name} {at_least(value)}" for name, value in vars(needed).items() if math.isfinite(value)]
    return f"≈{', or '.join(ways)} alone"
