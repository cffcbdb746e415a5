"""Small targets and scripted drafters that tests share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from litdraft.drafters.lookup import Lookup
from litdraft.drafters.lstm import LSTM
from litdraft.drafters.pretrained import Pretrained
from litdraft.models.llama import Llama, LlamaConfig
from litdraft.protocols import Context, Drafter, Proposal, Warp
from litdraft.targets.llama import LlamaTarget


def random_llama(seed: int = 0, **shape: Any) -> Llama:
    """Random weights, large enough that the next token is neither certain nor uniform."""
    sizes: dict[str, Any] = {
        "vocabulary": 24, "width": 16, "layers": 2, "heads": 4, "kv_heads": 2,
        "head_width": 4, "inner": 24, "context": 128, **shape,
    }  # fmt: skip
    model = Llama(LlamaConfig(**sizes))
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.35, generator=generator)
    return model


def random_target(
    seed: int = 0, dtype: torch.dtype = torch.float64, eos: tuple[int, ...] = (), **shape: int
) -> LlamaTarget:
    model = random_llama(seed, **shape).to(dtype)
    model.reset_buffers()
    return LlamaTarget(model, "random", bos=1, eos=eos)


class Scripted(Drafter):
    """Drafts from given distributions, probs_KV, whatever the context."""

    def __init__(self, probs_KV: Tensor) -> None:
        super().__init__()
        self.probs_KV = probs_KV

    def propose(
        self, state: None, context: Context, k: int, warp: Warp, uniforms_BK: Tensor
    ) -> Proposal:
        probs_BKV = self.probs_KV[:k].expand(len(uniforms_BK), -1, -1)
        mass_BKV = probs_BKV.cumsum(-1)
        tokens_BK = (mass_BKV < uniforms_BK[..., None]).sum(-1)
        return Proposal(tokens_BK, probs_BKV)


def lstm(target: LlamaTarget) -> Drafter:
    return LSTM(target.spec, layers=2, width=12).double()


def narrow_lstm(target: LlamaTarget) -> Drafter:
    """It drafts a third of the tokens."""
    drafter = LSTM(target.spec, width=12, vocabulary=target.spec.vocabulary // 3).double()
    generator = torch.Generator().manual_seed(3)
    drafter.head.learn(torch.rand(target.spec.vocabulary, generator=generator))
    return drafter


def pretrained(target: LlamaTarget) -> Drafter:
    """The target's own first layer, so that it is right now and then."""
    shape = {**vars(target.model.config), "layers": 1}
    drafter = Pretrained(target.spec, shape=shape).double()
    drafter.model.reset_buffers()
    drafter.model.load_state_dict(target.model.state_dict(), strict=False)
    return drafter


def lookup(target: LlamaTarget) -> Drafter:
    return Lookup(target.spec)


FAMILIES = [lstm, narrow_lstm, pretrained, lookup]
