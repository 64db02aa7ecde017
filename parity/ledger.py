"""Every measure of every step, kept where it does not fill the memory: small runs in it, long ones on disk."""

from __future__ import annotations

import os
import tempfile
import weakref
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.measure import MEASURES, Rows, words
from parity.protocol import Array, Key, Lane

if TYPE_CHECKING:
    import pandas as pd

IN_MEMORY = 16 * 2**20  # bytes
_READ = 4096  # entries at once
_WRITE = 2**16  # bytes at once
ENTRY = np.dtype([("step", "i4"), ("key", "i2"), ("lane", "i2"), ("measures", MEASURES)])
_HEAD = np.dtype([("step", "i4"), ("key", "i2"), ("lane", "i2")])  # eight bytes, like every field of MEASURES
LANES: tuple[Lane, ...] = ("local", "free")


class Ledger:
    """An append-only table with one entry for each step, key and lane."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115  # lives as long as the ledger
        weakref.finalize(self, self._file.close)  # and leaves nothing behind
        self._numbers: dict[Key, int] = {}
        self._unwritten = bytearray()
        self.length = 0

    @property
    def keys(self) -> list[Key]:
        """Keys by the number under which the entries name them."""
        return list(self._numbers)

    def append(self, key: Key, lane: Lane, first_step: int, rows: Rows) -> None:
        """The measures of consecutive steps of one tensor."""
        self.extend([(key, lane, first_step, rows)])

    def extend(self, tables: Sequence[tuple[Key, Lane, int, Rows]]) -> None:
        """Of several tensors, one after another."""
        counts = [len(rows) for *_, rows in tables]
        head = np.empty(sum(counts), _HEAD)
        head["step"] = np.concatenate([np.arange(first, first + len(rows)) for _, _, first, rows in tables])
        head["key"] = np.repeat([self._numbers.setdefault(key, len(self._numbers)) for key, *_ in tables], counts)
        head["lane"] = np.repeat([LANES.index(lane) for _, lane, *_ in tables], counts)
        measures = np.concatenate([words(rows) for *_, rows in tables])
        entries = np.empty((len(head), ENTRY.itemsize // 8), np.int64)  # copied as words, not field by field
        entries[:, 0], entries[:, 1:] = head.view(np.int64), measures
        self._unwritten += entries.tobytes()
        self.length += len(head)
        if len(self._unwritten) > _WRITE:
            self._write()

    def _write(self) -> None:
        self._file.seek(0, os.SEEK_END)  # somebody may have been reading
        self._file.write(self._unwritten)
        self._unwritten.clear()

    def __iter__(self) -> Iterator[Array]:
        """The entries, some thousands at a time."""
        self._write()
        self._file.seek(0)
        while content := self._file.read(_READ * ENTRY.itemsize):
            yield np.frombuffer(content, ENTRY)

    def rows(self, steps: set[int]) -> dict[tuple[int, Key, Lane], Any]:
        """The measures at chosen steps."""
        wanted = np.array(sorted(steps))
        keys = self.keys
        return {
            (int(entry["step"]), keys[entry["key"]], LANES[entry["lane"]]): entry["measures"]
            for entries in self
            for entry in entries[np.isin(entries["step"], wanted)]
        }

    def frames(self) -> Iterator[pd.DataFrame]:
        """Tidy tables, some thousands of rows at a time: one row for each step, tensor, part and lane."""
        import pandas as pd  # noqa: PLC0415  # heavy, and only tables need it

        phases, tensors, parts, layers = (
            np.array([str(getattr(key, name)) for key in self.keys] or [""], object)
            for name in ("phase", "tensor", "part", "layer")
        )
        for entries in self:
            at, measures = entries["key"], entries["measures"]
            columns: dict[str, Any] = {
                "step": entries["step"],
                "phase": phases[at],
                "layer": layers[at],
                "tensor": tensors[at],
                "part": parts[at],
                "lane": np.array(LANES, object)[entries["lane"]],
            }
            for name in ("absolute", "relative", "ulp", "used"):
                columns[name] = measures[name]["value"]
                for field in ("index", "reference", "candidate"):
                    columns[f"{name}_{field}"] = measures[name][field]
            simple = [name for name in MEASURES.names or () if name not in columns]
            yield pd.DataFrame(columns | {name: measures[name] for name in simple})

    def frame(self) -> pd.DataFrame:
        """The whole ledger as one table."""
        import pandas as pd  # noqa: PLC0415  # heavy, and only tables need it

        return pd.concat([*self.frames()], ignore_index=True) if self.length else pd.DataFrame()
