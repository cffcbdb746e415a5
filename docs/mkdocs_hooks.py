"""Pages that are not in docs/: README, CONTRIBUTING, CHANGELOG and benchmarks/ join the site.

On GitHub their links are relative to where they are (`docs/data.md`, `../benchmarks/README.md`);
in the site docs/ is the root, so the same links are rewritten while a page is built.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
PAGES = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
    "benchmarks/peers/README.md",
)
LINK = re.compile(r"(\]\()([^)\s#]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/ and the pictures that pages show."""
    pictures = [
        path.relative_to(ROOT).as_posix() for path in ROOT.glob("benchmarks/results/**/*.png")
    ]
    for path in (*PAGES, *sorted(pictures)):
        files.append(File.generated(config, _uri(path), abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Point relative links at their place in the site."""
    source = "README.md" if page.file.src_uri == "index.md" else page.file.src_uri
    if source not in PAGES:
        source = f"docs/{source}"

    def rewritten(match: re.Match[str]) -> str:
        target = match[2]
        if re.match(r"[a-z]+:", target):  # https:, mailto:
            return match[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        start = posixpath.dirname(page.file.src_uri) or "."
        return match[1] + posixpath.relpath(_uri(path), start)

    return LINK.sub(rewritten, markdown)


def _uri(path: str) -> str:
    """Where a file of the repository is in the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
