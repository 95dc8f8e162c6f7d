"""What may import what, who may print, and what the command line loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import anipipe

PACKAGE = Path(anipipe.__file__).parent
LEVELS = {
    "": 0,
    "errors": -1,
    "guards": 0,
    "pickles": 0,
    "suggest": 0,
    "config": 1,
    "numerics": 1,
    "engine": 1,
    "formats": 2,
    "networks": 2,
    "project": 3,
    "artifacts": 3,
    "stages": 4,
    "commands": 4,
    "console": 5,
    "views": 5,
    "network_views": 5,
    "doctor_views": 5,
    "night_views": 5,
    "clean_views": 5,
    "cli": 5,
}
#: These make one layer of their own at the top.
TOGETHER = {"console", "views", "network_views", "doctor_views", "night_views", "clean_views", "cli"}
#: These may print; progress is drawn as it comes.
PRINT = {"cli", "console"}
HEAVY = (
    *("torch", "aniposelib", "numba", "jax", "pandas", "tables", "h5py", "pyarrow", "cv2", "matplotlib"),
)
MODULES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> tuple[str, ...]:
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def part_of(module: tuple[str, ...]) -> str:
    return module[0] if module else ""


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the parts of anipipe that a module imports, anywhere in it, with the line."""
    own = module_of(path)
    package = own if path.name == "__init__.py" else own[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == "anipipe":
                    yield part_of(tuple(alias.name.split(".")[1:])), node.lineno
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = (*package[: len(package) - node.level + 1], *(node.module or "").split("."))
                base = tuple(name for name in base if name)
            elif node.module and node.module.split(".")[0] == "anipipe":
                base = tuple(node.module.split(".")[1:])
            else:
                continue
            if base:
                yield base[0], node.lineno
            else:
                for alias in node.names:
                    yield (alias.name if alias.name in LEVELS else ""), node.lineno


def test_there_is_something_to_check():
    assert len(MODULES) > 30
    assert {"engine", "config", "errors"} <= {part for path in MODULES for part, _ in imported(path)}


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_imports_go_down(path):
    own = part_of(module_of(path))
    assert own in LEVELS, f"{own} has no level"
    for other, line in imported(path):
        assert other in LEVELS, f"{path}:{line} imports {other}, which has no level"
        fine = LEVELS[other] < LEVELS[own] or other == own or {own, other} <= TOGETHER
        assert fine, f"{path}:{line}: {own} (level {LEVELS[own]}) imports {other} (level {LEVELS[other]})"


def prints(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        text = ast.unparse(node.func)
        if text in ("print", "pprint") or text.endswith(
            ("stdout.write", "stderr.write", "click.echo", "click.secho", "tqdm.write", "pprint.pprint")
        ):
            yield node.lineno


@pytest.mark.parametrize("path", MODULES, ids=lambda p: p.relative_to(PACKAGE).as_posix())
def test_only_the_command_line_prints(path):
    if part_of(module_of(path)) in PRINT:
        return
    lines = list(prints(ast.parse(path.read_text(encoding="utf-8"))))
    assert lines == [], f"{path} prints in lines {lines}"


@pytest.mark.parametrize("text", ["print(1)", "sys.stdout.write('x')", "click.echo('x')", "tqdm.write('x')"])
def test_printing_is_recognised(text):
    assert list(prints(ast.parse(text))) == [1]


SHOW = f"""
import sys
sys.argv = ["anipipe", *sys.argv[1:]]
import anipipe.cli
try:
    anipipe.cli.main()
except SystemExit as end:
    print("STATUS", end.code, file=sys.stderr)
print("HEAVY", sorted(set({HEAVY!r}) & set(sys.modules)), file=sys.stderr)
"""


def loaded_by(folder: Path, *arguments: str) -> tuple[str, str]:
    done = subprocess.run(
        [sys.executable, "-c", SHOW, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=120,
    )
    assert "STATUS 0" in done.stderr, done.stderr
    return done.stdout, done.stderr


@pytest.fixture
def experiment(tmp_path):
    (tmp_path / "config.toml").write_text("", encoding="utf-8")
    for camera in "AB":
        pose = tmp_path / "session" / "pose-2d" / f"trial_cam{camera}.h5"
        pose.parent.mkdir(parents=True, exist_ok=True)
        pose.write_bytes(b"as if it were one")
    return tmp_path


@pytest.mark.parametrize(
    "arguments", [["--help"], ["status"], ["status", "--why"], ["status", "--json"], ["run-all", "--dry-run"]]
)
def test_looking_loads_nothing_heavy(experiment, arguments):
    out, errors = loaded_by(experiment, *arguments)
    assert "HEAVY []" in errors, errors
    assert out.strip()
    if "status" in arguments:
        assert "session" in out and "given" in out
