"""Mutation testing: every small change of a module that judges must make a test fail.

\b
  python -m tests.mutation                     all modules; exit code 1 where a survivor is not accepted
  python -m tests.mutation tolerance judge     two of them
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
from rich.table import Table

from tests.mutants import Mutant, mutants_of

HERE = Path(__file__).parent
MODULES = (
    *(
        "measure.block",
        "measure.equal",
        "measure.measuring",
        "measure.rows",
        "measure.share",
        "measure.sizes",
        "measure.table",
    ),
    *("unbounded", "budget.local", "budget.losses", "budget.overflow", "budget.rounding"),
    *("held", "element", "judge", "verdict", "tolerance"),
)
TESTS = (
    "test_measure.py",
    "budget/test_gamma.py",
    "budget/test_formulas.py",
    "budget/test_local.py",
    "budget/test_overflow.py",
    "budget/test_extremes.py",
    "test_unbounded.py",
    "test_held.py",
    "test_element.py",
    "test_judge.py",
    "test_verdict.py",
    "test_traps.py",
    "test_tolerance.py",
)
LEFT_OUT = (  # TensorFlow, and whole runs, take too long to be asked about every mutant
    "null_run or off_by_1e_12 or much_wider or both_lanes or smallest_tolerances_of or cannot_replay or not_changed_by "
    "or no_test_widens"
)
ARGUMENTS = ["-o", "addopts=--import-mode=importlib", "-pno:terminal", "-pno:cacheprovider"]


def replace(module: ModuleType, tree: ast.Module) -> None:
    """Make a loaded module what the changed source makes of it, wherever its parts were imported already."""
    fresh = ModuleType(module.__name__)
    exec(compile(tree, str(module.__file__), "exec"), vars(fresh))  # noqa: S102  # the module, changed in one place
    for name, new in vars(fresh).items():
        old = vars(module).get(name)
        if isinstance(new, type) and new.__module__ == module.__name__:
            _replace_class(old, new, str(module.__file__))
        elif callable(new) and isfunction(unwrap(new)):
            _replace_function(unwrap(old), unwrap(new))  # type: ignore[arg-type]
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
        elif isinstance(value, staticmethod | classmethod):
            _replace_function(vars(old)[name].__func__, value.__func__)
        elif isfunction(value) and value.__code__.co_filename == path:
            _replace_function(vars(old)[name], value)
        elif not issubclass(old, Enum) and (isfunction(value) or isinstance(value, int | float | str)):
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
            with os.fdopen(sink, "wb") as stream:
                stream.write(said)
        os._exit(0)
    os.close(sink)
    with os.fdopen(source, "rb") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return json.loads(said) if said else None


class Mutation:
    """A pytest plugin: collects once, then runs chosen tests against every mutant."""

    def __init__(self, names: list[str], numbers: set[int]) -> None:
        self.names, self.numbers = names, numbers
        self.killed: dict[str, list[tuple[Mutant, str]]] = {name: [] for name in names}
        self._failed = False

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self._failed |= report.failed

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        self.items = {item.nodeid: item for item in session.items}
        session.config._tmp_path_factory.getbasetemp()  # type: ignore[attr-defined]  # one for all children
        modules = {name: importlib.import_module(f"parity.{name}") for name in self.names}
        for heavy in ("pandas", "parity.cli", "parity.run", "scratch_net.adapter"):
            importlib.import_module(heavy)
        seen = in_a_child(lambda: self._unchanged({str(module.__file__) for module in modules.values()}))
        if not isinstance(seen, dict):
            raise pytest.UsageError(f"the unchanged code fails {seen}")
        self.seconds = {test: seconds for test, (seconds, _) in seen.items()}
        for name, module in modules.items():
            at = defaultdict(set)
            for test, (_, lines) in seen.items():
                for line in lines[str(module.__file__)]:
                    at[line].add(test)
            self._take(name, module, at)
        return True

    def _take(self, name: str, module: ModuleType, at: dict[int, set[str]]) -> None:
        killers: dict[str, Counter[str]] = defaultdict(Counter)
        for mutant in mutants_of(Path(str(module.__file__)).read_text()):
            if self.numbers and mutant.number not in self.numbers:
                continue
            lines = range(mutant.first_line, mutant.last_line + 1)
            tests = set[str]().union(*(at.get(line, ()) for line in lines))
            if mutant.at_import:  # a constant is seen without any line being executed
                tests = set(self.items)
            killer = killers[mutant.inside]
            order = sorted(tests, key=lambda test: (-killer[test], self.seconds[test]))
            killed = in_a_child(lambda: self._against(module, mutant, order))  # noqa: B023  # called at once
            killed = "the time limit, or a crash" if killed is None else killed
            killer[killed] += 1
            self.killed[name].append((mutant, killed))
            if self.numbers or not killed:
                click.echo(f"{name} {mutant.number}, line {mutant.first_line}: {mutant}", err=True)
                click.echo(f"  {killed or 'survives'}", err=True)

    def _passes(self, test: str) -> bool:
        self.items[test].config.hook.pytest_runtest_protocol(item=self.items[test], nextitem=None)
        return not self._failed

    def _unchanged(self, paths: set[str]) -> dict[str, tuple[float, dict[str, list[int]]]] | str:
        """What each test costs, and the lines that it executes; or the first test that fails."""
        seen = {}
        for test in self.items:
            lines: dict[str, set[int]] = {path: set() for path in paths}

            def trace(frame: Any, _event: str, _: Any, lines: dict[str, set[int]] = lines) -> Any:
                if frame.f_code.co_filename not in lines:
                    return None
                lines[frame.f_code.co_filename].add(frame.f_lineno)
                return trace

            start = time.process_time()
            threading.settrace(trace)
            sys.settrace(trace)
            passed = self._passes(test)
            sys.settrace(None)
            if not passed:
                return test
            seen[test] = time.process_time() - start, {path: sorted(found) for path, found in lines.items()}
        return seen

    def _against(self, module: ModuleType, mutant: Mutant, order: list[str]) -> str:
        """The first test that fails; nothing where none does."""
        try:
            with mutant.applied() as tree:
                replace(module, tree)
        except Exception as error:  # noqa: BLE001  # whatever it is, nobody would import this
            return f"importing it: {error!r}"
        for test in order:
            signal.setitimer(signal.ITIMER_PROF, 2 + 5 * self.seconds[test])  # where it computes without end
            signal.alarm(120)  # where it waits without end
            if not self._passes(test):
                return test
        return ""


@click.command(help=__doc__)
@click.argument("what", nargs=-1)
@click.option("--tests", multiple=True, help="Only the test files with this in their name.")
def main(what: tuple[str, ...], tests: tuple[str, ...]) -> None:
    names = [word for word in what if not word.isdigit()] or list(MODULES)
    mutation = Mutation(names, {int(word) for word in what if word.isdigit()})
    os.environ["HYPOTHESIS_PROFILE"] = "mutation"
    paths = [str(HERE / "parity" / test) for test in TESTS if not tests or any(part in test for part in tests)]
    code = pytest.main([*ARGUMENTS, "-k", f"not ({LEFT_OUT})", *paths], plugins=[mutation])
    sys.exit(code or (0 if mutation.numbers else tell(mutation)))


def tell(mutation: Mutation) -> int:
    """Counts, survivors that nobody accepted, and those accepted that are none."""
    groups = tomllib.loads((HERE / "mutants_accepted.toml").read_text())["accepted"]
    accepted = {text for group in groups for text in group["mutants"]}
    table = Table("module", "mutants", "killed", "accepted", "open")
    opened = []
    for name, found in mutation.killed.items():
        survivors = {f"{name}.{mutant}": mutant.number for mutant, killed in found if not killed}
        left = survivors.keys() - accepted
        opened += [f"survives: {name} {number}  {text}" for text, number in survivors.items() if text in left]
        stale = {text for text in accepted if text.startswith(f"{name}.")} - survivors.keys()
        opened += [f"accepted, but no survivor: {text}" for text in sorted(stale)]
        numbers = (len(found), len(found) - len(survivors), len(survivors) - len(left), len(left))
        table.add_row(name, *map(str, numbers))
    click.echo("\n".join(opened))
    Console().print(table)
    return int(bool(opened))


if __name__ == "__main__":
    main()
