"""One of several results that are told together: by its name, and whether it is what was expected."""

from __future__ import annotations

from dataclasses import dataclass

from parity.report import facts
from parity.result import Result
from parity.verdict import Verdict


@dataclass(frozen=True)
class Entry:
    """A named result.

    A gate that expects a divergence passes one by `as_expected`; left out, parity and nothing else is expected.
    """

    name: str
    result: Result
    as_expected: bool | None = None
    note: str = ""
    """What was expected, or in what the result is not that."""

    @property
    def passed(self) -> bool:
        return self.result.verdict is Verdict.PARITY if self.as_expected is None else self.as_expected

    @property
    def place(self) -> str:
        """Where the first divergence is; empty where there is none."""
        found = self.result.first_divergence
        return "" if found is None else f"step {found.step}, {facts.place(found.key)}"

    @property
    def causes(self) -> str:
        """The causes by name; empty where nothing diverged or nobody asked."""
        diagnosis = self.result.diagnosis
        if diagnosis is None:
            return ""
        return ", ".join(map(str, diagnosis.causes)) or "UNEXPLAINED"
