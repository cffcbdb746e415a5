"""How matrices lie in memory."""

from __future__ import annotations

from torch import nn


def by_columns(model: nn.Module) -> None:
    """Lay a model's matrices out by columns, without changing their shape.

    float32 products of two to eight rows, which is what verification reads, were seen to run two to
    three times as fast that way on a CPU (160 x 864, 4 rows: 6 against 19 microseconds).
    """
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Embedding):  # a tied embedding is the head
            module.weight.data = module.weight.data.t().contiguous().t()
