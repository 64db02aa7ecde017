"""From a divergence to its causes: evidence is taken, sets of conventions are tried, what holds is proved and told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np

from parity.config import Experiment, Precision
from parity.conventions import convention
from parity.data import Dataset
from parity.diagnosis import penalized
from parity.diagnosis.effect import Effect, effect_of
from parity.diagnosis.evidence import Evidence, take_evidence
from parity.diagnosis.initial import drawn_by_nobody, initial_choices
from parity.diagnosis.kept import Kept
from parity.diagnosis.nearest import Left, nearest
from parity.diagnosis.own_words import own_words, together
from parity.diagnosis.readings import readings
from parity.diagnosis.rewording import reworded
from parity.diagnosis.search import Search
from parity.diagnosis.separate import separate
from parity.diagnosis.stand_in import StandIn
from parity.diagnosis.tried import Set, Tried
from parity.errors import SideError
from parity.lockstep import common_spans, draw_weights
from parity.protocol import Array, Key
from parity.sides import LoadedSide

REJECTED = 3  # told at most, with what they are held against


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
    """The largest change of a step that this cause alone makes: all others corrected, this one not.

    In proportion to the larger of the two, |one - other| / max(|one|, |other|), so that ten times as much and a tenth
    are both 0.9; of initial weights, to the reference's largest.
    """
    effect_on: Key
    """Where; the largest change of any tensor that the candidate tells."""
    effect_ratio: float | None = None
    """What the tensor is by this cause alone, over what it would be, where all its elements have the same ratio."""
    alternatives: tuple[str, ...] = ()
    """Other conventions (`code=choice`) that would do as well in its place, as far as this run can tell."""
    separate_by: str = ""
    """A change of the experiment in which they would differ."""
    among: int = 1
    """How many readings explain the run as well, this one counted, where this cause is not in all; otherwise 1."""
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
    """The share of the budget of that very step and tensor."""
    left: tuple[Key, ...] = ()
    """Every tensor of which something is left over at some step, in execution order."""
    explains: tuple[Key, ...] = ()
    """Tensors of which nothing is left over at any step, where the first of these sets leaves something."""
    fixes: tuple[str, ...] = ()
    """What to change in the candidate, if it should be these choices; nobody has confirmed that."""


@dataclass(frozen=True)
class Reading:
    """Another set of conventions that explains as much, and what would tell it from the causes."""

    choices: tuple[str, ...]
    separate_by: str


SAME = "every step the candidate takes is what the reference takes from the same weights and slots"
NEVER_UPDATED = (
    "no weight changes in any step, and what else is told is what those weights give: the candidate never updates "
    "them. Is the update written into the arrays that it keeps (w -= rate * g, not w = w - rate * g in a loop)?"
)
OTHER_WEIGHTS = (
    "its losses are those of a network that trains, and no weight that it tells changes in any step: weights() gives "
    "something else than what it trains, such as copies made at the start"
)
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
    """First what all is held against, the reference's own choices; then what leaves less, the nearest first."""
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
    drawn, odd = _of_initial_weights(experiment, stand_in, candidate, weights, precision)
    if search.try_set(makes).explains and search.prove(makes).explains:
        if drawn:
            return ended(drawn)
        if odd:
            return ended(unable=f"{SAME}; {odd}")
        return ended(unable=f"{SAME}, but for rounding: {TIGHTER}" if fixed else SAME, rounding=fixed)
    if not search.evidence.finite and (nowhere := _no_number(search.try_set(makes, search.evidence), search.evidence)):
        return ended(unable=nowhere)
    if still := _still(search.try_set(makes, search.evidence), search.evidence, told[0]):
        return ended(unable=still)
    found, best = search.run()
    if not found:
        return ended(rejected=_nearest(search, makes, [one.choices for one in best]))
    first, *others = reworded(readings(search, [one.choices for one in found]))
    proved = found[0] if found[0].choices == first else search.prove(first)
    causes = _causes(search, dataset, proved, makes, others)
    return ended((*drawn, *causes), readings=_readings(search, dataset, first, others))


def _not_comparable(evidence: Evidence, weights: Mapping[str, Array]) -> str:
    """What the candidate's numbers are that no choice of formula explains: of another precision, or another shape."""
    for piece in evidence.pieces:
        for key, array in piece.arrays.items():
            if array.dtype.kind == "f" and str(array.dtype) != evidence.dtype:
                other = f"ask for --precision {array.dtype}, or " if array.dtype in get_args(Precision) else ""
                return (
                    f"the candidate tells {key.in_words} as {array.dtype} in a {evidence.dtype} run: it computes in "
                    f"another precision; {other}have it compute in the dtype of its weights"
                )
            shape = weights[key.tensor].shape if key.phase == "update" and key.tensor in weights else None
            shape = () if key == Key("loss", "loss") else shape
            if shape is not None and array.shape[1:] != shape:
                return f"the candidate tells {key.in_words} of shape {array.shape[1:]}, not {shape}"
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


def _no_number(plain: Tried, evidence: Evidence) -> str:
    """What is said where weights differ and nothing that differs is a number: all that ends in NaN looks like that."""
    if plain.first is None:
        return ""
    step, _ = plain.first
    left = [key for key, used in plain.used.items() if used[step] > 1]
    told = [[of_step for piece in evidence.told for of_step in piece[key]][step] for key in left]
    if not any(key.phase == "update" for key in left) or any(np.isfinite(array).any() for array in told):
        return ""
    return (
        f"nothing of what differs in step {evidence.numbers[step]} is a number, and many mistakes end in that: "
        "look where the first of them comes from, or let the candidate tell its outputs and gradients"
    )


def _still(plain: Tried, evidence: Evidence, reference: Evidence) -> str:
    """What is said where no weight ever changes and the reference's do: any number fits a change that is not there."""
    if not evidence.still or reference.still:
        return ""
    if all((used <= 1).all() for key, used in plain.used.items() if key.phase != "update"):
        return NEVER_UPDATED
    loss = Key("loss", "loss")
    told, wanted = (
        np.concatenate([piece[loss] for piece in one.told]) if loss in one.keys else np.full(one.steps, np.nan)
        for one in (evidence, reference)
    )
    alike = len(told) == len(wanted) and np.allclose(told, wanted, rtol=np.finfo(evidence.dtype).eps ** 0.5, atol=0)
    return OTHER_WEIGHTS if alike else ""


def _of_initial_weights(
    experiment: Experiment,
    stand_in: LoadedSide,
    candidate: LoadedSide,
    weights: Mapping[str, Array],
    precision: Precision,
) -> tuple[tuple[Cause, ...], str]:
    """Why the candidate draws other initial weights, or what they are like where nobody knows.

    Nothing where it draws Keras', or none.
    """
    inputs = len(next(iter(weights.values())))
    drawn = draw_weights(candidate, experiment, inputs, precision)
    of_keras = draw_weights(stand_in, experiment, inputs, precision)
    if not drawn or not of_keras:
        return (), ""
    choices = initial_choices(experiment, stand_in, drawn, inputs, precision)
    if choices is None:
        return (), drawn_by_nobody(drawn, of_keras)
    if not choices:
        return (), ""
    sizes = {name: float(np.abs(of_keras[name]).max(initial=0.0)) or 1.0 for name in drawn}
    effects = {name: float(np.abs(drawn[name] - of_keras[name]).max(initial=0.0)) / sizes[name] for name in drawn}
    most = max(effects, key=lambda name: effects[name])
    effect = Effect(effects[most], Key("update", most))
    return tuple(_cause(experiment, code, choice, None, effect, 0.0) for code, choice in sorted(choices)), ""


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
        effect = effect_of(corrected, search.stand_in.take(search.evidence, alone), search.evidence.keys)
        instead = [other for other in others if _in_place(found.choices, other) and (code, choice) not in other]
        alternatives = frozenset(one for other in instead for one in other - found.choices)
        apart_by = (separate(search, dataset, found.choices, other) for other in instead)
        cause = _cause(search.stand_in.experiment, code, choice, own, effect, found.worst)
        telling = next(filter(None, apart_by), "")
        among = 1 if all(dict(other).get(code) == choice for other in others) else 1 + len(others)
        causes.append(replace(cause, alternatives=_words(alternatives), separate_by=telling, among=among))
    to_reference = together({str(cause): cause.fix_reference for cause in causes})
    causes = [replace(cause, fix_reference=to_reference[str(cause)]) for cause in causes]
    return tuple(sorted(causes, key=lambda cause: (-cause.effect, cause.code)))


def _cause(
    experiment: Experiment, code: str, choice: str | None, own: str | None, effect: Effect, used: float
) -> Cause:
    """What the catalogue says of a choice of the candidate's, and of the reference's own; None is Keras'."""
    entry = convention(code)
    fixes = entry.choice(choice or str(own))
    to_candidate = own_words(penalized.line(fixes, experiment), experiment)
    to_reference = own_words(fixes.fix_reference, experiment) or fixes.no_fix_reference
    of_reference, of_candidate = (
        penalized.formula(entry.choice(made).formula if made else entry.keras.formula, fixes, experiment)
        for made in (own, choice)
    )
    return Cause(
        code=code,
        choice=choice or entry.keras.name,
        statement=entry.title,
        reference_formula=of_reference,
        candidate_formula=of_candidate,
        fix_reference=to_reference if choice else to_candidate,
        fix_candidate=to_candidate if own is None else f"compute {of_reference}",
        residual_used=used,
        effect=effect.share,
        effect_on=effect.on,
        effect_ratio=effect.ratio,
    )


def _nearest(search: Search, makes: Set, best: Iterable[Set]) -> tuple[Rejected, ...]:
    """What the reference's own choices leave, and then what leaves less, the nearest first."""
    told = nearest(search, makes, best)
    return tuple(_rejected(search, one, told[0]) for one in told[:REJECTED])


def _rejected(search: Search, left: Left, plain: Left) -> Rejected:
    experiment = search.stand_in.experiment
    none = Effect(0.0, left.first)
    own = dict(plain.choices)
    changed = [(code, choice) for code, choice in sorted(left.choices) if own.get(code) != choice]
    causes = [_cause(experiment, code, choice, own.get(code), none, left.used) for code, choice in changed]
    return Rejected(
        choices=_words(left.choices),
        first_unexplained=left.first,
        step=search.evidence.numbers[left.place[0]],
        used=left.used,
        left=tuple(left.over),
        explains=tuple(key for key in plain.over if key not in left.over),
        fixes=tuple(dict.fromkeys(cause.fix_candidate for cause in causes)),
    )
