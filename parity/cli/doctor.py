"""`parity doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.option(
    "--baseline", type=click.Path(path_type=Path), metavar="CASE", help="Compare with where this case was recorded."
)
@click.option("--json", "as_json", is_flag=True, help="As one JSON document.")
def doctor(baseline: Path | None, *, as_json: bool) -> None:
    """Print the environment, as far as it bears on the numbers, and what of it differs from a baseline's.

    Nothing is loaded but NumPy: of Keras and TensorFlow the installed versions are told.

    \b
    Examples:
      parity doctor
      parity doctor --baseline reports/l2-digits --json
    """  # noqa: D301  # \b is click's
    from parity.doctor import differences, environment  # noqa: PLC0415  # --help must be quick
    from parity.switches import SWITCHES  # noqa: PLC0415  # --help must be quick

    now, then = environment(), _recorded(baseline)
    changed = {} if then is None else differences(then, now)
    if as_json:
        document: dict[str, object] = {"environment": now}
        if then is not None:
            document["baseline"] = then
            document["differs"] = {name: {"baseline": was, "now": is_} for name, (was, is_) in changed.items()}
        click.echo(json.dumps(document, indent=2, ensure_ascii=False))
        return
    width = max(map(len, now))
    for name, value in now.items():
        was = f"   (baseline: {changed[name][0]})" if name in changed else ""
        meaning = f"   {SWITCHES[name]}" if name in SWITCHES else ""
        click.echo(f"{name:<{width}}  {value}{was}{meaning}")
    if then is not None:
        click.echo(
            f"\n{len(changed)} of {len(then)} differ from the baseline" + (f": {', '.join(changed)}" if changed else "")
        )


def _recorded(case: Path | None) -> dict[str, str] | None:
    """The environment that a case's baseline was made in."""
    if case is None:
        return None
    from parity.gate import baseline  # noqa: PLC0415  # --help must be quick
    from parity.paths import is_folder  # noqa: PLC0415  # --help must be quick

    folder = case if is_folder(case) else case.parent
    return baseline.read(folder, f"parity gate {folder} --update").contents.environment
