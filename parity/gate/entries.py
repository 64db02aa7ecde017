"""What the gate found, for reports: an entry for each run of each case, those too that came to nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from parity.gate.suite import Outcome, State
from parity.report.entries import Entry
from parity.verdict import Verdict


def entries(outcomes: Sequence[Outcome]) -> list[Entry]:
    """By `case: run`; by the case's folder where two cases have one name."""
    names = Counter(name for name, _ in {(outcome.job.name, outcome.job.folder) for outcome in outcomes})
    return [entry(outcome, whole_path=names[outcome.job.name] > 1) for outcome in outcomes]


def entry(outcome: Outcome, *, whole_path: bool = False) -> Entry:
    """One run."""
    case = outcome.job.folder.as_posix() if whole_path else outcome.job.name
    name = f"{case}: {outcome.run.name}" if outcome.run.name else case
    return Entry(name, outcome.result, not outcome.exit_code, _note(outcome), str(outcome.state))


def _note(outcome: Outcome) -> str:
    """What was not expected; of what passed, what one may wonder about."""
    if outcome.state is State.KNOWN:
        return f"known: {outcome.note}"
    if outcome.state is State.PASSED and (result := outcome.result) is not None:
        return "" if result.verdict is Verdict.PARITY else f"{result.verdict} is expected here"
    return "\n".join(outcome.problems)
