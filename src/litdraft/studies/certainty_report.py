"""study.json, study.md, study.html, plots and what the terminal shows of a certainty study."""

from __future__ import annotations

from pathlib import Path

from litdraft.evaluation.average_precision import PRECISIONS
from litdraft.reports import terminal
from litdraft.reports.document import Document, Heading, Paragraph, Part, Pictures, Table
from litdraft.reports.report import save_document, versions
from litdraft.reports.words import percent
from litdraft.studies import certainty_plots
from litdraft.studies.certainty import BOUNDS
from litdraft.studies.certainty_plots import NAMES
from litdraft.studies.detection import ORDERS
from litdraft.studies.schema import CertaintyFigures, CertaintyReport, save

Rows = list[list[str]]
HEADS = [f"{bound:g}" for bound in BOUNDS]


def headline(report: CertaintyReport) -> str:
    """The answer in one line, from texts as decoding writes them."""
    name = "sampled" if "sampled" in report.texts else "own"
    text = report.texts[name]
    return (
        f"{report.target}, {NAMES[name]}: certain (at least 0.99) at {percent(text.share[2])} "
        f"of {text.positions:,} positions; skipping all of those would decode "
        f"{_times(text.speedup[2])} as fast"
    )


def share_cells(report: CertaintyReport) -> Rows:
    """A line for each set of texts: shares of positions by the largest probability."""
    return [
        ["certain, at least", *HEADS, "right", "repeats", "positions"],
        *(
            [
                NAMES[name],
                *map(percent, text.share),
                _ratio(text.right[2], text.certain[2]),
                percent(text.repeated_4grams),
                f"{text.positions:,}",
            ]
            for name, text in report.texts.items()
        ),
    ]


def speedup_cells(report: CertaintyReport) -> Rows:
    """The same lines: predicted speedups if certain tokens are skipped."""
    lines = ([NAMES[name], *map(_times, text.speedup)] for name, text in report.texts.items())
    return [["skipped, at least", *HEADS], *lines]


def kind_cells(text: CertaintyFigures) -> Rows:
    """A line for each kind of the likeliest token: shares of the positions of that kind."""
    return [
        ["certain, at least", *HEADS, "right", "of certain", "of all"],
        *(
            [
                name,
                *(_ratio(count, part.positions) for count in part.certain),
                _ratio(part.right[2], part.certain[2]),
                _ratio(part.certain[2], text.certain[2]),
                _ratio(part.positions, text.positions),
            ]
            for name, part in text.kinds.items()
        ),
    ]


def detection_cells(text: CertaintyFigures) -> Rows:
    """Four lines for each bound: how well the last 1, 2, ... tokens predict certainty."""
    cells = [["", "guessing", *(f"{order} seen" for order in ORDERS)]]
    for bound, some in text.detection.items():
        if not some:
            continue
        base = some[0].certain / some[0].positions
        areas = (f"{found.average_precision:.3f}" for found in some)
        cells += [
            [f"{bound}: average precision", f"{base:.3f}", *areas],
            *(
                [
                    f"{bound}: found at {100 * precision:g} %",
                    "",
                    *(percent(found.recall[index]) for found in some),
                ]
                for index, precision in enumerate(PRECISIONS)
            ),
            [f"{bound}: speedup", "", *(_times(found.speedup) for found in some)],
        ]
    return cells


def document(report: CertaintyReport) -> Document:
    cost = " ".join(f"{1e3 * each:.3f}" for each in report.pass_seconds)
    return Document(
        f"How certain {report.target} is",
        f"{headline(report)}.",
        [
            Paragraph(
                "Shares of positions whose largest probability, of the target's own distribution "
                "at temperature 1, reaches a bound. *Right*: at 0.99, the text continues with that "
                "token. *Repeats*: repeated 4-grams. *Of certain*: the share of all positions that "
                "are certain at 0.99."
            ),
            Table(share_cells(report)),
            Paragraph(
                "Predicted speedups, from the costs of passes below, if every such token were "
                "written for nothing and read with the next token that the target must read:"
            ),
            Table(speedup_cells(report)),
            Pictures(("certainty", "kinds", "detection")),
            *(part for name, text in report.texts.items() for part in _parts(name, text)),
            Heading("How to repeat it"),
            Paragraph(
                f"Milliseconds of a pass over 1, 2, ... {len(report.pass_seconds)} tokens, up to "
                f"the next token: {cost}."
            ),
            Paragraph(f"`{report.command}`"),
            Paragraph(
                f"commit {report.commit}, {report.device}, {report.dtype}, seed {report.seed}, "
                f"fused {str(report.fused).lower()}, {versions(report)}"
            ),
        ],
    )


def _parts(name: str, text: CertaintyFigures) -> list[Part]:
    """One set of texts."""
    parts: list[Part] = [
        Heading(f"{NAMES[name][0].upper()}{NAMES[name][1:]}"),
        Paragraph("By kind of the likeliest token:"),
        Table(kind_cells(text)),
    ]
    if any(text.detection.values()):
        parts += [
            Paragraph(
                "Certainty predicted from the last tokens alone, fitted on half of the texts and "
                "judged on the others: average precision, the share of certain positions that is "
                "found at two precisions, and the speedup if only those found at the higher "
                "precision were skipped:"
            ),
            Table(detection_cells(text)),
        ]
    return parts


def write(report: CertaintyReport, folder: Path) -> None:
    """study.json, study.md, study.html and three plots."""
    save(report, folder)
    save_document(document(report), certainty_plots.draw_all(report, folder), "study", folder)


def show(report: CertaintyReport, folder: Path) -> None:
    """The headline and four tables, those by kind of the last set of texts."""
    console = terminal.console()
    terminal.headline(console, headline(report))
    name, text = report.last_texts
    for title, cells in (
        ("share of positions by the largest probability", share_cells(report)),
        ("predicted speedup of skipping them", speedup_cells(report)),
        (f"by kind of the likeliest token, {NAMES[name]}", kind_cells(text)),
        (f"certainty predicted from the last tokens, {NAMES[name]}", detection_cells(text)),
    ):
        if len(cells) > 1:
            console.print(terminal.table(title, cells))
    terminal.files(console, "study", folder, "study.html, study.md, study.json and three plots")


def _ratio(part: int, whole: int) -> str:
    return percent(part / whole) if whole else ""


def _times(speedup: float | None) -> str:
    return "" if speedup is None else f"{speedup:.2f}x"
