"""Which set of conventions makes the stand-in take the candidate's very steps.

Hand-written networks differ in several places at once, and each place hides behind the others. The search therefore
adds one convention at a time to the sets that explain most so far (a beam, so that a wrong first step is left behind),
and goes on until a set explains everything: every tensor that the candidate tells, at every step, within its budget.
How much a set leaves unexplained is its score (`parity.diagnosis.used`). Where only weights are told, every tensor
waits for every cause. So sets are also ranked by what they leave over whatever their factors are
(`parity.diagnosis.direction`), and the best of both rankings are followed; and factors, of which one alone may lead
away from a product, are exchanged two at a time. Beside them, names are sought where factors are numbers that have no
name (`parity.diagnosis.numbered`).
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from parity.diagnosis.direction import Fitting
from parity.diagnosis.evidence import Evidence, Told
from parity.diagnosis.factors import fitted, without_numbers
from parity.diagnosis.numbered import MOST_NUMBERS, Numbered
from parity.diagnosis.possible import hidden, possible
from parity.diagnosis.stand_in import StandIn, computes_in_float32
from parity.diagnosis.tried import BEAM, LEAST, Progress, Set, Tried, beam_of, rank
from parity.diagnosis.used import apart
from parity.protocol import Key, execution_order

QUICK = 2
"""Steps on which sets are tried; one that explains them must explain all of the evidence."""
RESCALED = 2
"""Of how many sets, the best of each ranking, factors are exchanged."""
THIN = 16
"""Examples of a batch that show where the effect of a convention begins."""
MANY = 256
"""Examples of a batch from which on rescaled sets are looked at like that, too."""
MOST_CAUSES = 7
ANYWAY = 2
"""So many causes are sought among names alone, even where numbers leave much less."""
PATIENCE = 1
"""How many times in a row no larger set may be nearer: two causes can hide each other, not three."""
SECONDS = 60.0
"""After so long no larger sets are tried; the report says so."""


# Conventions that are factors of the update, of what the data gives to it, of what a penalty gives, of both, and of the
# penalty that is told: an update may look right for being twice wrong, and a loss as well.
FACTORS = (
    "loss.batch",
    "loss.outputs",
    "loss.factor",
    "learning_rate.scale",
    "gradient.batch",
    "gradient.kernel",
    "gradient.bias",
    "l2.penalty",
    "l2.gradient",
    "l2.scale",
    "l2.decay",
    "l2.reported",
    "l1.penalty",
    "l1.gradient",
    "l1.scale",
    "l1.reported",
    "activity.batch",
    "activity.penalty",
    "activity.gradient",
    "activity.reported",
    "momentum.dampening",
)


# Conventions that multiply or divide by the size of a batch, beside those that say so.
BY_SIZE = ("gradient.kernel", "gradient.bias")


class Search:
    """Tries sets of conventions on evidence; remembers what it tried."""

    def __init__(self, stand_in: StandIn, evidence: Evidence, tell: Callable[[int], None] = lambda _: None) -> None:
        self.stand_in, self.evidence, self.tell = stand_in, evidence, tell
        self.quick = evidence.first(QUICK)
        self._budgets: dict[tuple[int, bool, frozenset[Key]], Told] = {}
        self._tried: dict[tuple[int, Set], Tried] = {}
        self._held: dict[Set, Tried] = {}
        self._last: tuple[Set, Told] | None = None
        self._fittings: dict[int, Fitting] = {}
        self._plain: dict[int, Told] = {}
        self._begins: dict[tuple[int, Set], tuple[int, Key] | None] = {}
        self.keys = execution_order(evidence.keys, stand_in.experiment.layer_names)
        self.singles = possible(stand_in, evidence)
        self.hidden = hidden(self.singles, stand_in.experiment)
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
            budgets = self.budgets_of(evidence, choices, taken)
            used = apart(evidence.told, taken, budgets, self.keys)
            self._tried[key] = Tried(choices, used, self._fitting(evidence).fit(taken, budgets, used))
            if not choices:
                self._plain[evidence.steps] = taken
            elif len(choices) == 1 and evidence.steps in self._plain:
                self._begins[key] = apart(taken, self._plain[evidence.steps], budgets, self.keys).first
            self.tell(len(self._tried))
        return self._tried[key]

    def _fitting(self, evidence: Evidence) -> Fitting:
        if evidence.steps not in self._fittings:
            momentum = getattr(self.stand_in.experiment.optimizer, "momentum", 0.0)
            self._fittings[evidence.steps] = Fitting(evidence, momentum)
        return self._fittings[evidence.steps]

    def take(self, choices: Set) -> Told:
        """All steps of the evidence; the last that were taken are remembered."""
        if self._last is None or self._last[0] != choices:
            self._last = choices, self.stand_in.take(self.evidence, dict(choices))
        return self._last[1]

    def _seen(self, taken: Told) -> Told:
        """Of what was taken, the tensors that the candidate tells."""
        return [{key: told[key] for key in self.keys if key in told} for told in taken]

    def prove(self, choices: Set) -> Tried:
        """Hold a set against all of the evidence, with budgets of its own."""
        if choices not in self._held:
            taken = self.take(choices)
            nothing = [{key: np.zeros(len(array)) for key, array in told.items()} for told in taken]
            used = apart(self.evidence.told, taken, nothing, self.keys)
            if used.shares.any():  # the same to the last bit needs no budget
                budgets = self.stand_in.budgets(self.evidence, dict(choices), self._seen(taken))
                used = apart(self.evidence.told, taken, budgets, self.keys)
            self._held[choices] = Tried(choices, used)
        return self._held[choices]

    def holds(self, choices: Set) -> bool:
        """Whether `prove` would: budgets are measured no further than it takes to see that."""
        taken = self.take(choices)
        growing = self.stand_in.growing_budgets(self.evidence, dict(choices), self._seen(taken))
        return any(Tried(choices, apart(self.evidence.told, taken, budgets, self.keys)).explains for budgets in growing)

    def run(self) -> tuple[list[Tried], list[Tried]]:
        """The smallest sets that explain everything; otherwise none of them and then the best that do not.

        None of them comes first, as it alone says where the unexplained begins: a better set may spoil what was right.
        """
        on, beam = self.quick, [self.try_set(frozenset())]
        if beam[0].explains:  # the first steps show nothing yet
            if (nothing := self.prove(frozenset())).explains:
                return [nothing], []
            on, beam = self.evidence, [self.try_set(frozenset(), self.evidence)]
        best, stale, until = beam, 0, time.thread_time() + SECONDS
        numbered, names, numbers = Numbered(self), Progress(beam), Progress(beam)
        for causes in range(1, MOST_CAUSES + 1):
            if causes > ANYWAY and numbered.ahead_of(beam):
                break
            grown = self._grown(beam, on, until)
            explained = [tried for tried in grown if tried.explains]
            if proved := self.proved(explained):
                return self._smallest(map(self.needed, self._smallest(proved))), []
            numbered.grow((tried.choices for tried in beam), on, until)
            if found := numbered.told(causes):
                return self._smallest(map(self.needed, found)), []
            if (explained or numbered.disproved) and on is self.quick:  # enough for the first steps, not for all
                on = self.evidence
                beam = [self.try_set(frozenset(), on)]
                names, numbers, stale = Progress(beam), Progress(beam), 0
                grown = [self.try_set(tried.choices, on) for tried in explained + sorted(grown, key=rank)[:BEAM]]
            beam = beam_of([tried for tried in grown if not tried.explains])
            nearer = [names.made_by(beam), numbers.made_by(numbered.beam)]
            stale = 0 if any(nearer) else stale + 1
            best = sorted({tried.choices: tried for tried in best + beam}.values(), key=rank)[:BEAM]
            if not beam or stale > PATIENCE or self.stopped:
                break
        if numbered.beam and (self.stopped or numbered.ahead_of(beam)):  # there is less to try than with names alone
            stopped, self.stopped = self.stopped, False
            numbered.go_on(on, time.thread_time() + SECONDS, MOST_CAUSES - causes)
            self.stopped = self.stopped or stopped
        if found := numbered.told() or numbered.found:
            return self._smallest(map(self.needed, found)), []
        plain = self.try_set(frozenset(), on)
        best = sorted([*best, *numbered.written], key=rank)[:BEAM]
        return [], [plain, *(tried for tried in best if tried.choices and tried.score < plain.score - LEAST)]

    def _grown(self, beam: list[Tried], on: Evidence, until: float) -> list[Tried]:
        """Every set with one convention more than one of these has, and these with other factors.

        Where steps are large, no more of them than it takes to explain everything: what else does is for readings.
        """
        found: dict[Set, Tried] = {}
        grown = (self.larger(tried, on) for tried in beam)
        # Factors of one product: each alone may lead away from it.
        rescaled = (self._rescaled(tried, on) for tried in beam[:RESCALED] if tried.choices)
        for sets in itertools.chain(grown, rescaled):
            for tried in self.tried_until(until, (one for one in sets if one not in found), on):
                found[tried.choices] = tried
            if on.batch > MANY and any(tried.explains for tried in found.values()):
                break
        return list(found.values())

    def tried_until(self, until: float, sets: Iterable[Set], on: Evidence) -> Iterator[Tried]:
        for choices in sets:
            if self.out_of_time(until):
                return
            yield self.try_set(choices, on)

    def out_of_time(self, until: float) -> bool:
        self.stopped = self.stopped or time.thread_time() > until
        return self.stopped

    def alike(self, choices: Set, sets: Iterable[Set]) -> Iterator[Set]:
        """Those of these sets that may do as well as one does: the first steps, with few of their examples, tell."""
        thin = self.quick.thin(THIN)
        taken = self.stand_in.take(thin, dict(choices))
        budgets = self.stand_in.budgets(thin, dict(choices), taken)
        for other in sets:
            used = apart(self.stand_in.take(thin, dict(other)), taken, budgets, self.keys)
            if used.explained or _lost_by_thinning(choices ^ other, self.evidence):
                yield other

    def _rescaled(self, tried: Tried, on: Evidence) -> Iterable[Set]:
        """The set with other factors; where its steps are large, only those that may explain what it leaves over."""
        rescaled = self._other_factors(tried.choices)
        return rescaled if on.batch <= MANY else self._beginning_where_left(tried, rescaled, on)

    def _other_factors(self, choices: Set) -> Iterator[Set]:
        """The set with one or two of its factors others: taken out, put in, or put in place of one of their code."""
        of_set = dict(choices)
        options = [[(code, ""), *of_code] for code, of_code in self.factors().items()]
        others = [[one for one in of_code if of_set.get(one[0], "") != one[1]] for of_code in options]
        for count in (1, 2):
            for several in itertools.combinations(others, count):
                for changes in itertools.product(*several):
                    changed = {code: choice for code, choice in (of_set | dict(changes)).items() if choice}
                    if changed and len(changed) <= MOST_CAUSES:
                        yield frozenset(changed.items())

    def factors(self, codes: Iterable[str] = FACTORS) -> dict[str, list[tuple[str, str]]]:
        """Code -> factors; those that were seen to make no difference by themselves make none beside others, mostly."""
        return {code: [one for one in self.singles if one[0] == code and not self._idle(one)] for code in codes}

    def _idle(self, single: tuple[str, str]) -> bool:
        """Whether it was tried by itself and made no difference; in all steps, if a smaller batch may come late."""
        one = frozenset([single])
        keys = [(on.steps, one) for on in (self.quick, self.evidence)]
        begins = [self._begins[key] for key in keys if key in self._begins]
        if not begins or any(begins):
            return False
        if not self.evidence.uneven:
            return True
        for choices in (frozenset[tuple[str, str]](), one):
            self.try_set(choices, self.evidence)
        return self._begins.get(keys[-1]) is None

    def needed(self, proved: Tried) -> Tried:
        """What is left of a set without what explains nothing in it, and with one convention where two are no better.

        Either way there is one convention less, and no more than two of the others have changed.
        """
        for count in (1, 2):
            for idle in itertools.combinations(sorted(proved.choices), count):
                rest = proved.choices - set(idle)
                codes = {code for code, _ in rest}
                instead = [rest | {one} for one in self.singles if one[0] not in codes] if count == 2 else []
                for fewer in (rest, *self.alike(proved.choices, instead)):
                    if fewer and self.try_set(fewer).explains and (held := self.prove(fewer)).explains:
                        return self.needed(held)
        for fewer in self._in_a_number(proved.choices):
            if (held := self.prove(fewer)).explains:
                return self.needed(held)
        return proved

    def _in_a_number(self, choices: Set) -> Iterator[Set]:
        """The set without a factor that has a name, where another number holds it: 2.1 beside a third is 0.7."""
        names = without_numbers(choices)
        for one in sorted(names) if names != choices else ():
            if one[0] in FACTORS:
                fits = fitted(self, names - {one}, self.quick, MOST_NUMBERS)
                yield from (fewer for fewer in fits if len(fewer) < len(choices))

    def proved(self, tried: Iterable[Tried]) -> list[Tried]:
        """Those that explain the steps they were tried on, and all others."""
        return [held for one in tried if one.explains and (held := self.prove(one.choices)).explains]

    @staticmethod
    def _smallest(proved: Iterable[Tried]) -> list[Tried]:
        found = {held.choices: held for held in proved}
        least = min(map(len, found))
        return [held for choices, held in found.items() if len(choices) == least]

    def larger(self, tried: Tried, on: Evidence) -> Iterator[Set]:
        """Every set with one more convention than this one has, if that can explain any more; or two that need both."""
        codes = {code for code, _ in tried.choices}
        singles = [single for single in self.singles if single[0] not in codes]
        yield from (tried.choices | {single} for single in self._promising(tried, singles, on))
        both = [tried.choices | pair for pair in self.hidden if codes.isdisjoint(code for code, _ in pair)]
        yield from both if on.batch <= THIN else self._beginning_where_left(tried, both, on)

    def _promising(self, tried: Tried, singles: list[tuple[str, str]], on: Evidence) -> Iterator[tuple[str, str]]:
        """Conventions that may explain what a set leaves over.

        One whose effect begins, step by step and in execution order, in a tensor of which everything is explained
        already would only spoil that, unless nothing moves there any more. With large batches it pays to look first,
        with few of the examples, where an effect begins: only one that begins where something is left over first is
        tried.
        """
        if on.batch <= THIN:
            still = self._still(tried.choices, on)
            for single in singles:
                begins = self._begins.get((on.steps, frozenset([single])))
                if begins is None or begins[1] in still or not tried.has_explained(begins[1]):
                    yield single
            return
        sets = {tried.choices | {single}: single for single in singles}
        for choices in self._beginning_where_left(tried, sets, on):
            yield sets[choices]

    def _still(self, choices: Set, on: Evidence) -> set[Key]:
        """Tensors that stay what they were, or zero: of a layer that is never updated, a gradient that is missing."""
        taken = [
            (key, array, before.get(key, 0.0))
            for told, before in zip(self.stand_in.take(on, dict(choices)), on.before, strict=True)
            for key, array in told.items()
        ]
        return {key for key, _, _ in taken} - {key for key, array, before in taken if not (array == before).all()}

    def _beginning_where_left(self, tried: Tried, sets: Iterable[Set], on: Evidence) -> Iterator[Set]:
        """Sets that begin to differ from one in what it leaves over first, as few of the examples show.

        One that begins before spoils what was explained, and one that begins later leaves that over.
        """
        thin, where = on.thin(THIN), tried.first
        taken = self.stand_in.take(thin, dict(tried.choices))
        budgets = self.stand_in.budgets(thin, dict(tried.choices), taken)
        for choices in sets:
            used = apart(self.stand_in.take(thin, dict(choices)), taken, budgets, self.keys)
            if used.first == where or _lost_by_thinning(choices ^ tried.choices, on):
                yield choices

    def budgets_of(self, evidence: Evidence, choices: Set, taken: Told) -> Told:
        """Budgets for ranking: those of one set do for all that tell the same tensors in the same precision."""
        key = (evidence.steps, computes_in_float32(dict(choices)), frozenset(taken[0].keys() & set(self.keys)))
        if key not in self._budgets:
            self._budgets[key] = self.stand_in.budgets(evidence, dict(choices), self._seen(taken))
        return self._budgets[key]


def _lost_by_thinning(changed: Set, on: Evidence) -> bool:
    """Whether it is about the smaller batch: with few examples of each, all are smaller or none is.

    Or about a number that is made by the size of a batch, and of few examples would be another.
    """
    by_size = any("batch" in code or "batch" in choice or code in BY_SIZE for code, choice in changed)
    a_number = without_numbers(changed) != changed
    return (on.batch > THIN and a_number and by_size) or (
        on.uneven and any(code == "data.partial_batch" for code, _ in changed)
    )
