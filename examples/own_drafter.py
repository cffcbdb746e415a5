"""A drafter of your own in thirty lines, trained without the command line."""

from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

import litdraft
from litdraft.protocols import Proposal, Trainable
from litdraft.sampling import choose


class Bigram(Trainable):
    """Predicts each token from the one before it: a table of vocabulary x vocabulary logits."""

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.table = nn.Embedding(vocabulary, vocabulary)
        nn.init.zeros_(self.table.weight)

    def propose(self, state, context, k, sampling, uniforms_BK):
        token_B, tokens, probs = context.unread_B1()[:, 0], [], []
        for j in range(k):
            token_B, probs_BV = choose(self.table(token_B), sampling, uniforms_BK[:, j])
            tokens.append(token_B)
            probs += [] if probs_BV is None else [probs_BV]
        return Proposal(torch.stack(tokens, 1), torch.stack(probs, 1) if probs else None)

    def states(self, batch):  # the same as `propose` computes, for every position of a text
        return self.table(batch.tokens_BT[:, :-1])[:, :, None]

    def unembed(self, states_nV, j):
        return states_nV


target = litdraft.load_target("tiny")
drafter = Bigram(target.spec.vocabulary)
with TemporaryDirectory() as folder:
    options = litdraft.TrainingOptions(
        k=2,
        probe_prompts=2,
        loader=litdraft.LoaderOptions(
            batch_size=8, validation_prompts=4, validation_tokens=24, cache=f"{folder}/cache"
        ),
    )
    texts = [  # or None: the target then writes its own training text
        f"Once upon a time there was a {one} {two}. The {one} {two} was happy. " * 6
        for one in ("big", "small", "red", "blue", "old", "young", "nice", "sad")
        for two in ("dog", "cat", "bird", "fish", "horse", "mouse")
    ]
    result = litdraft.train(target, drafter, texts, options, Path(folder) / "run", max_steps=20)
print(f"{result.score:.3f} tokens per round, predicted by replay")

decoder = litdraft.SpeculativeDecoder(target, drafter, k=2)
decoded = decoder.generate(["Once upon a time"], max_new_tokens=40)
print(f"{decoded.mean_acceptance_length:.3f} tokens per round, decoded:{decoded.texts[0]}")
