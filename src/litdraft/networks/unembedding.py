"""Embedding and unembedding, shared by LitDraft's own networks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Unembedding(nn.Module):
    """Tokens to embeddings, final hidden states to logits, through a tied or separate head.

    A subclass has `config.tied`, `embedding`, `norm` and, unless tied, `head`.
    """

    config: Any
    embedding: nn.Embedding
    norm: nn.RMSNorm
    head: nn.Linear

    @property
    def device(self) -> torch.device:
        return self.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self.norm.weight.dtype

    def embed(self, tokens: Tensor) -> Tensor:
        return F.embedding(tokens, self.embedding.weight)

    @property
    def _head_VD(self) -> Tensor:
        return self.embedding.weight if self.config.tied else self.head.weight

    def _scaled(self, hidden_nD: Tensor) -> Tensor:
        """The head's input."""
        return hidden_nD

    def unembed(self, hidden_nD: Tensor) -> Tensor:
        """logits_nV through the tied or separate head."""
        return F.linear(self._scaled(hidden_nD), self._head_VD)

    def argmax(self, hidden_nD: Tensor) -> Tensor:
        """tokens_n of the largest logit."""
        return self.unembed(hidden_nD).argmax(-1)

    def unembed_subset(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        """Unembedding to some tokens, whose rows are copied: hidden_nD -> logits_nU."""
        weight_UD = self._head_VD[vocabulary_U].detach()
        return lambda hidden_nD: F.linear(self._scaled(hidden_nD), weight_UD)
