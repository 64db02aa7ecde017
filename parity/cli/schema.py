"""`parity schema`."""

from __future__ import annotations

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of an experiment, for editors and for other programs.

    \b
    Example:
      parity schema > experiment.schema.json
    """  # noqa: D301  # \b is click's
    from parity.config import Experiment  # noqa: PLC0415  # help must not wait for it

    click.echo(json.dumps(Experiment.model_json_schema(), indent=2))
