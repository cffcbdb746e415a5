"""What transformers' models need to read ragged rows: a cache that they can write to, and masks
and attention that know where every row stands.

Their own static cache holds one length for all rows, and their masks take one offset. A pass here
gives them a position for each token of each row; a model says itself, by a function of indices,
who may see whom (causal, windows, chunks), and that function is asked about those positions. So
there is no table of architectures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
import transformers
from torch import Tensor
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS, sdpa_mask
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from litdraft.networks.cache import Layout, Slots
from litdraft.protocols import Tree

FAST = "litdraft"  # attention by torch's one function
OWN = "litdraft_own"  # as a model writes it itself
BY_HAND = ("softcap", "s_aux", "position_bias")  # what torch's attention cannot do


class PassLayout(NamedTuple):
    """What a model's mask function is asked about: the positions of the pass's tokens and, of a
    tree, those of the keys in every slot (elsewhere a slot is its position) and who sees whom."""

    queries_BP: Tensor
    keys_BT: Tensor | None
    tree_B1PT: Tensor | None


class HFCache(Slots, transformers.Cache):  # type: ignore[misc]
    """Keys and values as B x T x H x E, a pair a layer, made when a layer first writes: layers may
    differ in heads, and stand on several devices."""

    def __init__(self, rows: int, capacity: int, device: torch.device) -> None:
        transformers.Cache.__init__(self, layers=[])
        Slots.__init__(self, rows, capacity, device)
        self._stored: dict[tuple[int, int], Tensor] = {}
        self._layout = PassLayout(self.length_B[:, None], None, None)

    def layout(self, count: int, tree: Tree | None = None) -> Layout:
        layout = super().layout(count, tree)
        if tree is None:
            self._layout = PassLayout(layout.positions_BP, None, None)
        else:
            keys_BT = layout.key_positions_BT()
            self._layout = PassLayout(layout.positions_BP, keys_BT, layout.mask_B1PT)
        return layout

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Store new_BHPE of a layer; all of the layer's, BHTE."""
        keys_BHTE = self._update((layer_idx, 0), key_states)
        return keys_BHTE, self._update((layer_idx, 1), value_states)

    def _update(self, name: tuple[int, int], new_BHPE: Tensor) -> Tensor:
        if name not in self._stored:
            rows, heads, _, width = new_BHPE.shape
            self._stored[name] = new_BHPE.new_zeros(rows, len(self._slots_T), heads, width)
        return self.store(self._stored[name], new_BHPE.transpose(1, 2)).transpose(1, 2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """How many slots a pass can see beside its own: what models with a bias for each key,
        instead of positions, need to know."""
        return self._limit - self._layout.queries_BP.shape[1]

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self._limit, 0

    def get_query_offset(self, layer_idx: int = 0) -> Any:
        """The pass's layout, which a mask's maker hands through to `_mask`."""
        return self._layout

    def get_max_length(self, layer_idx: int | None = None) -> int:
        return len(self._slots_T)

    def select(self, rows_n: Tensor) -> None:
        super().select(rows_n)
        for name, stored_BTHE in self._stored.items():
            self._stored[name] = stored_BTHE[rows_n.to(stored_BTHE.device)]

    def _stored_tensors(self) -> Iterator[Tensor]:
        yield from self._stored.values()


def _mask(
    batch_size: int,
    q_length: int,
    kv_length: int,
    q_offset: int | Tensor | PassLayout = 0,
    kv_offset: int = 0,
    mask_function: Callable[..., Tensor] = lambda row, head, query, key: key <= query,
    device: torch.device | str = "cpu",
    **rest: Any,
) -> Tensor | None:
    """mask_B1PT for the positions of an HFCache; without one, transformers' own."""
    if not isinstance(q_offset, PassLayout):
        mask_B1PT: Tensor | None = sdpa_mask(
            batch_size,
            q_length,
            kv_length,
            q_offset,
            kv_offset,
            mask_function,
            device=device,
            **rest,
        )
        return mask_B1PT
    queries_BP, keys_BT, tree_B1PT = q_offset
    rows_B111 = torch.arange(batch_size, device=device)[:, None, None, None]
    heads_1111 = torch.zeros((1, 1, 1, 1), dtype=torch.long, device=device)
    keys = torch.arange(kv_length, device=device)
    if keys_BT is not None:
        keys = keys_BT.to(device)[:, None, None]
    queries_B1P1 = queries_BP.to(device)[:, None, :, None]
    seen_B1PT = mask_function(rows_B111, heads_1111, queries_B1P1, keys)
    seen_B1PT = seen_B1PT.expand(batch_size, -1, q_length, kv_length)
    return seen_B1PT if tree_B1PT is None else seen_B1PT & tree_B1PT.to(device)


def _additive_mask(
    *sizes: Any, dtype: torch.dtype = torch.float32, use_vmap: bool = False, **rest: Any
) -> Tensor | None:
    """The same as a number to add: zero, or the lowest there is."""
    rest["allow_is_causal_skip"] = False
    return _additive(_mask(*sizes, **rest), dtype)


def _additive(mask_B1PT: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    if mask_B1PT is None or mask_B1PT.is_floating_point():
        return mask_B1PT
    lowest = torch.finfo(dtype).min
    return torch.zeros(mask_B1PT.shape, dtype=dtype, device=mask_B1PT.device).masked_fill_(
        ~mask_B1PT, lowest
    )


def _attend(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **asked: Any,
) -> tuple[Tensor, Tensor | None]:
    """Torch's attention, or the model's own where it asks for what that cannot do."""
    if all(asked.get(name) is None for name in BY_HAND):
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **asked
        )
        return attended
    if attention_mask is None:  # which means causal; only without a cache
        index_P = torch.arange(query.shape[2], device=query.device)
        attention_mask = (index_P <= index_P[:, None])[None, None]
    by_hand = sys.modules[type(module).__module__].eager_attention_forward
    by_hand_result: tuple[Tensor, Tensor] = by_hand(
        module, query, key, value, _additive(attention_mask, query.dtype), **asked
    )
    return by_hand_result


for name in (FAST, OWN):
    ALL_ATTENTION_FUNCTIONS.register(name, _attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(FAST, _mask)
ALL_MASK_ATTENTION_FUNCTIONS.register(OWN, _additive_mask)
