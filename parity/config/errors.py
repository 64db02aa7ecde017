"""Config mistakes, all of them at once, each with file, key, what came, what is allowed and the nearest valid name."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeGuard, get_args, get_origin

from pydantic import BaseModel, Tag, ValidationError
from pydantic_core import ErrorDetails

from parity.config.base import Frozen
from parity.errors import UsageError, nearest

_SHOWN = 60  # characters of a received value
_PYTHON_ONLY = {"memory"}  # arrays that are handed over
_WORD = re.compile(r"[\w/.\-]{1,200}")
_WRITTEN = re.compile(r"\s*([-+]?[0-9.]+(e[-+]?[0-9]+)?|true|false)\s*", re.IGNORECASE)
"""A number or a truth value."""


class ConfigError(UsageError):
    """One experiment, one or more mistakes."""

    def __init__(self, source: str | Path, mistakes: Iterable[str]) -> None:
        self.source = str(source)
        self.mistakes = tuple(mistakes)
        count = f"{len(self.mistakes)} mistake{'s' if len(self.mistakes) != 1 else ''}"
        super().__init__("\n".join([f"{self.source}: {count}", *(f"  {line}" for line in self.mistakes)]))


def shown(value: object) -> str:
    """A received value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _holds_tables(owner: type[BaseModel], key: int | str) -> bool:
    field = owner.model_fields.get(str(key))
    return field is not None and any(map(_is_model, _parts(field.annotation)))


def _is_model(part: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(part, type) and issubclass(part, BaseModel)


def _parts(annotation: Any) -> Iterator[Any]:
    """Everything an annotation is made of, through unions, `Annotated` and containers."""
    yield annotation
    yield get_origin(annotation)
    for part in get_args(annotation):
        yield from _parts(part)


def _tags(model: type[BaseModel]) -> tuple[Any, ...]:
    """What a union tells this model by: its class name, or its `source`."""
    fields = (model.model_fields.get("source"), model.model_fields.get("class_name"))
    return tuple(tag for field in fields if field for tag in get_args(field.annotation))


def _follow(root: type[BaseModel], location: tuple[int | str, ...]) -> tuple[list[int | str], type[BaseModel]]:
    """The key path as the user wrote it (pydantic adds the tags of unions), and the innermost model on the way."""
    path: list[int | str] = []
    model, inside, names, tags = root, [root], False, set[Any]()
    table: type[BaseModel] | None = None  # the one that the last key holds, if it holds one and not several
    for part in location:
        tagged = next((member for member in inside if part in _tags(member)), None)
        if names and tagged is None and part not in tags:  # a key of a mapping, whatever the model's keys are
            path.append(part)
            names, table = False, inside[0] if len(inside) == 1 else None
            continue
        if table is not None and tagged is None and isinstance(part, str):
            model, inside = table, [table]
        table = None
        if tagged is not None and tagged is not model:
            model = tagged
        elif isinstance(part, int):
            path.append(part)
            model = inside[0] if inside else model
        elif part in model.model_fields:
            path.append(part)
            parts = list(_parts(model.model_fields[part].annotation))
            inside = [part for part in parts if _is_model(part)]
            tags, names = {part.tag for part in parts if isinstance(part, Tag)}, dict in parts
            table = inside[0] if len(inside) == 1 and dict not in parts and tuple not in parts else None
            continue
        elif inside == [model]:
            path.append(part)
        inside = [model] if inside else []
    return path, model


def _unknown_key(key: str, given: Any, owner: type[BaseModel]) -> str:
    """A key that is nothing here, or one that only Keras has."""
    if issubclass(owner, Frozen) and (idle := owner.keras_only.get(key)):
        return f"received {shown(given)}; not offered; leave it out{_or_give(idle)}"
    known = [name for name in owner.model_fields if name != "class_name"]
    return f"unknown key; allowed here: {', '.join(known) or 'none'}" + nearest(key, known)


def _or_give(idle: tuple[Any, ...]) -> str:
    """The values with which a setting does nothing, as TOML and JSON write them; TOML has none for None."""
    written = [json.dumps(value) for value in idle if value is not None]
    return f", or give {' or '.join(written)}" if written else ""


def _discriminator(error: ErrorDetails) -> str:
    """The key that tells the members of a union apart."""
    return str(error["ctx"]["discriminator"]).strip("'")


def _spelled(part: int | str) -> str:
    """A part of a key path, in quotes where it would not be one word of one line."""
    return str(part) if isinstance(part, int) or _WORD.fullmatch(part) else shown(part)


def _sentence(error: ErrorDetails) -> str:
    """What is wrong with one key, what was received and what is allowed."""
    given, context = error["input"], error.get("ctx", {})
    match error["type"]:
        case "missing" | "union_tag_not_found":
            return "missing; it must be given"
        case "unknown_name":
            return f"unknown {context['kind']} {context['given']!r}; allowed: {context['allowed']}" + nearest(
                context["given"], context["names"]
            )
        case "literal_error" | "enum":
            allowed = [word.strip(" '\"") for word in str(context["expected"]).replace(" or ", ", ").split(",")]
            return f"received {shown(given)}; allowed: {', '.join(allowed)}" + nearest(given, allowed)
        case "union_tag_invalid":
            tags = [word.strip(" '\"") for word in str(context["expected_tags"]).split(",")]
            allowed = [tag for tag in tags if tag not in _PYTHON_ONLY]
            tag = given[_discriminator(error)]
            return f"received {shown(tag)}; allowed: {', '.join(allowed)}" + nearest(tag, allowed)
        case "keras_object" | "not_allowed":
            return f"received {shown(given)}; {error['msg']}"
        case "inconsistent":
            return error["msg"]
        case "int_type" | "float_type" | "bool_type" if isinstance(given, str) and _WRITTEN.fullmatch(given):
            return f"received {shown(given)}; that is text: write it without quotes"
        case "string_pattern_mismatch":
            return f"received {shown(given)}; use letters, digits, '_', '.' and '-', and begin with no '-'"
        case _:
            said = f"{error['msg'][0].lower()}{error['msg'][1:]}".partition(" after validation")[0]
            said = re.sub("dictionary( or .*)?", "table", said.replace("tuple", "list"))
            return f"received {shown(given)}; {said}"


def mistakes_in(error: ValidationError, root: type[BaseModel]) -> Iterator[str]:
    """Each mistake once, in the order of the file, however many members of a union complained about it."""
    seen: dict[str, list[str]] = {}
    for detail in error.errors(include_url=False):
        if detail["type"] == "too_short" and len(detail["input"]):
            continue  # its members were given and are wrong, which is said of each of them
        path, owner = _follow(root, detail["loc"])
        if detail["type"] == "extra_forbidden":
            sentence = _unknown_key(str(path[-1]), detail["input"], owner)
        else:
            sentence = _sentence(detail)
        if detail["type"] == "tuple_type" and isinstance(detail["input"], Mapping) and _holds_tables(owner, path[-1]):
            sentence += f"; in TOML each of its tables begins with [[{path[-1]}]]"
        if detail["type"].startswith("union_tag"):
            path.append(_discriminator(detail))
        sentences = seen.setdefault(".".join(map(_spelled, path)), [])
        if sentences and sentence.startswith(received := sentences[0].partition("; ")[0] + "; "):
            sentence = sentence.removeprefix(received)  # said once, however many members of a union refuse it
        if sentence not in sentences:
            sentences.append(sentence)
    for key, sentences in seen.items():
        yield f"{key}: {', or '.join(sentences)}" if key else ", or ".join(sentences)
