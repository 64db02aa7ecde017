"""The shapes that an experiment gives its tensors: what is told in another one cannot be judged, nor computed with."""

from __future__ import annotations

from parity.config import Experiment
from parity.protocol import Key
from parity.trace.manifest import Manifest, key_of

Shape = tuple[int | str, ...]
BATCH = "batch"


def check_shapes(manifest: Manifest, experiment: Experiment) -> None:
    """Hold every shape of the manifest against the experiment.

    Raises:
        ValueError: one is another; `batch` may be a number.
    """
    x = manifest.tensors["x"].shape
    if len(x) != 2 or not isinstance(x[1], int) or manifest.tensors["x"].dtype not in {"<f4", "<f8"}:
        raise ValueError(f"tensors: x of one step is a table of numbers, [batch, features]; received {list(x)!r:.60}")
    weights: dict[str, Shape] = {}
    inputs = x[1]
    for layer in experiment.layers:
        weights |= {f"{layer.name}/kernel": (inputs, layer.units), f"{layer.name}/bias": (layer.units,)}
        inputs = layer.units
    units = {layer.name: layer.units for layer in experiment.layers}
    for name, tensor in manifest.tensors.items():
        expected = _expected(key_of(name), weights, units)
        shape = tensor.shape
        if expected is not None and not (len(shape) == len(expected) and all(map(_fits, expected, shape))):
            raise ValueError(
                f"tensors: {name!r:.80} has the shape {list(shape)!r:.60}; the layers make {list(expected)}"
            )
    y, last = manifest.tensors["y"].shape, experiment.layers[-1].units
    if len(y) not in {1, 2} or y[1:] not in {(), (last,)}:
        raise ValueError(f"tensors: y of one step has the shape {list(y)!r:.60}; expected [batch] or [batch, {last}]")


def _fits(expected: int | str, size: int | str) -> bool:
    return expected in {BATCH, size}


def _expected(key: Key, weights: dict[str, Shape], units: dict[str | None, int]) -> Shape | None:
    """None where nothing is known of it."""
    if key.phase == "batch":
        return None
    if key.phase in {"loss", "metrics"} or key.layer == "optimizer":
        return ()
    layer, _, name = key.tensor.partition("/")
    if name in {"output", "pre_activation"}:
        return (BATCH, units[layer]) if layer in units else None
    return weights.get("/".join(key.tensor.split("/")[:2]))


def varies(key: Key) -> bool:
    """Whether a tensor has a row for each example of the batch."""
    through = key.phase == "gradient" and key.tensor.endswith(("/output", "/pre_activation"))
    return key.phase in {"batch", "forward"} or through
