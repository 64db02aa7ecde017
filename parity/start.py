"""What both sides of a run start from: weights that are given, recorded, or drawn by one of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from parity.config import Experiment, Precision
from parity.data import Dataset
from parity.errors import UsageError
from parity.judge import Judge
from parity.lockstep import draw_weights, given_weights, start_weights
from parity.protocol import Array
from parity.sides import STAND_IN, LoadedSide, load_side
from parity.state import check_began
from parity.trace.side import same_bits
from parity.untold import UNDRAWN


def weights_in_float64(
    experiment: Experiment, sides: Iterable[LoadedSide], dataset: Dataset, handed: Mapping[str, Array] | None
) -> Mapping[str, Array]:
    """What a run of these sides in float64 starts from."""
    return begun(experiment, tuple(sides), drawn_by(experiment, sides, dataset, "float64"), dataset, handed)


def drawn_by(
    experiment: Experiment, sides: Iterable[LoadedSide], dataset: Dataset, precision: Precision
) -> list[Mapping[str, Array] | None]:
    """What each side draws, and where none does what the built-in network draws."""
    inputs = dataset.x.shape[1]
    drawn = [draw_weights(side, experiment, inputs, precision) for side in sides]
    if all(weights is None for weights in drawn):
        drawn.append(draw_weights(load_side(STAND_IN), experiment, inputs, precision))
    return drawn


def begun(
    experiment: Experiment,
    sides: tuple[LoadedSide, ...],
    drawn: Iterable[Mapping[str, Array] | None],
    dataset: Dataset,
    handed: Mapping[str, Array] | None,
) -> dict[str, Array]:
    """The weights both sides start from; of a recorded reference those that it began with.

    Raises:
        UsageError: it began with others than the experiment names, or with another optimizer state.
    """
    inputs = dataset.x.shape[1]
    precision: Precision = "float64" if dataset.x.dtype == np.float64 else "float32"
    reference = sides[0]
    if not reference.can("spans"):
        return start_weights(experiment, drawn, inputs, precision, handed)
    began = reference.side.began(precision)
    start = start_weights(experiment, [began], inputs, precision, handed)
    if other := [name for name in start if not same_bits(start[name], began[name])]:
        told = f"{reference.name}: began with other weights than the experiment names: {other[0]} differs"
        raise UsageError(f"{told}; to begin with those of the recording, --set initial_weights=none")
    check_began(reference.name, experiment, reference.side.trace(precision).state(), inputs)
    return start


def common_start(
    experiment: Experiment,
    sides: tuple[LoadedSide, LoadedSide],
    dataset: Dataset,
    judge: Judge,
    handed: Mapping[str, Array] | None,
) -> dict[str, Array]:
    """The weights both sides start from; what both of them draw by themselves is compared."""
    drawn = drawn_by(experiment, sides, dataset, judge.precision)
    start = begun(experiment, sides, drawn, dataset, handed)
    # A recorded side tells what it began with, which says nothing of how it would have drawn what it was given. What it
    # began with is held against what it was to begin with when its first step is.
    handed_on = sides[1].can("spans") and not sides[1].side.draws(judge.precision)
    if drawn[0] is not None and drawn[1] is not None and not handed_on:
        given = (handed or given_weights(experiment)) if any(side.can("spans") for side in sides) else {}
        judge.take_start({name: array for name, array in drawn[0].items() if name not in given}, drawn[1])
    if drawn[1] is None:
        judge.missing["initial weights"] = UNDRAWN
    return start
