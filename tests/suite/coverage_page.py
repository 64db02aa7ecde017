"""docs/coverage.md: what of Keras is compared, and what is not and why. Made of the table and of not_covered.toml.

python -m tests.suite.coverage_page > docs/coverage.md
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path
from typing import Any

from parity.config import initializers, layers, losses, optimizers, regularizers
from tests.suite.table import TABLE

HERE = Path(__file__).parent
CLASSES: dict[str, tuple[Any, ...]] = {
    "losses": losses.CLASSES,
    "regularizers": regularizers.CLASSES,
    "initializers": initializers.CLASSES,
    "optimizers": optimizers.CLASSES,
    "layers": layers.CLASSES,
}

OURS = {
    "losses": [
        "`SumSquaredError` is not Keras': it is given to `compile` as a function",
        "([keras_ref/build.py](../keras_ref/build.py)).",
    ]
}

HEAD = """# What of Keras is compared

Every feature below is held against Keras itself, run, in float32 and in float64: its value, its gradient or its update
by laws of its own ([tests/suite/laws](../tests/suite/laws)), and in whole runs
([tests/suite/test_runs.py](../tests/suite/test_runs.py)). What Keras exports beyond that is listed with the reason why
it is not covered. The lists are checked against the installed Keras
([tests/suite/test_completeness.py](../tests/suite/test_completeness.py)): what it adds or drops fails the tests until
it is in one of them.
"""


def not_covered() -> dict[str, list[dict[str, Any]]]:
    """Module of Keras' -> groups of names with a reason."""
    return tomllib.loads((HERE / "not_covered.toml").read_text(encoding="utf-8"))


def covered(kind: str) -> list[str]:
    """The names that rows of a kind are about."""
    if kind in CLASSES:
        return [cls.__name__ for cls in CLASSES[kind]]
    return list(TABLE.get(kind, {}))


def _settings(kind: str) -> list[str]:
    """Settings of what is covered that the config reads and refuses, where they would do something."""
    found = []
    for cls in CLASSES.get(kind, ()):
        idle = sorted(name for name, values in cls.keras_only.items() if values)
        if idle:
            found.append(f"{cls.__name__}: {', '.join(f'`{name}`' for name in idle)}")
    return found


def page() -> str:
    lines = [HEAD]
    groups = not_covered()
    for kind in [*TABLE, *(kind for kind in groups if kind not in TABLE)]:
        lines += [f"## keras.{kind}", ""]
        names = covered(kind)
        lines += [f"Compared: {', '.join(f'`{name}`' for name in names) or 'none'}.", ""]
        lines += [*OURS.get(kind, ()), *([""] if kind in OURS else [])]
        if settings := _settings(kind):
            lines += ["Of these, settings that are refused unless they do nothing:", ""]
            lines += [f"- {text}" for text in settings]
            lines += [""]
        lines += ["| not compared | why |", "|---|---|"]
        lines += [f"| {', '.join(f'`{name}`' for name in group['names'])} | {group['why']} |" for group in groups[kind]]
        lines += [""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
