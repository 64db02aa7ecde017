"""A Keras model that somebody already has, read into the settings of an experiment.

A compiled model is asked for its own serialised form, a saved file holds the same form: both are read by one function.
Nothing in it is ever made or executed; what is not one of Keras' own classes, or is one that an experiment does not
know, is said by name.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel, ValidationError, create_model

from keras_ref import saved
from keras_ref.as_trained import check_steps, is_own, serialized, serialized_layer, serialized_loss
from parity.config.errors import mistakes_in
from parity.config.experiment import ITERATIONS
from parity.config.given import GivenModel, Opaque
from parity.config.initializers import Initializer
from parity.config.layers import Dense, Layer
from parity.config.losses import Loss
from parity.config.optimizers import Optimizer
from parity.errors import UsageError
from parity.protocol import Array

_LAYER, _LOSS, _OPTIMIZER, _INITIALIZER = (
    create_model("Part", part=(tuple[kind], ...))  # type: ignore[valid-type]  # a part as one of several names itself
    for kind in (Layer, Loss, Optimizer, Initializer)
)
FRESH = "{} has taken {} steps before; both sides begin with a fresh one, as its variables cannot be told apart"
METRIC = "an experiment knows accuracy alone; a metric does not train"
XLA = "compared is the model as Keras runs it without XLA"


@dataclass(frozen=True)
class Serialized:
    """A model in Keras' own serialised form: `{"class_name": ..., "config": {...}, "module": ...}` for each part."""

    name: str
    kind: str
    """`Sequential`, or what else it is."""
    inputs: tuple[int | None, ...]
    layers: tuple[Mapping[str, Any], ...]
    optimizer: Mapping[str, Any]
    loss: Any
    compiled: Mapping[str, Any]
    """The other arguments of `compile`."""


def read(source: Any) -> GivenModel:
    """A compiled model, or a saved one (a `.keras` file).

    Raises:
        UsageError: it is neither, or not compiled, built, or readable; or Keras' own steps would not train it.
    """
    if isinstance(source, str | PathLike):
        return _of_file(Path(source))
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(source, keras.Model):
        kind = f"{type(source).__module__}.{type(source).__qualname__}"
        msg = f"expected an experiment (a file, a mapping, an Experiment) or a compiled Keras model; received {kind}"
        raise UsageError(msg)
    return _of_model(keras, source)


def _of_file(path: Path) -> GivenModel:
    config, variables, remembered = saved.read(path)
    inner, compiled = config.get("config"), config.get("compile_config")
    if not isinstance(inner, Mapping) or not isinstance(inner.get("layers"), list):
        raise UsageError(f"{path}: holds no model of layers")
    if not isinstance(compiled, Mapping) or not compiled.get("optimizer") or not compiled.get("loss"):
        raise UsageError(f"{path}: the model was saved without compile(optimizer, loss); compile it and save it again")
    layers = [layer for layer in inner["layers"] if isinstance(layer, Mapping)]
    shape = inner.get("build_input_shape") or next((_config(layer).get("batch_shape") for layer in layers), None)
    if not isinstance(shape, list) or not all(size is None or isinstance(size, int) for size in shape):
        raise UsageError(f"{path}: the model was saved before it was built; give it an Input and save it again")
    model = Serialized(
        name=str(inner.get("name") or path.stem),
        kind=str(config.get("class_name")),
        inputs=tuple(shape[1:]),
        layers=tuple(layer for layer in layers if layer.get("class_name") != "InputLayer"),
        optimizer=compiled["optimizer"],
        loss=compiled["loss"],
        compiled=compiled,
    )
    settings, inexpressible, left_out = _settings(model)
    if inexpressible:
        told = "".join(f"\n  {what}" for what in inexpressible)
        msg = (
            f"{path}: an experiment cannot say all of this model:{told}\n"
            "Load it in Python and compare a network of your own with it: parity.diff(model, x, y, candidate=MyNet)"
        )
        raise UsageError(msg)
    weights = _weights_of_file(path, settings["layers"], math.prod(size or 0 for size in model.inputs), variables)
    return GivenModel(
        name=model.name,
        settings=settings,
        weights=weights,
        inputs=model.inputs,
        state=_state_of_file(path, settings["optimizer"], weights, remembered),
        left_out=left_out,
    )


def _state_of_file(
    path: Path, optimizer: Any, weights: Mapping[str, Array], remembered: list[Array]
) -> dict[str, Array]:
    """Counter and slots; Keras makes Adam's first two weight by weight, all others slot by slot."""
    slots = optimizer.slots
    groups = [slots[:2], slots[2:]] if optimizer.class_name == "Adam" else [(slot,) for slot in slots]
    shapes = {ITERATIONS: (), "optimizer/learning_rate": ()}
    shapes |= {f"{name}/{slot}": weights[name].shape for group in groups for name in weights for slot in group}
    found = [array.shape for array in remembered]
    if len(found) not in {0, 2, len(shapes)} or found != [*shapes.values()][: len(found)]:  # 2: it was never built
        told = f"its optimizer holds {len(remembered)} variables, which are not the {len(shapes)} of"
        raise UsageError(f"{path}: {told} {optimizer.class_name} as it was compiled: {', '.join(shapes)}")
    return _unless_new(dict(zip(shapes, remembered, strict=False)))


def _unless_new(state: dict[str, Array]) -> dict[str, Array]:
    """Nothing of an optimizer that has taken no step: that is what both sides begin with anyway."""
    state.pop("optimizer/learning_rate", None)  # a setting
    return state if any(array.any() for array in state.values()) else {}


def _weights_of_file(path: Path, layers: Iterable[Dense], inputs: int, variables: saved.Variables) -> dict[str, Array]:
    """Keras numbers the layers of a file by their class: dense, dense_1, ..."""
    weights = {}
    for at, layer in enumerate(layers):
        shapes = [("kernel", (inputs, layer.units)), ("bias", (layer.units,))][: 1 + layer.use_bias]
        for position, (name, shape) in enumerate(shapes):
            place = f"layers/dense_{at}/vars/{position}" if at else f"layers/dense/vars/{position}"
            array = variables(place)
            if array.shape != shape:
                raise UsageError(f"{path}: {layer.name}/{name} has shape {array.shape}; its layer says {shape}")
            weights[f"{layer.name}/{name}"] = array
        inputs = layer.units
    return weights


def _of_model(keras: Any, model: Any) -> GivenModel:
    name = f"the model {model.name!r}"
    loss = model._compile_loss  # noqa: SLF001  # that of the last `compile` which had one; `model.loss` can be set
    if not model.compiled or loss is None:
        raise UsageError(f"{name} is not compiled with a loss; call model.compile(optimizer, loss) first")
    if not model.built or not model.weights:
        raise UsageError(f"{name} is not built yet; give it a keras.Input, or call it on a batch of data")
    given = model._compile_config.config  # noqa: SLF001  # the arguments of `compile` as they were given
    inputs = getattr(model, "input_shape", ())  # a model of one's own class may not say
    if not isinstance(inputs, tuple) or (inputs and isinstance(inputs[0], tuple)):
        raise UsageError(f"{name} has several inputs; one is compared")
    check_steps(keras, model)
    kind = "Sequential" if type(model) is keras.Sequential else type(model).__name__
    form = Serialized(
        name=model.name,
        kind=f"{kind} with a compute_loss of its own" if is_own(keras, model, "compute_loss") else kind,
        inputs=tuple(inputs[1:]),
        layers=tuple(serialized_layer(keras, layer) for layer in model.layers),
        optimizer=serialized(keras, model.optimizer),
        loss=serialized_loss(keras, model),
        compiled={**given, "loss_weights": loss._user_loss_weights, "jit_compile": model.jit_compile},  # noqa: SLF001
    )
    settings, inexpressible, left_out = _settings(form)
    state, why_not = _state_of_model(model)
    found = GivenModel(
        name=model.name,
        settings=settings,
        weights={},
        inputs=tuple(inputs[1:]) if inputs else None,
        state=state,
        inexpressible=inexpressible,
        left_out=(*left_out, *why_not),
        precision="float64" if model.compute_dtype == "float64" else "float32",
    )
    if inexpressible:
        from keras_ref.model_side import ModelSide  # noqa: PLC0415  # starts TensorFlow's deterministic settings

        side = ModelSide(model)
        return replace(found, side=side, weights=side.initial())
    weights = {f"{layer.name}/{weight.name}": np.array(weight) for layer in model.layers for weight in layer.weights}
    return replace(found, weights=weights)


def _state_of_model(model: Any) -> tuple[dict[str, Array], tuple[tuple[str, str], ...]]:
    """What its optimizer remembers; why not, where the names of its variables are not those of the weights."""
    from keras_ref.build import named_slots  # noqa: PLC0415  # starts TensorFlow's deterministic settings

    try:
        return _unless_new({name: np.array(slot) for name, slot in named_slots(model).items()}), ()
    except ValueError:
        taken = int(model.optimizer.iterations)
        return {}, (("optimizer state", FRESH.format(type(model.optimizer).__name__, taken)),) * (taken > 0)


def _settings(model: Serialized) -> tuple[dict[str, Any], tuple[str, ...], tuple[tuple[str, str], ...]]:
    """The settings of an experiment, what it cannot say, and what is left out because it does not train."""
    wrong: list[str] = []
    if model.kind != "Sequential":
        wrong.append(f"the model is a {model.kind}, not a Sequential")
    layers = list(_layers(model, wrong))
    if not layers and not wrong:
        wrong.append("the model has no Dense layer")
    optimizer = _part("optimizer", _rounded_rate(model.optimizer), _OPTIMIZER, wrong)
    loss = model.loss[0] if isinstance(model.loss, list) and len(model.loss) == 1 else model.loss
    loss = _part("loss", loss, _LOSS, wrong)
    if model.compiled.get("loss_weights"):
        wrong.append("loss_weights")
    left_out = []
    metrics = list(_flat([model.compiled.get("metrics"), model.compiled.get("weighted_metrics")]))
    known = [metric for metric in metrics if metric in ("accuracy", "acc")]
    left_out += [(f"metric {_name(metric)}", METRIC) for metric in metrics if metric not in known]
    if model.compiled.get("jit_compile") is True:
        left_out.append(("jit_compile=True", XLA))
    settings = {"layers": layers, "loss": loss, "optimizer": optimizer, "metrics": ["accuracy"] if known else []}
    return settings, tuple(wrong), tuple(left_out)


def _layers(model: Serialized, wrong: list[str]) -> Iterator[Any]:
    """Every layer that computes; flattening the inputs is done to the data before both sides get it."""
    flat, dtypes = len(model.inputs) == 1, set()
    seen: set[str] = set()
    if any(size is None for size in model.inputs):
        wrong.append(f"inputs of shape {model.inputs}, which leaves a size open")
    for at, layer in enumerate(model.layers):
        config = _config(layer)
        name = f"layer {config.get('name')!r}"
        if name in seen:  # Keras lets no two layers of a Sequential have one name
            wrong.append(f"{name}: is used more than once, with the same weights")
            continue
        seen.add(name)
        dtypes.add(_dtype(config.get("dtype")))
        if layer.get("class_name") == "Flatten" and _is_keras(layer) and at == 0:
            flat = True
            continue
        kept = {key: value for key, value in config.items() if key != "dtype" and not _no_initializer(key, value)}
        if not flat and layer.get("class_name") == "Dense" and at == 0:
            wrong.append(f"{name}: works along the last axis of inputs of shape {model.inputs}")
        if model.kind != "Sequential":  # said already
            yield _opaque(layer)
            continue
        yield _part(f"{name} ({layer.get('class_name')})", {**layer, "config": kept}, _LAYER, wrong)
    if not dtypes <= {"float32"} and not dtypes <= {"float64"}:
        wrong.append(f"dtype {', '.join(sorted(map(str, dtypes)))}: one of float32 and float64 throughout is known")


def _no_initializer(key: str, value: Any) -> bool:
    """An initializer that an experiment does not know: the weights are given, so that it draws nothing."""
    if not key.endswith("_initializer"):
        return False
    try:
        _INITIALIZER.model_validate({"part": [value]})
    except ValidationError:
        return True
    return False


def _part(what: str, given: Any, kind: type[BaseModel], wrong: list[str]) -> Any:
    """A part as the experiment knows it; otherwise as it is, and the reason among what is wrong."""
    reasons = [f"{name} is not Keras' own" for name in _foreign(given)]
    if not reasons:
        schedule = _config(given).get("learning_rate") if isinstance(given, Mapping) else None
        if isinstance(schedule, Mapping):
            reasons = [f"learning_rate follows the schedule {_name(schedule)}"]
    if not reasons:
        try:
            return kind.model_validate({"part": [given]}).part[0]  # type: ignore[attr-defined]  # made at run time
        except ValidationError as error:
            # What would be allowed in its place is of no use to somebody who has the model already.
            told = (re.sub(r"^part\.0(?:\.[A-Z]\w*)?[.: ]*", "", mistake) for mistake in mistakes_in(error, kind))
            reasons = [re.split("; (?:allowed|leave it out)", mistake)[0] for mistake in told]
    wrong.append(f"{what}: {'; '.join(reasons)}")
    return _opaque(given)


def _opaque(given: Any) -> Opaque:
    config = _config(given)
    name = config.get("name") if isinstance(config.get("name"), str) else None
    return Opaque(class_name=_name(given), name=name, config=dict(config))


def _foreign(given: Any) -> Iterator[str]:
    """Names of the objects, however deep, that are somebody's own class or function, whatever they are called."""
    if isinstance(given, Mapping):
        if "class_name" in given and not _is_keras(given):
            yield _name(given)
        else:
            for value in given.values():
                yield from _foreign(value)
    elif isinstance(given, list | tuple):
        for value in given:
            yield from _foreign(value)


def _is_keras(given: Mapping[str, Any]) -> bool:
    module = str(given.get("module"))
    return (module == "keras" or module.startswith("keras.")) and given.get("registered_name") is None


def _config(given: Any) -> Mapping[str, Any]:
    config = given.get("config") if isinstance(given, Mapping) else None
    return config if isinstance(config, Mapping) else {}


def _name(given: Any) -> str:
    """Of a serialised object, an object, or a function; functions are serialised with their name as config."""
    if isinstance(given, Mapping):
        if given.get("class_name") == "__lambda__":
            return "a lambda"
        return str(given["config"] if isinstance(given.get("config"), str) else given.get("class_name"))
    return given if isinstance(given, str) else getattr(given, "__name__", type(given).__name__)


def _dtype(given: Any) -> Any:
    return _config(given).get("name") if isinstance(given, Mapping) else given


def _flat(given: Any) -> Iterator[Any]:
    if isinstance(given, list | tuple):
        for item in given:
            yield from _flat(item)
    elif isinstance(given, Mapping) and "class_name" not in given:
        yield from _flat(list(given.values()))
    elif given is not None:
        yield given


def _rounded_rate(optimizer: Mapping[str, Any]) -> Mapping[str, Any]:
    """Keras tells the rate as the float32 that its variable holds; meant is the shortest number which rounds to it."""
    config = _config(optimizer)
    rate = config.get("learning_rate")
    if not isinstance(rate, float) or float(np.float32(rate)) != rate:
        return optimizer
    return {**optimizer, "config": {**config, "learning_rate": float(str(np.float32(rate)))}}
