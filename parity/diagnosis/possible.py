"""What of the catalogue a run can show at all."""

from __future__ import annotations

from typing import Any

from parity.config import Experiment
from parity.diagnosis.evidence import Evidence
from parity.diagnosis.own_regularizers import EVERYWHERE, factors
from parity.diagnosis.stand_in import IN_FLOAT32, StandIn
from parity.diagnosis.tried import Set

ENGINE_PARAMETERS = 30
"""Finite differences take a step's time for each parameter: they are thought of for networks up to this size."""

_LAST = ("softmax", "sigmoid")  # activations that a cross-entropy skips

# Conventions of which none shows without the first: where the loss is taken from logits nothing is clipped, and a loss
# from probabilities that are clipped as Keras clips them is the same.
NEEDED_FIRST = {("loss.input", "probabilities"): "loss.clip"}
IN_GRADIENTS = {"weight_decay.in_gradient", "weight_decay.kernels_in_gradient"}
"""Numbers that are sought only where gradients are told: else they are the same as others."""


def possible(stand_in: StandIn, evidence: Evidence) -> list[tuple[str, str]]:
    """The choices that may make a difference by themselves."""
    parameters = sum(array.size for array in stand_in.weights.values())
    others = _of_others(stand_in.experiment)
    return [
        single
        for single in stand_in.choices
        if _family(single[0]) not in others and _possible(single, evidence, parameters)
    ]


def possible_factors(stand_in: StandIn, evidence: Evidence) -> list[str]:
    """The conventions of which any number may make a difference by itself."""
    others = _of_others(stand_in.experiment)
    idle = set() if any(key.phase == "gradient" for key in evidence.keys) else IN_GRADIENTS
    return [code for code in stand_in.factors if _family(code) not in others and code not in idle]


def _family(code: str) -> str:
    return code.partition(".")[0]


def hidden(singles: list[tuple[str, str]], experiment: Experiment) -> list[Set]:
    """Pairs of which none shows without the other."""
    return [
        frozenset({first, single})
        for first, code in NEEDED_FIRST.items()
        for single in singles
        if single[0] == code and _from_logits(experiment)
    ]


def _from_logits(experiment: Experiment) -> bool:
    """Whether Keras takes the loss from what goes into the last activation."""
    return experiment.loss.class_name.endswith("Crossentropy") and experiment.layers[-1].activation in _LAST


def _of_others(experiment: Experiment) -> set[str]:
    """Families of conventions that are about another optimizer, or none, about a penalty that there is not, or is."""
    optimizer: Any = experiment.optimizer
    of_optimizers = {
        "Adam": "adam",
        "RMSprop": "rmsprop",
        "SGD": "momentum" if getattr(optimizer, "momentum", 0) else "sgd",
    }
    own = {of_optimizers[optimizer.class_name]}
    for layer in experiment.layers:
        for place in EVERYWHERE:
            of_place = factors(getattr(layer, place))
            own |= {place.removesuffix("_regularizer")} if of_place else set()
            own |= {"l1"} if of_place.l1 else set()
    if not any(factors(layer.kernel_regularizer).l2 for layer in experiment.layers):
        own |= {"weight_decay"}
    return {"adam", "momentum", "sgd", "rmsprop", "init", "l1", "bias", "activity", "weight_decay"} - own


def _possible(single: tuple[str, str], evidence: Evidence, parameters: int) -> bool:
    """One example at a time gives the same gradient; and who computes in float32 has no other numbers."""
    if single[0] == "gradient.engine":
        return parameters <= ENGINE_PARAMETERS and single[1] != "per_example"
    return dict([single]) != IN_FLOAT32 or (evidence.dtype == "float64" and evidence.in_float32)
