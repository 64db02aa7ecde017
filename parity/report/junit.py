"""JUnit XML: a suite for each result; in it the verdict, and a test case for each group of tensors.

A group is what a layer does in one phase and precision: `float64 gradient dense_1`. One that went beyond its budget
fails; the failure of the verdict holds the first divergence, the causes and the fixes. What could not be judged is an
error, never a skip: a skip is green.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable
from typing import IO, TYPE_CHECKING

from parity.protocol import Key, execution_order
from parity.report import facts, outline
from parity.report.entries import Entry
from parity.verdict import Verdict

if TYPE_CHECKING:
    from parity.result import Result, Run
    from parity.verdict import Summary

_FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # what XML 1.0 cannot hold
_CAP = 20  # tensors named in one failure


def write(result: Result, stream: IO[str]) -> None:
    """One result as a document."""
    write_entries([Entry(result.experiment.name, result)], stream)


def write_entries(entries: Iterable[Entry], stream: IO[str]) -> None:
    """Several results as one document."""
    write_suites(map(suite, entries), stream)


def write_suites(made: Iterable[ET.Element], stream: IO[str]) -> None:
    """A document of suites that were made one by one."""
    suites = list(made)
    root = ET.Element("testsuites", name="keras-parity")
    root.extend(suites)
    for count in ("tests", "failures", "errors", "skipped"):
        root.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    root.set("time", f"{sum(float(suite.get('time', '0')) for suite in suites):.3f}")
    ET.indent(root)
    stream.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    stream.write(ET.tostring(root, encoding="unicode"))
    stream.write("\n")


def suite(entry: Entry) -> ET.Element:
    """One result."""
    result = entry.result
    if result is None:
        cases = [_nothing(entry)]
    else:
        cases = [_verdict(entry, result), *(case for run in result.runs for case in _groups(entry, run))]
    made = ET.Element("testsuite", name=_text(entry.name), tests=str(len(cases)))
    for count, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        made.set(count, str(sum(case.find(tag) is not None for case in cases)))
    made.set("time", "0.000" if result is None else f"{result.timings.get('total', 0.0):.3f}")
    if result is not None:
        properties = ET.SubElement(made, "properties")
        told = [section for section in outline.sections(result) if section.kind in {"subject", "made"}]
        for label, value in (pair for section in told for pair in section.pairs):
            ET.SubElement(properties, "property", name=_text(label), value=_text(value))
    made.extend(cases)
    return made


def _case(entry: Entry, name: str, seconds: float = 0.0) -> ET.Element:
    return ET.Element("testcase", classname=_text(entry.name), name=name, time=f"{seconds:.3f}")


def _nothing(entry: Entry) -> ET.Element:
    """No result: skipped where that may be, else an error."""
    case = _case(entry, "verdict")
    if entry.passed:
        ET.SubElement(case, "skipped", message=_text(f"{entry.verdict}: {entry.note}"))
    else:
        message, _, rest = entry.note.partition("\n")
        bad = ET.SubElement(case, "error", type=_text(entry.verdict), message=_text(f"{entry.verdict}: {message}"))
        bad.text = _text(rest)
    return case


def _verdict(entry: Entry, result: Result) -> ET.Element:
    """The whole answer, first divergence first."""
    case = _case(entry, "verdict", result.timings.get("total", 0.0))
    headline = facts.headline(result)
    told = [entry.note] if entry.note else []
    for section in outline.sections(result):
        if section.kind not in {"subject", "made"}:
            told += ["", section.title, *(f"  {label}: {value}" for label, value in section.pairs)]
    body = _text("\n".join([headline, *told]))
    if entry.passed:
        ET.SubElement(case, "system-out").text = body
    else:
        error = result.verdict is Verdict.CANNOT_JUDGE
        where = f" at {entry.place}" if entry.place else ""
        bad = ET.SubElement(case, "error" if error else "failure", type=str(result.verdict))
        bad.set("message", _text(f"{result.verdict}{where}" + (f"; {entry.note}" if entry.note else "")))
        bad.text = body
    return case


def _groups(entry: Entry, run: Run) -> Iterable[ET.Element]:
    """A test case for what each layer does in each phase."""
    groups: dict[tuple[str, str], list[Summary]] = {}
    of_key: dict[Key, list[Summary]] = {}
    for summary in run.summaries.values():
        of_key.setdefault(summary.key, []).append(summary)
    for key in execution_order(of_key, run.judge.experiment.layer_names):
        groups.setdefault((key.phase, key.layer), []).extend(of_key[key])
    for (phase, layer), summaries in groups.items():
        case = _case(entry, " ".join(filter(None, (run.precision, phase, layer))))
        beyond = [summary for summary in summaries if summary.beyond]
        first = run.first
        here = first is not None and (first.key.phase, first.key.layer) == (phase, layer)
        lines = []
        if here and first is not None:
            lines += ["First divergence", *(f"  {label}: {value}" for label, value in facts.divergence(first))]
        lines += [_line(summary) for summary in beyond[:_CAP]]
        lines += [f"and {len(beyond) - _CAP} more"] if len(beyond) > _CAP else []
        if lines and entry.as_expected:
            ET.SubElement(case, "system-out").text = _text("\n".join(lines))
        elif lines:
            steps = [summary.first_beyond for summary in beyond if summary.first_beyond is not None]
            step = min([first.step, *steps] if here and first is not None else steps)
            limit = "tolerance" if all(summary.rule is not None for summary in beyond) else "budget"
            what = f"beyond its {limit}" if beyond else "differs"
            bad = ET.SubElement(case, "failure", type=str(Verdict.DIVERGED), message=f"{what} at step {step}")
            bad.text = _text("\n".join(lines))
        elif all(summary.used != summary.used for summary in summaries):
            ET.SubElement(case, "skipped", message="measured, not judged: not held against a budget")
        yield case


def _line(summary: Summary) -> str:
    used = facts.percent(summary.used, facts.of_what(summary))
    steps = f"{summary.beyond} of {summary.steps} steps"
    return f"{facts.place(summary.key)}, {summary.lane} lane: from step {summary.first_beyond}, {steps}, {used}"


def _text(text: str) -> str:
    """What XML can hold of it."""
    return _FORBIDDEN.sub("�", text)
