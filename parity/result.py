"""What a comparison found: the one model that every report is written from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from parity.arbiter import REORDERED_ULPS, Arbitration
from parity.config import Experiment, Precision
from parity.coverage import NotExercised
from parity.diagnosis import Cause, Diagnosis
from parity.envelope import EnvelopeReport
from parity.errors import ExitCode
from parity.gradcheck import GradCheck
from parity.judge import Judge
from parity.ledger import LANES, Ledger
from parity.protocol import Key, Lane
from parity.verdict import Divergence, Kind, NotCompared, Summary, Verdict

if TYPE_CHECKING:
    import pandas as pd


class Meaning(StrEnum):
    """What the verdicts of both precisions say together."""

    EQUAL = "equal"
    ROUNDING = "rounding"
    """The same formula, rounded differently."""
    ORDER = "order"
    """The same formula, its operations in another order."""
    FORMULA = "formula"
    OPEN = "open"
    """A difference that only the precision that was not judged could explain."""
    TYPE = "type"
    """Arrays of another dtype or shape, which are held against nothing."""
    TOLERANCE = "tolerance"
    """What fixed tolerances say is of them alone."""


@dataclass(frozen=True)
class Run:
    """One precision: both sides over all steps."""

    precision: Precision
    planned_steps: int
    judge: Judge
    seconds: float
    envelope: EnvelopeReport | None = None
    """Where the free lane was held against the drift of an ensemble."""

    @property
    def verdict(self) -> Verdict:
        return self.judge.verdict

    @property
    def first(self) -> Divergence | None:
        return self.judge.first

    @property
    def ledger(self) -> Ledger:
        return self.judge.ledger

    @property
    def summaries(self) -> Mapping[tuple[Lane, Key], Summary]:
        return self.judge.summaries

    @property
    def by_tolerance(self) -> bool:
        """Whether a tolerance that was set judged anything."""
        return any(summary.rule is not None for summary in self.summaries.values())

    @cached_property
    def last_bits(self) -> bool:
        """Whether all that diverged had to be equal to the last bit and is so but for a few units in the last place."""
        if self.first is None or self.first.lane == "free":
            return False
        for entries in self.ledger:
            local = entries[entries["lane"] == LANES.index("local")]["measures"]
            beyond = local[local["used"]["value"] > 1]
            if (np.isfinite(beyond["used"]["value"]) | ~(beyond["ulp"]["value"] <= REORDERED_ULPS)).any():
                return False
        return True

    @property
    def worst(self) -> Summary | None:
        """The judged tensor that used most of its budget."""
        judged = [summary for summary in self.summaries.values() if summary.used == summary.used]  # NaN
        return max(judged, key=lambda summary: summary.used, default=None)


@dataclass(frozen=True)
class Declared:
    """Choices in which the candidate is meant to differ, and what was found of them; see `parity.declared`."""

    choices: Mapping[str, str]
    reference: str
    """The side that is trusted; the candidate is held against the NumPy network with the choices."""
    trusted: Verdict
    """Of the NumPy network without the choices, against that side."""
    idle: tuple[str, ...] = ()
    """Codes that make no difference in this run beside the others; all of them where they make none together."""
    unseen: tuple[str, ...] = ()
    """Codes that make one in nothing that the candidate tells."""
    undone: tuple[str, ...] = ()
    """Codes where the candidate chooses as Keras does."""

    @property
    def shows(self) -> bool:
        """Whether each of the choices makes a difference in this run."""
        return not self.idle

    def said(self, codes: Iterable[str]) -> str:
        """Codes with what was declared of them."""
        return ", ".join(f"{code}={self.choices[code]}" for code in codes)

    def __str__(self) -> str:
        return self.said(self.choices)


@dataclass(frozen=True)
class Crash:
    """A side failed: its own code raised, told what cannot be, or did not return."""

    message: str
    step: int | None = None
    """At which; 0 before the first step."""


@dataclass(frozen=True)
class Result:
    """A whole comparison."""

    experiment: Experiment
    reference: str
    candidate: str
    runs: tuple[Run, ...]
    data_digest: str
    diagnosis: Diagnosis | None = None
    """Why they diverged; None where nothing did or nobody asked."""
    command: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    timings: Mapping[str, float] = field(default_factory=dict)
    interrupted: bool = False
    crash: Crash | None = None
    """Why it ended before all steps were compared, where a side failed; what came before is judged as ever."""
    remarks: Mapping[str, str] = field(default_factory=dict)
    """What else there is to tell of the sides: what they did, and when first."""
    arbiter: Arbitration | None = None
    """Where float32 diverged in the local lane: which side float64 says is off."""
    declared: Declared | None = None
    """Differences that are meant."""
    gradcheck: GradCheck | None = None
    """Where it was asked for: each side's gradient against its own loss. No part of the verdict."""

    @property
    def verdict(self) -> Verdict:
        """Diverged in any precision is diverged; parity is parity in all of them, over all steps."""
        verdicts = {run.verdict for run in self.runs}
        if self.declared is not None and self.declared.trusted is not Verdict.PARITY:
            return Verdict.CANNOT_JUDGE
        if Verdict.DIVERGED in verdicts or (self.declared is not None and not self.declared.shows):
            return Verdict.DIVERGED
        unseen = self.declared is not None and self.declared.unseen
        if not verdicts or Verdict.CANNOT_JUDGE in verdicts or self.interrupted or self.crash or unseen:
            return Verdict.CANNOT_JUDGE
        return Verdict.PARITY

    @property
    def meaning(self) -> Meaning | None:
        """What the verdicts say together: float64 tells formulas apart, float32 rounding. None: nothing was judged."""
        if (first := self.first_divergence) is None:
            if self.verdict is not Verdict.PARITY:
                return None
            return Meaning.TOLERANCE if any(run.by_tolerance for run in self.runs) else Meaning.EQUAL
        if first.kind in (Kind.WEIGHTS, Kind.STATE):
            return None
        strict = next((run for run in self.runs if run.precision == "float64"), None)
        shown = first if strict is None or strict.first is None else strict.first
        if shown.kind in (Kind.DTYPE, Kind.SHAPE):
            return Meaning.TYPE
        if shown.fixed:
            return Meaning.TOLERANCE
        if strict is None or strict.verdict is Verdict.CANNOT_JUDGE:
            return Meaning.OPEN
        if strict.first is not None:
            return Meaning.ORDER if strict.last_bits else Meaning.FORMULA
        return Meaning.TOLERANCE if strict.by_tolerance else Meaning.ROUNDING

    @property
    def causes(self) -> tuple[Cause, ...]:
        """The conventions that explain the divergence, the one with the largest effect first; often none are known."""
        return self.diagnosis.causes if self.diagnosis is not None else ()

    @property
    def exit_code(self) -> ExitCode:
        if self.interrupted:
            return ExitCode.INTERRUPTED
        return ExitCode.SIDE_CRASHED if self.crash else self.verdict.exit_code

    @property
    def first_divergence(self) -> Divergence | None:
        """The earliest over the precisions; of two at the same step the one in float64, where formulas stand out."""
        found = [run.first for run in self.runs if run.first is not None]
        return min(found, key=lambda divergence: divergence.step, default=None)

    @property
    def steps_compared(self) -> int:
        return min((run.judge.steps for run in self.runs), default=0)

    @property
    def tensors_compared(self) -> int:
        return min((run.judge.tensors for run in self.runs), default=0)

    @property
    def not_compared(self) -> list[NotCompared]:
        return list(dict.fromkeys(item for run in self.runs for item in run.judge.not_compared))

    @property
    def not_exercised(self) -> list[tuple[NotExercised, tuple[Precision, ...]]]:
        """Settings that mattered in no step, and in which precisions."""
        found: dict[NotExercised, tuple[Precision, ...]] = {}
        for run in self.runs:
            for item in run.judge.coverage.not_exercised:
                found[item] = (*found.get(item, ()), run.precision)
        return list(found.items())

    @cached_property
    def frame(self) -> pd.DataFrame:
        """Every measure of every step as one tidy table."""
        import pandas as pd  # noqa: PLC0415  # heavy, and only tables need it

        frames = [run.ledger.frame().assign(precision=run.precision) for run in self.runs]
        return pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
