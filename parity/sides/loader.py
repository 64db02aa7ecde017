"""From the name of a side to the side: `keras`, `scratch[l2.penalty=half]`, `mynet.py:MyNet`, or a trace folder.

The built-in sides are names for modules like anybody's; this package imports neither of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from parity import switches
from parity.config.given import GivenModel
from parity.conventions import chosen
from parity.errors import ParityError, SideError, UsageError, nearest
from parity.paths import is_file, is_folder
from parity.sides.guard import Guard

BUILT_IN = {"keras": "keras_ref.adapter:KerasSide", "scratch": "scratch_net.adapter:ScratchSide"}
MODEL_READER = "keras_ref.from_model:read"
OF_LIBRARIES = {
    "keras2": "keras_ref.keras2:Keras2Side",
    "sklearn": "parity.sides.scikit_learn:ScikitLearnSide",
    "torch": "parity.sides.pytorch:TorchSide",
}
_SHORT = BUILT_IN | OF_LIBRARIES
_INSTALL = {
    "tensorflow": ("TensorFlow", "keras"),
    "keras": ("Keras", "keras"),
    "tf_keras": ("Keras 2 (tf_keras)", "keras2"),
    "sklearn": ("scikit-learn", "sklearn"),
    "torch": ("PyTorch", "torch"),
}
"""What is missing -> what it is called, and the extra of this package that has it."""
STAND_IN = "scratch"
"""The side that can be made with any convention: it computes what the reference does where that cannot be changed."""
OF_RECORDINGS = ("spans", "pass_over")
_REQUIRED = ("start", "step", "weights")
_NAMED = re.compile(r"(?P<name>.+?)(?:\[(?P<choices>[^\[\]]*)\])?")
_FORMS = f"{', '.join(_SHORT)}, scratch[l2.penalty=half], path/to/file.py:Name, package.module:Name or a trace folder"


@dataclass(frozen=True)
class LoadedSide:
    """A side and the name it was asked for by."""

    name: str
    side: Any
    guard: Guard | None = None
    """Of a side whose code we do not know; None for the built-in ones."""

    def call(self, method: str, step: int, *arguments: Any) -> Any:
        """Call a method of the side at a step, 0 before the first.

        Raises:
            SideError: what it raises is reported as its own.
        """
        function, at = (
            getattr(self.side, method),
            f"in {method}() {f'at step {step}' if step else 'before the first step'}",
        )
        try:
            if self.guard is None:
                return function(*arguments)
            return self.guard.call(function, arguments, at, anew=method == "start")
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's code raises
            if isinstance(error, MemoryError) and self.guard is None:
                raise  # that of the experiment: it asks for more than there is
            if isinstance(error, ParityError) and not isinstance(error, SideError):
                raise  # told in plain words already
            told = error if isinstance(error, SideError) else SideError.raised(self.name, at, error, function)
            told.step = step
            raise told from error

    @property
    def remarks(self) -> Mapping[str, str]:
        """What else there is to tell of it: what it did, and when first."""
        return {} if self.guard is None else self.guard.remarks

    def can(self, ability: str) -> bool:
        """Whether the side offers an optional method; what a stranger calls `spans` is its own affair."""
        if self.guard is not None and ability in OF_RECORDINGS:
            return False
        return callable(getattr(self.side, ability, None))

    def environment(self) -> Mapping[str, str]:
        if not self.can("environment"):
            return {}
        try:
            return dict(self.call("environment", 0))
        except (SideError, TypeError, ValueError) as error:
            if self.guard is None:
                raise
            self.guard.remark("its environment is not told", str(error))
            return {}


def made_with(choices: Mapping[str, str]) -> str:
    """The name of the NumPy network with these choices."""
    listed = ",".join(f"{code}={choice}" for code, choice in choices.items())
    return f"{STAND_IN}[{listed}]" if listed else STAND_IN


def stand_in_for(reference: LoadedSide) -> str:
    """The name of the NumPy network with the choices that the reference is known to make."""
    if reference.can("spans"):
        return _stand_in_named(reference.side.recorded_side)
    return made_with(reference.call("makes", 0) if reference.can("makes") else {})


def _stand_in_named(recorded: str) -> str:
    """The network with the choices in the name that a built-in side was recorded under.

    Whoever wrote the recording may have called it anything: the network has to be in parity with it all the same.
    """
    match = _NAMED.fullmatch(recorded)
    if match is None or match["name"] not in BUILT_IN or not match["choices"]:
        return STAND_IN
    try:
        load_side(name := made_with(_choices(match["choices"])))
    except UsageError:  # no choices, or of another version's catalogue
        return STAND_IN
    return name


class Trains(Protocol):
    """All that is required of a side; what it offers beyond is in `parity.protocol.Side`."""

    def start(self, experiment: Any, weights: Any) -> Any: ...

    def step(self, x: Any, y: Any) -> Any: ...

    def weights(self) -> Any: ...


SideLike = str | LoadedSide | Trains | Callable[[], Trains]
"""A side's name, the side itself, or a class or function that makes it."""


def _choices(text: str) -> dict[str, str]:
    """`l2.penalty=half,loss.mean=batch` as a mapping."""
    pairs = [pair.partition("=") for pair in text.split(",") if pair.strip()]
    if wrong := [code for code, equals, _ in pairs if not equals]:
        msg = f"[{text}]: expected code=choice, received {wrong[0]!r}"
        raise UsageError(msg)
    try:
        return chosen((code.strip(), choice.strip()) for code, _, choice in pairs)
    except UsageError as error:
        raise UsageError(f"[{text}]: {error}") from None


def _module_from_file(path: Path) -> ModuleType:
    if not is_file(path):
        near = sorted(found.name for found in path.parent.glob("*.py"))[:8] if is_folder(path.parent) else []
        msg = f"{path}: no such file" + (f"; in that folder are {', '.join(near)}" if near else "")
        raise UsageError(msg)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        msg = f"{path}: not a Python file"
        raise UsageError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # so that it can import its neighbours
    try:
        with switches.set_by_sides():
            spec.loader.exec_module(module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's code raises
        raise SideError.raised(str(path), "when it was imported", error) from error
    finally:
        sys.path.pop(0)
    return module


def _packages(extra: str) -> str:
    """What an extra of this package asks for, as arguments of pip's: not the extra, which the index need not know."""
    try:
        asked = [each.partition(";") for each in metadata.requires("keras-parity") or ()]
    except metadata.PackageNotFoundError:  # it runs from a checkout
        return f"'.[{extra}]'"
    wanted = [package.strip() for package, _, marker in asked if f'extra == "{extra}"' in marker.replace("'", '"')]
    return shlex.join(package for package in wanted if not package.startswith("keras-parity"))


def _find(target: str) -> Any:
    """The object that `path.py:Name` or `package.module:Name` names."""
    where, colon, attribute = target.rpartition(":")
    if not colon or not where or not attribute:
        msg = f"side {target!r} is not known; give {_FORMS}" + nearest(target, _SHORT)
        raise UsageError(msg)
    if where.endswith(".py"):
        module = _module_from_file(Path(where))
    else:
        try:
            with switches.set_by_sides():
                module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing == where.partition(".")[0]:
                msg = f"side {target!r}: there is no module {where!r}"
            elif missing in _INSTALL:
                library, extra = _INSTALL[missing]
                msg = f"side {target!r} needs {library}, which is not installed: pip install {_packages(extra)}"
            else:
                msg = f"side {target!r}: importing {where!r} failed: {error}"
            raise UsageError(msg) from None
        except ParityError:
            raise
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a stranger's code raises
            raise SideError.raised(f"side {target!r}", "when it was imported", error) from error
    if not hasattr(module, attribute):
        names = [name for name, value in vars(module).items() if name[0] != "_" and not isinstance(value, ModuleType)]
        msg = f"side {target!r}: {where} has no {attribute!r}" + nearest(attribute, names)
        raise UsageError(msg)
    return getattr(module, attribute)


def read_model(source: Any) -> GivenModel:
    """What the teacher reads of a compiled Keras model, or of a saved one."""
    read: Callable[[Any], GivenModel] = _find(MODEL_READER)
    return read(source)


def load_side(spec: SideLike, timeout: float | None = None) -> LoadedSide:
    """Load a side by name, or take an object that is one, or a class or function that makes one.

    Args:
        spec: the side; a `LoadedSide` is taken as it is.
        timeout: seconds that each call of a side which is not built in may take.

    Raises:
        UsageError: no such side, or not one (a method of `start`, `step` and `weights` is missing).
        SideError: its own code raised.
    """
    if isinstance(spec, LoadedSide):
        return spec
    if not isinstance(spec, str):
        name = getattr(spec, "__qualname__", None) or type(spec).__qualname__
        of_object = Guard(name, timeout)
        return LoadedSide(name, of_object.call(_made, (name, spec), "when it was made"), of_object)
    if spec and spec not in _SHORT and is_folder(folder := Path(spec)):
        from parity.trace import TraceSide  # noqa: PLC0415  # most sides are none

        return LoadedSide(spec, TraceSide(folder))
    match = _NAMED.fullmatch(spec.strip())
    if match is None:
        msg = f"side {spec!r} is not readable; give {_FORMS}"
        raise UsageError(msg)
    guard = None if match["name"] in BUILT_IN else Guard(spec.strip(), timeout)
    arguments = spec, match["name"]
    side = _named(*arguments) if guard is None else guard.call(_named, arguments, "when it was made")
    if match["choices"]:
        if not callable(getattr(side, "with_conventions", None)):
            msg = f"side {match['name']!r} offers no choice of conventions"
            raise UsageError(msg)
        choices = _choices(match["choices"])
        try:
            side = LoadedSide(spec.strip(), side, guard).call("with_conventions", 0, choices)
        except SideError as error:
            if not isinstance(error.__cause__, ValueError):
                raise
            msg = f"side {spec!r}: {error.__cause__}{_meant(side, choices)}"
            raise UsageError(msg) from None
    return LoadedSide(spec.strip(), side, guard)


def _named(spec: str, name: str) -> Any:
    return _made(spec, _find(_SHORT.get(name, name)))


def _made(spec: str, found: Any) -> Any:
    """The side: an instance is one already, a class or a factory makes it."""
    made = all(hasattr(found, method) for method in _REQUIRED) and not isinstance(found, type)
    if not made and not callable(found):
        msg = f"side {spec!r} is {type(found).__name__}, which is neither a side nor a class or function that makes one"
        raise UsageError(msg)
    if not made:
        _takes_nothing(spec, found)
    try:
        side = found if made else found()
    except ParityError:
        raise
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # whatever a stranger's code raises
        raise SideError.raised(spec, "when it was made", error) from error
    if isinstance(side, type):
        msg = f"side {spec!r} returned the class {side.__name__}; return an object of it: {side.__name__}()"
        raise UsageError(msg)
    if missing := [method for method in _REQUIRED if not callable(getattr(side, method, None))]:
        given = "" if made or isinstance(found, type) else f" ({spec} returned {type(side).__name__})"
        msg = f"side {spec!r} has no method {', '.join(missing)}{given}; a side needs {', '.join(_REQUIRED)}"
        raise UsageError(msg)
    return side


def _takes_nothing(spec: str, maker: Any) -> None:
    """A class or function that makes a side is called without arguments."""
    try:
        needed = [
            name
            for name, parameter in inspect.signature(maker).parameters.items()
            if parameter.default is parameter.empty
            and parameter.kind not in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD}
        ]
    except (TypeError, ValueError):  # written in C
        return
    if needed:
        msg = (
            f"side {spec!r} needs {', '.join(needed)} to be made; it is made without arguments: give a function that "
            "makes it with them, or have start(experiment, weights) find them there"
        )
        raise UsageError(msg)


def _meant(side: Any, choices: Mapping[str, str]) -> str:
    """The nearest code or choice to one that the side does not know."""
    known = side.conventions() if callable(getattr(side, "conventions", None)) else {}
    for code, choice in choices.items():
        if code not in known:
            return nearest(code, known)
        if choice not in known[code] and (meant := nearest(choice, known[code])):
            return meant
    return ""
