"""Draw what a terminal showed as an SVG: reads text with colours from stdin, writes the file named.

FORCE_COLOR=1 COLUMNS=96 litdraft evaluate run=outputs/quickstart prompt="Once upon a time" \
    | python docs/images/render.py docs/images/stream.svg 'litdraft evaluate ...'
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 96


def main(path: str, title: str) -> None:
    # force_terminal keeps the styles; the file swallows what would be printed a second time
    console = Console(record=True, width=WIDTH, force_terminal=True, file=io.StringIO())
    for line in sys.stdin.read().replace("\r\n", "\n").strip().split("\n"):
        console.print(Text.from_ansi(line), soft_wrap=False)
    svg = console.export_svg(title=title, unique_id="stream")
    # no fonts from the network: the page must look the same without it
    svg = re.sub(r"@font-face \{.*?\}\n", "", svg, flags=re.DOTALL)
    svg = svg.replace("Fira Code, monospace", "'DejaVu Sans Mono', Menlo, Consolas, monospace")
    Path(path).write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
