"""Names that are longer than a file's can be: everywhere a usage error, never a traceback."""

from __future__ import annotations

import json

import pytest

from parity.cli import main

LONG = "x" * 300
EXPERIMENT = {
    "data": {"source": "regression", "features": 2},
    "layers": [{"units": 1}],
    "loss": "mse",
    "optimizer": "sgd",
    "steps": 2,
}


@pytest.mark.parametrize(
    "arguments",
    [
        ["diff", LONG],
        ["diff", "experiment.json", "--reference", "scratch", "--candidate", LONG],
        ["diff", "experiment.json", "--reference", "scratch", "--candidate", f"{LONG}.py:Net"],
        ["diff", "experiment.json", "--reference", "scratch", "--python", LONG],
        ["diff", "experiment.json", "--reference", "scratch", "-q", "--report", f"json={LONG}.json"],
        ["diff", "experiment.json", "--reference", "scratch", "-q", "--report", f"json={LONG}/x.json"],
        ["diff", "experiment.json", "--reference", "scratch", "--set", f"initial_weights={LONG}"],
        ["diff", "experiment.json", "--reference", "scratch", "--set", f"data={{source='npz', path='{LONG}'}}"],
        ["record", "experiment.json", "--side", "scratch", "--out", LONG],
        ["record", "experiment.json", "--side", "scratch", "--out", "new", "--start-from", LONG],
        ["compare", LONG, LONG],
        ["gate", LONG],
        ["init", LONG],
        ["init", "new", "--from", LONG],
    ],
    ids=lambda arguments: " ".join(arguments).replace(LONG, "LONG"),
)
def test_a_name_that_is_too_long(arguments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.json").write_text(json.dumps(EXPERIMENT))
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    said = capsys.readouterr().err
    assert caught.value.code == 2, said
    assert "Traceback" not in said


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "experiment.json").write_text(json.dumps(EXPERIMENT))
    (tmp_path / "file").write_text("")
    with pytest.raises(SystemExit) as caught:
        main(["record", "experiment.json", "--side", "scratch", "--out", "file/trace", "-q"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.splitlines() == ["parity: file/trace/float64: cannot be made: Not a directory"]
