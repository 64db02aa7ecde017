"""One of several results that are told together: by its name, and whether it is what was expected."""

from __future__ import annotations

from dataclasses import dataclass

from parity.report import facts
from parity.report.causes import ambiguous
from parity.result import Result
from parity.verdict import Verdict


@dataclass(frozen=True)
class Entry:
    """A named result.

    A gate that expects a divergence passes one by `as_expected`; left out, parity and nothing else is expected.
    """

    name: str
    result: Result | None
    """None where nothing came of it: a side crashed, its data are not here, its baseline is stale."""
    as_expected: bool | None = None
    note: str = ""
    """What was expected, or in what the result is not that; why there is no result."""
    state: str = ""
    """Where there is no result: what became of it, in a word or two."""

    @property
    def passed(self) -> bool:
        if self.as_expected is not None:
            return self.as_expected
        return self.result is not None and self.result.verdict is Verdict.PARITY

    @property
    def verdict(self) -> str:
        """Of the result; where there is none, what became of it."""
        return str(self.result.verdict) if self.result is not None else self.state or str(Verdict.CANNOT_JUDGE)

    @property
    def place(self) -> str:
        """Where the first divergence is; empty where there is none."""
        found = None if self.result is None else self.result.first_divergence
        return "" if found is None else f"step {found.step}, {facts.place(found.key)}"

    @property
    def causes(self) -> str:
        """The causes by name, and which of them are in doubt; empty where nothing diverged or nobody asked."""
        diagnosis = None if self.result is None else self.result.diagnosis
        if diagnosis is None:
            return ""
        named = [f"{cause} ({among})" if (among := ambiguous(cause)) else str(cause) for cause in diagnosis.causes]
        return ", ".join(named) or diagnosis.instead


def told_first(entries: list[Entry]) -> list[Entry]:
    """Those that are not as expected, then the others, each in their order."""
    return sorted(entries, key=lambda entry: entry.passed)
