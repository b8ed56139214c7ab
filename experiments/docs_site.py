"""Makes a site of the documentation (`mkdocs.yml`): the README is its home, links out of `docs/` are checked.

The pages are written for a reader of the repository, so they link to source files. A site has none: such a link becomes
plain text there, and one to a file that does not exist ends the build.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
_LINK = re.compile(r"(?<!!)\[([^\]]*)\]\(([^)#\s:]+)(#[^)\s]*)?\)")


def on_files(files: Any, config: Any) -> Any:
    """Add the README as the page `index.md`."""
    from mkdocs.structure.files import File

    text = (ROOT / "README.md").read_text(encoding="utf-8").replace("](docs/", "](")
    files.append(File.generated(config, "index.md", content=text))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
    """Replace links to files outside the site by their texts."""
    return without_outside_links(markdown, page.file.src_uri)


def without_outside_links(markdown: str, page: str) -> str:
    """Replace links to files of the repository that are not pages by their texts.

    Args:
        markdown: text of a page.
        page: its path below `docs/`.

    Raises:
        ValueError: a link leads to a file that does not exist.
    """

    def replaced(found: re.Match[str]) -> str:
        text, target = found[1], found[2]
        if page == "index.md":
            place = next((p for p in (ROOT / "docs" / target, ROOT / target) if p.exists()), ROOT / target)
        else:
            place = (ROOT / "docs" / page).parent / target
        if not place.exists():
            raise ValueError(f"docs/{page} links to {target}, which does not exist")
        inside = place.resolve().is_relative_to(ROOT / "docs") and place.suffix in (".md", ".webp", ".png")
        return found[0] if inside else text

    return _LINK.sub(replaced, markdown)
