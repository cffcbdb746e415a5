"""Speculative decoding of texts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from litdraft.data.rows.prompt_layout import prompt_tokens
from litdraft.decoding.speculate import Speculate
from litdraft.errors import UserError
from litdraft.protocols import Drafter, Verdict
from litdraft.sampling import Sampling
from litdraft.targets.frozen import Frozen
from litdraft.tokenizers.base import Tokenizer

Prompt = str | Sequence[int]


@dataclass(frozen=True)
class Chunk:
    """What one round added to a text. tokens: the ids; text: their characters, as far as they are
    whole (a token may end inside one); drafted and accepted: how many tokens the drafter proposed
    and how many of them the target accepted; both 0 in the first chunk, which no draft preceded."""

    text: str
    tokens: list[int]
    drafted: int
    accepted: int


@dataclass(frozen=True)
class Decoded:
    """The continuations of some prompts, in their order, without the prompts.

    accepted and drafted: one number per round of every prompt. Seconds are for all prompts
    together; `decode_seconds` leave out reading the prompts and the first token of each.
    """

    texts: list[str]
    tokens: list[list[int]]
    accepted: list[list[int]]
    drafted: list[list[int]]
    prefill_seconds: float
    decode_seconds: float

    @property
    def rounds(self) -> int:
        return sum(map(len, self.accepted))

    @property
    def mean_acceptance_length(self) -> float:
        """Tokens per round, the target's own included; 1 if every draft was rejected."""
        return 1 + sum(map(sum, self.accepted)) / max(self.rounds, 1)

    @property
    def acceptance_rate(self) -> float:
        """Accepted / drafted tokens."""
        return sum(map(sum, self.accepted)) / max(sum(map(sum, self.drafted)), 1)

    @property
    def tokens_per_second(self) -> float:
        """While decoding."""
        written = sum(len(tokens) - 1 for tokens in self.tokens)
        return written / max(self.decode_seconds, 1e-9)


class SpeculativeDecoder:
    """A drafter in front of a target: the text is the target's own, only sooner.

    k: draft tokens per round. sampling: greedy by default. seed: of the random numbers; a prompt's
    text depends neither on the other prompts nor on the batch. The target needs a tokenizer for
    prompts that are strings: `litdraft.load_target` gives it one. The drafter is bound to the
    target if it is not yet.
    """

    def __init__(
        self,
        target: Frozen,
        drafter: Drafter,
        k: int = 4,
        sampling: Sampling | None = None,
        seed: int = 0,
        compiled: bool = False,
    ) -> None:
        """UserError if the drafter cannot draft k tokens, or not for this target."""
        if not drafter.bound_to(target):
            drafter.to(target.device).eval().bind(target)
        self.target = target
        self.loop = Speculate(target, drafter, k, sampling or Sampling(), seed, compiled)

    def generate(self, prompts: Prompt | Sequence[Prompt], max_new_tokens: int = 128) -> Decoded:
        """Continue prompts (strings or token ids) together, each until an end token or
        `max_new_tokens`. UserError if one is empty or does not fit the target's context."""
        several = [prompts] if isinstance(prompts, str) else list(prompts)
        result = self.loop.generate([self._tokens(one) for one in several], max_new_tokens)  # type: ignore[arg-type]
        return Decoded(
            [self._text(tokens) for tokens in result.tokens],
            result.tokens,
            result.accepted,
            result.drafted,
            result.prefill_seconds,
            result.decode_seconds,
        )

    def stream(self, prompt: Prompt, max_new_tokens: int = 128) -> Iterator[Chunk]:
        """Continue one prompt and yield what every round adds, as soon as it is known."""
        loop, tokens = self.loop, self._tokens(prompt)
        with torch.inference_mode():
            state = loop.begin([tokens], max_new_tokens)
            loop.prefill(state)
        context, length, shown = state.context, len(tokens), ""
        verdict: Verdict | None = None
        while True:
            row = context.tokens_BT[0, : int(context.length_B)].tolist()
            text = self._text(row[len(tokens) :]).rstrip("\N{REPLACEMENT CHARACTER}")
            drafted, accepted = (
                (0, 0) if verdict is None else (int(verdict.drafted_B), int(verdict.accepted_B))
            )
            yield Chunk(text[len(shown) :], row[length:], drafted, accepted)
            length, shown = len(row), text
            if bool(context.done_B):
                return
            with torch.inference_mode():
                verdict = loop.run_round(state)

    def _tokens(self, prompt: Prompt) -> list[int]:
        if not isinstance(prompt, str):
            return list(prompt)
        return prompt_tokens(self._tokenizer, self.target.spec.encoder_decoder, prompt)

    def _text(self, tokens: Sequence[int]) -> str:
        if self.target.tokenizer is None:
            return ""
        ends = self.target.spec.eos
        return self._tokenizer.decode([token for token in tokens if token not in ends])

    @property
    def _tokenizer(self) -> Tokenizer:
        if self.target.tokenizer is None:
            raise UserError(
                "the target has no tokenizer: open it with litdraft.load_target, or give token ids"
            )
        return self.target.tokenizer
