"""The catalogue of conventions: where implementations choose differently, what Keras chooses, who chooses what else.

The entries stand in `catalogue/`, one TOML file a family. `[l2.penalty]` is the convention `l2.penalty`, and
`[l2.penalty.choices.half]` its choice `half`. What all choices of a convention share may stand once, at the convention.
Where any number may be chosen, `[l2.penalty.factor]` says what it does, with F in its place.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

from parity.conventions.entries import FACTOR, Choice, Convention, KerasChoice
from parity.errors import UsageError, nearest

__all__ = [
    "NAMES",
    "Choice",
    "Convention",
    "KerasChoice",
    "catalogue",
    "chosen",
    "convention",
    "describe",
    "is_number",
    "select",
]

# What the names in formulas and in lines of code mean.
NAMES = {
    "x": "inputs of a layer, or of the network, (B, inputs)",
    "W": "a kernel, (inputs, units)",
    "b": "a bias, (units,); as an index an example of the batch",
    "w": "any weight",
    "z": "pre-activation, x @ W + b",
    "a": "activation, phi(z)",
    "p": "output of the network, (B, outputs)",
    "q": "p or z as the logarithm takes it",
    "y": "targets",
    "l": "a layer, by its number; in a loss, the loss of each example",
    "r": "a penalty",
    "phi": "an activation function, phi' its derivative",
    "L": "the loss",
    "loss_of_each": "the loss of each example, (B,)",
    "dp_of_each": "its derivative by p, not yet divided by the batch",
    "data_loss": "the loss without penalties",
    "dW": "dL/dW",
    "db": "dL/db",
    "dz": "dL/dz",
    "da": "dL/da",
    "dx": "dL/dx of a layer, that is da of the layer beneath",
    "dp": "dL/dp",
    "g": "a gradient as the optimizer gets it",
    "B": "examples in the batch",
    "C": "outputs of the network",
    "N": "training examples",
    "n": "examples in the last batch of an epoch",
    "batch_size": "the nominal batch size",
    "F": "a number",
    "lam": "lambda, the factor of a penalty",
    "regularized": "the layers that have a penalty",
    "lr": "learning rate",
    "t": "number of the update, from 1",
    "m": "momentum, Adam's first moment",
    "v": "Adam's and RMSprop's mean of squared gradients",
    "m_old": "m before the update",
    "average": "RMSprop's mean gradient",
    "mu": "momentum factor",
    "beta_1": "Adam's memory of m",
    "beta_2": "Adam's memory of v",
    "rho": "RMSprop's memory of v",
    "eps": "epsilon of the optimizer",
    "centered": "whether RMSprop was asked to subtract the mean gradient",
    "s": "label smoothing",
    "h": "step of a finite difference",
    "labels": "targets as class numbers",
    "dtype": "the precision of the run, that of the weights a network starts from",
    "x_raw": "inputs before scaling",
    "scale": "what inputs are divided by",
    "losses": "the loss of every step so far",
    "inputs": "inputs of a layer",
    "units": "units of a layer",
    "stddev": "standard deviation asked for",
    "weights": "name -> weight",
    "gradients": "name -> gradient",
    "rng": "a NumPy random generator",
    "layer": "a Keras layer",
    "model": "the Keras model",
    "optimizer": "the Keras optimizer",
}
_SHARED = ("fix_candidate", "no_fix_reference", "sources")


def _read(text: str) -> Iterator[Convention]:
    """The conventions of one family's file."""
    entries: dict[str, dict[str, dict[str, Any]]] = tomllib.loads(text)
    for prefix, named in entries.items():
        for name, entry in named.items():
            shared = {"sources": [entry["keras"]["source"]]}  # where no thread is known
            shared |= {key: entry.pop(key) for key in _SHARED if key in entry}
            choices = []
            factor = {FACTOR: entry.pop("factor")} if "factor" in entry else {}
            for choice, own in (entry.pop("choices", {}) | factor).items():
                without = {"no_fix_reference"} if "fix_reference" in own else set()
                inherited = {key: value for key, value in shared.items() if key not in without}
                choices.append({"name": choice, **inherited, **own})
            if factor:
                entry["factor"] = choices.pop()
            yield Convention.model_validate({"code": f"{prefix}.{name}", "choices": choices, **entry})


@cache
def catalogue() -> Mapping[str, Convention]:
    """Code -> convention, by family and in the order of the files."""
    found: dict[str, Convention] = {}
    for file in sorted((files(__name__) / "catalogue").iterdir(), key=lambda file: file.name):
        for entry in _read(file.read_text("utf-8")):
            if entry.code in found:
                msg = f"{file.name}: {entry.code} stands in another file as well"
                raise ValueError(msg)
            found[entry.code] = entry
    return MappingProxyType(found)


def convention(code: str) -> Convention:
    """One convention.

    Raises:
        UsageError: there is none of that code.
    """
    if code not in (known := catalogue()):
        raise _unknown(code, known)
    return known[code]


def select(name: str) -> tuple[Convention, ...]:
    """The convention of that code, or those whose codes begin with it: `l2.penalty`, or `l2` for all of them.

    Raises:
        UsageError: there is neither.
    """
    known = catalogue()
    if name in known:
        return (known[name],)
    found = tuple(entry for code, entry in known.items() if code.startswith(f"{name}."))
    if not found:
        raise _unknown(name, [*known, *dict.fromkeys(code.partition(".")[0] for code in known)])
    return found


def _unknown(name: str, known: Iterable[str]) -> UsageError:
    msg = f"no convention {name!r}; `parity conventions` lists all {len(catalogue())}"
    return UsageError(msg + nearest(name, known))


def chosen(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Codes and choices as a mapping, which cannot hold two choices of one code.

    Raises:
        UsageError: a code is given twice.
    """
    found: dict[str, str] = {}
    for code, choice in pairs:
        if code in found:
            msg = f"{code} is given twice: {found[code]} and {choice}; give one of them"
            raise UsageError(msg)
        found[code] = choice
    return found


def is_number(cause: str) -> bool:
    """Whether of `code=choice` the choice is a number by which something is multiplied, and has no name."""
    code, _, choice = cause.partition("=")
    return convention(code).is_number(choice)


def describe(code: str, choice: str) -> str:
    """One sentence that says what a side with this choice computes, and what Keras does.

    Raises:
        UsageError: there is no such convention, or it has no such choice beside Keras' own.
    """
    entry = convention(code)
    other = entry.choice(choice)
    return f"{entry.title}: {other.formula} ({code}={other.name}), where Keras has {entry.keras.formula}"
