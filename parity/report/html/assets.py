"""Templates, style and scripts put together to one file that needs no other."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_HERE = "parity.report.html"


def render(template: str, *, scripts: list[str], unpacked: Iterable[str] = (), **values: Any) -> str:
    """A page from a template, with its style and scripts in it.

    Its policy lets it run these scripts alone, and `unpacked`, which it adds by itself, and connect to nothing.
    """
    allowed = (*scripts, *unpacked)
    digests = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in allowed]
    policy = "; ".join(
        (
            "default-src 'none'",
            "script-src " + " ".join(f"'sha256-{digest}'" for digest in digests),
            "style-src 'unsafe-inline'",  # plotly writes rules of its own
            "img-src data:",
        )
    )
    found = _templates().get_template(template)
    return found.render(style=own("style.css"), scripts=scripts, policy=policy, **values)


@cache
def own(name: str) -> str:
    """The text of a file of this package."""
    return resources.files(_HERE).joinpath(name).read_text(encoding="utf-8")


@cache
def plotly() -> str:
    """What draws the charts."""
    from plotly.offline import get_plotlyjs  # noqa: PLC0415  # heavy

    text: str = get_plotlyjs()
    return text


@cache
def packed(script: str) -> str:
    """A third of its size, and not run before the answer is on the screen."""
    return base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()


@cache
def _templates() -> Environment:
    from jinja2 import Environment, FunctionLoader, StrictUndefined  # noqa: PLC0415  # only pages need it

    templates = Environment(
        loader=FunctionLoader(own), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.policies["json.dumps_function"] = _json
    return templates


def _json(value: Any, **_: Any) -> str:
    """Short, and refusing what JSON has no word for; jinja2 escapes what could end the block."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False)
