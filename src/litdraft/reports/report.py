"""report.json, report.md, report.html, plots and what the terminal shows: all from one `Report`."""

from __future__ import annotations

from pathlib import Path

from litdraft.io import replacing
from litdraft.reports import plots, tables, terminal
from litdraft.reports.document import Document, Heading, Paragraph, Pictures, Table
from litdraft.reports.schema import Provenance, Report
from litdraft.reports.words import times_as_fast


def headline(report: Report) -> str:
    """The first thing that a reader should know, also when it is disappointing."""
    length, lookup = report.mean_acceptance_length, report.floor.lookup
    if wrong := report.losslessness.mismatches:
        return f"NOT LOSSLESS: {wrong} emitted tokens are not the target's. This is a bug."
    pace = f"decodes {times_as_fast(report.speedup, report.timed_batches)}"
    if report.drafter != "lookup" and lookup >= length:
        return (
            f"Prompt lookup beats {report.drafter}: {lookup:.2f} tokens per round against "
            f"{length:.2f}; with {report.drafter}, {report.target} {pace}."
        )
    return f"With {report.drafter}, {report.target} {pace}, {length:.2f} tokens per round."


def document(report: Report) -> Document:
    """The whole report, in the order of its readers' questions."""
    return Document(
        f"{report.drafter} drafting for {report.target}, k = {report.k}",
        headline(report),
        [
            Paragraph("Mean acceptance length, in tokens per round:"),
            Table(tables.acceptance(report)),
            Paragraph(
                "*Lookup* and *untrained* are floors, measured by replay on the same texts. Small "
                "models repeat themselves, and repetition is easy to draft: compare the share of "
                "repeated 4-grams."
            ),
            Table(tables.positions(report)),
            Pictures(("acceptance", "lengths", "speed")),
            *tables.group_parts(report),
            *tables.quality_parts(report),
            *tables.draft_length_parts(report),
            Heading("Measurements"),
            Table(tables.measurements(report)),
            Paragraph(
                "Intervals: 95 %, paired bootstrap over what was timed together "
                f"({report.timed_batches} batches of {report.batch}). Losslessness is judged on a "
                "greedy run, every token by a teacher-forced float32 pass."
            ),
            Heading("How to repeat it"),
            Paragraph(f"`{report.command}`"),
            Paragraph(
                f"commit {report.commit}, {report.device}, {report.dtype}, seed {report.seed}, "
                f"compile {report.compile}, fused {str(report.fused).lower()}, {versions(report)}"
            ),
        ],
        warning=report.losslessness.mismatches > 0,
    )


def versions(provenance: Provenance) -> str:
    return ", ".join(f"{name} {version}" for name, version in provenance.versions.items())


def write(report: Report, folder: Path) -> None:
    """report.json, report.md, report.html and the plots."""
    report.save(folder)
    save_document(document(report), plots.draw_all(report, folder), "report", folder)


def save_document(whole: Document, drawn: list[Path], name: str, folder: Path) -> None:
    """NAME.md and NAME.html, each whole or not at all; `drawn` are the plots that it shows."""
    pictures = {path.stem: path.read_bytes() for path in drawn}
    for suffix, text in ((".md", whole.markdown()), (".html", whole.html(pictures))):
        with replacing(folder / f"{name}{suffix}") as path:
            path.write_text(text, encoding="utf-8")


def show(report: Report, folder: Path) -> None:
    """The headline and the most important tables; the rest is in the files."""
    console = terminal.console()
    terminal.headline(console, headline(report))
    console.print(terminal.table("mean acceptance length", tables.acceptance(report)))
    if report.groups:
        console.print(terminal.table("by category", tables.groups(report)))
    if report.quality:
        title = "texts compared with their references, in hundredths"
        console.print(terminal.table(title, tables.quality(report)))
    lossless = report.losslessness
    console.print(
        f"\n{report.baseline_tokens_per_second:.0f} tokens/s plain, "
        f"{report.tokens_per_second:.0f} with the drafter; {lossless.identical} of "
        f"{lossless.prompts} greedy texts identical, {lossless.near_ties} near ties, "
        f"{lossless.mismatches} mismatches"
    )
    terminal.files(console, "report", folder, "report.html, report.md, report.json and plots")
