"""Fixed tolerances, where somebody wants to choose one instead of the derived budget."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from parity.config.base import Frozen, NonNegative
from parity.config.errors import ConfigError, mistakes_in
from parity.errors import UsageError

EVERY = "*"


class Tolerance(Frozen):
    """A rule: what it matches may differ by `atol + rtol * |reference|`, or by `ulp` units in the last place.

    Of several rules that match a tensor the last one holds.
    """

    tensor: Annotated[str, Field(min_length=1)] = EVERY
    """Pattern over layer/name with * and ?, for example "dense*/kernel"."""
    phase: Literal["batch", "forward", "loss", "gradient", "update", "metrics"] | None = None
    part: Literal["whole", "data", "penalty"] | None = None
    rtol: NonNegative | None = None
    atol: NonNegative | None = None
    ulp: NonNegative | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        pair = {name: getattr(self, name) for name in ("rtol", "atol") if getattr(self, name) is not None}
        if len(pair) == 1:
            (given,) = pair
            other = "atol" if given == "rtol" else "rtol"
            wrong = f"{given} is given and {other} is not; give both (0 is a value), or ulp alone"
        elif pair and self.ulp is not None:
            wrong = "rtol and atol are given and ulp as well; give the pair or ulp"
        elif not pair and self.ulp is None:
            wrong = "no tolerance is given; give rtol and atol, or ulp"
        else:
            return self
        raise PydanticCustomError("inconsistent", "{wrong}", {"wrong": wrong})

    @property
    def names_a_tensor(self) -> bool:
        """Whether it says more than "everything": only then it speaks of what must be equal to the last bit."""
        return self.phase is not None or bool(self.tensor.strip(EVERY))

    def __str__(self) -> str:
        much = f"ulp {self.ulp:g}" if self.rtol is None else f"rtol {self.rtol:g} + atol {self.atol:g}"
        where = [self.phase or "", self.tensor, f"({self.part})" if self.part else ""]
        return f"{much} for {' '.join(filter(None, where))}"


def tolerances(given: Iterable[Tolerance | Mapping[str, Any]]) -> tuple[Tolerance, ...]:
    """Rules, or tables of them as in an experiment.

    Raises:
        ConfigError: one of them is no tolerance.
    """
    if not isinstance(given, Iterable) or isinstance(given, str | bytes | Mapping):
        msg = (
            f"tolerance: received {given!r:.80}; expected a list of rules, for example [{{'rtol': 1e-5, 'atol': 1e-8}}]"
        )
        raise UsageError(msg)
    rules, mistakes = [], []
    for at, table in enumerate(given):
        try:
            rules.append(Tolerance.model_validate(table))
        except ValidationError as error:
            mistakes += [f"{at}: {mistake}" for mistake in mistakes_in(error, Tolerance)]
    if mistakes:
        raise ConfigError("tolerance", mistakes)
    return tuple(rules)


def from_options(rtol: Iterable[str], atol: Iterable[str], ulp: Iterable[str]) -> tuple[Tolerance, ...]:
    """The rules of `--rtol 1e-5 --atol 0 --ulp 'dense/*=2'`: those for every tensor first, so that a pattern wins.

    Raises:
        UsageError: not a number, or the same given twice.
        ConfigError: a number that is no tolerance, or one of rtol and atol without the other.
    """
    tables: dict[str, dict[str, Any]] = {}
    for name, texts in (("rtol", rtol), ("atol", atol), ("ulp", ulp)):
        for text in texts:
            pattern, equals, number = text.rpartition("=")
            table = tables.setdefault(pattern if equals else EVERY, {})
            if name in table:
                msg = f"--{name} {text}: already given for {pattern or EVERY}; give it once"
                raise UsageError(msg)
            try:
                table[name] = float(number)
            except ValueError:
                msg = f"--{name} {text}: expected a number or PATTERN=NUMBER, for example --{name} 'dense/*=1e-5'"
                raise UsageError(msg) from None
    rules, mistakes = [], []
    for pattern, table in sorted(tables.items(), key=lambda item: item[0] != EVERY):
        try:
            rules.append(Tolerance.model_validate({"tensor": pattern, **table}))
        except ValidationError as error:
            mistakes += [f"{pattern}: {mistake}" for mistake in mistakes_in(error, Tolerance)]
    if mistakes:
        raise ConfigError("--rtol, --atol, --ulp", mistakes)
    return tuple(rules)
