"""docs/data.md: every block is an experiment's, and every column of the measures is told in docs/reports.md."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from parity.config import load_experiment
from parity.config.data import Data
from parity.data import load_dataset
from parity.report.tables import frames
from parity.run import diff

DOCS = Path(__file__).parent.parent / "docs"
BLOCKS = re.findall(r"```toml\n(.*?)```", (DOCS / "data.md").read_text(), re.DOTALL)
UNITS = {"npz": 3, "csv": 1, "mnist": 10, "digits": 10, "arrays": 1, "regression": 2}
FOUR = ("absolute", "relative", "ulp", "used")
SHAPE = {"npz": (4, 2), "csv": (2, 2), "mnist": (5, 12), "digits": (1797, 64), "arrays": (4, 1), "regression": (100, 5)}


@pytest.fixture
def folder(tmp_path) -> Path:
    """The files that the page names."""
    np.savez(tmp_path / "examples.npz", inputs=np.eye(4, 2), labels=[0, 1, 2, 0])
    (tmp_path / "table.csv").write_text("rooms,price,year\n3,200,1990\n4,300,2000\n")
    (tmp_path / "mnist").mkdir()
    images = np.arange(60, dtype=np.uint8).reshape(5, 4, 3)
    np.savez(tmp_path / "mnist" / "mnist.npz", x_test=images, y_test=np.arange(5))
    return tmp_path


def experiment(folder: Path, block: str) -> Path:
    source = tomllib.loads(block)["data"]["source"]
    path = folder / "experiment.toml"
    path.write_text(f'loss = "mse"\noptimizer = "sgd"\nlayers = [{{ units = {UNITS[source]} }}]\n{block}')
    return path


@pytest.mark.parametrize("block", BLOCKS, ids=[tomllib.loads(block)["data"]["source"] for block in BLOCKS])
def test_every_block_is_read(folder, block):
    checked = load_experiment(experiment(folder, block))
    found = load_dataset(checked)
    assert found.x.shape == SHAPE[checked.data.source]
    assert found.y.shape == (len(found), UNITS[checked.data.source])


def test_every_source_and_every_setting_is_told():
    text = (DOCS / "data.md").read_text()
    models = Data.__origin__.__args__
    told = {model.model_fields["source"].annotation.__args__[0] for model in models} - {"memory"}  # not for files
    assert all(source in text for source in told)
    assert all(f"`{name}`" in text for name in ("samples", "scale", "one_hot", "batch_size"))


def test_every_measure_is_told(folder):
    text = (DOCS / "reports.md").read_text().partition("## Measures")[2].partition("\n## ")[0]
    told = set(re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE))
    told = {name for names in told for name in re.findall(r"`(\w+)`", names)}
    made = load_experiment(experiment(folder, BLOCKS[-1]), [("steps", 1)])
    columns = set(next(frames(diff(made, reference="scratch"))).columns)
    of_four = {f"{name}_{part}" for name in FOUR for part in ("index", "reference", "candidate")}
    assert of_four <= columns
    assert told == columns - of_four
