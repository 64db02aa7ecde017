"""The case book shows what it must, and its committed reports are what it shows."""

from __future__ import annotations

import os
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from parity.casebook import _figure_line, report, run_case
from parity.cases import Expected, Figure, cases, load_case, unexpected
from parity.data.sources import MNIST_VARIABLE
from parity.verdict import Verdict

BOOK = Path(__file__).parents[2] / "reports"
LARGEST_ROUNDING = 1e-3  # what a report may call rounding: float32, some steps on, behind which no divergence hides


def stable(text: str) -> list[str]:
    """A report without the digits that rounding decides.

    In the local lane and in differences, what is equal on one machine may differ in the last bit on another: both are
    written "~" here. What must be equal to the last bit (batches, updates, metrics) is left as it is.
    """
    lines = []
    for line in text.splitlines():
        hidden = [float(figure) for figure in re.findall(r"≈([\d.e+-]+)(?= \||$)", line)]
        assert max(hidden, default=0) < LARGEST_ROUNDING, line
        exact = re.match(r"\| (batch|metrics|update) ", line)
        words = re.sub(r"≈[^|,;]*(?= \||,|;|$)", "~", line)
        words = re.sub(r"[\d.e+]+ ×", "~ ×", words)
        words = words.replace("equal to the last bit", "at most ~")
        if line.startswith("|") and not exact:
            words = re.sub(r"(?<=\| )(0|equal)(?= \|)", "~", words)
        elif exact:  # the free lane's columns hold what earlier steps left
            head, _, tail = words.partition("equal |")
            words = head + "equal |" + re.sub(r"(?<= )0(?= \|)", "~", tail) if tail else words
        lines.append(words)
    return lines


def same(made: str, committed: str) -> bool:
    """The same words, and figures that differ by no more than one in the last digit that is shown.

    What a report does not mark as rounding is ten thousand times larger than it: it has three digits that hold, and
    the last of them may still be rounded the other way.
    """
    figure = r"\d+\.?\d*(?:e[+-]\d+)?"
    if re.sub(figure, "#", made) != re.sub(figure, "#", committed):
        return False
    pairs = zip(re.findall(figure, made), re.findall(figure, committed), strict=True)
    return all(abs(Decimal(a) - Decimal(b)) <= max(last_place(a), last_place(b)) for a, b in pairs if a != b)


def last_place(figure: str) -> Decimal:
    """One in the third digit, where that is what is shown; nothing in whole numbers, which count something."""
    value = Decimal(figure)
    return Decimal(0) if re.fullmatch(r"\d+", figure) else Decimal(1).scaleb(value.adjusted() - 2)


def needs(folder: Path) -> None:
    if load_case(folder).data and not os.environ.get(MNIST_VARIABLE):
        pytest.skip(f"needs the MNIST test images: set {MNIST_VARIABLE} to a folder that has them")


@pytest.mark.parametrize("folder", cases(BOOK), ids=lambda folder: folder.name)
def test_a_case_shows_what_it_must_and_its_report_is_the_committed_one(folder):
    needs(folder)
    ran = list(run_case(folder))
    assert [problem for run, result in ran for problem in unexpected(run.expect, result)] == []
    made, committed = stable(report(folder, ran)), stable((folder / "report.md").read_text())
    assert [line for pair in zip(made, committed, strict=True) if not same(*pair) for line in pair] == []


def test_the_book_is_complete():
    assert [folder.name for folder in cases(BOOK)] == [
        "cookbook",
        "keras-chapter",
        "l2-digits",
        "l2-mnist",
        "settings",
        "thirteen-thousand",
    ]


def test_the_roundings_of_the_cookbook_are_bounds():
    """Worked out once more, as case.toml derives them."""
    u, h, a = 2.0**-53, 1e-4, 1.477867
    x = np.arange(1.0, 5.0)
    p, e = a * x, 2 * x - a * x
    loss = (2 * abs(e) * u * (2 * p + abs(e)) + u * e**2).mean() + 3 * u * (e**2).mean()
    slope = abs((2 * e * x).mean())
    case = load_case(BOOK / "cookbook")
    for name, bound in [
        ("forward differences", (2 * loss + u * slope) / h),
        ("central differences", (2 * loss + 2 * u * slope) / (2 * h)),
    ]:
        (run,) = (run for run in case.run if run.name == name)
        for figure in run.expect.figures:
            assert bound <= figure.rounding <= 1.1 * bound


def test_an_expectation_that_is_not_met_is_told():
    """Each way of expecting something can fail."""
    folder = BOOK / "cookbook"
    _, result = next(iter(run_case(folder)))
    place = {"step": 1, "phase": "gradient", "tensor": "dense/kernel"}
    for expected, word in [
        (Expected(verdict=Verdict.DIVERGED), "expected DIVERGED"),
        (Expected(verdict=Verdict.PARITY, figures=(Figure(**place, difference=0.1),)), "not 0.1"),
        (
            Expected(verdict=Verdict.PARITY, figures=(Figure(**{**place, "step": 9}, within_budget=True),)),
            "not measured",
        ),
        (Expected(verdict=Verdict.PARITY, figures=(Figure(**place, ratio=0.5),)), "not 0.5"),
    ]:
        (problem,) = unexpected(expected, result)
        assert word in problem
        for figure in expected.figures:
            assert _figure_line(figure, result) == f"- not as expected: {problem}"
