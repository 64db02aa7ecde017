"""What the catalogue says of the penalty of a weight, said of what an experiment penalizes: weights, outputs, or both.

`l2.*` and `l1.*` are about every penalty of that kind, those of outputs too where their line for Keras has the field
`l2_everywhere` or `l1_everywhere`, and their words are those of a weight `W`. An output `a` is penalized over the
examples of the batch, by whose number Keras divides: what is said of it is what `activity.*` say.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from parity.config import Experiment
from parity.conventions.entries import Choice
from parity.conventions.template import fields_of
from parity.diagnosis.own_regularizers import OUTPUTS, WEIGHTS, largest_factors

_KINDS = {"l1_everywhere": "l1", "l2_everywhere": "l2"}
_W = r"\bW\b"
_PENALTY_OR_GRADIENT = re.compile(rf"sum\([^()]*{_W}[^()]*\)|sign\({_W}\)|{_W}")
_FIELD = re.compile(rf"{{(\w+:[^{{}}]*{_W}[^{{}}]*)}}")


def formula(text: str, choice: Choice, experiment: Experiment) -> str:
    """A formula of this choice's entry."""
    return _said(text, choice, experiment, _formula_of_outputs, "; of outputs ")


def line(choice: Choice, experiment: Experiment) -> str:
    """The choice's line for NumPy, with the catalogue's fields in it."""
    told = choice.fix_candidate
    return _said(told, choice, experiment, _line_of_outputs, "; of outputs: " if "  # " in told else "  # of outputs: ")


def _said(text: str, choice: Choice, experiment: Experiment, of_outputs: Callable[[str], str], joined_by: str) -> str:
    kind = next((_KINDS[field] for field, _ in fields_of(choice.fix_reference) if field in _KINDS), "")
    other = of_outputs(text)
    if not kind or other == text or not getattr(largest_factors(experiment, OUTPUTS), kind):
        return text
    code = other.partition("  # ")[0]  # what is remarked is said once
    return f"{text}{joined_by}{code}" if getattr(largest_factors(experiment, WEIGHTS), kind) else other


def _formula_of_outputs(text: str) -> str:
    """`lam * sum(W**2), gradient 2 * lam * W` becomes `lam * sum(a**2) / B, gradient 2 * lam * a / B`."""
    return _PENALTY_OR_GRADIENT.sub(lambda found: f"{_renamed(found[0])} / B", text)


def _line_of_outputs(text: str) -> str:
    """`dW += {field:2 * lam * W}` becomes `da += ({field:2 * lam * a}) / len(a)`."""
    fields = _FIELD.sub(lambda found: f"({{{_renamed(found[1])}}}) / len(a)", text)
    return re.sub(r"\bdW\b", "da", fields)


def _renamed(text: str) -> str:
    return re.sub(_W, "a", text)
