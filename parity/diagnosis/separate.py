"""What would tell two explanations apart that one run cannot: something more to tell, or another experiment.

Both are tried out with the stand-in: it is trained with the one set of conventions and its steps are taken with the
other. A change in which the two differ is one that decides between them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from parity.config import Experiment, validate
from parity.data import Dataset
from parity.diagnosis.evidence import Evidence, take_evidence
from parity.diagnosis.search import Search
from parity.diagnosis.stand_in import StandIn
from parity.diagnosis.tried import Set
from parity.diagnosis.used import apart
from parity.lockstep import draw_weights, start_weights
from parity.protocol import Key, execution_order
from parity.sides import LoadedSide

STEPS = 6

# Phase of a tensor -> what a candidate would have to tell of it.
_TOLD = {"loss": "its loss", "gradient": "its gradients", "forward": "its layers' outputs", "metrics": "its metrics"}


def separate(search: Search, dataset: Dataset, one: Set, other: Set) -> str:
    """What to do to see which of two sets it is, in words; empty where nothing that is tried would show it."""
    if (key := _would_show(search, one, other)) is not None:
        return f"let the candidate tell {_TOLD.get(key.phase, 'its optimizer slots')}"
    for change, experiment, examples in _changed(search.stand_in.experiment, dataset):
        if _differ(experiment, search, examples, one, other):
            return f"run it with {change}"
    return ""


def _would_show(search: Search, one: Set, other: Set) -> Key | None:
    """A tensor that the candidate does not tell and in which the two differ in this very run."""
    taken = [search.stand_in.take(search.evidence, dict(choices)) for choices in (one, other)]
    budgets = search.stand_in.budgets(search.evidence, dict(one))
    untold = [key for key in taken[0][0] if key not in search.keys]
    used = apart(taken[0], taken[1], budgets, execution_order(untold, search.stand_in.experiment.layer_names))
    return next((key for key, of_key in used.items() if (of_key > 1).any()), None)


def _changed(experiment: Experiment, dataset: Dataset) -> Iterator[tuple[str, Experiment, Dataset]]:
    """The experiment with one thing changed, what it trains on then, and the option that changes it."""
    table = experiment.model_dump(mode="json", exclude={"examples"})
    batch = experiment.batch_size if isinstance(experiment.batch_size, int) else experiment.examples or 2
    changes: list[tuple[str, str, Any]] = [
        ("optimizer", "adam", "adam"),
        ("optimizer", "rmsprop", "rmsprop"),
        ("optimizer", "sgd", "sgd"),
        ("batch_size", str(batch - 1), max(1, batch - 1)),
        ("batch_size", "1", 1),
    ]
    for key, text, value in changes:
        yield f"--set {key}={text}", validate({**table, key: value}), dataset
    yield from _one_class_more(table, dataset)
    layers = [layer | {"kernel_initializer": "glorot_uniform"} for layer in table["layers"]]
    yield (
        "initial weights that are not zero (kernel_initializer glorot_uniform)",
        validate({**table, "layers": layers}),
        dataset,
    )
    layers = [layer | {"kernel_regularizer": {"class_name": "L2", "l2": 0.01}} for layer in table["layers"]]
    yield "an l2 penalty on every kernel (kernel_regularizer l2 = 0.01)", validate({**table, "layers": layers}), dataset


def _one_class_more(table: dict[str, Any], dataset: Dataset) -> Iterator[tuple[str, Experiment, Dataset]]:
    """An output more, for a class that no example has, where targets are classes."""
    *layers, top = table["layers"]
    units, one_hot, y = top["units"] + 1, table["data"].get("one_hot"), dataset.y
    if one_hot is None and y.ndim > 1:  # as many outputs as the data has
        return
    changed = {**table, "layers": [*layers, top | {"units": units}]}
    change = f"--set layers.{len(layers)}.units={units}"
    if one_hot is not None:
        changed["data"] = table["data"] | {"one_hot": one_hot + 1}
        change += f" --set data.one_hot={one_hot + 1}"
        y = np.pad(y, ((0, 0), (0, 1)))
    yield change, validate(changed), Dataset(dataset.x, y)


def _differ(experiment: Experiment, search: Search, dataset: Dataset, one: Set, other: Set) -> bool:
    """Whether a candidate that tells as much would show in this experiment which of the two it is."""
    side, inputs = search.stand_in.side, dataset.x.shape[1]
    told = experiment.model_copy(update={"examples": len(dataset), "initial_weights": None, "initial_state": None})
    drawn = draw_weights(side, told, inputs, "float64")
    weights = start_weights(told, [drawn], inputs, "float64")
    made = LoadedSide(side.name, side.side.with_conventions(dict(one)))
    evidence: Evidence = take_evidence(told, made, dataset.astype("float64"), weights, STEPS)
    evidence = evidence.only(lambda key: key.phase == "batch" or key in search.keys)
    stand_in = StandIn(told, side, weights)
    budgets = stand_in.budgets(evidence, dict(other))
    used = apart(evidence.told, stand_in.take(evidence, dict(other)), budgets, search.keys)
    return any((of_key > 1).any() for of_key in used.values())
