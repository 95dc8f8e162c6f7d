"""Disks that several machines share: what one has done, others see late, and open files may be replaced.

NFS remembers sizes, times and missing files for 3 to 60 s (``man 5 nfs``, "Data and metadata coherence"), and
answers ESTALE where a file was replaced since it was looked up.
"""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from typing import TypeVar

_Value = TypeVar("_Value")

#: Seconds after which what another machine did has to be seen here.
SHOWS_WITHIN = 30.0
ESTALE = getattr(errno, "ESTALE", -1)
_PAUSES = (0.0, 0.1, 0.5)  # seconds before looking once more


def eventually(holds_now: Callable[[], bool]) -> bool:
    """Say whether something holds, or soon does; it may raise :class:`OSError` meanwhile."""
    end = time.monotonic() + SHOWS_WITHIN
    while True:
        try:
            if holds_now():
                return True
        except OSError:
            pass
        if time.monotonic() > end:
            return False
        time.sleep(0.2)


def steadily(look: Callable[[], _Value]) -> _Value:
    """Return what a look at a file gives, looking again where the file was replaced on its server.

    Raises
    ------
    OSError
        Of ``look``: at once if it is another, ESTALE if it stays.
    """
    for pause in _PAUSES:
        try:
            return look()
        except OSError as error:
            if error.errno != ESTALE:
                raise
        time.sleep(pause)
    return look()
