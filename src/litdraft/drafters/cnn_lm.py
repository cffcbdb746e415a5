"""A convolutional language model: the next token from the last w tokens alone."""

from __future__ import annotations

from torch import Tensor

from litdraft.drafters.parts.language_model import LanguageModel
from litdraft.networks.gated_cnn import GatedCNN, Window
from litdraft.protocols import Context, TargetSpec


class CNNLM(LanguageModel):
    """w = 1 + `layers` * (`kernel` - 1); embedding and unembedding are one matrix. It asks nothing
    of the target and keeps nothing between rounds."""

    def __init__(
        self,
        spec: TargetSpec,
        layers: int = 4,
        kernel: int = 3,
        width: int = 256,
        vocabulary: int | str | None = None,
    ) -> None:
        super().__init__(spec, width, vocabulary)
        self.stack = GatedCNN(width, layers, kernel)
        self.look = self.stack.span

    def start(self, state: None, context: Context) -> Window:
        tokens_Bw, slots_Bw = context.before_BP(self.stack.span - 1)
        return self.stack.window_after(self.embedding(tokens_Bw), slots_Bw >= 0)

    def step(self, memory: Window, token_n: Tensor, j: int) -> Tensor:
        return self.stack.step(memory, self.embedding(token_n))

    def over(self, read_nTC: Tensor) -> Tensor:
        states_nTC: Tensor = self.stack(read_nTC)[0]
        return states_nTC
