"""The page that leads to every result of a suite."""

from __future__ import annotations

import re

from parity.report.entries import Entry
from parity.report.suite import write_suite


def test_every_result_has_a_page_of_its_own_and_what_is_wrong_comes_first(equal, diverged, unjudged, tmp_path):
    entries = [
        Entry("good", equal),
        Entry("index", equal),
        Entry("meant", diverged, as_expected=True, note="expected DIVERGED"),
        Entry("Same name", diverged),
        Entry("same/name", unjudged),
    ]
    index = write_suite(iter(entries), tmp_path / "made", "Gate").read_text()
    names = ["good.html", "index-2.html", "index.html", "meant.html", "same-name-2.html", "same-name.html"]
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == names
    links = re.findall(r'<a href="([^"]*)">([^<]*)</a>', index)
    assert [page for page, _ in links[:2]] == ["same-name.html", "same-name-2.html"]
    assert sorted(page for page, _ in links) == [name for name in names if name != "index.html"]
    assert "2 of 5" in index
    assert "expected DIVERGED" in index
    assert "l2.penalty=half" in index
    assert '<a href="index.html">All results</a>' in (tmp_path / "made" / "good.html").read_text()


def test_all_as_expected_and_nothing_at_all_are_told_apart(equal, tmp_path):
    assert "All 1" in write_suite([Entry("good", equal)], tmp_path / "one").read_text()
    empty = write_suite([], tmp_path / "none").read_text()
    assert "no result was made" in empty
    assert "as expected</span>" not in empty


def test_no_name_leaves_the_folder_or_becomes_markup(equal, tmp_path):
    name = "../../</script><img src=x onerror=alert(1)>"
    index = write_suite([Entry(name, equal, note=name)], tmp_path / "made").read_text()
    assert {path.name for path in (tmp_path / "made").iterdir()} == {
        "index.html",
        "script-img-src-x-onerror-alert-1.html",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["made"]
    assert "<img" not in index
