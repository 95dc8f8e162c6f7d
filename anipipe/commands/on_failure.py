"""The user's own command, called when a night went wrong: it sends mail, or a message to a chat."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from anipipe.errors import UsageError

#: Seconds after which the command is ended.
PATIENCE = 300.0
_SAID = 2000  # characters shown, of the end of what it says


def parse(command: str) -> list[str]:
    """Return the words of a command line, as a shell would split it; nothing in it is expanded.

    Raises
    ------
    UsageError
        If there is no word, or a quotation mark is left open.
    """
    try:
        words = shlex.split(command, posix=os.name != "nt")
    except ValueError as error:
        raise UsageError(f"--on-failure {command}: {error}") from error
    if not words:
        raise UsageError("--on-failure: names no command")
    # Not in the way of POSIX, in which a backslash of a Windows path would be taken away.
    return [word.strip('"') for word in words] if os.name == "nt" else words


def is_there(words: Sequence[str]) -> bool:
    """Say whether a command can be started, as far as can be told without doing so."""
    return shutil.which(words[0]) is not None


def call(
    words: Sequence[str], page: Path, data: Path, status: int, text: str, *, patience: float = PATIENCE
) -> str:
    """Run a command with the report's two files as arguments, and a summary to read.

    Parameters
    ----------
    words : sequence of str
        The command.
    page, data : Path
        The report to look at, and for programs: its last two arguments.
    status : int
        The night's exit status: ``ANIPIPE_STATUS``. ``ANIPIPE_REPORT`` is the page.
    text : str
        Its standard input.
    patience : float
        Seconds after which it is ended, with all that it started.

    Returns
    -------
    str
        What went wrong with it; empty if nothing did.
    """
    command = [*words, str(page), str(data)]
    environment = {**os.environ, "ANIPIPE_REPORT": str(page), "ANIPIPE_STATUS": str(status)}
    # Files rather than pipes: a child that it leaves behind would keep a pipe open, and us waiting.
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as said:
        given.write(text.encode("utf-8", "backslashreplace"))
        given.seek(0)
        try:
            process = subprocess.Popen(
                command,
                stdin=given,
                stdout=said,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            return f"--on-failure {words[0]}: cannot be started: {error}"
        try:
            status = process.wait(patience)
        except subprocess.TimeoutExpired:
            _end(process)
            return f"--on-failure {words[0]}: took longer than {patience:g} s, and was ended"
        if status == 0:
            return ""
        said.seek(0)
        words_said = said.read().decode("utf-8", "backslashreplace").strip()[-_SAID:]
        return f"--on-failure {words[0]}: exit status {status}" + (f"\n{words_said}" if words_said else "")


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(OSError):
        if sys.platform == "win32":
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
