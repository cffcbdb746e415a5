"""lossy.json, lossy.md, lossy.html, plots and what the terminal shows: from one `LossyReport`."""

from __future__ import annotations

from pathlib import Path

from litdraft.reports import lossy_plots, terminal
from litdraft.reports.document import Document, Heading, Paragraph, Part, Pictures, Table
from litdraft.reports.lossy_schema import LossyBlock, LossyFigures, LossyReport, LossyRow
from litdraft.reports.report import save_document
from litdraft.reports.words import percent, times_as_fast, with_interval

Rows = list[list[str]]
Measured = tuple[LossyRow, LossyFigures]

HEAD = ["decoding", "setting", "tokens per pass", "target passes saved", "unverified", "agree",
        "perplexity", "BLEU", "ROUGE-L", "repeats", "speedup"]  # fmt: skip
SHOWN = (0, 1, 3, 5, 10)  # of HEAD, on a terminal
EVENTS = {
    "agrees": "the target writes it too",
    "0.9": "the target gives it at least 0.9",
    "0.99": "the target gives it at least 0.99",
}


def headline(report: LossyReport) -> str:
    """The fastest lossy setting and the fastest lossless one, and which is which."""
    block = report.blocks[0]
    skipped = [pair for pair in block.measured(lossy=True) if pair[1].agreement]
    if not skipped:
        return (
            f"LOSSY, and nothing to save: {report.drafter} is never sure enough of what "
            f"{report.target} writes for what was asked."
        )
    _, ours = fastest(skipped)
    twin, lossless = fastest(block.measured(lossy=False))
    return (
        f"LOSSY: with unverified drafts of {report.drafter}, {report.target} decodes "
        f"{times_as_fast(ours.speedup, ours.timed_batches)}, and {percent(ours.agreement)} of the "
        f"unverified tokens agree with the target. Lossless ({twin.name}) it decodes "
        f"{times_as_fast(lossless.speedup, lossless.timed_batches)}."
    )


def fastest(rows: list[Measured]) -> Measured:
    return max(rows, key=lambda pair: pair[1].speedup.value)


def setting(row: LossyRow) -> str:
    """What a row was asked for."""
    if row.agreement is not None:
        reached = "never" if row.threshold is None else f"from {row.threshold:.3f}"
        return f"{100 * row.agreement:g} %: {reached}"
    if row.bound is not None:
        return f"bound {row.bound:g}"
    return "" if row.threshold is None else f"from {row.threshold:g}"


def settings(block: LossyBlock) -> Rows:
    """A line for each setting, the head first."""
    lines = []
    for row in block.rows:
        line = [f"{row.name}, {'LOSSY' if row.lossy else 'lossless'}", setting(row)]
        if (found := row.measured) is not None:
            line += [
                f"{found.tokens_per_pass:.2f}",
                percent(found.target_passes_saved),
                percent(found.accepted) if row.lossy else "none",
                percent(found.agreement) if row.lossy else "all",
                f"{found.perplexity:.2f} ({100 * (found.perplexity_ratio - 1):+.1f} %)",
                f"{100 * found.bleu:.1f}",
                f"{100 * found.rougeL:.1f}",
                percent(found.repeated_4grams),
                with_interval(found.speedup, found.timed_batches),
            ]
        lines.append([*line, *[""] * (len(HEAD) - len(line))])
    return [HEAD, *lines]


def events(block: LossyBlock) -> Rows:
    """How well the drafter's confidence ranks positions, on the test prompts' texts."""
    return [
        ["event", "share: what guessing reaches", "average precision"],
        *(
            [EVENTS[name], percent(event.share), f"{event.average_precision:.3f}"]
            for name, event in block.test.events.items()
        ),
    ]


def thresholds(block: LossyBlock) -> Rows:
    """What reaches each threshold, on the test prompts' texts."""
    return [
        ["threshold", "positions", "share", "agreement", "calibration error"],
        *(
            [
                f"{part.threshold:.3f}",
                f"{part.positions:,}",
                percent(part.share),
                percent(part.agreement),
                percent(part.calibration_error, 2),
            ]
            for part in block.above
        ),
    ]


def document(report: LossyReport) -> Document:
    return Document(
        f"{report.drafter} drafting for {report.target}, LOSSY",
        headline(report),
        [
            Paragraph(
                f"`decoding={report.decoding}`, k = {report.k}, {report.prompts} prompts, at most "
                f"{report.max_new_tokens} tokens each, batch {report.batch}. The losslessness "
                f"check: {report.losslessness}."
            ),
            Pictures(lossy_plots.NAMES),
            *(part for block in report.blocks for part in _parts(block)),
            Heading("How to repeat it"),
            Paragraph(
                f"{report.parameters:,} parameters; {report.dtype}{', fused' * report.fused}; seed "
                f"{report.seed}. `{report.command}`"
            ),
        ],
        warning=True,
    )


def _parts(block: LossyBlock) -> list[Part]:
    """One sampling."""
    test, validation = block.test, block.validation
    alone = "" if block.perplexity is None else f"perplexity {block.perplexity:.2f}, "
    return [
        Heading(f"Temperature {block.temperature:g}"),
        Paragraph(
            f"Written by the target alone: {alone}{percent(block.repeated_4grams)} repeated "
            "4-grams. The other texts are compared with these."
        ),
        Table(settings(block)),
        Paragraph(
            f"The drafter's confidence, calibrated on {validation.positions:,} positions of "
            f"validation text and judged on {test.positions:,} of test text: its likeliest token "
            f"agrees with the target at {percent(test.agreement)} of them, and its probabilities "
            f"are wrong by {percent(test.calibration_error, 2)} on average."
        ),
        Table(events(block)),
        Table(thresholds(block)),
    ]


def write(report: LossyReport, folder: Path) -> None:
    """lossy.json, lossy.md, lossy.html and the plots."""
    report.save(folder)
    save_document(document(report), lossy_plots.draw_all(report, folder), "lossy", folder)


def show(report: LossyReport, folder: Path) -> None:
    console = terminal.console()
    terminal.headline(console, headline(report))
    for block in report.blocks:
        cells = [[line[column] for column in SHOWN] for line in settings(block)]
        title = f"temperature {block.temperature:g}, LOSSY and lossless"
        console.print(terminal.table(title, cells))
    terminal.files(console, "calibration and plots", folder, "lossy.html, lossy.md and lossy.json")
