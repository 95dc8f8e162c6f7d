"""Bring the rendered parts of the documentation, and the templates, up to date: ``python docs/render.py``."""

from __future__ import annotations

from pathlib import Path

from anipipe.commands.documentation import rendered_parts, replace_rendered
from anipipe.commands.init import TEMPLATES
from anipipe.stages import REGISTRY

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Rewrite the files that have changed."""
    parts = rendered_parts(REGISTRY)
    pages = {
        path: path.read_text(encoding="utf-8") for path in (ROOT / "README.md", *ROOT.glob("docs/**/*.md"))
    }
    texts = {path: replace_rendered(text, parts) for path, text in pages.items()}
    texts |= {ROOT / "templates" / template.file: template.text for template in TEMPLATES.values()}
    for path, text in texts.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
