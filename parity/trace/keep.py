"""Which steps of a run a trace has."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

AROUND = 3
"""Steps kept before and after one that is asked for."""


@dataclass(frozen=True)
class Keep:
    """Which steps are written: all, every n-th beginning with the first, or those around one."""

    every: int = 1
    around: int | None = None

    @classmethod
    def read(cls, text: str) -> Keep | None:
        """From `all`, `every=10` or `around=50`; None where it is neither."""
        if text == "all":
            return cls()
        found = re.fullmatch(r"(every|around)=([1-9][0-9]{0,11})", text)
        return cls(**{found[1]: int(found[2])}) if found else None

    def __str__(self) -> str:
        if self.around is not None:
            return f"around={self.around}"
        return "all" if self.every == 1 else f"every={self.every}"

    def spans(self, steps: int) -> Iterator[tuple[int, int]]:
        """First and last step of what is written of so many."""
        if self.around is not None:
            yield max(1, self.around - AROUND), min(steps, self.around + AROUND)
        elif self.every == 1:
            yield 1, steps
        else:
            yield from ((step, step) for step in range(1, steps + 1, self.every))

    def last(self, steps: int) -> int:
        """The last step that is written of so many; 0 if none is."""
        if self.around is not None:
            return min(steps, self.around + AROUND) if steps >= self.around - AROUND else 0
        return (steps - 1) // self.every * self.every + 1


ALL = Keep()
