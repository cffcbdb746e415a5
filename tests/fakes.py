"""Small targets and scripted drafters that tests share."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from litdraft.decoding.autoregress import Autoregress
from litdraft.drafters.cnn import CNN
from litdraft.drafters.cnn_lm import CNNLM
from litdraft.drafters.lookup import Lookup
from litdraft.drafters.lstm import LSTM
from litdraft.drafters.lstm_lm import LSTMLM
from litdraft.drafters.matrix import Matrix
from litdraft.drafters.mlp import MLP
from litdraft.drafters.mtp import MTP
from litdraft.drafters.ngram import NGram
from litdraft.drafters.parts.sentencewise import Sentencewise
from litdraft.drafters.sentence import Sentence
from litdraft.drafters.suffix import Suffix
from litdraft.drafters.transformer import Transformer
from litdraft.drafters.word_completion import WordCompletion
from litdraft.networks.llama import Llama, LlamaConfig
from litdraft.networks.t5 import T5
from litdraft.networks.t5_blocks import T5Config
from litdraft.protocols import Context, Drafter, Proposal, StopRule
from litdraft.sampling import Sampling
from litdraft.targets.frozen import Frozen
from litdraft.targets.llama import LlamaTarget
from litdraft.tokenizers.base import Tokenizer


def random_llama(seed: int = 0, **shape: Any) -> Llama:
    """Random weights, large enough that the next token is neither certain nor uniform."""
    sizes: dict[str, Any] = {
        "vocabulary": 24, "width": 16, "layers": 2, "heads": 4, "kv_heads": 2,
        "head_width": 4, "inner": 24, "context": 128, **shape,
    }  # fmt: skip
    model = Llama(LlamaConfig(**sizes))
    generator = torch.Generator().manual_seed(seed)
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.35, generator=generator)
    return model


def random_target(
    seed: int = 0, dtype: torch.dtype = torch.float64, eos: tuple[int, ...] = (), **shape: int
) -> LlamaTarget:
    model = random_llama(seed, **shape).to(dtype)
    model.reset_buffers()
    return LlamaTarget(model, "random", bos=1, eos=eos)


def random_t5(**shape: Any) -> T5:
    """Random weights; the decoder starts with token 1."""
    sizes: dict[str, Any] = {
        "vocabulary": 24, "width": 16, "encoder_layers": 2, "layers": 2, "heads": 2,
        "head_width": 8, "inner": 24, "start": 1, "limit": 128, "gated": True, **shape,
    }  # fmt: skip
    torch.manual_seed(5)
    model = T5(T5Config(**sizes))
    for weight in model.parameters():
        if weight.dim() > 1:
            torch.nn.init.normal_(weight, std=0.5)
    return model


class Scripted(Drafter):
    """Drafts from given distributions, probs_KV, whatever the context."""

    def __init__(self, probs_KV: Tensor) -> None:
        super().__init__()
        self.probs_KV = probs_KV

    def propose(
        self, state: None, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        probs_BKV = self.probs_KV[:k].expand(len(uniforms_BK), -1, -1)
        mass_BKV = probs_BKV.cumsum(-1)
        tokens_BN = (mass_BKV < uniforms_BK[..., None]).sum(-1)
        return Proposal(tokens_BN, probs_BKV)


def lstm(target: Frozen) -> Drafter:
    return LSTM(target.spec, layers=2, width=12).double()


def narrow_lstm(target: LlamaTarget) -> Drafter:
    """It drafts a third of the tokens."""
    drafter = LSTM(target.spec, width=12, vocabulary=target.spec.vocabulary // 3).double()
    generator = torch.Generator().manual_seed(3)
    drafter.head.learn(torch.rand(target.spec.vocabulary, generator=generator))
    return drafter


def random(drafter: Drafter) -> Drafter:
    """What begins as nothing, or as the target's own guess, is something here."""
    generator = torch.Generator().manual_seed(4)
    for weight in drafter.double().parameters():
        with torch.no_grad():
            noise = torch.randn(weight.shape, generator=generator, dtype=weight.dtype)
            weight.add_(0.3 * noise)
    return drafter


def mtp(target: LlamaTarget) -> Drafter:
    return random(MTP(target.spec, heads=5, layers=2))


def own_mtp(target: LlamaTarget) -> Drafter:
    return random(MTP(target.spec, heads=5, head="own", vocabulary=9, correction="gru", rank=3))


def matrix(target: LlamaTarget) -> Drafter:
    return random(Matrix(target.spec, heads=5, correction="gated", rank=3))


def low_matrix(target: LlamaTarget) -> Drafter:
    return random(Matrix(target.spec, heads=5, map_rank=3))


def mlp(target: LlamaTarget) -> Drafter:
    return random(MLP(target.spec, heads=5, width=12))


def untied_mlp(target: LlamaTarget) -> Drafter:
    return random(MLP(target.spec, heads=5, width=12, tied=False, head="target"))


def cnn(target: LlamaTarget) -> Drafter:
    return random(CNN(target.spec, layers=2, kernel=3, width=10))


def cnn_lm(target: LlamaTarget) -> Drafter:
    return random(CNNLM(target.spec, layers=2, kernel=3, width=10, vocabulary=11))


def lstm_lm(target: LlamaTarget) -> Drafter:
    return random(LSTMLM(target.spec, layers=2, width=10))


def transformer(target: LlamaTarget) -> Drafter:
    """The target's own first layer, so that it is right now and then."""
    drafter = Transformer(target.spec, layers=1, begin="target").double()
    drafter.model.reset_buffers()
    drafter.bind(target)
    drafter.prepare(lambda: torch.zeros(target.spec.vocabulary))
    return drafter


def ngram(target: LlamaTarget) -> Drafter:
    """Counted on the target's own text."""
    drafter = NGram(target.spec, order=3, continuations=4)
    drafter.count(own_text(target))
    return drafter.double()


def own_text(target: Frozen) -> list[Tensor]:
    """What the target writes behind each of its tokens."""
    prompts = [[1, token] for token in range(2, 24)]
    told = Autoregress(target, Sampling(1.0)).generate(prompts, 40).tokens
    return [torch.tensor(text) for text in told]


def suffix(target: LlamaTarget) -> Drafter:
    """With the row's own text alone: what other rows said would make rows depend on each other."""
    return Suffix(target.spec, remember=False)


def lookup(target: LlamaTarget) -> Drafter:
    return Lookup(target.spec)


class Pieces(Tokenizer):
    """Two dozen pieces of which sentences can be made."""

    size, bos, eos = 24, 1, None
    pieces = (
        "", "", " The", " a", "b", ".", "\n", " he", "c", '"', " A", " end", "ing", "!", ".\n",
        " Mr", " B", ",", " (", ")", " x", "y", " 3", "?",
    )  # fmt: skip

    def piece(self, token: int) -> str:
        return self.pieces[token] or "<s>"

    def special(self, token: int) -> bool:
        return token < 2

    def _encode(self, text: str) -> list[int]:
        raise NotImplementedError

    def _decode(self, ids: list[int]) -> str:
        return "".join(self.pieces[token] for token in ids)


def gated(drafter: Sentencewise, threshold: float = 0.15) -> Drafter:
    drafter.set_tokenizer(Pieces())
    drafter.set_stop_rule(StopRule(0.9, 0.1, threshold, drafter.cumulative))
    return random(drafter)


def word_lstm(target: Frozen) -> Drafter:
    return gated(WordCompletion(target.spec, layers=2, width=16))


def word_cnn(target: Frozen) -> Drafter:
    return gated(WordCompletion(target.spec, "cnn", layers=2, width=10, vocabulary=11))


def word_ngram(target: Frozen) -> Drafter:
    """Counted on the target's own text, and without a gate."""
    drafter = WordCompletion(target.spec, "ngram", order=3)
    drafter.set_tokenizer(Pieces())
    drafter.count(own_text(target))
    return drafter.double()


def sentence(target: Frozen) -> Drafter:
    return gated(Sentence(target.spec, taps=(0, 2), layers=2, width=16), threshold=0.02)


SENTENCEWISE = [word_lstm, word_cnn, word_ngram, sentence]
TRAINED = [
    lstm, narrow_lstm, mtp, own_mtp, matrix, low_matrix, mlp, untied_mlp, cnn, cnn_lm, lstm_lm,
    transformer,
]  # fmt: skip
FAMILIES = [*TRAINED, ngram, suffix, lookup, word_lstm, sentence]
# What takes seconds each is tested for one form of every family.
ONE_EACH = [
    lstm, own_mtp, matrix, mlp, cnn, cnn_lm, lstm_lm, transformer, ngram, suffix, lookup,
]  # fmt: skip


def context_of(
    tokens_BT: Tensor,
    length_B: Tensor,
    *,
    known_B: Tensor | None = None,
    prompt_B: Tensor | None = None,
    limit_B: Tensor | None = None,
    ends: tuple[int, ...] = (),
    done_B: Tensor | None = None,
    row_B: Tensor | None = None,
) -> Context:
    """A context in which nothing is done, unless something else is given."""
    none_B = torch.zeros_like(length_B)
    return Context(
        tokens_BT=tokens_BT,
        length_B=length_B,
        known_B=length_B if known_B is None else known_B,
        prompt_B=none_B if prompt_B is None else prompt_B,
        limit_B=length_B + 1000 if limit_B is None else limit_B,
        ends_BE=torch.tensor(ends, dtype=torch.long).repeat(len(length_B), 1),
        done_B=none_B.bool() if done_B is None else done_B,
        row_B=none_B if row_B is None else row_B,
        round_B=none_B.clone(),
    )
