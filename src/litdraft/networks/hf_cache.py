"""What transformers' models need to read ragged rows: a cache that they can write to, and masks
and attention with a position for every token of every row.

Their own static cache holds one length for all rows, and their masks take one offset. A model
defines its mask (causal, windows, chunks) as a function of query and key index; here that function
is called with the positions of each row. So there is no table of architectures.
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

SDPA = "litdraft"  # attention by torch's scaled_dot_product_attention
EAGER = "litdraft_eager"  # attention by the model's own code
EAGER_ONLY = ("softcap", "s_aux", "position_bias")  # arguments that torch's attention lacks


class PassLayout(NamedTuple):
    """The arguments of a model's mask function: the positions of the pass's tokens and, only of a
    tree, those of the keys in every slot (None: a slot is its position) and the tree's mask."""

    queries_BP: Tensor
    keys_BT: Tensor | None
    tree_B1PT: Tensor | None


class HFCache(Slots, transformers.Cache):  # type: ignore[misc]
    """Keys and values as B x T x H x E for each layer, allocated when a layer first writes: layers
    may differ in heads and device."""

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
        """Store a layer's new entries, BHPE; returns all visible ones, BHTE."""
        keys_BHTE = self._update((layer_idx, 0), key_states)
        return keys_BHTE, self._update((layer_idx, 1), value_states)

    def _update(self, name: tuple[int, int], new_BHPE: Tensor) -> Tensor:
        if name not in self._stored:
            rows, heads, _, width = new_BHPE.shape
            self._stored[name] = new_BHPE.new_zeros(rows, len(self._slots_T), heads, width)
        return self.store(self._stored[name], new_BHPE.transpose(1, 2)).transpose(1, 2)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Visible slots minus those of the pass: models with a bias per key instead of positions
        (ALiBi) read this."""
        return self._limit - self._layout.queries_BP.shape[1]

    def get_mask_sizes(self, query_length: int, layer_idx: int) -> tuple[int, int]:
        return self._limit, 0

    def get_query_offset(self, layer_idx: int = 0) -> Any:
        """The pass's layout, which transformers passes on to `_mask`."""
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
    """mask_B1PT for the positions of an HFCache; without such a cache, transformers' own mask."""
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
    """The same mask as numbers to add: zero, or the lowest number of the type."""
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
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Torch's attention, or the model's own if it uses an argument that torch's lacks."""
    if all(options.get(name) is None for name in EAGER_ONLY):
        attended: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )
        return attended
    if attention_mask is None:  # this means causal; only without a cache
        index_P = torch.arange(query.shape[2], device=query.device)
        attention_mask = (index_P <= index_P[:, None])[None, None]
    eager_attention = sys.modules[type(module).__module__].eager_attention_forward
    result: tuple[Tensor, Tensor] = eager_attention(
        module, query, key, value, _additive(attention_mask, query.dtype), **options
    )
    return result


for name in (SDPA, EAGER):
    ALL_ATTENTION_FUNCTIONS.register(name, _attend)
ALL_MASK_ATTENTION_FUNCTIONS.register(SDPA, _mask)
ALL_MASK_ATTENTION_FUNCTIONS.register(EAGER, _additive_mask)
