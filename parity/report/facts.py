"""The facts of a result, in the order every report tells them, as words and tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from parity import arbiter
from parity.config import Precision
from parity.envelope import FIRST_SEED, MEMBERS, SAFETY
from parity.gradcheck import Outcome, SideCheck
from parity.judge import AUDITED, Judge
from parity.protocol import Key
from parity.report.meaning import meaning
from parity.result import Result, Run
from parity.student import NETWORK
from parity.verdict import Divergence, Summary, Verdict

LISTED = 40  # entries of a list in a document; the JSON report has all
NOISE = 1e4  # units in the last place: a smaller difference is shown as rounding
MOST = 1e20  # budgets that a count of them says something of: a float64 next to its own rounding is 1e16 of it

_MEANING = {
    Verdict.PARITY: "given the same inputs, every operation agrees within what rounding can explain",
    Verdict.DIVERGED: "there is a difference that rounding cannot explain",
    Verdict.CANNOT_JUDGE: "not enough could be compared to say",
}


@dataclass(frozen=True)
class Figure:
    """A number as it is shown. `rounding` marks one that is made of rounding errors and differs between machines."""

    text: str
    rounding: bool = False
    beyond: bool = False

    def __str__(self) -> str:
        return f"≈{self.text}" if self.rounding else self.text


def number(value: float, digits: int = 4) -> str:
    """Shortest text with that many significant digits: 0.5, 1.235e-08, inf."""
    if value == 0:
        return "0"
    return f"{value:.{digits}g}"


def counted(count: int, what: str) -> str:
    """1 step, 2 steps."""
    return f"{count} {what}" + ("s" if count != 1 else "")


def percent(used: float, of: str = "budget") -> str:
    """Share of a budget: 4 %, 99.7 % where two digits would tell of all of it, 1.3e+07 × when it is far beyond."""
    if math.isinf(used):
        return "must be equal"
    if used > 10:
        return f"{times(used)} {of}"
    return f"{_rounded(100 * used, 100)} % of {of}"


def _rounded(number: float, end: float) -> str:
    """To two digits, or as many as it takes not to be taken for `end`; up to 99999 without an exponent."""
    digits = 2
    while float(f"{number:.{digits}g}") == end != number:
        digits += 1
    return f"{float(f'{number:.{digits}g}'):.{max(digits, 5)}g}"


def of_what(summary: Summary) -> str:
    """What a tensor's share is a share of."""
    return "budget" if summary.rule is None else "the tolerance"


def times(used: float) -> str:
    """How many budgets: 12 ×. Beyond `MOST` the budget is next to nothing, and the figure says nothing any more."""
    return f"{_rounded(used, 1)} ×" if used <= MOST else f"more than {MOST:.0e} ×"


def place(key: Key) -> str:
    """`loss, dense_1/kernel (penalty part)`, and `loss` for that of the whole network."""
    part = "" if key.part == "whole" else f" ({key.part} part)"
    tensor = "" if key.tensor == key.phase else f", {key.tensor}"
    return f"{key.phase}{tensor}{part}"


def _declared_headline(result: Result) -> str | None:
    """What the verdict means where differences were declared."""
    declared = result.declared
    if declared is None:
        return None
    if declared.trusted is not Verdict.PARITY:
        told = f"the NumPy network does not compute what {declared.reference} does ({declared.trusted})"
        return f"{result.verdict}: {told}, so nothing can be declared on top of it"
    if gone := declared.idle or declared.undone:
        has, them, makes = ("has", "it", "makes") if len(gone) == 1 else ("have", "them", "make")
        why = (
            f"declared, but {makes} no difference in this run"
            if declared.idle
            else "the candidate chooses as Keras does"
        )
        return f"{result.verdict}: {declared.said(gone)} {has} vanished: {why}; remove {them} from what is declared"
    if result.verdict is Verdict.PARITY:
        return f"{result.verdict}: the candidate differs from {declared.reference} by {declared} and by nothing else"
    if result.verdict is Verdict.CANNOT_JUDGE:
        whether = f"whether the candidate differs from {declared.reference} by just {declared} cannot be said"
        return f"{result.verdict}: {whether}: {_undecided(result)}"
    return f"{result.verdict}: the candidate does not differ by just {declared}"


def _undecided(result: Result) -> str:
    """Why a candidate that is meant to differ could not be judged."""
    if result.interrupted:
        return "interrupted"
    if result.declared is not None and result.declared.unseen:
        return f"nothing that it tells shows {result.declared.said(result.declared.unseen)}"
    for run in result.runs:
        if skipped := set(run.judge.skipped):
            told = skipped & {key for _, key in run.summaries}
            return f"its {left_out(run.judge)} was not {'judged' if told else 'told'}"
    first = next((run for run in result.runs if run.verdict is Verdict.CANNOT_JUDGE), None)
    return _verdict_line(first).partition(": ")[2] if first else "nothing was compared"


def headline(result: Result) -> str:
    """The verdict and what it means."""
    if (crash := result.crash) is not None:
        when = f"at step {crash.step}" if crash.step else "before the first step"
        steps = f"{result.steps_compared} step{'' if result.steps_compared == 1 else 's'}"
        until = f"nothing had diverged in {steps}" if result.steps_compared else "nothing had been compared"
        if result.first_divergence is not None:
            until = "a difference that rounding cannot explain had been found"
        return f"{result.verdict}: a side failed {when}; until then {until}"
    if (declared := _declared_headline(result)) is not None:
        return declared
    fixed = bool(result.experiment.tolerance)
    if fixed and result.verdict is Verdict.PARITY:
        return f"{result.verdict}: every tensor agrees within the tolerance set for it, or what rounding can explain"
    if (first := result.first_divergence) is not None and first.fixed:
        return f"{result.verdict}: there is a difference beyond the tolerance that was set"
    if result.interrupted and result.first_divergence is None:
        return f"{result.verdict}: interrupted; nothing had diverged until then"
    if result.verdict is Verdict.PARITY and not any(run.judge.replays for run in result.runs):
        return f"{result.verdict}: loss and weights stay as near to each other as rounding lets them, step by step"
    if result.verdict is Verdict.CANNOT_JUDGE and any(run.judge.cut for run in result.runs):
        until = counted(result.steps_compared, "step")
        return f"{result.verdict}: a recording is not whole; nothing had diverged in {until}"
    if result.verdict is Verdict.CANNOT_JUDGE and (why := not_stood_for(result)):
        return f"{result.verdict}: {_MEANING[result.verdict]}: {why}"
    return f"{result.verdict}: {_MEANING[result.verdict]}"


def not_stood_for(result: Result) -> str:
    """Why the network that a candidate is judged with does not stand for the reference; empty where it does."""
    told = (why for run in result.runs for why in run.judge.missing.values())
    return next((why for why in told if why.startswith(NETWORK)), "")


def subject(result: Result) -> Iterator[tuple[str, str]]:
    """What was compared."""
    experiment = result.experiment
    yield "experiment", experiment.name
    if count := _parameters(result):
        yield "parameters", f"{count:,}"
    if result.declared is None:
        yield "reference", result.reference
    else:
        yield "reference", f"{result.declared.reference}, as it would be with {result.declared}"
        yield "declared", f"{result.declared}: judged against {result.reference}"
    yield "candidate", result.candidate
    done = result.steps_compared
    planned = max((run.planned_steps for run in result.runs), default=0)
    steps = counted(done, "step") if done == planned else f"{done} of {counted(planned, 'step')}"
    tensors = {run.precision: f"{counted(run.judge.tensors, 'tensor')} a step" for run in result.runs}
    if len(set(tensors.values())) > 1:
        told = " and ".join(f"{count} in {precision}" for precision, count in tensors.items())
    else:
        told = f"{counted(result.tensors_compared, 'tensor')} a step, {' and '.join(tensors)}"
    yield "compared", f"{steps}, {told}"
    if result.crash is not None:
        yield "failed", result.crash.message
    if result.interrupted:
        after = "interrupted after every step had been compared"
        yield "note", after if done == planned else "interrupted: this is what was compared until then"
        if result.first_divergence is not None and result.diagnosis is None:
            yield "note", "causes were not sought: run it again, with fewer steps if it takes too long"
    for what, why in result.remarks.items():
        yield "note", f"{what}: {why}"


def _parameters(result: Result) -> int:
    """Number of weights and biases."""
    weights = {
        summary.key: int(np.prod(summary.shape))
        for run in result.runs
        for summary in run.summaries.values()
        if summary.key.phase == "update" and summary.key.tensor.endswith(("/kernel", "/bias"))
    }
    return sum(weights.values())


def divergence(found: Divergence) -> Iterator[tuple[str, str]]:
    """The first divergence, from where to how much."""
    yield "where", f"step {found.step}, {place(found.key)}"
    if math.isnan(found.reference) and math.isnan(found.candidate) and not found.index:
        yield "what", found.note
        return
    index = f" at {list(found.index)}" if found.index else ""
    digits = 9 if number(found.reference, 9) != number(found.candidate, 9) else 17  # enough to tell any two apart
    yield "reference", f"{number(found.reference, digits)}{index}"
    yield "candidate", number(found.candidate, digits)
    if found.ratio is not None:
        yield "ratio", f"{number(found.ratio, 6 if digits == 9 else 17)} (candidate / reference)"
    if math.isnan(found.candidate) and math.isfinite(found.reference):
        yield "difference", "the candidate is NaN"
        yield "seen in", f"{found.precision}, {found.lane} lane"
        return
    used = (
        "; these had to be equal to the last bit"
        if math.isinf(found.used)
        else f", {times(found.used)} its {'tolerance' if found.fixed else 'budget'}"
    )
    yield "difference", f"{number(found.difference)}{used}"
    yield "seen in", f"{found.precision}, {found.lane} lane"
    if found.note:
        yield "note", found.note


def runs(result: Result) -> Iterator[tuple[str, str]]:
    """One line for each precision."""
    for run in result.runs:
        yield run.precision, _run_line(run)
    if any(run.judge.audited for run in result.runs):
        yield "local lane", AUDITED.removeprefix("reference is ")
    if said := envelope(result):
        yield "free lane", said
    if said := meaning(result):
        yield "meaning", said
    if said := arbitration(result):
        yield "arbiter", said


def envelope(result: Result) -> str:
    """What the free lane was held against; empty where it was measured only."""
    if not (held := [(run.precision, run.envelope) for run in result.runs if run.envelope is not None]):
        return ""
    seeds = f"seeds {FIRST_SEED} to {FIRST_SEED + MEMBERS - 1}"
    against = f"held against {number(SAFETY, 3)} × the drift of {MEMBERS} networks with rounding errors ({seeds})"
    ends = []
    for precision, report in held:
        if report.why_not:
            ends.append(f"{precision}: means nothing, {report.why_not}")
        elif report.widest_tensor:
            share = Figure(number(report.widest, 2), rounding=True)
            ends.append(f"{precision}: at the end weights may be off by {share} of the largest, {report.widest_tensor}")
    return "; ".join([against, *ends])


def arbitration(result: Result) -> str:
    """Which side the first difference in float32 is due to; empty where there is none to be judged."""
    if (found := result.arbiter) is None:
        return ""
    where = f"float32, step {found.step}, {place(found.key)}"
    if found.outcome is None:
        return f"{where}: no answer, {found.why_not}"
    at = f" at {list(found.index)}" if found.index else ""
    exact = f"worked out in float64 from the same operands it is {number(found.exact, 9)}{at}"
    values = f"the reference has {number(found.reference, 9)}, the candidate {number(found.candidate, 9)}"
    match found.outcome:
        case arbiter.Outcome.FUNCTION:
            own = f"the candidate makes {number(found.candidate_float64, 9)} of them in float64 as well"
            return f"{where}: a different function; {exact}, and {own}"
        case arbiter.Outcome.NEITHER:
            said = "both sides are within the budget of the exact value, on either side of it"
        case arbiter.Outcome.BOTH:
            said = "both sides are off"
        case side:
            said = f"the {side} is off"
    return f"{where}: {said}; {exact}, {values}, and {number(found.limit, 2)} is allowed"


def _run_line(run: Run) -> str:
    done = "" if run.judge.steps == run.planned_steps else f"; {run.judge.steps} of {run.planned_steps} steps"
    return _verdict_line(run) + done


def _verdict_line(run: Run) -> str:
    if run.verdict is Verdict.DIVERGED and run.first is not None:
        return f"{run.verdict} at step {run.first.step}, {place(run.first.key)}"
    if run.judge.nonfinite is not None:
        step, key = run.judge.nonfinite
        return f"{run.verdict}: both sides are not finite from step {step}, {place(key)}"
    if run.verdict is Verdict.CANNOT_JUDGE or run.worst is None:
        if run.judge.unheld:
            return f"{run.verdict}: differs, and cannot be held against a budget: {next(iter(run.judge.unheld))}"
        if run.judge.cut and not run.judge.skipped:
            return f"{run.verdict}: {run.judge.cut}"
        return f"{run.verdict}: not held against a budget: {left_out(run.judge) or 'every step'}"
    if run.worst.used == 0:
        return f"{run.verdict}: equal to the last bit"
    step, key, lane = run.worst.used_step, run.worst.key, run.worst.lane
    at_worst = None if run.worst.rule is None else run.ledger.rows({step}).get((step, key, lane))
    rounding = of_rounding(run, run.worst, at_worst)
    return f"{run.verdict}: at most {Figure(percent(run.worst.used, of_what(run.worst)), rounding)}"


def left_out(judge: Judge) -> str:
    """What trains and was not judged: whole phases, or the tensors of one that was judged in part."""
    judged = {key.phase for key in judge.judged}
    skipped = [key.phase if key.phase not in judged else str(key) for key in judge.skipped]
    return ", ".join(dict.fromkeys(skipped))


def gradcheck(result: Result) -> Iterator[tuple[str, str]]:
    """One line for each side: whether its gradient is that of its own loss."""
    if (check := result.gradcheck) is None:
        return
    for side in check.sides:
        yield side.role, f"not checked: {side.why_not}" if side.why_not else _side_check(side)
    sample = f"in float64, of each tensor at most {check.elements_per_tensor} elements (seed {check.seed}), "
    yield "sample", sample + "at the first step where its gradient is not zero"


def _side_check(side: SideCheck) -> str:
    wrong, kinks = side.of(Outcome.WRONG), len(side.of(Outcome.NOT_DIFFERENTIABLE))
    aside = f"; {counted(kinks, 'element')} {'is' if kinks == 1 else 'are'} not differentiable there" if kinks else ""
    if (worst := side.worst) is None:
        return f"not checked: none of {counted(len(side.elements), 'element')} is differentiable there"
    if not wrong:
        used = Figure(f"{100 * worst.used:.2g} %", rounding=True)
        checked = f"{counted(len(side.of(Outcome.AGREES)), 'element')} of {counted(len(side.sizes), 'tensor')}"
        return f"its gradient is that of its own loss: {checked}{aside}, at most {used} of the bound"
    others = f"; so are {len(wrong) - 1} more of {len(side.elements)} elements" if len(wrong) > 1 else ""
    return (
        f"the {side.role}'s gradient is not that of its own loss: {worst.name} is {number(worst.analytic, 9)} at step "
        f"{worst.step}, and the loss has the slope {number(worst.numeric, 9)}, give or take {number(worst.bound, 2)}"
        f"{others}{aside}"
    )


def of_rounding(run: Run, summary: Summary, worst: np.void | None) -> bool:
    """Whether rounding decides the digits of a share: of a budget always, of a tolerance where it is small."""
    return summary.rule is None or (worst is not None and is_small(worst["used"], run.precision))


def is_small(extreme: np.void, precision: Precision) -> bool:
    """Whether a difference is too small to be more than rounding."""
    difference = abs(float(extreme["candidate"]) - float(extreme["reference"]))
    return difference <= NOISE * float(np.spacing(np.abs(extreme["reference"]).astype(precision)))
