"""Commands that tidy up: clean."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path

import click
from tqdm import tqdm

from anipipe import clean_views
from anipipe.cli._shared import CONTEXT, PATHS, print_lines, told, worst
from anipipe.commands import clean as cleaning
from anipipe.console import paint
from anipipe.errors import AnipipeError
from anipipe.project import find_experiments
from anipipe.stages import REGISTRY


@click.command(context_settings=CONTEXT, short_help="Remove results that nothing claims any more.")
@click.option("--delete", "deleting", is_flag=True, help="Remove the files; else they are only listed.")
@click.option("-v", "--list", "listing", is_flag=True, help="Name every file, not only how many there are.")
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help="Everything, for programs to read: a list with one object per experiment.",
)
@PATHS
def clean(paths: tuple[Path, ...], deleting: bool, listing: bool, as_json: bool) -> int:
    """List results of anipipe's that nothing claims any more; remove them with --delete.

    These are: results of stages that the configuration switches off by now, if what they were made from is
    still there; results of trials, videos and sessions that were renamed, once the same has been made under
    the new name; and what runs that were killed have left unfinished.

    Never removed are recordings, predictions and other inputs; results that are given, adopted, or changed
    since anipipe made them; results whose recordings are in the archive; and anything behind a link. A
    session that cannot be read, or whose configuration is wrong, is left alone altogether.

    What was switched off is made anew when it is switched on again. PATHS are experiments, or sessions to
    which this is restricted.
    """
    found = find_experiments(paths or (Path(),))
    descriptions, statuses = [], [0]
    for root, parts in found.items():
        progress = partial(tqdm, desc="looking", disable=None, leave=False)
        try:
            if deleting:
                result = cleaning.delete(root, parts, REGISTRY, command=sys.argv[1:], progress=progress)
            else:
                result = cleaning.look(root, parts, REGISTRY, progress=progress)
        except (AnipipeError, OSError) as error:
            if len(found) == 1:
                raise
            descriptions.append({"experiment": str(root), "error": str(error)})
            statuses.append(told(error, root))
            continue
        statuses.append(result.exit_status)
        if as_json:
            descriptions.append(clean_views.described(result))
            continue
        if len(found) > 1:
            click.echo(paint(str(root), "bold"))
        again = [str(path) for path in paths]
        print_lines(clean_views.cleaning_lines(result, again, deleting=deleting, listing=listing))
    if as_json:
        click.echo(json.dumps(descriptions, indent=1))
    return worst(statuses)
