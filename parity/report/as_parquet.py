"""The rows of the CSV as Parquet, typed and compressed; the facts of the JSON report are the file's metadata."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Any

from parity.report.as_json import as_dict, entries_as_dict
from parity.report.tables import frames, frames_of

if TYPE_CHECKING:
    import pandas as pd

    from parity.report.entries import Entry
    from parity.result import Result

FACTS = b"keras_parity"
_TEXT = frozenset(("case", "precision", "phase", "layer", "tensor", "part", "lane"))


def write(result: Result, stream: IO[bytes]) -> None:
    """Stream the ledgers, a row group for some thousands of entries."""
    _stream(frames(result), as_dict(result), stream)


def write_entries(entries: Iterable[Entry], stream: IO[bytes]) -> None:
    """Those of several results; the first column tells which."""
    told = list(entries)
    _stream(frames_of(told), entries_as_dict(told), stream)


def _stream(tables: Iterator[pd.DataFrame], said: dict[str, Any], stream: IO[bytes]) -> None:
    import pyarrow as pa  # noqa: PLC0415  # an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    schema = pa.Schema.from_pandas(next(tables), preserve_index=False).remove_metadata()  # of no rows
    for name in _TEXT & set(schema.names):
        schema = schema.set(schema.get_field_index(name), pa.field(name, pa.string()))
    schema = schema.with_metadata({FACTS: json.dumps(said, ensure_ascii=False).encode()})
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for frame in tables:
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
