"""The command line. A command is a module of this package that is imported when it is called, not before."""

from __future__ import annotations

import importlib
import sys
import traceback

import click

from parity.cli import streams
from parity.errors import ExitCode, ParityError

# Command -> its line in the overview. The module of the same name has the command, also under the same name.
COMMANDS = {
    "init": "Write an experiment and a network that run as they are.",
    "diff": "Train both sides of an experiment and say where they part.",
    "record": "Train one side and write down all that it does.",
    "compare": "Say where two recorded traces part; nothing is trained.",
    "gate": "Hold every case against its committed baseline, without TensorFlow.",
    "conventions": "List where implementations choose differently, and how to make them agree.",
    "selftest": "Plant known mistakes and count how many are found and named.",
    "doctor": "Print the environment that bears on the numbers.",
    "schema": "Print the JSON Schema of an experiment.",
}

_EPILOG = """\b
Examples:
  parity diff experiment.toml
  parity diff experiment.toml --candidate 'scratch[l2.penalty=half]' --report markdown=diff.md
  parity diff experiment.toml --set layers.0.kernel_regularizer.l2=0 --precision float64

\b
Exit codes:
  0 parity   1 diverged   2 usage or config error   3 a side crashed   4 cannot judge   130 interrupted
"""


class _Commands(click.Group):
    """Knows every command's name; imports a command only to run it or to show its help."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002  # click's signature
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(importlib.import_module(f"parity.cli.{cmd_name}"), cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002  # click's
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Commands, epilog=_EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="keras-parity", prog_name="parity")
def cli() -> None:
    """Does a hand-written network train like Keras? Where do they part, by how much, and is it rounding?"""


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; a mistake of the user's is one message, never a traceback."""
    streams.prepare()
    sys.exit(run(cli, arguments, "parity"))


def run(command: click.Command, arguments: list[str] | None, name: str) -> int:
    """Run a command and return the exit code it ends with."""
    try:
        return command.main(args=arguments, prog_name=name, standalone_mode=False) or ExitCode.PARITY
    except click.ClickException as error:
        error.show()
        return ExitCode.USAGE
    except ParityError as error:
        click.echo(f"{name}: {error}", err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo(f"{name}: interrupted", err=True)
        return ExitCode.INTERRUPTED
    except MemoryError as error:
        click.echo(f"{name}: not enough memory: {error or 'an array could not be made'}", err=True)
        return ExitCode.CANNOT_JUDGE
    except Exception:  # noqa: BLE001  # a mistake of ours must not end like a divergence
        click.echo(traceback.format_exc(), err=True)
        click.echo(f"{name}: this is a mistake in keras-parity, not in your network", err=True)
        return ExitCode.CANNOT_JUDGE
