"""What explains a divergence, as words: each cause with both formulas, its size, the fix on either side, the proof."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from math import isfinite

from parity.conventions import is_number
from parity.diagnosis import Cause, Diagnosis
from parity.diagnosis.effect import SAME_RATIO
from parity.diagnosis.explain import Reading, Rejected
from parity.protocol import Key
from parity.report.facts import Figure, counted, number, percent, place, times

READINGS = 4  # shown at most
TENSORS = 3  # named of those that a set explains or leaves
ROUNDING = 1e5 * 2.0**-52  # a smaller effect is made of rounding errors, and its digits with them
MATTERS = 0.01  # from here on a share of the larger is another than one of the smaller
MOST_TIMES = 1000  # of a single number; that many times another, or one so manieth of it, is no chance
PARTIAL = "Partial, NOT confirmed"

Pairs = list[tuple[str, str]]


def sections(diagnosis: Diagnosis | None) -> Iterator[tuple[str, Pairs]]:
    """A title and labelled lines for each cause, or for there being none."""
    if diagnosis is None:
        return
    if not diagnosis.causes:
        yield f"Cause: {diagnosis.instead}", _unexplained(diagnosis)
    for index, cause in enumerate(diagnosis.causes, 1):
        among = f" {index} of {len(diagnosis.causes)}" if len(diagnosis.causes) > 1 else ""
        among += f", {ambiguous(cause)} that this run cannot tell apart" if cause.among > 1 else ""
        yield f"Cause{among}: {cause}", list(_cause(cause, diagnosis))
    if diagnosis.readings:
        yield "Other readings", list(other_readings(diagnosis))


def ambiguous(cause: Cause) -> str:
    """`in one of 6 readings`; empty where the cause is in all of them."""
    return f"in one of {cause.among} readings" if cause.among > 1 else ""


def other_readings(diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    """Other sets of conventions that explain as much, the first few."""
    made = {str(cause) for cause in diagnosis.causes}
    for one in diagnosis.readings[:READINGS]:
        yield "or", _reading(one, made)
    if (more := len(diagnosis.readings) - READINGS) > 0:
        yield "or", f"{counted(more, 'other set')} of conventions; the JSON report has all"


def alternatives(cause: Cause) -> Iterator[tuple[str, str]]:
    """What would do as well in a cause's place, and what would tell."""
    if cause.alternatives:
        yield "or", f"{', '.join(cause.alternatives)}: this run cannot tell them apart"
    if cause.separate_by:
        yield "to tell them apart", cause.separate_by


def _cause(cause: Cause, diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    yield "what", cause.statement
    yield "reference", cause.reference_formula
    yield "candidate", cause.candidate_formula
    yield "effect", _effect(cause)
    yield "fix the reference", cause.fix_reference
    yield "fix the candidate", cause.fix_candidate
    yield from alternatives(cause)
    yield "proof", _proof(diagnosis)


def _effect(cause: Cause) -> str:
    """By itself; a choice can matter only where another is made, as that of clipped probabilities."""
    if not cause.effect:
        return "none by itself: it shows where the others are"
    where = place(cause.effect_on)
    if (ratio := cause.effect_ratio) is not None and (said := _times(ratio)):
        return f"makes {where} {said}"
    much = Figure(f"{number(100 * cause.effect, 3)} %", rounding=cause.effect < ROUNDING)
    larger = "the reference's largest" if cause.code.startswith("init.") else "the larger of the two"
    return f"changes {where} by {much}" + (f" of {larger}" if cause.effect >= MATTERS else "")


def _times(ratio: float) -> str:
    """A ratio that is a whole number or one over it, as far as ratios are told apart; empty where it is no such."""
    if ratio == 0:
        return "0"
    if not 1 / MOST_TIMES <= abs(ratio) <= MOST_TIMES:
        return ""
    whole = Fraction(round(ratio)) if abs(ratio) > 1 else Fraction(1, round(1 / ratio))
    if abs(ratio / whole - 1) > SAME_RATIO:
        return ""
    return f"{whole} {'of' if abs(whole) < 1 else '×'} the reference's"


def _reading(one: Reading, made: set[str]) -> str:
    said = ", ".join(one.choices)
    factors, instead = sorted(made.difference(one.choices)), [choice for choice in one.choices if choice not in made]
    if len(factors) > 1 and not any(map(is_number, factors)) and [is_number(choice) for choice in instead] == [True]:
        said += f": of {' and '.join(factors)} only the product shows, {instead[0].partition('=')[2]}"
    return said + (f"; to tell: {one.separate_by}" if one.separate_by else "")


def _proof(diagnosis: Diagnosis) -> str:
    repeated = ", ".join(map(str, diagnosis.causes))
    used = max(cause.residual_used for cause in diagnosis.causes)
    rest = f"at most ≈{percent(used)}" if used else "equal to the last bit"
    return f"{counted(diagnosis.steps, 'step')} repeated with {repeated}: {rest}, {diagnosis.precision}"


def _unexplained(diagnosis: Diagnosis) -> Pairs:
    if diagnosis.unable:
        return [("why", diagnosis.unable)]
    sets = f"{counted(diagnosis.tried, 'set')} of known conventions"
    tried = f"{sets}; none makes the NumPy network take the candidate's steps"
    if diagnosis.tried == 1:  # Keras' own: of large batches a few examples show where the others would begin
        tried = "no known convention begins to differ where the candidate does"
    tried += "; then the search was given up for the time it took" if diagnosis.stopped else ""
    return [("tried", tried), *_nearest(diagnosis.rejected)]


def _nearest(rejected: Sequence[Rejected]) -> Iterator[tuple[str, str]]:
    """What the reference's own choices leave; then what leaves less, none of which is proved."""
    if not rejected:
        return
    baseline, *nearest = rejected
    made = ", ".join(baseline.choices) or "Keras' own choices"
    yield "baseline", f"{made}: {_left(baseline)}"
    if not nearest:
        yield "nearest", "no set of them leaves less than that"
    for one in nearest:
        made = ", ".join(one.choices)
        if not one.explains:
            yield "nearest", f"{made}: {_left(one)}"
        elif len(one.left) < TENSORS:
            first = f", left at step {one.step}, {_by(one)}" if len(one.left) == 1 else f"; {_left(one)}"
            yield "nearest", f"{made}: explains everything told but {_names(one.left)}{first}. {PARTIAL}"
            yield from (("fix if so", fix) for fix in one.fixes)
        else:
            yield "nearest", f"{made}: explains {_names(one.explains)}; {_left(one)}. {PARTIAL}"


def _left(one: Rejected) -> str:
    over = counted(len(one.left), "tensor") + ", first " if len(one.left) > 1 else ""
    return f"leaves {over}step {one.step}, {place(one.first_unexplained)}, {_by(one)}"


def _by(one: Rejected) -> str:
    return f"{times(one.used)} the budget of a repeated step" if isfinite(one.used) else "which had to be equal"


def _names(keys: Sequence[Key]) -> str:
    """`loss`, `a and b`, `a; b; c and 4 more tensors`: names have commas."""
    more = len(keys) - TENSORS
    named = [place(key) for key in keys[:TENSORS]] + ([counted(more, "more tensor")] if more > 0 else [])
    *some, last = named
    return f"{'; '.join(some)} and {last}" if some else last
