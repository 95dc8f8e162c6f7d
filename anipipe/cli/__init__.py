"""The command line. Commands of stages come from the registry; nothing else in anipipe prints."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from types import FrameType

import click

from anipipe import __version__
from anipipe.engine.executors import limit_threads

limit_threads()  # before anything imports a numerical library

from anipipe.cli import _looking, _making, _networks, _running  # noqa: E402
from anipipe.cli._shared import CONTEXT, complain  # noqa: E402
from anipipe.errors import AnipipeError  # noqa: E402
from anipipe.stages import REGISTRY  # noqa: E402


def main() -> None:
    """Run the command line and end the process."""
    signal.signal(signal.SIGTERM, _terminated)
    sys.exit(invoke(sys.argv[1:]))


def invoke(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; see `anipipe --help` for what they mean."""
    try:
        status = cli.main(list(arguments), prog_name="anipipe", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted; what was finished is kept, and the next run goes on from there", err=True)
        return 130
    except click.ClickException as error:
        error.show()
        return 2
    except AnipipeError as error:
        complain(str(error))
        return error.exit_status
    except OSError as error:
        if isinstance(error, BrokenPipeError):  # the reader of a pipe, such as head, has seen enough
            sys.stderr.close()
            return 0
        complain(str(error))
        return 1
    return status if isinstance(status, int) else 0


def _terminated(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


@click.group(context_settings=CONTEXT)
@click.version_option(__version__, prog_name="anipipe")
def cli() -> None:
    """From folders of videos to 2D and 3D poses, joint angles and tables.

    Run a command in an experiment's folder (one with a config.toml), or name folders: experiments, sessions
    in them, or folders that hold many experiments. Only what changed is done again; `anipipe status --why`
    tells what, and because of what.

    \b
    Exit status: 0 done or up to date, 1 something failed, 2 wrong usage or configuration,
                 75 locked by another run, 130 interrupted.
    """  # noqa: D301 - click's mark for lines that are not to be joined


for _command in (
    *(_looking.status, _looking.config, _looking.calibration),
    *(_making.init, _making.draw_board, _making.adopt),
    *(_networks.create_training_dataset, _networks.train, _networks.evaluate, _networks.bench_model),
    *_running.stage_commands(REGISTRY),
):
    cli.add_command(_command)
