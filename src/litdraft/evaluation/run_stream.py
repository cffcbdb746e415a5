"""Watch one prompt being continued: `prompt="Once upon"`."""

from __future__ import annotations

from rich.console import Console

from litdraft.data.rows.prompt_layout import prompt_tokens
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.errors import UserError
from litdraft.evaluation.choose_k import choose_k
from litdraft.evaluation.modes import LosslessMode
from litdraft.evaluation.options import EvaluationOptions, EvaluationParts
from litdraft.evaluation.run import launched
from litdraft.evaluation.setup import open_setup
from litdraft.evaluation.stream import Stream, summary


def stream(parts: EvaluationParts, options: EvaluationOptions, prompt: str) -> float:
    """Print one continuation as it is decoded, then what it cost; the speedup."""
    if not isinstance(parts.mode, LosslessMode):
        raise UserError(
            f"decoding={parts.mode.name} is lossy and measured on the data's prompts: give no "
            "prompt"
        )
    setup = open_setup(parts, options, launched(options), floors=False)
    parts.mode.check(setup.drafter)
    parts.mode.stop_rule(setup)(options.sampling)
    k = choose_k(setup).k
    console = Console(highlight=False, soft_wrap=True)
    tokens = prompt_tokens(setup.tokenizer, setup.target.spec.encoder_decoder, prompt)
    loop = Speculate(setup.target, setup.drafter, k, options.sampling, options.seed)
    plain = Autoregress(setup.target, options.sampling, options.seed)
    for warm in (loop, plain):
        warm.generate([tokens], min(8, options.max_new_tokens))
    loop.generate([tokens], options.max_new_tokens, watch=Stream(setup.tokenizer, console))
    # Printing takes longer than decoding, so the time is taken without.
    drafted = loop.generate([tokens], options.max_new_tokens)
    alone = plain.generate([tokens], options.max_new_tokens)
    console.print(f"\n\n[dim]{summary(alone, drafted)}[/]")
    return float(alone.decode_seconds / max(drafted.decode_seconds, 1e-9))
