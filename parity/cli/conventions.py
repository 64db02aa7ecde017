"""`parity conventions`."""

from __future__ import annotations

import json

import click


@click.command()
@click.argument("code", required=False)
@click.option("--json", "as_json", is_flag=True, help="Every field, as JSON.")
def conventions(code: str | None, as_json: bool) -> None:
    """List where implementations choose differently; or show one, with its formulas, how it shows, and the fixes.

    CODE is the code of one (l2.penalty), or what the codes of several begin with (l2).

    \b
    Examples:
      parity conventions
      parity conventions l2.penalty
      parity conventions adam
      parity conventions l2.penalty --json
    """  # noqa: D301  # \b is click's
    # Imported here so that --help answers at once.
    from parity.conventions import NAMES, catalogue, select, terminal  # noqa: PLC0415

    chosen = select(code) if code else tuple(catalogue().values())
    if as_json:
        entries = [entry.general().model_dump(mode="json") for entry in chosen]
        click.echo(json.dumps({"schema_version": 1, "names": NAMES, "conventions": entries}, indent=2))
    elif len(chosen) == 1:
        terminal.entry(chosen[0])
    else:
        terminal.overview(chosen)
