"""What is left between the two sides at the step where they part, as images, and what the causes make of it.

The candidate's tensor less the reference's; beside it what the built-in NumPy network, made with the causes found,
makes of the reference's own operands, less the reference's; and what then is left over.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.asking import replay, start_side
from parity.errors import ParityError
from parity.protocol import Array, Key, execution_order
from parity.report import facts
from parity.sides import STAND_IN, LoadedSide, load_side

if TYPE_CHECKING:
    from parity.result import Result, Run
    from parity.verdict import Evidence

TENSORS = 4  # to choose from
CELLS = 12_000  # of one image
IMAGES = {"digits": (8, 8), "mnist": (28, 28)}
"""Sources whose examples are images; nothing is guessed from a number of inputs."""


@dataclass(frozen=True)
class Layout:
    """How the elements of a tensor lie on the page: as a matrix, or each unit's inputs as an image."""

    rows: Array
    """Indices of the rows shown; of images, those of the pixels."""
    columns: Array
    """Indices of the columns shown; of images, those of the units."""
    height: int = 0
    width: int = 0
    """Of an image; 0 for a matrix."""
    across: int = 0
    """Images in a row of the page."""

    def lay(self, matrix: Array) -> Array:
        """The picture: NaN between images."""
        shown = matrix[np.ix_(self.rows, self.columns)]
        if not self.height:
            return shown
        down = math.ceil(len(self.columns) / self.across)
        picture = np.full((down * (self.height + 1) - 1, self.across * (self.width + 1) - 1), np.nan)
        for place, image in enumerate(shown.T):
            top, left = (self.height + 1) * (place // self.across), (self.width + 1) * (place % self.across)
            picture[top : top + self.height, left : left + self.width] = image.reshape(self.height, self.width)
        return picture


def residuals(result: Result) -> list[dict[str, Any]]:
    """The worst tensors of the step at which the two sides part, each as pictures; empty where none was kept."""
    first = result.first_divergence
    run = next((run for run in result.runs if first is not None and run.first is first), None)
    if run is None or (evidence := run.judge.evidence) is None:
        return []
    made = _made(result, evidence)
    return [_tensor(result, run, evidence, key, made) for key in _worst(run, evidence)]


def _worst(run: Run, evidence: Evidence) -> list[Key]:
    """Tensors beyond their budget that have a shape to look at, the worst first."""
    measured = run.ledger.rows({evidence.records.first_step})
    share = {}
    for key in execution_order(evidence.said, run.judge.experiment.layer_names):
        measures = measured.get((evidence.records.first_step, key, evidence.lane))
        reference = evidence.records.arrays.get(key)
        if measures is None or reference is None or reference.shape != evidence.said[key].shape:
            continue
        if reference[0].size > 1 and measures["used"]["value"] > 1 and math.isfinite(measures["absolute"]["value"]):
            share[key] = float(measures["used"]["value"])
    return sorted(share, key=lambda key: -share[key])[:TENSORS]


def _made(result: Result, evidence: Evidence) -> dict[Key, Array]:
    """The same step by the network that makes the causes' choices; nothing where no cause is known."""
    if result.diagnosis is None or not result.diagnosis.causes:
        return {}
    choices = {cause.code: cause.choice for cause in result.diagnosis.causes}
    start = {
        key.tensor: array
        for key, array in evidence.records.before.items()
        if key.tensor.count("/") == 1 and key.layer in result.experiment.layer_names
    }
    try:
        side = LoadedSide(STAND_IN, load_side(STAND_IN).side.with_conventions(choices))
        start_side(side, result.experiment, start)
        return replay(result.experiment, side, evidence.records, "replay" if evidence.lane == "local" else "retrace")
    except ParityError:  # what was recorded is not enough; the picture of the difference says what it can
        return {}


def _tensor(result: Result, run: Run, evidence: Evidence, key: Key, made: dict[Key, Array]) -> dict[str, Any]:
    reference, candidate = (_matrix(array) for array in (evidence.records.arrays[key], evidence.said[key]))
    residual = candidate - reference
    layout = layout_of(residual, _image(result, key))
    panels = [("candidate − reference", residual)]
    if key in made and _matrix(made[key]).shape == reference.shape and np.isfinite(made[key]).all():
        causes = " and ".join(cause.code for cause in result.diagnosis.causes) if result.diagnosis else ""
        panels += [
            (f"as {causes} makes it", _matrix(made[key]) - reference),
            ("left over", candidate - _matrix(made[key])),
        ]
    shape = evidence.records.arrays[key].shape[1:]
    return {
        "name": facts.place(key),
        "step": evidence.records.first_step,
        "lane": evidence.lane,
        "precision": run.precision,
        "shape": list(shape),
        "cut": _cut(layout, residual.shape),
        "rows": layout.rows.tolist(),
        "columns": layout.columns.tolist(),
        "image": [layout.height, layout.width, layout.across] if layout.height else None,
        "largest": float(np.abs(residual).max()),
        "panels": [
            {"title": title, "largest": facts.number(float(np.abs(matrix).max()), 3), "z": _cells(layout.lay(matrix))}
            for title, matrix in panels
        ],
    }


def _matrix(array: Array) -> Array:
    """A tensor of one step in float64: vectors are a row."""
    step = np.asarray(array[0], np.float64)
    return step.reshape(-1, step.shape[-1])


def _image(result: Result, key: Key) -> tuple[int, int] | None:
    """The shape of an image, for what has the first layer's inputs as its rows."""
    names = key.tensor.split("/")
    if names[:2] != [result.experiment.layer_names[0], "kernel"]:
        return None
    return IMAGES.get(result.experiment.data.source)


def layout_of(matrix: Array, image: tuple[int, int] | None = None) -> Layout:
    """As much of a matrix as fits, with its largest elements in it."""
    rows, columns = np.arange(matrix.shape[0]), np.arange(matrix.shape[1])
    if image is not None and math.prod(image) == len(rows):
        columns = _largest(matrix.T, max(1, CELLS // len(rows)))
        across = max(1, math.ceil(math.sqrt(2 * len(columns) * image[0] / image[1])))
        return Layout(rows, columns, *image, across=min(across, len(columns)))
    side = math.isqrt(CELLS)
    if matrix.size > CELLS:
        most = max(side, CELLS // max(1, min(matrix.shape)))
        rows = _largest(matrix, most if matrix.shape[0] > matrix.shape[1] else max(1, CELLS // most))
        columns = _largest(matrix.T, max(1, CELLS // len(rows)))
    return Layout(rows, columns)


def _largest(rows: Array, count: int) -> Array:
    """The rows with the largest elements, in their own order."""
    if len(rows) <= count:
        return np.arange(len(rows))
    return np.sort(np.argsort(-np.abs(rows).max(axis=1), kind="stable")[:count])


def _cut(layout: Layout, shape: tuple[int, ...]) -> str:
    """What is not shown, in words; empty where all is."""
    if (len(layout.rows), len(layout.columns)) == shape:
        return ""
    if layout.height:
        return f"the {len(layout.columns)} of {shape[1]} units that differ most"
    return f"the {len(layout.rows)} of {shape[0]} rows and {len(layout.columns)} of {shape[1]} columns that differ most"


def _cells(picture: Array) -> list[list[float | None]]:
    return [[None if math.isnan(v) else float(f"{v:.3g}") for v in row] for row in picture.tolist()]
