"""From a divergence to its causes: evidence is taken, sets of conventions are tried, what holds is proved and told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from parity.config import Experiment, Precision
from parity.conventions import convention
from parity.data import Dataset
from parity.diagnosis.evidence import Evidence, take_evidence
from parity.diagnosis.initial import initial_choices
from parity.diagnosis.kept import Kept
from parity.diagnosis.own_words import own_words, together
from parity.diagnosis.readings import readings, reworded
from parity.diagnosis.search import Search, Set, Tried
from parity.diagnosis.separate import separate
from parity.diagnosis.stand_in import StandIn, Told
from parity.errors import SideError
from parity.lockstep import common_spans, draw_weights
from parity.protocol import Array, Key, execution_order
from parity.sides import LoadedSide

REJECTED = 3  # told at most


@dataclass(frozen=True)
class Cause:
    """One convention in which the candidate differs, proved by a run with it."""

    code: str
    choice: str
    statement: str
    reference_formula: str
    candidate_formula: str
    fix_reference: str
    fix_candidate: str
    residual_used: float
    """The largest share of a budget that is left when the steps are repeated with all causes."""
    effect: float
    """The largest relative change of a step that this cause alone makes: all others corrected, this one not."""
    effect_on: Key
    """Where; the largest change of any tensor that the candidate tells."""
    alternatives: tuple[str, ...] = ()
    """Other conventions (`code=choice`) that would do as well in its place, as far as this run can tell."""
    separate_by: str = ""
    """A change of the experiment in which they would differ."""
    among: int = 1
    """How many readings explain the run as well, where this cause is not in all of them."""
    confirmed: bool = True

    def __str__(self) -> str:
        return f"{self.code}={self.choice}"


@dataclass(frozen=True)
class Rejected:
    """A set of conventions that was tried and does not explain what is seen."""

    choices: tuple[str, ...]
    first_unexplained: Key
    step: int
    used: float


@dataclass(frozen=True)
class Reading:
    """Another set of conventions that explains as much, and what would tell it from the causes."""

    choices: tuple[str, ...]
    separate_by: str


SAME = "every step the candidate takes is what the reference takes from the same weights and slots"
TIGHTER = "the tolerance that was set is tighter than that; without it, rounding is what is allowed"


@dataclass(frozen=True)
class Diagnosis:
    """What explains a divergence, or that nothing does."""

    causes: tuple[Cause, ...]
    precision: Precision
    steps: int
    tried: int
    seconds: float
    rejected: tuple[Rejected, ...] = ()
    unable: str = ""
    """Why there was nothing to be found out."""
    stopped: bool = False
    """Whether the search was given up for the time it took."""
    readings: tuple[Reading, ...] = ()
    """Other sets that explain as much and are not one cause's alternative: where only a product can be seen, mostly."""
    rounding: bool = False
    """Whether the two do the same but for rounding, and a tolerance that was set allows less than that."""

    @property
    def instead(self) -> str:
        """What is said where there are no causes."""
        return "rounding" if self.rounding else "UNEXPLAINED"

    @property
    def explained(self) -> bool:
        return bool(self.causes)


def diagnose(
    experiment: Experiment,
    stand_in: LoadedSide,
    reference: LoadedSide,
    candidate: LoadedSide,
    dataset: Dataset,
    weights: Mapping[str, Array],
    until: int,
    tell: Callable[[int], None] = lambda _: None,
    kept: Kept | None = None,
    *,
    fixed: bool = False,
) -> Diagnosis:
    """Find the conventions in which the candidate differs from the reference.

    Args:
        experiment: what both trained.
        stand_in: a side that can be made with any convention and makes Keras' by itself.
        reference: the side that is trusted; what it makes other than Keras is no cause.
        candidate: the side that is judged.
        dataset: the data in the precision to be looked at; float64 shows formulas best.
        weights: what both sides start from.
        until: the step at which they first part.
        tell: called with the number of sets tried so far.
        kept: what both did when they were first trained; where it has not enough of it they are trained again.
        fixed: whether they part by a tolerance that was set, which may be tighter than rounding.
    """
    began = time.perf_counter()
    stand = StandIn(experiment, stand_in, weights)
    precision: Precision = "float64" if dataset.x.dtype == np.float64 else "float32"

    spans = common_spans((reference, candidate), precision)
    try:
        told: Sequence[Evidence] | None = None if kept is None else kept.evidence()
        told = told or [
            take_evidence(experiment, one, dataset, weights, until, spans) for one in (reference, candidate)
        ]
    except SideError as error:
        return Diagnosis((), precision, 0, 0, 0.0, unable=f"a side did not run a second time: {error}")
    if odd := _not_comparable(told[1], weights) or _not_known(told[1], experiment):
        return Diagnosis((), precision, 0, 0, 0.0, unable=odd)
    trusted, search = Search(stand, told[0]), Search(stand, told[1], tell)

    def ended(causes: tuple[Cause, ...] = (), **more: Any) -> Diagnosis:
        seconds = time.perf_counter() - began
        return Diagnosis(
            causes, precision, search.evidence.steps, search.tried, seconds, stopped=search.stopped, **more
        )

    makes: Set = frozenset()
    if not trusted.holds(makes):
        found, _ = trusted.run()
        if not found:
            return ended(
                unable=f"the NumPy network, which tries conventions out, does not compute what {reference.name} does"
            )
        makes = found[0].choices
    drawn = _of_initial_weights(experiment, stand_in, candidate, weights, precision)
    if search.try_set(makes).explains and search.prove(makes).explains:
        if drawn:
            return ended(drawn)
        return ended(unable=f"{SAME}, but for rounding: {TIGHTER}" if fixed else SAME, rounding=fixed)
    found, best = search.run()
    if not found:
        nearer = (one for one in best if one.choices not in (makes, frozenset()))
        return ended(rejected=_nearest(experiment, [search.try_set(makes, search.evidence), *nearer]))
    first, *others = reworded(readings(search, [one.choices for one in found]))
    proved = found[0] if found[0].choices == first else search.prove(first)
    causes = _causes(search, dataset, proved, makes, others)
    return ended((*drawn, *causes), readings=_readings(search, dataset, first, others))


def _not_comparable(evidence: Evidence, weights: Mapping[str, Array]) -> str:
    """What the candidate's numbers are that no choice of formula explains: of another precision, or another shape."""
    for piece in evidence.pieces:
        for key, array in piece.arrays.items():
            if array.dtype.kind == "f" and str(array.dtype) != evidence.dtype:
                return (
                    f"the candidate tells {key} as {array.dtype} in a {evidence.dtype} run: it computes in another "
                    f"precision; ask for --precision {array.dtype}, or have it compute in the dtype of its weights"
                )
            shape = weights[key.tensor].shape if key.phase == "update" and key.tensor in weights else None
            shape = () if key == Key("loss", "loss") else shape
            if shape is not None and array.shape[1:] != shape:
                return f"the candidate tells {key} of shape {array.shape[1:]}, not {shape}"
    return ""


def _not_known(evidence: Evidence, experiment: Experiment) -> str:
    """What steps that do not begin at the start would have to be repeated from, and is not told."""
    begins = evidence.pieces[0]
    slots = {name.rpartition("/")[2] for name in (key.tensor for key in begins.before) if name.count("/") == 2}
    if begins.first_step == 1 or not (missing := [slot for slot in experiment.optimizer.slots if slot not in slots]):
        return ""
    return (
        f"it begins late, in step {begins.first_step + 1}, and the steps around that cannot be repeated: the candidate "
        f"does not tell what its optimizer carries on ({', '.join(missing)})"
    )


def _of_initial_weights(
    experiment: Experiment,
    stand_in: LoadedSide,
    candidate: LoadedSide,
    weights: Mapping[str, Array],
    precision: Precision,
) -> tuple[Cause, ...]:
    """Why the candidate draws other initial weights; nothing where it draws Keras' or none, or nobody knows."""
    inputs = len(next(iter(weights.values())))
    drawn = draw_weights(candidate, experiment, inputs, precision)
    of_keras = draw_weights(stand_in, experiment, inputs, precision)
    choices = initial_choices(experiment, stand_in, drawn, inputs, precision) if drawn and of_keras else None
    if not drawn or not of_keras or not choices:
        return ()
    sizes = {name: float(np.abs(of_keras[name]).max(initial=0.0)) or 1.0 for name in drawn}
    effects = {name: float(np.abs(drawn[name] - of_keras[name]).max(initial=0.0)) / sizes[name] for name in drawn}
    most = max(effects, key=lambda name: effects[name])
    return tuple(
        _cause(experiment, code, choice, None, effects[most], Key("update", most), 0.0)
        for code, choice in sorted(choices)
    )


def _readings(search: Search, dataset: Dataset, best: Set, others: list[Set]) -> tuple[Reading, ...]:
    """Readings but those in which one convention stands in another's place: these are told as its alternatives."""
    more = [other for other in others if not _in_place(best, other)]
    return tuple(Reading(_words(other), separate(search, dataset, best, other)) for other in more)


def _in_place(best: Set, other: Set) -> bool:
    """Whether one convention is exchanged for another."""
    return len(best - other) == len(other - best) == 1


def _words(choices: Set) -> tuple[str, ...]:
    return tuple(f"{code}={choice}" for code, choice in sorted(choices))


def _causes(search: Search, dataset: Dataset, found: Tried, makes: Set, others: list[Set]) -> tuple[Cause, ...]:
    """Where the candidate's choices are not the reference's, the one with the largest effect first."""
    of_candidate, of_reference = dict(found.choices), dict(makes)
    corrected = search.take(frozenset(of_reference.items()))
    causes = []
    for code in of_candidate.keys() | of_reference.keys():
        choice, own = of_candidate.get(code), of_reference.get(code)
        if choice == own:
            continue
        alone = {other: made for other, made in of_reference.items() if other != code}
        alone |= {code: choice} if choice else {}
        effect, on = _effect(corrected, search.stand_in.take(search.evidence, alone), search.evidence.keys)
        instead = [other for other in others if _in_place(found.choices, other) and (code, choice) not in other]
        alternatives = frozenset(one for other in instead for one in other - found.choices)
        apart_by = (separate(search, dataset, found.choices, other) for other in instead)
        cause = _cause(search.stand_in.experiment, code, choice, own, effect, on, found.worst)
        telling = next(filter(None, apart_by), "")
        among = 1 if all(dict(other).get(code) == choice for other in others) else 1 + len(others)
        causes.append(replace(cause, alternatives=_words(alternatives), separate_by=telling, among=among))
    to_reference = together({str(cause): cause.fix_reference for cause in causes})
    causes = [replace(cause, fix_reference=to_reference[str(cause)]) for cause in causes]
    return tuple(sorted(causes, key=lambda cause: (-cause.effect, cause.code)))


def _cause(
    experiment: Experiment, code: str, choice: str | None, own: str | None, effect: float, on: Key, used: float
) -> Cause:
    """What the catalogue says of a choice of the candidate's, and of the reference's own; None is Keras'."""
    entry = convention(code)
    fixes = entry.choice(choice or str(own))
    to_candidate = own_words(fixes.fix_candidate, experiment)
    to_reference = own_words(fixes.fix_reference, experiment) or fixes.no_fix_reference
    return Cause(
        code=code,
        choice=choice or entry.keras.name,
        statement=entry.title,
        reference_formula=entry.choice(own).formula if own else entry.keras.formula,
        candidate_formula=entry.choice(choice).formula if choice else entry.keras.formula,
        fix_reference=to_reference if choice else to_candidate,
        fix_candidate=to_candidate if own is None else f"compute {entry.choice(own).formula}",
        residual_used=used,
        effect=effect,
        effect_on=on,
    )


def _effect(corrected: Told, alone: Told, keys: Sequence[Key]) -> tuple[float, Key]:
    """The most that a tensor is changed by in a step, relative to the larger of the two: |one - other| / max(|.|)."""
    largest, on = 0.0, keys[0]
    for key in keys:
        for one, other in zip(corrected, alone, strict=True):
            if key not in one or key not in other or one[key].dtype.kind != "f":
                continue
            sizes = np.maximum(_size(one[key]), _size(other[key]))
            apart = _size(one[key] - other[key])
            share = float(np.divide(apart, sizes, out=np.zeros_like(sizes), where=sizes > 0).max(initial=0.0))
            if share > largest:
                largest, on = share, key
    return largest, on


def _size(array: Array) -> Array:
    """The largest number of each step."""
    return np.abs(array).reshape(len(array), -1).max(axis=1, initial=0.0).astype(np.float64)


def _nearest(experiment: Experiment, best: Iterable[Tried]) -> tuple[Rejected, ...]:
    """What came nearest; of sets that leave the same over where they leave something first, the nearest."""
    found: dict[tuple[int, Key, float], Rejected] = {}
    for tried in best:
        rejected = _rejected(experiment, tried)
        found.setdefault((rejected.step, rejected.first_unexplained, rejected.used), rejected)
    return tuple(found.values())[:REJECTED]


def _rejected(experiment: Experiment, tried: Tried) -> Rejected:
    """Where a set leaves something over first."""
    over = {key: int((used > 1).argmax()) for key, used in tried.used.items() if (used > 1).any()}
    step = min(over.values())
    key = execution_order([key for key, at in over.items() if at == step], experiment.layer_names)[0]
    return Rejected(_words(tried.choices), key, step + 1, float(tried.used[key].max()))
