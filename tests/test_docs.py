"""The documentation is true of the code: rendered parts, links, commands, the tour of the README."""

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest

from anipipe.cli import cli
from anipipe.commands.documentation import anchor, anchors, graph, page_of, rendered_parts, replace_rendered
from anipipe.config import read_layer, resolve, template
from anipipe.engine.freshness import MEANINGS
from anipipe.errors import ConfigError, LockedError, UsageError
from anipipe.stages import REGISTRY

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
STAGES = ROOT / "docs" / "stages"
README = (ROOT / "README.md").read_text(encoding="utf-8")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())


def blocks(text: str) -> list[tuple[str, str]]:
    """Language and content of each code block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.DOTALL | re.MULTILINE)


def without_blocks(text: str) -> str:
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


@pages
def test_rendered_parts_are_current(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert replace_rendered(text, rendered_parts(REGISTRY)) == text, "run: python docs/render.py"


def test_all_parts_are_shown_somewhere() -> None:
    shown = set(re.findall(r"<!-- rendered: ([\w-]+) -->", "".join(p.read_text("utf-8") for p in PAGES)))
    assert shown == set(rendered_parts(REGISTRY))


def test_replacing_leaves_the_rest_alone() -> None:
    text = "a\n<!-- rendered: x -->\nold\n<!-- end -->\nb\n<!-- rendered: y -->\n<!-- end -->\n"
    once = replace_rendered(text, {"x": r"new \1", "y": "two"})
    assert once == (
        "a\n<!-- rendered: x -->\n\nnew \\1\n\n<!-- end -->\nb\n<!-- rendered: y -->\n\ntwo\n\n<!-- end -->\n"
    )
    assert replace_rendered(once, {"x": r"new \1", "y": "two"}) == once


@pytest.mark.parametrize("text", ["<!-- rendered: x -->\n", "<!-- rendered: z -->\n<!-- end -->\n"])
def test_a_marker_without_end_or_of_unknown_name_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="rendered part"):
        replace_rendered(text, {"x": ""})


def test_every_stage_and_its_inputs_are_in_the_graph() -> None:
    arrows = set(re.findall(r"^    (\S+) --> (\S+)$", graph(REGISTRY), flags=re.MULTILINE))
    expected = {(before.name, stage.name) for stage in REGISTRY for before in REGISTRY.before(stage)}
    assert {pair for pair in arrows if not pair[0].startswith("given-")} == expected
    for stage in REGISTRY:
        assert f'{stage.name}["' in graph(REGISTRY)


@pages
def test_links_lead_somewhere(page: Path) -> None:
    text = without_blocks(page.read_text(encoding="utf-8"))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?://", link):
            continue
        path, _, heading = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), link
        assert target.exists(), link
        if heading:
            assert heading in anchors(target.read_text(encoding="utf-8")), link


def linked(page: Path) -> set[Path]:
    """The pages that a page links to."""
    links = re.findall(r"\]\(([^):#]+\.md)(?:#[^)]*)?\)", without_blocks(page.read_text(encoding="utf-8")))
    return {(page.parent / link).resolve() for link in links}


def test_all_pages_are_linked() -> None:
    index = ROOT / "docs" / "index.md"
    assert linked(index) >= {path for path in ROOT.glob("docs/*.md") if path != index}
    assert linked(ROOT / "docs" / "stages.md") >= set(STAGES.glob("*.md"))


def test_every_stage_has_a_page_with_a_picture() -> None:
    assert {path.stem for path in STAGES.glob("*.md")} == {page_of(stage) for stage in REGISTRY}
    for stage in REGISTRY:
        page = STAGES / f"{page_of(stage)}.md"
        text = page.read_text(encoding="utf-8")
        assert f"\n### {stage.name}\n" in text
        drawn = [language for language, _ in blocks(text) if language == "mermaid"]
        assert drawn or pictures_in(page), f"{page.name} shows no picture"


def pictures_in(page: Path) -> list[Path]:
    """The pictures that a page shows."""
    shown = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", without_blocks(page.read_text(encoding="utf-8")))
    return [(page.parent / path).resolve() for path in shown]


def test_pictures_are_small_and_all_are_shown() -> None:
    there = {path for path in ROOT.glob("docs/pictures/*") if path.is_file()}
    assert there == {path for page in PAGES for path in pictures_in(page)}
    sizes = [path.stat().st_size for path in there]
    assert max(sizes) < 150_000
    assert sum(sizes) < 1_500_000


def commands_named(text: str) -> list[list[str]]:
    """The words after `anipipe` of every command that a page names, in blocks and in the text."""
    lines = []
    for language, content in blocks(text):
        for line in content.splitlines():
            if language in ("bash", "crontab"):
                lines += re.split(r"&&|;", line)
            elif line.startswith("$ "):
                lines.append(line[2:])
    lines += re.findall(r"`(anipipe [^`]+)`", without_blocks(text))
    found = []
    for line in lines:
        match = re.search(r"(?:^|[\s/])anipipe +([^>|#]*)", line)
        if match:
            found.append(match[1].split())
    return found


@pages
def test_commands_that_are_named_exist(page: Path) -> None:
    for name, *words in commands_named(page.read_text(encoding="utf-8")):
        if name.startswith("-"):
            assert any(name in param.opts for param in cli.params) or name in ("--help", "-h"), name
            continue
        command = cli.commands.get(name)
        assert command is not None, f"anipipe {name}"
        if isinstance(command, click.Group):
            assert words and words[0] in command.commands, f"anipipe {name}"
            command = command.commands[words[0]]
        options = {text for param in command.params for text in (*param.opts, *param.secondary_opts)}
        for word in words:
            if word.startswith("-"):
                assert word.partition("=")[0] in options, f"anipipe {name} {word}"


def test_options_that_the_text_names_exist() -> None:
    known = {"--force", "--help"}
    inner = [c.commands.values() for c in cli.commands.values() if isinstance(c, click.Group)]
    for command in (*cli.commands.values(), *(command for group in inner for command in group)):
        known |= {text for param in command.params if isinstance(param, click.Option) for text in param.opts}
    for page in PAGES:
        if page.name != "CONTRIBUTING.md":  # it names those of other programs
            text = without_blocks(page.read_text(encoding="utf-8"))
            for option in re.findall(r"`(--[a-z][\w-]*|-[a-z])\b[^`]*`", text):
                assert option in known, f"{page.name}: {option}"


def test_the_readme_has_two_commands_for_a_fresh_machine() -> None:
    lines = [line for _, content in blocks(README) for line in content.splitlines() if "pip" in line.split()]
    assert lines == [
        "python -m pip install . && anipipe run-all example_experiment",
        'python -m pip install ".[test]" && python -m pytest',
    ]


def test_exit_statuses_are_listed() -> None:
    table = README.partition("## Exit status")[2].partition("\n## ")[0]
    assert re.findall(r"^\| (\d+) \|", table, flags=re.MULTILINE) == ["0", "1", "2", "75", "130"]
    assert (UsageError.exit_status, ConfigError.exit_status, LockedError.exit_status) == (2, 2, 75)


def test_states_are_explained_in_the_words_of_the_program() -> None:
    text = (ROOT / "docs" / "freshness.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| ([\w-]+) \| ([^|]+) \|", text, flags=re.MULTILINE)
    assert {state: meaning.strip() for state, _, meaning in rows if state != "state"} == {
        str(state): meaning for state, meaning in MEANINGS.items()
    }


def test_the_template_is_current_and_loads() -> None:
    path = ROOT / "templates" / "config.toml"
    assert path.read_text(encoding="utf-8") == template(), "run: python docs/render.py"
    resolved = resolve([read_layer(path)])
    assert resolved.config == resolve([]).config
    assert not resolved.warnings


def test_toml_in_the_documentation_loads(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
    for language, content in blocks(text):
        if language == "toml":
            path = tmp_path / "config.toml"
            path.write_text(content, encoding="utf-8")
            resolve([read_layer(path)])


def test_the_calibration_that_is_shown_loads(tmp_path: Path) -> None:
    from anipipe.formats.calibrations import read_calibration

    text = (ROOT / "docs" / "folders.md").read_text(encoding="utf-8")
    path = tmp_path / "calibration.toml"
    path.write_text(next(content for language, content in blocks(text) if language == "toml"), "utf-8")
    assert read_calibration(path).names == ("A",)


def test_anchors_are_those_of_github() -> None:
    assert anchor("`[cameras.NAME]`") == "camerasname"
    assert anchor("Given, edited, conflict") == "given-edited-conflict"
    assert list(anchors("# One\n```\n# two\n```\n## `[three]`\n")) == ["one", "three"]


def tour() -> list[tuple[list[str], list[str]]]:
    """Commands of the README's console blocks, each with the lines that it is said to write."""
    steps: list[tuple[list[str], list[str]]] = []
    for language, content in blocks(README):
        for line in content.splitlines() if language == "console" else ():
            if line.startswith("$ anipipe "):
                steps.append((line.split()[2:], []))
            else:
                steps[-1][1].append(line)
    return steps


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a copy of the example, without what anipipe makes of it."""
    example = ROOT / "example_experiment"
    lines = (example / ".gitignore").read_text(encoding="utf-8").splitlines()
    made = [line.strip("/").rpartition("/")[2] for line in lines if line and not line.startswith("#")]
    shutil.copytree(example, tmp_path / example.name, ignore=shutil.ignore_patterns(*made))
    return tmp_path


def anipipe(place: Path, *arguments: str) -> str:
    """Run a command in a process of its own, and return what it writes."""
    command = [sys.executable, "-m", "anipipe.cli", *arguments]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True, check=False, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return done.stdout.rstrip("\n")


def counts(lines: list[str]) -> dict[str, dict[str, int]]:
    """How many jobs a table of `anipipe status` counts, by session and column, in whatever state."""
    rows = [re.split(r" {2,}", line) for line in itertools.takewhile(lambda line: line[0] != " ", lines)]
    columns = rows[0][1:]

    def jobs(cell: str) -> int:
        return sum(int((re.match(r"\d+", part) or "1")[0]) for part in cell.split(", ") if part != "-")

    return {row[0]: dict(zip(columns, map(jobs, row[1:]), strict=True)) for row in rows[1:]}


def test_the_tour_counts_what_is_there(place: Path) -> None:
    (_, done), (_, shown), *_ = tour()
    planned = anipipe(place, "run-all", "--dry-run", "example_experiment").splitlines()[-1]
    assert done == [planned.replace("jobs to do", "jobs done")]
    assert counts(shown) == counts(anipipe(place, "status", "example_experiment").splitlines())


@pytest.mark.skipif("ANIPIPE_TOUR" not in os.environ, reason="takes minutes: set ANIPIPE_TOUR=1")
@pytest.mark.timeout(1800)
def test_the_tour_shows_what_the_program_writes(place: Path) -> None:
    for number, (arguments, expected) in enumerate(tour()):
        if number == 2:
            config = place / "example_experiment" / "config.toml"
            text = config.read_text(encoding="utf-8")
            assert text.count("score_threshold = 0.6") == 1
            config.write_text(text.replace("score_threshold = 0.6", "score_threshold = 0.7"), "utf-8")
        alone = ["--jobs", "1"] if arguments[0] == "run-all" else []
        written = anipipe(place, *arguments, *alone)
        pattern = "\n".join(re.escape(line) for line in expected).replace("…", "(?:.*\n)*?.*")
        assert re.fullmatch(pattern, written), (expected, written)


def test_the_table_of_layers_names_every_part_of_the_package() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = "".join(re.findall(r"^\| \d \|.*$", table, flags=re.MULTILINE))
    named = set(re.findall(r"`(\w+)(?:/|\.py)`", rows))
    parts = {path.stem for path in (ROOT / "anipipe").iterdir() if path.suffix == ".py" or path.is_dir()}
    assert named == {part for part in parts if not part.startswith("_")}
