"""`parity init`."""

from __future__ import annotations

import click


@click.command()
@click.argument("folder", metavar="DIR")
@click.option("--from", "model", metavar="MODEL.keras", help="Begin with a saved Keras model in place of the example.")
def init(folder: str, model: str | None) -> None:
    """Write an experiment and a network into DIR that run as they are; no file is ever overwritten.

    The network differs from Keras in one place, so that the first comparison has something to find. With --from the
    experiment is that of a saved Keras Sequential, with its weights; nothing that is in the file is executed.

    \b
    Examples:
      parity init mynet
      parity init mynet --from model.keras
    """  # noqa: D301  # \b is click's
    # Imported here so that --help answers at once.
    from parity.starter import write  # noqa: PLC0415

    for line in write(folder, model):
        click.echo(line)
