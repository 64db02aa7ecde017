"""`parity selftest`: what it runs, what it prints, and how it ends."""

from __future__ import annotations

import pytest

from parity import selftest
from parity.cli import main
from parity.selftest import LEVELS, Outside, Trial, all_choices

HALF = frozenset({("l2.penalty", "half")})
NONE = frozenset()


def call(*arguments: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["selftest", *arguments])
    return caught.value.code or 0


@pytest.fixture
def asked(monkeypatch):
    """Trials that take no time: every one right, and a list of what was asked for."""
    asked = []

    def run_trials(runs, size, level, seed, jobs):
        asked.append((runs, size, level, seed, jobs))
        planted = HALF if size else NONE
        return iter([Trial((seed,), planted, level, detected=bool(size), named=(planted,) if size else ())] * runs)

    def run_outside(runs, level, seed, jobs):
        asked.append((runs, None, level, seed, jobs))
        place = ("gradient", "dense")
        return iter([Outside((seed,), NONE, level, detected=True, defect="noise", place=place, seen=place)] * runs)

    monkeypatch.setattr(selftest, "run_trials", run_trials)
    monkeypatch.setattr(selftest, "run_outside", run_outside)
    return asked


def test_everything_is_run_if_nothing_is_named(asked, capsys):
    assert call("--runs", "3", "--seed", "4", "--jobs", "2") == 0
    runs = {1: len(all_choices())}  # each at least once
    assert asked == [(runs.get(size, 3), size, level, 4, 2) for size in (0, 1, 2, 3, 4, 5, None) for level in LEVELS]
    said = capsys.readouterr().out
    assert "seed 4" in said
    assert "outside the catalogue" in said
    assert "below the threshold" not in said


@pytest.mark.parametrize(
    ("arguments", "sizes", "levels"),
    [
        (["--planted", "2"], [2], LEVELS),
        (["--planted", "7", "--planted", "1"], [7, 1], LEVELS),
        (["--outside"], [None], LEVELS),
        (["--outside", "--planted", "0"], [0, None], LEVELS),
        (["--planted", "1", "--level", "weights"], [1], ["weights"]),
        (
            ["--outside", "--level", "loss and weights", "--level", "gradients"],
            [None],
            ["loss and weights", "gradients"],
        ),
    ],
)
def test_what_is_named_is_run(asked, arguments, sizes, levels):
    assert call("--runs", "500", "--jobs", "1", *arguments) == 0  # more than there are choices
    assert asked == [(500, size, level, 0, 1) for size in sizes for level in levels]


@pytest.mark.parametrize(
    ("trial", "arguments", "said"),
    [
        (Trial((0,), HALF, "weights"), ["--planted", "1"], "0.0% (0 of 1) detected, 100.0% needed"),
        (Trial((0,), HALF, "weights", detected=True), ["--planted", "1"], "0.0% (0 of 1) named right, 97.0% needed"),
        (Trial((0,), NONE, "weights", detected=True), ["--planted", "0"], "1 false alarms"),
        (Trial((0,), HALF, "weights", shows=False), ["--planted", "1"], "nothing was put to the test"),
    ],
)
def test_below_a_threshold_it_ends_1(monkeypatch, capsys, trial, arguments, said):
    monkeypatch.setattr(selftest, "run_trials", lambda *_: iter([trial]))
    assert call("--runs", "1", "--level", "weights", *arguments) == 1
    assert said in capsys.readouterr().out


def test_a_name_for_what_has_none_ends_1_and_is_shown(monkeypatch, capsys):
    named = Outside((7,), NONE, "weights", detected=True, named=(HALF,), defect="noise", place=("gradient", "dense"))
    monkeypatch.setattr(selftest, "run_outside", lambda *_: iter([named]))
    assert call("--runs", "1", "--level", "weights", "--outside", "-v") == 1
    said = capsys.readouterr().out
    assert "1 named, which nothing in the catalogue explains" in said
    assert "(7,) planted noise; said l2.penalty=half" in said
    assert "begins in gradient dense" in said


def test_verbose_shows_what_was_not_named_right(monkeypatch, capsys):
    wrong = Trial((3, 1), HALF, "weights", detected=True, named=(frozenset({("loss.batch", "sum")}),))
    hidden = Trial((3, 2), HALF, "weights", shows=False)
    right = Trial((3, 3), HALF, "weights", detected=True, named=(HALF,))
    monkeypatch.setattr(selftest, "run_trials", lambda *_: iter([wrong, hidden, right]))
    assert call("--runs", "3", "--planted", "1", "--level", "weights", "-v") == 1
    said = capsys.readouterr().out
    assert "(3, 1) planted l2.penalty=half; said loss.batch=sum, WRONG (" in said
    assert "2 of 3" in said
    assert "1 of 2 named wrong: with 95 % confidence below 97.5%" in said
    assert "(3, 2) l2.penalty=half: no experiment found" in said
    assert "(3, 3)" not in said


def test_verbose_shows_a_trial_as_soon_as_it_has_ended(monkeypatch, capsys):
    """What was found is not lost with a long run that is interrupted."""

    def interrupted(*_):
        yield Trial((3, 1), HALF, "weights", detected=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(selftest, "run_trials", interrupted)
    assert call("--runs", "2", "--planted", "1", "--level", "weights", "-v") == 130
    assert "(3, 1) planted l2.penalty=half; said unexplained" in capsys.readouterr().out


@pytest.mark.parametrize("ended", [0, 2])
def test_what_has_ended_is_counted_when_it_is_interrupted(monkeypatch, capsys, ended):
    """Tables as of a whole run, of the trials there were; too few for any threshold."""
    right = Trial((3, 1), HALF, "weights", detected=True, named=(HALF,))
    missed = Trial((3, 2), HALF, "gradients", detected=True)

    def run_trials(runs, size, level, *_):
        if level == "weights":
            yield from [right] * ended
            raise KeyboardInterrupt
        yield from [missed] * runs

    monkeypatch.setattr(selftest, "run_trials", run_trials)
    levels = ("--level", "gradients", "--level", "weights", "--level", "everything")
    assert call("--runs", "3", "--planted", "2", *levels) == 130
    said = capsys.readouterr().out
    assert "seed 0, interrupted" in said
    rows = [line.split() for line in said.splitlines() if line.strip().startswith("2 ")]
    assert [row[1:5] for row in rows] == [["gradients", "3", "of", "3"], ["weights", f"{ended}", "of", f"{ended}"]]
    assert f"0 of {3 + ended} named wrong" in said
    assert "below the threshold" not in said


def test_what_is_named_in_other_words_is_shown_and_not_wrong(monkeypatch, capsys):
    named = (frozenset({("loss.batch", "sum")}),)
    other = Trial((3, 1), HALF, "weights", detected=True, named=named, in_other_words=True)
    right = Trial((3, 3), HALF, "weights", detected=True, named=(HALF,))
    monkeypatch.setattr(selftest, "run_trials", lambda *_: iter([other, *[right] * 99]))
    assert call("--runs", "100", "--planted", "1", "--level", "weights", "-v") == 0
    said = capsys.readouterr().out
    assert "said loss.batch=sum, the same in other words (" in said
    assert "0 of 100 named wrong: with 95 % confidence below 3.0%" in said


def test_a_false_alarm_is_shown(monkeypatch, capsys):
    alarm = Trial((4, 1), NONE, "weights", detected=True, named=(HALF,))
    monkeypatch.setattr(selftest, "run_trials", lambda *_: iter([alarm]))
    assert call("--runs", "1", "--planted", "0", "--level", "weights", "-v") == 1
    assert "(4, 1) planted nothing; said l2.penalty=half" in capsys.readouterr().out


def test_a_real_run(capsys):
    assert call("--runs", "2", "--planted", "0", "--planted", "2", "--level", "everything", "--jobs", "1") == 0
    assert "100.0%" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["--runs", "0"],
        ["--runs", "many"],
        ["--seed", "-1"],
        ["--planted", "8"],
        ["--jobs", "0"],
        ["--level", "nothing"],
        ["everything"],
        ["--bogus"],
    ],
    ids=" ".join,
)
def test_bad_options_are_2(arguments, capsys):
    assert call(*arguments) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err
    assert "Traceback" not in said.err


def test_an_unknown_level_is_answered_with_those_there_are(capsys):
    assert call("--level", "weight") == 2
    assert f"--level 'weight': there are {', '.join(LEVELS)}" in capsys.readouterr().err


def test_help(capsys):
    assert call("--help") == 0
    said = capsys.readouterr().out
    for option in ("--runs", "--seed", "--planted", "--outside", "--level", "--jobs", "--verbose"):
        assert option in said
