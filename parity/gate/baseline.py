"""A baseline: what the reference did in the runs of a case, recorded once and kept beside the case.

`baseline.json` holds what people read in a review: the experiment, where and with what it was recorded, and of every
step each scalar (losses with their parts, metrics, counters) with the distance that rounding can have put there, and a
digest of all the bits. `baseline.npz` holds everything of a few steps, in full, and the last weights. Batches are not
in it: they are made of the experiment's data, whose digest is.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import BaseModel, Field, ValidationError, model_validator

from parity.config import Experiment, Precision
from parity.config.base import Frozen, NonNegative
from parity.config.errors import mistakes_in
from parity.config.numbers import Listed
from parity.errors import CannotJudgeError
from parity.paths import is_file
from parity.protocol import Array, Key, Part, Phase, Records
from parity.sides import STAND_IN

JSON, NPZ = "baseline.json", "baseline.npz"
Number = float | Literal["nan", "inf", "-inf"]
Limit = NonNegative | None
"""How far rounding can have driven two runs apart; None where nobody knows."""


class BaselineError(CannotJudgeError):
    """There is no baseline that could be judged against."""


class Series(Frozen):
    """A scalar of every step."""

    dtype: Literal["float32", "float64", "int32", "int64"]
    values: Listed[Number]
    allowed: Listed[Limit]

    def array(self, steps: slice) -> Array:
        return np.array([float(value) for value in self.values[steps]]).astype(self.dtype)


class InPrecision(Frozen):
    """The reference's run in one precision."""

    steps: Annotated[int, Field(ge=1)]
    kept: Listed[int]
    """Steps of which everything is in the npz; the first always is."""
    scalars: dict[str, Series]
    final: dict[str, Limit]
    """How far each weight may be off after the last step; its values are in the npz."""
    drift: dict[str, Listed[Limit]]
    """Of each tensor at each kept step: how far two runs have drifted by then, beside the budget of the operation."""
    digests: Listed[str]
    """Of all the bits of each step."""
    no_drift: str = ""
    """Why nobody knows how far rounding drives two such runs apart."""

    @model_validator(mode="after")
    def _whole(self) -> InPrecision:
        """What is told of every step, or of every kept one, is told of each."""
        told = {"digests": len(self.digests)}
        told |= {f"scalars.{name}": len(series.values) for name, series in self.scalars.items()}
        told |= {f"scalars.{name} (allowed)": len(series.allowed) for name, series in self.scalars.items()}
        kept = {f"drift.{name}": len(limits) for name, limits in self.drift.items()}
        for lengths, wanted in ((told, self.steps), (kept, len(self.kept))):
            for name, length in lengths.items():
                if length != wanted:
                    raise ValueError(f"{name} has {length} entries, not {wanted}")
        if not set(self.kept) <= set(range(1, self.steps + 1)):
            raise ValueError(f"kept: {list(self.kept)} are not all among {self.steps} steps")
        return self


class Recorded(Frozen):
    """One reference in one experiment; the case's runs that share it have it once."""

    runs: Listed[str]
    reference: str
    stand_in: str = STAND_IN
    """The NumPy network with the choices that the reference is known to make."""
    experiment: dict[str, Any]
    data: str
    """Digest of the examples."""
    draws: bool
    """Whether the reference drew the initial weights by itself."""
    precisions: dict[Precision, InPrecision]


class Contents(Frozen):
    """`baseline.json`."""

    format: Literal[1] = 1
    command: str
    made: str
    environment: dict[str, str]
    arrays: str
    """SHA-256 of the npz that belongs to it."""
    candidates: dict[str, dict[Precision, str]]
    """Run -> digest of the candidate's own run when this was made: the same bits mean that nothing changed since."""
    recorded: Listed[Recorded]


@dataclass(frozen=True)
class Kept:
    """One reference's run in one precision, with its arrays."""

    contents: InPrecision
    places: Mapping[str, dict[Key, Array]]
    """`before/1`, `step/1`, `final`, ...: what is known of each."""

    @property
    def start(self) -> dict[str, Array]:
        """The weights that both sides begin with."""
        before = self.places["before/1"]
        return {key.tensor: array for key, array in before.items() if re.fullmatch(r"[^/]+/(kernel|bias)", key.tensor)}

    def step(self, step: int) -> Records:
        """Everything of one kept step, but for its batch."""
        arrays = {key: array[None] for key, array in self.places[f"step/{step}"].items()}
        before = self.places.get(f"before/{step}")
        if before is None:  # the step before is kept as well
            before = {key: array for key, array in self.places[f"step/{step - 1}"].items() if key.phase == "update"}
        before = dict(before)
        for key, series in self.scalars.items():
            arrays[key] = series.array(slice(step - 1, step))
            if key.phase == "update" and step > 1:
                before[key] = series.array(slice(step - 2, step - 1)).reshape(())
            elif key in before:
                before[key] = before[key].astype(series.dtype)
        return Records(step, arrays, before)

    @property
    def scalars(self) -> dict[Key, Series]:
        return {key_of(text): series for text, series in self.contents.scalars.items()}

    @property
    def final(self) -> dict[Key, Array]:
        return {key: array[None] for key, array in self.places.get("final", {}).items()}

    def drift(self, step: int) -> dict[Key, Array] | None:
        """What the free-running candidate may have drifted at a kept step; None where nothing is known."""
        at = self.contents.kept.index(step)
        known = {key_of(text): limits[at] for text, limits in self.contents.drift.items()}
        found = {key: np.array([limit]) for key, limit in known.items() if limit is not None}
        return found or None


@dataclass(frozen=True)
class Baseline:
    """A baseline that was read or has just been made."""

    contents: Contents
    arrays: Mapping[str, Array]

    def recorded(self, run: str) -> int | None:
        """The number of the recording that a run is held against."""
        return next((at for at, one in enumerate(self.contents.recorded) if run in one.runs), None)

    def kept(self, number: int, precision: Precision) -> Kept:
        """What was recorded of one reference in one precision.

        Raises:
            BaselineError: the two files do not tell the same of it.
        """
        contents, name = self.contents.recorded[number].precisions[precision], f"{number}/{precision}"
        if not {name, f"{name}/layout"} <= set(self.arrays):
            raise BaselineError(f"{NPZ} holds no {name}, which {JSON} tells of: make both anew, with --update")
        places = _laid_out(self.arrays[name], self.arrays[f"{name}/layout"])
        expected = {"before/1", *(f"step/{step}" for step in contents.kept)}
        final = {key.tensor for key in places.get("final", {})}
        if not expected <= set(places) or final != set(contents.final):
            raise BaselineError(f"{JSON} and {NPZ} do not tell the same of {name}: make both anew, with --update")
        return Kept(contents, places)


def laid_flat(places: Mapping[str, Mapping[Key, Array]], dtype: str) -> tuple[Array, Array]:
    """All arrays end to end in one, and a line for each that says what it is: a file of thousands is slow to read."""
    lines, flat = [], []
    for place, arrays in places.items():
        for key, array in arrays.items():
            lines.append(" ".join([place, key.phase, key.part, key.tensor, *map(str, np.shape(array))]))
            flat.append(np.ravel(array).astype(dtype))
    return np.concatenate(flat), np.frombuffer("\n".join(lines).encode(), np.uint8)


def _laid_out(flat: Array, layout: Array) -> dict[str, dict[Key, Array]]:
    places: dict[str, dict[Key, Array]] = {}
    at = 0
    for line in layout.tobytes().decode().splitlines():
        place, phase, part, tensor, *lengths = line.split(" ")
        shape = tuple(map(int, lengths))
        size = math.prod(shape)
        key = Key(cast("Phase", phase), tensor, cast("Part", part))
        places.setdefault(place, {})[key] = flat[at : at + size].reshape(shape)
        at += size
    return places


def key_of(text: str) -> Key:
    """`loss dense/kernel (penalty)` as a key."""
    match = re.fullmatch(r"(\w+) (\S+)(?: \((\w+)\))?", text)
    assert match is not None, text
    return Key(cast("Phase", match[1]), match[2], cast("Part", match[3] or "whole"))


def described(value: Any) -> Any:
    """An experiment as far as it bears on what the reference computes: all that is not a default, no file names."""
    if isinstance(value, Experiment):
        told = {name: described(getattr(value, name)) for name in _said(value) - _APART}
        for key in ("initial_weights", "initial_state"):
            if isinstance(getattr(value, key), str):  # its numbers are in the npz
                told[key] = "a file"
        return dict(sorted(told.items()))
    if isinstance(value, BaseModel):
        return {name: described(getattr(value, name)) for name in sorted(_said(value) - {"path"})}
    if isinstance(value, dict):
        return {name: described(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [described(item) for item in value]
    return value


_APART = {"name", "tolerance", "declare", "precision", "examples"}  # no business of the reference's


def _said(model: BaseModel) -> set[str]:
    fields = type(model).model_fields
    always = {"class_name", "source"} & fields.keys()
    return always | {
        name
        for name, field in fields.items()
        if getattr(model, name) != field.get_default(call_default_factory=True, validated_data={})
    }


def digest(arrays: Iterable[tuple[str, Array]]) -> str:
    """Of names, dtypes and bits; sixteen digits of SHA-256."""
    found = hashlib.sha256()
    for name, array in arrays:
        found.update(f"{name} {array.dtype.str} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()[:16]


def read(folder: Path, update: str) -> Baseline:
    """The baseline of a case.

    Args:
        folder: the case's.
        update: the command that makes one, for messages.

    Raises:
        BaselineError: there is none, or what there is cannot be used.
    """
    path = folder / JSON
    if not is_file(path) or not is_file(folder / NPZ):
        missing = path if not is_file(path) else folder / NPZ
        msg = f"{missing}: there is no baseline; to make one (with TensorFlow installed): {update}"
        raise BaselineError(msg)
    try:
        contents = Contents.model_validate_json(path.read_bytes())
    except ValidationError as error:
        mistakes = "; ".join(mistakes_in(error, Contents))
        msg = f"{path}: cannot be read as a baseline: {mistakes}; to make it anew: {update}"
        raise BaselineError(msg) from None
    stored = (folder / NPZ).read_bytes()
    if hashlib.sha256(stored).hexdigest() != contents.arrays:
        msg = (
            f"{folder / NPZ}: does not belong to {JSON} beside it (its digest is another); to make both anew: {update}"
        )
        raise BaselineError(msg)
    return Baseline(contents, unpacked(stored))


def unpacked(stored: bytes) -> Mapping[str, Array]:
    """The arrays of an npz, each read when it is asked for."""
    found: Mapping[str, Array] = np.load(io.BytesIO(stored), allow_pickle=False)
    return found


def packed(arrays: Mapping[str, Array]) -> bytes:
    """An npz; the same arrays make the same bytes."""
    stream = io.BytesIO()
    np.savez(stream, **dict(arrays))  # type: ignore[arg-type]  # names with slashes
    return stream.getvalue()


def write(folder: Path, contents: Contents, stored: bytes) -> None:
    """Both files, whole or not at all."""
    text = json.dumps(contents.model_dump(mode="json"), indent=1, ensure_ascii=False, allow_nan=False)
    text = re.sub(r"\[[^\[\]{}]*\]", lambda found: re.sub(r"\s*\n\s*", " ", found[0]), text)  # a list is one line
    for name, content in ((NPZ, stored), (JSON, f"{text}\n".encode())):
        unfinished = folder / f".{name}.{os.getpid()}"
        unfinished.write_bytes(content)
        unfinished.replace(folder / name)
