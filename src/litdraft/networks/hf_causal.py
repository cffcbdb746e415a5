"""Any transformers causal language model, read as LitDraft reads: hidden states first, logits from
them later, rows that advance at their own speed."""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from litdraft.errors import UserError
from litdraft.networks.hf_cache import FAST, OWN, HFCache
from litdraft.protocols import Tree

SLOTS = 64  # of the cache of a trial


@dataclass(frozen=True)
class Sizes:
    """What drafters and reports ask of a model's shape; `context` in tokens."""

    vocabulary: int
    width: int
    layers: int
    context: int


class HFCausal(nn.Module):
    """A model whose forward pass is a backbone and then what makes logits of its output, which is
    how transformers writes all of them. The backbone is called alone; logits come from the model's
    own forward with a stand-in for the backbone, so that biases, scales and caps are its own."""

    packs = True  # whether packed texts do not read each other

    def __init__(self, model: Any, context: int) -> None:
        super().__init__()
        self.model = model
        head = model.get_output_embeddings().weight
        self._backbone = next(
            n for n, c in model.named_children() if isinstance(c, PreTrainedModel)
        )
        layers = model.config.get_text_config().num_hidden_layers
        blocks = _blocks(model.get_decoder() or self.backbone, layers)
        self.config = Sizes(head.shape[0], head.shape[1], len(blocks), context)
        # What follows is outside of the module registry: it is the model's, and saved once.
        self.__dict__.update(_blocks=blocks, _given=_GivenHidden())
        self.__dict__["_unembedding"] = self._standing_in(head=None)
        some_nD = torch.linspace(-99, 99, 2 * head.shape[1], dtype=self.dtype, device=head.device)
        self._plain = self._is_plain(some_nD.view(2, -1))
        self._positioned = "position_ids" in inspect.signature(self.backbone.forward).parameters
        attend(model)

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
        `networks.llama.Llama.forward`."""
        if cache is not None:
            positions_BP = cache.layout(tokens_BP.shape[1], tree).positions_BP
        else:
            positions_BP = torch.arange(tokens_BP.shape[1], device=tokens_BP.device)[None]
            positions_BP = positions_BP.expand_as(tokens_BP)
            if start_BP is not None:  # transformers itself tells packed texts apart by positions
                if not self.packs:
                    kind = type(self.model).__name__
                    raise UserError(f"{kind} cannot read packed rows: give data.pack=false")
                positions_BP = positions_BP - start_BP
        placed = {"position_ids": positions_BP} if self._positioned else {}
        with self._tapped(taps) as tapped:
            output = self.backbone(
                input_ids=tokens_BP, past_key_values=cache, use_cache=cache is not None, **placed
            )
        hidden_BPD = output[0].to(tokens_BP.device)  # a model may be spread over several
        parts = [tapped[tap].to(hidden_BPD.device) for tap in sorted(taps)]
        return hidden_BPD, torch.cat(parts, -1) if parts else None

    @functools.cached_property
    @torch.no_grad()
    def trees(self) -> bool:
        """Whether it can read draft trees. Architectures are not listed anywhere, they are tried:
        behind three tokens of text, two children of the unread token and a grandchild."""
        tokens_1P = torch.arange(3, 10, device=self.device)[None] % self.config.vocabulary
        text_1P, root_11, children_12, grandchild_11 = tokens_1P.split((3, 1, 2, 1), 1)
        hidden = []
        for drafts_1P, parents in (
            (torch.cat((children_12, grandchild_11), 1), [[-1, -1, 1]]),
            (torch.cat((children_12[:, 1:], grandchild_11), 1), None),
        ):
            cache = self.allocate(1, min(SLOTS, self.config.context))
            self.forward(text_1P, cache)
            cache.keep(cache.length_B + text_1P.shape[1])
            tree = None if parents is None else Tree.of(torch.tensor(parents, device=self.device))
            hidden.append(self.forward(torch.cat((root_11, drafts_1P), 1), cache, tree=tree)[0])
        in_tree_D, in_chain_D = hidden[0][0, -1], hidden[1][0, -1]
        apart = (in_tree_D - in_chain_D).abs().max() / in_chain_D.abs().max()
        return bool(apart < 32 * torch.finfo(self.dtype).eps ** 0.75)

    def embed(self, tokens: Tensor) -> Tensor:
        embedded: Tensor = self.model.get_input_embeddings()(tokens)
        return embedded

    def unembed(self, hidden_nD: Tensor) -> Tensor:
        """logits_nV, or of any shape before the last."""
        if self._plain:
            logits_nV: Tensor = self.model.get_output_embeddings()(hidden_nD)
            return logits_nV.to(hidden_nD.device)
        return self._through(self.__dict__["_unembedding"], hidden_nD)

    @torch.no_grad()
    def _is_plain(self, some_nD: Tensor) -> bool:
        """Whether logits are the head's own, as most are: a third of a millisecond less a pass."""
        logits_nV: Tensor = self.model.get_output_embeddings()(some_nD)
        return torch.equal(self._through(self.__dict__["_unembedding"], some_nD), logits_nV)

    def argmax(self, hidden_nD: Tensor) -> Tensor:
        return self.unembed(hidden_nD).argmax(-1)

    def unembed_subset(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        """Unembedding to some tokens, whose rows are copied where the head is a plain part of the
        model: hidden_nD -> logits_nU."""
        whole = self.model.get_output_embeddings()
        if whole not in self.model.children():
            return lambda hidden_nD: self.unembed(hidden_nD)[..., vocabulary_U]
        kept_U = vocabulary_U.to(whole.weight.device)
        head = nn.Linear(whole.weight.shape[1], len(kept_U), whole.bias is not None, "meta")
        head.weight = nn.Parameter(whole.weight[kept_U].detach(), requires_grad=False)
        if whole.bias is not None:
            head.bias = nn.Parameter(whole.bias[kept_U].detach(), requires_grad=False)
        if self._plain:
            return lambda hidden_nD: head(hidden_nD.to(kept_U.device)).to(hidden_nD.device)
        narrow = self._standing_in(head)
        return lambda hidden_nD: self._through(narrow, hidden_nD)

    def _standing_in(self, head: nn.Module | None) -> Any:
        """The model, sharing everything but its backbone (and its head)."""
        model = copy.copy(self.model)
        model.__dict__.pop("forward", None)  # accelerate's, bound to the model that is copied
        model._modules = {**model._modules, self._backbone: self.__dict__["_given"]}
        if head is not None:
            model.set_output_embeddings(head)
        return model

    def _through(self, model: Any, hidden_nD: Tensor) -> Tensor:
        given = self.__dict__["_given"]
        shape = hidden_nD.shape
        given.hidden = hidden_nD.reshape(1, -1, shape[-1])
        try:
            logits: Tensor = model(use_cache=False).logits
        finally:
            given.hidden = None
        return logits.reshape(*shape[:-1], -1).to(hidden_nD.device)

    @contextlib.contextmanager
    def _tapped(self, taps: tuple[int, ...]) -> Iterator[dict[int, Tensor]]:
        """What layers put out while this lasts; 0 is what the first one reads."""
        found: dict[int, Tensor] = {}

        def keep(tap: int, told: Any) -> None:
            found[tap] = told if isinstance(told, Tensor) else told[0]

        def hook(tap: int) -> Any:
            if tap == 0:
                return self.__dict__["_blocks"][0].register_forward_pre_hook(
                    lambda _, given, named: keep(0, given or (named["hidden_states"],)),
                    with_kwargs=True,
                )
            return self.__dict__["_blocks"][tap - 1].register_forward_hook(
                lambda _, __, told: keep(tap, told)
            )

        hooks = [hook(tap) for tap in taps]
        try:
            yield found
        finally:
            for each in hooks:
                each.remove()


class _GivenHidden(nn.Module):
    """Stands in for a backbone: its output is given."""

    hidden: Tensor | None = None

    @property
    def decoder(self) -> _GivenHidden:
        """Some models ask a part of their backbone."""
        return self

    def forward(self, *_: Any, **__: Any) -> _Output:
        return _Output(last_hidden_state=self.hidden)


class _Output(BaseModelOutputWithPast):  # type: ignore[misc]
    """Whatever else a backbone may tell, routers' logits for instance, is None here."""

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)


def attend(model: Any) -> None:
    """Make a model attend with the masks of `hf_cache`, by torch's attention where it lets itself
    be told to, else by its own."""
    if model._supports_attention_backend:
        model.set_attn_implementation(FAST)
        return
    for module in model.modules():
        if hasattr(module, "config"):
            module.config._attn_implementation = OWN


def _blocks(backbone: nn.Module, layers: int) -> nn.ModuleList:
    found = (m for m in backbone.modules() if isinstance(m, nn.ModuleList) and len(m) == layers)
    return next(found)
