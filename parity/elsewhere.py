"""A side in a process of its own, by another interpreter: recorded there, and judged here by its trace.

For two sides that cannot be imported together. The other process is `PYTHON -m parity record` with this very package
and that interpreter's own libraries. It is given the experiment and its examples as this process has them, and the
weights to begin with as the reference draws them, so that it trains on just what a side in this process would.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from parity.config import Experiment, Precision
from parity.data import Dataset, Schedule
from parity.errors import CannotJudgeError, ExitCode, SideError, UsageError
from parity.lockstep import draw_weights, start_weights
from parity.paths import is_file
from parity.protocol import Array, Key
from parity.result import Crash, Result
from parity.run import Progress
from parity.sides import BUILT_IN, LoadedSide, SideLike, load_side, made_with
from parity.state import with_state
from parity.trace import Manifest, TraceSide, TraceWriter, is_trace, open_traces

OLDEST = (3, 11)
NEEDED = ("click", "numpy", "pydantic", "rich")
"""What `parity record` imports that is no part of Python. A side may need more, and says so itself."""
_ASKED = """
import sys
print("Python " + ".".join(map(str, sys.version_info[:3])))
if sys.version_info >= (3, 4):
    from importlib.util import find_spec
    print(" ".join(name for name in sys.argv[1:] if find_spec(name) is None))
"""
_RECORDS = """
import os, threading
parent = os.dup(0)
os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # what the side may read
def end_with_parent():
    os.read(parent, 1)  # nothing is ever written: this returns when whoever started us is gone, however it went
    os._exit(1)
threading.Thread(target=end_with_parent, daemon=True).start()
from parity.cli import main
main()
"""
"""`python -m parity`, which does not outlive this process."""
_SECONDS_TO_ANSWER = 60
_SECONDS_BETWEEN = 0.3
"""From one look at how far the recording is to the next."""
_SAYS = "\nparity: "


def diff_elsewhere(
    compare: Callable[..., Result],
    experiment: Experiment,
    *,
    reference: SideLike,
    candidate: SideLike,
    python: str | None,
    reference_python: str | None,
    keep: Path | None,
    dataset: Dataset,
    weights: Mapping[str, Array] | None,
    timeout: float | None,
    recording: Callable[[str], Progress],
    **options: Any,
) -> Result:
    """`parity.run.diff`, or one like it, with one side or both recorded by interpreters of their own.

    Args:
        compare: takes the experiment, both sides, and the options.
        experiment: what to train.
        reference: the side that is trusted.
        candidate: the side that is judged.
        python: the interpreter that trains the candidate; this process does if None.
        reference_python: the same for the reference.
        keep: the folder for the traces; without it they are removed.
        dataset: as for `parity.run.diff`, like the rest.
        weights: the initial weights, where the experiment's are in memory.
        timeout: seconds that one call of a side which is not built in may take.
        recording: says for what is recorded where its progress is shown.
        **options: what else `compare` takes.

    Raises:
        UsageError: as `parity.run.diff`; or an interpreter cannot be used.
        SideError: a side failed before anything was recorded.
    """
    began = time.perf_counter()
    with TemporaryDirectory(prefix="parity-") as temporary:
        other = _OtherProcess(Path(temporary), keep, experiment, dataset, timeout)
        sides: dict[str, SideLike] = {"reference": reference, "candidate": candidate}
        begins: Path | None = None
        for role, interpreter in (("reference", reference_python), ("candidate", python)):
            if interpreter is not None:
                shown = recording(f"{role} in {interpreter}")
                sides[role] = other.record(role, sides[role], interpreter, begins, shown)
            if role == "reference":
                first = load_side(made_with(experiment.declare) if experiment.declare else sides[role], timeout)
                sides[role] = sides[role] if experiment.declare else first
                begins = other.start_of(first, weights)
        experiment = other.recorded_of(experiment)
        recorded = time.perf_counter() - began
        given = {"dataset": dataset, "weights": weights, "timeout": timeout}
        result = compare(experiment, **sides, **given, **options)
    crash = result.crash if other.failure is None else Crash(str(other.failure), other.failure.step)
    timings = {"recording": recorded, **result.timings, "total": recorded + result.timings["total"]}
    return replace(result, crash=crash, timings=timings)


class _OtherProcess:
    """Trains sides by other interpreters, and keeps what they did."""

    def __init__(
        self, folder: Path, keep: Path | None, experiment: Experiment, dataset: Dataset, timeout: float | None
    ) -> None:
        """Write down the experiment with its examples, and lay out this package."""
        self.folder, self.traces, self.experiment, self.dataset = folder, keep or folder, experiment, dataset
        self.timeout = timeout
        self.precisions = experiment.precisions
        """Those in which something was recorded by all."""
        self.failure: SideError | None = None
        """Why a recording ended before all was recorded."""
        np.savez(folder / "data.npz", x=dataset.x, y=dataset.y)
        (folder / "experiment.json").write_text(json.dumps(self._table()), "utf-8")
        self.packages = folder / "packages"
        self.packages.mkdir()
        for name in {"parity", *(target.partition(".")[0] for target in BUILT_IN.values())}:
            found = find_spec(name)
            if found is not None and found.submodule_search_locations:
                # These alone: the folder they lie in may also hold libraries, which fit this interpreter and no other.
                (self.packages / name).symlink_to(Path(found.submodule_search_locations[0]).resolve())

    def _table(self) -> dict[str, Any]:
        table = self.experiment.model_dump(mode="json", exclude={"data"}, exclude_none=True)
        table["data"] = {"source": "npz", "path": "data.npz"}
        if table.get("initial_weights") == "memory":
            del table["initial_weights"]
        elif isinstance(given := table.get("initial_weights"), str):
            table["initial_weights"] = str(Path(given).absolute())
        if state := with_state(self.experiment, self.dataset.x.shape[1]).state:
            np.savez(self.folder / "state.npz", **state)
            table["initial_state"] = "state.npz"
        return table

    def start_of(self, side: LoadedSide, handed: Mapping[str, Array] | None) -> Path | None:
        """A trace of no steps, that begins with the weights which this side draws; None where it draws none."""
        if not side.can("initial_weights"):
            return None
        for precision in self.precisions:
            inputs = self.dataset.x.shape[1]
            drawn = draw_weights(side, self.experiment, inputs, precision)
            weights = start_weights(self.experiment, [drawn], inputs, precision, handed)
            manifest = Manifest(side=side.name, experiment=self._table(), precision=precision)
            writer = TraceWriter(self.folder / "start" / precision, manifest)
            writer.start({Key("update", name): array for name, array in weights.items()})
        return self.folder / "start"

    def record(self, role: str, side: SideLike, python: str, begins: Path | None, progress: Progress) -> LoadedSide:
        """Train a side by another interpreter; its trace as a side.

        Args:
            role: `reference` or `candidate`.
            side: its name.
            python: the interpreter.
            begins: a trace that begins with its weights; None if it may draw them.
            progress: called with the precision, the steps recorded and the steps planned.

        Raises:
            UsageError: there is no such interpreter, it lacks something, or it cannot use what it is given.
            SideError: the side failed before anything was recorded.
        """
        option = "--python" if role == "candidate" else "--reference-python"
        if not isinstance(side, str):
            raise UsageError(
                f"{option} {python}: the {role} is an object of this process, which no other has; give its name: "
                "path/to/file.py:Name or package.module:Name"
            )
        if is_trace(Path(side)):
            raise UsageError(f"{option} {python}: the {role} {side} is a trace, which nobody trains: leave it out")
        check_interpreter(python, option)
        out, log = self.traces / role, self.folder / f"{role}.log"
        words = [python, "-P", "-c", _RECORDS, "record", str(self.folder / "experiment.json"), "--quiet"]
        words += ["--side", side, "--out", str(out)]
        words += [] if begins is None else ["--start-from", str(begins)]
        words += [] if self.timeout is None else ["--timeout", str(self.timeout)]
        with (
            log.open("wb") as said,
            subprocess.Popen(  # noqa: S603  # the interpreter that was asked for
                words, stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, env=self._environment()
            ) as process,
        ):
            try:
                self._watch(process, out, progress)
            finally:
                process.kill()  # on Ctrl-C; where it has ended, nothing
        failure = _failure(process.returncode, log.read_text("utf-8", "replace"), python, side)
        traces = {name: trace for name, trace in (open_traces(out) if is_trace(out) else {}).items() if trace.last_step}
        self.precisions = tuple(precision for precision in self.precisions if precision in traces)
        if failure is not None:
            if not self.precisions:
                raise failure
            last = traces[self.precisions[-1]].last_step
            failure.step = last + 1 if last < self._steps else None
            self.failure = failure
        return LoadedSide(f"{side} ({python})", TraceSide(out))

    @property
    def _steps(self) -> int:
        return Schedule.of(self.experiment, len(self.dataset)).steps

    def _environment(self) -> dict[str, str]:
        """This package first, ahead of the current folder (`-P`), which may hold another one."""
        here = str(Path.cwd())
        paths = [str(self.packages), os.environ.get("PYTHONPATH", ""), here if {"", here} & {*sys.path} else ""]
        return os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}

    def _watch(self, process: subprocess.Popen[bytes], out: Path, progress: Progress) -> None:
        """Wait until it ends, and show how far it is."""
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(_SECONDS_BETWEEN)
            for trace in (open_traces(out) if is_trace(out) else {}).values():
                progress(trace.manifest.precision, sum(file.steps for file in trace.manifest.files), self._steps)
            if process.returncode is not None:
                return

    def recorded_of(self, experiment: Experiment) -> Experiment:
        """The experiment in the precisions that were recorded."""
        precision: Precision = self.precisions[0]
        return experiment.model_copy(update={"precision": "both" if len(self.precisions) > 1 else precision})


def check_interpreter(python: str, option: str) -> None:
    """Whether an interpreter can record.

    Raises:
        UsageError: it cannot be started, is too old, or lacks what keras-parity needs.
    """
    asked = f"{option} {python}"
    try:
        done = subprocess.run(  # noqa: S603  # the interpreter that was asked for
            [python, "-c", _ASKED, *NEEDED],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_SECONDS_TO_ANSWER,
            check=False,
        )
    except OSError as error:
        inside = next(filter(is_file, (Path(python, "bin", "python"), Path(python, "python.exe"))), "")
        meant = f"did you mean {inside}?" if inside else "give the path of a Python, as `which python` says it there"
        raise UsageError(f"{asked}: cannot be started: {error.strerror}; {meant}") from None
    except subprocess.TimeoutExpired:
        raise UsageError(f"{asked}: did not answer within {_SECONDS_TO_ANSWER} s; is it a Python?") from None
    version, _, lacking = done.stdout.partition("\n")
    if done.returncode or not version.startswith("Python "):
        why = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1][:200]
        raise UsageError(f"{asked}: is no Python that can be asked: {why}")
    if tuple(map(int, version.split()[1].split("."))) < OLDEST:
        raise UsageError(
            f"{asked}: is {version}; keras-parity needs {'.'.join(map(str, OLDEST))} or newer. What runs there can "
            "write a trace by itself (docs/trace-format.md), for parity compare"
        )
    if missing := lacking.split():
        listed = f"{python} -m pip install {' '.join(missing)}"
        raise UsageError(f"{asked}: has no {', '.join(missing)}, which recording needs: {listed}")


def _failure(code: int, said: str, python: str, side: str) -> SideError | None:
    """What the other process ended with; what was printed before its message goes where prints go.

    Raises:
        UsageError, CannotJudgeError, KeyboardInterrupt: it says so.
    """
    printed, says, message = f"\n{said}".rpartition(_SAYS) if code > 0 else (f"\n{said}", "", "")
    if not says:
        printed, message = f"\n{said}", (said.strip() or "nothing was said").splitlines()[-1]
    sys.stderr.write(printed[1:] + "\n" * bool(printed[1:] and not printed.endswith("\n")))
    message = message.strip()
    if code == ExitCode.PARITY:
        return None
    if code < 0:
        return SideError(f"{side} ended its process, {python}, by {signal.Signals(-code).name}")
    if code == ExitCode.INTERRUPTED:
        raise KeyboardInterrupt
    if says and code == ExitCode.SIDE_CRASHED:
        return SideError(message)
    if says and code == ExitCode.CANNOT_JUDGE:
        raise CannotJudgeError(message)
    if says and code == ExitCode.USAGE:
        raise UsageError(message)
    raise UsageError(f"{python}: recording {side} ended with exit code {code}: {message}")
