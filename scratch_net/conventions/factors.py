"""Choices that may also be a number: how many times Keras' own something is.

A network with half a penalty has `l2.penalty=half`; one with three times the penalty has `l2.penalty=3`, and of a third
it is `l2.penalty=1/3`.
"""

from __future__ import annotations

import math


def factor_of(text):
    """The number a text says, as a float: `3`, `0.037`, `-1`, `1/3`.

    Raises:
        ValueError: it says none, or one that is 0 or not finite.
    """
    try:
        numerator, _, denominator = text.partition("/")
        factor = float(numerator) / float(denominator or 1)
    except (ValueError, ZeroDivisionError):
        factor = math.nan
    if not math.isfinite(factor) or not factor:
        msg = f"{text!r} is no factor: a finite number other than 0 is, for example 3, 0.5 or 1/3"
        raise ValueError(msg)
    return factor


class Factors(dict[str, object]):
    """Named choices, and `by(factor)` for any number."""

    def __init__(self, named, by):
        super().__init__(named)
        self.by = by

    def __missing__(self, choice):
        return self.by(factor_of(choice))
