"""Every mistake is reported at the key it was made at."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import Field, ValidationError

from parity.cases import Case
from parity.config import ConfigError, load_experiment
from parity.config.base import Frozen
from parity.config.errors import mistakes_in
from parity.config.numbers import Listed
from parity.errors import UsageError


class Leaf(Frozen):
    size: int
    kind: str = ""


class Tree(Frozen):
    leaf: Leaf
    other: Leaf | None = None
    many: Listed[Leaf] = ()
    named: dict[str, Leaf] = Field(default_factory=dict)


WRONG = {"sise": 1}


def mistakes(model, table):
    with pytest.raises(ValidationError) as refused:
        model.model_validate(table)
    return list(mistakes_in(refused.value, model))


@pytest.mark.parametrize(
    ("key", "table"),
    [
        ("leaf", {"leaf": WRONG}),
        ("other", {"leaf": {"size": 1}, "other": WRONG}),
        ("many.1", {"leaf": {"size": 1}, "many": [{"size": 1}, WRONG]}),
        ("named.size", {"leaf": {"size": 1}, "named": {"size": WRONG}}),
        ("named.many", {"leaf": {"size": 1}, "named": {"many": WRONG}}),
    ],
)
def test_of_a_table_in_a_table(key, table):
    missing, unknown = mistakes(Tree, table)
    assert missing == f"{key}.size: missing; it must be given"
    assert unknown == f"{key}.sise: unknown key; allowed here: size, kind; did you mean 'size'?"


def test_of_what_a_run_of_a_case_expects():
    expected = [
        {"verdct": "PARITY"},
        {"verdict": "PARTY"},
        {"verdict": "DIVERGED", "phase": "los", "part": "penalti"},
        {"verdict": "PARITY", "figures": [{"step": 1, "phase": "loss", "tensor": "loss", "ration": 2.0}]},
    ]
    runs = [{"name": str(at), "expect": expect} for at, expect in enumerate(expected)]
    known = {"reason": "r", "until": "2030-01-01", "expect": {"verdict": "PARTY"}}
    runs.append({"name": "4", "expect": {"verdict": "PARITY"}, "known": known})
    assert [line.partition("; allowed")[0] for line in mistakes(Case, {"title": "t", "run": runs})] == [
        "run.0.expect.verdict: missing; it must be given",
        "run.0.expect.verdct: unknown key",
        "run.1.expect.verdict: received 'PARTY'",
        "run.2.expect.phase: received 'los'",
        "run.2.expect.part: received 'penalti'",
        "run.3.expect.figures.0.ration: unknown key",
        "run.4.known.until: received '2030-01-01'; input should be a valid date",
        "run.4.known.expect.verdict: received 'PARTY'",
    ]


def test_a_verdict_is_told_with_the_nearest():
    run = {"name": "a", "expect": {"verdict": "PARTY"}}
    (said,) = mistakes(Case, {"title": "t", "run": [run]})
    assert said.endswith("allowed: PARITY, DIVERGED, CANNOT_JUDGE; did you mean 'PARITY'?")


DATA = {"source": "regression", "features": 2}
GOOD = {"data": DATA, "layers": [{"units": 1}], "loss": "mse", "optimizer": {"class_name": "SGD"}, "steps": 1}
TOML = """steps = 1
data = { source = "regression", features = 2 }
layers = [{ units = 1 }]
loss = "mse"
optimizer = "sgd"
"""


def refused(given, overrides=()):
    with pytest.raises((ConfigError, UsageError)) as caught:
        load_experiment(given, overrides)
    return str(caught.value)


def test_what_only_python_can_hand_over_is_not_offered_in_a_file():
    said = refused({**GOOD, "data": {"source": "memry"}})
    assert "allowed: digits, mnist, npz, csv, arrays, regression, classification" in said
    assert "memory" not in said


def test_what_toml_cannot_write_is_not_asked_for():
    optimizer = {"class_name": "SGD", "clipnorm": 1.0, "use_ema": True}
    said = refused({**GOOD, "optimizer": optimizer})
    assert "optimizer.clipnorm: received 1.0; not offered; leave it out\n" in said
    assert "optimizer.use_ema: received True; not offered; leave it out, or give false" in said


def test_a_change_is_told_as_it_was_asked_for():
    assert refused(GOOD, ["layers.3.units=1"]).startswith("--set layers.3.units: layers.3 is not there")
    assert refused(GOOD, [("layers.3.units", 1)]).startswith("layers.3.units: layers.3 is not there")
    assert refused(GOOD, [("steps.x", 1)]).startswith("steps.x: steps.x lies inside a plain value")


def test_how_a_file_is_read_is_told_where_its_name_does_not_say(tmp_path):
    for name, said in (("a.yaml", " (what does not end in .json is read as TOML)"), ("a.toml", ""), ("A.TOML", "")):
        (tmp_path / name).write_text("steps: 1")
        assert f"not valid TOML{said}: " in refused(tmp_path / name)


@pytest.mark.parametrize(
    ("file", "name"),
    [("base.toml", "base"), ("my net.toml", "my-net"), ("-x.toml", "x"), ("\u00e9.toml", "experiment")],
)
def test_an_experiment_without_a_name_is_called_after_its_file(tmp_path, file, name):
    path = tmp_path / file
    path.write_text(TOML)
    assert load_experiment(path).name == name
    path.write_text(f'name = "given"\n{TOML}')
    assert load_experiment(path).name == "given"
    assert load_experiment(path, ["name=set"]).name == "set"
    assert load_experiment(GOOD).name == "experiment"


def test_a_file_that_is_typed_is_looked_for_where_it_was_typed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    npz = TOML.replace('{ source = "regression", features = 2 }', '{ source = "npz", path = "a.npz" }')
    (tmp_path / "in" / "a.toml").write_text(npz)
    assert load_experiment("in/a.toml").data.path == str(Path("in/a.npz"))
    assert load_experiment("in/a.toml", ["data.path=b.npz"]).data.path == "b.npz"
