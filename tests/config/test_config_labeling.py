"""Keys of pictures: what they are by default, what they may be, and how faults are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from anipipe.config import Layer, resolve
from anipipe.errors import ConfigError


def settled(**sections: Any) -> Any:
    return resolve([Layer(Path("config.toml"), sections)]).config


def fault(section: str, key: str, value: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        settled(**{section: {key: value}})
    assert f"{section}.{key}" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("colormap", "virdis", "did you mean 'viridis'"),
        ("colormap", "Rainbow", "did you mean 'rainbow'"),
        ("colormap", "no map at all like that", "is no colour map of matplotlib"),
        ("colormap", 3, "the name of a colour map"),
        ("skeleton_color", "grene", "did you mean 'green'"),
        ("skeleton_color", "#12345", "is no (opaque) colour that matplotlib knows"),
        ("skeleton_color", "none", "is no (opaque) colour that matplotlib knows"),
        ("displayed_bodyparts", [], "a list of joints"),
        ("displayed_bodyparts", "nose", "a list of joints"),
        ("displayed_bodyparts", ["nose", "nose"], "nose"),
        ("pcutoff", -0.1, ">= 0"),
        ("pcutoff", float("nan"), "a number"),
        ("dot_size", 0, "> 0"),
        ("dot_size", 501, "500"),
        ("line_width", 0, "> 0"),
        ("trail_points", -1, ">= 0"),
        ("trail_points", 2.5, "whole number"),
        ("output_frame_rate", 0, "> 0"),
        ("output_frame_rate", float("inf"), "a number"),
        ("quality", 52, "from 0 to 51"),
        ("quality", 17.5, "a whole number"),
        ("preset", "quick", "veryfast"),
        ("size_3d", [641, 480], "even whole numbers"),
        ("size_3d", [640], "even whole numbers"),
        ("size_3d", [32, 480], "64"),
        ("elevation", 91, "90"),
        ("draw_skeleton", 1, "true or false"),
        ("keypoints_only", "yes", "true or false"),
    ],
)
def test_faults_are_told_with_what_was_meant(key: str, value: Any, words: str) -> None:
    assert words in fault("labeling", key, value)


@pytest.mark.parametrize(
    ("key", "value", "words"), [("quality", -1, "from 0 to 51"), ("preset", "slowest", "veryslow")]
)
def test_faults_of_conversion(key: str, value: Any, words: str) -> None:
    assert words in fault("convert", key, value)


def test_an_unknown_key_is_told_with_the_likely_one() -> None:
    assert "dot_size" in fault("labeling", "dotsize", 3)
    assert "colormap" in fault("labeling", "colourmap", "viridis")


@pytest.mark.parametrize("colormap", ["viridis", "tab20", "hsv_r"])
@pytest.mark.parametrize("colour", ["white", "#ffcc00", "tab:blue", "0.5"])
def test_all_that_matplotlib_knows_may_be_set(colormap: str, colour: str) -> None:
    labeling = settled(labeling={"colormap": colormap, "skeleton_color": colour}).labeling
    assert (labeling.colormap, labeling.skeleton_color) == (colormap, colour)


def test_lists_of_text_become_what_stages_see() -> None:
    labeling = settled(labeling={"displayed_bodyparts": ["b", "a"], "size_3d": [800, 600]}).labeling
    assert tuple(labeling.displayed_bodyparts) == ("b", "a") and tuple(labeling.size_3d) == (800, 600)


def test_nothing_has_to_be_set() -> None:
    config = settled()
    assert config.labeling.displayed_bodyparts is None and config.labeling.output_frame_rate is None
    assert config.labeling.pcutoff == 0.6 and config.labeling.colormap == "rainbow"
    assert config.convert.quality < config.labeling.quality  # recordings are to lose less than pictures
