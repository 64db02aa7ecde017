"""The built-in NumPy network beside the reference: as long as it computes what the reference does, it stands for it.

Given the reference's own inputs, every operation of it must stay within its budget, step by step. From the step on
where it does not, nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Mapping

from parity.asking import replay, start_side
from parity.config import Experiment, Precision
from parity.errors import SideError
from parity.judge import Judge
from parity.protocol import Array, Key, Pair, Records
from parity.sides import load_side

NETWORK = "the built-in NumPy network"
UNRECORDED = "the reference does not record what the network would be held against"


class Student:
    """The network, and whether it may be believed."""

    def __init__(self, experiment: Experiment, weights: Mapping[str, Array], precision: Precision, name: str) -> None:
        self.experiment = experiment
        self.side = load_side(name)
        start_side(self.side, experiment, weights)
        derived = experiment.model_copy(update={"tolerance": ()})  # a fixed tolerance says nothing of rounding
        self._judge = Judge(derived, precision)
        self.why_not = ""
        """Why it does not stand for the reference."""

    def replay(self, records: Records) -> dict[Key, Array]:
        """What it makes of the recorded inputs of each operation."""
        return replay(self.experiment, self.side, records)

    def follow(self, records: Records) -> bool:
        """Hold it against steps of the reference; whether it stood all of them."""
        if self.why_not:
            return False
        try:
            replayed = self.replay(records)
        except SideError:  # it lacks an operand
            self.why_not = UNRECORDED
            return False
        self._judge.take(Pair(records, {}, replayed))
        if (first := self._judge.first) is not None:
            self.why_not = f"{NETWORK} is not in parity with the reference (step {first.step}, {first.key})"
        elif self._judge.unheld:
            what = next(iter(self._judge.unheld))
            self.why_not = f"{NETWORK} cannot be held against the reference ({what})"
        return not self.why_not

    def finish(self) -> None:
        """At the end it is known what of the reference was judged."""
        if not self.why_not and self._judge.skipped:
            self.why_not = UNRECORDED
