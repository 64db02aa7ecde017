"""`parity compare`."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from parity.cli.options import report_option

if TYPE_CHECKING:
    from parity.config import Precision
    from parity.protocol import Lane


@click.command()
@click.argument("reference", metavar="REFERENCE_TRACE", type=click.Path(path_type=Path))
@click.argument("candidate", metavar="CANDIDATE_TRACE", type=click.Path(path_type=Path))
@click.option("--steps", type=click.IntRange(min=1), help="Compare no more than so many.")
@click.option("--precision", type=click.Choice(["float32", "float64"]), help="One alone, where both are recorded.")
@click.option("--lane", type=click.Choice(["local", "free", "both"]), default="both", show_default=True)
@report_option("Also write a report")
@click.option("--explain/--no-explain", default=True, show_default=True, help="Look for the causes of a divergence.")
@click.option("--rtol", multiple=True, metavar="[PATTERN=]NUMBER", help="A fixed tolerance, as in parity diff.")
@click.option("--atol", multiple=True, metavar="[PATTERN=]NUMBER", help="Goes with --rtol; 0 is a value.")
@click.option("--ulp", multiple=True, metavar="[PATTERN=]NUMBER", help="The same, in units in the last place.")
@click.option("-q", "--quiet", is_flag=True, help="Only the verdict's line.")
@click.option("-v", "--verbose", is_flag=True, help="Every tensor, and what was not compared.")
def compare(
    reference: Path,
    candidate: Path,
    steps: int | None,
    precision: Precision | None,
    lane: Lane | Literal["both"],
    reports: tuple[str, ...],
    explain: bool,
    rtol: tuple[str, ...],
    atol: tuple[str, ...],
    ulp: tuple[str, ...],
    quiet: bool,
    verbose: bool,
) -> None:
    """Hold two recorded traces of one experiment against each other. Nothing is trained, and TensorFlow is not needed.

    The verdict, the first divergence and its cause are those of parity diff. A trace cannot be asked again, so each of
    its operations is judged by the inputs that it recorded itself.

    \b
    Examples:
      parity compare keras-trace my-trace
      parity compare keras-trace my-trace --steps 10 --report markdown=diff.md
    """  # noqa: D301  # \b is click's
    # Imported here so that --help answers at once.
    from parity import api  # noqa: PLC0415
    from parity.config.tolerances import from_options  # noqa: PLC0415
    from parity.report import parse_targets, write_reports  # noqa: PLC0415
    from parity.report.terminal import show  # noqa: PLC0415

    targets = parse_targets(reports)
    result = api.compare(
        reference,
        candidate,
        steps=steps,
        precision=precision,
        lane=lane,
        explain=explain,
        tolerance=from_options(rtol, atol, ulp),
        progress=not quiet,
        command=shlex.join(["parity", *sys.argv[1:]]),
    )
    show(result, quiet=quiet, verbose=verbose, to_stderr=any(target.path == "-" for target in targets))
    write_reports(result, targets)
    sys.exit(result.exit_code)
