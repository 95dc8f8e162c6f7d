"""What the doctor finds, and how a check that itself breaks down is kept from ending the others."""

from __future__ import annotations

import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from anipipe.errors import AnipipeError

Level = Literal["critical", "warning", "note", "ok"]
#: The worst first.
LEVELS: tuple[Level, ...] = ("critical", "warning", "note", "ok")
#: Is told what is being looked at, how many are done, and of how many.
Step = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Finding:
    """Something that was looked at, and how it was found.

    Attributes
    ----------
    level
        ``critical``: something will fail, or come out wrong; ``warning``: it may; ``note``: worth knowing.
    subject
        What it belongs to: installation, machine, disk, ...
    about
        What was looked at; empty where the text says it.
    text
        What was found, with figures.
    remedy
        What to do; empty where that is nothing, or where the text says it.
    """

    level: Level
    subject: str
    about: str
    text: str
    remedy: str = ""


@dataclass
class Report:
    """Everything that was found on a machine, or in one experiment.

    Attributes
    ----------
    experiment
        Its folder; None: installation and machine.
    findings
    left_out
        What was not looked at.
    unreadable
        The configuration cannot be used, so that hardly anything could be looked at.
    """

    experiment: Path | None
    findings: list[Finding] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    unreadable: bool = False

    @property
    def exit_status(self) -> int:
        """0, 1 if something is critical, 2 if the configuration cannot be used."""
        critical = any(finding.level == "critical" for finding in self.findings)
        return 2 if self.unreadable else int(critical)

    def as_values(self) -> dict[str, Any]:
        """Return everything as plain values for JSON."""
        return {
            "experiment": None if self.experiment is None else str(self.experiment),
            "status": self.exit_status,
            "findings": [asdict(finding) for finding in self.findings],
            "left_out": self.left_out,
        }


def isolated(subject: str, about: str, check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """Run one check; what ends it is a finding of its own, after those that it has made before.

    Parameters
    ----------
    subject, about
        Of that finding.
    check
        Yields findings.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what libraries have to say of each other is no finding
        try:
            yield from check()
        except AnipipeError as error:
            yield Finding("critical", subject, about, str(error))
        except OSError as error:
            yield Finding("warning", subject, about, f"could not be looked at: {error}")
        except Exception as error:
            last = traceback.extract_tb(error.__traceback__)[-1]
            yield Finding(
                "warning",
                subject,
                about,
                f"this check failed itself: {type(error).__name__}: {error} "
                f"({Path(last.filename).name}, line {last.lineno})",
                "nothing is said by that about your data, and the other checks hold; please report it",
            )
