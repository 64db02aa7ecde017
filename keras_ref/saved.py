"""What is in a `.keras` file, read as data: a zip of JSON and HDF5, of which nothing is made into an object.

Keras' own loader builds objects from the names it finds in the file. Here names stay names, so that whatever a file
says, no code of it or of others runs.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.errors import UsageError

Variables = Callable[[str], npt.NDArray[Any]]

_LARGEST_CONFIG = 64 * 2**20
_EXPANSION, _SMALL = 1000, 2**20  # what is declared may be so many times what is stored, or this small
_HDF5 = b"\x89HDF\r\n\x1a\n"
# What zipfile, zlib and h5py raise over a file that is not what it says it is.
_BROKEN = (OSError, ValueError, KeyError, TypeError, RuntimeError, EOFError, NotImplementedError, zipfile.BadZipFile)


def read(path: Path) -> tuple[Mapping[str, Any], Variables, list[npt.NDArray[Any]]]:
    """The model's serialised form, its variables by their place in the file, and those of its optimizer.

    Raises:
        UsageError: not such a file, or one that is broken or hostile.
    """
    try:
        with path.open("rb") as file:
            beginning = file.read(8)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    if beginning == _HDF5:
        msg = f"{path}: the older HDF5 form; load it with keras.models.load_model and save it as model.keras"
        raise UsageError(msg)
    if not zipfile.is_zipfile(path):
        raise UsageError(
            f"{path}: not a .keras file: {f'it begins with {beginning!r}' if beginning else 'it is empty'}"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            text = _member(archive, "config.json", _LARGEST_CONFIG)
            content = _member(archive, "model.weights.h5")
        config = json.loads(text)
        if not isinstance(config, Mapping):
            raise ValueError("config.json is no object")  # noqa: TRY004  # told below
        variables = _variables(content)
        remembered = _of_optimizer(variables)
    except RecursionError:
        raise UsageError(f"{path}: not a readable .keras file: nested too deeply") from None
    except _BROKEN as error:
        raise UsageError(f"{path}: not a readable .keras file: {_said(error)}") from None

    def variable(place: str) -> npt.NDArray[Any]:
        try:
            return variables(place)
        except _BROKEN as error:
            raise UsageError(f"{path}: not a readable .keras file: {_said(error)}") from None

    return config, variable, remembered


def _member(archive: zipfile.ZipFile, name: str, largest: float = math.inf) -> bytes:
    """One file of the archive, into memory; by name, so that no path in it matters."""
    if name not in archive.namelist():
        raise ValueError(f"it holds no {name}")
    info = archive.getinfo(name)
    if info.file_size > min(largest, max(_SMALL, _EXPANSION * info.compress_size)):
        raise ValueError(f"{name} declares {info.file_size:,} bytes and stores {info.compress_size:,}")
    return archive.read(info)


def _variables(content: bytes) -> Variables:
    import h5py  # noqa: PLC0415  # comes with Keras

    stored = h5py.File(io.BytesIO(content), "r")

    def variable(place: str) -> npt.NDArray[Any]:
        at: Any = stored
        for part in place.split("/"):
            link = at.get(part, getlink=True) if isinstance(at, h5py.Group) else None
            if link is None:
                raise KeyError(f"the weights hold no {place}")
            if not isinstance(link, h5py.HardLink):
                raise ValueError(f"{place} leads out of the weights")  # noqa: TRY004  # one kind of mistake
            at = at[part]
        if not isinstance(at, h5py.Dataset) or at.external or at.is_virtual or at.dtype.kind not in "fiu":
            raise ValueError(f"{place} is no array of numbers stored in the weights")
        declared = math.prod(at.shape) * at.dtype.itemsize
        if declared > max(_SMALL, _EXPANSION * at.id.get_storage_size()):
            raise ValueError(f"{place} declares {declared:,} bytes and stores {at.id.get_storage_size():,}")
        return np.array(at)

    return variable


def _of_optimizer(variables: Variables) -> list[npt.NDArray[Any]]:
    """In the order in which Keras made them: counter, rate, slots; none where it had not been built."""
    found: list[npt.NDArray[Any]] = []
    with contextlib.suppress(KeyError):
        while True:
            found.append(variables(f"optimizer/vars/{len(found)}"))
    return found


def _said(error: BaseException) -> str:
    """The first line of what was said, without the quotes of a KeyError."""
    text = str(error.args[0]) if isinstance(error, KeyError) and error.args else str(error)
    return text.partition("\n")[0] or type(error).__name__
