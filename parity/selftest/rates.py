"""What a number of trials comes to, and what is asked of it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from parity.selftest.trials import Trial

CONFIDENCE = 0.95


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

    def count(self, what: str) -> int:
        """How many trials are `detected`, `right`, `alone` or `wrong`."""
        return sum(getattr(trial, what) for trial in self.shown)

    def share(self, what: str) -> float:
        """The share of trials that are; NaN of none."""
        return self.count(what) / len(self.shown) if self.shown else float("nan")

    def at_most(self, what: str) -> float:
        """The largest share that so few would still be seen of, but for one time in twenty (Clopper and Pearson)."""
        count, of = self.count(what), len(self.shown)
        low, high = self.share(what), 1.0
        while count < of and high - low > 1e-6:
            share = (low + high) / 2
            seen = sum(math.comb(of, k) * share**k * (1 - share) ** (of - k) for k in range(count + 1))
            low, high = (share, high) if seen > 1 - CONFIDENCE else (low, share)
        return high


@dataclass(frozen=True)
class Thresholds:
    """What must be reached over all levels, by the number of mistakes planted at once."""

    detected: float = 1.0
    wrong: float = 0.005
    """Over all that is planted from the catalogue."""
    right: tuple[tuple[int, str, float], ...] = ((1, "one", 0.97), (2, "two", 0.90), (7, "three and more", 0.80))
    """Up to so many mistakes at once, at least that share named right."""
    place: float = 1.0
    """Of mistakes outside the catalogue: none named, and at least that share found where it begins."""

    def missed(self, rows: Iterable[Rates]) -> list[str]:
        """What the trials fall short of, in words."""
        rows = list(rows)
        nothing = [
            f"{row.title}: nothing that was planted shows: nothing was put to the test" for row in rows if not row.shown
        ]
        silent = _together("none planted", (row for row in rows if row.planted == 0))
        outside = _together("outside the catalogue", (row for row in rows if row.planted is None))
        return [*nothing, *self._silent(silent), *self._planted(rows), *self._outside(outside)]

    def _silent(self, rates: Rates) -> list[str]:
        alarms = rates.count("detected")
        return [f"{rates.title}: {alarms} false alarms of {len(rates.shown)}"] if alarms else []

    def _planted(self, rows: list[Rates]) -> list[str]:
        missed, fewer = [], 0
        for most, title, needed in self.right:
            rates = _together(f"{title} planted", (row for row in rows if row.planted and fewer < row.planted <= most))
            missed += [
                *_below(rates, "detected", self.detected, "detected"),
                *_below(rates, "right", needed, "named right"),
            ]
            fewer = most
        planted = planted_of(rows)
        if planted.share("wrong") > self.wrong:
            missed.append(f"{planted.title}: {_figure(planted, 'wrong')} named wrong, {self.wrong:.1%} allowed")
        return missed

    def _outside(self, rates: Rates) -> list[str]:
        missed = _below(rates, "detected", self.detected, "detected")
        if named := rates.count("wrong"):
            missed.append(f"{rates.title}: {named} named, which nothing in the catalogue explains")
        return missed + _below(rates, "right", self.place, "placed right")


def planted_of(rows: Iterable[Rates]) -> Rates:
    """All trials in which something of the catalogue was planted."""
    return _together("all planted", (row for row in rows if row.planted))


def _together(title: str, rows: Iterable[Rates]) -> Rates:
    """All trials of some rows."""
    rows = list(rows)
    return Rates(title, rows[0].planted if rows else 0, [trial for row in rows for trial in row.trials])


def _below(rates: Rates, what: str, needed: float, words: str) -> list[str]:
    return [f"{rates.title}: {_figure(rates, what)} {words}, {needed:.1%} needed"] if rates.share(what) < needed else []


def _figure(rates: Rates, what: str) -> str:
    return f"{rates.share(what):.1%} ({rates.count(what)} of {len(rates.shown)})"
