"""Any transformers causal language model with LitDraft's interface: hidden states first, logits
from them later, rows that advance at their own speed."""

from __future__ import annotations

import contextlib
import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from litdraft.errors import UserError
from litdraft.networks.hf_cache import EAGER, SDPA, HFCache
from litdraft.protocols import Tree


@dataclass(frozen=True)
class HFCausalConfig:
    """The shape of a model; `context` in tokens."""

    vocabulary: int
    width: int
    layers: int
    context: int


class HFCausal(nn.Module):
    """A transformers model is a backbone and a head with its biases, scales and caps. Here the
    backbone is called alone; logits come from the model's own `forward`, in which a stand-in
    replaces the backbone."""

    packs = True  # whether it reads packed rows; set by `checkpoints.hf_causal_check`
    trees = True  # whether it reads draft trees; the same

    def __init__(self, model: Any, context: int) -> None:
        super().__init__()
        self.model = model
        head = model.get_output_embeddings().weight
        self._backbone = next(
            n for n, c in model.named_children() if isinstance(c, PreTrainedModel)
        )
        layers = model.config.get_text_config().num_hidden_layers
        blocks = _blocks(model.get_decoder() or self.backbone, layers)
        self.config = HFCausalConfig(head.shape[0], head.shape[1], len(blocks), context)
        # Outside of the module registry: these parts belong to the model and are saved once.
        self.__dict__.update(_blocks=blocks, _stand_in=_StandIn())
        self.__dict__["_unembedding"] = self._without_backbone(head=None)
        hidden_nD = torch.linspace(-99, 99, 2 * head.shape[1], dtype=self.dtype, device=head.device)
        self._plain_head = self._has_plain_head(hidden_nD.view(2, -1))
        parameters = inspect.signature(self.backbone.forward).parameters
        self._takes_positions = "position_ids" in parameters
        set_attention(model)

    @property
    def backbone(self) -> nn.Module:
        """Everything but what makes logits."""
        backbone: nn.Module = getattr(self.model, self._backbone)
        return backbone

    @property
    def device(self) -> torch.device:
        device: torch.device = self.model.get_input_embeddings().weight.device
        return device

    @property
    def dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.model.dtype
        return dtype

    def allocate(self, rows: int, capacity: int) -> HFCache:
        return HFCache(rows, capacity, self.device)

    def forward(
        self,
        tokens_BP: Tensor,
        cache: HFCache | None = None,
        taps: tuple[int, ...] = (),
        start_BP: Tensor | None = None,
        tree: Tree | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """hidden_BPD after the final norm, and the residual streams after the tapped layers; as
        `networks.llama.Llama.forward`. UserError for packed rows if the model cannot read them."""
        if cache is not None:
            positions_BP = cache.layout(tokens_BP.shape[1], tree).positions_BP
        else:
            positions_BP = torch.arange(tokens_BP.shape[1], device=tokens_BP.device)[None]
            positions_BP = positions_BP.expand_as(tokens_BP)
            if start_BP is not None:  # transformers separates packed texts by positions
                if not self.packs:
                    kind = type(self.model).__name__
                    raise UserError(f"{kind} cannot read packed rows: give data.pack=false")
                positions_BP = positions_BP - start_BP
        positions = {"position_ids": positions_BP} if self._takes_positions else {}
        with self._tapped(taps) as tapped:
            output = self.backbone(
                input_ids=tokens_BP, past_key_values=cache, use_cache=cache is not None, **positions
            )
        hidden_BPD = output[0].to(tokens_BP.device)  # a model may be on several devices
        parts = [tapped[tap].to(hidden_BPD.device) for tap in sorted(taps)]
        return hidden_BPD, torch.cat(parts, -1) if parts else None

    def embed(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.model.get_input_embeddings()(tokens)
        return embedded

    def unembed(self, hidden_nD: Tensor) -> Tensor:
        """logits_nV, or of any shape before the last."""
        if self._plain_head:
            logits_nV: Tensor = self.model.get_output_embeddings()(hidden_nD)
            return logits_nV.to(hidden_nD.device)
        return self._through(self.__dict__["_unembedding"], hidden_nD)

    @torch.no_grad()
    def _has_plain_head(self, hidden_nD: Tensor) -> bool:
        """Whether logits are the head's output alone, as in most models. Calling the head directly
        saves a third of a millisecond per pass."""
        logits_nV: Tensor = self.model.get_output_embeddings()(hidden_nD)
        return torch.equal(self._through(self.__dict__["_unembedding"], hidden_nD), logits_nV)

    def argmax(self, hidden_nD: Tensor) -> Tensor:
        return self.unembed(hidden_nD).argmax(-1)

    def unembed_subset(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        """Unembedding to these tokens, whose rows are copied if the head is a direct child of the
        model: hidden_nD -> logits_nU."""
        full = self.model.get_output_embeddings()
        if full not in self.model.children():
            return lambda hidden_nD: self.unembed(hidden_nD)[..., vocabulary_U]
        kept_U = vocabulary_U.to(full.weight.device)
        head = nn.Linear(full.weight.shape[1], len(kept_U), full.bias is not None, "meta")
        head.weight = nn.Parameter(full.weight[kept_U].detach(), requires_grad=False)
        if full.bias is not None:
            head.bias = nn.Parameter(full.bias[kept_U].detach(), requires_grad=False)
        if self._plain_head:
            return lambda hidden_nD: head(hidden_nD.to(kept_U.device)).to(hidden_nD.device)
        subset = self._without_backbone(head)
        return lambda hidden_nD: self._through(subset, hidden_nD)

    def _without_backbone(self, head: nn.Module | None) -> Any:
        """A copy of the model that shares everything but the backbone (and the head, if given)."""
        model = copy.copy(self.model)
        model.__dict__.pop("forward", None)  # accelerate's, bound to the model that is copied
        model._modules = {**model._modules, self._backbone: self.__dict__["_stand_in"]}
        if head is not None:
            model.set_output_embeddings(head)
        return model

    def _through(self, model: Any, hidden_nD: Tensor) -> Tensor:
        stand_in = self.__dict__["_stand_in"]
        shape = hidden_nD.shape
        stand_in.hidden = hidden_nD.reshape(1, -1, shape[-1])
        try:
            logits: Tensor = model(use_cache=False).logits
        finally:
            stand_in.hidden = None
        return logits.reshape(*shape[:-1], -1).to(hidden_nD.device)

    @contextlib.contextmanager
    def _tapped(self, taps: tuple[int, ...]) -> Iterator[dict[int, Tensor]]:
        """The outputs of the tapped layers while this is open; tap 0 is the first layer's input."""
        tapped: dict[int, Tensor] = {}

        def keep(tap: int, output: Any) -> None:
            tapped[tap] = output if isinstance(output, Tensor) else output[0]

        def hook(tap: int) -> Any:
            if tap == 0:
                return self.__dict__["_blocks"][0].register_forward_pre_hook(
                    lambda _, args, kwargs: keep(0, args or (kwargs["hidden_states"],)),
                    with_kwargs=True,
                )
            return self.__dict__["_blocks"][tap - 1].register_forward_hook(
                lambda _, __, output: keep(tap, output)
            )

        hooks = [hook(tap) for tap in taps]
        try:
            yield tapped
        finally:
            for each in hooks:
                each.remove()


class _StandIn(nn.Module):
    """Replaces a backbone: returns the hidden states that it was given."""

    hidden: Tensor | None = None

    @property
    def decoder(self) -> _StandIn:
        """Some models call this part of their backbone."""
        return self

    def forward(self, *_: Any, **__: Any) -> _Output:
        return _Output(last_hidden_state=self.hidden)


class _Output(BaseModelOutputWithPast):  # type: ignore[misc]
    """Other outputs of a backbone, such as router logits, are None here."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def set_attention(model: Any) -> None:
    """Make a model use the masks of `hf_cache`, with torch's attention if it supports that, else
    with its own."""
    if model._supports_attention_backend:
        model.set_attn_implementation(SDPA)
        return
    for module in model.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = EAGER


def _blocks(backbone: nn.Module, layers: int) -> nn.ModuleList:
    lists = (m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len(m) == layers)
    return next(lists)
