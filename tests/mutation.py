"""Mutation testing: every small change of a module that judges must make a test fail.

    python -m tests.mutation                     all modules; exit code 1 where a survivor is not accepted
    python -m tests.mutation tolerance           one of them
    python -m tests.mutation tolerance 17 18     mutants by their number, and the test that each fails

Each mutant runs in a process forked from one that has collected the tests, so nothing is imported twice; of the tests
only those run that execute the changed line. What may survive, and why, is in mutants_accepted.toml.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import time
import tomllib
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable
from enum import Enum
from inspect import isfunction, unwrap
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import click
import pytest
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.mutants import Mutant, mutants_of

ROOT = Path(__file__).parents[1]
MODULES = ("measure", "budget.local", "budget.losses", "budget.rounding", "verdict", "tolerance")
TESTS = (
    "test_measure.py",
    "budget/test_gamma.py",
    "budget/test_formulas.py",
    "budget/test_local.py",
    "test_verdict.py",
    "test_traps.py",
    "test_tolerance.py",
    "test_free_lane.py",
)
WITH_TENSORFLOW = "null_run or off_by_1e_12 or much_wider or fuses_layers"
ARGUMENTS = [
    "-o",
    "addopts=--import-mode=importlib",
    "-p",
    "no:terminal",
    "-p",
    "no:cacheprovider",
    "-k",
    f"not ({WITH_TENSORFLOW})",
]


def replace(module: ModuleType, tree: ast.Module) -> None:
    """Make a loaded module what the changed source makes of it, wherever its functions were imported already."""
    fresh = ModuleType(module.__name__)
    exec(compile(tree, str(module.__file__), "exec"), vars(fresh))  # noqa: S102
    for name, new in vars(fresh).items():
        old = vars(module).get(name)
        if isinstance(new, type) and new.__module__ == module.__name__ and not issubclass(new, Enum):
            _replace_class(old, new, str(module.__file__))
        elif isfunction(unwrap(new)) if callable(new) else False:
            _replace_function(unwrap(old), unwrap(new))
        elif not name.startswith("__") and repr(old) != repr(new):
            for other in [m for m in sys.modules.values() if m.__name__.startswith(("parity", "tests"))]:
                if vars(other).get(name) is old:
                    setattr(other, name, new)


def _replace_function(old: FunctionType, new: FunctionType) -> None:
    if old.__code__.co_filename == new.__code__.co_filename:
        old.__code__, old.__defaults__, old.__kwdefaults__ = new.__code__, new.__defaults__, new.__kwdefaults__


def _replace_class(old: Any, new: type, path: str) -> None:
    for name, value in vars(new).items():
        if isinstance(value, property):
            _replace_function(vars(old)[name].fget, value.fget)
        elif isfunction(value) and value.__code__.co_filename == path:
            _replace_function(vars(old)[name], value)
        elif isfunction(value) or (isinstance(value, int | float | str) and not name.startswith("__")):
            setattr(old, name, value)  # what a dataclass made, with its defaults


def in_a_child(work: Callable[[], Any]) -> Any:
    """What `work` returns in a forked process; None where that dies."""
    source, sink = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        child = os.fork()
    if not child:
        with contextlib.suppress(BaseException):
            said = json.dumps(work()).encode()
            os.close(source)
            with open(sink, "wb") as stream:  # noqa: PTH123
                stream.write(said)
        os._exit(0)
    os.close(sink)
    with open(source, "rb") as stream:  # noqa: PTH123
        said = stream.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else None


class Mutation:
    """A pytest plugin: collects once, then runs chosen tests against every mutant."""

    def __init__(self, names: list[str], numbers: tuple[int, ...], quick: float) -> None:
        self.names, self.numbers, self.quick = names, numbers, quick
        self.rows: list[tuple[str, Mutant, str | None]] = []
        self._failure: str | None = None

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        modules = {name: importlib.import_module(f"parity.{name}") for name in self.names}
        session.config._tmp_path_factory.getbasetemp()
        for name in ("pandas", "plotly", "parity.cli", "scratch_net.adapter"):
            importlib.import_module(name)
        seen = in_a_child(lambda: self._baseline({str(module.__file__) for module in modules.values()}))
        if not isinstance(seen, dict):
            raise click.ClickException(f"unchanged code fails a test: {seen}")
        self.cost = {test: seconds for test, (seconds, _) in seen.items()}
        at = defaultdict(set)
        for test, (seconds, lines) in seen.items():
            for path, line in lines if seconds <= self.quick else ():
                at[path, line].add(test)
        killers: dict[str, Counter[str]] = defaultdict(Counter)
        for name, module in modules.items():
            mutants = list(mutants_of(Path(str(module.__file__)).read_text()))
            chosen = [m for m in mutants if not self.numbers or m.number in self.numbers]
            for mutant in track(chosen, name, console=Console(stderr=True), disable=not sys.stderr.isatty()):
                lines = range(mutant.first_line, mutant.last_line + 1)
                tests = (
                    set().union(*(at[str(module.__file__), line] for line in lines))
                    if not mutant.at_import
                    else self.items
                )
                order = sorted(tests, key=lambda t: (-killers[mutant.inside][t], self.cost[t]))
                killed = in_a_child(lambda: self._against(module, mutant, order))  # noqa: B023
                killed = "the time limit, or a crash" if killed is None else killed
                if killed in self.items:
                    killers[mutant.inside][killed] += 1
                self.rows.append((name, mutant, killed or None))
                if not killed:
                    print(name, mutant.number, mutant, file=sys.stderr, flush=True)
        return True

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failure = report.longreprtext

    def _passes(self, test: str) -> bool:
        item = self.items[test]
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=None)
        return self._failure is None

    def _baseline(self, paths: set[str]) -> dict[str, tuple[float, list[tuple[str, int]]]] | str:
        seen = {}
        for test in self.items:
            lines: set[tuple[str, int]] = set()

            def trace(frame: Any, event: str, _: Any, lines: Any = lines) -> Any:
                if frame.f_code.co_filename not in paths:
                    return None
                lines.add((frame.f_code.co_filename, frame.f_lineno))
                return trace

            start = time.process_time()
            threading.settrace(trace)
            sys.settrace(trace)
            passed = self._passes(test)
            sys.settrace(None)
            if not passed:
                return test
            seen[test] = time.process_time() - start, sorted(lines)
        return seen

    def _against(self, module: ModuleType, mutant: Mutant, order: list[str]) -> str:
        """The first test that fails; nothing where none does."""
        try:
            with mutant.applied() as tree:
                replace(module, tree)
        except Exception as error:
            return f"importing it: {error!r}"
        for test in order:
            signal.setitimer(signal.ITIMER_PROF, 2 + 5 * self.cost[test])  # seconds of computing; SIGPROF ends it
            signal.alarm(120)  # where it only waits
            if not self._passes(test):
                return test
        return ""


@click.command(help=__doc__)
@click.argument("what", nargs=-1)
@click.option(
    "--tests", "only", multiple=True, help="Only the test files with this in their name: faster, and says less."
)
@click.option("--quick", default=1e9, metavar="SECONDS", help="Leave out tests that take longer.")
def main(what: tuple[str, ...], only: tuple[str, ...], quick: float) -> None:
    numbers = tuple(int(word) for word in what if word.isdigit())
    names = [word for word in what if not word.isdigit()] or list(MODULES)
    accepted = {
        text: entry["reason"]
        for entry in tomllib.loads((ROOT / "tests/mutants_accepted.toml").read_text()).get("accepted", [])
        for text in entry["mutants"]
    }
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    mutation = Mutation(names, numbers, quick)
    chosen = [test for test in TESTS if not only or any(part in test for part in only)]
    tests = [str(path) for test in chosen if (path := ROOT / "tests/parity" / test).exists()]
    if pytest.main([*ARGUMENTS, *tests], plugins=[mutation]) != 0:
        sys.exit(2)
    sys.exit(tell(mutation, accepted))


def tell(mutation: Mutation, accepted: dict[str, str]) -> int:
    console = Console(width=160, highlight=False, markup=False)
    counts = Table("module", "mutants", "killed", "accepted", "open")
    opened = 0
    for name in mutation.names:
        rows = [(mutant, killed) for of, mutant, killed in mutation.rows if of == name]
        survivors = [mutant for mutant, killed in rows if killed is None]
        left = [mutant for mutant in survivors if f"{name}.{mutant}" not in accepted]
        if mutation.numbers:
            for mutant, killed in rows:
                console.print(
                    f"{name} {mutant.number}: {mutant}\n  killed by {killed}"
                    if killed
                    else f"{name} {mutant.number}: {mutant}\n  SURVIVED"
                )
            continue
        for mutant in left:
            console.print(f"{name} {mutant.number}, line {mutant.first_line}: {name}.{mutant}", soft_wrap=True)
        numbers = (len(rows), len(rows) - len(survivors), len(survivors) - len(left), len(left))
        counts.add_row(name, *map(str, numbers))
        stale = {text for text in accepted if text.startswith(f"{name}.")} - {f"{name}.{m}" for m in survivors}
        for text in sorted(stale):
            console.print(f"accepted, but no survivor: {text}", soft_wrap=True)
        opened += len(left) + len(stale)
    console.print(counts)
    return int(opened > 0)


if __name__ == "__main__":
    main()
