"""Differences that are meant: a run passes when the candidate differs in just what was declared, and in nothing else.

What Keras would be with the declared choices is the NumPy network with them, which first has to compute what the
reference does without them. These comparisons decide:

    the reference with the NumPy network              must be parity: it may stand in for the reference
    the NumPy network with and without the choices    must not be: a difference that makes none has vanished
    the same with all of them and without each one    must not be: each has to make a difference beside the others
    the NumPy network with the choices, the candidate must be parity, in every tensor of every step

A candidate that tells little may pass with or without a choice. The NumPy network without it, telling as little, then
passes as well, and whether the candidate makes that choice cannot be judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

from parity.config import Experiment
from parity.conventions import convention
from parity.diagnosis import Cause
from parity.protocol import Key, word_of
from parity.result import Declared, Result
from parity.run import diff
from parity.sides import STAND_IN, LoadedSide, SideLike, load_side, made_with
from parity.verdict import Verdict


def diff_declared(
    experiment: Experiment,
    choices: Mapping[str, str],
    *,
    reference: SideLike,
    candidate: SideLike,
    trusted: Verdict | None = None,
    **options: Any,
) -> Result:
    """`parity.run.diff` of a candidate that is meant to differ from the reference by these choices.

    Args:
        experiment: what to train.
        choices: what was declared.
        reference: the side that is trusted, by name.
        candidate: the side that is judged, by name.
        trusted: the verdict of the NumPy network against the reference, where it is known already.
        **options: as for `diff`.

    Returns:
        The comparison of the candidate with the NumPy network that makes the declared choices; `declared` says what the
        other comparisons found and decides with it.

    Raises:
        UsageError, SideError: as `diff`.
    """
    made = made_with(choices)
    without = {code: made_with({other: choices[other] for other in choices if other != code}) for code in choices}
    given: dict[str, Any] = {name: options.get(name) for name in ("dataset", "weights")}
    as_judged = given | {name: options[name] for name in ("lanes", "envelope", "timeout") if name in options}
    name = reference if isinstance(reference, str) else load_side(reference).name
    side = load_side(candidate, options.get("timeout"))
    done: list[Result] = []

    def verdict(experiment: Experiment, **sides: Any) -> Verdict | None:
        """None where the comparison did not come to its end."""
        if not any(result.interrupted for result in done):
            done.append(diff(experiment, explain=False, measures="shown", **sides))
        return None if done[-1].interrupted or done[-1].crash else done[-1].verdict

    if trusted is None:
        trusted = verdict(experiment, reference=reference, candidate=STAND_IN, **given) or Verdict.CANNOT_JUDGE
    idle = tuple(choices)
    if verdict(experiment, reference=STAND_IN, candidate=made, **given) in {Verdict.DIVERGED, None}:
        each = without.items() if len(choices) > 1 else ()  # without the only one is without all
        idle = tuple(
            code
            for code, rest in each
            if verdict(experiment, reference=rest, candidate=made, **given) not in {Verdict.DIVERGED, None}
        )
    everything = _told(done[-1])
    judged = diff(experiment, reference=made, candidate=side, stand_in=made, **options)
    done.append(judged)
    unseen: tuple[str, ...] = ()
    undone: tuple[str, ...] = ()
    if judged.verdict is Verdict.PARITY and not (side.can("replay") and everything <= _told(judged)):
        against = partial(verdict, judged.experiment, reference=made, stand_in=made, **as_judged)
        unseen = tuple(
            code
            for code, rest in without.items()
            if against(candidate=_telling_as(side, _told(judged), rest)) not in {Verdict.DIVERGED, None}
        )
    elif judged.verdict is Verdict.DIVERGED and judged.causes:
        undone = tuple(cause.code for cause in judged.causes if _undoes(cause, choices))
        judged = _with_what_to_remove(judged, choices)
    elif judged.verdict is Verdict.DIVERGED:
        same = verdict(experiment, reference=STAND_IN, candidate=side, **as_judged)
        undone = tuple(choices) if same is Verdict.PARITY else ()
    declared = Declared(dict(choices), name, trusted, idle, unseen, undone)
    interrupted = any(result.interrupted for result in done)
    crash = next((result.crash for result in done if result.crash), None)
    return replace(judged, declared=declared, interrupted=interrupted, crash=crash)


def _undoes(cause: Cause, choices: Mapping[str, str]) -> bool:
    """Whether the candidate chooses as Keras does where another choice was declared."""
    return cause.code in choices and cause.choice == convention(cause.code).keras.name


def _with_what_to_remove(judged: Result, choices: Mapping[str, str]) -> Result:
    """The reference is Keras with what was declared: no line of code makes that Keras again, but declaring less."""
    assert judged.diagnosis is not None
    causes = tuple(
        replace(cause, fix_reference=f"remove {cause.code}={choices[cause.code]} from what is declared")
        if _undoes(cause, choices)
        else cause
        for cause in judged.diagnosis.causes
    )
    return replace(judged, diagnosis=replace(judged.diagnosis, causes=causes))


def _told(result: Result) -> set[Key]:
    """What the candidate of a comparison told."""
    return {key for run in result.runs for _, key in run.summaries}


def _telling_as(candidate: LoadedSide, told: Iterable[Key], made: str) -> LoadedSide:
    """A NumPy network that tells no more than the candidate does, and can be asked no more."""
    side, words = load_side(made).side, set(map(word_of, told))
    methods: dict[str, Any] = {name: getattr(side, name) for name in ("start", "weights", "set_state", "initial_state")}
    methods |= {name: _fewer(getattr(side, name), words) for name in ("step", "steps")}
    methods |= {name: _fewer(getattr(side, name), words) for name in ("replay", "retrace") if candidate.can(name)}
    if candidate.can("initial_weights"):
        methods["initial_weights"] = side.initial_weights
    return LoadedSide(f"{made}, telling as {candidate.name}", SimpleNamespace(**methods))


def _fewer(method: Callable[..., Mapping[str, Any]], words: set[tuple[str, str]]) -> Callable[..., dict[str, Any]]:
    """The same without what is not among these words, and the names in their groups."""

    def fewer(*arguments: Any) -> dict[str, Any]:
        said: dict[str, Any] = {}
        for word, value in method(*arguments).items():
            if isinstance(value, Mapping):
                said[word] = {name: array for name, array in value.items() if (word, name) in words}
            elif (word, "") in words:
                said[word] = value
        return said

    return fewer
