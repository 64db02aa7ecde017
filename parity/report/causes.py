"""What explains a divergence, as words: each cause with both formulas, its size, the fix on either side, the proof."""

from __future__ import annotations

from collections.abc import Iterator

from parity.diagnosis import Cause, Diagnosis
from parity.diagnosis.explain import Reading, Rejected
from parity.report.facts import Figure, counted, number, percent, place

READINGS = 4  # shown at most
ROUNDING = 1e5 * 2.0**-52  # a smaller effect is made of rounding errors, and its digits with them

Pairs = list[tuple[str, str]]


def sections(diagnosis: Diagnosis | None) -> Iterator[tuple[str, Pairs]]:
    """A title and labelled lines for each cause, or for there being none."""
    if diagnosis is None:
        return
    if not diagnosis.causes:
        yield f"Cause: {diagnosis.instead}", _unexplained(diagnosis)
    for index, cause in enumerate(diagnosis.causes, 1):
        among = f" {index} of {len(diagnosis.causes)}" if len(diagnosis.causes) > 1 else ""
        among += f", in one of {cause.among} readings that this run cannot tell apart" if cause.among > 1 else ""
        yield f"Cause{among}: {cause}", list(_cause(cause, diagnosis))
    if diagnosis.readings:
        more = len(diagnosis.readings) - READINGS
        others = [("or", f"{counted(more, 'other set')} of conventions; the JSON report has all")] if more > 0 else []
        yield "Other readings", [*map(_reading, diagnosis.readings[:READINGS]), *others]


def _cause(cause: Cause, diagnosis: Diagnosis) -> Iterator[tuple[str, str]]:
    yield "what", cause.statement
    yield "reference", cause.reference_formula
    yield "candidate", cause.candidate_formula
    yield "effect", _effect(cause)
    yield "fix the reference", cause.fix_reference
    yield "fix the candidate", cause.fix_candidate
    if cause.alternatives:
        yield "or", f"{', '.join(cause.alternatives)}: this run cannot tell them apart"
    if cause.separate_by:
        yield "to tell them apart", cause.separate_by
    yield "proof", _proof(diagnosis)


def _effect(cause: Cause) -> str:
    """By itself; a choice can matter only where another is made, as that of clipped probabilities."""
    if not cause.effect:
        return "none by itself: it shows where the others are"
    much = Figure(f"{number(100 * cause.effect, 3)} %", rounding=cause.effect < ROUNDING)
    return f"changes {place(cause.effect_on)} by {much}"


def _reading(one: Reading) -> tuple[str, str]:
    return "or", ", ".join(one.choices) + (f"; to tell: {one.separate_by}" if one.separate_by else "")


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
    return [("tried", tried), *(("nearest", _rejected(one)) for one in diagnosis.rejected)]


def _rejected(one: Rejected) -> str:
    made = ", ".join(one.choices) or "Keras' own choices"
    return f"{made}: leaves step {one.step}, {place(one.first_unexplained)}, {number(one.used, 2)} × its budget"
