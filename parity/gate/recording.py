"""Recording a reference: trained once, alone, with what a candidate will be held against without it.

How far two runs that compute the same can drift apart by rounding is measured here, by the ensemble of
`parity.envelope`, so that the gate needs neither the reference nor the ensemble. Where the NumPy network does not
stand for the reference nobody knows it; the free run is then measured by the gate and not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np

from parity.asking import start_side, take_steps
from parity.budget import LocalBudget
from parity.config import Experiment, Precision
from parity.data import Dataset, Schedule, told_examples
from parity.envelope import UNLIMITED, Envelope
from parity.gate.baseline import InPrecision, Number, Recorded, Series, described, digest, laid_flat
from parity.judge import Allowed, Judge
from parity.lockstep import chunk_length, draw_weights, start_weights
from parity.protocol import Array, Key, Pair, Records
from parity.sides import LoadedSide, load_side, stand_in_for


def record(
    experiment: Experiment, reference: str, dataset: Dataset, runs: Iterable[str], keep: set[int], number: int
) -> tuple[Recorded, dict[str, Array]]:
    """Train a reference and keep what it did.

    Args:
        experiment: what to train, in which precisions.
        reference: the side, by name.
        dataset: the experiment's examples.
        runs: the case's runs that this is for.
        keep: steps to keep in full, beside the first two and that of the first smaller batch.
        number: under which the arrays are named.
    """
    experiment = told_examples(experiment, len(dataset))
    side = load_side(reference)
    stand_in = stand_in_for(side)
    precisions, arrays, draws = {}, {}, side.can("initial_weights")
    for precision in experiment.precisions:
        kept = _Recorder(experiment, dataset.astype(precision), side, stand_in, keep)
        precisions[precision] = kept.record(precision)
        name = f"{number}/{precision}"
        arrays[name], arrays[f"{name}/layout"] = laid_flat(kept.places, precision)
    recorded = Recorded(
        runs=tuple(runs),
        reference=reference,
        stand_in=stand_in,
        experiment=described(experiment),
        data=dataset.digest,
        draws=draws,
        precisions=precisions,
    )
    return recorded, arrays


class _Recorder:
    """One precision."""

    def __init__(
        self, experiment: Experiment, dataset: Dataset, side: LoadedSide, stand_in: str, keep: set[int]
    ) -> None:
        self.experiment, self.dataset, self.side, self.stand_in = experiment, dataset, side, stand_in
        self.schedule = Schedule.of(experiment, len(dataset))
        smaller = -(-self.schedule.examples // self.schedule.batch_size)  # where an epoch ends with a smaller batch
        self.keep = sorted(step for step in keep | {1, 2, smaller} if 1 <= step <= self.schedule.steps)
        self.places: dict[str, dict[Key, Array]] = {}
        self._scalars: dict[Key, tuple[list[Array], list[Array]]] = {}
        self._drift: dict[Key, list[float]] = {}
        self._digests: list[str] = []
        self._final: dict[Key, float] = {}

    def record(self, precision: Precision) -> InPrecision:
        inputs = self.dataset.x.shape[1]
        drawing = (self.side, load_side(self.stand_in))
        drawn = [draw_weights(side, self.experiment, inputs, precision) for side in drawing]
        weights = start_weights(self.experiment, drawn, inputs, precision)
        judge = Judge(self.experiment, precision, schedule=self.schedule, replays=False)
        envelope = Envelope(self.experiment, self.dataset, weights, judge, self.stand_in)
        budget = LocalBudget(self.experiment, precision)
        before = start_side(self.side, self.experiment, weights)
        for chunk in self.schedule.chunks(chunk_length(self.experiment, self.dataset, weights)):
            x, y = self.dataset.x[chunk.rows], self.dataset.y[chunk.rows]
            for part, told in take_steps(self.experiment, self.side, chunk, x, y):
                batch = {Key("batch", "x"): self.dataset.x[part.rows], Key("batch", "y"): self.dataset.y[part.rows]}
                records = Records(part.first_step, told | batch, before)
                self._take(records, envelope.take(Pair(records, {}, {})), budget)
                before = records.state_after()
        envelope.finish(judge)
        why = envelope.report.why_not
        known = not why or why == UNLIMITED  # what was known until it had no limit any more is still known
        return InPrecision(
            steps=self.schedule.steps,
            kept=tuple(self.keep),
            scalars={str(key): _series(*parts, known=known) for key, parts in self._scalars.items()},
            final={key.tensor: _limit(limit, known=known) for key, limit in self._final.items()},
            drift={str(key): tuple(_limit(of, known=known) for of in all_) for key, all_ in self._drift.items()},
            digests=tuple(self._digests),
            no_drift=why,
        )

    def _take(self, records: Records, allowed: Allowed | None, budget: LocalBudget) -> None:
        rows = np.arange(len(records))
        nothing = np.full(len(records), np.inf)
        drift = {key: nothing if allowed is None else allowed.get(key, nothing) for key in records.arrays}
        for key, array in records.arrays.items():
            if array.ndim == 1:
                own = budget.of(key, records, rows)
                values, limits = self._scalars.setdefault(key, ([], []))
                values.append(np.array(array))
                limits.append(drift[key] + (np.inf if own is None else own))
        self._digests += [digest(_named(records, int(row))) for row in rows]
        for row in rows:
            step = records.first_step + int(row)
            if step in self.keep:
                self._keep(step, records, int(row), drift)
            elif step == self.schedule.steps:
                for key, array in records.arrays.items():
                    if key.phase == "update" and key.tensor.endswith(("/kernel", "/bias")):
                        own = budget.of(key, records, rows[-1:])
                        self._final[key] = float(drift[key][-1] + (np.inf if own is None else np.max(own)))
                        self.places.setdefault("final", {})[key] = np.array(array[-1])

    def _keep(self, step: int, records: Records, row: int, drift: Mapping[Key, Array]) -> None:
        for key, array in records.arrays.items():
            if key.phase == "batch":
                continue
            self._drift.setdefault(key, []).append(float(drift[key][row]))
            if array.ndim > 1:
                self.places.setdefault(f"step/{step}", {})[key] = np.array(array[row])
        if step == 1 or step - 1 not in self.keep:
            before = records.before if row == 0 else {key: array[row - 1] for key, array in records.arrays.items()}
            kept = {key: np.array(value) for key, value in before.items() if key.phase == "update"}
            self.places[f"before/{step}"] = kept


def _named(records: Records, row: int) -> Iterable[tuple[str, Array]]:
    return ((str(key), array[row]) for key, array in records.arrays.items())


def _limit(value: float, *, known: bool) -> float | None:
    return value if known and np.isfinite(value) else None


def _series(values: list[Array], limits: list[Array], *, known: bool) -> Series:
    values_, limits_ = np.concatenate(values), np.concatenate(limits)
    return Series(
        dtype=cast("Any", str(values_.dtype)),
        values=tuple(_number(value) for value in values_),
        allowed=tuple(_limit(float(limit), known=known) for limit in limits_),
    )


def _number(value: float) -> Number:
    return float(value) if np.isfinite(value) else cast("Number", str(float(value)))
