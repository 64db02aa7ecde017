"""From a TOML or JSON file (or a mapping) to an `Experiment`, with overrides; every mistake reported at once."""

from __future__ import annotations

import copy
import json
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from parity.config.errors import ConfigError, mistakes_in, shown
from parity.config.experiment import Experiment, inconsistencies
from parity.errors import UsageError, nearest
from parity.paths import is_folder

_WORDS = {"none": None, "null": None, "None": None, "True": True, "False": False}
_OPEN_POINT = re.compile(r"[-+]?([0-9]+\.|\.[0-9]+)(e[-+]?[0-9]+)?", re.IGNORECASE)  # of which TOML knows nothing
_LINE = 200  # characters of an option that are repeated
_LARGEST = 64 * 2**20  # bytes of an experiment file; anything near it is not one


def read_mapping(path: Path) -> dict[str, Any]:
    """The table in a TOML or JSON file.

    Raises:
        ConfigError: the file is missing, too large, not text, or not TOML/JSON.
    """
    try:
        if path.stat().st_size > _LARGEST:
            raise ConfigError(path, [f"larger than {_LARGEST >> 20} MiB; is this an experiment file?"])
        text = path.read_text(encoding="utf-8-sig")  # as some editors begin a file
    except FileNotFoundError:
        beside = (found.name for found in path.parent.iterdir()) if is_folder(path.parent) else ()
        raise ConfigError(path, [f"no such file{nearest(path.name, beside)}"]) from None
    except OSError as error:
        raise ConfigError(path, [f"cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError as error:
        raise ConfigError(path, [f"not UTF-8 text: byte {error.start} is {error.object[error.start]:#x}"]) from None
    except ValueError as error:  # a file name with a null byte
        raise ConfigError(repr(str(path)), [f"cannot be read: {error}"]) from None
    kind = "JSON" if path.suffix.lower() == ".json" else "TOML"
    other = "" if path.suffix.lower() in {".json", ".toml"} else f" (what does not end in .json is read as {kind})"
    try:
        loaded = json.loads(text, object_pairs_hook=once) if kind == "JSON" else tomllib.loads(text)
    except (tomllib.TOMLDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(path, [f"not valid {kind}{other}: {error}"]) from None
    except RecursionError:
        raise ConfigError(path, ["nested too deeply"]) from None
    except ValueError as error:  # a key that is there twice, or an integer literal too long to convert
        raise ConfigError(path, [f"not readable: {str(error).partition(';')[0]}"]) from None
    if not isinstance(loaded, dict):
        raise ConfigError(path, [f"expected a table of settings, received {type(loaded).__name__}"])
    return loaded


def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, of which JSON itself would take the last of two equal keys.

    Raises:
        ValueError: a key is there twice.
    """
    table = dict(pairs)
    if len(table) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)!r:.80} is given twice")
    return table


def _parse_value(text: str) -> Any:
    """The value of `--set key=value` as TOML would read it, or Python; a bare word is a string."""
    if text in _WORDS:
        return _WORDS[text]
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):  # not TOML, a number too long to convert, brackets without end
        return float(text) if _OPEN_POINT.fullmatch(text) else text


def parse_override(text: str) -> tuple[str, Any]:
    """`layers.0.units=30` as a key path and a value."""
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        msg = f"--set {_line(text)}: expected key=value, for example --set layers.0.units=30"
        raise UsageError(msg)
    return key.strip(), _parse_value(value.strip())


def _line(text: str) -> str:
    """As it was typed, where that is one line."""
    return text if text.isprintable() and len(text) <= _LINE else shown(text)


def _set(table: dict[str, Any], key: str, value: Any, option: str = "") -> None:
    """Change one setting; `option` is what it was asked for with, for messages."""
    parts = key.split(".")
    at: Any = table
    for depth, part in enumerate(parts):
        here = ".".join(parts[: depth + 1])
        last = depth == len(parts) - 1
        if isinstance(at, list):
            if not part.isdecimal() or int(part) >= len(at):
                msg = f"{option}{_line(key)}: {_line(here)} is not there; the list has positions 0 to {len(at) - 1}"
                raise UsageError(msg)
            if last:
                at[int(part)] = value
            else:
                at = at[int(part)]
        elif isinstance(at, dict):
            if last:
                if value is None:
                    at.pop(part, None)  # none takes a setting away: the default holds again
                else:
                    at[part] = value
            elif isinstance(at.get(part), dict | list):
                at = at[part]
            elif isinstance(at.get(part), str):  # a name in short form: its parameters can still be set
                at[part] = {"class_name": at[part]}
                at = at[part]
            elif at.get(part) is None:
                at[part] = {}
                at = at[part]
            else:
                at = at[part]
        else:
            msg = f"{option}{_line(key)}: {_line(here)} lies inside a plain value ({shown(at)})"
            raise UsageError(msg)


def _resolve_paths(table: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Relative file names in an experiment are relative to the experiment file."""
    data = table.get("data")
    if isinstance(data, dict) and isinstance(data.get("path"), str) and data["path"]:
        data["path"] = str(folder / Path(data["path"]).expanduser())
    for key in ("initial_weights", "initial_state"):
        if isinstance(table.get(key), str) and table[key]:
            table[key] = str(folder / Path(table[key]).expanduser())
    return table


def _named_after(path: Path) -> str:
    """What an experiment is called that has no name of its own."""
    return re.sub(r"[^\w.-]+", "-", path.stem, flags=re.ASCII).lstrip("-.") or "experiment"


def validate(
    table: Mapping[str, Any], source: str | Path = "experiment", kind: type[Experiment] = Experiment
) -> Experiment:
    """A mapping as an `Experiment`, or as another kind of one.

    Raises:
        ConfigError: with every mistake in it.
    """
    try:
        return kind.model_validate(table)
    except ValidationError as error:
        together = inconsistencies(table)  # pydantic looks at the whole only where every part is right
        mistakes = [mistake for mistake in mistakes_in(error, kind) if mistake != "; ".join(together)]
        raise ConfigError(source, dict.fromkeys([*mistakes, *together])) from None


def load_experiment(
    source: str | Path | Mapping[str, Any],
    overrides: Iterable[str | tuple[str, Any]] = (),
    kind: type[Experiment] = Experiment,
) -> Experiment:
    """Read, override and validate an experiment file (TOML, or JSON by its suffix).

    Args:
        source: the file; or what would be in it, where file names are relative to the current folder.
        overrides: `"key=value"` texts or `(key, value)` pairs, applied in order; keys are dotted paths. File names
            in them are relative to the current folder: that is where they were typed.
        kind: what it is an experiment of.

    Raises:
        ConfigError: the file or the experiment in it is not valid; all mistakes at once.
        UsageError: an override does not fit.
    """
    if isinstance(source, Mapping):
        name, table = Path("experiment"), copy.deepcopy(dict(source))
    else:
        name = Path(source)
        table = {"name": _named_after(name), **_resolve_paths(read_mapping(name), name.parent)}
    for override in overrides:
        if isinstance(override, str):
            _set(table, *parse_override(override), option="--set ")
        else:
            _set(table, *override)
    return validate(table, name, kind)
