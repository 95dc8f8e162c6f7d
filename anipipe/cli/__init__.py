"""The command line. Commands of stages come from the registry; nothing else in anipipe prints."""

from __future__ import annotations

import gc
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import click

from anipipe import __version__
from anipipe.engine.executors import limit_threads

limit_threads()  # before anything imports a numerical library

from anipipe.cli import _doctor, _looking, _making, _networks, _nightly, _running, _tidying  # noqa: E402
from anipipe.cli._shared import CONTEXT, complain  # noqa: E402
from anipipe.engine.perform import explain_os_error  # noqa: E402
from anipipe.errors import INTERRUPTED, AnipipeError  # noqa: E402
from anipipe.stages import REGISTRY  # noqa: E402


def main() -> None:
    """Run the command line and end the process."""
    # The plan of a lab is a million small objects that live to the end: it is vain to look for garbage there.
    gc.set_threshold(100_000, 50, 100)
    interruption = Interruption()
    signal.signal(signal.SIGTERM, interruption)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # and not ignored, as behind nohup
        signal.signal(signal.SIGINT, interruption)
    status = invoke(sys.argv[1:])
    gc.freeze()  # nor is it looked for while the process ends
    if interruption.taken:  # Python takes handlers away while it ends, and one more would end it at once
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
    sys.exit(status)


def invoke(arguments: Sequence[str]) -> int:
    """Run one command and return its exit status; see `anipipe --help` for what they mean."""
    try:
        status = cli.main(list(arguments), prog_name="anipipe", standalone_mode=False)
    except click.exceptions.Abort:
        click.echo("interrupted; what was finished is kept, and the next run goes on from there", err=True)
        return INTERRUPTED
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
        complain(explain_os_error(error, Path()))
        return 1
    return status if isinstance(status, int) else 0


class Interruption:
    """Ends what runs, by Ctrl-C or from outside; who is impatient does not disturb the tidying up.

    One more is taken for meant after a while: something may not have ended.
    """

    PATIENCE = 15.0  # seconds

    def __init__(self) -> None:
        self._last: float | None = None

    @property
    def taken(self) -> bool:
        """Whether there was one."""
        return self._last is not None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Take a signal."""
        now = time.monotonic()
        if self._last is None or now - self._last > self.PATIENCE:
            self._last = now
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
    *(_looking.status, _looking.config, _looking.calibration, _doctor.doctor),
    *(_making.init, _making.draw_board, _making.adopt, _tidying.clean),
    *(_networks.create_training_dataset, _networks.train, _networks.evaluate, _networks.bench_model),
    *(_nightly.nightly, _nightly.runs, _nightly.log),
    *_running.stage_commands(REGISTRY),
):
    cli.add_command(_command)
