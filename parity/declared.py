"""Differences that are meant: a run passes when the candidate differs in just what was declared, and in nothing else.

What Keras would be with the declared choices is the NumPy network with them, which first has to compute what the
reference does without them. Three comparisons decide:

    the reference with the NumPy network              must be parity: it may stand in for the reference
    the NumPy network with and without the choices    must not be: a difference that makes none has vanished
    the NumPy network with the choices, the candidate must be parity, in every tensor of every step
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from parity.config import Experiment
from parity.result import Declared, Result
from parity.run import diff
from parity.sides import STAND_IN, SideLike, load_side
from parity.verdict import Verdict


def made_with(choices: Mapping[str, str]) -> str:
    """The NumPy network with these choices."""
    return f"{STAND_IN}[{','.join(f'{code}={choice}' for code, choice in choices.items())}]"


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
        other two comparisons found and decides with it.

    Raises:
        UsageError, SideError: as `diff`.
    """
    made = made_with(choices)
    given: dict[str, Any] = {name: options.get(name) for name in ("dataset", "weights")}
    interrupted, crash = False, None
    name = reference if isinstance(reference, str) else load_side(reference).name
    if trusted is None:
        compared = diff(experiment, reference=reference, candidate=STAND_IN, explain=False, **given)
        trusted, interrupted, crash = compared.verdict, compared.interrupted, compared.crash
    shows = diff(experiment, reference=STAND_IN, candidate=made, explain=False, **given)
    judged = diff(experiment, reference=made, candidate=candidate, stand_in=made, **options)
    declared = Declared(dict(choices), name, trusted, shows.verdict is Verdict.DIVERGED)
    interrupted = interrupted or shows.interrupted or judged.interrupted
    crash = crash or shows.crash or judged.crash
    return replace(judged, declared=declared, interrupted=interrupted, crash=crash)
