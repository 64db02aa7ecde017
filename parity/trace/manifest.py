"""`manifest.json`: what a trace says of itself, checked before anything else is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from parity.config import Experiment, Precision, validate
from parity.config.errors import ConfigError
from parity.config.load import once
from parity.errors import UsageError
from parity.paths import is_file, is_folder
from parity.protocol import Key, Phase, keyed, word_of
from parity.trace.archive import check_plain, write_whole

FORMAT_VERSION = 1
MANIFEST = "manifest.json"
START = "start.npz"
DRAWN = "drawn.npz"
"""What the side would have begun with by itself, where it was told to begin with other weights."""
BEFORE = "before/"
PRECISIONS: tuple[Precision, ...] = ("float64", "float32")
_LARGEST = 64 * 2**20  # bytes of a manifest
_LAST_STEP = 2**40

Size = Annotated[int, Field(ge=0, le=2**40)]
DType = Literal["|b1", "|i1", "|u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Tensor(_Strict):
    """One array that every step has; `"batch"` stands for the number of examples in a step."""

    phase: Phase
    dtype: DType
    shape: tuple[Size | Literal["batch"], ...]


class File(_Strict):
    """Consecutive steps in one npz file."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.\-]*\.npz$", max_length=200)]
    first_step: Annotated[int, Field(ge=1, le=_LAST_STEP)]
    steps: Annotated[int, Field(ge=1, le=_LAST_STEP)]

    @property
    def last_step(self) -> int:
        return self.first_step + self.steps - 1


class Manifest(_Strict):
    """The manifest of one trace: one side, one experiment, one precision."""

    format_version: Literal[1] = 1
    side: str
    experiment: dict[str, Any]
    precision: Precision
    environment: dict[str, str] = {}  # pydantic copies it
    keep: str = "all"
    """Which of the steps are here, for whoever goes on recording."""
    tensors: dict[str, Tensor] = {}
    files: tuple[File, ...] = ()

    def write(self, folder: Path) -> None:
        text = json.dumps(self.model_dump(mode="json"), indent=1, allow_nan=False)
        write_whole(folder / MANIFEST, (text + "\n").encode())


def is_trace(path: Path) -> bool:
    """Whether a folder is meant to be a trace, in one precision or in several."""
    return is_folder(path) and any(is_file(path / part / MANIFEST) for part in ("", *PRECISIONS))


def array_name(key: Key) -> str:
    """`gradient/data:dense/kernel`: a word of the vocabulary and, in a group, the name."""
    word, name = word_of(key)
    return f"{word}:{name}" if name else word


def key_of(name: str) -> Key:
    """The key that an array's name stands for.

    Raises:
        ValueError: the name is not in the vocabulary.
    """
    word, colon, of_group = name.partition(":")
    (key,) = keyed({word: {of_group: 0} if colon else 0}, "")
    if array_name(key) != name:
        raise ValueError(f"{name!r:.80} should be written {array_name(key)!r:.80}")
    return key


def read_manifest(folder: Path) -> tuple[Manifest, Experiment]:
    """What a trace says of itself.

    Raises:
        UsageError: it is missing, no JSON, of another version, or contradicts itself. One line, with the file's name.
    """
    path = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(_checked_text(path))
        experiment = validate(manifest.experiment, path)
        _check(manifest)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise UsageError(f"{path}: {where[:200]}: {first['msg'][:200]}; received {first['input']!r:.60}") from None
    except ConfigError as error:
        raise UsageError(f"{path}: experiment: {error.mistakes[0][:300]}") from None
    except (ValueError, RecursionError, OverflowError) as error:
        raise UsageError(f"{path}: {' '.join(str(error).split())[:300]}") from None
    return manifest, experiment


def _checked_text(path: Path) -> bytes:
    """The text of a manifest that is JSON, of this version, and says nothing twice."""
    if check_plain(path).st_size > _LARGEST:
        raise ValueError(f"larger than {_LARGEST >> 20} MiB")
    try:
        content = path.read_bytes()
        table = json.loads(content.decode(), parse_constant=_no_number, object_pairs_hook=once)
    except UnicodeDecodeError:
        raise ValueError("not UTF-8 text") from None
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    version = table.get("format_version") if isinstance(table, dict) else None
    if type(version) is int and version > FORMAT_VERSION:
        raise ValueError(
            f"format version {version:.0f} is newer than this keras-parity reads ({FORMAT_VERSION}); update it"
        )
    return content


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a number of JSON's")


def _check(manifest: Manifest) -> None:
    """What pydantic cannot see: that names, phases and files fit together."""
    for name, tensor in manifest.tensors.items():
        if key_of(name).phase != tensor.phase:
            raise ValueError(f"tensors: {name!r:.80} belongs to phase {key_of(name).phase}, not {tensor.phase}")
    if manifest.files and not {"x", "y"} <= manifest.tensors.keys():
        raise ValueError("tensors: x and y, the batch of each step, are missing")
    last = 0
    names: set[str] = set()
    for file in manifest.files:
        if file.first_step <= last or file.name in {*names, START}:
            raise ValueError(f"files: {file.name!r:.80} overlaps the steps before it, or is there twice")
        last = file.last_step
        names.add(file.name)
