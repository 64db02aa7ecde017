"""Reports: the contract of the JSON, the columns of the CSV, names that cannot become markup."""

from __future__ import annotations

import io
import json
import math

import pytest

from parity.config import validate
from parity.errors import UsageError
from parity.report import FORMATS, as_csv, as_json, markdown, parse_targets, terminal, write_reports
from parity.run import diff

# DESIGN, "The JSON report, stable keys".
KEYS = {
    *("schema_version", "verdict", "exit_code", "experiment", "reference", "candidate", "precision", "steps_compared"),
    *("tensors_compared", "first_divergence", "causes", "explained", "not_compared", "sensitivity", "environment"),
    "timings",
}
DIVERGENCE_KEYS = {
    *("step", "phase", "layer", "tensor", "index", "reference", "candidate", "difference", "budget", "used", "lane"),
}
HOSTILE = "a|b `c` <script>alert(1)</script> *d* _e_ [f](g) # h \\ i\nj"


def run(*, candidate: str = "scratch", **settings):
    table = {
        "name": HOSTILE,
        "data": {"source": "regression", "features": 2, "samples": 8},
        "layers": [{"units": 3, "activation": "tanh", "kernel_regularizer": "l2"}, {"units": 1}],
        "loss": "mse",
        "optimizer": "sgd",
        "batch_size": 4,
        "epochs": 2,
        **settings,
    }
    return diff(validate(table), reference="scratch", candidate=candidate)


@pytest.fixture(scope="module")
def equal():
    return run()


@pytest.fixture(scope="module")
def diverged():
    return run(candidate="scratch[l2.penalty=half]")


@pytest.fixture(scope="module")
def boundless():
    """Both sides run into infinities and NaN."""
    return run(optimizer={"class_name": "SGD", "learning_rate": 1e30}, epochs=8, precision="float64")


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory):
    """One side is not a number at step 2."""
    path = tmp_path_factory.mktemp("side") / "net.py"
    path.write_text(
        "from scratch_net.adapter import ScratchSide\n"
        "class Net(ScratchSide):\n"
        "    def replay(self, reference):\n"
        "        said = super().replay(reference)\n"
        "        if reference.first_step <= 2 < reference.first_step + len(reference):\n"
        "            said['output']['dense'][2 - reference.first_step] = float('nan')\n"
        "        return said\n"
    )
    return run(candidate=f"{path}:Net")


def test_a_nan_is_a_word(poisoned):
    first = json.loads(written(as_json, poisoned), parse_constant=refuse)["first_divergence"]
    assert (first["step"], first["tensor"], first["candidate"]) == (2, "dense/output", "nan")
    assert (first["difference"], first["used"]) == ("nan", "inf")


RESULTS = ["equal", "diverged", "boundless", "poisoned"]


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
    assert said["tensors_compared"] == result.tensors_compared > 10
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


@pytest.mark.parametrize("name", RESULTS)
@pytest.mark.parametrize("form", sorted(FORMATS))
def test_every_format_writes_every_result(name, form, request, tmp_path):
    path = tmp_path / "report"
    write_reports(request.getfixturevalue(name), parse_targets([f"{form}={path}"]))
    assert path.read_text(encoding="utf-8").strip()
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
