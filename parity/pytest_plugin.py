"""Parity as tests: a fixture, a marker, and case folders that are collected.

Loaded with every pytest that finds the distribution, so nothing heavy is imported before a check is made.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from parity.cases import CaseRun
    from parity.gate.suite import Job
    from parity.result import Result

_MARKER = (
    "parity_case(folder, candidate='scratch', run=None): hold a candidate against a case before the test's body runs"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """What a run of tests can ask for."""
    group = parser.getgroup("parity", "networks that must train like Keras")
    group.addoption("--parity-report", metavar="DIR", help="write a Markdown and a JSON report of every check there")
    group.addoption(
        "--parity-update", action="store_true", help="record the baselines of what is checked anew (needs Keras)"
    )
    group.addoption(
        "--parity-precision", choices=("float32", "float64"), help="judge this one, in place of the experiments'"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known; refuse an update where it must not be made."""
    config.addinivalue_line("markers", _MARKER)
    if not config.getoption("parity_update"):
        return
    if os.environ.get("CI", "").lower() not in {"", "0", "false"}:
        msg = "--parity-update in CI would make any failure pass: record baselines on your own machine and commit them"
        raise pytest.UsageError(msg)
    if config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        msg = "--parity-update: several processes would write the same baselines; leave out -n"
        raise pytest.UsageError(msg)


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """An experiment with a case or a baseline beside it; an experiment alone is nobody's test."""
    if file_path.name != "experiment.toml":
        return None
    if not any((file_path.parent / name).is_file() for name in ("case.toml", "baseline.json")):
        return None
    return CaseFile.from_parent(parent, path=file_path)


class CaseFile(pytest.File):
    """A case; a test for each of its runs."""

    def collect(self) -> Iterator[pytest.Item]:
        from parity.errors import ParityError  # noqa: PLC0415
        from parity.gate.suite import jobs  # noqa: PLC0415

        try:
            (job,) = jobs(
                [Path(os.path.relpath(self.path.parent))], precision=self.config.getoption("parity_precision")
            )
        except ParityError as error:
            raise self.CollectError(str(error)) from None
        for run in job.runs:
            yield CaseItem.from_parent(self, name=run.name or "run", job=job, run=run)


class CaseItem(pytest.Item):
    """One run of a case."""

    def __init__(self, *, job: Job, run: CaseRun, **options: Any) -> None:
        super().__init__(**options)
        self.job, self.run = job, run
        self.add_marker("parity_case")

    def runtest(self) -> None:
        Checker(self.config, self.nodeid).judge(self.job, self.run)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"parity {self.job.name}: {self.name}"


class Checker:
    """What the fixture `parity` gives a test."""

    def __init__(self, config: pytest.Config, nodeid: str) -> None:
        self.config, self.nodeid = config, nodeid
        self.result: Result | None = None
        """Of the last check."""

    def check(self, experiment: str | Path, candidate: str | type = "scratch", run: str | None = None) -> Result:
        """Hold a candidate against the baseline of a case; the test fails where it does not show what it should.

        Args:
            experiment: a case's folder, or its experiment.toml; relative to pytest's root.
            candidate: a side, by name, or a class; judged in every run that names none of its own.
            run: the name of the case's run, where there are several.

        Returns:
            What was found, for further assertions: of the last run where there are several.
        """
        __tracebackhide__ = True
        from parity.errors import ParityError  # noqa: PLC0415
        from parity.gate.suite import jobs  # noqa: PLC0415

        place = Path(os.path.relpath(self.config.rootpath / experiment))
        folder = place.parent if place.suffix else place
        precision = self.config.getoption("parity_precision")
        failure = ""
        try:
            (job,) = jobs([folder], candidate=self._name(candidate), precision=precision, only=run)
        except ParityError as error:
            failure = str(error)
        if failure:  # out here: pytest would show the error again, as what the failure happened during
            pytest.fail(failure, pytrace=False)
        for one in job.runs:
            self.judge(job, one)
        assert self.result is not None  # a case has a run, and what has no result has failed
        return self.result

    def judge(self, job: Job, run: CaseRun) -> None:
        """One run; fails the test with a text that fits a screen."""
        __tracebackhide__ = True
        from parity.errors import ParityError  # noqa: PLC0415
        from parity.gate.suite import Gate  # noqa: PLC0415
        from parity.gate.text import failure_lines  # noqa: PLC0415

        gate, failure = Gate([job]), ""
        try:
            if self.config.getoption("parity_update"):
                _update(self.config, gate, job)
            outcome = gate.judge(job, run, gate.read()[job.folder])
        except ParityError as error:
            failure = str(error)
        if failure:
            pytest.fail(failure, pytrace=False)
        self.result = outcome.result
        if self.result is not None:
            self._report(self.result, f"{self.nodeid}-{run.name}")
        if outcome.exit_code:
            lines = [
                f"{outcome.state}: {job.name}",
                *failure_lines(outcome),
                f"      {'test':<14}  pytest '{self.nodeid}'",
            ]
            pytest.fail("\n".join(lines), pytrace=False)

    def _name(self, candidate: str | type) -> str:
        """A side as the loader knows it; files relative to pytest's root."""
        if not isinstance(candidate, str):
            return f"{candidate.__module__}:{candidate.__qualname__}"
        path, py, rest = candidate.partition(".py:")
        return f"{os.path.relpath(self.config.rootpath / path)}{py}{rest}" if py else candidate

    def _report(self, result: Result, name: str) -> None:
        if (folder := self.config.getoption("parity_report")) is None:
            return
        from parity.report import parse_targets, write_reports  # noqa: PLC0415

        place = Path(folder)
        place.mkdir(parents=True, exist_ok=True)
        stem = place / re.sub(r"[^\w.-]+", "-", name).strip("-")
        write_reports(result, parse_targets([f"markdown={stem}.md", f"json={stem}.json"]))


def _update(config: pytest.Config, gate: Any, job: Job) -> None:
    """Record the baseline of a case, once."""
    from parity.gate.baseline import write  # noqa: PLC0415
    from parity.gate.changes import renew  # noqa: PLC0415
    from parity.gate.text import change_lines  # noqa: PLC0415

    done = config.stash.setdefault(_UPDATED, {})
    if job.folder in done:
        return
    renewed = renew(gate, job)
    write(job.folder, renewed.baseline.contents, renewed.packed)
    done[job.folder] = [f"recorded {job.name}", *change_lines(renewed)]


_UPDATED: pytest.StashKey[dict[Path, list[str]]] = pytest.StashKey()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """What --parity-update changed."""
    for lines in config.stash.get(_UPDATED, {}).values():
        terminalreporter.section("parity baselines")
        for line in lines:
            terminalreporter.line(line)


@pytest.fixture
def parity(request: pytest.FixtureRequest) -> Checker:
    """`parity.check(folder, candidate=...)`: a network held against a baseline of Keras'."""
    return Checker(request.config, request.node.nodeid)


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> None:
    """A test with the marker checks its case before its body runs."""
    for marker in pyfuncitem.iter_markers("parity_case"):
        __tracebackhide__ = True
        check = Checker(pyfuncitem.config, pyfuncitem.nodeid).check
        try:
            inspect.signature(check).bind(*marker.args, **marker.kwargs)
        except TypeError as error:
            pytest.fail(f"{_MARKER.partition(':')[0]} was given something else: {error}", pytrace=False)
        check(*marker.args, **marker.kwargs)
