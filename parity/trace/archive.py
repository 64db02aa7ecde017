"""Arrays in an uncompressed npz file: written whole or not at all, and read without believing what it says of itself.

An npz file is a zip archive of npy files. Before anything is read, what each says it holds is held against the bytes
that are there: entries are stored as they are and lie one after the other, so that all of them together are no larger
than the file, and an array is as large as its header says. Nothing is unpickled or decompressed.
"""

from __future__ import annotations

import os
import stat
import struct
import tokenize
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from parity.errors import UsageError
from parity.protocol import Array

_UNREADABLE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, OverflowError, NotImplementedError, RuntimeError),
    *(SyntaxError, tokenize.TokenError, MemoryError, zipfile.BadZipFile, struct.error, UserWarning),
)
"""What the readers of zip and npy raise for bytes that are neither; the sizes are known to be small by then."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under another name and give it its own when it is whole.

    Raises:
        UsageError: it cannot be written.
    """
    with _whole(path) as stream:
        stream.write(content)


@contextmanager
def _whole(path: Path) -> Iterator[IO[bytes]]:
    unfinished = unfinished_name(path)
    try:
        with unfinished.open("wb") as stream:
            yield stream
        unfinished.replace(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be written: {error.strerror}") from None


def unfinished_name(path: Path) -> Path:
    """What a file is called while it is being written."""
    return path.with_name(f".{path.name}.unfinished")


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """The same for arrays; the same arrays make the same bytes."""
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    if objects := [name for name, array in contiguous.items() if array.dtype.hasobject]:
        raise ValueError(f"{', '.join(objects)}: holds objects, which would be pickled")
    with _whole(path) as stream:  # NumPy 2.0 would take allow_pickle for an array's name
        np.savez(stream, **contiguous)  # type: ignore[arg-type]  # names, none of them one of its own options


def check_plain(path: Path, what: str = "file") -> os.stat_result:
    """A file of this folder itself: no link to somewhere else, no device.

    Raises:
        UsageError: it is something else, or not there.
    """
    try:
        found = path.lstat()
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if stat.S_ISLNK(found.st_mode):
        raise UsageError(f"{path}: is a link; what belongs to a trace lies in its folder")
    if not (stat.S_ISREG if what == "file" else stat.S_ISDIR)(found.st_mode):
        raise UsageError(f"{path}: is no plain {what}")
    return found


def read_arrays(path: Path) -> dict[str, Array]:
    """Every array of the file; read-only.

    Raises:
        UsageError: not such a file, cut, damaged, compressed, or with anything in it that is no array of numbers.
    """
    size = check_plain(path).st_size
    try:
        with warnings.catch_warnings(), zipfile.ZipFile(path) as archive:
            warnings.simplefilter("error", UserWarning)  # NumPy warns of headers that it has to repair
            return _read(archive, size)
    except _UNREADABLE as error:
        raise UsageError(f"{path}: not readable as an uncompressed npz: {_one_line(error)}") from None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__


def _read(archive: zipfile.ZipFile, size: int) -> dict[str, Array]:
    entries = archive.infolist()
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("it says that it holds more bytes than it has")
    arrays: dict[str, Array] = {}
    for entry in entries:
        name = entry.filename.removesuffix(".npy")
        if name == entry.filename or name in arrays:
            raise ValueError(f"{entry.filename!r:.80} is " + ("there twice" if name in arrays else "no .npy entry"))
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise ValueError(f"{name!r:.80} is compressed; traces are not")
        arrays[name] = _array(archive, entry)
    return arrays


def _array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Array:
    with archive.open(entry) as stream:
        version = np.lib.format.read_magic(stream)
        if version not in {(1, 0), (2, 0)}:
            raise ValueError(f"{entry.filename!r:.80} has npy version {version}; 1.0 and 2.0 can be read")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(stream)
        if dtype.kind not in "fiub" or dtype.hasobject:
            raise ValueError(f"{entry.filename!r:.80} holds {dtype}, not numbers")
        content = stream.read()  # to the end, which also checks its checksum
    if min(shape, default=0) < 0 or prod(shape) * dtype.itemsize != len(content):
        raise ValueError(f"{entry.filename!r:.80} has {len(content)} bytes, its shape {shape} needs others")
    return np.frombuffer(content, dtype).reshape(shape, order="F" if fortran else "C")
