"""``anipipe init --template``, and the files in ``templates/``."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from anipipe.cli import invoke
from anipipe.commands.init import TEMPLATES
from anipipe.config import KEYS, Layer, read_layer, resolve, template
from anipipe.engine.declare import Stage
from anipipe.stages import REGISTRY

FOLDER = Path(__file__).resolve().parents[2] / "templates"

templates = pytest.mark.parametrize("name", TEMPLATES)


def shown(text: str) -> list[str]:
    """The keys that stand in a template, set or as comments, by dotted name."""
    section, found = "", []
    for line in text.splitlines():
        header = re.fullmatch(r"(?:# )?\[(\w+)(?:\.NAME)?\]", line)
        if header:
            section = header[1]
        entry = re.match(r"(?:# )?(\w+) = ", line)
        if entry:
            found.append(f"{section}.{entry[1]}".lstrip("."))
    return found


def named(path: str) -> str:
    """The name under which :func:`shown` finds a key."""
    return path.replace("cameras.*.", "cameras.").replace("angles.*", "angles.L1_CF")


def needs_3d(stage: Stage) -> bool:
    upstream = {before.name for before in REGISTRY.upstream([stage])} | {stage.name}
    return bool(upstream & {"detect-boards", "calibrate", "pose-3d"})


def options(stages: list[Stage]) -> set[str]:
    """The keys that some stages see; not those of the stage that writes all of them down."""
    return {
        path for stage in stages if stage.name != "write-config" for path in stage.options.introduced()
    } & set(KEYS)


@templates
def test_the_file_is_current(name: str):
    chosen = TEMPLATES[name]
    assert (FOLDER / chosen.file).read_text(encoding="utf-8") == chosen.text, "run: python docs/render.py"


def test_no_other_configuration_lies_there():
    assert {path.name for path in FOLDER.glob("*.toml")} == {chosen.file for chosen in TEMPLATES.values()}


@templates
def test_it_loads_and_sets_what_it_says(name: str):
    chosen = TEMPLATES[name]
    assert tomllib.loads(chosen.text).get("triangulation", {}) == (
        {"triangulate": False} if name == "2d" else {}
    )
    resolved = resolve([read_layer(FOLDER / chosen.file)])
    assert resolved.config.model_copy(update={"triangulation": resolve([]).config.triangulation}) == (
        resolve([]).config
    )
    assert not resolved.warnings


@templates
def test_every_line_that_is_a_comment_can_be_taken_in(name: str):
    """A key that is taken out of its comment loads, whichever it is."""
    lines = TEMPLATES[name].text.splitlines()
    tried = 0
    for number, line in enumerate(lines):
        entry = re.match(r"# (\w+) = ", line)
        if entry is None:
            continue
        changed = [*lines[:number], line[2:], *lines[number + 1 :]]
        text = "\n".join(changed).replace("# [cameras.NAME]", "[cameras.NAME]")
        values = tomllib.loads(text)
        assert entry[1] in str(values)
        if entry[1] not in ("axes", "reference_point"):  # which need each other
            resolve([Layer(Path("template"), values)])
        tried += 1
    assert tried > 30


def test_each_shows_its_keys_once_and_the_full_one_has_all():
    for name, chosen in TEMPLATES.items():
        assert shown(chosen.text) == [named(path) for path in chosen.keys], name
    assert TEMPLATES["full"].keys == tuple(KEYS)
    assert TEMPLATES["full"].text == template()
    assert set(TEMPLATES["2d"].keys) < set(TEMPLATES["3d"].keys) < set(KEYS)


def test_the_one_for_2d_has_what_stages_without_3d_see_and_nothing_that_only_the_others_see():
    flat = options([stage for stage in REGISTRY if not needs_3d(stage)])
    deep = options([stage for stage in REGISTRY if needs_3d(stage)])
    keys = set(TEMPLATES["2d"].keys)
    assert len(flat) > 10 and len(deep) > 30
    assert not {path for path in flat - keys if KEYS[path].notice is None}
    # What says whether there is 3D at all is the exception.
    assert not (keys & (deep - flat)) - {"triangulation.triangulate", "triangulation.cam_regex"}


def test_the_one_for_3d_lacks_only_what_has_no_effect():
    lacking = set(KEYS) - set(TEMPLATES["3d"].keys)
    assert "filter.multiprocessing" in lacking and "triangulation.cam_align" in lacking
    assert all("Anipose" in KEYS[path].help for path in lacking)


def test_headings_without_keys_are_left_out():
    assert "[manual_verification]" in TEMPLATES["full"].text
    assert "[manual_verification]" not in TEMPLATES["3d"].text
    for heading in ("[calibration]", "[filter3d]", "[angles]", "[manual_verification]"):
        assert heading not in TEMPLATES["2d"].text


@templates
def test_init_writes_it_and_refuses_to_overwrite(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = tmp_path / "new lab"
    assert invoke(["init", "--template", name, "--print", str(root)]) == 0
    printed = capsys.readouterr()
    assert printed.out == TEMPLATES[name].text and "next: anipipe status" in printed.err
    assert not root.exists()
    assert invoke(["init", "--template", name, str(root)]) == 0
    told = capsys.readouterr().out
    assert (root / "config.toml").read_text(encoding="utf-8") == TEMPLATES[name].text
    assert f"wrote {root / 'config.toml'}" in told and f"anipipe run-all '{root}'" in told
    assert ("To be set first: calibration.board_type" in told) == (name == "3d")
    (root / "config.toml").write_text("nesting = 1\n")
    assert invoke(["init", "--template", name, str(root)]) == 2
    assert "is there already" in capsys.readouterr().err
    assert invoke(["init", "--template", name, str(root / "session")]) == 2
    assert "lies in the experiment" in capsys.readouterr().err
    assert (root / "config.toml").read_text() == "nesting = 1\n"


def test_init_does_not_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "s1/videos-raw").mkdir(parents=True)
    (tmp_path / "s1/videos-raw/run1_A.mp4").write_bytes(b"no video")
    monkeypatch.setattr("anipipe.commands.init.drafting.look", lambda root: pytest.fail("looked"))
    assert invoke(["init", "--template", "3d", str(tmp_path)]) == 0
    assert invoke(["status", str(tmp_path)]) == 0
    assert (tmp_path / "config.toml").read_text(encoding="utf-8") == TEMPLATES["3d"].text


def test_with_the_one_for_2d_there_is_no_3d(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Even where cameras have names, so that otherwise a calibration would be asked for."""
    (tmp_path / "s1/videos-raw").mkdir(parents=True)
    for camera in "AB":
        (tmp_path / f"s1/videos-raw/run1_{camera}.mp4").write_bytes(b"no video")
    path = tmp_path / "config.toml"

    def stages() -> str:
        assert invoke(["status", str(tmp_path)]) == 0
        return capsys.readouterr().out

    for name, expected in (("2d", False), ("3d", True)):
        path.write_text(TEMPLATES[name].text.replace('# cam_regex = "cam([0-9])"', "cam_regex = '_([AB])$'"))
        assert ("pose-3d" in stages()) == expected, name


def test_an_unknown_one_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert invoke(["init", "--template", "4d", str(tmp_path)]) == 2
    assert "'2d', '3d', 'full'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
