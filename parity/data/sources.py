"""Reading examples: each source of `parity.config.data` is one function from its settings to raw arrays."""

from __future__ import annotations

import gzip
import math
import os
import struct
import sys
import warnings
import zipfile
import zlib
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.config import data as config
from parity.errors import UsageError, nearest
from parity.paths import is_file, is_folder

Arrays = tuple[npt.NDArray[Any], npt.NDArray[Any]]
MNIST_VARIABLE = "PARITY_MNIST"

_IDX_TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_MNIST_STEMS = {"train": "train", "test": "t10k"}
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error, struct.error)


def digits(_: config.Digits) -> Arrays:
    """The UCI handwritten digits, CC BY 4.0; provenance in `parity/data/README.md`."""
    with resources.files("parity.data").joinpath("digits.npz").open("rb") as file, np.load(file) as stored:
        return stored["x"], stored["y"]


def read_idx(path: Path) -> npt.NDArray[Any]:
    """An array in the IDX format of the MNIST distribution, gzipped or not.

    Raises:
        UsageError: not an IDX file, or shorter than its header says.
    """
    opened = gzip.open if path.suffix == ".gz" else open
    try:
        with opened(path, "rb") as file:
            content = file.read()
    except _UNREADABLE as error:
        msg = f"{path}: not readable as IDX: {error}"
        raise UsageError(msg) from None
    zero, kind, dimensions = struct.unpack_from(">HBB", content) if len(content) >= 4 else (1, 0, 0)
    if zero != 0 or kind not in _IDX_TYPES:
        msg = f"{path}: not an IDX file: {f'it begins with 0x{content[:4].hex()}' if content else 'it is empty'}"
        raise UsageError(msg)
    begin, dtype = 4 + 4 * dimensions, np.dtype(_IDX_TYPES[kind])
    if len(content) < begin:
        msg = f"{path}: cut short: {len(content)} bytes, and the header of {dimensions} dimensions alone has {begin}"
        raise UsageError(msg)
    shape = struct.unpack_from(f">{dimensions}I", content, 4)
    if len(content) - begin != (expected := math.prod(shape) * dtype.itemsize):
        wrong = "cut short" if len(content) - begin < expected else "too long"
        msg = (
            f"{path}: {wrong}: the header says {' x '.join(map(str, shape))}, which are {expected} bytes; "
            f"{len(content) - begin} follow"
        )
        raise UsageError(msg)
    return np.frombuffer(content, dtype, offset=begin).reshape(shape)


def read_npz(path: Path, *names: str) -> dict[str, npt.NDArray[Any]]:
    """The named arrays of an npz file; all of them where none is named.

    Raises:
        UsageError: not an npz file, or without one of these arrays.
    """
    if not is_file(path):
        msg = f"{path}: {'a folder; expected an npz file' if is_folder(path) else _no_such_file(path)}"
        raise UsageError(msg)
    try:
        with path.open("rb") as file:
            stored = np.load(file, allow_pickle=False)
            if isinstance(stored, np.ndarray):
                msg = f"{path}: not readable as npz: it is a single array (npy)"
                raise UsageError(msg)
            if missing := [name for name in names if name not in stored.files]:
                msg = f"{path}: has no array {', '.join(missing)}; it holds {', '.join(stored.files)}"
                raise UsageError(msg)
            return {name: stored[name] for name in names or stored.files}
    except _UNREADABLE as error:
        why: object = error
        if "Object arrays" in str(error):
            why = "it holds Python objects, which are not read; save plain numbers"
        elif "pickle" in str(error):  # NumPy takes what it does not know for one and says how to load it; nobody should
            why = "it is neither zip nor npy"
        msg = f"{path}: not readable as npz: {why}"
        raise UsageError(msg) from None


def _no_such_file(path: Path) -> str:
    return "no such file" if path.is_absolute() else f"no such file; looked for from {Path.cwd()}"


def _mnist_places(given: str | None) -> list[Path]:
    if given:
        return [Path(given).expanduser()]
    places = [Path(os.environ[MNIST_VARIABLE]).expanduser()] if os.environ.get(MNIST_VARIABLE) else []
    keras_home = Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser()
    return [*places, keras_home / "datasets" / "mnist.npz", keras_home / "datasets"]


def mnist(settings: config.Mnist) -> Arrays:
    """MNIST in the form it is found in: Keras' `mnist.npz`, or the four IDX files, gzipped or not."""
    places = _mnist_places(settings.path)
    for place in places:
        archive = place / "mnist.npz" if is_folder(place) else place
        if is_file(archive):
            stored = read_npz(archive, f"x_{settings.split}", f"y_{settings.split}")
            return stored[f"x_{settings.split}"], stored[f"y_{settings.split}"]
        if pair := _idx_pair(place, settings.split):
            return read_idx(pair[0]), read_idx(pair[1])
    looked = ", ".join(repr(str(place)) for place in places)  # quoted: a folder may be called "."
    stem = _MNIST_STEMS[settings.split]
    other = "test" if settings.split == "train" else "train"
    there = next((place for place in places if _idx_pair(place, other)), None)
    msg = (
        f"MNIST ({settings.split}) was not found in: {looked}. Set data.path or ${MNIST_VARIABLE} to a folder with "
        f"mnist.npz or {stem}-images-idx3-ubyte(.gz) and {stem}-labels-idx1-ubyte(.gz)"
        + (f'; {there} has the other images: data.split = "{other}"' if there else "")
    )
    raise UsageError(msg)


def _idx_pair(place: Path, split: str) -> list[Path] | None:
    """The images and the labels of a folder, where both are there."""
    pair = []
    for part in ("images-idx3", "labels-idx1"):
        packed = place / f"{_MNIST_STEMS[split]}-{part}-ubyte.gz"
        pair += [path for path in (packed, packed.with_suffix("")) if is_file(path)][:1]
    return pair if len(pair) == 2 else None


def npz(settings: config.Npz) -> Arrays:
    """Two named arrays of an npz file."""
    stored = read_npz(Path(settings.path), settings.x, settings.y)
    return stored[settings.x], stored[settings.y]


def csv(settings: config.Csv) -> Arrays:
    """The columns of a table."""
    import pandas as pd  # noqa: PLC0415  # heavy, and only tables need it

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)  # values that have no name would be left out
            table = pd.read_csv(settings.path, index_col=False, skipinitialspace=True)
    except FileNotFoundError:
        msg = f"{settings.path}: {_no_such_file(Path(settings.path))}"
        raise UsageError(msg) from None
    except pd.errors.EmptyDataError:
        msg = f"{settings.path}: is empty; a table begins with a header line, the names of its columns"
        raise UsageError(msg) from None
    except (OSError, ValueError, pd.errors.ParserError) as error:
        msg = f"{settings.path}: not readable as CSV: {str(error).strip()}"
        raise UsageError(msg) from None
    except pd.errors.ParserWarning:
        msg = f"{settings.path}: not readable as CSV: its rows have more values than the header has names"
        raise UsageError(msg) from None
    wanted = settings.target if isinstance(settings.target, tuple) else (settings.target,)
    columns = [str(name) for name in table.columns]
    targets = []
    for target in wanted:
        if isinstance(target, int) and -len(columns) <= target < len(columns):
            targets.append(columns[target])
        elif target in columns:
            targets.append(target)
        else:
            msg = f"{settings.path}: has no column {target!r}; it has {', '.join(columns)}{nearest(target, columns)}"
            raise UsageError(msg)
    if twice := sorted({target for target in targets if targets.count(target) > 1}):
        msg = f"{settings.path}: data.target names a column twice: {', '.join(twice)}"
        raise UsageError(msg)
    if table.empty:
        msg = f"{settings.path}: has no rows"
        raise UsageError(msg)
    if _is_example(columns) and not any(isinstance(target, str) for target in wanted):
        msg = f"{settings.path}: begins with numbers, not with names of columns; give it a header line"
        raise UsageError(msg)
    header = pd.read_csv(settings.path, header=None, nrows=1, dtype=str, skipinitialspace=True).iloc[0].dropna()
    if twice := sorted(set(header[header.duplicated()])):  # pandas calls the second a.1: a target would be an input
        msg = f"{settings.path}: two columns have the same name: {', '.join(twice)}"
        raise UsageError(msg)
    inputs = table.drop(columns=targets)
    if text := [name for name in columns if not pd.api.types.is_numeric_dtype(table[name])]:
        msg = f"{settings.path}: not numeric: {', '.join(text)}"
        raise UsageError(msg)
    for row, column in np.argwhere(table.isna().to_numpy())[:1]:
        msg = f"{settings.path}: no number in row {row + 1} after the header, column {columns[column]}"
        raise UsageError(msg)
    outputs = table[targets].to_numpy(np.float64)
    return inputs.to_numpy(np.float64), outputs[:, 0] if len(targets) == 1 else outputs


def _is_example(header: list[str]) -> bool:
    """Whether a header is more likely the first example: all numbers, and not just the columns counted."""
    try:
        [float(name) for name in header]
    except ValueError:
        return False
    return header != [str(at) for at in range(len(header))]


def arrays(settings: config.Arrays) -> Arrays:
    """The numbers of the experiment."""
    return np.array(settings.x, np.float64), np.array(settings.y, np.float64)


def check_room(*shape: int) -> None:
    """Whether numbers of such a shape can be counted; NumPy raises ValueError of those that cannot.

    Raises:
        MemoryError: they cannot.
    """
    if math.prod(shape) > sys.maxsize // 8:
        raise MemoryError(f"{' x '.join(map(str, shape))} numbers")


def regression(settings: config.Regression) -> Arrays:
    """A noisy linear map."""
    check_room(settings.samples, settings.features + settings.targets)
    check_room(settings.features, settings.targets)
    random = np.random.default_rng(settings.seed)
    x = random.standard_normal((settings.samples, settings.features))
    coefficients = random.standard_normal((settings.features, settings.targets))
    # Term by term: a matrix product would give other last bits on another processor, and other data to a baseline.
    y = sum(x[:, [at]] * row for at, row in enumerate(coefficients)) + random.standard_normal(settings.targets)
    return x, y + settings.noise * random.standard_normal(y.shape)


def classification(settings: config.Classification) -> Arrays:
    """Normal clouds."""
    check_room(settings.samples + settings.classes, settings.features)
    random = np.random.default_rng(settings.seed)
    centres = 2 * random.standard_normal((settings.classes, settings.features))
    labels = random.integers(0, settings.classes, settings.samples)
    return centres[labels] + random.standard_normal((settings.samples, settings.features)), labels


def memory(_: config.Memory) -> Arrays:
    """Nothing to read: whoever has the arrays gives them to `load_dataset`."""
    msg = 'data: source = "memory" are arrays that were handed over in Python; name a file: source = "npz", path = ...'
    raise UsageError(msg)


_READERS: dict[str, Callable[[Any], Arrays]] = {
    "digits": digits,
    "mnist": mnist,
    "npz": npz,
    "csv": csv,
    "arrays": arrays,
    "regression": regression,
    "classification": classification,
    "memory": memory,
}


def read(settings: config.Data) -> Arrays:
    """Raw inputs and targets, first axis the examples."""
    return _READERS[settings.source](settings)
