"""What it costs that a candidate tells little: said once for all that it leaves out of a phase."""

from __future__ import annotations

from collections.abc import Set as AbstractSet

from parity.protocol import Key

PHASES = {
    "batch": "not told: that it trains on what it was given shows only in what it makes of it",
    "forward": "not told: a wrong output shows in the loss alone, and is charged to no layer",
    "loss": "not told: what it minimises shows in its weights alone",
    "gradient": "not told: a wrong gradient shows in the weights that it leads to, not where it was made",
    "metrics": "not told: a wrong metric is not seen",
}
SLOTS = "not told: what the optimizer carries from step to step shows in the weights of later steps alone"
UNDRAWN = "not drawn by the candidate: it begins with those it is given, and what it would begin with is not seen"


def untold(recorded: AbstractSet[Key], told: AbstractSet[Key]) -> tuple[dict[str, str], set[Key]]:
    """What the candidate tells nothing of, phases and optimizer slots, with what that costs; and all of its keys."""
    groups = {phase: (cost, {key for key in recorded if key.phase == phase}) for phase, cost in PHASES.items()}
    groups["optimizer slots"] = SLOTS, {key for key in recorded if key.phase == "update" and key.tensor.count("/") == 2}
    missing = {what: (cost, keys) for what, (cost, keys) in groups.items() if keys and not keys & told}
    return {what: cost for what, (cost, _) in missing.items()}, set().union(*(keys for _, keys in missing.values()))
