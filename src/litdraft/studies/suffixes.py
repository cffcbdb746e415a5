"""The tokens that can continue a word, and how often they occur in a text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import torch

from litdraft.reports import terminal
from litdraft.reports.document import Document, Heading, Paragraph, Table
from litdraft.reports.provenance import provenance
from litdraft.reports.report import save_document
from litdraft.studies.schema import Suffix, SuffixReport, save
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.token_kinds import KINDS, SUFFIX, TokenKinds, text_of

SHOWN = 30  # on the terminal, of those that were counted


def suffixes(tokenizer: Tokenizer, name: str, texts: Iterable[str] | None) -> SuffixReport:
    """All of them; with texts how often each occurs there (`count`) and how often it continues a
    word (`inside`), the most frequent first."""
    kinds = TokenKinds.of(tokenizer)
    seen: Counter[int] = Counter()
    inside: Counter[int] = Counter()
    tokens = 0
    for text in () if texts is None else texts:
        ids = torch.tensor([0, *tokenizer.encode(text, bos=False)])
        kind_n = kinds.in_context(ids[:-1], ids[1:])
        seen.update(ids[1:][kinds.kind_V[ids[1:]] == SUFFIX].tolist())
        inside.update(ids[1:][kind_n == SUFFIX].tolist())
        tokens += len(kind_n)
    counted = texts is not None
    listed = [
        Suffix(
            token,
            tokenizer.piece(token),
            text_of(tokenizer, token),
            seen[token] if counted else None,
            inside[token] if counted else None,
        )
        for token in kinds.suffixes()
    ]
    if counted:
        listed.sort(key=lambda one: (-inside[one.id], -seen[one.id], one.id))
    sizes = torch.bincount(kinds.kind_V, minlength=len(KINDS)).tolist()
    return SuffixReport(
        tokenizer=name,
        pieces=tokenizer.size,
        kinds=dict(zip(KINDS, sizes, strict=True)),
        tokens=tokens if counted else None,
        inside=inside.total() if counted else None,
        suffixes=listed,
        **vars(provenance(torch.device("cpu"))),
    )


def headline(report: SuffixReport) -> str:
    sizes = f"{len(report.suffixes):,} of {report.pieces:,} pieces can continue a word"
    if not report.tokens or report.inside is None:
        return sizes
    share = 100 * report.inside / report.tokens
    return f"{sizes}; {share:.1f} % of {report.tokens:,} tokens of the text do"


def cells(report: SuffixReport) -> list[list[str]]:
    """The list, its head first."""
    if report.tokens is None:
        return [["id", "piece"], *([str(one.id), one.piece] for one in report.suffixes)]
    return [
        ["id", "piece", "count", "inside"],
        *([str(one.id), one.piece, str(one.count), str(one.inside)] for one in report.suffixes),
    ]


def document(report: SuffixReport) -> Document:
    sizes = [f"{count:,}" for count in report.kinds.values()]
    return Document(
        f"Suffix tokens of {report.tokenizer}",
        f"{headline(report)}.",
        [
            Table([list(report.kinds), sizes]),
            Table([[cell.replace("|", "\\|") for cell in line] for line in cells(report)]),
            Heading("How to repeat it"),
            Paragraph(f"`{report.command}`"),
        ],
    )


def write(report: SuffixReport, folder: Path) -> None:
    """study.json, study.md and study.html."""
    save(report, folder)
    save_document(document(report), [], "study", folder)


def show(report: SuffixReport, folder: Path) -> None:
    console = terminal.console()
    terminal.headline(console, headline(report))
    head, *body = cells(report)
    if report.tokens is None:
        some = dict.fromkeys((one.text or "").strip() for one in report.suffixes)
        console.print(" ".join(some), markup=False)
    else:
        title = f"the {min(SHOWN, len(body))} most frequent"
        console.print(terminal.table(title, [head, *body[:SHOWN]]))
    terminal.files(console, "study", folder, "study.html, study.md and study.json")
