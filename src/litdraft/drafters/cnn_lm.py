"""A convolutional language model: the next token from the last w tokens alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from litdraft.drafters.apart import Apart
from litdraft.drafters.head import Head
from litdraft.drafters.stepwise import Stepwise
from litdraft.models.gated_cnn import GatedCNN, Window
from litdraft.protocols import Context, Lesson, TargetSpec


class CNNLM(Stepwise):
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
        super().__init__()
        self.stack = GatedCNN(width, layers, kernel)
        self.embedding = nn.Embedding(spec.vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.head = Head(spec, width, vocabulary=vocabulary, tied=self.embedding)

    @property
    def vocabulary_U(self) -> Tensor | None:
        return self.head.vocabulary_U

    def learn_vocabulary(self, counts_V: Tensor) -> None:
        self.head.learn(counts_V)

    def start(self, state: None, context: Context) -> Window:
        before = self.stack.span - 1
        steps_w = torch.arange(-before - 1, -1, device=context.length_B.device)
        slots_Bw = context.length_B[:, None] + steps_w
        tokens_Bw = context.tokens_BT.gather(1, slots_Bw.clamp_min(0))
        return self.stack.end(self.embedding(tokens_Bw), slots_Bw >= 0)

    def step(self, memory: Window, token_n: Tensor, j: int) -> Tensor:
        return self.stack.step(memory, self.embedding(token_n))

    def states(self, lesson: Lesson) -> Tensor:
        """states_BS1C: they do not depend on where a round began."""
        read_BSC = self.embedding(lesson.tokens_BT[:, :-1])
        if lesson.start_BS is None:
            states_BSC: Tensor = self.stack(read_BSC)[0]
        else:
            apart = Apart.of(lesson.start_BS)
            states_BSC = apart.gather(self.stack(apart.spread(read_BSC))[0])
        return states_BSC[:, :, None]

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        logits_nU: Tensor = self.head(states_nC)
        return logits_nU

    def matrix(self, j: int) -> Tensor | None:
        return self.head.matrix(j)
