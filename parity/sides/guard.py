"""Calls into somebody else's code, and what it does to the process it shares with everybody else.

A stranger's call has the global random generators for itself: it goes on where its own last call left them, from the
same seed whenever it starts, so that it can neither change another's numbers nor be changed by them, and does the same
when it is asked a second time. What it warns of is noted with its place, and a call that takes too long is left behind.

Generators and filters of warnings are the process's: only one guarded call may be on its way at a time.
"""

from __future__ import annotations

import ctypes
import os
import random
import threading
import warnings
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from queue import SimpleQueue
from typing import Any, NoReturn

import numpy as np

from parity.errors import SideError

_SEED = 0
_QUIET = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)
"""What Python itself shows nobody."""


class Guard:
    """Makes the calls of one side."""

    def __init__(self, name: str, timeout: float | None = None) -> None:
        self.name, self.timeout = name, timeout
        self.remarks: dict[str, str] = {}
        """What else there is to tell of the side: what it did, and when first."""
        self.tells: dict[Hashable, dict[Any, str]] = {}
        """The shapes of all that it tells since it was started, by what it was asked."""
        self._generators: tuple[Any, Any] | None = None
        self._worker: Worker | None = None
        self._left_at = ""

    def call(self, function: Callable[..., Any], arguments: tuple[Any, ...], at: str, *, anew: bool = False) -> Any:
        """Call it; `anew` gives it random generators as they were at its first call.

        Raises:
            SideError: it does not return in time. What it raises itself comes through.
        """
        if self._left_at:
            msg = f"{self.name} still has not returned from {self._left_at}"
            raise SideError(msg)
        with self._own_generators(anew), self._noted_warnings(at), _outliving():
            if self.timeout is None:
                return function(*arguments)
            self._worker = self._worker or Worker()
            try:
                return self._worker.run(lambda: function(*arguments), self.timeout)
            except LateError:
                self._left_at = at
                msg = f"{self.name} did not return within {self.timeout:g} s (--timeout) {at}"
                raise SideError(msg) from None

    def remark(self, what: str, why: str) -> None:
        """Note something; the first time counts."""
        self.remarks.setdefault(what, why)

    @contextmanager
    def _own_generators(self, anew: bool) -> Iterator[None]:
        ours = np.random.get_state(), random.getstate()  # noqa: NPY002  # the global one is what strangers use
        if self._generators is None or anew:
            np.random.seed(_SEED)  # noqa: NPY002
            random.seed(_SEED)
        else:
            np.random.set_state(self._generators[0])  # noqa: NPY002
            random.setstate(self._generators[1])
        try:
            yield
        finally:
            self._generators = np.random.get_state(), random.getstate()  # noqa: NPY002
            np.random.set_state(ours[0])  # noqa: NPY002
            random.setstate(ours[1])

    @contextmanager
    def _noted_warnings(self, at: str) -> Iterator[None]:
        """The side's warnings are noted; those of other threads are shown as ever."""
        shown, caller = warnings.showwarning, threading.get_ident()

        def note(message: Any, category: Any, filename: str, lineno: int, *rest: Any) -> None:
            if threading.get_ident() not in {caller, self._worker and self._worker.ident}:
                if not issubclass(category, _QUIET):
                    shown(message, category, filename, lineno, *rest)
                return
            self.remark(f"{category.__name__}: {message} ({filename}, line {lineno})", f"first {at}")

        with warnings.catch_warnings():
            warnings.simplefilter("default")
            warnings.showwarning = note  # type: ignore[assignment]  # its last arguments are passed on as they come
            yield


_ends = os._exit
_calling: set[tuple[int, int]] = set()
"""Process and thread of every call that is on its way, or was left behind."""


def _exit(status: int) -> NoReturn:
    """`os._exit` would end the run with no verdict and an exit code of the side's own, 0 for one: in a call it raises.

    Other threads, and a process that the side forks, end with it as ever.
    """
    if (os.getpid(), threading.get_ident()) in _calling:
        msg = f"os._exit({status})"
        raise SystemExit(msg)
    _ends(status)


@contextmanager
def _outliving() -> Iterator[None]:
    """This thread makes a call that must not end the process."""
    os._exit = _exit  # for good: it may be known by other names from here on
    this = os.getpid(), threading.get_ident()
    nested = this in _calling
    _calling.add(this)
    try:
        yield
    finally:
        if not nested:
            _calling.discard(this)


class LateError(Exception):
    """A call takes longer than it may."""


class Worker:
    """Makes calls in a thread of its own, for which nobody has to wait: not even the end of the process."""

    def __init__(self) -> None:
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]]] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="side", daemon=True)
        self._thread.start()

    @property
    def ident(self) -> int | None:
        return self._thread.ident

    def run(self, function: Callable[[], Any], timeout: float) -> Any:
        """What the function returns or raises.

        Raises:
            LateError: it takes longer. Python code is stopped at its next line; code in C goes on until it returns.
        """
        future: Future[Any] = Future()
        self._calls.put((future, function))
        try:
            return future.result(timeout)
        except TimeoutError:
            if future.done():  # its own
                raise
        stop = ctypes.pythonapi.PyThreadState_SetAsyncExc
        stop(ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(SystemExit))
        raise LateError

    def _work(self) -> None:
        _calling.add((os.getpid(), threading.get_ident()))
        while True:
            future, function = self._calls.get()
            try:
                future.set_result(function())
            except BaseException as error:  # noqa: BLE001  # handed on to who waits for it
                future.set_exception(error)
