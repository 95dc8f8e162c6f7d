"""The parts of the documentation that follow from the code: pure functions from the registry to markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from anipipe.config import KEYS, SECTIONS, Config, markdown
from anipipe.engine.declare import Artifact, Read, Registry, Stage

_PART = re.compile(r"^(<!-- rendered: ([\w-]+) -->)\n.*?^(<!-- end -->)$", re.DOTALL | re.MULTILINE)
_PLAIN_KEYS = frozenset(path for path in KEYS if "*" not in path)
#: Groups of stages that one command runs, which stands for them in a picture of the whole.
_FAMILIES = {"tables": "summarize", "pictures": "run-viz"}
#: Commands whose stages are told of on the page of another one.
_TOLD_WITH = {"label-2d-filter": "label-2d", "label-2d-proj": "project-2d", "label-3d-filter": "label-3d"}


def rendered_parts(registry: Registry) -> dict[str, str]:
    """Return every rendered part of the documentation, by the name that its marker has."""
    return {
        "graph": graph(registry, families_as_one=True),
        "full-graph": graph(registry),
        "stages": overview(registry),
        "keys": markdown().strip(),
        **{
            f"stages-of-{page}": "\n\n".join(_section(stage, registry) for stage in told)
            for page, told in pages(registry).items()
        },
    }


def replace_rendered(text: str, parts: Mapping[str, str]) -> str:
    """Put rendered parts between their markers.

    Parameters
    ----------
    text : str
        A page; a part stands between the lines ``<!-- rendered: NAME -->`` and ``<!-- end -->``.
    parts : mapping
        Name to text.

    Returns
    -------
    str
        The page with all its parts replaced.

    Raises
    ------
    ValueError
        If a marker has a name that is not among the parts, or no end.
    """

    def replaced(match: re.Match[str]) -> str:
        if match[2] not in parts:
            raise ValueError(f"no rendered part is called {match[2]!r}; there are {', '.join(parts)}")
        return f"{match[1]}\n\n{parts[match[2]].strip()}\n\n{match[3]}"

    if len(_PART.findall(text)) != text.count("<!-- rendered: "):
        raise ValueError("a marker of a rendered part has no <!-- end --> on a line of its own")
    return _PART.sub(replaced, text)


def graph(registry: Registry, *, families_as_one: bool = False) -> str:
    """Draw the stages, and the files that they are given, as a mermaid graph.

    Parameters
    ----------
    registry : Registry
    families_as_one : bool
        Show all stages that make tables as one, and all that make pictures and videos.
    """

    def node(stage: Stage) -> str:
        return _FAMILIES.get(stage.group, stage.name) if families_as_one else stage.name

    given: dict[str, str] = {}
    boxes: dict[str, str] = {}
    arrows: dict[str, None] = {}
    for stage in registry:
        boxes[node(stage)] = f'    {node(stage)}["{node(stage)}"]'
        for artifact in _artifacts(stage):
            producer = registry.producers.get(artifact.name)
            sources = [] if producer is None else [node(producer)]
            if not artifact.pattern:  # found rather than made, or made only where it is not found
                sources.append("given-" + anchor(artifact.name))
                given[sources[-1]] = f'    {sources[-1]}(["{artifact.name}"])'
            for source in sources:
                if source != node(stage):
                    arrows[f"    {source} --> {node(stage)}"] = None
    return "\n".join(["```mermaid", "graph LR", *given.values(), *boxes.values(), *arrows, "```"])


def pages(registry: Registry) -> dict[str, list[Stage]]:
    """Return the pages that tell of stages, ``docs/stages/NAME.md``, each with its stages.

    Stages that share a command share a page, and so do all that make tables.
    """
    told: dict[str, list[Stage]] = {}
    for stage in registry:
        told.setdefault(page_of(stage), []).append(stage)
    return told


def page_of(stage: Stage) -> str:
    """Return the name of the page that tells of a stage."""
    if stage.group == "tables":
        return _FAMILIES[stage.group]
    return _TOLD_WITH.get(stage.name, stage.command or stage.name)


def overview(registry: Registry) -> str:
    """List the commands that run stages: what each does, for which unit, and where more is said of it."""
    first: dict[str, Stage] = {}
    for stage in registry:
        first.setdefault(stage.command or stage.name, stage)
    rows = [
        (f"[{command}](stages/{page_of(stage)}.md)", stage.per, _about(stage))
        for command, stage in first.items()
    ]
    return "\n".join(["| command | one job per | what it does |", "| --- | --- | --- |", *map(_row, rows)])


def _section(stage: Stage, registry: Registry) -> str:
    command = stage.command or stage.name
    other = f" (other names: {', '.join(f'`{name}`' for name in stage.aliases)})" if stage.aliases else ""
    reads = [_read(role, read, registry) for role, read in stage.file_reads] or ["no file"]
    rows = [
        ("one job per", stage.per),
        ("command", f"`anipipe {command}`{other}"),
        ("reads", "<br>".join(reads)),
        ("writes", "<br>".join(map(_shown, stage.outputs))),
        ("keys", _keys(stage)),
        ("group", stage.group),
        ("version", str(stage.version)),
    ]
    if stage.libraries:
        rows.append(("library versions that count", ", ".join(stage.libraries)))
    if stage.fan_in:
        rows.append(("inputs that are not current", "are left out, and named"))
    return "\n".join([f"### {stage.name}", "", _about(stage), "", "| | |", "| --- | --- |", *map(_row, rows)])


def _about(stage: Stage) -> str:
    return (stage.run.__doc__ or "").strip().partition("\n")[0]


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _artifacts(stage: Stage) -> Iterator[Artifact]:
    for _, read in stage.file_reads:
        yield from read.artifacts


def _read(role: str, read: Read, registry: Registry) -> str:
    number = "each " if read.each else ""
    options = " or else ".join(_source(artifact, registry) for artifact in read.artifacts)
    return f"{role}: {number}{options}{' (optional)' if read.optional else ''}"


def _source(artifact: Artifact, registry: Registry) -> str:
    producer = registry.producers.get(artifact.name)
    path = _shown(artifact)
    if producer is not None:
        link = f"[{producer.name}]({page_of(producer)}.md#{producer.name})"
        return f"{path} from {link}" if artifact.pattern else f"{path}, or that from {link}"
    hint = _filled(artifact.absent, artifact.per)
    return f"{path}, made by no stage" + (f": {hint}" if hint else "")


def _shown(artifact: Artifact) -> str:
    return f"`{shown_path(artifact)}`" if artifact.pattern else artifact.name


def shown_path(artifact: Artifact) -> str:
    """Return where an artifact lies, with the folders' default names and everything else in capitals."""
    return _filled(artifact.pattern, artifact.per)


def _filled(pattern: str, per: str) -> str:
    home = "FOLDER/" if per in ("calibration", "board") else "SESSION/"
    return re.sub(
        r"{(\w+)}", lambda match: _FOLDERS.get(match[1], match[1].upper()), pattern.replace("{session}", home)
    )


_FOLDERS: dict[str, str] = dict(Config().pipeline)


def _keys(stage: Stage) -> str:
    names = list(stage.options.introduced())
    if not names:
        return "none"
    if set(names) >= _PLAIN_KEYS:
        return "all of them"
    return ", ".join(_link(name) for name in names)


def _link(key: str) -> str:
    section = key if key in SECTIONS else key.rpartition(".")[0]
    title = f"[{section.replace('*', 'NAME')}]" if section else "Above the first section"
    shown = f"[{key}]" if key in SECTIONS else key.replace("*", "NAME")
    return f"[`{shown}`](../configuration.md#{anchor(title)})"


def anchor(title: str) -> str:
    """Return what a heading is linked by, as GitHub and most others make it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def anchors(text: str) -> Iterable[str]:
    """Return the anchors of a page's headings; what stands in code blocks is none."""
    plain = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [anchor(title.strip()) for title in re.findall(r"^#+ (.*)$", plain, flags=re.MULTILINE)]
