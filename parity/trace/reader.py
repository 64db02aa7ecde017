"""Reading a trace: every file is held against the manifest, and a mistake is one line that names the file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from parity.config import Experiment, Precision
from parity.errors import UsageError
from parity.paths import is_file
from parity.protocol import Array, Key, Records
from parity.trace.archive import check_plain, read_arrays
from parity.trace.manifest import (
    BEFORE,
    DRAWN,
    MANIFEST,
    PRECISIONS,
    START,
    File,
    Manifest,
    Tensor,
    array_name,
    is_trace,
    key_of,
    read_manifest,
)
from parity.trace.shapes import check_shapes, varies

Span = tuple[int, int]


@dataclass(frozen=True)
class Trace:
    """One trace, in one precision. Its arrays stay on disk until they are asked for."""

    folder: Path
    manifest: Manifest
    experiment: Experiment

    @classmethod
    def open(cls, folder: Path) -> Trace:
        """Read the manifest alone.

        Raises:
            UsageError: not a trace that can be read, or not of a precision's numbers.
        """
        manifest, experiment = read_manifest(folder)
        trace = cls(folder, manifest, experiment)
        layers = [(layer, ("kernel", "bias")[: 1 + layer.use_bias]) for layer in experiment.layers]
        needed = [array_name(Key("update", f"{layer.name}/{kind}")) for layer, kinds in layers for kind in kinds]
        path = folder / MANIFEST
        if manifest.files and (missing := [name for name in needed if name not in manifest.tensors]):
            raise UsageError(f"{path}: tensors: {', '.join(missing)[:200]} are missing; weights must be told")
        try:
            if manifest.files:
                check_shapes(manifest, experiment)
        except ValueError as error:
            raise UsageError(f"{path}: {error}") from None
        return trace

    @property
    def spans(self) -> tuple[Span, ...]:
        """First and last step of what is recorded without a gap."""
        spans: list[Span] = []
        for file in self.manifest.files:
            if spans and spans[-1][1] + 1 == file.first_step:
                spans[-1] = (spans[-1][0], file.last_step)
            else:
                spans.append((file.first_step, file.last_step))
        return tuple(spans)

    @property
    def last_step(self) -> int:
        return self.manifest.files[-1].last_step if self.manifest.files else 0

    def start(self) -> dict[Key, Array]:
        """Weights and slots before the first step; slots of which no step tells anything are left out."""
        path, tensors = self.folder / START, self.manifest.tensors
        arrays = read_arrays(path)
        idle = {name for name in arrays.keys() - tensors.keys() if name.startswith("optimizer:") and tensors}
        return self._state(path, {name: array for name, array in arrays.items() if name not in idle})

    def state(self) -> dict[str, Array]:
        """Optimizer slots before the first step, also those of which no step tells anything, by name."""
        arrays = read_arrays(self.folder / START)
        return {key_of(name).tensor: array for name, array in arrays.items() if name.startswith("optimizer:")}

    def drawn(self) -> dict[Key, Array] | None:
        """The weights that the side draws by itself, none where it draws none; None where that was not recorded."""
        path = self.folder / DRAWN
        if not os.path.lexists(path):
            return None
        arrays = read_arrays(path)
        return self._state(path, arrays) if arrays else {}

    def records(self, file: File) -> Records:
        """What one file holds; `before` only where the manifest names no file that ends with the step before."""
        path = self.folder / file.name
        arrays = read_arrays(path)
        before = {name.removeprefix(BEFORE): arrays.pop(name) for name in list(arrays) if name.startswith(BEFORE)}
        if odd := arrays.keys() ^ self.manifest.tensors.keys():
            there = "is missing" if min(odd) not in arrays else "is not in the manifest"
            raise UsageError(f"{path}: {min(odd)!r:.80} {there}")
        x = arrays["x"]
        batch = x.shape[1] if x.ndim > 1 else 0
        for name, array in arrays.items():
            _check_array(path, name, array, self.manifest.tensors[name], (file.steps,), batch)
        state = self._state(path, before) if before else {}
        return Records(file.first_step, {key_of(name): array for name, array in arrays.items()}, state)

    def _state(self, path: Path, arrays: Mapping[str, Array]) -> dict[Key, Array]:
        """Weights and slots at one moment, checked."""
        for name, array in arrays.items():
            tensor = self.manifest.tensors.get(name)
            if tensor is None and self.manifest.files:
                raise UsageError(f"{path}: {name!r:.80} is not in the manifest")
            if tensor is not None and tensor.phase != "update":
                raise UsageError(f"{path}: {name!r:.80} is no weight and no slot of the optimizer")
            if tensor is not None:
                _check_array(path, name, array, tensor, (), 0)
        weights = [name for name in self.manifest.tensors if name.startswith("weights:")]
        if missing := [name for name in weights if name not in arrays]:
            raise UsageError(f"{path}: {', '.join(missing)[:200]} is missing")
        return {key_of(name): array for name, array in arrays.items()}


def _check_array(path: Path, name: str, array: Array, tensor: Tensor, first: tuple[int, ...], batch: int) -> None:
    shape = (*first, *(batch if size == "batch" else size for size in tensor.shape))
    if first and varies(key_of(name)):
        shape = (*first, batch, *shape[2:])
    if array.dtype != np.dtype(tensor.dtype) or array.shape != shape:
        found = f"{array.dtype.str} of shape {array.shape}"
        raise UsageError(f"{path}: {name!r:.80} is {found}; the manifest says {tensor.dtype} of shape {shape}")


def open_traces(folder: Path) -> dict[Precision, Trace]:
    """The trace in a folder, or those in its folders `float64` and `float32`.

    Raises:
        UsageError: none is there, or one cannot be read.
    """
    if os.path.lexists(folder / MANIFEST):
        traces = [Trace.open(folder)]
    else:
        parts = [folder / precision for precision in PRECISIONS if is_file(folder / precision / MANIFEST)]
        if not parts:
            raise UsageError(
                f"{folder}: no trace is there: neither {MANIFEST} nor float64/{MANIFEST}, float32/{MANIFEST}"
            )
        for part in parts:
            check_plain(part, "folder")
        traces = [Trace.open(part) for part in parts]
        for trace in traces:
            if trace.manifest.precision != trace.folder.name:
                raise UsageError(
                    f"{trace.folder / MANIFEST}: precision is {trace.manifest.precision}, not the folder's"
                )
    return {trace.manifest.precision: trace for trace in traces}


def recorded_steps(folder: Path) -> list[tuple[Path, int]]:
    """What there is in a folder: each trace, and how many steps it holds; nothing where there is none."""
    traces = open_traces(folder).values() if is_trace(folder) else ()
    return [(trace.folder, sum(file.steps for file in trace.manifest.files)) for trace in traces]
