"""Keys as data, and the configuration as text."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from anipipe.config import (
    KEYS,
    SECTIONS,
    Config,
    Layer,
    default,
    joints_named,
    lookup,
    markdown,
    origin_table,
    resolve,
    split_angle,
    template,
    to_toml,
)
from anipipe.config.toml_text import dotted, inline
from anipipe.errors import ConfigError

FILE = Path("config.toml")
# what commands a terminal is refused: tests/pipeline/test_hostile.py
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp"]))
NAMES = TEXT.filter(bool)
# What labels the rows of tables cannot be the name of an angle.
ANGLE_NAMES = NAMES.filter(lambda name: name not in ("fnum", "filename", "project") and "folder_" not in name)


def config_of(values):
    return resolve([Layer(FILE, values)]).config


def read_back(text):
    return config_of(tomllib.loads(text))


def distinct(count):
    return st.lists(NAMES, min_size=count, max_size=count, unique=True)


BOXES = st.tuples(st.integers(0, 9), st.integers(0, 9), st.integers(1, 9), st.integers(1, 9)).map(list)
NUMBERS = st.floats(0, 1e20, exclude_min=True) | st.integers(1, 10**9)
VALUES = st.fixed_dictionaries(
    {},
    optional={
        "project": TEXT,
        "nesting": st.integers(-1, 9),
        "video_extension": TEXT,
        "filter": st.fixed_dictionaries(
            {},
            optional={
                "medfilt": st.integers(0, 50).map(lambda n: 2 * n + 1),
                "offset_threshold": NUMBERS,
                "type": st.sampled_from(["viterbi", ["viterbi", "medfilt"]]),
                "multiprocess": st.booleans(),
            },
        ),
        "cameras": st.dictionaries(
            NAMES,
            st.fixed_dictionaries({}, optional={"offset": st.lists(NUMBERS, min_size=2, max_size=2)}),
            max_size=3,
        ),
        "angles": st.dictionaries(ANGLE_NAMES, distinct(3).map(lambda joints: ["flex", *joints]), max_size=3),
        "labeling": st.fixed_dictionaries({"scheme": st.lists(st.lists(NAMES, min_size=1), max_size=3)}),
        "network": st.fixed_dictionaries({"crop": BOXES | st.dictionaries(NAMES, BOXES, max_size=3)}),
    },
)


@given(VALUES)
def test_written_configuration_reads_back_equal(values):
    config = config_of(values)
    text = to_toml(config)
    assert read_back(text) == config
    assert to_toml(read_back(text)) == text
    assert text.endswith("\n") and not text.endswith("\n\n")


@given(VALUES)
def test_template_reads_back_as_the_values(values):
    assert config_of(tomllib.loads(template(values))) == config_of(values)


@given(
    st.recursive(
        TEXT | NUMBERS | st.booleans(), lambda x: st.lists(x) | st.dictionaries(TEXT, x), max_leaves=8
    )
)
def test_values_survive_toml(value):
    assert tomllib.loads(f"x = {inline(value)}") == {"x": value}


@given(st.lists(TEXT, min_size=1, max_size=3))
def test_keys_survive_toml(path):
    read = tomllib.loads(f"{dotted(path)} = 1")
    for part in path:
        read = read[part]
    assert read == 1


def test_defaults_are_written_in_full_and_without_warnings():
    text = to_toml(Config())
    assert resolve([Layer(FILE, tomllib.loads(text))]).warnings == ()
    assert "medfilt = 13\n" in text
    assert "video_extension" not in text


def test_origins_are_comments_that_do_not_name_the_machine(tmp_path):
    layers = [
        Layer(tmp_path / "config.toml", {"nesting": 1}),
        Layer(
            tmp_path / "g" / "s1" / "config.toml",
            {"filter": {"medfilt": 5}, "network": {"crop": {"A": [0, 0, 1, 1]}}},
        ),
    ]
    resolved = resolve(layers)
    text = to_toml(resolved.config, resolved.origins, tmp_path)
    assert "nesting = 1  # config.toml\n" in text
    assert "medfilt = 5  # g/s1/config.toml\n" in text
    assert "spline = true  # default\n" in text
    assert "crop = { A = [0, 0, 1, 1] }  # g/s1/config.toml\n" in text
    assert read_back(text) == resolved.config
    for root in (None, tmp_path / "g"):
        assert str(tmp_path) not in to_toml(resolved.config, resolved.origins, root)


def test_origin_table_has_every_key():
    values = {
        "angles": {"knee": ["a", "b", "c"]},
        "cameras": {"A": {}},
        "network": {"crop": {"A": [0, 0, 1, 1]}},
    }
    resolved = resolve([Layer(FILE, values)])
    table = {key: (value, origin) for key, value, origin in origin_table(resolved)}
    assert set(table) == set(resolved.origins)
    assert table["angles.knee"] == ('["a", "b", "c"]', FILE)
    assert table["network.crop.A"] == ("[0, 0, 1, 1]", FILE)
    assert table["cameras.A.frame_offset"] == ("0", None)
    assert table["project"] == ("", None)


def test_template_shows_every_key_and_sets_none():
    text = template()
    assert config_of(tomllib.loads(text)) == Config()
    for key in KEYS.values():
        assert f"# {key.help}" in text
    for section in SECTIONS:
        assert re.search(rf"^(# )?\[{section}(\.NAME)?\]$", text, re.MULTILINE)


def test_template_is_valid_when_everything_in_it_is_set():
    text = re.sub(r"^# (\[|\w+ = )", r"\1", template(), flags=re.MULTILINE)
    values = tomllib.loads(text)
    found = {path.replace("angles.L1_CF", "angles.*") for path in resolve([Layer(FILE, values)]).origins}
    assert {path.replace("*", "NAME") if path.startswith("cameras") else path for path in KEYS} == found


def test_template_sets_what_is_asked_for():
    text = template(
        {"nesting": 2, "cameras": {"left side": {"offset": [1, 2]}}, "angles": {"hip": ["a", "b", "c"]}}
    )
    assert "\nnesting = 2\n" in text
    assert '\n[cameras."left side"]\n' in text
    assert "\noffset = [1, 2]\n" in text
    assert '\nhip = ["a", "b", "c"]\n' in text
    with pytest.raises(ConfigError, match="did you mean 'nesting'"):
        template({"nestig": 2})


def test_markdown_has_a_row_for_every_key():
    text = markdown()
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) == len(KEYS)
    assert all(len(re.findall(r"(?<!\\)\|", row)) == 6 for row in rows)
    assert (
        "| `medfilt` | an odd whole number >= 1 | `13` | frames | medfilt: length of the median filter, odd |"
        in rows
    )
    assert "### `[cameras.NAME]`" in text


def test_every_key_is_described():
    for key in KEYS.values():
        assert key.help and "\n" not in key.help and not key.help.endswith("."), key.path
        assert key.allowed, key.path
        assert key.default is not None or key.example is not None, key.path


def test_lookup_gives_plain_values():
    config = config_of(
        {
            "triangulation": {"constraints": [["a", "b"]]},
            "cameras": {"B": {"offset": [1, 2]}, "A": {"frame_offset": 1}},
            "angles": {"z": ["a", "b", "c"], "a": ["flex", "a", "b", "c"]},
            "network": {"crop": {"A": [0, 0, 1, 1]}},
        }
    )
    assert lookup(config, "nesting") is None
    assert lookup(config, "triangulation.score_threshold") == 0.8
    assert lookup(config, "triangulation.constraints") == [["a", "b"]]
    assert lookup(config, "cameras.*.offset") == {"B": [1, 2]}
    assert lookup(config, "cameras.*.frame_offset") == {"A": 1}
    assert list(lookup(config, "angles")) == ["z", "a"]
    assert lookup(config, "network.crop") == {"A": [0, 0, 1, 1]}
    assert lookup(config, "filter3d") == {"enabled": False, "medfilt": 17, "offset_threshold": 15}
    for path in [*SECTIONS, *(path for path in KEYS if path != "angles.*")]:
        assert json.loads(json.dumps(lookup(config, path))) == lookup(config, path)


def test_defaults():
    assert default("filter.medfilt") == 13
    assert default("filter.type") == ["medfilt"]
    assert default("cameras.*.offset") == {}
    assert default("angles") == {}
    assert default("triangulation.axes") is None


def test_lookups_do_not_share_what_they_return():
    lookup(Config(), "summaries.csv").append("x")
    default("angles")["x"] = 1
    assert default("summaries.csv") == ["pose_3d", "angles", "errors"]
    assert default("angles") == {}


@pytest.mark.parametrize(
    "path",
    [
        "",
        "x",
        "filter.x",
        "filter.medfilt.x",
        "cameras.*",
        "cameras.*.x",
        "cameras.A.offset",
        "angles.*",
        "*",
    ],
)
def test_unknown_paths(path):
    for look in (default, lambda path: lookup(Config(), path)):
        with pytest.raises(KeyError):
            look(path)


def test_joints_named():
    config = config_of(
        {
            "triangulation": {
                "axes": [["x", "A", "B"], ["z", "B", "C"]],
                "reference_point": "A",
                "constraints": [["D", "E"]],
                "constraints_weak": [["F", "G"]],
            },
            "labeling": {"scheme": [["H", "I"], ["H", "J"]]},
            "angles": {
                "bare": ["K", "L", "M"],
                "turn": ["cross-axis", "N", "O", "P"],
                "leg 1": ["chain", "Q", "R/", "S", "T/"],
                "slash": ["U/", "V", "W"],
            },
        }
    )
    named = joints_named(config)
    assert len(named) == len(set(named))
    by_key = {}
    for key, joint in named:
        by_key.setdefault(key, []).append(joint)
    assert by_key == {
        "triangulation.constraints": ["D", "E"],
        "triangulation.constraints_weak": ["F", "G"],
        "triangulation.axes": ["A", "B", "C"],
        "triangulation.reference_point": ["A"],
        "labeling.scheme": ["H", "I", "J"],
        "angles.bare": ["K", "L", "M"],
        "angles.turn": ["N", "O", "P"],
        'angles."leg 1"': ["Q", "R", "S", "T"],
        "angles.slash": ["U/", "V", "W"],
    }
    assert joints_named(Config()) == []


def test_split_angle():
    assert split_angle(("a", "b", "c")) == ("flex", ("a", "b", "c"))
    assert split_angle(("axis", "a", "b", "c")) == ("axis", ("a", "b", "c"))
    assert split_angle(("chain", "a", "b", "c/", "d")) == ("chain", ("a", "b", "c/", "d"))


def test_folder_names_are_the_same_everywhere():
    assert all(PurePosixPath(folder).name == folder for folder in lookup(Config(), "pipeline").values())
