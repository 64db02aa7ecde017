"""The fuzzer, a short run of it; `python -m parity.fuzz traces --runs 2000` is the long one."""

from __future__ import annotations

import json
import os

import pytest

from parity.fuzz import runner
from parity.fuzz.experiments import TABLE, TOML, Experiments
from parity.fuzz.kills import kill_one
from parity.fuzz.runner import call, judged
from parity.fuzz.traces import MUTATIONS, Traces

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="limits, fifos and kill -9 are POSIX'"),
    pytest.mark.filterwarnings("ignore"),  # the fuzzer looks for them itself
]


@pytest.mark.parametrize("kind", [Traces, Experiments])
def test_no_mutation_does_harm(kind, tmp_path):
    fuzzed = kind(tmp_path)
    outcomes = [fuzzed.run(7, number) for number in range(60)]
    assert not [str(outcome) for outcome in outcomes if outcome.wrong]
    assert {"usage"} < {outcome.ended for outcome in outcomes}  # and some are harmless


def test_what_is_mutated_is_sound(tmp_path):
    for name, text in (("one.toml", TOML), ("other.json", json.dumps(TABLE))):
        (tmp_path / name).write_text(text)
        code, out, _ = call(
            ["diff", str(tmp_path / name), "--reference", "scratch", "--steps", "2", "--no-explain", "-q"]
        )
        assert (code, out[:6]) == (0, "PARITY")


def test_every_mutation_of_a_trace_alone(tmp_path, monkeypatch):
    for mutation in dict.fromkeys(MUTATIONS):
        monkeypatch.setattr("parity.fuzz.traces.MUTATIONS", (mutation,))
        folder = tmp_path / mutation.__name__
        folder.mkdir()
        fuzzed = Traces(folder)
        for number in range(4):
            assert not (outcome := fuzzed.run(0, number)).wrong, str(outcome)


def test_a_run_is_drawn_from_its_number(tmp_path):
    one, other = Experiments(tmp_path), Experiments(tmp_path)
    assert one.run(1, 5) == other.run(1, 5) != one.run(1, 6)


def test_killed_recordings_are_whole_and_gone_on_with(tmp_path):
    for number in range(4):
        assert not (outcome := kill_one(tmp_path, 1, number)).wrong, str(outcome)


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("raise KeyError('x')", "a traceback"),
        ("while True: pass", "not finished"),
        ("import os; os.read(os.pipe()[0], 1)", "not finished"),
        ("bytearray(3 * 2**30)", "no verdict"),
        ("import warnings; warnings.warn('x')", "a warning"),
        ("print('PARITY')", ""),
        ("print('parity')", "no verdict"),
    ],
)
def test_what_goes_wrong_is_seen(command, wrong, monkeypatch):
    monkeypatch.setattr(runner, "SECONDS", 1)
    monkeypatch.setattr(runner, "WAITING", 3 if "os.read" in command else 60)

    def body(cli, arguments, name):
        import click

        return original(click.command()(lambda: exec(command)), [], name)  # noqa: S102  # of the table above

    original = runner.cli.run
    monkeypatch.setattr(runner.cli, "run", body)
    assert judged("x", *call([])).wrong.startswith(wrong)
    assert bool(judged("x", *call([])).wrong) is bool(wrong)
