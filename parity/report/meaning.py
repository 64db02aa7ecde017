"""What the verdicts of both precisions mean together, as words."""

from __future__ import annotations

from parity.arbiter import REORDERED_ULPS
from parity.result import Meaning, Result
from parity.verdict import Verdict

_OTHER_TYPE = "the candidate gives arrays of another type than the reference, which are held against nothing"


def meaning(result: Result) -> str:
    """What the verdicts of the precisions say together; empty where nothing was judged."""
    judged = {run.precision: run.verdict for run in result.runs}
    strict, coarse = judged.get("float64"), judged.get("float32")
    match result.meaning:
        case None:
            return ""
        case Meaning.EQUAL if len(judged) == 2:
            return "equal in both: the same formula, and nothing but rounding between the two sides"
        case Meaning.EQUAL if coarse is None:
            return "the same formula; whether float32 rounds it the same was not asked"
        case Meaning.EQUAL:
            return "equal in float32; a formula that differs by less than float32 shows would be seen in float64"
        case Meaning.ROUNDING:
            return "the same formula, rounded differently: parity in float64, beyond its budget in float32"
        case Meaning.ORDER:
            apart = f"at most {REORDERED_ULPS} ulp apart in float64, where the two had to be equal to the last bit"
            return f"the same formula, its operations in another order: {apart}"
        case Meaning.OPEN:
            return "a different formula or different rounding: float64 would tell"
        case Meaning.TYPE if strict is Verdict.PARITY and not any(run.by_tolerance for run in result.runs):
            return f"the same formula: parity in float64; in float32 {_OTHER_TYPE}"
        case Meaning.TYPE:
            return f"{_OTHER_TYPE}; whether the formula is the same is open"
        case Meaning.TOLERANCE if result.verdict is Verdict.PARITY:
            return "within the tolerances that were set, which says nothing of rounding or of the formula"
        case Meaning.TOLERANCE:
            return "tolerances that were set judged: that says nothing of rounding or of the formula"
    unseen = "; float32 is too coarse to show it" if coarse is Verdict.PARITY else ""
    return f"a different formula: it shows in float64, where rounding is next to nothing{unseen}"
