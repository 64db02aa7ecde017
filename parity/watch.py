"""How the steps come to the judge: with what it takes to judge a candidate that nobody else speaks for."""

from __future__ import annotations

from collections.abc import Mapping

from parity.audit import Audit
from parity.config import Experiment
from parity.data import Dataset
from parity.diagnosis import Kept
from parity.envelope import Envelope, EnvelopeReport
from parity.judge import Judge
from parity.protocol import Array, Lane, Pair
from parity.student import Student

NOT_ASKED = "not asked for: whether the candidate trains as it answers when it is asked was not seen"


class Watch:
    """Takes pairs to the judge, with an audit or an envelope where the candidate needs one."""

    def __init__(
        self,
        experiment: Experiment,
        dataset: Dataset,
        weights: Mapping[str, Array],
        judge: Judge,
        stand_in: str,
        lanes: tuple[Lane, ...],
        envelope: bool,
        kept: Kept | None = None,
        *,
        built_in: bool = False,
    ) -> None:
        self.judge, self._lanes, self._always = judge, lanes, envelope
        self._experiment, self._dataset, self._weights, self._stand_in = experiment, dataset, weights, stand_in
        self._audit: Audit | None = None
        self._envelope: Envelope | None = None
        self._began, self._built_in = False, built_in
        self._kept = kept
        if "free" not in lanes:
            judge.missing.setdefault("free lane", NOT_ASKED)

    def take(self, pair: Pair) -> None:
        if not self._began:
            self._choose(pair)
        self.judge.take(
            pair if self._audit is None else self._audit.take(pair),
            None if self._envelope is None else self._envelope.take(pair),
        )
        if self._kept is not None:
            self._kept.take(pair)

    def _choose(self, pair: Pair) -> None:
        """By its own inputs, where the candidate tells all of them; else by how far it may drift."""
        self._began = True
        if not self.judge.replays and "local" in self._lanes:
            audit = Audit(Student(self._experiment, self._weights, self.judge.precision, self._stand_in))
            if audit.possible(pair):
                self._audit, self.judge.replays = audit, True
        if "free" in self._lanes and (self._always or self._unjudged(pair)):
            self._envelope = Envelope(self._experiment, self._dataset, self._weights, self.judge, self._stand_in)

    def _unjudged(self, pair: Pair) -> bool:
        """Whether something of the candidate's own run would be held against nothing but what it says itself."""
        if self._known:
            return False
        told = pair.free.keys() & pair.reference.arrays.keys()
        return any(self.judge.tolerances.rule(key) is None for key in told if key.phase != "batch")

    @property
    def _known(self) -> bool:
        """Whether its own run is known to be made of the operations that are judged.

        A replay of somebody's own may be of another network than the one that trains, or echo what it is shown.
        """
        return self._audit is not None or (self._built_in and self.judge.replays)

    def finish(self) -> None:
        if self._audit is not None:
            self._audit.finish(self.judge)
        if self._envelope is not None:
            self._envelope.finish(self.judge, alone=not self._known)

    @property
    def envelope_report(self) -> EnvelopeReport | None:
        return None if self._envelope is None else self._envelope.report
