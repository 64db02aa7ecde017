"""Options that several commands have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from parity.report import FORMATS


def report_option(what: str) -> Callable[[Any], Any]:
    """`--report FORMAT=PATH`, repeatable; `what` it writes is said first."""
    *names, last = FORMATS
    return click.option(
        "--report",
        "reports",
        multiple=True,
        metavar="FORMAT=PATH",
        help=f"{what}: {', '.join(names)} or {last}; - is standard output. Repeatable; github alone is the summary of "
        "the GitHub job that runs.",
    )
