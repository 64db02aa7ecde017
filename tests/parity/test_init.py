"""`parity init`, and the tour of the README that follows it: the commands are run, and print what is shown."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

import parity
from parity.cli import main
from parity.config import load_experiment

ROOT = Path(__file__).parents[2]
TOUR = (ROOT / "README.md").read_text().split("\n## A tour\n")[1].split("\n## ")[0]
FIXED = ("return lam / 2 * np.sum(W**2), lam * W", "return lam * np.sum(W**2), 2 * lam * W")


def init(*arguments) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["init", *map(str, arguments)])
    return caught.value.code or 0


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", *shlex.split(command)]
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)


def plain(line: str) -> str:
    """A line without its spacing, and without digits that rounding decides."""
    return re.sub(r"\s+", " ", re.sub(r"≈\S+( %)?|[\d.e+]+ ×", "~", line)).strip()


def test_the_tour_is_what_happens(tmp_path):
    """Every command, every line that is shown, and the change between them, in their order."""
    folder, codes = tmp_path, []
    for language, block in re.findall(r"```(text|diff)\n(.*?)```", TOUR, re.DOTALL):
        lines = block.splitlines()
        if language == "diff":
            old, new = (line[1:] for line in lines)
            text = (folder / "mynet.py").read_text()
            assert text.count(old) == 1
            (folder / "mynet.py").write_text(text.replace(old, new))
            continue
        for command in (line[2:] for line in lines if line.startswith("$ ")):
            if command.startswith("cd "):
                folder = folder / command[3:]
                continue
            done = run(command, folder)
            codes.append(done.returncode)
        printed = {plain(line) for line in done.stdout.splitlines()}
        shown = {plain(line) for line in lines if not line.startswith("$ ")} - {"..."}
        assert shown <= printed, shown - printed
    assert codes == [0, 1, 0]


def test_the_next_commands_are_those_that_it_prints(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert init("my net") == 0
    said = capsys.readouterr().out
    assert "  cd 'my net'\n  parity diff experiment.toml --candidate mynet.py:MyNet\n" in said
    assert all(str(Path("my net") / name) in said for name in ("experiment.toml", "mynet.py"))


def test_the_network_differs_in_one_convention_and_in_nothing_else(tmp_path, monkeypatch):
    assert init(tmp_path) == 0
    monkeypatch.chdir(tmp_path)
    wrong = parity.diff("experiment.toml", candidate="mynet.py:MyNet", reference="scratch")
    assert [str(cause) for cause in wrong.causes] == ["l2.penalty=half"]
    network = tmp_path / "mynet.py"
    network.write_text(network.read_text().replace(*FIXED))
    right = parity.diff("experiment.toml", candidate="mynet.py:MyNet", reference="scratch")
    assert right.verdict is parity.Verdict.PARITY


@pytest.mark.parametrize("there", ["experiment.toml", "mynet.py"])
def test_nothing_is_overwritten(tmp_path, capsys, there):
    (tmp_path / there).write_text("mine")
    assert init(tmp_path) == 2
    assert f"{there} is there already and is not overwritten" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == [there]
    assert (tmp_path / there).read_text() == "mine"


def test_a_file_where_the_folder_would_be(tmp_path, capsys):
    (tmp_path / "mine").write_text("mine")
    assert init(tmp_path / "mine") == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_link_that_leads_nowhere_is_there_already(tmp_path, capsys):
    (tmp_path / "mynet.py").symlink_to(tmp_path / "nowhere")
    assert init(tmp_path) == 2
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "experiment.toml").exists()


# From a saved model ------------------------------------------------------------------------------------------------

LOSSES = {
    "mse": ("linear", 3, "regression"),
    "categorical_crossentropy": ("softmax", 3, "classification"),
    "sparse_categorical_crossentropy": ("softmax", 3, "classification"),
    "binary_crossentropy": ("sigmoid", 1, "classification"),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_the_experiment_of_a_model_runs_as_it_is(keras, tmp_path, monkeypatch, loss):
    activation, units, source = LOSSES[loss]
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((4, 2)),
            keras.layers.Flatten(),
            keras.layers.Dense(5, "tanh", kernel_regularizer=keras.regularizers.L1L2(0.01, 0.02), name="low"),
            keras.layers.Dense(units, activation=activation, use_bias=False, name="top"),
        ]
    )
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True), loss, metrics=["accuracy"])
    model.save(tmp_path / "model.keras")
    assert init(tmp_path / "made", "--from", tmp_path / "model.keras") == 0
    experiment = load_experiment(tmp_path / "made" / "experiment.toml")
    assert experiment.data.source == source
    assert (experiment.optimizer.learning_rate, experiment.optimizer.nesterov) == (0.1, True)
    assert (experiment.layers[0].kernel_regularizer.l1, experiment.layers[0].kernel_regularizer.l2) == (0.01, 0.02)
    with np.load(tmp_path / "made" / "weights.npz") as weights:
        assert sorted(weights) == ["low/bias", "low/kernel", "top/kernel"]
        np.testing.assert_array_equal(weights["top/kernel"], model.get_weights()[2])
    given = {"experiment": tmp_path / "made" / "experiment.toml", "steps": 3, "reference": "scratch"}
    assert parity.diff(**given).verdict is parity.Verdict.PARITY
    crash = parity.diff(**given, candidate=f"{tmp_path}/made/mynet.py:MyNet").crash
    assert crash.message.startswith(f"{tmp_path}/made/mynet.py:MyNet raised NotImplementedError in step() at step 1")
    frame = (tmp_path / "made" / "mynet.py").read_text()
    assert "            top/kernel  (5, 3)\n" in frame or "            top/kernel  (5, 1)\n" in frame


def test_what_is_left_out_of_a_model_is_said_in_the_file_and_on_the_way(keras, tmp_path, capsys):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    model.compile("adam", "mse", metrics=["mae"])
    model.fit(np.ones((4, 3)), np.ones(4), verbose=0)
    model.save(tmp_path / "model.keras")
    hostile = 'a\nname = 3 {{ 7 * 7 }} " é\x7f\u2028'
    with zipfile.ZipFile(tmp_path / "model.keras") as saved, zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
        config = json.loads(saved.read("config.json"))
        config["config"]["name"] = hostile
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("model.weights.h5", saved.read("model.weights.h5"))
    assert init(tmp_path / "made", "--from", tmp_path / "odd.keras") == 0
    said, text = capsys.readouterr().out, (tmp_path / "made" / "experiment.toml").read_text()
    assert "left out: metric mae" in said
    assert "# Left out: metric mae" in text
    assert f"wrote {tmp_path / 'made' / 'optimizer.npz'}: what its optimizer remembers" in said
    assert 'initial_state = "optimizer.npz"   # what the optimizer remembers of the 1 step it has taken' in text
    assert load_experiment(tmp_path / "made" / "experiment.toml").name == hostile
    compile((tmp_path / "made" / "mynet.py").read_text(), "mynet.py", "exec")


def test_a_model_that_an_experiment_cannot_say_writes_nothing(keras, tmp_path, capsys):
    model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(2, 3, name="pictures")])
    model.compile("sgd", "mse")
    model.save(tmp_path / "model.keras")
    assert init(tmp_path / "made", "--from", tmp_path / "model.keras") == 2
    said = capsys.readouterr().err
    assert "layer 'pictures' (Conv2D)" in said
    assert "parity.diff(model, x, y, candidate=MyNet)" in said
    assert not (tmp_path / "made").exists()
