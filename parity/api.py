"""The Python side of the command line: the same comparison, of experiments, classes and models at hand."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal

import numpy as np

from parity.against_model import diff_model
from parity.comparing import compare as run_compare
from parity.config import Experiment, load_experiment
from parity.config.data import Memory
from parity.config.experiment import Precision
from parity.config.given import GivenModel, ModelExperiment
from parity.config.tolerances import Tolerance, tolerances
from parity.data import load_dataset
from parity.declared import diff_declared
from parity.elsewhere import diff_elsewhere
from parity.errors import UsageError, nearest
from parity.held import Measures
from parity.protocol import Lane
from parity.recording import Recorded, first_divergence, record as run_record
from parity.report import notebook
from parity.report.facts import headline
from parity.report.terminal import Progress
from parity.result import Result
from parity.run import BOTH_LANES, diff as run_diff
from parity.sides import BUILT_IN, LoadedSide, SideLike, read_model
from parity.state import with_state
from parity.trace.keep import ALL, Keep

Changes = Mapping[str, Any] | Iterable[str | tuple[str, Any]]


class Comparison(Result):
    """What `parity.diff` found; see `parity.result.Result` for all that is in it. Shows itself in a notebook."""

    def __repr__(self) -> str:
        return f"<{headline(self)}>"

    def _repr_html_(self) -> str:
        return notebook.html(self)


def diff(
    experiment: Experiment | Mapping[str, Any] | str | PathLike[str] | Any,
    x: Any = None,
    y: Any = None,
    *,
    candidate: SideLike = "scratch",
    reference: SideLike | None = None,
    batch_size: int | Literal["full"] | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    shuffle: bool | None = None,
    precision: Precision | Literal["both"] | None = None,
    changes: Changes = (),
    lane: Lane | Literal["both"] = "both",
    explain: bool = True,
    declare: Mapping[str, str] | None = None,
    tolerance: Iterable[Tolerance | Mapping[str, Any]] = (),
    envelope: bool = False,
    gradcheck: bool = False,
    timeout: float | None = None,
    python: str | PathLike[str] | None = None,
    reference_python: str | PathLike[str] | None = None,
    keep_traces: str | PathLike[str] | None = None,
    progress: bool = True,
    measures: Measures = "all",
    command: str = "",
) -> Comparison:
    """Train both sides in lockstep on the same batches from the same weights, and say where they part.

    Args:
        experiment: a file (TOML or JSON), a mapping of the same form, an `Experiment`, or a compiled Keras model, whose
            weights are then what both sides start from. The model is left as it is.
        x: inputs, in place of what the experiment's data source would read; must be given with a model.
        y: targets.
        candidate: the side that is judged: a name as on the command line, an object with `start`, `step` and `weights`,
            or a class or function that makes one.
        reference: the side that is trusted; Keras if none is named.
        batch_size: in place of the experiment's; 32 for a model, as in `fit`.
        epochs: in place of the experiment's; 1 for a model.
        steps: number of updates, in place of epochs.
        shuffle: in place of the experiment's; a model is trained in the order of the data unless this is set.
        precision: `float32`, `float64` or `both`.
        changes: further keys of the experiment, as `--set`: `{"layers.0.kernel_regularizer.l2": 0}`.
        lane: `local` gives each phase the reference's inputs, `free` lets the candidate go its own way.
        explain: look for the causes of a divergence.
        declare: conventions in which the candidate is meant to differ: `{"l2.penalty": "half"}`.
        tolerance: fixed tolerances in place of derived budgets: `[{"rtol": 1e-5, "atol": 1e-8}]`.
        envelope: hold the free lane against the drift of rounding also where the candidate replays.
        gradcheck: check each side's gradient against its own loss.
        timeout: seconds that one call of a side which is not built in may take.
        python: the interpreter that trains the candidate, in a process of its own, where both sides cannot be imported
            together; the candidate is then a name, and is judged by its trace.
        reference_python: the same for the reference.
        keep_traces: a folder for the traces that are recorded so; without it they are removed.
        progress: show a bar, where somebody can see it.
        measures: `all` of every step; or those that are `shown` where the result is printed, which takes less time.
        command: what to say in reports how this was run.

    Returns:
        The verdict, the first divergence, the causes and every measure as a DataFrame. It is also returned on Ctrl-C,
        with `interrupted` set, and where a side fails, with `crash`.

    Raises:
        UsageError: the experiment, the data or a side is not usable as given.
        SideError: a side could not be made.
    """
    overrides = _overrides(changes, epochs, steps, batch_size, shuffle, precision, declare)
    lanes = _lanes(lane)
    _check("measures", measures, ("all", "shown"))
    arrays = _arrays(x, y)
    model, checked = _understood(experiment, arrays, overrides)
    if rules := tolerances(tolerance):  # after the experiment's own: the last one holds
        checked = checked.model_copy(update={"tolerance": (*checked.tolerance, *rules)})
    with Progress(quiet=not progress) as bar:
        given: dict[str, Any] = {"candidate": candidate, "progress": bar, "command": command}
        given |= {"dataset": load_dataset(checked, arrays), "weights": model.weights if model else None}
        if isinstance(checked, ModelExperiment) and model is not None:
            options: dict[str, Any] = {
                "reference": reference,
                "declare": declare,
                "gradcheck": gradcheck,
                "envelope": envelope,
            }
            options |= {"python": python, "reference_python": reference_python}
            result = _against(model, checked, given | {"timeout": timeout}, options)
        else:
            compare = partial(diff_declared, choices=checked.declare) if checked.declare else run_diff
            if python is not None or reference_python is not None:
                compare = partial(
                    diff_elsewhere,
                    compare,
                    python=None if python is None else str(python),
                    reference_python=None if reference_python is None else str(reference_python),
                    keep=None if keep_traces is None else _path("keep_traces", keep_traces),
                    recording=bar.of,
                )
            elif keep_traces is not None:
                raise UsageError("keep_traces: nothing is recorded without python or reference_python")
            result = compare(
                checked,
                reference="keras" if reference is None else reference,
                lanes=lanes,
                explain=explain,
                searching=bar.searching,
                envelope=envelope,
                gradcheck=gradcheck,
                timeout=timeout,
                measures=measures,
                **given,
            )
    for what, why in model.left_out if model else ():
        for run in result.runs:
            run.judge.missing.setdefault(what, why)
    return _shown(result)


def record(
    experiment: Experiment | Mapping[str, Any] | str | PathLike[str] | Any,
    x: Any = None,
    y: Any = None,
    *,
    out: str | PathLike[str],
    side: SideLike = "keras",
    batch_size: int | Literal["full"] | None = None,
    epochs: int | None = None,
    steps: int | None = None,
    shuffle: bool | None = None,
    precision: Precision | Literal["both"] | None = None,
    changes: Changes = (),
    keep: Keep | Literal["divergence"] = ALL,
    reference: SideLike = "keras",
    start_from: str | PathLike[str] | None = None,
    timeout: float | None = None,
    resume: bool = False,
    progress: bool = True,
) -> list[Recorded]:
    """Train one side and write down all that it does, as a trace that `compare` and `diff` take (docs/trace-format.md).

    Args:
        experiment: as of `diff`; of a model only one that an experiment can say.
        x: inputs, in place of what the experiment's data source would read.
        y: targets.
        out: the folder of the trace; with both precisions there is one trace each, in `out/float64` and `out/float32`.
        side: who is trained.
        batch_size: as of `diff`, like the next five.
        epochs: in place of the experiment's.
        steps: in place of the experiment's.
        shuffle: in place of the experiment's.
        precision: in place of the experiment's.
        changes: further keys of the experiment.
        keep: which steps to write; `divergence` are those around the first divergence from `reference`.
        reference: for that, the side that is trusted.
        start_from: a trace, to begin with the weights that it began with.
        timeout: seconds that one call of a side which is not built in may take.
        resume: go on with a recording that was cut short.
        progress: show a bar, where somebody can see it.

    Returns:
        For each precision its folder and the number of steps.

    Raises:
        UsageError: the experiment, the side or the folder is not usable as given.
        SideError: the side raised.
    """
    arrays = _arrays(x, y)
    overrides = _overrides(changes, epochs, steps, batch_size, shuffle, precision, None)
    model, checked = _understood(experiment, arrays, overrides)
    if isinstance(checked, ModelExperiment):
        raise UsageError(f"an experiment cannot say all of the model: {'; '.join(checked.inexpressible)}")
    given: dict[str, Any] = {"dataset": load_dataset(checked, arrays), "weights": model.weights if model else None}
    if keep == "divergence":
        with Progress(quiet=not progress) as bar:
            keep = Keep(around=first_divergence(checked, side, reference, bar, **given, timeout=timeout))
    with Progress(quiet=not progress) as bar:
        begun = None if start_from is None else _path("start_from", start_from)
        options: dict[str, Any] = {"keep": keep, "start_from": begun, "timeout": timeout, "resume": resume}
        return run_record(checked, side, _path("out", out), progress=bar, **options, **given)


def compare(
    reference: str | PathLike[str],
    candidate: str | PathLike[str],
    *,
    steps: int | None = None,
    precision: Precision | None = None,
    lane: Lane | Literal["both"] = "both",
    explain: bool = True,
    tolerance: Iterable[Tolerance | Mapping[str, Any]] = (),
    progress: bool = True,
    command: str = "",
) -> Comparison:
    """The verdict on two recorded traces of one experiment; nothing is trained.

    Args:
        reference: the folder of the trace that is trusted.
        candidate: the folder of the one that is judged.
        steps: compare no more than so many.
        precision: one alone, where both were recorded.
        lane: as of `diff`, like the next two.
        explain: look for the causes of a divergence.
        tolerance: fixed tolerances in place of derived budgets.
        progress: show a bar, where somebody can see it.
        command: what to say in reports how this was run.

    Returns:
        As `diff`.

    Raises:
        UsageError: one is no trace, is damaged, or they are not of the same experiment.
    """
    with Progress(quiet=not progress) as bar:
        result = run_compare(
            _path("reference", reference),
            _path("candidate", candidate),
            steps=steps,
            precision=precision,
            tolerance=tolerances(tolerance),
            lanes=_lanes(lane),
            explain=explain,
            progress=bar,
            searching=bar.searching,
            command=command,
        )
    return _shown(result)


def _check(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{name} = {value!r}; allowed: {', '.join(allowed)}{nearest(value, allowed)}")


def _shown(result: Result) -> Comparison:
    return Comparison(**{field.name: getattr(result, field.name) for field in fields(result)})


def _path(name: str, given: Any) -> Path:
    if not isinstance(given, str | PathLike):
        msg = f"{name}: expected the path of a folder, received {type(given).__name__}: {given!r:.60}"
        raise UsageError(msg)
    return Path(given)


def _lanes(lane: str) -> tuple[Lane, ...]:
    _check("lane", lane, (*BOTH_LANES, "both"))
    return tuple(one for one in BOTH_LANES if lane in {one, "both"})


def _overrides(
    changes: Changes,
    epochs: int | None,
    steps: int | None,
    batch_size: int | str | None,
    shuffle: bool | None,
    precision: str | None,
    declare: Mapping[str, str] | None,
) -> list[str | tuple[str, Any]]:
    """What takes the place of keys of the experiment."""
    settings = {"batch_size": batch_size, "shuffle": shuffle, "precision": precision, "declare": declare}
    overrides: list[str | tuple[str, Any]] = list(changes.items() if isinstance(changes, Mapping) else changes)
    overrides += [(key, value) for key, value in settings.items() if value is not None]
    if epochs is not None and steps is not None:
        msg = f"epochs = {epochs} and steps = {steps} are both given; give one of them"
        raise UsageError(msg)
    if epochs is not None or steps is not None:
        overrides += [("epochs", epochs), ("steps", steps)]  # None takes the experiment's own away
    return overrides


def _understood(
    given: Any, arrays: tuple[Any, Any] | None, overrides: list[Any]
) -> tuple[GivenModel | None, Experiment]:
    """What was read of a model, if it is one, and the experiment."""
    if isinstance(given, Experiment | Mapping | str | PathLike):
        return None, _experiment(given, arrays, overrides)
    model = read_model(given)
    return model, _of_model(model, arrays, overrides)


def _against(
    model: GivenModel, experiment: ModelExperiment, given: Mapping[str, Any], options: Mapping[str, Any]
) -> Result:
    """The comparison with the model itself, which is given back as it was."""
    cannot = f"an experiment cannot say all of the model {model.name!r}: {'; '.join(model.inexpressible)}"
    if isinstance(given["candidate"], str) and given["candidate"].partition("[")[0] in BUILT_IN:
        msg = f"{cannot}; so the side {given['candidate']!r} cannot be made. Give a candidate of your own"
        raise UsageError(msg)
    if asked := [name for name, value in options.items() if value]:
        msg = f"{cannot}; so {', '.join(asked)} cannot be used with it"
        raise UsageError(msg)
    try:
        first = given["dataset"].astype(model.precision)
        model.side.check(first.x[:1], first.y[:1])
        return diff_model(experiment, reference=LoadedSide(f"the model {model.name}", model.side), **given)
    finally:
        model.side.close()


def _arrays(x: Any, y: Any) -> tuple[Any, Any] | None:
    if (x is None) != (y is None):
        msg = f"{'y' if y is None else 'x'} is missing: give inputs x and targets y, or neither"
        raise UsageError(msg)
    return None if x is None else (x, y)


def _experiment(given: Any, arrays: tuple[Any, Any] | None, overrides: list[Any]) -> Experiment:
    """Whatever was given as an experiment; its data in memory where arrays were given."""
    if isinstance(given, Experiment):
        found = _changed(given, overrides)
    elif isinstance(given, Mapping):
        table = given if arrays is None or "data" in given else {**given, "data": {"source": "memory"}}
        found = load_experiment(table, overrides)
    else:
        found = load_experiment(Path(given), overrides)
    if arrays is None:
        return found
    data = Memory(source="memory", **found.data.model_dump(include={"samples", "scale", "one_hot"}))
    return found.model_copy(update={"data": data, "examples": None})


def _changed(experiment: Experiment, overrides: list[Any]) -> Experiment:
    if not overrides:
        return experiment
    table = experiment.model_dump(mode="json", exclude={"examples"}, exclude_unset=True)  # what is a default stays one
    changed = load_experiment(table, overrides)
    state = experiment.state if changed.initial_state == experiment.initial_state else None
    return changed if state is None else changed.with_state(state)


def _of_model(model: GivenModel, arrays: tuple[Any, Any] | None, overrides: list[Any]) -> Experiment:
    """The experiment that trains a model on arrays: as an experiment says it, where it can."""
    if arrays is None:
        msg = f"the model {model.name!r} comes without data; give it: parity.diff(model, x, y)"
        raise UsageError(msg)
    table = {"name": model.name, "data": {"source": "memory"}, "initial_weights": "memory", **model.settings}
    shape = np.shape(arrays[0])[1:]
    fits = model.inputs is None or len(shape) == len(model.inputs)
    if not fits or any(size not in (None, given) for size, given in zip(model.inputs or (), shape, strict=False)):
        msg = f"x holds examples of shape {shape}; the model {model.name!r} takes {model.inputs}"
        raise UsageError(msg)
    table |= {"initial_state": "memory"} if model.state else {}
    if not model.inexpressible:
        changed = _changed(load_experiment(table), overrides)
        return with_state(changed, math.prod(shape), model.state)
    shapes = {name: array.shape for name, array in model.weights.items()}
    table |= {"weight_shapes": shapes, "inexpressible": model.inexpressible, "precision": model.precision}
    found = load_experiment(table, overrides, ModelExperiment)
    if found.precision != model.precision:
        msg = f"the model {model.name!r} computes in {model.precision} and is compared as it is; leave precision out"
        raise UsageError(msg)
    return with_state(found, math.prod(shape), model.state)
