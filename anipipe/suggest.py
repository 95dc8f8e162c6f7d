"""Guess which name a user meant. Any package may ask."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that looks most like a word.

    Letter case and the difference between ``-`` and ``_`` count for nothing.

    Parameters
    ----------
    word
        What was written.
    candidates
        The names that exist.

    Returns
    -------
    str or None
        The nearest candidate, or None where none is near enough to be worth suggesting.

    Examples
    --------
    >>> nearest("medfilter", ["enabled", "medfilt"])
    'medfilt'
    """
    from difflib import get_close_matches  # only ever needed on the way to an error message

    plain = {_plain(candidate): candidate for candidate in candidates}
    found = get_close_matches(_plain(word), plain, n=1)
    return plain[found[0]] if found else None


def no_joint(joint: str, joints: Iterable[str]) -> str:
    """Say that a joint is not among those that there are, and which one may have been meant.

    Examples
    --------
    >>> no_joint("nek", ["nose", "neck"])
    "there is no joint 'nek', did you mean 'neck'? (joints: nose, neck)"
    """
    there = list(joints)
    near = nearest(joint, there)
    hint = f", did you mean {near!r}?" if near else ""
    return f"there is no joint {joint!r}{hint} (joints: {', '.join(there)})"


def _plain(name: str) -> str:
    return name.casefold().replace("-", "_")
