"""What every report for people tells, in one order: the verdict first, where the two sides part, why, then the rest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from parity.report import causes, facts, steps, worth
from parity.report.causes import Pairs
from parity.report.following import following
from parity.result import Result

Kind = Literal["subject", "divergence", "cause", "steps", "list", "long", "next", "made"]
"""`list` is told whole, `long` may be cut short; `made` is what differs from machine to machine."""

ANSWER = frozenset({"subject", "divergence", "cause"})
"""What belongs before the scroll."""


@dataclass(frozen=True)
class Section:
    kind: Kind
    title: str
    pairs: Pairs
    tables: tuple[steps.Table, ...] = ()
    note: str = ""


def sections(result: Result) -> Iterator[Section]:
    """Everything after the headline; a section with nothing to say is left out."""
    yield Section("subject", "What was compared", list(facts.subject(result)))
    if (first := result.first_divergence) is not None:
        yield Section("divergence", "First divergence", list(facts.divergence(first)))
    for title, pairs in causes.sections(result.diagnosis):
        yield Section("cause", title, pairs)
    tables = tuple(steps.table(run) for run in result.runs)
    note = steps.lane_notes(result)
    yield Section("steps", "Steps by tensors", list(facts.runs(result)), tables, note)
    lists: tuple[tuple[Kind, str, Pairs], ...] = (
        ("long", "Fixed tolerances", list(worth.tolerances(result))),
        ("list", "The smallest relative error that would have been seen", list(worth.sensitivity(result))),
        ("long", "Not exercised", list(worth.not_exercised(result))),
        ("list", "Gradient check", list(facts.gradcheck(result))),
        ("long", "Not compared", [(item.what, item.why) for item in result.not_compared]),
        ("made", "How it was made", list(made(result))),
        ("next", "Next", [(item.why, item.command) for item in following(result)]),
    )
    for kind, title, pairs in lists:
        if pairs:
            yield Section(kind, title, pairs)


def made(result: Result) -> Iterator[tuple[str, str]]:
    """What it takes to make the same comparison again."""
    if result.command:
        yield "command", result.command
    yield "data", f"sha256 {result.data_digest}"
    yield from result.environment.items()
    yield "time", ", ".join(f"{name} {seconds:.2f} s" for name, seconds in result.timings.items())
