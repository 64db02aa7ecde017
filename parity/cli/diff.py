"""`parity diff`."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING, Literal

import click

from parity.cli.options import report_option

if TYPE_CHECKING:
    from parity.config import Precision
    from parity.protocol import Lane


@click.command()
@click.argument("experiment", metavar="EXPERIMENT")
@click.option("--reference", default="keras", show_default=True, metavar="SIDE", help="The side that is trusted.")
@click.option("--candidate", default="scratch", show_default=True, metavar="SIDE", help="The side that is judged.")
@click.option("--steps", type=click.IntRange(min=1), help="Number of updates, in place of the experiment's.")
@click.option("--precision", type=click.Choice(["float32", "float64", "both"]), help="In place of the experiment's.")
@click.option("--lane", type=click.Choice(["local", "free", "both"]), default="both", show_default=True)
@report_option("Also write a report")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the experiment.")
@click.option("--explain/--no-explain", default=True, show_default=True, help="Look for the causes of a divergence.")
@click.option(
    "--declare",
    multiple=True,
    metavar="CODE=CHOICE[,...]",
    help="A difference that is meant: passes if the candidate differs in just that. Repeatable.",
)
@click.option(
    "--rtol",
    multiple=True,
    metavar="[PATTERN=]NUMBER",
    help="A fixed tolerance atol + rtol * |reference| in place of the derived budget, for every tensor or for those "
    "that match, as in 'dense*/kernel=1e-5'. Repeatable; goes with --atol.",
)
@click.option("--atol", multiple=True, metavar="[PATTERN=]NUMBER", help="Goes with --rtol; 0 is a value.")
@click.option("--ulp", multiple=True, metavar="[PATTERN=]NUMBER", help="The same, in units in the last place.")
@click.option(
    "--envelope",
    is_flag=True,
    help="Hold the free lane against the drift of rounding (always done where the candidate does not replay).",
)
@click.option(
    "--gradcheck", is_flag=True, help="Also check each side's gradient against its own loss, by differences in float64."
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="What one call of a network of yours may take; no limit if not given.",
)
@click.option(
    "--python",
    metavar="PATH",
    help="The Python that trains the candidate, in a process of its own: for sides that cannot be imported together.",
)
@click.option("--reference-python", metavar="PATH", help="The same for the reference.")
@click.option("--keep-traces", metavar="DIR", help="Keep what these record, in DIR/reference and DIR/candidate.")
@click.option("-q", "--quiet", is_flag=True, help="Only the verdict's line.")
@click.option("-v", "--verbose", is_flag=True, help="Every tensor, and what was not compared.")
def diff(
    experiment: str,
    reference: str,
    candidate: str,
    steps: int | None,
    precision: Precision | Literal["both"] | None,
    lane: Lane | Literal["both"],
    reports: tuple[str, ...],
    overrides: tuple[str, ...],
    explain: bool,
    declare: tuple[str, ...],
    rtol: tuple[str, ...],
    atol: tuple[str, ...],
    ulp: tuple[str, ...],
    envelope: bool,
    gradcheck: bool,
    timeout: float | None,
    python: str | None,
    reference_python: str | None,
    keep_traces: str | None,
    quiet: bool,
    verbose: bool,
) -> None:
    """Train both sides of EXPERIMENT (a TOML or JSON file) in lockstep and say where they part.

    A SIDE is keras, scratch, scratch[l2.penalty=half], path/to/file.py:Name or package.module:Name.

    \b
    Examples:
      parity diff experiment.toml
      parity diff experiment.toml --candidate 'scratch[l2.penalty=half]' --steps 100
      parity diff experiment.toml --set layers.0.kernel_regularizer.l2=0 --report json=-
      parity diff experiment.toml --report html=diff.html --report junit=diff.xml
      parity diff experiment.toml --candidate mynet.py:MyNet --declare l2.penalty=half
      parity diff experiment.toml --candidate mynet.py:MyNet --python ~/old/bin/python
      parity diff experiment.toml --rtol 1e-5 --atol 1e-8 --ulp 'dense*/kernel=2'
    """  # noqa: D301  # \b is click's
    # Imported here so that --help answers at once.
    from parity import api  # noqa: PLC0415
    from parity.cli.aside import prints_aside  # noqa: PLC0415
    from parity.config.tolerances import from_options  # noqa: PLC0415
    from parity.report import measures_for, parse_targets, write_reports  # noqa: PLC0415
    from parity.report.terminal import show  # noqa: PLC0415

    targets = parse_targets(reports)
    with prints_aside():
        result = api.diff(
            experiment,
            reference=reference,
            candidate=candidate,
            steps=steps,
            precision=precision,
            changes=overrides,
            lane=lane,
            explain=explain,
            declare=_declared(declare) or None,
            tolerance=from_options(rtol, atol, ulp),
            envelope=envelope,
            gradcheck=gradcheck,
            timeout=timeout,
            python=python,
            reference_python=reference_python,
            keep_traces=keep_traces,
            progress=not quiet,
            measures=measures_for(targets),
            command=shlex.join(["parity", *sys.argv[1:]]),
        )
    show(result, quiet=quiet, verbose=verbose, to_stderr=any(target.path == "-" for target in targets))
    write_reports(result, targets)
    if result.crash is not None:
        click.echo(f"parity: {result.crash.message}", err=True)
    sys.exit(result.exit_code)


def _declared(options: tuple[str, ...]) -> dict[str, str]:
    from parity.conventions import chosen  # noqa: PLC0415  # it loads pydantic, and --help is to answer at once
    from parity.errors import UsageError  # noqa: PLC0415  # with it

    try:
        return chosen(_pair(text) for texts in options for text in texts.split(","))
    except UsageError as error:
        raise UsageError(f"--declare: {error}") from None


def _pair(text: str) -> tuple[str, str]:
    code, equals, choice = text.partition("=")
    if not equals or not choice:
        msg = f"--declare {text}: expected CODE=CHOICE, for example l2.penalty=half"
        raise click.UsageError(msg)
    return code.strip(), choice.strip()
