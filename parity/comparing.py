"""`compare`: two recorded traces held against each other by the same route as `diff`; nothing is trained.

The data is what both recorded: each example as it stands in the batches. Examples that no recorded step was trained on
are not known, and are NaN, so that nothing can use them unseen.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from parity.config import Experiment, Precision
from parity.config.tolerances import Tolerance
from parity.data import Dataset, Schedule
from parity.declared import diff_declared
from parity.errors import UsageError
from parity.result import Result
from parity.run import diff, not_recorded
from parity.sides import BUILT_IN, load_side
from parity.state import checked, slot_shapes
from parity.trace import Trace, TraceSide, is_trace
from parity.trace.manifest import MANIFEST, START

_MOST_UNKNOWN = 2**30
"""Bytes of examples that may be unknown: a manifest can claim any number of examples."""


def compare(
    reference: Path,
    candidate: Path,
    *,
    steps: int | None = None,
    precision: Precision | None = None,
    tolerance: tuple[Tolerance, ...] = (),
    **options: Any,
) -> Result:
    """The verdict on two traces of one experiment.

    Args:
        reference: the folder of the trace that is trusted.
        candidate: the folder of the one that is judged.
        steps: compare no more than so many steps.
        precision: compare this one alone; without it all that both were recorded in.
        tolerance: fixed tolerances, after those of the reference's experiment.
        options: as of `parity.run.diff`.

    Raises:
        UsageError: one is no trace, is damaged, or they are of different experiments, data, precisions or steps.
    """
    names = [str(folder) if str(folder) not in BUILT_IN else f".{os.sep}{folder}" for folder in (reference, candidate)]
    sides = [_trace_side(name) for name in names]
    common = [one for one in sides[0].precisions if one in sides[1].precisions]
    if not common or precision not in {None, *common}:
        recorded = "; ".join(f"{side.folder} in {', '.join(side.precisions)}" for side in sides)
        raise UsageError(f"there is no {precision or 'precision'} that both were recorded in: {recorded}")
    chosen = common if precision is None else [precision]
    traces = [side.trace(chosen[0]) for side in sides]
    experiment = _experiment(traces, steps, chosen)
    experiment = experiment.model_copy(update={"tolerance": (*experiment.tolerance, *tolerance)})
    dataset = _dataset(traces[0], experiment)
    experiment = _with_state(traces[0], experiment, dataset.x.shape[1])
    told: dict[str, Any] = {"reference": names[0], "candidate": names[1], "dataset": dataset}
    compare = partial(diff_declared, choices=experiment.declare) if experiment.declare else diff
    result = compare(experiment, **told, **options)
    for run in result.runs if precision is None else ():
        run.judge.missing |= not_recorded(sides)
    return result


def _trace_side(folder: str) -> TraceSide:
    if not is_trace(Path(folder)):
        raise UsageError(
            f"{folder}: no trace is there (no {MANIFEST}); parity record EXPERIMENT --out {folder} makes one"
        )
    side: TraceSide = load_side(folder).side
    return side


def _experiment(traces: list[Trace], steps: int | None, precisions: list[Precision]) -> Experiment:
    """The reference's, over the steps that either was to take: which of them are there is told."""
    planned = max(Schedule.of(trace.experiment, _examples(trace)).steps for trace in traces)
    experiment = traces[0].experiment
    return experiment.model_copy(
        update={
            "epochs": None,
            "steps": min(steps or planned, planned),
            "precision": "both" if len(precisions) > 1 else precisions[0],
            "initial_weights": None,  # the traces hold them, like the optimizer's state
            "initial_state": None,
        }
    )


def _with_state(trace: Trace, experiment: Experiment, inputs: int) -> Experiment:
    """With what the reference's optimizer remembered before the first step, if it had taken steps before."""
    known = slot_shapes(experiment, inputs)
    recorded = {name: array for name, array in trace.state().items() if name in known}
    if not any(array.any() for array in recorded.values()):
        return experiment
    try:
        return experiment.with_state(checked(experiment, inputs, recorded))
    except UsageError as error:
        raise UsageError(f"{trace.folder / START}: {error}") from None


def _examples(trace: Trace) -> int:
    if trace.experiment.examples is None:
        raise UsageError(f"{trace.folder / MANIFEST}: experiment.examples is missing: how many examples are there?")
    return trace.experiment.examples


def _dataset(trace: Trace, experiment: Experiment) -> Dataset:
    """The examples of one epoch, as far as they were recorded."""
    count = _examples(trace)
    x: np.ndarray[Any, Any] | None = None
    y: np.ndarray[Any, Any] | None = None
    known = 0
    for file in trace.manifest.files:
        arrays = {str(key.tensor): array for key, array in trace.records(file).arrays.items() if key.phase == "batch"}
        if arrays["x"].ndim != 3 or arrays["x"].dtype.kind != "f" or arrays["y"].ndim < 2:
            raise UsageError(
                f"{trace.folder / file.name}: x needs the shape (steps, batch, features), y (steps, batch, ...)"
            )
        if x is None or y is None:
            row = arrays["x"][0, :1].nbytes + arrays["y"][0, :1].nbytes
            recorded = sum(each.steps for each in trace.manifest.files) * arrays["x"].shape[1]
            if (count - recorded) * (row + 8) > _MOST_UNKNOWN:
                raise UsageError(
                    f"{trace.folder / MANIFEST}: experiment.examples = {count}: far more than were recorded"
                )
            x, y = (np.empty((count, *arrays[name].shape[2:]), arrays[name].dtype) for name in ("x", "y"))
            x.fill(np.nan)
            y.fill(0)
            schedule = Schedule.of(experiment, count)
        at = 0
        for chunk in schedule.chunks(file.steps, file.first_step, file.last_step):
            for name, into in (("x", x), ("y", y)):
                batch = arrays[name][at : at + len(chunk)]
                if batch.shape[:2] != chunk.rows.shape:
                    size = chunk.rows.shape[1]
                    raise UsageError(
                        f"{trace.folder / file.name}: step {chunk.first_step} has {batch.shape[1:2]} examples; "
                        f"{size} are planned"
                    )
                into[chunk.rows] = batch
            known += chunk.rows.size
            at += len(chunk)
        if known >= count and len(trace.spans) == 1:
            break
    if x is None or y is None:
        raise UsageError(f"{trace.folder}: holds no steps")
    return Dataset(x, y)
