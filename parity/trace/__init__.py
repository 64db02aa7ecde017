"""Traces: what a side did, on disk, readable with NumPy and a JSON reader alone (docs/trace-format.md).

`manifest.py` says what is in a trace, `archive.py` reads and writes arrays, `writer.py` and `reader.py` whole traces,
and `keep.py` which steps are in one, and `side.py` makes a side of one.
"""

from parity.trace.manifest import FORMAT_VERSION, MANIFEST, Manifest, is_trace
from parity.trace.reader import Trace, open_traces, recorded_steps
from parity.trace.side import TraceSide
from parity.trace.writer import TraceWriter

__all__ = [
    "FORMAT_VERSION",
    "MANIFEST",
    "Manifest",
    "Trace",
    "TraceSide",
    "TraceWriter",
    "is_trace",
    "open_traces",
    "recorded_steps",
]
