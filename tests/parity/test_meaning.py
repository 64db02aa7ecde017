"""What the verdicts of the two precisions mean together."""

from __future__ import annotations

import pytest

from parity.config import validate
from parity.report import as_json
from parity.report.meaning import meaning as meaning_in_words
from parity.result import Meaning
from parity.run import diff

TABLE = {
    "data": {"source": "regression", "features": 3, "samples": 20},
    "layers": [{"units": 4, "activation": "tanh", "kernel_regularizer": {"l2": 0.01}}, {"units": 1}],
    "loss": "mse",
    "optimizer": "adam",
    "batch_size": 8,
    "steps": 4,
}
SIDES = """
import numpy as np
from scratch_net.adapter import ScratchSide

class _Changed(ScratchSide):
    def replay(self, reference):
        said = super().replay(reference)
        self.change(said, said["loss"].dtype == np.float32)
        return said

class HalfPrecision(_Changed):
    "Coarser than float32 where float32 is asked for, exact where float64 is."
    def change(self, said, coarse):
        if coarse:
            said["pre_activation"]["dense"] = said["pre_activation"]["dense"].astype(np.float16).astype(np.float32)

class LastBit(_Changed):
    "Weights that had to be equal are off by some units in the last place."
    ULPS = 3
    def change(self, said, coarse):
        kernel = said["weights"]["dense/kernel"] = said["weights"]["dense/kernel"].copy()
        kernel += self.ULPS * np.spacing(np.abs(kernel))

class NotTheLastBit(LastBit):
    ULPS = 9

class LastBitAndMore(LastBit):
    def change(self, said, coarse):
        super().change(said, coarse)
        said["gradient"]["dense_1/kernel"] = said["gradient"]["dense_1/kernel"] * (1 + 1e-9)

class InFloat64(_Changed):
    "Computes a gradient in float64, whatever is asked for."
    def change(self, said, coarse):
        said["gradient"]["dense_1/kernel"] = said["gradient"]["dense_1/kernel"].astype(np.float64)

class InFloat32(_Changed):
    def change(self, said, coarse):
        said["gradient"]["dense_1/kernel"] = said["gradient"]["dense_1/kernel"].astype(np.float32)

class AMillionMillionth(_Changed):
    "Nothing that float32 could show."
    def change(self, said, coarse):
        said["gradient"]["dense_1/kernel"] = said["gradient"]["dense_1/kernel"] * (1 + said["loss"].dtype.type(1e-12))
"""


@pytest.fixture
def meaning(tmp_path):
    (tmp_path / "sides.py").write_text(SIDES)

    def of(candidate: str, precision: str = "both", **settings):
        side = candidate if candidate.startswith("scratch") else f"{tmp_path}/sides.py:{candidate}"
        result = diff(
            validate({**TABLE, "precision": precision, **settings}),
            reference="scratch",
            candidate=side,
            lanes=("local",),
            explain=False,
        )
        assert as_json.as_dict(result)["meaning"] == {
            "code": str(result.meaning),
            "statement": meaning_in_words(result),
        }
        return result.meaning, meaning_in_words(result)

    return of


@pytest.mark.parametrize(
    ("candidate", "precision", "code", "words"),
    [
        ("scratch", "both", Meaning.EQUAL, "equal in both"),
        ("scratch", "float64", Meaning.EQUAL, "the same formula"),
        ("scratch", "float32", Meaning.EQUAL, "equal in float32"),
        ("scratch[l2.penalty=half]", "both", Meaning.FORMULA, "a different formula: it shows in float64"),
        ("scratch[l2.penalty=half]", "float64", Meaning.FORMULA, "a different formula"),
        ("scratch[l2.penalty=half]", "float32", Meaning.OPEN, "float64 would tell"),
        ("HalfPrecision", "both", Meaning.ROUNDING, "the same formula, rounded differently"),
        ("HalfPrecision", "float32", Meaning.OPEN, "float64 would tell"),
        ("LastBit", "both", Meaning.ORDER, "another order"),
        ("NotTheLastBit", "both", Meaning.FORMULA, "a different formula"),
        ("LastBitAndMore", "both", Meaning.FORMULA, "a different formula"),
        ("AMillionMillionth", "both", Meaning.FORMULA, "float32 is too coarse to show it"),
        (
            "InFloat64",
            "both",
            Meaning.TYPE,
            "the same formula: parity in float64; in float32 the candidate gives arrays",
        ),
        ("InFloat64", "float32", Meaning.TYPE, "whether the formula is the same is open"),
        ("InFloat64", "float64", Meaning.EQUAL, "the same formula"),
        ("InFloat32", "both", Meaning.TYPE, "whether the formula is the same is open"),
    ],
)
def test_the_meaning_of_both_verdicts(candidate, precision, code, words, meaning):
    found, statement = meaning(candidate, precision)
    assert found is code
    assert words in statement


SETS_NOTHING = "says nothing of rounding or of the formula"
EVERYTHING, ONE = {"rtol": 1.0, "atol": 1.0}, {"tensor": "dense/kernel", "rtol": 1.0, "atol": 1.0}
NEXT_TO_NOTHING = {"rtol": 1e-30, "atol": 0.0}


@pytest.mark.parametrize(
    ("candidate", "precision", "rule", "code", "words"),
    [
        ("scratch", "both", EVERYTHING, Meaning.TOLERANCE, "within the tolerances that were set"),
        ("scratch", "both", ONE, Meaning.TOLERANCE, "within the tolerances that were set"),
        ("scratch[l2.penalty=half]", "both", EVERYTHING, Meaning.TOLERANCE, SETS_NOTHING),
        ("scratch[l2.penalty=half]", "float32", EVERYTHING, Meaning.TOLERANCE, SETS_NOTHING),
        ("scratch[l2.penalty=half]", "both", ONE, Meaning.FORMULA, "a different formula"),  # by the loss's budget
        ("scratch[l2.penalty=half]", "float32", ONE, Meaning.OPEN, "float64 would tell"),
        ("HalfPrecision", "both", ONE, Meaning.TOLERANCE, SETS_NOTHING),  # parity in float64 was not by budgets alone
        ("HalfPrecision", "float32", NEXT_TO_NOTHING, Meaning.TOLERANCE, SETS_NOTHING),
        ("scratch[gradient.engine=per_example]", "both", NEXT_TO_NOTHING, Meaning.TOLERANCE, SETS_NOTHING),
        ("InFloat64", "both", ONE, Meaning.TYPE, "whether the formula is the same is open"),
    ],
)
def test_a_tolerance_that_was_set_says_nothing_of_the_formula(candidate, precision, rule, code, words, meaning):
    found, statement = meaning(candidate, precision, tolerance=[rule])
    assert found is code
    assert words in statement


def test_where_nothing_was_judged_nothing_is_meant():
    result = diff(validate(TABLE), reference="scratch", lanes=("free",))
    assert result.meaning is None
    assert meaning_in_words(result) == ""
    assert as_json.as_dict(result)["meaning"] is None
