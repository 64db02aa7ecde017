"""What is kept of a run is what both sides would tell if they were trained again."""

from __future__ import annotations

import numpy as np
import pytest

from parity import run
from parity.config import validate
from parity.diagnosis import explain, kept
from parity.diagnosis.evidence import MOST, take_evidence
from parity.diagnosis.kept import Kept
from parity.lockstep import lockstep
from parity.protocol import Key
from parity.sides import LoadedSide
from scratch_net.adapter import ScratchSide
from tests.parity.diagnosis.benches import TABLE, bench

HALF = {"l2.penalty": "half"}
BATCHES = [
    {"batch_size": 6},  # the fourth step has a batch of two
    {"batch_size": 6, "steps": 30},
    {"batch_size": 20},
    {"batch_size": "full", "shuffle": False},  # every batch is the data as it is
    {"batch_size": 1, "steps": 40},
]


def sides():
    return LoadedSide("reference", ScratchSide()), LoadedSide("candidate", ScratchSide(HALF))


def keep(on, until, lanes=("local", "free")):
    """What is kept of a run that is found to diverge in a step, once it was taken."""
    taken = []
    found = Kept(on.experiment, on.dataset, on.weights, lambda: until if until in taken else None)
    for pair in lockstep(on.experiment, *sides(), on.dataset, on.weights, lanes):
        taken += range(pair.reference.first_step, pair.reference.last_step + 1)
        found.take(pair)
    return found.evidence()


@pytest.mark.parametrize("settings", BATCHES)
@pytest.mark.parametrize("length", [1, 4, 64])
@pytest.mark.parametrize("until", [1, 3])
def test_it_is_the_evidence_that_would_be_taken(settings, length, until, monkeypatch):
    """To the last bit, in the same pieces, however long the chunks of the run were."""
    monkeypatch.setattr("parity.lockstep.CHUNK_STEPS", length)
    on = bench(**settings)
    again = [take_evidence(on.experiment, side, on.dataset, on.weights, until) for side in sides()]
    for found, taken in zip(keep(on, until), again, strict=True):
        assert found.dtype == taken.dtype
        assert [(one.first_step, len(one)) for one in found.pieces] == [(p.first_step, len(p)) for p in taken.pieces]
        for one, other in zip(found.pieces, taken.pieces, strict=True):
            for mine, its in ((one.arrays, other.arrays), (one.before, other.before)):
                assert mine.keys() == its.keys()
                for key, array in mine.items():
                    assert array.dtype == its[key].dtype
                    np.testing.assert_array_equal(array, its[key], err_msg=str(key))


def test_data_that_every_step_has_whole_is_not_copied():
    on = bench(batch_size="full", shuffle=False)
    for evidence in keep(on, 1):
        assert np.shares_memory(evidence.pieces[0].arrays[Key("batch", "x")], on.dataset.x)


def test_nothing_is_kept_where_it_would_take_too_much(monkeypatch):
    monkeypatch.setattr(kept, "BYTES", 1000)
    assert keep(bench(), 1) is None


def test_nothing_is_kept_of_a_candidate_that_was_not_trained():
    assert keep(bench(), 1, lanes=("local",)) is None


def test_a_divergence_that_is_found_later_than_anything_is_kept(monkeypatch):
    monkeypatch.setattr(kept, "STEPS", 3)
    assert keep(bench(batch_size=1, steps=40), 20) is None


def test_what_is_kept_from_the_start_is_no_evidence_of_what_begins_late(monkeypatch):
    """Of two chunks the second has the divergence: the first steps were kept by then, and are not those around it."""
    monkeypatch.setattr("parity.lockstep.CHUNK_STEPS", 64)
    assert keep(bench(batch_size=1, steps=MOST + 4), MOST + 2) is None


class Twice(ScratchSide):
    """Trains twice, once in each precision, and never again."""

    left = 2

    def start(self, *given):
        if not Twice.left:
            raise RuntimeError("used up")
        Twice.left -= 1
        super().start(*given)


def test_nobody_is_trained_again_for_a_diagnosis(monkeypatch):
    monkeypatch.setattr(explain, "take_evidence", None)
    monkeypatch.setattr(Twice, "left", 2)
    result = run.diff(validate(TABLE), reference="scratch", candidate=Twice(HALF))
    assert [str(cause) for cause in result.diagnosis.causes] == ["l2.penalty=half"]
