"""Whole runs: experiments in which every row of the table has its turn, in both precisions.

A run is one of a dozen experiments in one precision: losses and optimizers, of which there are as many, take turns,
and so does everything else on the way. Compiling is what a run costs: one model serves `diff` and what is asked after.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from keras_ref.adapter import KerasSide
from keras_ref.build import build, named_weights
from keras_ref.runtime import tf
from parity.config import Experiment, validate
from parity.data import load_dataset
from parity.lockstep import draw_weights, start_weights
from parity.result import Result
from parity.run import diff
from parity.sides import LoadedSide
from tests.suite import table

COUNT = max(len(table.LOSSES), len(table.OPTIMIZERS))
RUNS = [(number, precision) for number in range(COUNT) for precision in table.PRECISIONS]

REFERENCE = KerasSide()  # found by name; it keeps the model that it made last


def turn(rows: Any, number: int) -> Any:
    """The row whose turn it is."""
    rows = list(rows.values()) if isinstance(rows, dict) else rows
    return rows[number % len(rows)]


def _layers(number: int) -> list[str]:
    return [turn(list(table.LAYERS), number), turn(list(table.LAYERS), number + 3)]


def _penalized(number: int) -> list[tuple[int, str]]:
    """Which places of which layers hold a regularizer."""
    return [(at, place) for at, row in enumerate(_layers(number)) for place in table.LAYERS[row][0]]


def _regularizer(number: int, at: int, place: str) -> str:
    """Every place its own; the same layer, when its turn comes again, another."""
    again = number // len(table.LAYERS)
    return turn(list(table.REGULARIZERS), number + again + 2 * at + 3 * ("kernel", "bias", "activity").index(place))


def rows_of(number: int, precision: str) -> dict[str, list[str]]:
    """Which rows a run is about: kind -> their names."""
    losses = list(table.LOSSES.values())
    targets = turn(losses, number).targets
    earlier = sum(loss.targets == targets for loss in losses[: number % len(losses)])
    name_of = {kind: list(rows) for kind, rows in table.TABLE.items()}
    last = list(turn(losses, number).after)
    return {
        "losses": [turn(name_of["losses"], number)],
        "optimizers": [turn(name_of["optimizers"], number)],
        "activations": [turn(name_of["activations"], number), turn(last, number)],
        "layers": _layers(number),
        "regularizers": [_regularizer(number, at, place) for at, place in _penalized(number)],
        "initializers": [turn(name_of["initializers"], 4 * number + place) for place in range(4)],
        "metrics": list(name_of["metrics"]) if number % 2 else [],
        "schedules": [turn(list(table.SCHEDULES), number)],
        "data": [turn(list(table.DATA[targets]), 2 * earlier + (precision == "float64"))],
    }


def experiment(number: int, precision: str, files: Path) -> Experiment:
    """The experiment of a run; `files` holds what `write_files` wrote."""
    rows = rows_of(number, precision)
    loss = table.LOSSES[rows["losses"][0]]
    data = {
        key: value.format(files=files) if key == "path" else value
        for key, value in table.DATA[loss.targets][rows["data"][0]].items()
    }
    outputs = {"digits": 10, "mnist": 10}.get(data["source"], 1 if loss.targets == "zeros and ones" else table.CLASSES)
    layers = []
    for at, units in enumerate((4, outputs)):
        _, said = table.LAYERS[rows["layers"][at]]
        penalized = {
            f"{place}_regularizer": table.REGULARIZERS[_regularizer(number, at, place)]
            for layer, place in _penalized(number)
            if layer == at
        }
        layers.append(
            {
                **said,
                "units": units,
                "activation": rows["activations"][at],
                "kernel_initializer": table.INITIALIZERS[rows["initializers"][2 * at]],
                "bias_initializer": table.INITIALIZERS[rows["initializers"][2 * at + 1]],
                **penalized,
            }
        )
    schedule = dict(table.SCHEDULES[rows["schedules"][0]])
    if "initial_weights" in schedule:
        drawn = np.random.default_rng(8).standard_normal((4, outputs)).tolist()
        schedule["initial_weights"] = {f"{layers[-1].get('name', 'dense_1')}/kernel": drawn}
    return validate(
        {
            "data": data,
            "layers": layers,
            "loss": loss.said,
            "optimizer": table.OPTIMIZERS[rows["optimizers"][0]],
            "metrics": rows["metrics"],
            "precision": precision,
            "seed": 7,
            **schedule,
        }
    )


def write_files(folder: Path) -> Path:
    """What the data sources that read files are given."""
    random = np.random.default_rng(6)
    x = random.standard_normal((table.EXAMPLES, table.FEATURES))
    labels = random.integers(0, table.CLASSES, table.EXAMPLES)
    np.savez(folder / "labels.npz", inputs=x, labels=labels)
    images = random.integers(0, 256, (12, 28, 28), dtype=np.uint8)
    digits = np.arange(12, dtype=np.uint8) % 10
    np.savez(folder / "mnist.npz", x_train=images, y_train=digits, x_test=images[::-1], y_test=digits[::-1])
    inputs = [f"x{column}" for column in range(table.FEATURES)]
    for name, targets, columns in (
        ("labels", labels[:, None], ["label"]),
        ("numbers", x[:, :3] ** 2, ["y0", "y1", "y2"]),
    ):
        with (folder / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([*inputs, *columns])
            writer.writerows([*a.tolist(), *b.tolist()] for a, b in zip(x, targets, strict=True))
    return folder


@cache
def compared(number: int, precision: str, files: Path) -> tuple[Result, Any]:
    """The run as `parity diff` makes it, and the model that it ended with."""
    result = diff(experiment(number, precision, files), reference=f"{__name__}:REFERENCE")
    return result, REFERENCE.capture.model


def fitted(one: Experiment) -> Any:
    """The same by plain `fit`, of a model built afresh: nothing looks on."""
    (precision,) = one.precisions
    dataset = load_dataset(one).astype(precision)
    x, y, inputs = dataset.x, dataset.y, dataset.x.shape[1]
    model = build(one, inputs, precision)
    drawn = draw_weights(LoadedSide("keras", KerasSide()), one, inputs, precision) if one.initial_weights else None
    for name, w in ({} if drawn is None else start_weights(one, [drawn], inputs, precision)).items():
        named_weights(model)[name].assign(w)
    batch = len(x) if one.batch_size == "full" else one.batch_size
    if one.drop_remainder or one.steps:
        batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(batch, drop_remainder=one.drop_remainder)
        steps = one.steps or (one.epochs or 1) * len(batches)
        model.fit(batches.repeat(), steps_per_epoch=steps, shuffle=False, verbose=0)
    else:
        model.fit(x, y, batch_size=batch, epochs=one.epochs or 1, shuffle=one.shuffle, verbose=0)
    return model
