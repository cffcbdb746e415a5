"""The tables of a report: rows of cells, the head first."""

from __future__ import annotations

from litdraft.reports.document import Heading, Paragraph, Part, Pictures, Table
from litdraft.reports.schema import Acceptance, Report
from litdraft.reports.words import milliseconds, percent, temperature, times_as_fast

Rows = list[list[str]]
QUALITY = ["ROUGE-1", "ROUGE-2", "ROUGE-L", "chrF", "word accuracy"]


def acceptance(report: Report) -> Rows:
    """Mean acceptance lengths of the drafter and of both floors, under both samplings."""
    head = ["", "tokens per round", "by replay", "lookup", "untrained", "accepted",
            "repeated 4-grams"]  # fmt: skip
    return [
        head,
        *(
            [
                temperature(part.temperature),
                f"{part.mean_acceptance_length:.3f}",
                f"{part.predicted_mean_acceptance_length:.3f}",
                f"{part.floor.lookup:.3f}",
                f"{part.floor.untrained:.3f}",
                percent(part.acceptance_rate),
                percent(part.repeated_4grams),
            ]
            for part in report.samplings
        ),
    ]


def positions(part: Acceptance) -> Rows:
    """Acceptance at each draft position."""
    rates = zip(part.conditional_acceptance, part.survival, strict=True)
    return [
        ["draft position", "accepted where reached", "accepted of all rounds"],
        *([str(j), percent(c), percent(s)] for j, (c, s) in enumerate(rates, start=1)),
    ]


def quality(report: Report) -> Rows:
    """Texts compared with their references, in hundredths, a line for each decoder."""
    lines = [
        [
            f"{temperature(part.temperature)}, {name}",
            *(
                f"{100 * value:.1f}"
                for value in (side.rouge1, side.rouge2, side.rougeL, side.chrf, side.word_accuracy)
            ),
        ]
        for part in report.samplings
        if part.quality
        for name, side in (("plain", part.quality.baseline), ("drafted", part.quality.drafted))
    ]
    return [["", *QUALITY], *lines]


def groups(part: Acceptance) -> Rows:
    """A line for each category. A speedup is given where prompts were decoded one by one."""
    head = ["", "prompts", "tokens per round", "lookup", "untrained", "repeated 4-grams",
            "speedup"]  # fmt: skip
    return [
        head,
        *(
            [
                name,
                str(group.prompts),
                f"{group.mean_acceptance_length:.3f}",
                f"{group.floor.lookup:.3f}",
                f"{group.floor.untrained:.3f}",
                percent(group.repeated_4grams),
                "" if group.speedup is None else f"{group.speedup:.2f}",
            ]
            for name, group in part.groups.items()
        ),
    ]


def draft_lengths(report: Report) -> Rows:
    """How k=auto chose k."""
    return [
        ["k", "tokens per round, by replay", "ms per round, measured", "tokens per second"],
        *(
            [
                f"**{length.k}**" if length.k == report.k else str(length.k),
                f"{length.mean_acceptance_length:.3f}",
                f"{1e3 * length.round_seconds:.3f}",
                f"{length.tokens_per_second:.0f}",
            ]
            for length in report.draft_lengths
        ),
    ]


def measurements(report: Report) -> Rows:
    lossless, timed = report.losslessness, report.timed_batches
    return [
        ["", "value"],
        ["tokens per second, plain", f"{report.baseline_tokens_per_second:.1f}"],
        ["tokens per second, drafted", f"{report.tokens_per_second:.1f}"],
        ["speedup of decoding", times_as_fast(report.speedup, timed, 3)],
        ["speedup with prefill", times_as_fast(report.speedup_with_prefill, timed, 3)],
        ["drafting, milliseconds per round", milliseconds(report.draft_milliseconds)],
        ["prompts", f"{report.prompts}, {report.tokens} tokens after the first"],
        ["prompts with identical greedy text", f"{lossless.identical}"],
        ["near ties", f"{lossless.near_ties} (within {lossless.tolerance:.1e})"],
        ["mismatches", f"{lossless.mismatches}"],
    ]


def group_parts(report: Report) -> list[Part]:
    """The categories of the prompts, where there are several."""
    parts: list[Part] = []
    for part in report.samplings:
        if part.groups:
            parts += [Paragraph(f"By category, {temperature(part.temperature)}:")]
            parts += [Table(groups(part))]
    return [Heading("Categories"), *parts, Pictures(("categories",))] if parts else []


def quality_parts(report: Report) -> list[Part]:
    """How good the texts are, where there are references."""
    if report.quality is None:
        return []
    return [
        Heading("Text quality"),
        Paragraph(
            "The texts compared with their references, in hundredths (prompts that have one: "
            f"{report.quality.prompts}):"
        ),
        Table(quality(report)),
    ]


def draft_length_parts(report: Report) -> list[Part]:
    """How k=auto chose k, where it did."""
    if not report.draft_lengths:
        return []
    return [
        Heading("Draft length"),
        Paragraph("How many tokens to draft, measured on validation prompts:"),
        Table(draft_lengths(report)),
        Pictures(("draft_lengths",)),
    ]
