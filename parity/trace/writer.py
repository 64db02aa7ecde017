"""Writing a trace, a chunk of steps at a time: whatever happens in between, every finished chunk can be read.

A chunk is written under another name, renamed, and then named in a manifest that is replaced as a whole. A process that
is killed leaves at most a file that no manifest names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from parity.errors import UsageError
from parity.protocol import Array, Key, Records
from parity.trace.archive import write_arrays
from parity.trace.manifest import BEFORE, DRAWN, START, File, Manifest, Tensor, array_name
from parity.trace.shapes import BATCH, varies


class TraceWriter:
    """One trace on its way to disk."""

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        """Go on after what the manifest names already."""
        self.folder, self.manifest = folder, manifest

    def start(self, state: Mapping[Key, Array]) -> None:
        """Weights and slots before the first step."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"{self.folder}: cannot be made: {error.strerror}") from None
        write_arrays(self.folder / START, {array_name(key): array for key, array in state.items()})
        self.manifest.write(self.folder)

    def drawn(self, weights: Mapping[str, Array]) -> None:
        """What the side would have begun with by itself; empty where it draws no weights."""
        write_arrays(self.folder / DRAWN, {array_name(Key("update", name)): weights[name] for name in weights})

    @property
    def last_step(self) -> int:
        return self.manifest.files[-1].last_step if self.manifest.files else 0

    def write(self, records: Records) -> None:
        """Append consecutive steps; batches are among their arrays.

        Raises:
            UsageError: a tensor is missing, is new, or has another type or shape than in the steps before.
        """
        batch = records.arrays[Key("batch", "x")].shape[1]
        tensors = {array_name(key): _tensor(key, array, batch) for key, array in records.arrays.items()}
        if self.manifest.files and tensors != self.manifest.tensors:
            odd = next(
                n for n in tensors.keys() | self.manifest.tensors if tensors.get(n) != self.manifest.tensors.get(n)
            )
            raise UsageError(
                f"{self.folder}: at step {records.first_step} {odd} is new, is missing, or has another shape or type"
            )
        arrays = {array_name(key): _little(array) for key, array in records.arrays.items()}
        if records.first_step != self.last_step + 1:
            before = {array_name(key): _little(array) for key, array in records.before.items()}
            arrays |= {BEFORE + name: array for name, array in before.items() if name in tensors}
        file = File(name=f"steps-{records.first_step:09d}.npz", first_step=records.first_step, steps=len(records))
        write_arrays(self.folder / file.name, arrays)
        self.manifest = self.manifest.model_copy(update={"tensors": tensors, "files": (*self.manifest.files, file)})
        self.manifest.write(self.folder)


def _tensor(key: Key, array: Array, batch: int) -> Tensor:
    shape: tuple[int | str, ...] = array.shape[1:]
    if varies(key) and shape and shape[0] == batch:
        shape = (BATCH, *shape[1:])
    return Tensor(phase=key.phase, dtype=_little(array).dtype.str, shape=shape)  # type: ignore[arg-type]  # checked


def _little(array: Array) -> Array:
    return array.astype(array.dtype.newbyteorder("<"), copy=False) if array.dtype.kind != "b" else np.asarray(array)
