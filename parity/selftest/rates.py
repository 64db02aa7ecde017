"""What a number of trials comes to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from parity.selftest.trials import Trial


@dataclass
class Rates:
    """Counts over trials of one kind."""

    title: str
    planted: int | None
    """How many mistakes at once; None for one that is outside the catalogue."""
    trials: list[Trial] = field(default_factory=list)

    def add(self, trials: Iterable[Trial]) -> None:
        self.trials.extend(trials)

    @property
    def shown(self) -> list[Trial]:
        """Trials in which what was planted makes a difference."""
        return [trial for trial in self.trials if trial.shows]

    def share(self, what: str) -> float:
        """The share of trials that are `detected`, `right`, `alone` or `wrong`; NaN of none."""
        shown = self.shown
        return sum(getattr(trial, what) for trial in shown) / len(shown) if shown else float("nan")


@dataclass(frozen=True)
class Thresholds:
    """What must be reached, by the number of mistakes planted at once."""

    detected: float = 1.0
    wrong: float = 0.005
    right: tuple[tuple[int, float], ...] = ((1, 0.97), (2, 0.90), (5, 0.80))
    """Up to so many mistakes, at least that share named right; of more, the last share."""
    place: float = 0.97
    """Of mistakes outside the catalogue: none named, and at least that share found where it begins."""

    def missed(self, rates: Rates) -> list[str]:
        """What these trials fall short of, in words."""
        if not rates.shown:
            return [f"{rates.title}: nothing that was planted shows: nothing was put to the test"]
        if rates.planted is None:
            return self._outside(rates)
        if not rates.planted:
            alarms = sum(trial.detected for trial in rates.shown)
            return [f"{rates.title}: {alarms} false alarms"] if alarms else []
        needed = next((share for planted, share in self.right if rates.planted <= planted), self.right[-1][1])
        missed = []
        if rates.share("detected") < self.detected:
            missed.append(f"{rates.title}: {rates.share('detected'):.1%} detected, {self.detected:.1%} needed")
        if rates.share("right") < needed:
            missed.append(f"{rates.title}: {rates.share('right'):.1%} named right, {needed:.1%} needed")
        if rates.share("wrong") > self.wrong:
            missed.append(f"{rates.title}: {rates.share('wrong'):.1%} named wrong, {self.wrong:.1%} allowed")
        return missed

    def _outside(self, rates: Rates) -> list[str]:
        missed = []
        if rates.share("detected") < self.detected:
            missed.append(f"{rates.title}: {rates.share('detected'):.1%} detected, {self.detected:.1%} needed")
        if named := sum(trial.wrong for trial in rates.shown):
            missed.append(f"{rates.title}: {named} named, which nothing in the catalogue explains")
        if rates.share("right") < self.place:
            missed.append(f"{rates.title}: {rates.share('right'):.1%} placed right, {self.place:.1%} needed")
        return missed
