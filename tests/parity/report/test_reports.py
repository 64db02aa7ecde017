"""Reports: the contract of the JSON, the columns of the CSV, names that cannot become markup."""

from __future__ import annotations

import io
import json
import math
import os
import re
import stat
from dataclasses import replace
from html import unescape
from threading import Thread

import pytest

from parity.config import validate
from parity.diagnosis.explain import Rejected
from parity.errors import UsageError
from parity.protocol import Key
from parity.report import (
    FORMATS,
    as_csv,
    as_json,
    html,
    junit,
    markdown,
    outline,
    parse_targets,
    terminal,
    write_reports,
)
from parity.result import Result
from tests.parity.report.results import HOSTILE

# DESIGN, "The JSON report, stable keys".
KEYS = {
    *("schema_version", "verdict", "exit_code", "experiment", "reference", "candidate", "precision", "steps_compared"),
    *("tensors_compared", "first_divergence", "causes", "explained", "not_compared", "sensitivity", "environment"),
    "timings",
}
DIVERGENCE_KEYS = {
    *("step", "phase", "layer", "tensor", "index", "reference", "candidate", "difference", "budget", "used", "lane"),
}


def test_a_nan_is_a_word(poisoned):
    first = json.loads(written(as_json, poisoned), parse_constant=refuse)["first_divergence"]
    assert (first["step"], first["tensor"], first["candidate"]) == (2, "dense/output", "nan")
    assert (first["difference"], first["used"]) == ("nan", "inf")


RESULTS = ["equal", "diverged", "boundless", "poisoned", "unexplained", "unjudged", "one_step", "only_trains"]


def written(writer, result) -> str:
    stream = io.StringIO()
    writer.write(result, stream)
    return stream.getvalue()


def refuse(literal: str):
    pytest.fail(f"{literal} is not JSON")


@pytest.mark.parametrize("name", RESULTS)
def test_the_keys_of_the_json_report(name, request):
    result = request.getfixturevalue(name)
    said = json.loads(written(as_json, result), parse_constant=refuse)
    assert said.keys() >= KEYS
    assert said["verdict"] == str(result.verdict)
    assert said["exit_code"] == int(result.exit_code)
    assert said["steps_compared"] == result.steps_compared
    assert said["tensors_compared"] == result.tensors_compared >= 5
    assert said["experiment"]["name"] == HOSTILE
    assert validate(said["experiment"]) == result.experiment
    first = said["first_divergence"]
    assert (first is None) == (result.first_divergence is None)
    assert isinstance(said["explained"], bool)
    assert {run["precision"] for run in said["runs"]} == set(result.experiment.precisions)


def test_the_first_divergence_in_json(diverged):
    first = json.loads(written(as_json, diverged), parse_constant=refuse)["first_divergence"]
    assert first.keys() >= DIVERGENCE_KEYS
    # `lam / 2 * sum w**2` in place of `lam * sum w**2`: half the penalty, seen first in the loss of step 1
    assert (first["step"], first["phase"], first["tensor"], first["part"]) == (1, "loss", "dense/kernel", "penalty")
    assert first["candidate"] / first["reference"] == pytest.approx(0.5)
    assert first["difference"] == pytest.approx(first["reference"] / 2)
    assert first["used"] == pytest.approx(first["difference"] / first["budget"])
    assert (first["lane"], first["index"]) == ("local", [])
    assert (first["kind"], first["note"]) == ("value", "")


CAUSE_KEYS = {
    *("code", "choice", "statement", "reference_formula", "candidate_formula", "fix_reference", "fix_candidate"),
    *("confirmed", "residual_used", "effect", "effect_on", "effect_ratio", "alternatives", "separate_by", "among"),
}


def test_a_cause_in_json(diverged):
    (cause,) = as_json.as_dict(diverged)["causes"]
    assert cause.keys() >= CAUSE_KEYS
    assert (cause["among"], cause["effect"], cause["effect_ratio"]) == (1, pytest.approx(0.5), pytest.approx(0.5))
    doubtful = replace(diverged.diagnosis, causes=(replace(diverged.causes[0], among=3),))
    (cause,) = as_json.as_dict(replace(diverged, diagnosis=doubtful))["causes"]
    assert cause["among"] == 3


def test_what_was_rejected_in_json(unexplained):
    loss, bias = Key("loss", "loss"), Key("update", "dense/bias")
    one = Rejected(("l2.penalty=half",), loss, 2, math.inf, (loss,), (bias,), ("dW += lam * W",))
    result = replace(unexplained, diagnosis=replace(unexplained.diagnosis, causes=(), rejected=(one,)))
    assert json.loads(written(as_json, result), parse_constant=refuse)["rejected"] == [
        {
            "choices": ["l2.penalty=half"],
            "step": 2,
            "tensor": "loss loss",
            "used": "inf",
            "left": ["loss loss"],
            "explains": ["update dense/bias"],
            "fixes": ["dW += lam * W"],
        }
    ]


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_writes_every_result(name, form, request, tmp_path):
    path = tmp_path / "report"
    write_reports(request.getfixturevalue(name), parse_targets([f"{form}={path}"]))
    assert path.read_bytes().strip()
    assert [found.name for found in tmp_path.iterdir()] == ["report"]  # nothing unfinished is left


@pytest.mark.parametrize("name", RESULTS)
def test_the_csv_is_the_ledger(name, request):
    import pandas as pd

    result = request.getfixturevalue(name)
    table = pd.read_csv(io.StringIO(written(as_csv, result)), keep_default_na=False, na_values=["", "nan"])
    assert list(table.columns[:7]) == ["precision", "step", "phase", "layer", "tensor", "part", "lane"]
    assert len(table) == sum(run.ledger.length for run in result.runs)
    assert len(table.drop_duplicates(["precision", "step", "tensor", "phase", "part", "lane"])) == len(table)
    assert table["absolute"].max() == pytest.approx(result.frame["absolute"].max())


@pytest.mark.parametrize("name", RESULTS)
def test_the_parquet_is_the_csv_and_holds_the_facts(name, request, tmp_path):
    pd, pq = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.parquet")
    result = request.getfixturevalue(name)
    write_reports(result, parse_targets([f"parquet={tmp_path / 'p'}", f"csv={tmp_path / 'c'}"]))
    table = pq.read_table(tmp_path / "p")
    said = pd.read_csv(tmp_path / "c", keep_default_na=False, na_values=["", "nan"])
    assert table.column_names == list(said.columns)
    assert table.num_rows == len(said)
    found = table.to_pandas()
    pd.testing.assert_frame_equal(
        found.replace("", None), said.replace("", None).where(said.notna(), None), check_dtype=False
    )
    assert json.loads(table.schema.metadata[b"keras_parity"]) == as_json.as_dict(result)


def nothing(experiment) -> Result:
    """What an interrupt before the first step leaves."""
    return Result(experiment, "scratch", "scratch", runs=(), data_digest="0", interrupted=True)


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_writes_a_result_of_nothing(form, equal, tmp_path):
    write_reports(nothing(equal.experiment), parse_targets([f"{form}={tmp_path / 'report'}"]))
    assert (tmp_path / "report").stat().st_size


def test_a_table_of_nothing_still_has_its_columns(equal, diverged):
    header = written(as_csv, nothing(equal.experiment))
    assert header == written(as_csv, diverged).splitlines()[0] + "\n"


def test_a_missing_package_is_told_before_anything_is_trained(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(UsageError, match=r"needs pyarrow, which is not installed: pip install pyarrow$"):
        parse_targets(["parquet=a"])


def test_a_report_that_cannot_be_written_takes_no_other_with_it(equal, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    targets = parse_targets([f"json={tmp_path / 'a'}", f"csv={gone / 'b'}", f"html={tmp_path / 'c'}"])
    gone.rmdir()
    with pytest.raises(UsageError, match=r"--report csv=.*: cannot be written: No such file or directory"):
        write_reports(equal, targets)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]


def test_a_mistake_in_one_format_takes_no_other_with_it(equal, tmp_path, monkeypatch):
    monkeypatch.setattr(as_csv, "write", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_reports(equal, parse_targets([f"csv={tmp_path / 'a'}", f"json={tmp_path / 'b'}"]))
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_report_through_a_link_replaces_what_it_leads_to(form, equal, tmp_path):
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.write_text("")
    target.chmod(0o640)
    link.symlink_to("folder/target")
    write_reports(equal, parse_targets([f"{form}={link}"]))
    assert link.is_symlink()
    assert target.read_bytes().strip()
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(found.name for found in tmp_path.rglob("*")) == ["folder", "link", "target"]


def test_a_link_to_nothing_leads_to_the_report_and_one_to_itself_to_none(equal, tmp_path):
    new, loop = tmp_path / "new", tmp_path / "loop"
    new.symlink_to("target")
    loop.symlink_to("loop")
    with pytest.raises(UsageError, match=r"--report csv=.*loop: cannot be written: Too many levels of symbolic links"):
        write_reports(equal, parse_targets([f"json={new}", f"csv={loop}"]))
    assert new.is_symlink()
    assert json.loads((tmp_path / "target").read_text())["verdict"] == "PARITY"
    assert loop.is_symlink()


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_report_into_a_named_pipe_is_read_at_its_other_end(form, equal, tmp_path):
    """As a device is: what exists and is no regular file stays what it is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    write_reports(equal, parse_targets([f"{form}={pipe}"]))
    reader.join(10)
    assert read[0].strip()
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.parametrize("form", sorted(FORMATS))
def test_a_read_only_file_is_left_alone(form, equal, tmp_path):
    path = tmp_path / "kept"
    path.write_text("kept")
    targets = parse_targets([f"{form}={path}"])
    path.chmod(0o444)
    with pytest.raises(UsageError, match=rf"--report {form}=.*kept: cannot be written: the file is read-only"):
        write_reports(equal, targets)
    with pytest.raises(UsageError, match="kept cannot be written: the file is read-only"):  # before anything is trained
        parse_targets([f"{form}={path}"])
    assert path.read_text() == "kept"
    assert list(tmp_path.iterdir()) == [path]


def test_the_device_of_standard_output_is_standard_output(equal, capsys):
    write_reports(equal, parse_targets(["json=/dev/stdout"]))
    assert json.loads(capsys.readouterr().out)["verdict"] == "PARITY"


ORDER = {"subject": 0, "divergence": 1, "cause": 2, "steps": 3, "list": 4, "long": 4, "made": 5, "next": 6}


@pytest.mark.parametrize("name", RESULTS)
def test_every_report_tells_the_verdict_first_then_where_then_why(name, request):
    """By the place of each fact's own words in what was written; formats differ in nothing but how they look."""
    result = request.getfixturevalue(name)
    told = list(outline.sections(result))
    ranks = [ORDER[section.kind] for section in told]
    assert ranks == sorted(ranks)
    head = [section for section in told if section.kind in {"divergence", "cause", "steps"}]
    for writer in (terminal, markdown, html, junit):
        text = plain(written(writer, result))
        places = [text.find(plain(label_of(section))) for section in head]
        assert -1 not in places, (writer.__name__, head)
        assert [0 <= text.find(str(result.verdict)) < places[0], places] == [True, sorted(places)]


def label_of(section) -> str:
    """The words that nothing else in a report has."""
    return {"divergence": "First divergence", "steps": "Steps by tensors"}.get(section.kind, section.title)


def plain(text: str) -> str:
    """Without markup, escapes and line breaks."""
    text = re.sub(r"<style>.*?</style>|<title>.*?</title>|<[^>]+>", " ", text, flags=re.DOTALL)
    return re.sub(r"[\s:#*`]+", " ", unescape(text).replace("\\", ""))


def test_names_do_not_become_markup(diverged):
    text = written(markdown, diverged)
    title = text.splitlines()[0]
    assert title.startswith("# a\\|b \\`c\\` \\<script\\>")
    assert "<script>" not in text
    table = [line for line in text.splitlines() if line.startswith("| ")]
    assert len({line.replace("\\|", "").count("|") for line in table if line.startswith("| loss")}) == 1
    assert "DIVERGED" in text
    assert "## First divergence" in text


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a|b", "a\\|b"),
        ("`", "\\`"),
        ("<script>", "\\<script\\>"),
        ("\\", "\\\\"),
        ("a\nb", "a b"),
        ("*_#[]", "\\*\\_\\#\\[\\]"),
        ("plain", "plain"),
    ],
)
def test_escaping(text, escaped):
    assert markdown.escape(text) == escaped


def test_what_people_read_is_written_without_colour_and_says_it_all(diverged):
    text = written(terminal, diverged)
    assert "\x1b" not in text
    for words in ("DIVERGED", "First divergence", "step 1, loss, dense/kernel (penalty part)", "0.5 (candidate"):
        assert words in text


def test_infinities_are_words(boundless):
    text = written(as_json, boundless)
    said = json.loads(text, parse_constant=refuse)
    assert said["verdict"] == "CANNOT_JUDGE"
    assert not any(math.isnan(value) for value in said["timings"].values())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("jsn=a", "did you mean 'json'?"),
        ("json", "expected FORMAT=PATH"),
        ("json=", "expected FORMAT=PATH"),
        ("=a", "expected FORMAT=PATH"),
        ("json=/nowhere/at/all.json", "there is no folder /nowhere/at"),
        ("github", "GITHUB_STEP_SUMMARY, which is not set"),
    ],
)
def test_a_report_that_cannot_be(text, said):
    with pytest.raises(UsageError, match=said.replace("?", r"\?")):
        parse_targets([text])


def test_a_report_over_a_folder_is_refused(equal, tmp_path):
    with pytest.raises(UsageError, match="is a folder; name a file"):
        write_reports(equal, parse_targets([f"json={tmp_path}"]))
    assert list(tmp_path.iterdir()) == []
    assert not list(tmp_path.parent.glob(f".{tmp_path.name}.*"))


def test_a_report_to_standard_output(equal, capsys):
    write_reports(equal, parse_targets(["json=-"]))
    assert json.loads(capsys.readouterr().out)["verdict"] == "PARITY"
