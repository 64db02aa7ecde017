"""Each operation of a candidate that cannot be asked again, judged by what it recorded itself.

A recorded side cannot be given the reference's inputs. It has told its own, though, and the NumPy network can be given
those: what it makes of them is what the reference would make, as long as it stands for it (`parity.student`). That the
network agrees with the reference on the reference's inputs, and with the candidate on the candidate's, says of
every operation what the local lane says where a candidate replays.

A candidate that leaves out what an operation is given or gives is not judged so: see `parity.envelope`.
"""

from __future__ import annotations

from dataclasses import replace

from parity.errors import SideError
from parity.judge import Judge
from parity.protocol import Key, Pair, Records
from parity.student import Student


class Audit:
    """The NumPy network, given in turn what the reference and what the candidate recorded."""

    def __init__(self, student: Student) -> None:
        self.student = student

    def possible(self, pair: Pair) -> bool:
        """Whether the candidate tells all that trains, and every input to an operation that a budget is meant for."""
        try:
            made = self.student.replay(_own(pair))
        except SideError:  # it lacks an operand
            return False
        training = Judge(self.student.experiment, "float64").skipped  # of a judge that has seen nothing: everything
        handed_on = {key for key in made if key.phase in {"forward", "update"} or _flows_back(key)}
        return (pair.free.keys() & made.keys()) >= {*training, *handed_on}

    def take(self, pair: Pair) -> Pair:
        """The pair with what the network makes of the candidate's inputs; as it was where the network means nothing."""
        if not self.student.follow(pair.reference):
            return pair
        return replace(pair, audited=self.student.replay(_own(pair)))

    def finish(self, judge: Judge) -> None:
        """What is known only at the end: whether the network stood for the reference in all steps."""
        self.student.finish()
        if why_not := self.student.why_not:
            judge.missing["local lane"] = why_not
            judge.forget_judged()


def _flows_back(key: Key) -> bool:
    return key.phase == "gradient" and key.tensor.endswith(("/output", "/pre_activation"))


def _own(pair: Pair) -> Records:
    """The candidate's own run."""
    return Records(pair.reference.first_step, pair.free, pair.free_before)
