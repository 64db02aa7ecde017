"""The ledger holds what it was given, in memory and on disk."""

from __future__ import annotations

import gc

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, strategies as st

from parity import ledger as module
from parity.ledger import Ledger
from parity.measure import measure
from parity.protocol import Key

KEYS = [Key("forward", "dense/output"), Key("loss", "loss", "data"), Key("loss", "loss"), Key("gradient", "dense/bias")]
RANDOM = np.random.default_rng(0)


def rows(steps: int):
    return measure(RANDOM.random((steps, 3)), RANDOM.random((steps, 3)), 0.25)


appended = st.lists(
    st.tuples(st.sampled_from(KEYS), st.sampled_from(module.LANES), st.integers(1, 50), st.integers(1, 4)), max_size=12
)


@pytest.mark.parametrize("in_memory", [1, 16 * 2**20])
def test_everything_comes_back(monkeypatch, in_memory):
    monkeypatch.setattr(module, "IN_MEMORY", in_memory)
    monkeypatch.setattr(module, "_READ", 3)
    monkeypatch.setattr(module, "_WRITE", 500)

    @given(appended)
    def law(entries):
        ledger, expected = Ledger(), {}
        for key, lane, first, steps in entries:
            taken = rows(steps)
            ledger.append(key, lane, first, taken)
            for at in range(steps):
                expected[first + at, key, lane] = taken[at].tobytes()
            assert sum(len(part) for part in ledger) == ledger.length  # reading between two writes
        found = ledger.rows(set(range(1, 60)))
        assert {at: np.asarray(measures).tobytes() for at, measures in found.items()} == expected
        assert ledger.rows({7}).keys() == {at for at in expected if at[0] == 7}

    law()


@given(appended.filter(bool))
def test_tables_that_come_together_come_one_after_another(entries):
    together, alone = Ledger(), Ledger()
    tables = [(key, lane, first, rows(steps)) for key, lane, first, steps in entries]
    together.extend(tables)
    for table in tables:
        alone.append(*table)
    assert b"".join(part.tobytes() for part in together) == b"".join(part.tobytes() for part in alone)


def test_a_long_run_goes_to_disk(monkeypatch):
    monkeypatch.setattr(module, "IN_MEMORY", 10_000)
    monkeypatch.setattr(module, "_WRITE", 2_000)
    ledger = Ledger()
    taken = rows(5)
    for first in range(1, 500, 5):
        ledger.append(KEYS[0], "local", first, taken)
    assert ledger._file._rolled
    assert ledger.length == 500
    frame = ledger.frame()
    assert frame.step.tolist() == list(range(1, 501))
    np.testing.assert_array_equal(frame.absolute, np.tile(taken["absolute"]["value"], 100))
    file = ledger._file
    del ledger
    gc.collect()
    assert file.closed


def test_writing_goes_on_where_reading_was_left(monkeypatch):
    monkeypatch.setattr(module, "_READ", 2)
    ledger = Ledger()
    ledger.append(KEYS[0], "local", 1, rows(5))
    next(iter(ledger))
    ledger.append(KEYS[0], "local", 6, rows(2))
    assert ledger.frame().step.tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_the_columns_of_a_frame():
    """What users of the CSV report build on."""
    ledger = Ledger()
    ledger.append(KEYS[1], "local", 3, rows(2))
    ledger.append(KEYS[3], "free", 1, rows(1))
    frame = ledger.frame()
    extremes = [
        f"{name}{field}"
        for name in ("absolute", "relative", "ulp", "used")
        for field in ("", "_index", "_reference", "_candidate")
    ]
    assert list(frame.columns) == [
        *("step", "phase", "layer", "tensor", "part", "lane"),
        *extremes,
        *("rms", "cosine", "size", "beyond", "nonfinite_reference", "nonfinite_candidate", "nonfinite_both"),
    ]
    assert frame[["step", "phase", "layer", "tensor", "part", "lane"]].to_numpy().tolist() == [
        [3, "loss", "", "loss", "data", "local"],
        [4, "loss", "", "loss", "data", "local"],
        [1, "gradient", "dense", "dense/bias", "whole", "free"],
    ]
    assert isinstance(frame, pd.DataFrame)


def test_an_empty_ledger():
    assert Ledger().frame().empty
    assert Ledger().rows({1}) == {}
    assert list(Ledger()) == []
