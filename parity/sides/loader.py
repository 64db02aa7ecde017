"""From the name of a side to the side: `keras`, `scratch[l2.penalty=half]`, `mynet.py:MyNet`, or a trace folder.

The built-in sides are names for modules like anybody's; this package imports neither of them.
"""

from __future__ import annotations

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

from parity.config.given import GivenModel
from parity.errors import ParityError, SideError, UsageError, nearest

BUILT_IN = {"keras": "keras_ref.adapter:KerasSide", "scratch": "scratch_net.adapter:ScratchSide"}
MODEL_READER = "keras_ref.from_model:read"
STAND_IN = "scratch"
"""The side that can be made with any convention: it computes what the reference does where that cannot be changed."""
_REQUIRED = ("start", "step", "weights")
_FORMS = "keras, scratch, scratch[l2.penalty=half], path/to/file.py:Name, package.module:Name or a trace folder"


@dataclass(frozen=True)
class LoadedSide:
    """A side and the name it was asked for by."""

    name: str
    side: Any

    def can(self, ability: str) -> bool:
        """Whether the side offers an optional method."""
        return callable(getattr(self.side, ability, None))

    def environment(self) -> Mapping[str, str]:
        return dict(self.side.environment()) if self.can("environment") else {}


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
    return {code.strip(): choice.strip() for code, _, choice in pairs}


def _module_from_file(path: Path) -> ModuleType:
    if not path.is_file():
        near = sorted(found.name for found in path.parent.glob("*.py"))[:8] if path.parent.is_dir() else []
        msg = f"{path}: no such file" + (f"; in that folder are {', '.join(near)}" if near else "")
        raise UsageError(msg)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        msg = f"{path}: not a Python file"
        raise UsageError(msg)
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.parent.resolve()))  # so that it can import its neighbours
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a stranger's code raises
        raise SideError.raised(str(path), "when it was imported", error) from error
    finally:
        sys.path.pop(0)
    return module


def _find(target: str) -> Any:
    """The object that `path.py:Name` or `package.module:Name` names."""
    where, colon, attribute = target.rpartition(":")
    if not colon or not where or not attribute:
        msg = f"side {target!r} is not known; give {_FORMS}" + nearest(target, BUILT_IN)
        raise UsageError(msg)
    if where.endswith(".py"):
        module = _module_from_file(Path(where))
    else:
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing == where.partition(".")[0]:
                msg = f"side {target!r}: there is no module {where!r}"
            elif missing in {"tensorflow", "keras"}:
                msg = f"side {target!r} needs TensorFlow, which is not installed: pip install 'keras-parity[keras]'"
            else:
                msg = f"side {target!r}: importing {where!r} failed: {error}"
            raise UsageError(msg) from None
        except ParityError:
            raise
        except (Exception, SystemExit) as error:  # whatever a stranger's code raises
            raise SideError.raised(f"side {target!r}", "when it was imported", error) from error
    if not hasattr(module, attribute):
        names = [name for name in vars(module) if not name.startswith("_")]
        msg = f"side {target!r}: {where} has no {attribute!r}" + nearest(attribute, names)
        raise UsageError(msg)
    return getattr(module, attribute)


def read_model(source: Any) -> GivenModel:
    """What the teacher reads of a compiled Keras model, or of a saved one."""
    read: Callable[[Any], GivenModel] = _find(MODEL_READER)
    return read(source)


def _made(spec: str, found: Any) -> Any:
    """A class or a factory makes the side; an instance is one already."""
    made = all(hasattr(found, name) for name in _REQUIRED) and not isinstance(found, type)
    if not made and not callable(found):
        msg = f"side {spec!r} is {type(found).__name__}, which is neither a side nor a class or function that makes one"
        raise UsageError(msg)
    try:
        side = found if made else found()
    except ParityError:
        raise
    except (Exception, SystemExit) as error:  # whatever a stranger's code raises
        raise SideError.raised(spec, "when it was made", error) from error
    if missing := [name for name in _REQUIRED if not callable(getattr(side, name, None))]:
        msg = f"side {spec!r} has no method {', '.join(missing)}; a side needs {', '.join(_REQUIRED)}"
        raise UsageError(msg)
    return side


def load_side(spec: SideLike) -> LoadedSide:
    """Load a side by name, or take an object that is one, or a class or function that makes one.

    Raises:
        UsageError: no such side, or not one (a method of `start`, `step` and `weights` is missing).
    """
    if isinstance(spec, LoadedSide):
        return spec
    if not isinstance(spec, str):
        name = getattr(spec, "__qualname__", None) or type(spec).__qualname__
        return LoadedSide(name, _made(name, spec))
    if spec and spec not in BUILT_IN and (folder := Path(spec)).is_dir():
        from parity.trace import TraceSide  # noqa: PLC0415  # most sides are none

        return LoadedSide(spec, TraceSide(folder))
    match = re.fullmatch(r"(?P<name>[^\[\]]+)(?:\[(?P<choices>[^\[\]]*)\])?", spec.strip())
    if match is None:
        msg = f"side {spec!r} is not readable; give {_FORMS}"
        raise UsageError(msg)
    side = _made(spec, _find(BUILT_IN.get(match["name"], match["name"])))
    if match["choices"]:
        if not callable(getattr(side, "with_conventions", None)):
            msg = f"side {match['name']!r} offers no choice of conventions"
            raise UsageError(msg)
        try:
            side = side.with_conventions(_choices(match["choices"]))
        except ValueError as error:
            msg = f"side {spec!r}: {error}"
            raise UsageError(msg) from None
    return LoadedSide(spec.strip(), side)
