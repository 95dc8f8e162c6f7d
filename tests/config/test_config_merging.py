"""Merging files: deep, associative, with the origin of each value."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anipipe.config import Config, Layer, merge, resolve
from anipipe.config.layers import origins_of
from anipipe.errors import ConfigError

TOP, SESSION = Path("exp/config.toml"), Path("exp/s1/config.toml")


def layers(*values):
    return [Layer(path, value) for path, value in zip((TOP, SESSION), values, strict=False)]


# A name is a table in every file or in none, as in all configurations that are valid.
LEAVES = st.dictionaries(st.sampled_from("abc"), st.integers() | st.lists(st.integers()), max_size=3)
TREES = st.fixed_dictionaries(
    {}, optional={"T": LEAVES, "U": st.fixed_dictionaries({}, optional={"V": LEAVES})}
).flatmap(lambda tables: LEAVES.map(lambda leaves: {**leaves, **tables}))


@given(TREES, TREES, TREES)
def test_merging_is_associative(a, b, c):
    assert merge(merge(a, b), c) == merge(a, merge(b, c))


@given(TREES)
def test_merging_with_nothing_changes_nothing(a):
    assert merge({}, a) == merge(a, {}) == merge(a, a) == a


@given(TREES, TREES)
def test_merging_leaves_its_arguments_alone(a, b):
    before = repr((a, b))
    merge(a, b)
    assert repr((a, b)) == before


@given(TREES, TREES)
def test_origins_keep_the_shape_of_the_values(a, b):
    def shape(tree):
        return {name: shape(item) if isinstance(item, dict) else None for name, item in tree.items()}

    assert shape(merge(a, b)) == shape(merge(origins_of(a, TOP), origins_of(b, SESSION)))


def test_no_file_means_defaults():
    resolved = resolve([])
    assert resolved.config == Config()
    assert resolved.warnings == ()
    assert set(resolved.origins.values()) == {None}


def test_tables_are_merged_and_arrays_replaced():
    resolved = resolve(
        layers(
            {
                "filter": {"enabled": True, "medfilt": 9},
                "labeling": {"scheme": [["a", "b"], ["c", "d"]]},
                "cameras": {"A": {"offset": [1, 2]}},
                "angles": {"knee": ["a", "b", "c"]},
            },
            {
                "filter": {"medfilt": 5},
                "labeling": {"scheme": [["a", "c"]]},
                "cameras": {"A": {"frame_offset": 3}, "B.1": {"offset": [5, 6]}},
                "angles": {"hip": ["b", "c", "d"]},
            },
        )
    )
    config, origins = resolved.config, resolved.origins
    assert (config.filter.enabled, config.filter.medfilt) == (True, 5)
    assert config.labeling.scheme == (("a", "c"),)
    assert (config.cameras["A"].offset, config.cameras["A"].frame_offset) == ((1, 2), 3)
    assert list(config.angles) == ["knee", "hip"]
    assert (origins["filter.enabled"], origins["filter.medfilt"], origins["filter.spline"]) == (
        TOP,
        SESSION,
        None,
    )
    assert origins["labeling.scheme"] == SESSION
    assert (origins["cameras.A.offset"], origins["cameras.A.frame_offset"]) == (TOP, SESSION)
    assert (origins['cameras."B.1".offset'], origins['cameras."B.1".frame_offset']) == (SESSION, None)
    assert (origins["angles.knee"], origins["angles.hip"]) == (TOP, SESSION)


def test_crop_of_one_camera_is_merged_and_one_for_all_replaces():
    table = {"network": {"crop": {"A": [0, 0, 10, 10], "B": [0, 0, 20, 20]}}}
    box = {"network": {"crop": [1, 1, 5, 5]}}
    resolved = resolve(layers(table, {"network": {"crop": {"B": [0, 0, 30, 30]}}}))
    assert resolved.config.network.crop == {"A": (0, 0, 10, 10), "B": (0, 0, 30, 30)}
    assert (resolved.origins["network.crop.A"], resolved.origins["network.crop.B"]) == (TOP, SESSION)
    assert "network.crop" not in resolved.origins
    resolved = resolve(layers(table, box))
    assert resolved.config.network.crop == (1, 1, 5, 5)
    assert resolved.origins["network.crop"] == SESSION
    assert not any(path.startswith("network.crop.") for path in resolved.origins)


def test_faults_name_the_file_that_set_the_value():
    with pytest.raises(ConfigError) as caught:
        resolve(layers({"filter": {"medfilt": 4, "n_back": 0}}, {"filter": {"medfilt": 6}}))
    message = str(caught.value)
    assert f"{SESSION}: filter.medfilt = 6: " in message
    assert f"{TOP}: filter.n_back = 0: " in message


def test_a_section_may_be_completed_by_another_file():
    axes = [["x", "a", "b"], ["y", "b", "c"]]
    resolved = resolve(
        layers({"triangulation": {"axes": axes}}, {"triangulation": {"reference_point": "a"}}),
    )
    assert resolved.config.triangulation.axes == (("x", "a", "b"), ("y", "b", "c"))


@pytest.mark.parametrize(
    ("values", "advice"),
    [
        ({"video_extension": "mp4"}, "any usual extension"),
        ({"filter": {"multiprocess": True}}, "--jobs"),
        ({"filter": {"multiprocessing": False}}, "--jobs"),
        ({"filter": {"n_proc": 4}}, "--jobs"),
        ({"triangulation": {"cam_align": "A"}}, "reference_point"),
        ({"manual_verification": {"manually_verify": True}}, "report"),
    ],
)
def test_keys_that_do_nothing_here_bring_a_warning(values, advice):
    (warning,) = resolve(layers({}, values)).warnings
    assert warning.startswith(f"{SESSION}: ")
    assert advice in warning


def test_other_keys_bring_no_warning():
    values = {
        "manual_verification": {"manually_verify": False},
        "triangulation": {"triangulate": False},
        "calibration": {"board_type": "aruco", "board_marker_separation_length": 1},
    }
    resolved = resolve(layers(values))
    assert resolved.warnings == ()
    assert resolved.config.triangulation.triangulate is False
