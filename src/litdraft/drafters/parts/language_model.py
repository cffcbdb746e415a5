"""A language model of one's own that reads tokens alone."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor, nn

from litdraft.drafters.parts.head import Head
from litdraft.drafters.parts.stepwise import Headed
from litdraft.drafters.parts.unpack import Apart
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec, TrainingBatch


class LanguageModel(Headed):
    """Embedding and unembedding are one matrix, V x `width`; a family says what lies between."""

    def __init__(self, spec: TargetSpec, width: int, vocabulary: int | str | None) -> None:
        super().__init__()
        if width < 1:
            raise UserError(f"drafter.width={width} was given: it must be at least 1")
        self.embedding = nn.Embedding(spec.vocabulary, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5)
        self.head = Head(spec, width, vocabulary=vocabulary, tied=self.embedding)

    @abstractmethod
    def over(self, read_nTC: Tensor) -> Tensor:
        """states_nTC of whole texts, from their embeddings."""

    def states(self, batch: TrainingBatch) -> Tensor:
        """states_BS1C: they do not depend on where a round began."""
        read_BSC: Tensor = self.embedding(batch.tokens_BT[:, :-1])
        if batch.start_BS is None:
            return self.over(read_BSC)[:, :, None]
        return Apart.of(batch.start_BS).through(self.over, read_BSC)[:, :, None]
