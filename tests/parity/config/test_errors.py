"""Every mistake is reported at the key it was made at."""

from __future__ import annotations

import pytest
from pydantic import Field, ValidationError

from parity.cases import Case
from parity.config.base import Frozen
from parity.config.errors import mistakes_in
from parity.config.numbers import Listed


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
