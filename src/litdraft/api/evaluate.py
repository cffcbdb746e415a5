"""Evaluating a drafter on prompts without the command line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from litdraft.api.load import open_checkpoint_as_target
from litdraft.data.rows.prompt_layout import prompt_tokens
from litdraft.data.rows.rows import Rows
from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Split
from litdraft.errors import UserError
from litdraft.evaluation import run
from litdraft.evaluation.modes import LosslessMode, Speculative
from litdraft.evaluation.options import EvaluationOptions, EvaluationParts
from litdraft.protocols import Drafter, Target
from litdraft.quiet import silence_libraries
from litdraft.reports.schema import Report
from litdraft.targets.frozen import Frozen


class Prompts:
    """Prompts in memory as a source; nothing is trained on them."""

    def __init__(self, test: Sequence[str], validation: Sequence[str]) -> None:
        self._prompts: dict[Split, list[str]] = {
            "test": list(test),
            "validation": list(validation),
        }
        if not self._prompts["test"]:
            raise UserError("no prompt was given: give at least one string")

    def training(self, materials: Materials) -> Rows:
        raise UserError("these are prompts to evaluate on: train on other text")

    def held_out(self, materials: Materials, split: Split, count: int, capacity: int) -> Rows:
        prompts = self._prompts[split][:count]
        if not prompts:
            raise UserError(
                f"a {split} prompt is needed, for k=None or a stop rule, but none was given: give "
                "validation=[...], prompts that are not those to be reported"
            )
        lists = [
            prompt_tokens(materials.tokenizer, materials.encoder_decoder, text) for text in prompts
        ]
        lengths = [len(tokens) for tokens in lists]
        return Rows.of(lists, lengths, [[] for _ in lists], [""] * len(lists))


def evaluate(
    target: Frozen,
    drafter: Drafter,
    prompts: Sequence[str],
    options: EvaluationOptions | None = None,
    *,
    validation: Sequence[str] = (),
    mode: LosslessMode | None = None,
    folder: str | Path | None = None,
) -> Report:
    """Decode prompts with and without a drafter, and report what it brings.

    All prompts are used, whatever `options.prompts` is. validation: other prompts, for k=None (the
    fastest k) and for stop rules. mode: how drafts are used, by default all k in every round. With
    a folder, report.json, report.md, report.html and the plots are written there.

    UserError before any work if the parts do not go together.
    """
    if target.tokenizer is None:
        raise UserError("the target has no tokenizer: open it with litdraft.load_target")
    silence_libraries()
    tokenizer = target.tokenizer
    source = Prompts(prompts, validation)
    chosen = replace(
        options or EvaluationOptions(),
        prompts=len(prompts),
        dtype=target.dtype,
        native=target.packed is not None,
    )
    parts = EvaluationParts(
        open_target=lambda dtype, device, native: _open(target, dtype, device, native),
        open_tokenizer=lambda target: tokenizer,
        build_drafter=lambda spec, tokenizer: drafter,
        build_untrained=lambda spec, tokenizer: None,
        open_source=lambda: source,
        mode=mode or Speculative(),
        cache=Path("outputs/cache"),
    )
    return run.evaluate(parts, chosen, None if folder is None else Path(folder))


def _open(target: Frozen, dtype: torch.dtype | None, device: torch.device, native: bool) -> Target:
    """The target itself, or the same weights as an exact reference to judge by."""
    if native == (target.packed is not None) and dtype in (None, target.dtype):
        return target
    if target.source is None:
        raise UserError(
            "evaluating needs the same target in float32 without native operations: open it with "
            "litdraft.load_target"
        )
    return open_checkpoint_as_target(target.source, dtype, device, native)
