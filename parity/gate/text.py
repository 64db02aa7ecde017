"""What the gate says: a line for each case, and for each run that failed what a person needs to go on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

from parity.gate.changes import Change, Moved, Renewed
from parity.gate.suite import Outcome, State
from parity.report import causes, facts
from parity.result import Result
from parity.verdict import Verdict

_NAME = 20
_CAUSES = 2  # told of one failure
_LONG = 150  # characters of a line


def case_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """Of one case: its line, and what failed in it."""
    failed = [outcome for outcome in outcomes if outcome.exit_code]
    seconds = sum(outcome.seconds for outcome in outcomes)
    said = "; ".join(filter(None, (_counts(outcomes), _bits(outcomes))))
    state = failed[0].state if failed else _calmest(outcomes)
    yield f"{state:<{_NAME - 8}}  {outcomes[0].job.name:<{_NAME}}  {said}  ({seconds:.2f} s)"
    for outcome in outcomes:
        if outcome.exit_code:
            yield from failure_lines(outcome)
        elif outcome.state is State.KNOWN:
            yield f"    {outcome.run.name or 'the run'}: known: {outcome.note}"
        elif outcome.state is State.NOT_RUN:
            yield f"    {outcome.run.name or 'the run'}: {_short(outcome.problems[0])}"


def _calmest(outcomes: Sequence[Outcome]) -> State:
    return next(
        (state for state in (State.NOT_RUN, State.KNOWN) if any(o.state is state for o in outcomes)), State.PASSED
    )


def _counts(outcomes: Sequence[Outcome]) -> str:
    """`3 PARITY, 2 DIVERGED as expected`."""
    words = []
    for verdict in Verdict:
        of = [o for o in outcomes if o.result is not None and o.result.verdict is verdict]
        if of:
            wrong = sum(o.state not in {State.PASSED, State.KNOWN} for o in of)
            expected = "" if wrong or verdict is Verdict.PARITY else " as expected"
            words.append(f"{len(of)} {verdict}{expected}" + (f", {wrong} of them not as expected" if wrong else ""))
    if left := [o for o in outcomes if o.result is None]:
        words.append(f"{len(left)} not compared")
    return ", ".join(words)


def _bits(outcomes: Sequence[Outcome]) -> str:
    known = [outcome.unchanged for outcome in outcomes if outcome.unchanged is not None]
    if not known:
        return ""
    if all(known):
        return "every bit as when it was recorded"
    return f"the candidate's bits changed in {known.count(False)} of {len(known)} since it was recorded"


def failure_lines(outcome: Outcome) -> Iterator[str]:
    """What was expected, what was found, why, and how to see more."""
    yield f"    {outcome.run.name or 'the run'} ({outcome.run.reference} with {outcome.run.candidate})"
    for problem in outcome.problems:
        yield _fact("not expected", problem)
    if outcome.result is not None:
        for label, said in result_facts(outcome.result):
            yield _fact(label, said)
        if outcome.unchanged is not None:
            changed = "not changed" if outcome.unchanged else "changed"
            moved = ", ".join(f"{name} {then} -> {now}" for name, (then, now) in outcome.environment.items())
            around = f"the environment: {moved}" if moved else "the environment is the same"
            yield _fact("since recorded", f"the bits of the candidate have {changed}; {around}")
    yield _fact("see it", outcome.job.again(outcome.run))


def result_facts(result: Result) -> Iterator[tuple[str, str]]:
    """Verdict, first divergence, cause: what one screen has room for."""
    yield "verdict", facts.headline(result)
    if (first := result.first_divergence) is not None:
        found = dict(facts.divergence(first))
        values = (
            f"reference {found['reference']}, candidate {found['candidate']}" if "reference" in found else found["what"]
        )
        yield "first", f"{found['where']}: {values}"
        if "difference" in found:
            yield "difference", f"{found['difference']} ({found['seen in']})"
    if (diagnosis := result.diagnosis) is None:
        return
    for cause in diagnosis.causes[:_CAUSES]:
        named = ", ".join(filter(None, (str(cause), causes.ambiguous(cause))))
        yield "cause", f"{named}: {cause.candidate_formula}; reference: {cause.reference_formula}"
        yield from causes.alternatives(cause)
        yield "fix", cause.fix_candidate
    if len(diagnosis.causes) > _CAUSES:
        yield "cause", f"and {len(diagnosis.causes) - _CAUSES} more"
    if not diagnosis.causes:
        yield "cause", f"{diagnosis.instead}: {diagnosis.unable or 'no convention explains it'}"


def _fact(label: str, said: str) -> str:
    return f"      {label:<14}  {_short(said) if label != 'see it' else said}"


def _short(said: str) -> str:
    """One line that is not too long, and behind it a command to copy, whole."""
    line = " ".join(said.split())
    at = line.rfind(": parity ")
    words, command = (line[:at], line[at:]) if at >= 0 else (line, "")
    return (words if len(words) <= _LONG else f"{words[: _LONG - 1]}…") + command


def summary(outcomes: Sequence[Outcome], seconds: float) -> str:
    """The last line."""
    counts = [
        f"{sum(o.state is state for o in outcomes)} {state}"
        for state in State
        if any(o.state is state for o in outcomes)
    ]
    cases = len(list(groupby(outcomes, key=lambda outcome: outcome.job.folder)))
    of = f"{cases} case{'s' * (cases != 1)}, {len(outcomes)} run{'s' * (len(outcomes) != 1)}"
    return f"{of}: {', '.join(counts)} ({seconds:.2f} s)"


def change_lines(renewed: Renewed) -> Iterator[str]:
    """What changed in a baseline that was made anew, and whether that is safe."""
    for moved in Moved:
        of = [change for change in renewed.changes if change.moved is moved]
        if not of:
            continue
        runs = ", ".join(run or "the run" for change in of for run in change.runs)
        yield f"    {_verdict_on(moved)}: {_short(runs)}"
        for change in of:
            if said := _moved_by(change):
                yield f"      {change.reference}, {change.runs[0] or 'the run'}: {_short(said)}"
    if renewed.environment:
        yield "    the environment since the last time:"
        for name, (then, now) in renewed.environment.items():
            yield f"      {name}: {then} -> {now}"


def _verdict_on(moved: Moved) -> str:
    return {
        Moved.NEW: "new, nothing to compare with: read the case's report before you commit it",
        Moved.EXPERIMENT: "not comparable, the experiment is another: safe only if that change was meant",
        Moved.SAME: "safe: the reference did the same to the last bit",
        Moved.ROUNDING: "safe: the reference moved by no more than rounding",
        Moved.BEYOND: "NOT safe: the reference computes something else now",
        Moved.UNKNOWN: "not known to be safe: the reference's bits changed, and the drift of rounding is not known",
    }[moved]


def _moved_by(change: Change) -> str:
    if change.moved is Moved.ROUNDING and change.result is not None:
        used = max((run.worst.used for run in change.result.runs if run.worst is not None), default=0.0)
        return f"at most {facts.percent(used)}"
    if change.moved is Moved.BEYOND and change.result is not None and (first := change.result.first_divergence):
        return "; ".join(f"{label} {said}" for label, said in facts.divergence(first) if label != "note")
    return change.why


def live_lines(renewed: Renewed, then: Sequence[Outcome], now: Sequence[Outcome]) -> Iterator[str]:
    """Which of the three changed: the reference, the environment, the candidate."""
    reference = [change for change in renewed.changes if change.moved is Moved.BEYOND]
    rounding = [change for change in renewed.changes if change.moved is Moved.ROUNDING]
    bits = sum(change.moved is Moved.SAME for change in renewed.changes)
    fails = [outcome for outcome in then if outcome.exit_code]
    still = [outcome for outcome in now if outcome.exit_code]
    if reference:
        yield "    the reference changed, beyond rounding:"
        for change in reference:
            yield f"      {change.reference}, {change.runs[0] or 'the run'}: {_short(_moved_by(change))}"
    elif rounding:
        most = "; ".join(dict.fromkeys(_moved_by(change) for change in rounding))
        yield f"    the reference is the same within rounding ({_short(most)})"
    elif bits == len(renewed.changes):
        yield "    the reference is the same to the last bit"
    else:
        yield from change_lines(renewed)
        return
    if renewed.environment:
        yield "    the environment changed:"
        for name, (before, after) in renewed.environment.items():
            yield f"      {name}: {before} -> {after}"
    else:
        yield "    the environment is the same"
    names = ", ".join(outcome.run.name or "the run" for outcome in (still or fails))
    if fails and still and not reference:
        yield f"    the candidate regressed: {_short(names)}"
    elif fails and not still:
        yield "    the candidate is as expected beside the reference of now: record that, once the change is understood"
    elif still:
        yield f"    the candidate is not as expected beside the reference of now: {_short(names)}"
    else:
        yield "    the candidate is as expected beside both"
