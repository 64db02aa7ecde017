"""Nothing is left out by accident: not of the config, not of what Keras exports, not of the page that says so."""

from __future__ import annotations

import inspect
import types
import typing
from collections import defaultdict
from pathlib import Path

import pytest
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from parity.config import Experiment
from parity.config.experiment import Metric
from parity.config.layers import ActivationName
from scratch_net.activations import ACTIVATIONS
from scratch_net.initializers import INITIALIZERS
from scratch_net.losses import LOSSES
from scratch_net.metrics import METRICS
from scratch_net.optimizers import OPTIMIZERS
from scratch_net.regularizers import REGULARIZERS
from tests.suite import coverage_page, runs, table
from tests.suite.laws import LAWS, applications

ROOT = Path(__file__).parent.parent.parent

# kind -> what the config offers, what the NumPy network can do
OFFERED = {
    **{kind: {cls.__name__ for cls in classes} for kind, classes in coverage_page.CLASSES.items()},
    "activations": set(typing.get_args(typing.get_args(ActivationName)[0])),
    "metrics": set(typing.get_args(typing.get_args(Metric)[0])),
}
WRITTEN = {
    "activations": ACTIVATIONS,
    "losses": LOSSES,
    "regularizers": REGULARIZERS,
    "initializers": INITIALIZERS,
    "optimizers": OPTIMIZERS,
    "metrics": METRICS,
    "layers": {"Dense"},
}
OURS_ALONE = {"SumSquaredError"}  # Keras' side of it is a function given to `compile`

# Keys that say nothing about what is computed, and values that no single run has; with the reason.
NOT_TRAINED = {
    "Experiment.name": "a label",
    "Experiment.examples": "filled in from the data",
    "Experiment.declare": "how the candidate is judged",
    "Experiment.tolerance": "how the candidate is judged",
    "Experiment.initial_state": "slots of an earlier training: tests/keras_ref/test_state.py has every optimizer's",
    "Experiment.precision=both": "a run in each",
    "Regression.one_hot": "numbers are no labels",
    "Memory.source=memory": "arrays handed over in Python, which no experiment file can say",
}


def class_name(kind, said):
    if kind in {"activations", "metrics"}:
        return said
    return {"losses": lambda: said.said, "layers": lambda: said[1]}.get(kind, lambda: said)()["class_name"]


@pytest.mark.parametrize("kind", table.TABLE)
def test_whatever_the_config_offers_has_a_row_and_is_written(kind):
    assert OFFERED[kind] == {class_name(kind, said) for said in table.TABLE[kind].values()} == set(WRITTEN[kind])


def test_every_kind_but_layers_has_laws_of_its_own():
    """A layer is what joins the others: whole runs are its laws."""
    assert {law.kind for law in LAWS} == set(table.TABLE) - {"layers"}


def test_every_row_is_held_to_a_law_in_both_precisions():
    held = {(law.kind, row, precision) for law, row, precision in applications()}
    rows = {(kind, row) for kind, rows in table.TABLE.items() if kind != "layers" for row in rows}
    assert held == {(kind, row, precision) for kind, row in rows for precision in table.PRECISIONS}


# ---- every setting of the config, in some whole run ----


def _models(annotation) -> set[type[BaseModel]]:
    """Every part of the config that can stand in a field, and in theirs."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        inner = (_models(field.annotation) for field in annotation.model_fields.values())
        return {annotation}.union(*inner)
    return set().union(*(_models(argument) for argument in typing.get_args(annotation)))


def _literals(annotation) -> set:
    """The values a field is spelled out to have."""
    if annotation is bool:
        return {True, False}
    if typing.get_origin(annotation) is typing.Literal:
        return set(typing.get_args(annotation))
    if typing.get_origin(annotation) in {typing.Union, types.UnionType, typing.Annotated, tuple}:
        return set().union(*(_literals(argument) for argument in typing.get_args(annotation)))
    return set()


def _values(part, found) -> None:
    """Every value of every field of a config, and of the parts it is made of."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        found[f"{type(part).__name__}.{name}"].append(value)
        for inner in value if isinstance(value, tuple) else (value,):
            if isinstance(inner, BaseModel):
                _values(inner, found)


def test_every_setting_of_the_config_is_tried_in_a_whole_run(tmp_path):
    """Other than its default; of a few that are spelled out, each."""
    runs.write_files(tmp_path)
    found: dict[str, list] = defaultdict(list)
    for number, precision in runs.RUNS:
        _values(runs.experiment(number, precision, tmp_path), found)
    missing = set()
    for model in _models(Experiment):
        for name, field in model.model_fields.items():
            key, default = f"{model.__name__}.{name}", field.get_default(call_default_factory=True)
            said = [inner for value in found[key] for inner in (value if isinstance(value, tuple) else (value,))]
            spelled = _literals(field.annotation)
            missing |= {f"{key}={value}" for value in spelled if value not in said}
            if not spelled and all(value == default for value in found[key] or [PydanticUndefined]):
                missing.add(key)
    judged = {key for key in missing if key.startswith("Tolerance.")}  # parts of Experiment.tolerance
    untried = missing - judged - set(NOT_TRAINED)
    assert not untried, "no row says it: give it one in table.py"
    assert not set(NOT_TRAINED) - missing, "it is tried: take it out of NOT_TRAINED"


# ---- what Keras exports ----


def _plain(name: str) -> str:
    return name.replace("_", "").lower()


def exports(module) -> dict[str, str]:
    """Name -> the name of its class, where Keras has it under several names or as a function beside the class."""
    names = [name for name in dir(module) if not name.startswith("_")]
    first: dict[str, str] = {}
    for name in sorted(names, key=lambda name: (name.islower(), name)):  # classes before functions and aliases
        first.setdefault(_plain(name), name)
    return {name: first[_plain(name)] for name in names}


@pytest.mark.parametrize("kind", coverage_page.not_covered())
def test_every_export_of_keras_has_a_row_or_a_reason(keras, kind):
    module = keras
    for part in kind.split("."):
        module = getattr(module, part)
    groups = coverage_page.not_covered()[kind]
    listed = [name for group in groups for name in group["names"]]
    assert len(listed) == len(set(listed)), "listed twice"
    assert all(group["why"] for group in groups)
    exported = exports(module)
    named = {"metrics": set()}.get(kind, set(coverage_page.covered(kind)) - OURS_ALONE)  # of metrics, words
    assert not named & set(listed), "has a row: take it out of not_covered.toml"
    assert named <= set(exported), "has a row, and Keras has no such name"
    assert set(listed) <= set(exported), "vanished from Keras: take it out of not_covered.toml"
    known = named | set(listed)
    new = {name for name, cls in exported.items() if name not in known and cls not in known}
    assert not new, "new in Keras: give it a row, or a reason in not_covered.toml"


def test_every_kind_is_held_against_keras():
    assert set(table.TABLE) <= set(coverage_page.not_covered())


def test_the_page_says_what_the_table_says():
    written = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert written == coverage_page.page(), "python -m tests.suite.coverage_page > docs/coverage.md"
