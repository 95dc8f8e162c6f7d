"""Joint names that a configuration mentions, to be checked against the poses."""

from __future__ import annotations

from anipipe.config.schema import Config
from anipipe.config.toml_text import dotted
from anipipe.config.values import split_angle


def joints_named(config: Config) -> list[tuple[str, str]]:
    """List the joints that a configuration mentions.

    Parameters
    ----------
    config
        The configuration.

    Returns
    -------
    list of (str, str)
        Dotted key and joint, each pair once, in the order of the configuration.
    """
    named: list[tuple[str, str]] = []
    triangulation = config.triangulation
    for pair in triangulation.constraints:
        named += [("triangulation.constraints", joint) for joint in pair]
    for pair in triangulation.constraints_weak:
        named += [("triangulation.constraints_weak", joint) for joint in pair]
    for _, start, end in triangulation.axes or ():
        named += [("triangulation.axes", start), ("triangulation.axes", end)]
    if triangulation.reference_point is not None:
        named.append(("triangulation.reference_point", triangulation.reference_point))
    for line in config.labeling.scheme:
        named += [("labeling.scheme", joint) for joint in line]
    named += [("labeling.displayed_bodyparts", joint) for joint in config.labeling.displayed_bodyparts or ()]
    for name, angle in config.angles.items():
        mode, joints = split_angle(angle)
        key = dotted(["angles", name])
        named += [(key, joint.removesuffix("/") if mode == "chain" else joint) for joint in joints]
    return list(dict.fromkeys(named))
