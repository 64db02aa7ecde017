"""JUnit XML as CI systems read it: every divergence is red, nothing unjudged is green, no name breaks the document."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import pytest
from junitparser import Error, Failure, JUnitXml, Skipped

from parity.report import junit
from parity.report.entries import Entry
from tests.parity.report.test_reports import RESULTS


def read(*entries: Entry) -> JUnitXml:
    stream = io.StringIO()
    junit.write_entries(entries, stream)
    return JUnitXml.fromstring(stream.getvalue().encode())


def cases(document: JUnitXml) -> dict[str, list[object]]:
    return {case.name: list(case.result) for suite in document for case in suite}


@pytest.mark.parametrize("name", RESULTS)
def test_the_counts_are_those_of_the_cases(name, request):
    document = read(Entry(name, request.getfixturevalue(name)))
    found = cases(document)
    said = [sum(isinstance(one, kind) for results in found.values() for one in results) for kind in (Failure, Error)]
    assert (document.tests, document.failures, document.errors) == (len(found), *said)
    (suite,) = document
    assert (suite.tests, suite.failures, suite.errors) == (len(found), *said)
    assert sum(case.find("skipped") is not None for case in suite._elem) == suite.skipped


def test_parity_is_green_with_a_case_for_each_group_of_tensors(equal):
    found = cases(read(Entry("equal", equal)))
    assert [name for name, results in found.items() if results] == []
    groups = ["batch", "forward dense", "forward dense_1", "loss", "loss dense", "gradient dense", "update dense_1"]
    assert {f"{run.precision} {group}" for run in equal.runs for group in groups} <= found.keys()
    assert next(iter(found)) == "verdict"


def test_a_divergence_is_red_where_it_is_and_says_why(diverged):
    found = cases(read(Entry("case", diverged)))
    red = {name for name, results in found.items() if any(isinstance(one, Failure) for one in results)}
    assert {"verdict", "float64 loss dense", "float64 loss", "float64 gradient dense"} <= red
    assert {"float64 forward dense", "float64 update dense", "float64 gradient dense_1"} & red == set()
    (failure,) = found["verdict"]
    assert failure.message == "DIVERGED at step 1, loss, dense/kernel (penalty part)"
    told = ["First divergence", "0.5 (candidate / reference)", "Cause: l2.penalty=half", "lam / 2 * sum(W**2)"]
    told += ["fix the reference: kernel_regularizer=keras.regularizers.L2(lam / 2)", "Steps by tensors"]
    places = [failure.text.find(words) for words in told]
    assert -1 not in places
    assert places == sorted(places)
    (first,) = found["float64 loss dense"]
    assert "First divergence" in first.text


def test_what_cannot_be_judged_is_an_error_and_never_skipped_alone(unjudged, boundless):
    for result in (unjudged, boundless):
        (error,) = cases(read(Entry("case", result)))["verdict"]
        assert isinstance(error, Error)
        assert error.type == "CANNOT_JUDGE"


def test_a_group_that_was_only_measured_says_so(unjudged):
    found = cases(read(Entry("case", unjudged)))
    assert found["float64 batch"] == []  # held against zero
    (skipped,) = found["float64 gradient dense"]
    assert isinstance(skipped, Skipped)
    assert skipped.message == "measured, not judged: not held against a budget"


@pytest.mark.parametrize(("expected", "red"), [(True, False), (False, True), (None, True)])
def test_what_was_expected_to_diverge_is_green(diverged, expected, red):
    document = read(Entry("case", diverged, expected, note="expected DIVERGED"))
    assert bool(document.failures) is red


def test_parity_that_was_not_expected_is_red(equal):
    (failure,) = cases(read(Entry("case", equal, as_expected=False, note="the declared difference vanished")))[
        "verdict"
    ]
    assert isinstance(failure, Failure)
    assert "the declared difference vanished" in failure.message


def test_several_results_are_several_suites(equal, diverged):
    document = read(Entry("one", equal), Entry("two", diverged))
    assert [suite.name for suite in document] == ["one", "two"]
    assert document.tests == sum(suite.tests for suite in document)
    assert document.failures == sum(suite.failures for suite in document) > 0


@pytest.mark.parametrize("name", ["\x00\x08", "]]></failure><x>", "a & \"b\" <c> 'd'", "\ud800", "é → 日本"])
def test_no_name_breaks_the_document(equal, name):
    stream = io.StringIO()
    junit.write_entries([Entry(name, equal, as_expected=False, note=name)], stream)
    root = ET.fromstring(stream.getvalue())  # noqa: S314  # our own
    allowed = "".join(character if character.isprintable() else "�" for character in name)
    assert root[0].get("name") == allowed
    assert {element.tag for element in root.iter()} <= {
        *("testsuites", "testsuite", "properties", "property", "testcase", "failure", "error", "skipped", "system-out"),
    }
