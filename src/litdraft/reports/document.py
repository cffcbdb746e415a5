"""A report as a document: the same parts become Markdown and a web page."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

Cells = Sequence[Sequence[str]]  # rows of a table, the first one its head
Plots = Mapping[str, bytes]  # PNG files by name, without .png


class Part(Protocol):
    """Something between two blank lines."""

    def markdown(self) -> str: ...

    def html(self, plots: Plots) -> str: ...


@dataclass(frozen=True)
class Heading:
    text: str

    def markdown(self) -> str:
        return f"## {self.text}"

    def html(self, plots: Plots) -> str:
        return f"<h2>{escape(self.text)}</h2>"


@dataclass(frozen=True)
class Paragraph:
    """Plain text; `code` and *emphasis* as in Markdown."""

    text: str

    def markdown(self) -> str:
        return self.text

    def html(self, plots: Plots) -> str:
        return f"<p>{inline(self.text)}</p>"


@dataclass(frozen=True)
class Table:
    """The first column holds names, the others figures."""

    cells: Cells

    def markdown(self) -> str:
        return "\n".join(table_lines(self.cells))

    def html(self, plots: Plots) -> str:
        head, *body = self.cells
        rows = [_row(head, "th"), *(_row(line, "td") for line in body)]
        return f'<div class="table"><table>{"".join(rows)}</table></div>'


@dataclass(frozen=True)
class Pictures:
    """Plots side by side, each by the name of its file and a description."""

    names: tuple[str, ...]

    def markdown(self) -> str:
        return " ".join(f"![{name.replace('_', ' ')}]({name}.png)" for name in self.names)

    def html(self, plots: Plots) -> str:
        return (
            f'<div class="plots">{"".join(_image(name, plots[name]) for name in self.names)}</div>'
        )


@dataclass(frozen=True)
class Document:
    """`warning` marks a headline that a reader must not miss."""

    title: str
    headline: str
    parts: Sequence[Part]
    warning: bool = False

    @property
    def plots(self) -> tuple[str, ...]:
        """The names of all plots that it shows."""
        return tuple(n for part in self.parts if isinstance(part, Pictures) for n in part.names)

    def markdown(self) -> str:
        parts = [f"# {self.title}", f"**{self.headline}**", *(p.markdown() for p in self.parts)]
        return "\n\n".join(parts) + "\n"

    def html(self, plots: Plots) -> str:
        """One page that needs no other file; UTF-8."""
        mood = "headline warning" if self.warning else "headline"
        body = "\n".join(part.html(plots) for part in self.parts)
        return PAGE.format(
            title=escape(self.title), style=STYLE, mood=mood, headline=escape(self.headline),
            body=body,
        )  # fmt: skip


def table_lines(cells: Cells) -> list[str]:
    """A Markdown table."""
    head, *body = ["| " + " | ".join(line) + " |" for line in cells]
    return [head, "|" + " --- |" * len(cells[0]), *body]


def inline(text: str) -> str:
    """`code`, **strong** and *emphasis* as HTML, everything else escaped."""
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text, quote=False))
    text = re.sub(r"\*\*([^*]+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*([^*]+)\*", r"<em>\1</em>", text)


def _row(cells: Sequence[str], tag: str) -> str:
    return "<tr>" + "".join(f"<{tag}>{inline(cell)}</{tag}>" for cell in cells) + "</tr>"


def _image(name: str, png: bytes) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<img alt="{escape(name.replace("_", " "))}" src="data:image/png;base64,{data}">'


PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p class="{mood}">{headline}</p>
{body}
</main>
</body>
</html>
"""

STYLE = """
:root { color-scheme: light dark; --text: #1d2329; --soft: #5b6570; --line: #d9dee3;
  --page: #ffffff; --stripe: #f5f7f9; --good: #009e73; --bad: #c0392b; }
@media (prefers-color-scheme: dark) { :root { --text: #e6e9ec; --soft: #9aa5b0; --line: #343b42;
  --page: #16191c; --stripe: #1e2327; } }
body { margin: 0; background: var(--page); color: var(--text);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.5rem; margin: 0 0 1rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
p { max-width: 46rem; }
.headline { font-size: 1.2rem; font-weight: 600; border-left: .3rem solid var(--good);
  padding: .3rem 0 .3rem .9rem; }
.warning { border-color: var(--bad); }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .75rem 0; }
th, td { padding: .3rem .8rem; text-align: right; white-space: nowrap; }
th { border-bottom: 2px solid var(--line); color: var(--soft); font-weight: 600;
  white-space: normal; vertical-align: bottom; }
td { border-bottom: 1px solid var(--line); }
tr:nth-child(odd) td { background: var(--stripe); }
th:first-child, td:first-child { text-align: left; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1rem 0; }
.plots img { width: 22rem; max-width: 100%; background: #fff; border-radius: .4rem; }
code { font-size: .9em; overflow-wrap: anywhere; }
"""
