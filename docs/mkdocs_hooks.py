"""Pages that are not in docs/: README, CONTRIBUTING, CHANGELOG and benchmarks/ join the site.

On GitHub their links are relative to where they are (`docs/data.md`, `../benchmarks/README.md`);
in the site docs/ is the root, so the same links are rewritten while a page is built.
"""

from __future__ import annotations

import ast
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

    markdown = markdown.replace("<!-- public names -->", "\n\n".join(public_names()))
    return LINK.sub(rewritten, markdown)


def public_names() -> list[str]:
    """A reference entry for every name that `litdraft` exports, read from its source: `__all__`,
    and for each name the module it is imported from, or that a table of lazy exports gives."""
    tree = ast.parse((ROOT / "src" / "litdraft" / "__init__.py").read_text(encoding="utf-8"))
    exported: list[str] = []
    origin: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("litdraft"):
            origin |= {
                alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names
            }
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                name, module = (getattr(node, "value", None) for node in (key, value))
                if isinstance(name, str) and isinstance(module, str):
                    origin.setdefault(name, f"{module}.{name}")
        elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                exported = [str(name) for name in ast.literal_eval(node.value)]
    return [f"::: {origin[name]}" for name in exported if name in origin]


def _uri(path: str) -> str:
    """Where a file of the repository is in the site."""
    return "index.md" if path == "README.md" else path.removeprefix("docs/")
