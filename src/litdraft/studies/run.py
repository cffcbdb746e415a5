"""Studies of a target alone: how certain it is, and which tokens can continue a word."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.progress import Progress

from litdraft.data.continuations import Writer
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.errors import UserError
from litdraft.protocols import Target
from litdraft.reports.provenance import provenance
from litdraft.sampling import Sampling
from litdraft.studies import certainty_report, suffixes
from litdraft.studies.certainty import ROWS, Text, position_stats
from litdraft.studies.certainty_figures import figures
from litdraft.studies.options import StudyOptions, StudyParts
from litdraft.studies.schema import CertaintyReport, SuffixReport
from litdraft.studies.skipping import TURNS, pass_seconds
from litdraft.targets.devices import own_device
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.token_kinds import TokenKinds

WRITTEN = {"greedy": Sampling(0.0), "sampled": Sampling(1.0)}


def study_certainty(
    parts: StudyParts, options: StudyOptions, folder: Path | None
) -> CertaintyReport:
    """Read held-out texts and what the target writes; with a folder, write the report there and
    show it."""
    target = parts.open_target(options.dtype, own_device(), options.native)
    tokenizer = parts.open_tokenizer(target)
    texts, prompts = _texts(parts, options, target, tokenizer)
    middle = sorted(prompts, key=len)[len(prompts) // 2]
    kinds = TokenKinds.of(tokenizer, target.spec.vocabulary)
    with Progress(transient=True) as progress:
        timed = progress.add_task("passes timed", total=TURNS + 1)
        seconds = pass_seconds(
            target, middle, options.max_new_tokens // 2, lambda: progress.advance(timed)
        )
        read = progress.add_task("texts read", total=sum(map(len, texts.values())))
        found = {
            name: figures(
                position_stats(target, some, lambda count: progress.advance(read, count)),
                kinds,
                seconds,
                options.seed,
            )
            for name, some in texts.items()
        }
    report = CertaintyReport(
        target=target.spec.name,
        texts=found,
        pass_seconds=seconds,
        prompts=len(prompts),
        prompt_tokens=sum(map(len, prompts)),
        max_new_tokens=options.max_new_tokens,
        dtype=str(target.dtype).removeprefix("torch."),
        fused=target.packed is not None,
        seed=options.seed,
        **vars(provenance(target.device)),
    )
    if folder is not None:
        certainty_report.write(report, folder)
        certainty_report.show(report, folder)
    return report


def study_suffixes(
    tokenizer: Tokenizer, name: str, texts: Iterable[str] | None, folder: Path | None
) -> SuffixReport:
    """List the tokens that can continue a word, counted in texts if there are any; `name` is the
    tokenizer's, for the report."""
    report = suffixes.suffixes(tokenizer, name, texts)
    if folder is not None:
        suffixes.write(report, folder)
        suffixes.show(report, folder)
    return report


def _texts(
    parts: StudyParts, options: StudyOptions, target: Target, tokenizer: Tokenizer
) -> tuple[dict[str, list[Text]], list[list[int]]]:
    """Held-out texts of the data, if it has its own, and what the target writes after their
    beginnings; and those beginnings."""
    spec, limit = target.spec, options.max_new_tokens
    source = parts.open_source(spec, limit)
    writer = Writer(target, parts.cache, options.seed, batch=4 * ROWS)
    # Without a spec held-out rows keep the text's own responses, and need no capacity after them.
    materials = Materials(
        tokenizer, parts.cache, None, writer, encoder_decoder=spec.encoder_decoder
    )
    rows = source.held_out(materials, "test", options.prompts, capacity=0)
    if not len(rows):
        raise UserError("the data holds out no row to study: give more text, or data.test=")
    longest = max(int(rows.lengths_B.max()), max(map(len, rows.prompts())) + limit)
    if longest > spec.context:
        raise UserError(
            f"{longest} positions are needed, but {spec.name} has a context of {spec.context}: "
            "lower data.length or max_new_tokens"
        )
    texts = {"own": _as_texts(rows)}
    for name, sampling in WRITTEN.items():
        texts[name] = _as_texts(writer.write(rows.prompts(), limit, sampling))
    return {name: some for name, some in texts.items() if some}, rows.prompts()


def _as_texts(rows: Rows) -> list[Text]:
    """Those in which something is written."""
    texts = (Text(*rows[row][:3]) for row in range(len(rows)))
    return [text for text in texts if text.counted_T.any()]
