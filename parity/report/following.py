"""What to run next, where the verdict is not parity."""

from __future__ import annotations

import itertools
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from parity.config.given import ModelExperiment
from parity.judge import Judge
from parity.report.facts import left_out, not_stood_for, place
from parity.result import Result, Run
from parity.trace import is_trace
from parity.verdict import Kind, Verdict

_NARROWED = ("--steps", "--precision", "--report")  # what the next command says itself
_FLAGS = frozenset({"-q", "--quiet", "-v", "--verbose"})


@dataclass(frozen=True)
class Following:
    why: str
    command: str = ""
    """Empty where it takes more than a command, or where no command made the comparison."""


def following(result: Result) -> Iterator[Following]:
    """After a divergence the same, narrowed to it; where nothing could be judged, what to add; nothing after parity."""
    if result.verdict is Verdict.PARITY:
        return
    if (first := result.first_divergence) is not None:
        if first.kind is Kind.WEIGHTS:
            if is_trace(Path(result.candidate)):
                yield Following(f"record {result.candidate} again, from the weights that the reference began with")
            else:
                yield Following(f"have start() of {result.candidate} begin with copies of the weights that it is given")
        narrow = ["--steps", str(max(first.step, 1)), "--precision", first.precision]
        why = "only as far as where it begins" + (", with every tensor and a report" if result.command else "")
        yield _narrowed(result, why, *narrow, "-v", "--report", "markdown=divergence.md", without=_NARROWED)
        yield from _to_the_end(result)
    elif result.crash is not None:
        if result.crash.step and result.crash.step > 1:
            narrow = ["--steps", str(result.crash.step - 1)]
            yield _narrowed(result, "only what comes before the failure", *narrow, without=_NARROWED[:1])
    elif result.interrupted:
        yield Following("it was interrupted; to the end", _again(result))
    elif (run := next((run for run in result.runs if run.verdict is Verdict.CANNOT_JUDGE), None)) is not None:
        yield from _to_judge(result, run)


def _to_the_end(result: Result) -> Iterator[Following]:
    """A diagnosis repeats a few steps; that the others differ by nothing else is for a run of all to say."""
    found, declared = result.diagnosis, result.declared is not None
    asked = shlex.split(result.command)[1:2] == ["diff"] and not declared
    if not asked or found is None or not found.causes or found.steps >= result.steps_compared:
        return
    why = f"whether all {result.steps_compared} steps differ by nothing else: {found.steps} were repeated"
    declare = ("--declare", ",".join(map(str, found.causes)))
    yield Following(why, _again(result, *declare, without=("--report",)))


def _to_judge(result: Result, run: Run) -> Iterator[Following]:
    """What is missing for a verdict."""
    judge = run.judge
    if isinstance(result.experiment, ModelExperiment) and not result.experiment.tolerance:
        yield Following("choose tolerances, for example tolerance=[{'rtol': 1e-5, 'atol': 1e-8}]")
        return
    if judge.nonfinite is not None:
        step, key = judge.nonfinite
        why = f"both sides are not finite from step {step} on ({place(key)})"
        if step > 1:
            narrow = ["--steps", str(step - 1), "--precision", run.precision]
            yield _narrowed(result, f"{why}; what comes before", *narrow, without=_NARROWED[:2])
        else:
            yield Following(f"{why}; scale the data, or choose smaller initial weights")
        return
    if judge.cut and not (judge.skipped or judge.unheld):
        narrow = ["--steps", str(judge.last_recorded)]
        yield _narrowed(result, f"{judge.cut}; what is there alone", *narrow, without=_NARROWED[:1])
        return
    if advice := _to_tell(result, judge):
        yield advice
        return
    if run.envelope is not None and (until := run.envelope.until):
        narrow = ["--steps", str(until), "--precision", run.precision]
        yield _narrowed(result, f"what can be told, up to step {until}", *narrow, without=_NARROWED[:2])
    by_tolerance = Following(
        "or choose tolerances yourself, for example", _again(result, "--rtol", "1e-5", "--atol", "1e-8")
    )
    if not result.command:
        by_tolerance = Following("or choose tolerances yourself, for example tolerance=[{'rtol': 1e-5, 'atol': 1e-8}]")
    if "local lane" in judge.missing:
        if re.search("--lane[ =]free", result.command):
            yield Following("with the local lane, in which budgets hold", _again(result, without=("--lane",)))
        elif not_stood_for(result) and judge.replays:
            yield Following(f"hold {result.reference} against Keras: it computes something else, or is not whole")
            yield Following(f"or hold {result.reference} against {result.candidate}", _exchanged(result))
        elif judge.replays:
            yield Following(f"have {result.reference} {_tell_all(result.reference)}")
            yield Following(f"or hold {result.reference} against {result.candidate}", _exchanged(result))
        elif is_trace(Path(result.candidate)):
            yield Following(f"have {result.candidate} {_tell_all(result.candidate)}")
        else:
            yield Following(
                f"give {result.candidate} a method replay(reference), so that it can be asked phase by phase"
            )
        yield by_tolerance
        return
    if judge.unheld:
        yield Following(f"have both sides record what they compute: {', '.join(judge.unheld)}")
        yield by_tolerance
    elif left := left_out(judge):
        yield Following(f"have replay(reference) of {result.candidate} return what is missing: {left}")


def _to_tell(result: Result, judge: Judge) -> Following | None:
    """What is required of a candidate and was never told: without it nothing else helps."""
    told = {key for _, key in judge.summaries}
    untold = [key for key in judge.skipped if key not in told and key.phase in {"loss", "update"}]
    if not untold or not told or judge.replays:
        return None
    if untold[0].phase == "loss":
        return Following(f"have step() of {result.candidate} return its loss")
    if not any(key.phase == "update" for key in told):
        return Following(f"its loss agrees; have weights() of {result.candidate} return its weights, too")
    names = ", ".join(key.tensor for key in untold)
    return Following(f"have weights() of {result.candidate} return what is missing: {names}")


def _tell_all(side: str) -> str:
    if is_trace(Path(side)):
        return "record all that a step computes (docs/trace-format.md, What to tell)"
    return "tell all that a step computes, in the words of parity.protocol"


def _exchanged(result: Result) -> str:
    """The command with the sides in each other's place."""
    words = shlex.split(result.command)
    if words[1:2] == ["compare"]:
        places = {result.reference: result.candidate, result.candidate: result.reference}
        return shlex.join(places.get(word, word) for word in words)
    options = ("--reference", result.candidate, "--candidate", result.reference)
    return _again(result, *options, without=("--reference", "--candidate"))


def _narrowed(result: Result, why: str, *options: str, without: tuple[str, ...]) -> Following:
    """The same with other options; what no command made is narrowed by arguments of the call."""
    if result.command:
        return Following(why, _again(result, *options, without=without))
    given = dict(itertools.pairwise(options))
    told = [f"steps={given['--steps']}"] if "--steps" in given else []
    told += [f"precision={given['--precision']!r}"] if "--precision" in given else []
    return Following(f"{why}: {', '.join(told)}")


def _again(result: Result, *options: str, without: tuple[str, ...] = ()) -> str:
    """The command that made the result, with other options; empty where it was made by none."""
    words, kept = iter(shlex.split(result.command)), []
    for word in words:
        if word in without:
            next(words, None)  # its value
        elif word not in _FLAGS and not any(word.startswith(f"{option}=") for option in without):
            kept.append(word)
    return shlex.join([*kept, *options]) if kept else ""
