"""Whether what a side said can be what it is called: by the names there are, and the shapes the layers give."""

from __future__ import annotations

from collections.abc import Mapping

from parity.config import Experiment
from parity.config.given import ModelExperiment
from parity.errors import nearest
from parity.protocol import Array, Key

Shape = tuple[int, ...]
_FLOWING = ("/pre_activation", "/output")
_ALSO_CALLED = {"weight": "kernel", "weights": "kernel", "w": "kernel", "b": "bias"}
"""What others call a kernel or a bias, which is no misspelling of it."""


def weight_shapes(experiment: Experiment, inputs: int) -> dict[str, Shape]:
    """`dense/kernel` -> (inputs, units), ... in Keras' order."""
    if isinstance(experiment, ModelExperiment):
        return experiment.weight_shapes
    shapes: dict[str, Shape] = {}
    for layer in experiment.layers:
        shapes[f"{layer.name}/kernel"] = (inputs, layer.units)
        if layer.use_bias:
            shapes[f"{layer.name}/bias"] = (layer.units,)
        inputs = layer.units
    return shapes


def check(told: Mapping[Key, Array], experiment: Experiment, inputs: int, batch: int | None, first: int) -> None:
    """Hold names and shapes against the experiment's.

    Args:
        told: what was said of one or several steps.
        experiment: whose layers they are.
        inputs: features of an example.
        batch: examples of a batch; None where only weights are told.
        first: the first axis that counts: 1 where the steps are the first axis, 0 of a single step.

    Raises:
        ValueError: a name that there is not, or another shape.
    """
    weights = weight_shapes(experiment, inputs)
    if isinstance(experiment, ModelExperiment):  # of its layers only the weights are known
        told = {key: array for key, array in told.items() if key.phase == "update"}
    flowing: dict[str, Shape] = {
        f"{layer.name}/{place}": (batch or 0, getattr(layer, "units", 0))
        for layer in experiment.layers
        for place in ("pre_activation", "output")
    }
    known: dict[str, dict[str, Shape]] = {
        "forward": flowing,
        "loss": {"loss": (), **dict.fromkeys((*weights, *flowing), ())},
        "gradient": weights | flowing,
        "update": weights,
    }
    for key, array in told.items():
        if key.phase not in known or _is_slot(key, weights):
            continue
        if key.tensor not in known[key.phase]:
            _refuse_name(key, list(known[key.phase]))
        if array.shape[first:] != (expected := known[key.phase][key.tensor]):
            _refuse_shape(key, array.shape[first:], expected)


def _is_slot(key: Key, weights: Mapping[str, Shape]) -> bool:
    """`dense/kernel/momentum`, `optimizer/iterations`: there are as many as optimizers think of."""
    return key.phase == "update" and (key.layer == "optimizer" or key.tensor.rpartition("/")[0] in weights)


def _refuse_name(key: Key, known: list[str]) -> None:
    if key.phase == "forward":  # what was given is a layer's name
        layers = list(dict.fromkeys(name.partition("/")[0] for name in known))
        msg = f"returned {key.tensor.rpartition('/')[2]} of {key.layer!r}; the layers are {', '.join(layers)}"
        raise ValueError(msg + nearest(key.layer, layers))
    what = {"update": "a weight", "gradient": "a gradient", "loss": "a penalty"}[key.phase]
    named = [name for name in known if name != "loss"]
    shown = [name for name in named if not name.endswith(_FLOWING)]
    msg = f"returned {what} named {key.tensor!r}; there are {', '.join(shown)}"
    layer, _, name = key.tensor.rpartition("/")
    raise ValueError(msg + nearest(f"{layer}/{_ALSO_CALLED.get(name.lower(), name)}" if layer else name, named))


def _refuse_shape(key: Key, shape: Shape, expected: Shape) -> None:
    hint = ""
    if len(expected) == 2 and shape == expected[::-1]:
        flows = key.tensor.endswith(_FLOWING)
        hint = f"; it is transposed: Keras' layout is ({'batch' if flows else 'inputs'}, units)"
    elif len(expected) == 1 and sorted(shape) == sorted((1, *expected)):
        hint = "; .ravel() makes it that"
    elif not expected and shape and set(shape) == {1}:
        hint = "; .item() makes it a number"
    elif not expected:
        hint = "; one number for the whole batch"
    msg = f"returned {key.in_words} of shape {shape}; expected {expected}{hint}"
    raise ValueError(msg)
