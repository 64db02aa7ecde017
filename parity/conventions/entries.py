"""An entry of the catalogue: a convention, Keras' choice and the choices that others make."""

from __future__ import annotations

import re
from math import isfinite
from typing import Annotated, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from parity.conventions.template import FIELDS, fields_of, general
from parity.errors import UsageError, nearest


def _with_known_fields(line: str) -> str:
    for field, example in fields_of(line):
        if field not in FIELDS or not example:
            msg = f"{{{field}:{example}}} is no field with a general form: {{field:what stands there in general}}"
            raise ValueError(msg + nearest(field, FIELDS))
    return line


Line = Annotated[str, Field(pattern=r"^\S(.*\S)?$")]
"""One line, not empty, nothing around it."""
LineOrNothing = Annotated[str, Field(pattern=r"^(\S(.*\S)?)?$")]
Template = Annotated[Line, AfterValidator(_with_known_fields)]
"""A line of code, with a field for what depends on the experiment (see `template`)."""
TemplateOrNothing = Annotated[LineOrNothing, AfterValidator(_with_known_fields)]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KerasChoice(_Entry):
    name: Line
    formula: Line
    source: Line
    """The file of Keras' that computes it."""


class Choice(_Entry):
    """Another choice, and what a side that makes it looks like beside Keras."""

    name: Line
    formula: Line
    made_by: Line
    shows: Line
    """In which phase and tensor, and the shape of `candidate - Keras` there."""
    fix_reference: TemplateOrNothing = ""
    """Keras code that makes Keras choose this, too."""
    no_fix_reference: LineOrNothing = ""
    """Why there is none."""
    fix_candidate: Template
    """NumPy code that makes a hand-written network choose as Keras does."""
    sources: Annotated[tuple[Line, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _fixed_or_told_why_not(self) -> Self:
        if bool(self.fix_reference) == bool(self.no_fix_reference):
            msg = f"choice {self.name!r} needs either fix_reference or no_fix_reference"
            raise ValueError(msg)
        return self

    def of_factor(self, number: str) -> Self:
        """The choice of any number as it is of this one."""
        said = {field: value for field, value in self if isinstance(value, str)}
        return self.model_copy(update={field: _F.sub(number, value) for field, value in said.items()})


FACTOR = "F"
"""What stands in formulas and lines for a factor, and is the name of the choice that is any number."""


_F = re.compile(rf"\b{FACTOR}\b")


def is_factor(text: str) -> bool:
    """Whether a text is a number that something can be multiplied by: `3`, `0.037`, `-1`, `1/3`; none that is 0."""
    try:
        numerator, _, denominator = text.partition("/")
        return isfinite(factor := float(numerator) / float(denominator or 1)) and factor != 0
    except (ValueError, ZeroDivisionError):
        return False


LINES_OF_CODE = ("fix_reference", "fix_candidate")


class Convention(_Entry):
    """A place where implementations choose differently."""

    code: Annotated[str, Field(pattern=r"^[a-z0-9_]+\.[a-z0-9_]+$")]
    title: Line
    keras: KerasChoice
    choices: tuple[Choice, ...] = ()
    """The choices other than Keras' that have a name."""
    factor: Choice | None = None
    """What any number would be that is chosen; None where there is only what has a name."""

    @property
    def listed(self) -> tuple[Choice, ...]:
        """The choices other than Keras', that of any number last."""
        return (*self.choices, self.factor) if self.factor else self.choices

    @property
    def unchanged(self) -> float:
        """The number that changes nothing: 0 of what Keras has none of, which is then added; else 1."""
        return 0.0 if self.keras.name == "none" else 1.0

    def is_number(self, name: str) -> bool:
        """Whether a choice is one without a name, by which something is multiplied."""
        return self.factor is not None and is_factor(name) and all(choice.name != name for choice in self.choices)

    @model_validator(mode="after")
    def _there_is_another(self) -> Self:
        if not self.listed:
            msg = f"{self.code} has no choice beside Keras', {self.keras.name}"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [self.keras.name, *(choice.name for choice in self.choices)]
        if len(set(names)) < len(names):
            msg = f"{self.code} names a choice twice: {', '.join(names)}"
            raise ValueError(msg)
        return self

    def general(self) -> Self:
        """The entry with its lines of code as they are in no experiment in particular."""
        *choices, factor = (
            choice and choice.model_copy(update={field: general(getattr(choice, field)) for field in LINES_OF_CODE})
            for choice in (*self.choices, self.factor)
        )
        return self.model_copy(update={"choices": tuple(choices), "factor": factor})

    def choice(self, name: str) -> Choice:
        """One of the choices that are not Keras': of a name, or of a number where any may be chosen.

        Raises:
            UsageError: there is none of that name.
        """
        others = {choice.name: choice for choice in self.choices}
        if self.factor and self.is_number(name):
            return self.factor.of_factor(name)
        if name not in others:
            msg = f"{self.code} has no choice {name!r} beside Keras' own {self.keras.name!r}"
            number = ["any number, for example 3 or 1/3"] if self.factor else []
            known = ", and ".join([*([", ".join(others)] if others else []), *number])
            raise UsageError(f"{msg}; there {'is' if not others else 'are'} {known}{nearest(name, others)}")
        return others[name]
