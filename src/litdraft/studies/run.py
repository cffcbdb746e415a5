"""Studies of a target alone: evaluate.py study=certainty and study=suffixes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from omegaconf import DictConfig
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue
from rich.progress import Progress

from litdraft.config.build import target_opener, tokenizer_of
from litdraft.config.data import source_of, texts_of
from litdraft.data.continuations import Writer
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.target_generated import TargetGenerated
from litdraft.errors import UserError
from litdraft.protocols import Target
from litdraft.reports.provenance import provenance
from litdraft.sampling import Sampling
from litdraft.studies import certainty_plots, certainty_report, suffixes
from litdraft.studies.certainty import ROWS, Text, position_stats
from litdraft.studies.certainty_figures import figures
from litdraft.studies.skipping import TURNS, pass_seconds
from litdraft.targets.devices import named_dtype, own_device
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.load import open_tokenizer
from litdraft.tokenizers.token_kinds import TokenKinds

WRITTEN = {"greedy": Sampling(0.0), "sampled": Sampling(1.0)}


def study(config: DictConfig, folder: Path) -> float:
    """What config.study names, written into the run folder; the figure that a sweep compares."""
    if config.devices != 1:
        raise UserError(f"devices={config.devices} was given, but study={config.study} has one job")
    return {"certainty": _certainty, "suffixes": _suffixes}[config.study](config, folder)


def _certainty(config: DictConfig, folder: Path) -> float:
    """The share of positions at which the target is certain (0.99)."""
    opener = target_opener(config, named_dtype(config.dtype), fused=config.fused)
    if opener is None:
        raise UserError("target=null was given: study=certainty needs a target")
    target = opener(own_device())
    tokenizer = tokenizer_of(config, target, Path())
    texts, prompts = _texts(config, target, tokenizer)
    middle = sorted(prompts, key=len)[len(prompts) // 2]
    kinds = TokenKinds.of(tokenizer, target.spec.vocabulary)
    with Progress(transient=True) as progress:
        timed = progress.add_task("passes timed", total=TURNS + 1)
        seconds = pass_seconds(
            target, middle, config.max_new_tokens // 2, lambda: progress.advance(timed)
        )
        read = progress.add_task("texts read", total=sum(map(len, texts.values())))
        told = {
            name: figures(
                position_stats(target, some, lambda count: progress.advance(read, count)),
                kinds,
                seconds,
                config.seed,
            )
            for name, some in texts.items()
        }
    report = {
        "study": "certainty",
        "target": target.spec.name,
        "texts": told,
        "pass_seconds": seconds,
        "prompts": len(prompts),
        "prompt_tokens": sum(map(len, prompts)),
        "max_new_tokens": config.max_new_tokens,
        "dtype": str(target.dtype).removeprefix("torch."),
        "fused": target.packed is not None,
        "seed": config.seed,
        **provenance(target.device),
    }
    certainty_report.write(report, certainty_report.markdown(report), folder)
    certainty_plots.draw_all(report, folder)
    certainty_report.show(report, folder)
    return float(list(told.values())[-1]["share"][2])


def _texts(
    config: DictConfig, target: Target, tokenizer: Tokenizer
) -> tuple[dict[str, list[Text]], list[list[int]]]:
    """Held-out texts of the data, if it has any of its own, and what the target writes behind their
    beginnings; and those beginnings."""
    cache, spec, limit = Path(config.data.cache), target.spec, config.max_new_tokens
    if config.data.get("length", 0) is None and limit < spec.context:
        config.data.length = spec.context - limit  # every prompt leaves room
    writer = Writer(target, cache, config.seed, batch=4 * ROWS)
    # Without a target held-out rows keep the text's own responses, and need no room behind them.
    materials = Materials(tokenizer, cache, None, writer, encoder_decoder=spec.encoder_decoder)
    rows = source_of(config).held_out(materials, "test", config.prompts, capacity=0)
    if not len(rows):
        raise UserError("the data holds out no row to study: give more text, or data.test=")
    longest = max(int(rows.lengths_B.max()), max(map(len, rows.prompts())) + limit)
    if longest > spec.context:
        raise UserError(
            f"{longest} positions are needed, but {spec.name} has a context of {spec.context}: "
            "lower data.length or max_new_tokens"
        )
    found = {"own": _as_texts(rows)}
    for name, sampling in WRITTEN.items():
        found[name] = _as_texts(writer.write(rows.prompts(), limit, sampling))
    return {name: texts for name, texts in found.items() if texts}, rows.prompts()


def _as_texts(rows: Rows) -> list[Text]:
    """Those in which something is written."""
    texts = (Text(*rows[place][:3]) for place in range(len(rows)))
    return [text for text in texts if text.counted_T.any()]


def _suffixes(config: DictConfig, folder: Path) -> float:
    """How many there are."""
    try:
        path = config.target.tokenizer
    except (AttributeError, MissingMandatoryValue, InterpolationToMissingValueError):
        raise UserError(
            "study=suffixes reads a tokenizer: give target.tokenizer=, or a target that has one"
        ) from None
    told = suffixes.suffixes(open_tokenizer(path), _given(config))
    report = {
        "study": "suffixes",
        "tokenizer": "/".join(Path(path).parts[-2:]),
        **told,
        **provenance(torch.device("cpu")),
    }
    certainty_report.write(report, suffixes.markdown(report), folder)
    suffixes.show(report, folder)
    return float(len(told["suffixes"]))


def _given(config: DictConfig) -> Sequence[str] | None:
    """The text to count in; None where the data is what a target would have to write."""
    if config.data is None:
        return None
    source = source_of(config)
    return None if isinstance(source, TargetGenerated) else list(texts_of(source))
