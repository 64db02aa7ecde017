"""The ledger as the few numbers that a page can draw: steps by tensors, in columns of one step or of several.

A page holds at most `CELLS` cells for a precision. A longer run has columns of several steps, each the worst of them,
so that nothing beyond its budget is hidden; lines are drawn through the first step of each column.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from parity.ledger import LANES
from parity.protocol import PARTS, Key, execution_order
from parity.report import facts

if TYPE_CHECKING:
    from parity.protocol import Array
    from parity.result import Run

CELLS = 50_000  # for one precision and lane
LINES = 8  # tensors whose drift is drawn
NOT_EQUAL = -1  # JSON has no infinity, and no share of a budget is negative


def series(run: Run) -> dict[str, Any]:
    """What the page draws of one precision."""
    keys = execution_order({key for _, key in run.summaries}, run.judge.experiment.layer_names)
    spans = [(int(entries["step"].min()), int(entries["step"].max())) for entries in run.ledger]
    first, last = min((start for start, _ in spans), default=1), max((end for _, end in spans), default=0)
    steps = max(last, run.judge.steps) + 1 - first  # from 0 where initial weights were compared
    width = max(1, math.ceil(steps * len(keys) / CELLS))
    columns = math.ceil(steps / width)
    used, distance, limit = (np.full((len(LANES), len(keys), columns), np.nan) for _ in range(3))
    said = np.full((2, len(keys), columns), np.nan)  # of the reference and of the candidate: numbers by themselves
    place = {key: row for row, key in enumerate(keys)}
    rows = np.array([place[key] for key in run.ledger.keys] or [0])
    for entries in run.ledger:
        column, start = np.divmod(entries["step"] - first, width)
        at = (entries["lane"], rows[entries["key"]], column)
        worst, furthest = entries["measures"]["used"], entries["measures"]["absolute"]
        np.fmax.at(used, at, worst["value"])
        np.fmax.at(distance, at, furthest["value"])
        np.fmax.at(limit, at, _limit(worst))
        alone = (start == 0) & (entries["measures"]["size"] == 1)
        chosen = alone & _prefer(entries["lane"], run)
        for side, name in enumerate(("reference", "candidate")):
            said[side, at[1][chosen], column[chosen]] = furthest[name][chosen]
    (local, free), apart = used, distance[LANES.index("free")]
    shown = np.where(np.isnan(local), free, local)  # what an operation adds tells more than what it inherits
    computed = [row for row, key in enumerate(keys) if key.phase != "batch"]  # batches are handed to both
    lanes = {"local": local, "free": np.where(np.isnan(local), free, np.nan)}
    judged = [lane for lane, shares in lanes.items() if not np.isnan(shares[computed, max(0, 1 - first) :]).all()]
    return {
        "precision": run.precision,
        "verdict": str(run.verdict),
        "first": first,
        "last": first + steps - 1,
        "width": width,
        "keys": [{"phase": key.phase, "tensor": key.tensor, "part": key.part} for key in keys],
        "lanes": judged,
        "used": [_numbers(row) for row in shown],
        "distance": [_numbers(row) for row in apart],
        "beyond": _beyond(shown),
        "divergence": _divergence(run, keys),
        "losses": _losses(keys, said),
        "drift": _drift(keys, apart, limit[LANES.index("free")]),
    }


def _limit(worst: Array) -> Array:
    """What the element may differ by that is nearest to its limit; not a number where nothing says so."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        found = np.abs(worst["candidate"] - worst["reference"]) / worst["value"]
    return np.where(np.isfinite(found) & (worst["value"] > 0), found, np.nan)


def _prefer(lanes: Array, run: Run) -> Array:
    """The free lane, where there is one: each side's own course."""
    has_free = any(lane == "free" for lane, _ in run.summaries)
    return np.asarray(lanes == LANES.index("free" if has_free else "local"))


def _numbers(values: Array) -> list[float | None]:
    """Three digits are more than a colour shows."""
    return [None if math.isnan(v) else NOT_EQUAL if math.isinf(v) else float(f"{v:.3g}") for v in values.tolist()]


def _exact(values: Array) -> list[float | None]:
    return [float(f"{value:.9g}") if math.isfinite(value) else None for value in values.tolist()]


def _beyond(shown: Array) -> list[dict[str, int]]:
    """The column in which each tensor goes beyond its budget first."""
    over = shown > 1
    return [{"row": int(row), "column": int(over[row].argmax())} for row in np.flatnonzero(over.any(axis=1))]


def _divergence(run: Run, keys: list[Key]) -> dict[str, Any] | None:
    if run.first is None or run.first.key not in keys:
        return None
    return {"row": keys.index(run.first.key), "step": run.first.step, "place": facts.place(run.first.key)}


def _losses(keys: list[Key], said: Array) -> list[dict[str, Any]]:
    """The loss, and its parts where somebody tells them."""
    rows = {key.part: row for row, key in enumerate(keys) if (key.phase, key.tensor) == ("loss", "loss")}
    return [
        {"part": part, "reference": _exact(said[0, rows[part]]), "candidate": _exact(said[1, rows[part]])}
        for part in reversed(PARTS)
        if part in rows
    ]


def _drift(keys: list[Key], distance: Array, limit: Array) -> list[dict[str, Any]]:
    """The loss and the weights that are furthest apart at the end."""

    def wanted(key: Key) -> bool:
        loss = key == Key("loss", "loss")
        return loss or (key.phase == "update" and key.tensor.count("/") == 1 and key.layer != "optimizer")

    rows = [row for row, key in enumerate(keys) if wanted(key) and np.nan_to_num(distance[row]).any()]
    rows.sort(key=lambda row: (keys[row].phase != "loss", -np.nanmax(distance[row])))
    return [
        {
            "name": facts.place(keys[row]),
            "distance": _exact(distance[row]),
            "limit": _exact(limit[row]) if np.isfinite(limit[row]).any() else None,
        }
        for row in rows[:LINES]
    ]
