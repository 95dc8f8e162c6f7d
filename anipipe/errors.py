"""The errors that anipipe raises on purpose.

::

    AnipipeError            something a user can mend; the message says what and how
    ├── UsageError          wrong path or command line                    (exit status 2)
    │   ├── ConfigError     wrong configuration: file, key, value         (exit status 2)
    │   └── NotHereError    something named that this experiment has not  (exit status 2)
    ├── DataError           a file that cannot be read or does not fit    (fails one job, exit status 1)
    └── LockedError         another run holds the experiment              (exit status 75)

    Notice                  a warning about one job's data, shown to the user and kept with the job
    └── Concern             results are there, and may not be what they seem: somebody has to look

Anything else that is raised is a defect of anipipe and is shown with its traceback.
"""

from __future__ import annotations

#: Exit status of what was interrupted, by Ctrl-C or SIGTERM.
INTERRUPTED = 130


class AnipipeError(Exception):
    """Base of everything raised on purpose; ``str()`` is meant for the user."""

    exit_status = 1


class UsageError(AnipipeError):
    """A path or a command line that makes no sense."""

    exit_status = 2


class ConfigError(UsageError):
    """A configuration that cannot be used; the message names file, key and value."""


class NotHereError(UsageError):
    """A session or an output that was named, and that this experiment has not; another may have it."""


class DataError(AnipipeError):
    """A file that cannot be read, or whose content does not fit the others."""


class LockedError(AnipipeError):
    """Another run holds the experiment's lock."""

    exit_status = 75


class Notice(UserWarning):
    """Something a user should know about a job's data, which does not stop the job.

    Issued with :func:`warnings.warn`; whoever runs the job collects it.
    """


class Concern(Notice):
    """A notice that somebody has to look at: the job's results may not be what they seem."""
