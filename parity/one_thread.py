"""Linear algebra on one thread, while sides are trained and judged.

The threads of NumPy's BLAS would stand in the way of those that train the two sides and judge them at the same time:
for small arrays they wait for each other far longer than they compute. And a product that is split over threads rounds
differently, so that a result would depend on the number of processors. Keras' side is held to one thread for the same
reason (`keras_ref/runtime.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """BLAS libraries that are loaded use one thread inside; afterwards as many as before."""
    from threadpoolctl import threadpool_limits  # noqa: PLC0415  # looks through every library that is loaded

    with threadpool_limits(1, user_api="blas"):
        yield
