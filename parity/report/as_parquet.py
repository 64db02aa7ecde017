"""The rows of the CSV as Parquet, typed and compressed; the facts of the JSON report are the file's metadata."""

from __future__ import annotations

import json
from typing import IO, TYPE_CHECKING

from parity.report.as_json import as_dict
from parity.report.tables import frames

if TYPE_CHECKING:
    from parity.result import Result

FACTS = b"keras_parity"


def write(result: Result, stream: IO[bytes]) -> None:
    """Stream the ledgers, a row group for some thousands of entries."""
    import pyarrow as pa  # noqa: PLC0415  # an extra
    import pyarrow.parquet as pq  # noqa: PLC0415

    tables = frames(result)
    text = [(name, pa.string()) for name in ("precision", "phase", "layer", "tensor", "part", "lane")]
    empty = next(tables)
    schema = pa.Schema.from_pandas(empty, preserve_index=False).remove_metadata()
    for name, kind in text:
        schema = schema.set(schema.get_field_index(name), pa.field(name, kind))
    schema = schema.with_metadata({FACTS: json.dumps(as_dict(result), ensure_ascii=False).encode()})
    with pq.ParquetWriter(stream, schema, compression="zstd") as writer:
        for frame in tables:
            writer.write_table(pa.Table.from_pandas(frame, schema, preserve_index=False))
