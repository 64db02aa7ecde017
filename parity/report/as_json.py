"""The report as JSON. The keys are a contract; `SCHEMA_VERSION` counts its changes.

Numbers that JSON has no word for are the texts "nan", "inf" and "-inf".
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING, Any

from parity.envelope import FALSE_ALARM, FIRST_SEED, MEMBERS, SAFETY
from parity.gradcheck import Outcome
from parity.report import facts
from parity.report.entries import Entry
from parity.report.meaning import meaning
from parity.sides import STAND_IN
from parity.verdict import Kind, Verdict

if TYPE_CHECKING:
    from parity.arbiter import Arbitration
    from parity.diagnosis import Cause
    from parity.diagnosis.explain import Reading, Rejected
    from parity.gradcheck import Element, GradCheck, SideCheck
    from parity.result import Declared, Result, Run
    from parity.tolerance import Needed
    from parity.verdict import Divergence, Summary

SCHEMA_VERSION = 1


def write(result: Result, stream: IO[str]) -> None:
    """The report as one JSON document."""
    json.dump(as_dict(result), stream, indent=2, allow_nan=False, ensure_ascii=False)
    stream.write("\n")


def write_entries(entries: Iterable[Entry], stream: IO[str]) -> None:
    """Several results as one JSON document."""
    json.dump(entries_as_dict(entries), stream, indent=2, allow_nan=False, ensure_ascii=False)
    stream.write("\n")


def entries_as_dict(entries: Iterable[Entry]) -> dict[str, Any]:
    """A list of cases: the name of each, whether it is as expected, and its own report, or null where it has none."""
    cases = [
        {
            "name": entry.name,
            "as_expected": entry.passed,
            "verdict": entry.verdict,
            "note": entry.note,
            "result": None if entry.result is None else as_dict(entry.result),
        }
        for entry in entries
    ]
    compared = any(case["result"] is not None for case in cases)
    as_expected = compared and all(case["as_expected"] for case in cases)
    return {"schema_version": SCHEMA_VERSION, "as_expected": as_expected, "cases": cases}


def as_dict(result: Result) -> dict[str, Any]:
    """The report as JSON will hold it."""
    return {
        "schema_version": SCHEMA_VERSION,
        "verdict": str(result.verdict),
        "exit_code": int(result.exit_code),
        "experiment": result.experiment.model_dump(mode="json"),
        "reference": result.reference,
        "candidate": result.candidate,
        "precision": result.experiment.precision,
        "steps_compared": result.steps_compared,
        "tensors_compared": result.tensors_compared,
        "first_divergence": _divergence(result.first_divergence),
        "causes": [_cause(cause) for cause in result.diagnosis.causes] if result.diagnosis else [],
        "explained": result.verdict is Verdict.PARITY or (result.diagnosis is not None and result.diagnosis.explained),
        "readings": [_reading(one) for one in result.diagnosis.readings] if result.diagnosis else [],
        "rejected": [_rejected(one) for one in result.diagnosis.rejected] if result.diagnosis else [],
        "not_compared": [{"what": item.what, "why": item.why} for item in result.not_compared],
        "not_exercised": [
            {"what": item.what, "why": item.why, "looked_at": item.looked_at, "precisions": list(precisions)}
            for item, precisions in result.not_exercised
        ],
        "tolerances": _tolerances(result),
        "sensitivity": [
            {
                "precision": run.precision,
                "what": found.what,
                "unit": found.unit,
                "error": found.error,
                "step": found.step or None,
                "seen_in": str(found.seen_in) if found.seen_in else None,
                "elements": list(found.elements) if found.elements else None,
            }
            for run in result.runs
            for found in run.judge.sensitivity.findings
        ],
        "environment": dict(result.environment),
        "timings": {name: round(seconds, 6) for name, seconds in result.timings.items()},
        "data_digest": result.data_digest,
        "command": result.command,
        "interrupted": result.interrupted,
        "crash": None if result.crash is None else {"step": result.crash.step, "message": result.crash.message},
        "remarks": [{"what": what, "why": why} for what, why in result.remarks.items()],
        "envelope": _envelope(result),
        "meaning": None if result.meaning is None else {"code": str(result.meaning), "statement": meaning(result)},
        "declared": None if result.declared is None else _declared(result.declared),
        "arbiter": None if result.arbiter is None else _arbiter(result.arbiter, facts.arbitration(result)),
        "gradcheck": None if result.gradcheck is None else _gradcheck(result.gradcheck),
        "runs": [_run(run) for run in result.runs],
    }


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else str(value)


def _divergence(found: Divergence | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "step": found.step,
        "phase": found.key.phase,
        "layer": found.key.layer,
        "tensor": found.key.tensor,
        "part": found.key.part,
        "index": list(found.index),
        "reference": _number(found.reference),
        "candidate": _number(found.candidate),
        "difference": _number(found.difference),
        "budget": found.budget,
        "used": _number(found.used),
        "lane": found.lane,
        "precision": found.precision,
        "kind": str(found.kind),
        "note": found.note,
    }


def _declared(declared: Declared) -> dict[str, Any]:
    return {
        "choices": dict(declared.choices),
        "reference": declared.reference,
        "trusted": str(declared.trusted),
        "shows": declared.shows,
        "idle": list(declared.idle),
        "unseen": list(declared.unseen),
        "undone": list(declared.undone),
    }


def _cause(cause: Cause) -> dict[str, Any]:
    return {
        "code": cause.code,
        "choice": cause.choice,
        "statement": cause.statement,
        "reference_formula": cause.reference_formula,
        "candidate_formula": cause.candidate_formula,
        "fix_reference": cause.fix_reference,
        "fix_candidate": cause.fix_candidate,
        "confirmed": cause.confirmed,
        "residual_used": _number(cause.residual_used),
        "effect": _number(cause.effect),
        "effect_on": str(cause.effect_on),
        "effect_ratio": None if cause.effect_ratio is None else _number(cause.effect_ratio),
        "alternatives": list(cause.alternatives),
        "separate_by": cause.separate_by,
        "among": cause.among,
    }


def _reading(one: Reading) -> dict[str, Any]:
    return {"choices": list(one.choices), "separate_by": one.separate_by}


def _rejected(one: Rejected) -> dict[str, Any]:
    return {
        "choices": list(one.choices),
        "step": one.step,
        "tensor": str(one.first_unexplained),
        "used": _number(one.used),
        "left": [str(key) for key in one.left],
        "explains": [str(key) for key in one.explains],
        "fixes": list(one.fixes),
    }


def _envelope(result: Result) -> dict[str, Any] | None:
    held = [(run, run.envelope) for run in result.runs if run.envelope is not None]
    if not held:
        return None
    return {
        "student": STAND_IN,
        "members": MEMBERS,
        "first_seed": FIRST_SEED,
        "safety": SAFETY,
        "false_alarm": FALSE_ALARM,
        "runs": [
            {
                "precision": run.precision,
                "why_not": report.why_not or None,
                "left_at": run.first.step if run.first is not None and run.first.kind is Kind.DRIFT else None,
                "widest": _number(report.widest),
                "widest_tensor": report.widest_tensor or None,
                "until": report.until or None,
            }
            for run, report in held
        ],
    }


def _tolerances(result: Result) -> dict[str, Any]:
    """Rules, what was judged by them, and the smallest that would have passed: each way alone, the others zero."""
    rules = list(result.experiment.tolerance)
    return {
        "rules": [rule.model_dump(mode="json") for rule in rules],
        "tensors": [
            {
                "precision": run.precision,
                "phase": summary.key.phase,
                "tensor": summary.key.tensor,
                "part": summary.key.part,
                "lane": summary.lane,
                "rule": rules.index(summary.rule),
                "smallest": _needed(summary.needed),
            }
            for run in result.runs
            for summary in run.summaries.values()
            if summary.rule is not None
        ],
        "smallest": [
            {"precision": run.precision, "lane": lane, **_needed(needed)}
            for run in result.runs
            for lane, needed in run.judge.needed.items()
        ],
    }


def _needed(needed: Needed) -> dict[str, float | str]:
    return {name: _number(value) for name, value in vars(needed).items()}


def _arbiter(found: Arbitration, statement: str) -> dict[str, Any]:
    said = {
        "step": found.step,
        "phase": found.key.phase,
        "tensor": found.key.tensor,
        "part": found.key.part,
        "outcome": None if found.outcome is None else str(found.outcome),
        "why_not": found.why_not or None,
        "statement": statement,
    }
    if found.outcome is None:
        return said
    values = ("exact", "reference", "candidate", "candidate_float64", "limit")
    return said | {"index": list(found.index)} | {name: _number(getattr(found, name)) for name in values}


def _gradcheck(check: GradCheck) -> dict[str, Any]:
    return {
        "seed": check.seed,
        "elements_per_tensor": check.elements_per_tensor,
        "sides": [_side_check(side) for side in check.sides],
    }


def _side_check(side: SideCheck) -> dict[str, Any]:
    return {
        "role": side.role,
        "side": side.side,
        "agrees": None if side.worst is None else not side.of(Outcome.WRONG),
        "why_not": side.why_not or None,
        "tensors": [{"tensor": tensor, "size": size} for tensor, size in side.sizes],
        "elements": [_element(element) for element in side.elements],
    }


def _element(element: Element) -> dict[str, Any]:
    return {
        "tensor": element.tensor,
        "index": list(element.index),
        "step": element.step,
        "analytic": _number(element.analytic),
        "numeric": _number(element.numeric),
        "error": _number(element.error),
        "bound": _number(element.bound),
        "used": _number(element.used),
        "h": element.h,
        "left": _number(element.left),
        "right": _number(element.right),
        "outcome": str(element.outcome),
    }


def _run(run: Run) -> dict[str, Any]:
    return {
        "precision": run.precision,
        "verdict": str(run.verdict),
        "steps_planned": run.planned_steps,
        "steps_compared": run.judge.steps,
        "first_divergence": _divergence(run.first),
        "tensors": [_summary(summary) for summary in run.summaries.values()],
    }


def _summary(summary: Summary) -> dict[str, Any]:
    judged = not math.isnan(summary.used)
    return {
        "phase": summary.key.phase,
        "layer": summary.key.layer,
        "tensor": summary.key.tensor,
        "part": summary.key.part,
        "lane": summary.lane,
        "shape": list(summary.shape),
        "steps": summary.steps,
        "steps_differing": summary.differing,
        "absolute": _number(summary.absolute),
        "absolute_step": summary.absolute_step,
        "used": _number(summary.used) if judged else None,
        "used_step": summary.used_step if judged else None,
        "steps_beyond": summary.beyond,
        "first_beyond": summary.first_beyond,
    }
