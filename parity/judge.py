"""From measures to a verdict: what was compared, what went beyond its budget, and which of it came first."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from parity.budget import LocalBudget, Overflow
from parity.config import Experiment, Precision
from parity.coverage import Coverage
from parity.data import Schedule
from parity.element import element
from parity.held import Asked, Measures, Shown, within
from parity.ledger import Ledger
from parity.measure import Largest, Rows, Steps, identical, largest, largest_of_each, measure_all
from parity.protocol import Array, Key, Lane, Pair, Phase, Records, execution_order
from parity.sensitivity import Sensitivity
from parity.tolerance import Needed, Tolerances
from parity.unbounded import Derived, set_aside
from parity.untold import untold
from parity.verdict import Divergence, Evidence, Kind, NotCompared, Summary, Verdict

WEIGHT_PHASES: tuple[Phase, ...] = ("gradient", "update")  # with the loss, those that train
Allowed = Mapping[Key, Array]
"""How far rounding can drive free-running sides apart, beside the budget: one number a step for each key."""
OUTSIDE = "further apart than rounding can have driven the two runs by this step"
ALONE = (
    "the candidate does not replay: judged is its free run alone, against the drift of rounding. What it computes "
    "inside a step, and any difference that stays below that drift, is not seen; how small an error would have been is "
    "not worked out"
)
AGAIN = "reference is what the candidate makes of the same state when it is asked again: its run carried something else"
AUDITED = (
    "reference is what the NumPy network, which computes what the reference does, makes of the candidate's own "
    "recorded inputs"
)
OVERFLOWS = (
    "it differs at step {}, where finite numbers may overflow: rounding and the order of sums decide what comes out"
)
BEGINS = "told before the first step: it does not begin with the weights that it was given"
BEGINS_STATE = "told before the first step: its optimizer does not begin with what it was given, or with zeros"
PROMOTED = (
    "NumPy's float64 scalars and new arrays without a dtype, as of np.zeros(n), make float64 of float32; keep scalars "
    "Python floats, and give new arrays the dtype of the weights"
)
FIXED = "held against the fixed tolerance {}, not against what rounding can explain"


@dataclass
class Judge:
    """Takes in pairs of records, step by step, and knows the verdict so far."""

    experiment: Experiment
    precision: Precision
    ledger: Ledger = field(default_factory=Ledger)
    summaries: dict[tuple[Lane, Key], Summary] = field(default_factory=dict)
    first: Divergence | None = None
    nonfinite: tuple[int, Key] | None = None
    """The first step and tensor where both sides held the same NaN or infinity."""
    steps: int = 0
    judged: set[Key] = field(default_factory=set)
    """What was held against a budget in some step; equal initial weights are no training yet."""
    missing: dict[str, str] = field(default_factory=dict)
    unheld: dict[str, str] = field(default_factory=dict)
    """What differs although nobody could say whether it may: while there is any, there is no parity."""
    schedule: Schedule | None = None
    """Which examples are in which step, where the steps were not recorded somewhere else."""
    replays: bool = True
    """Whether each operation of the candidate is judged; of one that only trains the gradients show in its weights."""
    cut: str = ""
    """Why there are fewer steps than there were to be: what nobody saw is no parity."""
    last_recorded: int = 0
    """The last step that every recorded side has."""
    audited: bool = False
    """Whether each operation is judged by the inputs that it recorded itself, since it cannot be asked again."""
    evidence: Evidence | None = None
    """Of the first divergence, where it is one between the two sides."""
    measures: Measures = "all"
    """Which are taken; the verdict and what it is founded on are the same."""
    shown: Shown = field(default_factory=Shown)

    def __post_init__(self) -> None:
        self._budget = LocalBudget(self.experiment, self.precision)
        self.tolerances = Tolerances(self.experiment)
        self.coverage = Coverage(self.experiment, self.schedule)
        self.sensitivity = Sensitivity(self.experiment, self.precision)

    @property
    def verdict(self) -> Verdict:
        """Parity needs all that trains to have been judged, of every weight; comparing nothing is never parity."""
        if self.first is not None:
            return Verdict.DIVERGED
        if self.nonfinite is not None or self.unheld or self.skipped or self.cut:
            return Verdict.CANNOT_JUDGE
        return Verdict.PARITY

    @property
    def skipped(self) -> list[Key]:
        """What trains and was held against nothing: leaving a tensor out must not help anybody to parity."""
        weights = [
            f"{layer.name}/{kind}"
            for layer in self.experiment.layers
            for kind in ("kernel", "bias")[: 1 + layer.use_bias]
        ]
        phases = WEIGHT_PHASES if self.replays else WEIGHT_PHASES[1:]
        training = [Key("loss", "loss"), *(Key(phase, name) for phase in phases for name in weights)]
        return [key for key in training if key not in self.judged]

    @property
    def tensors(self) -> int:
        return len({key for _, key in self.summaries})

    @property
    def needed(self) -> dict[Lane, Needed]:
        """The smallest tolerance that, given to every tensor, would have passed: in each lane."""
        lanes: dict[Lane, Needed] = {}
        for (lane, _), summary in self.summaries.items():
            lanes[lane] = lanes.get(lane, Needed()).then(summary.needed)
        return lanes

    @property
    def not_compared(self) -> list[NotCompared]:
        return [NotCompared(what, why) for what, why in (self.unheld | self.missing).items()]

    def take_start(self, reference: Mapping[str, Array], candidate: Mapping[str, Array]) -> None:
        """Initial weights that both sides drew by themselves: equal to the last bit or not at all. Step 0."""
        for name, array in reference.items():
            if name in candidate:
                self.hold(Asked(Key("update", name), "local", 0, array[None], np.asarray(candidate[name])[None], 0.0))
            else:
                self.missing[f"initial {name}"] = "the candidate does not draw it"

    def take(self, pair: Pair, drift: Allowed | None = None) -> None:
        """Measure and judge every tensor of a chunk of steps; the free lane where it is known how far it may drift."""
        records, known = pair.reference, self.first
        own = _audited_records(pair)
        if records.first_step == 1:
            self._hold_beginning(pair)
        self.steps += len(records)
        if pair.audited:
            self.audited = True
        elif not pair.local and drift is not None:
            self.missing.setdefault("local lane", ALONE)
        elif not pair.local:
            self.missing.setdefault("local lane", f"not asked for, or {self._unable}: {self._left}")
        said, untold_keys = untold(records.arrays.keys(), pair.free.keys() | pair.local.keys())
        self.missing |= {what: cost for what, cost in said.items() if what not in self.missing}
        asked: list[Asked] = []
        for key in execution_order(records.arrays, self.experiment.layer_names):
            of_key = records.arrays[key]
            if key.phase == "batch":  # both were handed the same arrays: what each says it got must be just that
                lanes: dict[Lane, Array] = {"local": pair.free[key]} if key in pair.free else {}
            else:
                lanes = {lane: said[key] for lane, said in pair.lanes.items() if key in said}
            for lane, array in lanes.items():
                derived: Derived | None = None
                unbounded = partial(self._overflows, key, records)
                if lane == "local":
                    derived = partial(self._budget_of, key, records)
                elif drift is not None and key in drift:
                    derived = partial(self._drifted, key, records, drift[key])
                    unbounded = partial(self._unlimited, key, records, drift[key])
                asked.append(Asked(key, lane, records.first_step, of_key, array, derived, unbounded))
            if key not in untold_keys:
                self._note_missing(key, pair, lanes)
        used = within(asked) if self._suffices(records, pair, drift) else None
        if used is None:
            self.hold(*asked)
        self.hold_to_itself(pair)
        self._audit(pair)
        if used is not None:  # the steps of a divergence are shown
            self._pass(asked, used) if self.first is None else self.hold(*asked)
        self.coverage.take(records)
        judged = {key: array for key, array in pair.audited.items() if key in pair.free}
        self.sensitivity.take(*((own, judged) if judged else (records, pair.local)), self._allowed)
        self.tolerances.check(key for key in records.arrays if key in pair.free or key in pair.local)
        for key in (pair.free.keys() | pair.local.keys()) - records.arrays.keys():
            self.missing.setdefault(str(key), "the reference does not record it")
        if self.first is not known and self.first is not None:
            self.evidence = Evidence.of(self.first, pair)

    def forget_judged(self) -> None:
        """Nothing but what a fixed tolerance judged counts as judged: the rest was not judged to the end."""
        self.judged = {key for key in self.judged if self.tolerances.rule(key) is not None}

    def close(self) -> None:
        """There are no more steps."""
        self.shown.finish(self.ledger)

    def _suffices(self, records: Records, pair: Pair, drift: Allowed | None) -> bool:
        """Whether it is enough to know what is used of each budget, as long as nothing is beyond it."""
        ordinary = drift is None and not pair.audited and not self.tolerances.rules
        counted = records.last_step == self.steps  # a table shows steps by how many were compared
        return self.measures == "shown" and self.first is None and ordinary and counted

    def _pass(self, asked: list[Asked], used: list[Array | None]) -> None:
        """Take in steps in which all is within its budget."""
        for one, share in zip(asked, used, strict=True):
            self._summary(one).take_used(one.first_step, len(one.reference), share)
            if share is not None:
                self.judged.add(one.key)
        self.shown.take(asked, self.ledger)

    def _hold_beginning(self, pair: Pair) -> None:
        """Both sides were given the same weights and slots: one that begins with others trains differently. Step 0."""
        for key in execution_order(pair.free_before.keys() & pair.reference.before.keys(), self.experiment.layer_names):
            given, told = pair.reference.before[key], pair.free_before[key]
            if given.shape != told.shape or np.array_equal(given, told, equal_nan=True):
                continue
            if key.tensor == "optimizer/learning_rate":  # a setting, which the update shows
                continue
            at = np.unravel_index(int(np.abs(told - given).argmax()), given.shape)
            index, note, kind = tuple(map(int, at)), BEGINS_STATE, Kind.STATE
            if key.tensor.count("/") == 1 and key.layer != "optimizer":  # a weight: a slot is told by initial_state
                kind, note = (
                    Kind.WEIGHTS,
                    BEGINS + ("; these are their transpose" if np.array_equal(told, given.T) else ""),
                )
                self.missing.pop("initial weights", None)  # which says that it begins with those it is given
            values = float(given[index]), float(told[index])
            self._diverge(Divergence(0, key, "free", self.precision, index, *values, 0.0, note, kind))

    def hold_to_itself(self, pair: Pair) -> None:
        """The free lane: every step of it must be what the candidate makes of the state that the step began with.

        With each operation judged in the local lane, what then separates the two sides is rounding and its growth, and
        nothing that the candidate carries from step to step without saying so.
        """
        records = Records(pair.reference.first_step, pair.free, pair.free_before)
        for key in execution_order(pair.own.keys() & pair.free.keys(), self.experiment.layer_names):
            own, free = pair.own[key], pair.free[key]
            if own.shape != free.shape or own.dtype != free.dtype:
                continue  # told where it is held against the reference
            if identical(own, free):
                continue
            derived, unbounded = partial(self._budget.of, key, records), partial(self._overflows, key, records)
            asked = Asked(key, "free", records.first_step, own, free, derived, unbounded)
            (rows,) = self._measured([asked])
            if self.tolerances.rule(key) is not None and ("free", key) in self.summaries:
                self.summaries["free", key].needed.take(largest(rows), self.precision)
            if (np.isnan(rows["used"]["value"]) & (rows["absolute"]["value"] > 0)).any():
                self.unheld.setdefault(
                    str(key), "it differs from its own replay, and the candidate does not record why"
                )
            over = (rows["used"]["value"] > 1).nonzero()[0]
            if over.size:
                step = records.first_step + int(over[0])
                found = self._divergence(asked, step, rows[over[0]])
                self._diverge(_noted(found, AGAIN, Kind.REPLAY))

    def _audit(self, pair: Pair) -> None:
        """The local lane of a candidate that cannot be asked again: each operation by its own recorded inputs."""
        records = _audited_records(pair)
        asked = []
        for key in execution_order(pair.audited.keys() & pair.free.keys(), self.experiment.layer_names):
            derived, unbounded = partial(self._budget_of, key, records), partial(self._overflows, key, records)
            told = pair.audited[key], pair.free[key]
            asked.append(Asked(key, "local", records.first_step, *told, derived, unbounded, AUDITED))
        self.hold(*asked)

    def _budget_of(self, key: Key, records: Records, rows: Steps) -> Array | float | None:
        """Asked for the steps that differ only."""
        budget = self._budget.of(key, records, rows)
        if budget is None and self.tolerances.rule(key) is None:
            self.unheld.setdefault(str(key), "it differs, and the reference does not record what its budget depends on")
        return budget

    def _drifted(self, key: Key, records: Records, drift: Array, rows: Steps) -> Array | None:
        """The budget of one operation, and what rounding before it can have grown to."""
        budget = self._budget.of(key, records, rows)
        shape = (len(rows), *(1,) * (records.arrays[key].ndim - 1))
        return None if budget is None else budget + drift[rows].reshape(shape)

    def _overflows(self, key: Key, records: Records, rows: Steps) -> Array | bool:
        """Where neither rounding nor the order of a sum has a bound."""
        return Overflow(self._budget).of(key, records, rows)

    def _unlimited(self, key: Key, records: Records, drift: Array, rows: Steps) -> Array | bool:
        """The same in the free lane, or where rounding before it can have driven the two any distance apart."""
        shape = (len(rows), *(1,) * (records.arrays[key].ndim - 1))
        return ~np.isfinite(drift[rows]).reshape(shape) | self._overflows(key, records, rows)

    @property
    def _unable(self) -> str:
        """Why there may be no local lane."""
        return "the reference does not record what it takes" if self.replays else "the candidate does not replay"

    @property
    def _left(self) -> str:
        """What still judges without the local lane."""
        return "only fixed tolerances judge" if self.tolerances.rules else "nothing is judged"

    def _allowed(self, key: Key, records: Records, rows: Steps) -> Array | float | None:
        """What a tensor of the local lane may differ by."""
        limit = self.tolerances.allowed(key, records.arrays[key], partial(self._budget.of, key, records))
        return limit(rows) if callable(limit) else limit

    def _note_missing(self, key: Key, pair: Pair, lanes: Mapping[Lane, Array]) -> None:
        if not lanes:
            self.missing.setdefault(str(key), "the candidate does not provide it")
        elif "local" not in lanes and pair.local:
            self.missing.setdefault(f"{key}, local lane", "the candidate does not replay it")

    def hold(self, *asked: Asked) -> None:
        """Hold the candidate's tensors against the reference's: as the budget allows, or the rule for the tensor."""
        held = [one for one in asked if self._comparable(one)]
        if not held:
            return
        tables = self._measured(held)
        self.ledger.extend([(one.key, one.lane, one.first_step, rows) for one, rows in zip(held, tables, strict=True)])
        for one, rows, seen in zip(held, tables, largest_of_each(tables), strict=True):
            self._take_in(one, rows, seen)

    def _comparable(self, one: Asked) -> bool:
        """Of one type and shape; tensors that are not have parted as far as can be."""
        reference, candidate = one.reference, one.candidate
        if one.alike:
            return True
        note = (
            f"the candidate gave {candidate.dtype} of shape {candidate.shape[1:]}, "
            f"the reference {reference.dtype} of shape {reference.shape[1:]}"
        )
        self.missing.setdefault(f"{one.key}, {one.lane} lane", note)
        kind = Kind.SHAPE if reference.shape != candidate.shape else Kind.DTYPE
        if kind is Kind.DTYPE and (str(reference.dtype), str(candidate.dtype)) == ("float32", "float64"):
            note = f"{note}: {PROMOTED}"
        nothing = math.nan, math.nan, 0.0
        self._diverge(Divergence(one.first_step, one.key, one.lane, self.precision, (), *nothing, note, kind))
        return False

    def _summary(self, one: Asked) -> Summary:
        if (summary := self.summaries.get((one.lane, one.key))) is None:
            summary = self.summaries[one.lane, one.key] = Summary(one.key, one.lane, one.reference.shape[1:])
            summary.rule = self.tolerances.rule(one.key)
        return summary

    def _take_in(self, one: Asked, rows: Rows, seen: Largest) -> None:
        """What the measures of a tensor mean for its summary and for the verdict."""
        key, lane, first_step = one.key, one.lane, one.first_step
        self._summary(one).take(first_step, rows, seen, self.precision)
        if first_step and not math.isnan(seen.used):
            self.judged.add(key)
        if (same := rows["nonfinite_both"].nonzero()[0]).size:
            step = first_step + int(same[0])
            if self.nonfinite is None or step < self.nonfinite[0]:
                self.nonfinite = (step, key)
        if seen.used > 1:
            over = int((rows["used"]["value"] > 1).argmax())
            found = self._divergence(one, first_step + over, rows[over])
            drifted = lane == "free" and not found.fixed
            self._diverge(_noted(found, OUTSIDE, Kind.DRIFT) if drifted else _noted(found, one.about, Kind.VALUE))

    def _measured(self, asked: list[Asked]) -> list[Rows]:
        """The measures, where nothing is used of a budget by elements that can have none: these nobody can judge."""
        allowed = [self.tolerances.allowed(one.key, one.reference, one.derived) for one in asked]
        tables = measure_all((one.reference, one.candidate, limit) for one, limit in zip(asked, allowed, strict=True))
        for one, limit, rows in zip(asked, allowed, tables, strict=True):
            if not callable(limit) or one.unbounded is None or self.tolerances.rule(one.key) is not None:
                continue
            at = set_aside(rows, one.reference, one.candidate, limit, one.unbounded)
            if at is not None:
                self.unheld.setdefault(str(one.key), OVERFLOWS.format(one.first_step + at))
        return tables

    def _divergence(self, one: Asked, step: int, row: Rows) -> Divergence:
        """A tensor beyond its budget, with the element to be told of it."""
        shape, used, at_step = one.reference.shape[1:], float(row["used"]["value"]), step - one.first_step
        at = element(one, at_step, row, self.tolerances.allowed(one.key, one.reference, one.derived))
        reference, candidate = (float(array[at_step].reshape(-1)[at]) for array in (one.reference, one.candidate))
        rule = self.tolerances.rule(one.key)
        return Divergence(
            step=step,
            key=one.key,
            lane=one.lane,
            precision=self.precision,
            index=tuple(map(int, np.unravel_index(at, shape))) if shape else (),
            reference=reference,
            candidate=candidate,
            budget=abs(candidate - reference) / used if math.isfinite(used) else 0.0,
            note="" if rule is None else FIXED.format(rule),
            fixed=rule is not None,
        )

    def _diverge(self, found: Divergence) -> None:
        """Keep the first: the earliest step, in it the first in execution order, and of one tensor what came first."""
        if self.first is None or found.step < self.first.step:
            self.first = found
        elif found.step == self.first.step and found.key != self.first.key:
            both = execution_order((self.first.key, found.key), self.experiment.layer_names)
            self.first = found if both[0] == found.key else self.first


def _noted(found: Divergence, note: str, kind: Kind) -> Divergence:
    return replace(found, note="; ".join(filter(None, (note, found.note))), kind=kind)


def _audited_records(pair: Pair) -> Records:
    """The candidate's own run; what it does not tell (a part of a sum) has the size of what the network made of it."""
    return Records(pair.reference.first_step, {**pair.audited, **pair.free}, pair.free_before)
