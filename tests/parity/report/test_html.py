"""The page as text: what it draws is what was measured, and no name in it becomes markup."""

from __future__ import annotations

import io
import json
import math
import re
import shlex
import sys
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest

from parity.measure import MEASURES
from parity.protocol import Key
from parity.report import html
from parity.report.html import residual
from parity.report.html.residual import Layout, layout_of, residuals
from parity.report.html.series import NOT_EQUAL, series
from tests.parity.report.results import ATTACK, digits, run
from tests.parity.report.test_reports import RESULTS


def text(result) -> str:
    stream = io.StringIO()
    html.write(result, stream)
    return stream.getvalue()


class Elements(HTMLParser):
    """What a browser would make of the text: elements with their attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, dict(attrs)))

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.found if name == tag]


@pytest.fixture(scope="module")
def half():
    return digits(candidate="scratch[l2.penalty=half]")


@pytest.mark.parametrize("name", RESULTS)
def test_a_page_is_one_file_with_a_language_a_title_and_headings(name, request):
    page = text(request.getfixturevalue(name))
    elements = Elements(page)
    assert elements.all("html") == [{"lang": "en"}]
    assert elements.all("link") == elements.all("img") == elements.all("iframe") == []
    assert all("src" not in script for script in elements.all("script"))
    assert next(tag for tag, _ in elements.found if tag in {"h1", "h2"}) == "h1"
    assert len(elements.all("h1")) == 1
    assert all(header.get("scope") in {"col", "row"} for header in elements.all("th"))
    assert all(re.match("[a-z]", str(a["href"])) is None for a in elements.all("a"))  # to places on the page alone
    assert "default-src 'none'" in unescape(page)


def test_a_hostile_name_is_text_wherever_it_comes_from(sides, tmp_path):
    folder = tmp_path / "<img src=x onerror=hit()>"
    folder.mkdir()
    path = folder / "net.py"
    path.write_text(sides.read_text())
    result = run(
        name=ATTACK, reference=f"{path}:Hostile", candidate=f"{path}:Hostile", command=shlex.join(["parity", ATTACK])
    )
    page = text(result)
    plain = text(run(candidate="scratch"))
    assert len(Elements(page).all("script")) == len(Elements(plain).all("script"))
    assert Elements(page).all("img") == []
    assert "&lt;/script&gt;&lt;script&gt;window.hit=1" in page
    assert "dense/" + ATTACK in [key["tensor"] for key in json.loads(data_block(page))["runs"][0]["keys"]]


def data_block(page: str) -> str:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found[1]


def test_the_heat_map_is_the_ledger(diverged):
    for one in diverged.runs:
        drawn, frame = series(one), one.ledger.frame()
        local = frame[frame["lane"] == "local"]
        assert (drawn["lanes"], drawn["width"], drawn["first"], drawn["last"]) == (["local"], 1, 0, one.judge.steps)
        for entry in local.itertuples():
            row = drawn["keys"].index({"phase": entry.phase, "tensor": entry.tensor, "part": entry.part})
            shown = drawn["used"][row][entry.step]
            if math.isnan(entry.used):
                assert shown is None
            elif math.isinf(entry.used):
                assert shown == NOT_EQUAL
            else:
                assert shown == pytest.approx(entry.used, rel=5e-3)
        assert drawn["divergence"] == {
            "row": drawn["keys"].index({"phase": "loss", "tensor": "dense/kernel", "part": "penalty"}),
            "step": 1,
            "place": "loss, dense/kernel (penalty part)",
        }


def test_a_ledger_of_some_steps_only_is_drawn():
    """What is held against a recording is so at the steps that were recorded."""
    result = run(precision="float64")
    (one,) = result.runs
    one.ledger.append(Key("loss", "loss"), "local", 90, _row(used=2.0))
    drawn = series(one)
    row = drawn["keys"].index({"phase": "loss", "tensor": "loss", "part": "whole"})
    assert (drawn["last"], drawn["used"][row][90], drawn["used"][row][89]) == (90, 2.0, None)


def test_what_an_operation_adds_is_shown_rather_than_what_it_inherits():
    """With an envelope both lanes are judged, and in the free lane all is beyond soon after the first difference."""
    result = run(candidate="scratch[l2.penalty=half]", envelope=True, precision="float64")
    drawn = series(result.runs[0])
    assert drawn["lanes"] == ["local"]
    rows = {(drawn["keys"][mark["row"]]["phase"], drawn["keys"][mark["row"]]["tensor"]) for mark in drawn["beyond"]}
    assert rows == {("loss", "dense/kernel"), ("loss", "loss"), ("gradient", "dense/kernel")}


def test_both_sides_losses_with_their_parts(diverged):
    (whole, penalty, data) = series(diverged.runs[0])["losses"]
    assert [part["part"] for part in (whole, penalty, data)] == ["whole", "penalty", "data"]
    for side in ("reference", "candidate"):
        assert whole[side][0] is None  # before the first step there is none
        sums = np.add(penalty[side][1:], data[side][1:])
        np.testing.assert_allclose(whole[side][1:], sums, rtol=1e-8)
    assert penalty["candidate"][1] == pytest.approx(penalty["reference"][1] / 2)


def test_a_long_run_has_columns_of_several_steps_and_hides_nothing_beyond_its_budget(monkeypatch):
    """Of 40 steps with one beyond its budget, in 7 columns at most, one is bright."""
    result = run(epochs=None, steps=40, precision="float64")
    (one,) = result.runs
    for step, used in ((37, 12.5), (38, 0.5)):
        one.ledger.append(Key("loss", "loss"), "local", step, _row(used=used))
    monkeypatch.setattr(sys.modules[series.__module__], "CELLS", 7 * len({key for _, key in one.summaries}))
    drawn = series(one)
    assert drawn["width"] == math.ceil(41 / 7)
    assert {len(row) for row in drawn["used"]} == {len(drawn["losses"][0]["reference"])} == {7}
    bright = [(row, at) for row, used in enumerate(drawn["used"]) for at, value in enumerate(used) if (value or 0) > 1]
    row = drawn["keys"].index({"phase": "loss", "tensor": "loss", "part": "whole"})
    assert bright == [(row, 37 // drawn["width"])]
    assert drawn["beyond"] == [{"row": row, "column": 37 // drawn["width"]}]


def _row(*, used: float):
    row = np.zeros(1, MEASURES)
    row["used"]["value"], row["size"] = used, 1
    return row


def test_the_drift_is_drawn_with_the_envelope_it_was_held_against(only_trains, equal):
    for one in only_trains.runs:
        drawn = series(one)
        assert drawn["lanes"] == ["free"]
        lines = {line["name"]: line for line in drawn["drift"]}
        assert all(line["limit"] for line in lines.values())
        for line in lines.values():
            pairs = [(d, top) for d, top in zip(line["distance"], line["limit"], strict=True) if top is not None]
            assert pairs
            assert all(top > 0 for _, top in pairs)
    assert all(line["limit"] is None for line in series(equal.runs[0])["drift"])


def test_the_first_layer_on_images_is_drawn_as_images(half):
    found = residuals(half)
    assert [one["name"] for one in found] == ["gradient, dense/kernel (penalty part)", "gradient, dense/kernel"]
    assert found[0]["image"] == [8, 8, 8]
    assert [panel["title"] for panel in found[0]["panels"]] == [
        "candidate − reference",
        "as l2.penalty makes it",
        "left over",
    ]
    residual_, made, left = (np.array(panel["z"], float) for panel in found[0]["panels"])
    assert residual_.shape == (4 * 9 - 1, 8 * 9 - 1)
    np.testing.assert_array_equal(residual_, made)
    assert np.nanmax(np.abs(left)) == 0
    assert np.nanmax(np.abs(residual_)) == pytest.approx(found[0]["largest"], rel=1e-2)
    assert found[0]["largest"] > 0
    evidence = half.runs[0].judge.evidence
    key = Key("gradient", "dense/kernel", "penalty")
    exact = (evidence.said[key] - evidence.records.arrays[key])[0]
    assert residual_[2, 9 + 5] == pytest.approx(exact[2 * 8 + 5, 1], rel=5e-3)  # unit 1, row 2, column 5


def test_the_same_inputs_are_no_images_where_the_source_is_none():
    result = run(
        data={"source": "regression", "features": 64, "samples": 8},
        candidate="scratch[l2.penalty=half]",
        precision="float64",
    )
    assert [one["image"] for one in residuals(result)] == [None] * len(residuals(result))
    assert residuals(result)[0]["shape"] == [64, 3]


def test_no_cause_no_picture_of_it(unexplained):
    (found,) = residuals(unexplained)
    assert found["name"] == "gradient, dense/kernel"
    assert [panel["title"] for panel in found["panels"]] == ["candidate − reference"]


def test_of_a_side_that_only_trains_its_own_run_is_shown(sides):
    result = run(candidate="scratch[l2.penalty=half]", lanes=("free",), tolerance=[{"rtol": 1e-6, "atol": 0.0}])
    found = residuals(result)
    assert found
    assert {one["lane"] for one in found} == {"free"}


@pytest.mark.parametrize("name", ["equal", "boundless", "unjudged", "poisoned"])
def test_nothing_to_show_is_not_shown(name, request):
    assert residuals(request.getfixturevalue(name)) == []


@pytest.mark.parametrize("shape", [(3, 4), (1, 50_000), (50_000, 1), (784, 512), (20_000, 3), (200, 200)])
def test_what_is_shown_of_a_matrix_fits_and_holds_its_largest_element(shape):
    matrix = np.random.default_rng(1).normal(size=shape)
    layout = layout_of(matrix)
    shown = layout.lay(matrix)
    assert shown.size <= residual.CELLS
    assert np.abs(shown).max() == np.abs(matrix).max()
    assert matrix.size > residual.CELLS or shown.shape == shape


def test_the_units_that_differ_most_are_shown_as_images():
    matrix = np.random.default_rng(1).normal(size=(784, 512))
    layout = layout_of(matrix, (28, 28))
    assert isinstance(layout, Layout)
    assert len(layout.columns) == residual.CELLS // 784
    assert np.nanmax(np.abs(layout.lay(matrix))) == np.abs(matrix).max()
    first = layout.lay(matrix)[:28, :28]
    np.testing.assert_array_equal(first, matrix[:, layout.columns[0]].reshape(28, 28))
