"""The model of rounding errors that every budget is built from.

u is the unit roundoff of a precision: half the distance from 1 to the next larger number. Each of `+ - * / sqrt`
returns the exact result times (1 + d) with |d| <= u (IEEE 754).

A sum or inner product of n terms, in any order, errs by at most `gamma(n) * sum |terms|`:

    deterministic   n u / (1 - n u)
                    Higham 2002, Accuracy and Stability of Numerical Algorithms, lemma 3.1
    probabilistic   exp(c sqrt(n) u + n u**2 / (1 - u)) - 1, with probability 1 - 2 exp(-c**2 (1 - u)**2 / 2)
                    Higham and Mary 2019, theorem 2.4; rounding errors taken as independent with mean zero

and the smaller of the two is taken. c = 8 leaves a probability of 2.5e-14 an element; below n = 64 the deterministic
bound is the smaller one anyway.

Elementary functions are not correctly rounded, and nothing promises how wrong they are. The table has what was measured
against extended precision over [-700, 700], the larger of float32 and float64, with a margin of about one half;
tests/parity/budget/test_rounding.py measures it again wherever it runs.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

CONFIDENCE = 8.0

# Function -> largest error in ulp, TensorFlow's and NumPy's added.
# Measured: exp 1.6 + 2.4, log 3.4 + 3.2, log1p(exp) 4.7 + 3.1, sigmoid 6.0 + 3.2, tanh 7.9 + 1.4.
ELEMENTARY_ULPS = {"exp": 6.0, "log": 10.0, "log1p": 12.0, "sigmoid": 14.0, "tanh": 14.0}

# A float32 a / sqrt(b) may become a * rsqrt(b) (TensorFlow's graph optimizer). Its rsqrt refines the processor's first
# approximation by one Newton step: an error of e, at most 1.5 * 2**-12 on Intel's processors, becomes 1.5 e**2 = 3.4 u,
# and the step itself rounds four times. In multiples of u, relative to the result.
RSQRT_ROUNDOFFS = 7.4


def unit_roundoff(dtype: npt.DTypeLike) -> float:
    """2**-24 for float32, 2**-53 for float64."""
    return float(np.finfo(dtype).eps) / 2


def underflow(dtype: npt.DTypeLike) -> float:
    """The smallest normal number: below it, results may be flushed to zero."""
    return float(np.finfo(dtype).smallest_normal)


def gamma(n: int, u: float) -> float:
    """Relative to the sum of the absolute terms, how far one computed sum of n terms can be off."""
    deterministic = n * u / (1 - n * u) if n * u < 1 else math.inf
    probabilistic = math.expm1(CONFIDENCE * math.sqrt(n) * u + n * u * u / (1 - u))
    return min(deterministic, probabilistic)
