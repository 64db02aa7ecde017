"""Results of every kind, made once."""

from __future__ import annotations

import pytest

from tests.parity.report.results import SIDES, run


@pytest.fixture(scope="package")
def sides(tmp_path_factory):
    path = tmp_path_factory.mktemp("sides") / "net.py"
    path.write_text(SIDES)
    return path


@pytest.fixture(scope="package")
def equal():
    return run()


@pytest.fixture(scope="package")
def diverged():
    return run(candidate="scratch[l2.penalty=half]")


@pytest.fixture(scope="package")
def boundless():
    """Both sides run into infinities and NaN."""
    return run(optimizer={"class_name": "SGD", "learning_rate": 1e30}, epochs=8, precision="float64")


@pytest.fixture(scope="package")
def poisoned(sides):
    """One side is not a number at step 2."""
    return run(candidate=f"{sides}:Poisoned")


@pytest.fixture(scope="package")
def unexplained(sides):
    """A difference that is in no catalogue."""
    return run(candidate=f"{sides}:Odd")


@pytest.fixture(scope="package")
def unjudged():
    """Nothing was held against a budget."""
    return run(lanes=("free",), command="parity diff experiment.toml --lane free")


@pytest.fixture(scope="package")
def one_step():
    return run(candidate="scratch[l2.penalty=half]", epochs=None, steps=1)


@pytest.fixture(scope="package")
def only_trains(sides):
    """Of the candidate nothing but its own run is known."""
    return run(candidate=f"{sides}:OnlyTrains", envelope=True)
