"""Gated causal convolutions (Dauphin et al., arXiv 1612.08083)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from litdraft.errors import UserError


@dataclass
class Window:
    """The last `kernel` - 1 inputs of every layer: the state of an incremental pass."""

    inputs_LnwC: list[Tensor]


class GatedCNN(nn.Module):
    """`layers` residual layers, each x + GLU(conv(norm(x))): an output depends on the last `span`
    inputs. Inputs before a text's start are zero in every layer."""

    def __init__(self, width: int, layers: int, kernel: int) -> None:
        super().__init__()
        if layers < 1 or kernel < 2 or width < 1:
            raise UserError(
                f"layers={layers}, kernel={kernel}, width={width} was given: a convolutional "
                "drafter has at least 1 layer, a kernel of at least 2, and a width of at least 1"
            )
        self.kernel = kernel
        self.span = 1 + layers * (kernel - 1)
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(layers))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(width, 2 * width, kernel) for _ in range(layers)
        )
        self.norm = nn.RMSNorm(width)

    def forward(
        self, x_nTC: Tensor, present_nT: Tensor | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """outputs_nTC, and each layer's inputs padded by kernel - 1 zeros at the start."""
        padded = []
        for norm, convolution in self._layers():
            inner_nTC = norm(x_nTC)
            if present_nT is not None:
                inner_nTC = torch.where(present_nT[..., None], inner_nTC, 0.0)
            inner_nTC = F.pad(inner_nTC, (0, 0, self.kernel - 1, 0))
            padded.append(inner_nTC)
            x_nTC = x_nTC + F.glu(convolution(inner_nTC.transpose(1, 2)), 1).transpose(1, 2)
        outputs_nTC: Tensor = self.norm(x_nTC)
        return outputs_nTC, padded

    def window_at(self, padded: list[Tensor], row_n: Tensor, position_n: Tensor) -> Window:
        """The state before the token at each of these positions, from `forward`'s padded inputs."""
        steps_w = torch.arange(self.kernel - 1, device=position_n.device)
        positions_nw = position_n[:, None] + steps_w
        return Window([inputs_nTC[row_n[:, None], positions_nw] for inputs_nTC in padded])

    def window_after(self, x_nTC: Tensor, present_nT: Tensor) -> Window:
        """The state after these inputs; right-aligned, absent ones on the left."""
        _, padded = self(x_nTC, present_nT)
        return Window([inputs_nTC[:, 1 - self.kernel :] for inputs_nTC in padded])

    def step(self, window: Window, x_nC: Tensor) -> Tensor:
        """One more input: its outputs_nC; updates the window."""
        for layer, (norm, convolution) in enumerate(self._layers()):
            inputs_nwC = torch.cat((window.inputs_LnwC[layer], norm(x_nC)[:, None]), 1)
            window.inputs_LnwC[layer] = inputs_nwC[:, 1:]
            flat_nI = inputs_nwC.transpose(1, 2).flatten(1)
            x_nC = x_nC + F.glu(F.linear(flat_nI, convolution.weight.flatten(1), convolution.bias))
        outputs_nC: Tensor = self.norm(x_nC)
        return outputs_nC

    def _layers(self) -> zip[tuple[Any, Any]]:
        return zip(self.norms, self.convolutions, strict=True)
