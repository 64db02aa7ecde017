"""Which set of conventions makes the stand-in take the candidate's very steps.

Hand-written networks differ in several places at once, and each place hides behind the others. The search therefore
adds one convention at a time to the sets that explain most so far (a beam, so that a wrong first step is left behind),
and goes on until a set explains everything: every tensor that the candidate tells, at every step, within its budget.
How much is left unexplained is measured by

    score = sum over tensors of the mean over steps of log10(used), where used > 1

in which a cause counts when it brings any tensor nearer, even if another cause still keeps it apart.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from parity.diagnosis.evidence import Evidence
from parity.diagnosis.stand_in import IN_FLOAT32, StandIn, Told, Used, apart, computes_in_float32
from parity.protocol import Key, execution_order

QUICK = 3
"""Steps on which sets are tried; one that explains them must explain all of the evidence."""
BEAM = 6
THIN = 16
"""Examples of a batch that show where the effect of a convention begins."""
MOST_CAUSES = 7
LEAST = 0.5
"""What a larger set must take from the score to count as nearer; rounding and chance take less."""
PATIENCE = 1
"""How many times in a row no larger set may be nearer: two causes can hide each other, not three."""
SECONDS = 60.0
"""After so long no larger sets are tried; the report says so."""
ENGINE_PARAMETERS = 30
"""Finite differences take a step's time for each parameter: they are thought of for networks up to this size."""
WORST = 1e30  # what an infinite difference counts for

Set = frozenset[tuple[str, str]]

# Conventions that are factors of the update: of what the data gives to it, of what a penalty gives, of both.
FACTORS = (
    "loss.batch",
    "loss.outputs",
    "loss.factor",
    "learning_rate.scale",
    "gradient.kernel",
    "gradient.bias",
    "l2.penalty",
    "l2.scale",
    "l2.decay",
)
MOST_FACTORS = 3
"""So many at once are tried as a product."""


@dataclass(frozen=True)
class Tried:
    """A set of conventions, and what it leaves unexplained."""

    choices: Set
    used: Used = field(repr=False)

    @property
    def score(self) -> float:
        return float(sum(np.log10(np.clip(used, 1, WORST)).mean() for used in self.used.values()))

    @property
    def explains(self) -> bool:
        return bool(self.used) and all((used <= 1).all() for used in self.used.values())

    @property
    def first(self) -> tuple[int, Key] | None:
        """The first step, counted from 0, and in it the first tensor that is left unexplained."""
        return _first(self.used)

    def has_explained(self, key: Key) -> bool:
        """Whether nothing is left to explain of one tensor, at any step."""
        return key in self.used and bool((self.used[key] <= 1).all())

    @property
    def worst(self) -> float:
        """The largest share of a budget."""
        return max((float(used.max(initial=0.0)) for used in self.used.values()), default=np.nan)


class Search:
    """Tries sets of conventions on evidence; remembers what it tried."""

    def __init__(self, stand_in: StandIn, evidence: Evidence, tell: Callable[[int], None] = lambda _: None) -> None:
        self.stand_in, self.evidence, self.tell = stand_in, evidence, tell
        self.quick = evidence.first(QUICK)
        self._budgets: dict[tuple[int, bool, frozenset[Key]], Told] = {}
        self._tried: dict[tuple[int, Set], Tried] = {}
        self._plain: dict[int, Told] = {}
        self._begins: dict[tuple[int, Set], tuple[int, Key] | None] = {}
        self.keys = execution_order(evidence.keys, stand_in.experiment.layer_names)
        parameters = sum(array.size for array in stand_in.weights.values())
        self.singles = [single for single in stand_in.choices if _possible(single, evidence, parameters)]
        self.stopped = False

    @property
    def tried(self) -> int:
        return len({choices for _, choices in self._tried})

    def try_set(self, choices: Set, evidence: Evidence | None = None) -> Tried:
        """Take the steps with these conventions; on the first few only, if no other evidence is named."""
        evidence = evidence or self.quick
        key = (evidence.steps, choices)
        if key not in self._tried:
            taken = self.stand_in.take(evidence, dict(choices))
            budgets = self._budgets_of(evidence, choices, frozenset(taken[0]))
            self._tried[key] = Tried(choices, apart(evidence.told, taken, budgets, self.keys))
            if not choices:
                self._plain[evidence.steps] = taken
            elif len(choices) == 1 and evidence.steps in self._plain:
                self._begins[key] = _first(apart(taken, self._plain[evidence.steps], budgets, self.keys))
            self.tell(len(self._tried))
        return self._tried[key]

    def prove(self, choices: Set) -> Tried:
        """Hold a set against all of the evidence, with budgets of its own."""
        taken = self.stand_in.take(self.evidence, dict(choices))
        budgets = self.stand_in.budgets(self.evidence, dict(choices))
        return Tried(choices, apart(self.evidence.told, taken, budgets, self.keys))

    def run(self) -> tuple[list[Tried], list[Tried]]:
        """The smallest sets that explain everything; otherwise none of them and then the best that do not.

        None of them comes first, as it alone says where the unexplained begins: a better set may spoil what was right.
        """
        on, beam = self.quick, [self.try_set(frozenset())]
        if beam[0].explains:  # the first steps show nothing yet
            if (nothing := self.prove(frozenset())).explains:
                return [nothing], []
            on, beam = self.evidence, [self.try_set(frozenset(), self.evidence)]
        best, stale, began = beam, 0, time.monotonic()
        for size in range(1, MOST_CAUSES + 1):
            larger = self._larger(beam, on)
            if 1 < size <= MOST_FACTORS:  # factors of one product: each alone may lead away from it
                larger += self._products(size)
            grown = [self.try_set(choices, on) for choices in dict.fromkeys(larger)]
            explained = [tried for tried in grown if tried.explains]
            if proved := self._proved(explained):
                return list({held.choices: held for held in map(self._needed, proved)}.values()), []
            if explained and on is self.quick:  # enough for the first steps, not for all
                on = self.evidence
                self.try_set(frozenset(), on)
                grown = [self.try_set(tried.choices, on) for tried in explained + sorted(grown, key=_rank)[:BEAM]]
            beam = sorted([tried for tried in grown if not tried.explains], key=_rank)[:BEAM]
            stale = 0 if beam and beam[0].score < best[0].score - LEAST else stale + 1
            best = sorted({tried.choices: tried for tried in best + beam}.values(), key=_rank)[:BEAM]
            self.stopped = time.monotonic() - began > SECONDS
            if not beam or stale > PATIENCE or self.stopped:
                break
        plain = self.try_set(frozenset(), on)
        return [], [plain, *(tried for tried in best if tried.choices and tried.score < plain.score - LEAST)]

    def alternatives(self, choices: Set, cause: tuple[str, str]) -> list[tuple[str, str]]:
        """What could stand in the place of one cause, as far as this evidence can tell."""
        rest = choices - {cause}
        taken = {code for code, _ in rest}
        singles = [single for single in self.singles if single[0] not in taken]
        if self.quick.batch > THIN:
            singles = list(self._promising(self.try_set(rest), singles, self.quick))
        return [
            other
            for other in singles
            if other != cause and self.try_set(rest | {other}).explains and self.prove(rest | {other}).explains
        ]

    def readings(self, choices: Set) -> list[Set]:
        """Other sets that do as well, where what can be seen is only the product of several factors."""
        rest = frozenset((code, choice) for code, choice in choices if code not in FACTORS)
        if rest == choices:
            return []
        found = []
        for size in range(1, min(len(choices - rest) + 1, MOST_FACTORS) + 1):
            for product in self._products(size):
                reading = rest | product
                idle = any(self.try_set(reading - {one}).explains for one in product)
                if reading != choices and not idle and self.try_set(reading).explains and self.prove(reading).explains:
                    found.append(reading)
        return found

    def _products(self, size: int) -> list[Set]:
        """Every set of so many factors."""
        options = [[single for single in self.singles if single[0] == code] for code in FACTORS]
        return [
            frozenset(product)
            for several in itertools.combinations(options, size)
            for product in itertools.product(*several)
        ]

    def _needed(self, proved: Tried) -> Tried:
        """What is left of a set without those of its conventions, one or two at a time, that explain nothing in it."""
        for count in (1, 2):
            for idle in itertools.combinations(sorted(proved.choices), count):
                fewer = proved.choices - set(idle)
                if fewer and self.try_set(fewer).explains and (held := self.prove(fewer)).explains:
                    return self._needed(held)
        return proved

    def _proved(self, tried: Iterable[Tried]) -> list[Tried]:
        """The smallest of those that explain the steps they were tried on, and all others."""
        proved = [held for one in tried if one.explains and (held := self.prove(one.choices)).explains]
        least = min((len(held.choices) for held in proved), default=0)
        return [held for held in proved if len(held.choices) == least]

    def _larger(self, beam: list[Tried], on: Evidence) -> list[Set]:
        """Every set with one more convention than one of these has, if that can explain any more."""
        found: dict[Set, None] = {}
        for tried in beam:
            codes = {code for code, _ in tried.choices}
            singles = [single for single in self.singles if single[0] not in codes]
            for single in self._promising(tried, singles, on):
                found[tried.choices | {single}] = None
        return list(found)

    def _promising(self, tried: Tried, singles: list[tuple[str, str]], on: Evidence) -> Iterator[tuple[str, str]]:
        """Conventions that may explain what a set leaves over.

        One whose effect begins, step by step and in execution order, in a tensor of which everything is explained
        already would only spoil that. With large batches it pays to look first, with few of the examples, where an
        effect begins: only one that begins where something is left over first is tried.
        """
        if on.batch <= THIN:
            for single in singles:
                begins = self._begins.get((on.steps, frozenset([single])))
                if begins is None or not tried.has_explained(begins[1]):
                    yield single
            return
        thin, where = on.thin(THIN), _first(tried.used)
        taken, budgets = self.stand_in.take(thin, dict(tried.choices)), self.stand_in.budgets(thin, dict(tried.choices))
        for single in singles:
            other = self.stand_in.take(thin, dict(tried.choices | {single}))
            if _first(apart(other, taken, budgets, self.keys)) == where:
                yield single

    def _budgets_of(self, evidence: Evidence, choices: Set, told: frozenset[Key]) -> Told:
        """Budgets for ranking: those of one set do for all that tell the same tensors in the same precision."""
        key = (evidence.steps, computes_in_float32(dict(choices)), told)
        if key not in self._budgets:
            self._budgets[key] = self.stand_in.budgets(evidence, dict(choices))
        return self._budgets[key]


def _possible(single: tuple[str, str], evidence: Evidence, parameters: int) -> bool:
    """One example at a time gives the same gradient; and who computes in float32 has no other numbers."""
    if single[0] == "gradient.engine":
        return parameters <= ENGINE_PARAMETERS and single[1] != "per_example"
    return dict([single]) != IN_FLOAT32 or (evidence.dtype == "float64" and evidence.in_float32)


def _first(used: Used) -> tuple[int, Key] | None:
    """The first step, and in it the first tensor, that is beyond its budget."""
    over = {key: int((of_key > 1).argmax()) for key, of_key in used.items() if (of_key > 1).any()}
    return min(((step, key) for key, step in over.items()), key=lambda found: found[0], default=None)


def _rank(tried: Tried) -> tuple[float, int, list[tuple[str, str]]]:
    return tried.score, len(tried.choices), sorted(tried.choices)
