"""From raw arrays to what both networks are given: checked, flattened, scaled, encoded, in the precision of the run."""

from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.config import Experiment, Precision
from parity.config.given import ModelExperiment
from parity.data.sources import check_room, read
from parity.errors import UsageError


@dataclass(frozen=True)
class Dataset:
    """x of shape (examples, features); y of shape (examples, outputs), or (examples,) for sparse integer labels."""

    x: npt.NDArray[np.floating]
    y: npt.NDArray[Any]

    def __len__(self) -> int:
        return len(self.x)

    @property
    def digest(self) -> str:
        """SHA-256 over shapes, dtypes and bytes of both arrays."""
        digest = hashlib.sha256()
        for array in (self.x, self.y):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def astype(self, precision: Precision) -> Dataset:
        """The same examples in another precision; both arrays read-only, so that no side can spoil the other's."""
        x = _in_precision("x", self.x, precision)
        y = self.y.copy() if self.y.dtype.kind in "iu" else _in_precision("y", self.y, precision)
        x.flags.writeable = y.flags.writeable = False
        return Dataset(x, y)


def _in_precision(name: str, values: npt.NDArray[Any], precision: Precision) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):
        found = np.array(values, precision)
    if (beyond := np.isinf(found) & np.isfinite(values)).any():  # a trace may hold infinities of its own
        where = np.argwhere(beyond)[0].tolist()
        msg = f"data: {name} is too large for {precision} at {where}: {values[tuple(where)]}"
        raise UsageError(msg)
    return found


def _scaled(x: npt.NDArray[Any], scale: float) -> npt.NDArray[np.float64]:
    with np.errstate(over="ignore"):
        scaled = x.astype(np.float64) / scale
    if not np.isfinite(scaled).all():
        msg = f"data.scale = {scale}: x, divided by it, is too large for float64"
        raise UsageError(msg)
    return scaled


def _are_labels(values: npt.NDArray[Any], classes: int) -> bool:
    """Whether all are whole numbers from 0 to classes - 1."""
    return bool(((values % 1 == 0) & (values >= 0) & (values < classes)).all())


def _encoded(labels: npt.NDArray[Any], classes: int) -> npt.NDArray[np.float64]:
    labels = labels.reshape(len(labels), -1)
    if labels.shape[1] != 1:
        msg = f"data.one_hot: expected one integer label an example, received targets of shape {labels.shape}"
        raise UsageError(msg)
    if not _are_labels(labels, classes):
        msg = (
            f"data.one_hot = {classes}: labels must be whole numbers from 0 to {classes - 1}; "
            f"received {labels.min()} to {labels.max()}"
        )
        raise UsageError(msg)
    check_room(classes, classes)
    return np.eye(classes)[labels[:, 0].astype(np.intp)]


def _checked(name: str, given: Any) -> npt.NDArray[Any]:
    try:
        values = np.asarray(given)
    except ValueError:
        msg = f"data: {name} is no array: its rows differ in length"
        raise UsageError(msg) from None
    if values.dtype.kind not in "fiub":
        msg = f"data: {name} must be numbers, received dtype {values.dtype}"
        raise UsageError(msg)
    if values.ndim == 0 or values.size == 0:
        msg = f"data: {name} is empty (shape {values.shape})"
        raise UsageError(msg)
    if not np.isfinite(values).all():
        where = np.argwhere(~np.isfinite(values))[0].tolist()
        msg = f"data: {name} is not finite at {where}: {values[tuple(where)]}"
        raise UsageError(msg)
    return values


def load_dataset(experiment: Experiment, arrays: tuple[Any, Any] | None = None) -> Dataset:
    """The experiment's examples in float64, ready for both sides.

    Args:
        experiment: says how examples are read and prepared.
        arrays: x and y themselves, in place of what the experiment's source would read.

    Raises:
        UsageError: missing, empty, not finite, or not of the shape that the network and the loss need.
    """
    settings = experiment.data
    x, y = (_checked(name, values) for name, values in zip("xy", arrays or read(settings), strict=True))
    if len(x) != len(y):
        msg = f"data: x has {len(x)} examples and y has {len(y)}"
        raise UsageError(msg)
    if settings.samples is not None and settings.samples > len(x):
        msg = f"data.samples = {settings.samples}: there are only {len(x)} examples"
        raise UsageError(msg)
    x, y = x[: settings.samples], y[: settings.samples]
    if isinstance(experiment, ModelExperiment):  # its layers know what shape they want
        return Dataset(_scaled(x, settings.scale), y)
    x = _scaled(x.reshape(len(x), -1), settings.scale)

    units = experiment.layers[-1].units
    for inputs, layer in itertools.pairwise((x.shape[1], *(layer.units for layer in experiment.layers))):
        check_room(inputs + 1, layer)
    sparse = experiment.loss.class_name == "SparseCategoricalCrossentropy"
    if settings.one_hot is not None:
        y = _encoded(y, settings.one_hot)
    if sparse:
        y = y.reshape(len(y), -1)
        if y.shape[1] != 1 or not _are_labels(y, units):
            msg = (
                f"data: {experiment.loss.class_name} needs one integer label from 0 to {units - 1} an example; "
                f"received targets of shape {y.shape} from {y.min()} to {y.max()}"
                + ("; leave out data.one_hot" if settings.one_hot else "")
            )
            raise UsageError(msg)
        return Dataset(x, y[:, 0].astype(np.int32))
    y = y.reshape(len(y), -1).astype(np.float64)
    if y.shape[1] != units:
        labels = y.shape[1] == 1 and settings.one_hot is None and _are_labels(y, units)
        hint = f"; set data.one_hot = {units}" if labels else ""
        msg = f"data: the last layer has {units} units and the targets have {y.shape[1]} columns{hint}"
        raise UsageError(msg)
    return Dataset(x, y)
