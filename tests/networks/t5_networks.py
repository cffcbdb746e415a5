"""Small random T5s of transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import T5Config, T5ForConditionalGeneration

VOCABULARY, START, EOS = 43, 0, 2
# The first T5, T5 1.1 (and FLAN-T5), and a mixture.
KINDS: dict[str, dict[str, Any]] = {
    "t5": {"feed_forward_proj": "relu", "tie_word_embeddings": True},
    "flan": {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
    "uneven": {"feed_forward_proj": "gated-silu", "num_layers": 1, "num_decoder_layers": 3},
}


def network(kind: str, dtype: torch.dtype = torch.float64, **sizes: Any) -> Any:
    """Weights so large that texts differ; sequences longer than the reach of the position bias."""
    given: dict[str, Any] = {
        "vocab_size": VOCABULARY, "d_model": 24, "d_kv": 5, "d_ff": 40, "num_layers": 2,
        "num_decoder_layers": 2, "num_heads": 4, "relative_attention_num_buckets": 8,
        "relative_attention_max_distance": 9, "n_positions": 64, "decoder_start_token_id": START,
        "eos_token_id": EOS, "pad_token_id": START, "dropout_rate": 0.0, **KINDS[kind], **sizes,
    }  # fmt: skip
    model = T5ForConditionalGeneration(T5Config(**given)).to(dtype)
    torch.manual_seed(1)
    with torch.no_grad():
        if kind == "flan":  # a separate head
            model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.shared.weight))
        for name, weight in model.named_parameters():
            tokens = name.split(".")[0] in ("lm_head", "shared")
            wide = 0.6 if tokens else 1.0 if kind == "t5" else 0.4
            if weight.dim() > 1:
                weight.normal_(std=1.0 if "relative" in name else wide)
            else:
                weight.normal_(1.0, 0.1)
    return model.eval()


def saved(folder: Path, kind: str, dtype: torch.dtype = torch.float64, **sizes: Any) -> Path:
    network(kind, dtype, **sizes).save_pretrained(folder)
    return folder
