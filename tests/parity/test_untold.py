"""What a candidate leaves out is told with what it costs, once, and never helps it to parity."""

from __future__ import annotations

import pytest

from parity.protocol import Key
from parity.untold import PHASES, SLOTS, untold
from tests.parity.strangers import judged, network

RECORDED = {
    Key("batch", "x"),
    Key("forward", "dense/output"),
    Key("loss", "loss"),
    Key("gradient", "dense/kernel"),
    Key("update", "dense/kernel"),
    Key("update", "dense/kernel/momentum"),
    Key("update", "optimizer/iterations"),
    Key("metrics", "accuracy"),
}


def test_nothing_is_untold_of_all_that_is_told():
    assert untold(RECORDED, RECORDED) == ({}, set())


@pytest.mark.parametrize("key", sorted(key for key in RECORDED if key.phase != "update"), ids=str)
def test_a_phase_left_out_is_told_with_its_cost(key):
    assert untold(RECORDED, RECORDED - {key}) == ({key.phase: PHASES[key.phase]}, {key})


def test_so_are_slots():
    slot = Key("update", "dense/kernel/momentum")
    assert untold(RECORDED, RECORDED - {slot}) == ({"optimizer slots": SLOTS}, {slot})


def test_of_a_phase_told_in_part_each_tensor_is_named_by_itself():
    recorded = RECORDED | {Key("gradient", "dense/bias")}
    assert untold(recorded, recorded - {Key("gradient", "dense/bias")}) == ({}, set())


def test_what_a_network_of_three_methods_costs(tmp_path):
    network(tmp_path / "net.py")
    told = {item.what: item.why for item in judged(tmp_path / "net.py").not_compared}
    assert {"local lane", "initial weights", "batch", "forward", "gradient"} <= told.keys()
    assert not any("dense" in what for what in told)
    network(tmp_path / "net.py", told="{'loss': loss, 'gradient': {'dense/kernel': gradients[0][0]}}")
    told = {item.what: item.why for item in judged(tmp_path / "net.py").not_compared}
    assert "gradient" not in told
    assert told["gradient dense/bias"] == "the candidate does not provide it"
