"""What starts ``anipipe nightly`` every night: templates, filled in for this machine."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import anipipe
from anipipe.errors import UsageError
from anipipe.project import absolute


@dataclass(frozen=True)
class Template:
    """A kind of timetable.

    Attributes
    ----------
    files : tuple of str
        In ``templates/nightly``; printed one after another.
    quote : callable
        Writes the words of a command as such a file wants them.
    """

    files: tuple[str, ...]
    quote: Callable[[Sequence[str]], str]


def _crontab(words: Sequence[str]) -> str:
    return shlex.join(words).replace("%", r"\%")  # cron takes a bare one for a line break


def _systemd(words: Sequence[str]) -> str:
    """Quote as systemd.service(5) says under "Command lines"."""

    def one(word: str) -> str:
        for letter, other in (("\\", "\\\\"), ('"', '\\"'), ("$", "$$"), ("%", "%%")):
            word = word.replace(letter, other)
        return f'"{word}"'

    return " ".join(map(one, words))


def _windows(words: Sequence[str]) -> str:
    return escape(subprocess.list2cmdline(words))


#: By the name that ``anipipe nightly --template`` takes.
TEMPLATES = {
    "crontab": Template(("crontab",), _crontab),
    "systemd": Template(("anipipe-nightly.service", "anipipe-nightly.timer"), _systemd),
    "windows": Template(("windows-task.xml",), _windows),
    "slurm": Template(("slurm.sh",), shlex.join),
}


def program() -> list[str]:
    """Return the words that start this installation of anipipe, from anywhere."""
    script = Path(sys.executable).with_name("anipipe.exe" if os.name == "nt" else "anipipe")
    return [str(script)] if script.exists() else [sys.executable, "-m", "anipipe.cli"]


def filled(name: str, roots: Sequence[Path], words: Sequence[str] | None = None) -> str:
    """Return a template with this installation's program and the roots filled in.

    Parameters
    ----------
    name : str
        A key of :data:`TEMPLATES`.
    roots : sequence of Path
        What ``anipipe nightly`` is to work on.
    words : sequence of str, optional
        What starts anipipe; else :func:`program`.

    Raises
    ------
    UsageError
        If a path holds what such a file cannot say.
    """
    template, words = TEMPLATES[name], list(words or program())
    places = [str(absolute(root)) for root in roots]
    for place in (*words, *places):
        if any(not letter.isprintable() for letter in place):
            raise UsageError(
                f"{place!r}: a name with control characters cannot stand in a timetable; rename it"
            )
    values = {
        "program": template.quote(words[:1]),
        "arguments": template.quote(words[1:]),
        "roots": template.quote(places),
    }
    return "\n".join(_fill(_folder() / file, values) for file in template.files)


def _fill(path: Path, values: dict[str, str]) -> str:
    text = path.read_text(encoding="utf-8")
    for key, value in values.items():
        text = text.replace(f"{{{{{key}}}}} ", f"{value} " if value else "").replace(f"{{{{{key}}}}}", value)
    return text


def _folder() -> Path:
    """Return where templates lie: in the package where it is installed, beside it in a working copy."""
    package = Path(anipipe.__file__).parent
    installed = package / "templates"
    return (installed if installed.is_dir() else package.parent / "templates") / "nightly"
