"""`parity record`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from parity.errors import ExitCode

if TYPE_CHECKING:
    from parity.config import Precision
    from parity.trace.keep import Keep

_KEEP = "all, every=N, around=STEP or divergence"


@click.command()
@click.argument("experiment", metavar="EXPERIMENT")
@click.option("--side", default="keras", show_default=True, metavar="SIDE", help="Who is trained.")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="DIR", help="The folder of the trace.")
@click.option("--steps", type=click.IntRange(min=1), help="Number of updates, in place of the experiment's.")
@click.option("--precision", type=click.Choice(["float32", "float64", "both"]), help="In place of the experiment's.")
@click.option("--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Override a key of the experiment.")
@click.option("--keep", default="all", show_default=True, metavar="STEPS", help=f"What to write: {_KEEP}.")
@click.option(
    "--reference", default="keras", show_default=True, metavar="SIDE", help="For --keep divergence: from whom."
)
@click.option(
    "--start-from",
    type=click.Path(path_type=Path),
    metavar="TRACE",
    help="Begin with the weights that this trace began with, where both sides cannot draw the same.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="What one call of a network of yours may take; no limit if not given.",
)
@click.option("--resume", is_flag=True, help="Go on with a recording that was cut short.")
@click.option("-q", "--quiet", is_flag=True, help="Nothing but mistakes.")
def record(
    experiment: str,
    side: str,
    out: Path,
    steps: int | None,
    precision: Precision | Literal["both"] | None,
    overrides: tuple[str, ...],
    keep: str,
    reference: str,
    start_from: Path | None,
    resume: bool,
    timeout: float | None,
    quiet: bool,
) -> None:
    """Train one side of EXPERIMENT and write all that it does to a folder, its trace (docs/trace-format.md).

    A trace is written as the steps are taken, and can be read whenever the process ends: what is there is whole. It is
    accepted wherever a SIDE is. With both precisions there is one trace each, in DIR/float64 and DIR/float32.

    \b
    Examples:
      parity record experiment.toml --out keras-trace
      parity record experiment.toml --side mynet.py:MyNet --out my-trace --steps 100
      parity record experiment.toml --side mynet.py:MyNet --out my-trace --resume
      parity record experiment.toml --out short-trace --keep every=10
      parity record experiment.toml --side mynet.py:MyNet --out near-trace --keep divergence
    """  # noqa: D301  # \b is click's
    # Imported here so that --help answers at once.
    from parity import api  # noqa: PLC0415
    from parity.trace import recorded_steps  # noqa: PLC0415

    try:
        api.record(
            experiment,
            out=out,
            side=side,
            steps=steps,
            precision=precision,
            changes=overrides,
            keep="divergence" if keep == "divergence" else _keep(keep),
            reference=reference,
            start_from=start_from,
            resume=resume,
            timeout=timeout,
            progress=not quiet,
        )
    except KeyboardInterrupt:
        there = "; ".join(f"{count} steps in {folder}" for folder, count in recorded_steps(out)) or "nothing yet"
        click.echo(f"parity: interrupted; recorded is {there}. --resume goes on", err=True)
        sys.exit(ExitCode.INTERRUPTED)
    if not quiet:
        for folder, count in recorded_steps(out):
            click.echo(f"recorded {count} steps of {side} in {folder}")


def _keep(text: str) -> Keep:
    from parity.trace.keep import Keep  # noqa: PLC0415  # --help must be quick

    keep = Keep.read(text)
    if keep is None:
        raise click.UsageError(f"--keep {text}: expected {_KEEP}")
    return keep
