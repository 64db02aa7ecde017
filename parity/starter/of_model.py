"""The experiment of a saved Keras model, as files: its settings in TOML, its weights in an npz file beside it."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from parity.config import validate
from parity.config.experiment import ITERATIONS
from parity.config.given import GivenModel

EXPERIMENT, WEIGHTS, STATE, NETWORK = "experiment.toml", "weights.npz", "optimizer.npz", "mynet.py"


def files(model: GivenModel, source: Path) -> dict[str, bytes]:
    """The experiment, a frame for a network beside it, and npz files of its weights and of its optimizer's state."""
    from jinja2 import Environment  # noqa: PLC0415  # heavy, and only this needs it

    experiment = validate({"data": {"source": "memory"}, **model.settings}, source)
    said = experiment.model_dump(mode="json", exclude_none=True)
    chosen = [layer.model_dump(exclude_defaults=True) for layer in experiment.layers]
    layers = [{key: layer[key] for key in keys} for layer, keys in zip(said["layers"], chosen, strict=True)]
    environment = Environment(autoescape=False, keep_trailing_newline=True)  # noqa: S701  # TOML, not HTML
    environment.filters["toml"] = _toml
    text = environment.from_string(_template("of_model.toml")).render(
        title=_line(model.name),
        name=model.name,
        file=_line(source.name),
        weights=WEIGHTS,
        state=STATE if model.state else "",
        taken=int(model.state.get(ITERATIONS, 0)),
        left_out=[(_line(what), _line(why)) for what, why in model.left_out],
        loss=said["loss"],
        metrics=said["metrics"],
        data=_stand_in(model),
        layers=layers,
        optimizer=said["optimizer"],
    )
    environment.trim_blocks = True
    shapes = [(_quoted(name), array.shape) for name, array in model.weights.items()]
    network = environment.from_string(_template("of_model.py.jinja")).render(
        file=_quoted(source.name), shapes=shapes, state=list(model.state)
    )
    written = {EXPERIMENT: text.encode(), WEIGHTS: _npz(model.weights)}
    written |= {STATE: _npz(model.state)} if model.state else {}
    return written | {NETWORK: network.encode()}


def _npz(arrays: Mapping[str, Any]) -> bytes:
    stored = io.BytesIO()
    np.savez(stored, **arrays)
    return stored.getvalue()


def _template(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text("utf-8")


def _stand_in(model: GivenModel) -> Mapping[str, Any]:
    """Generated data that fits the first and the last layer, and the loss."""
    features, units = math.prod(size or 0 for size in model.inputs or ()), model.settings["layers"][-1].units
    match model.settings["loss"].class_name:
        case "SparseCategoricalCrossentropy":
            return {"source": "classification", "features": features, "classes": max(units, 2)}
        case "CategoricalCrossentropy" | "BinaryCrossentropy" if units > 1:
            return {"source": "classification", "features": features, "classes": units, "one_hot": units}
        case "BinaryCrossentropy":
            return {"source": "classification", "features": features, "classes": 2}
    return {"source": "regression", "features": features, "targets": units}


def _line(text: str) -> str:
    """A name that comes from a file, for a comment: whatever would end it is left out."""
    return re.sub(r"[^\x20-\x7e]+", " ", text)


def _quoted(text: str) -> str:
    """The same for a docstring."""
    return re.sub(r"[\\\"]", " ", _line(text))


def _toml(value: Any) -> str:
    """A value in TOML, which writes text, numbers, booleans and lists as JSON does."""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {_toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    text = json.dumps(value.encode(errors="replace").decode() if isinstance(value, str) else value)
    return text.replace("\x7f", "\\u007f")  # which only TOML wants escaped
