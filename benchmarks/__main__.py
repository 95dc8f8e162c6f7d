"""The command line of the benchmarks."""

from __future__ import annotations

import platform
from collections.abc import Callable

import click

from anipipe import __version__
from anipipe.engine.executors import limit_threads

limit_threads()  # before anything imports a numerical library

from benchmarks import (  # noqa: E402
    calibration,
    filters,
    formats,
    lab,
    labelling,
    networks,
    nothing,
    optimisation,
    scene,
    subsets,
    triangulation,
    video,
    workers,
)

NAMES = (
    "lab",
    "nothing",
    "workers",
    "calibration",
    "triangulation",
    "subsets",
    "optimisation",
    "formats",
    "video",
    "filters",
    "networks",
    "labelling",
    "scene",
)
_HELP = """Measure anipipe, and print tables: all benchmarks, or those named.

\b
lab             a lab of many small sessions: first run, status, no-op run, memory, and how they grow
nothing         a large lab with recordings and all pictures: status and a run that does nothing, memory
workers         two workers against one, as processes and in Dask
calibration     bundle adjustment against aniposelib's: real recordings, and rigs of which the truth is known
triangulation   the direct linear transform, and points refined after it, against aniposelib's
subsets         the search for cameras that agree against aniposelib's
optimisation    the optimisation in time against aniposelib's, and how it grows with the recording
formats         reading and writing poses against plain pandas
filters         the 2D filters against Anipose's; python -m benchmarks.filters FILE.h5 for yours
networks        pose networks against the network alone; memory; python -m benchmarks.networks MODEL VIDEO
labelling       labelled videos against bare decoding and encoding; python -m benchmarks.labelling FILE
scene           the 3D view against matplotlib's 3D axes
video           decoding videos against the bare decoder and OpenCV; python -m benchmarks.video FILE for yours

Nothing is asserted. Times depend on the machine and on what else it does; ratios of one run less so.
"""


@click.command(help=_HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.argument("names", metavar="[NAME]...", nargs=-1, type=click.Choice(NAMES))
@click.option(
    "--sessions",
    type=click.IntRange(min=4),
    default=1000,
    show_default=True,
    metavar="N",
    help="lab: sessions of the largest lab; also measured at N/4 and N/2. nothing: sessions.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), default=2, show_default=True, metavar="N", help="lab: workers."
)
def main(names: tuple[str, ...], sessions: int, jobs: int) -> None:
    """Run the benchmarks of these names, all if none is given."""
    runs: dict[str, Callable[[], None]] = {
        "lab": lambda: lab.run(sessions, jobs),
        "nothing": lambda: nothing.run(sessions),
        "workers": workers.run,
        "calibration": calibration.run,
        "triangulation": triangulation.run,
        "subsets": subsets.run,
        "optimisation": optimisation.run,
        "formats": formats.run,
        "filters": filters.run,
        "video": video.run,
        "networks": networks.run,
        "scene": scene.run,
        "labelling": labelling.run,
    }
    print(
        f"anipipe {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}"
    )
    for name in names or NAMES:
        runs[name]()


if __name__ == "__main__":
    main()
