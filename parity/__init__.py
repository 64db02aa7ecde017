"""Does a hand-written network train like Keras? Where do they part, by how much, is it rounding, and what is the fix?

    import parity

    result = parity.diff("experiment.toml", candidate=MyNet)      # an experiment, a file or a mapping
    result = parity.diff(model, x, y, candidate=MyNet)            # a compiled Keras model as it is
    result.verdict, result.first_divergence, result.causes, result.frame

What is here is public; see docs/python-api.md. Nothing is imported before it is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parity.api import Comparison, compare, diff, record
    from parity.config import ConfigError, Experiment, load_experiment
    from parity.errors import CannotJudgeError, ParityError, SideError, UsageError
    from parity.trace.keep import Keep
    from parity.verdict import Verdict

__all__ = [
    "CannotJudgeError",
    "Comparison",
    "ConfigError",
    "Experiment",
    "Keep",
    "ParityError",
    "SideError",
    "UsageError",
    "Verdict",
    "compare",
    "diff",
    "load_experiment",
    "record",
]

_PLACES = {
    "CannotJudgeError": "parity.errors",
    "Comparison": "parity.api",
    "ConfigError": "parity.config",
    "Experiment": "parity.config",
    "Keep": "parity.trace.keep",
    "ParityError": "parity.errors",
    "SideError": "parity.errors",
    "UsageError": "parity.errors",
    "Verdict": "parity.verdict",
    "compare": "parity.api",
    "diff": "parity.api",
    "load_experiment": "parity.config",
    "record": "parity.api",
}


def __getattr__(name: str) -> Any:
    """PEP 562: each name is fetched from its place when it is first asked for."""
    if name not in _PLACES:
        msg = f"module 'parity' has no attribute {name!r}"
        raise AttributeError(msg, name=name, obj=importlib.import_module(__name__))
    value = globals()[name] = getattr(importlib.import_module(_PLACES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
