"""GitHub's job summary and annotations: what the runner reads, and nothing of it out of a name."""

from __future__ import annotations

import io
import re
from dataclasses import replace

import pytest

from parity.diagnosis.explain import Reading
from parity.report import FORMATS, github, markdown, parse_targets, write_reports
from parity.report.entries import Entry


def told(capsys, *entries: Entry) -> tuple[str, list[str]]:
    """The summary, and the annotations."""
    stream = io.StringIO()
    github.write_entries(entries, stream)
    return stream.getvalue(), capsys.readouterr().err.splitlines()


def test_a_divergence_is_annotated_with_its_place_causes_and_fixes(diverged, capsys):
    _, lines = told(capsys, Entry("case, one: 50 %", diverged))
    assert len(lines) == 2
    assert lines[0].startswith("::error title=DIVERGED%3A case%2C one%3A 50 %25::DIVERGED: there is a difference")
    assert "%0Awhere: step 1, loss, dense/kernel (penalty part)%0A" in lines[0]
    assert lines[1].startswith("::error title=l2.penalty=half%3A case%2C one%3A 50 %25::Factor of the l2 penalty%0A")
    for words in ("reference: lam * sum(W**2)", "candidate: lam / 2 * sum(W**2)", "fix the candidate: penalty = lam"):
        assert words in lines[1]


def test_a_cause_that_is_not_the_only_answer_says_so_in_its_title(diverged, capsys):
    readings = (Reading(("loss.factor=half", "l2.gradient=double"), "let the candidate tell its loss"),)
    cause = replace(diverged.causes[0], among=3, alternatives=("l2.scale=over_batch",), separate_by="run it twice")
    told_of = replace(diverged, diagnosis=replace(diverged.diagnosis, causes=(cause,), readings=readings))
    text, (_, line) = (
        told(capsys, Entry("case", told_of), Entry("same", told_of))[0],
        told(capsys, Entry("case", told_of))[1],
    )
    assert line.startswith("::error title=l2.penalty=half%2C in one of 3 readings%3A case::")
    assert "%0Ain one of 3 readings that this run cannot tell apart%0A" in line
    assert "%0Aor: l2.scale=over_batch: this run cannot tell them apart%0Ato tell them apart: run it twice%0A" in line
    assert line.endswith("%0Aor: loss.factor=half, l2.gradient=double; to tell: let the candidate tell its loss")
    assert "l2.penalty=half (in one of 3 readings)" in text.replace("\\", "")


def test_parity_is_not_annotated(equal, capsys):
    assert told(capsys, Entry("case", equal))[1] == []


def test_the_annotation_is_at_the_candidates_own_line(poisoned, sides, capsys):
    _, (line, *_) = told(capsys, Entry("case", poisoned))
    number = sides.read_text().splitlines().index("class Poisoned(ScratchSide):") + 1
    assert f",file={sides},line={number}::" in line


@pytest.mark.parametrize(
    ("message", "encoded"),
    [
        ("100 %", "100 %25"),
        ("a\nb\r", "a%0Ab%0D"),
        ("%0A", "%250A"),
        ("a: b, c", "a: b, c"),
        ("::error::x", "::error::x"),
    ],
)
def test_messages_are_encoded(message, encoded):
    assert github.command("error", message, title="t") == f"::error title=t::{encoded}"


def test_a_property_cannot_end_the_command_or_begin_another():
    said = github.command("error", "m", title="a::b,file=x\n::error::y")
    assert said == "::error title=a%3A%3Ab%2Cfile=x%0A%3A%3Aerror%3A%3Ay::m"
    assert "\n" not in said


def test_annotations_are_capped_and_say_so(diverged, capsys):
    _, lines = told(capsys, *(Entry(f"case {number}", diverged) for number in range(8)))
    assert len(lines) == github.ANNOTATIONS == 10
    assert lines[-1] == "::error title=keras-parity::and 7 more: see the summary of the job"


def test_a_long_message_is_cut_and_says_so():
    said = github.command("error", "x" * 10_000)
    assert len(said) < 5000
    assert said.endswith("cut short: see the summary of the job")


def test_the_summary_tells_the_answer_before_it_folds_the_rest(diverged, capsys):
    text, _ = told(capsys, Entry("a <b> | *c*", diverged))
    assert text.startswith("## ❌ a \\<b\\> \\| \\*c\\*\n\n**DIVERGED")
    places = [text.index(words) for words in ("First divergence", "Cause: l2.penalty=half", "<details>", "Steps by")]
    assert places == sorted(places)
    assert text.count("<details>") == text.count("</details>") == 1


def test_several_results_have_an_overview_with_what_is_wrong_told_first(equal, diverged, capsys):
    text, _ = told(capsys, Entry("good", equal), Entry("bad", diverged), Entry("meant", diverged, as_expected=True))
    assert "3 comparisons, **1 not as expected**" in text
    rows = re.findall(r"^\| (✅|❌) \| (\w+) \| (\w+) \|", text, re.MULTILINE)
    assert rows == [("❌", "bad", "DIVERGED"), ("✅", "good", "PARITY"), ("✅", "meant", "DIVERGED")]
    assert text.index("## ❌ bad") < text.index("<summary>✅ good")


def test_a_long_summary_is_cut_below_githubs_limit_and_says_so(equal, diverged, capsys):
    text, _ = told(capsys, *(Entry(f"case {number}", diverged) for number in range(400)))
    assert len(text.encode()) < github.SUMMARY_BYTES
    assert re.search(r"and \d+ more, which do not fit here", text)
    assert f"and {400 - markdown._ROWS} more\n" in text


def test_the_summary_is_added_to_what_other_steps_wrote(equal, tmp_path, monkeypatch):
    path = tmp_path / "summary.md"
    path.write_text("of another step\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    write_reports(equal, parse_targets(["github"]))
    write_reports(equal, parse_targets([f"github={path}"]))
    assert path.read_text().startswith("of another step\n")
    assert path.read_text().count("**PARITY") == 2
    assert FORMATS["github"].adds
