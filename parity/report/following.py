"""What to run next, where the verdict is not parity."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from parity.config.given import ModelExperiment
from parity.report.facts import left_out
from parity.result import Result, Run
from parity.verdict import Verdict

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
        narrow = ["--steps", str(max(first.step, 1)), "--precision", first.precision]
        command = _again(result, *narrow, "-v", "--report", "markdown=divergence.md", without=_NARROWED)
        yield Following("only as far as where it begins, with every tensor and a report", command)
    elif result.crash is not None:
        if result.crash.step and result.crash.step > 1:
            narrow = ["--steps", str(result.crash.step - 1)]
            yield Following("only what comes before the failure", _again(result, *narrow, without=_NARROWED[:1]))
    elif result.interrupted:
        yield Following("it was interrupted; to the end", _again(result))
    elif (run := next((run for run in result.runs if run.verdict is Verdict.CANNOT_JUDGE), None)) is not None:
        yield from _to_judge(result, run)


def _to_judge(result: Result, run: Run) -> Iterator[Following]:
    """What is missing for a verdict."""
    judge = run.judge
    if isinstance(result.experiment, ModelExperiment) and not result.experiment.tolerance:
        yield Following("choose tolerances, for example tolerance=[{'rtol': 1e-5, 'atol': 1e-8}]")
        return
    if judge.nonfinite is not None:
        step, key = judge.nonfinite
        why = f"both sides are not finite from step {step} on ({key})"
        if step > 1:
            narrow = ["--steps", str(step - 1), "--precision", run.precision]
            yield Following(f"{why}; what comes before", _again(result, *narrow, without=_NARROWED[:2]))
        else:
            yield Following(f"{why}; scale the data, or choose smaller initial weights")
        return
    if judge.cut and not (judge.skipped or judge.unheld):
        narrow = ["--steps", str(judge.last_recorded)]
        yield Following(f"{judge.cut}; what is there alone", _again(result, *narrow, without=_NARROWED[:1]))
        return
    by_tolerance = Following(
        "or choose tolerances yourself, for example", _again(result, "--rtol", "1e-5", "--atol", "1e-8")
    )
    if "local lane" in judge.missing:
        if re.search("--lane[ =]free", result.command):
            yield Following("with the local lane, in which budgets hold", _again(result, without=("--lane",)))
        elif judge.replays:
            yield Following(f"have {result.reference} tell all that a step computes, in the words of parity.protocol")
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


def _again(result: Result, *options: str, without: tuple[str, ...] = ()) -> str:
    """The command that made the result, with other options; empty where it was made by none."""
    words, kept = iter(shlex.split(result.command)), []
    for word in words:
        if word in without:
            next(words, None)  # its value
        elif word not in _FLAGS and not any(word.startswith(f"{option}=") for option in without):
            kept.append(word)
    return shlex.join([*kept, *options]) if kept else ""
