"""Traces that were cut, flipped, edited, bombed, or written by somebody who wishes us ill."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from parity.config import validate
from parity.fuzz.runner import Outcome, call, judged
from parity.recording import record
from parity.trace.archive import read_arrays

EXPERIMENT = {
    "data": {"source": "regression", "features": 2, "samples": 7},
    "layers": [{"units": 3, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}}, {"units": 1}],
    "loss": "mse",
    "optimizer": "adam",
    "batch_size": 3,
    "steps": 8,
    "precision": "float64",
    "initial_state": {"optimizer/iterations": 3, "dense/bias/momentum": [0.5, 0, -0.25]},
}
HOSTILE: tuple[Any, ...] = (
    *(None, True, -1, 0, 1, 3, 2**31, 2**63, 10**30, 1e308, -0.5, "", "x", "batch", "weights:dense/kernel"),
    *("../start.npz", "/etc/passwd", "..", "start.npz", "manifest.json", "a\nb", "\0", "é" * 300, "x" * 10**6),
    *([], {}, [[]], [1, 2], {"": 1}, [0] * 10**4, "<f4", "|O", "<f16", ">f8", "float32", "nan"),
)


_MUTABLE = 2**24  # a file that was made enormous is left alone


class Canary:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


class Traces:
    """A sound trace, and what is made of copies of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sound, self.hit = folder, folder / "sound", folder / "mutated"
        self.canary = folder / "canary"
        self.experiment = folder / "experiment.json"
        self.experiment.write_text(json.dumps(EXPERIMENT), encoding="utf-8")
        record(validate(EXPERIMENT), "scratch", self.sound)
        self.intact = self._content(self.sound)

    def run(self, seed: int, number: int) -> Outcome:
        random = np.random.default_rng([seed, number])
        shutil.rmtree(self.hit, ignore_errors=True)
        shutil.copytree(self.sound, self.hit)
        names = [MUTATIONS[int(random.integers(len(MUTATIONS)))] for _ in range(int(random.integers(1, 3)))]
        for mutate in names:
            # What the mutation before has left may be nothing that this one could mutate.
            with contextlib.suppress(*_NOTHING_LEFT):
                mutate(self, random)
        folders = [str(self.sound), str(self.hit)]
        random.shuffle(folders)
        command = ["compare", *folders, "-q", "--no-explain"]
        if random.random() < 0.2:
            sides = ["--candidate", str(self.hit)] if random.random() < 0.5 else ["--reference", str(self.hit)]
            other = ["--reference", "scratch"] if sides[0] == "--candidate" else []
            command = ["diff", str(self.experiment), *sides, *other, "-q", "--no-explain"]
        code, out, err = call(command)
        given = "+".join(sorted({mutate.__name__.strip("_") for mutate in names})) if len(names) == 1 else "two of them"
        outcome = judged(given, code, out, err)
        if self.canary.exists():
            self.canary.rmdir()
            return Outcome(given, outcome.ended, "something was unpickled", outcome.said)
        if not outcome.wrong and code != 2 and set(names) <= _DAMAGE and self._content(self.hit) != self.intact:
            return Outcome(given, outcome.ended, "a damaged array was taken for sound", outcome.said)
        return outcome

    def _content(self, folder: Path) -> dict[tuple[str, str], tuple[Any, ...]]:
        """Every array of every file that the manifest names."""
        files = [file["name"] for file in json.loads((folder / "manifest.json").read_text())["files"]]
        return {
            (file, name): (array.dtype, array.shape, array.tobytes())
            for file in ("start.npz", *files)
            for name, array in read_arrays(folder / file).items()
        }

    def a_file(self, random: np.random.Generator, pattern: str = "*") -> Path:
        found = (path for path in self.hit.glob(pattern) if path.is_file() and not path.is_symlink())
        files = sorted(path for path in found if path.stat().st_size < _MUTABLE)
        return files[int(random.integers(len(files)))]


Mutation = Callable[[Traces, np.random.Generator], None]


def _flip(traces: Traces, random: np.random.Generator) -> None:
    path = traces.a_file(random)
    content = bytearray(path.read_bytes())
    for at in random.integers(len(content), size=int(random.integers(1, 4))):
        content[at] ^= 1 << int(random.integers(8))
    path.write_bytes(content)


def _cut(traces: Traces, random: np.random.Generator) -> None:
    path = traces.a_file(random)
    os.truncate(path, int(random.integers(path.stat().st_size)))


def _grow(traces: Traces, random: np.random.Generator) -> None:
    path = traces.a_file(random)
    path.write_bytes(path.read_bytes() + random.bytes(int(random.integers(1, 100))))


def _blank(traces: Traces, random: np.random.Generator) -> None:
    path = traces.a_file(random)
    content = bytearray(path.read_bytes())
    at = int(random.integers(len(content)))
    content[at : at + 64] = bytes(len(content[at : at + 64]))
    path.write_bytes(content)


def _enormous(traces: Traces, random: np.random.Generator) -> None:
    os.truncate(traces.a_file(random), 2 ** int(random.integers(30, 40)))  # holes, which take no room


def _gone(traces: Traces, random: np.random.Generator) -> None:
    traces.a_file(random).unlink()


def _another_kind(traces: Traces, random: np.random.Generator) -> None:
    path = traces.a_file(random)
    content = path.read_bytes()
    path.unlink()
    match int(random.integers(4)):
        case 0:
            path.mkdir()
        case 1:
            os.mkfifo(path)
        case 2:
            outside = traces.folder / "outside"
            outside.write_bytes(content)
            path.symlink_to(outside)
        case _:
            path.symlink_to("/dev/zero")


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the whole left out."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, part in inner for place in ((*path, key), *_places(part, (*path, key)))]


def edit(table: Any, random: np.random.Generator) -> None:
    """Replace, take away, rename or repeat one value of a JSON table."""
    places = _places(table)
    *way, last = places[int(random.integers(len(places)))]
    at = table
    for key in way:
        at = at[key]
    match int(random.integers(5)):
        case 0:
            del at[last]
        case 1 if isinstance(at, dict):
            at[str(HOSTILE[int(random.integers(len(HOSTILE)))])[:50]] = at.pop(last)
        case 2 if isinstance(at, list):
            at.append(at[last])
        case 3:
            there = places[int(random.integers(len(places)))]
            other = table
            for key in there:
                other = other[key]
            at[last] = json.loads(json.dumps(other))
        case _:
            at[last] = HOSTILE[int(random.integers(len(HOSTILE)))]


def _manifest(traces: Traces, random: np.random.Generator) -> None:
    path = traces.a_file(random, "manifest.json")
    table = json.loads(path.read_text())
    edit(table, random)
    path.write_text(json.dumps(table))


def _manifest_text(traces: Traces, random: np.random.Generator) -> None:
    path = traces.a_file(random, "manifest.json")
    text = path.read_text()
    path.write_text(
        [
            text.replace('"format_version": 1', '"format_version": 2'),
            text.replace('"format_version": 1', '"format_version": 1, "format_version": 1'),
            text.replace("3", "NaN", 1),
            text.replace("3", "1" * 5000, 1),
            text.replace("3", "-Infinity", 1),
            "[" * 10**5,
            '{"format_version": 1, "files": ' + "[" * 2000 + "]" * 2000 + "}",
            "",
            "null",
            "\ufeff" + text,
        ][int(random.integers(10))]
    )


def _rewritten(path: Path, change: Callable[[dict[str, bytes]], Any], method: int = zipfile.ZIP_STORED) -> None:
    """The archive with its entries changed, and checksums that fit."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    change(entries)
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)


def _value(traces: Traces, random: np.random.Generator) -> None:
    """One bit of one array, with a checksum that fits."""

    def change(entries: dict[str, bytes]) -> None:
        name = sorted(entries)[int(random.integers(len(entries)))]
        content = bytearray(entries[name])
        content[-1 - int(random.integers(min(8, len(content))))] ^= 1 << int(random.integers(8))
        entries[name] = bytes(content)

    _rewritten(traces.a_file(random, "*.npz"), change)


def _header(traces: Traces, random: np.random.Generator) -> None:
    """An npy header that says what it should not."""
    shape = ["(99999999999,)", "(2, 3, )", "(-1,)", "()", "(1e9,)", "(" * 3000, "[1]", "(9**9**9,)", "(0,)", "(True,)"]
    dtype = ["<f8", "|O", "<f4", "<U1000000000", "|V8", "[('a', '<f8')]", "<m8[s]", "<c16"]
    parts = [pool[int(random.integers(len(pool)))] for pool in (dtype, shape)]

    def change(entries: dict[str, bytes]) -> None:
        name = sorted(entries)[int(random.integers(len(entries)))]
        descr = parts[0] if parts[0].startswith("[") else repr(parts[0])
        text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {parts[1]}, }}\n".encode()
        entries[name] = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + entries[name][128:]

    _rewritten(traces.a_file(random, "*.npz"), change)


def _entries(traces: Traces, random: np.random.Generator) -> None:
    """Entries that are gone, new, renamed or pickled."""
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([Canary(traces.canary)], object), allow_pickle=True)
    pickled = stream.getvalue()

    def change(entries: dict[str, bytes]) -> None:
        name = sorted(entries)[int(random.integers(len(entries)))]
        match int(random.integers(5)):
            case 0:
                del entries[name]
            case 1:
                entries["more.npy"] = entries[name]
            case 2:
                entries["../" + name] = entries.pop(name)
            case 3:
                entries[name] = pickled
            case _:
                entries[name] = pickle.dumps(Canary(traces.canary))

    _rewritten(traces.a_file(random, "*.npz"), change)


def _bomb(traces: Traces, random: np.random.Generator) -> None:
    """Archives that would be large if they were believed."""
    path = traces.a_file(random, "*.npz")
    if random.random() < 0.5:
        _rewritten(path, lambda entries: entries.update({min(entries): bytes(2**22)}), zipfile.ZIP_DEFLATED)
        return
    content = bytearray(path.read_bytes())  # every entry of the directory points to the first one, and claims more
    at, sizes = content.find(b"PK\x01\x02"), struct.pack("<II", *([int(random.integers(2**10, 2**32))] * 2))
    while at >= 0:
        content[at + 20 : at + 28], content[at + 42 : at + 46] = sizes, bytes(4)
        at = content.find(b"PK\x01\x02", at + 1)
    path.write_bytes(content)


_NOTHING_LEFT = (
    *(OSError, EOFError, ValueError, KeyError, IndexError, TypeError, NotImplementedError, RecursionError),
    *(zipfile.BadZipFile, AttributeError),
)
MUTATIONS: tuple[Mutation, ...] = (
    *(_flip, _flip, _cut, _grow, _blank, _enormous, _gone, _another_kind, _manifest, _manifest, _manifest, _manifest),
    *(_manifest_text, _value, _header, _entries, _bomb),
)
_DAMAGE = {_flip, _cut, _grow, _blank}
"""What must be noticed, or have hit nothing that matters."""
