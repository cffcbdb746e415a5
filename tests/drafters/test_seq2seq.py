"""Families in front of an encoder-decoder: what is trained is what is drafted, source and all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.drafters import seq2seq
from tests.fakes import random_target
from tests.networks.t5_networks import START, saved
from tests.training.runs import NoTokenizer

from litdraft.acceptance.replay import replay_texts
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lstm import LSTM
from litdraft.drafters.pretrained import Pretrained
from litdraft.drafters.t5 import T5Drafter
from litdraft.drafters.transformer import Transformer
from litdraft.errors import UserError
from litdraft.evaluation.losslessness import judge, measured_error
from litdraft.protocols import Drafter, EncoderDecoderLayout, TargetSpec, Trainable, TrainingBatch
from litdraft.sampling import Sampling
from litdraft.targets.frozen import Frozen
from litdraft.targets.seq2seq import Seq2SeqTarget

K = 3
PROMPTS = [[5, 6, 7, 5, 6, 7, 9, 2, START], [4, 2, START], [11, 3, 4, 3, 4, 3, 8, 9, 30, 2, START]]

SIZES: dict[str, Any] = {
    "width": 8,
    "encoder_layers": 1,
    "layers": 1,
    "heads": 2,
    "head_width": 4,
    "inner": 8,
}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Seq2SeqTarget:
    return Seq2SeqTarget.open(saved(tmp_path_factory.mktemp("flan"), "flan"), torch.float64)


@pytest.mark.parametrize("family", seq2seq.LEARN)
def test_states_equal_what_propose_computes(
    family: Callable[[Frozen], Drafter], target: Seq2SeqTarget
) -> None:
    """Distributions of a first draft behind ragged sources."""
    drafter, sampling = family(target).eval(), Sampling(1.0)
    assert isinstance(drafter, Trainable)
    drafter.bind(target)
    loop = Speculate(target, drafter, K, sampling)
    with torch.inference_mode():
        state = loop.begin(PROMPTS, 8)
        loop.prefill(state)
        context = state.context
        proposal = drafter.propose(state.drafter, context, K, sampling, torch.rand(3, K).double())
        tokens_BT = context.tokens_BT.clone()
        steps_K = torch.arange(K)
        tokens_BT.scatter_(1, context.length_B[:, None] + steps_K, proposal.tokens_BN)
        tokens_BT = tokens_BT[:, : int(context.length_B.max()) + K]
        hidden_BSD = target.forward(tokens_BT[:, :-1], prompt_B=context.prompt_B).hidden_BPD
        place_S = torch.arange(tokens_BT.shape[1] - 1)
        trained_BS = place_S >= context.prompt_B[:, None] - 1
        batch = TrainingBatch(tokens_BT, trained_BS, hidden_BSD, None, K, prompt_B=context.prompt_B)
        states_BSKC = drafter.states(batch).expand(-1, -1, K, -1)
        assert proposal.probs_BNU is not None
        for row, length in enumerate(context.length_B.tolist()):
            for j in range(K):
                state_1C = states_BSKC[row, length - 1 + j, j][None]
                told_U = sampling.probs(drafter.unembed(state_1C, j))[0]
                assert torch.allclose(told_U, proposal.probs_BNU[row, j], atol=1e-10)


@pytest.mark.parametrize("family", seq2seq.FAMILIES)
def test_replay_counts_what_the_loop_counts(
    family: Callable[[Frozen], Drafter], target: Seq2SeqTarget
) -> None:
    """Greedily it is exact: rounds, and drafts accepted at every position."""
    drafter, greedy = family(target).eval(), Sampling(0.0)
    drafter.bind(target)
    generation = Speculate(target, drafter, K, greedy).generate(PROMPTS, 20)
    told = replay_texts(target, drafter, PROMPTS, generation.known, K, greedy, complete=True)
    assert int(told.rounds) == sum(map(len, generation.accepted))
    accepted = [sum(n > j for row in generation.accepted for n in row) for j in range(K)]
    assert torch.allclose(told.accepted_K, torch.tensor(accepted).double())


def test_the_judge_reads_behind_the_source(target: Seq2SeqTarget) -> None:
    greedy = Sampling(0.0)
    texts = Autoregress(target, greedy).generate(PROMPTS, 12).tokens
    assert judge(target, PROMPTS, texts, texts, 0.0).mismatches == 0
    wrong = [[*text[:3], (text[3] + 1) % 43, *text[4:]] for text in texts]
    assert judge(target, PROMPTS, wrong, texts, 0.0).mismatches > 0
    assert measured_error(target, target, PROMPTS[0], texts[0], K) < 1e-9


def test_what_the_head_sees_of_the_source(target: Seq2SeqTarget) -> None:
    """Pooled: the mean of the encoder's states; other sources, other drafts."""
    drafter = seq2seq.pooled_lstm(target)
    assert isinstance(drafter, LSTM)
    assert drafter.source is not None
    drafter.bind(target)
    tokens_1T, prompt_1 = torch.tensor(PROMPTS[:1]), torch.tensor([9])
    hidden_1TD = target.forward(tokens_1T, prompt_B=prompt_1).hidden_BPD
    source_1TD = drafter.source(hidden_1TD, drafter.source.remember(hidden_1TD, prompt_1))
    assert torch.allclose(source_1TD[0, 0], hidden_1TD[0, :8].mean(0))
    with pytest.raises(UserError, match=r"drafter.source=all was given: choose null or pooled"):
        LSTM(target.spec, source="all")


def test_a_checkpoint_drafts_as_it_is(target: Seq2SeqTarget, tmp_path: Path) -> None:
    """The target's own is always right."""
    drafter = Pretrained(target.spec, saved(tmp_path, "flan")).double()
    drafter.bind(target)
    generation = Speculate(target, drafter, K, Sampling()).generate(PROMPTS, 13)
    assert generation.accepted[1] == [K] * 3  # the row that does not end


def test_a_t5_that_cannot_be_is_told(target: Seq2SeqTarget) -> None:
    cases: dict[str, dict[str, Any]] = {
        "drafter has depth, but a T5 has only vocab": {"depth": 3},
        "drafter.heads is 0, but must be a whole": {"heads": 0},
        "drafter.activation=tanh was given: choose one of relu": {"activation": "tanh"},
        r"drafter.vocabulary=40 was given, but .* has 43 tokens: leave it out": {"vocabulary": 40},
    }
    for told, given in cases.items():
        with pytest.raises(UserError, match=told):
            T5Drafter(target.spec, **{**SIZES, **given})
    spec = TargetSpec("x", 43, 8, 1, 64, None, (), encoder_decoder=EncoderDecoderLayout(7, 32))
    assert T5Drafter(spec, **SIZES).encoder_decoder == EncoderDecoderLayout(7, 32)


def test_what_does_not_go_together_is_told(target: Seq2SeqTarget) -> None:
    """An encoder without a source, a source without an encoder, an encoder that is too small, a
    Llama of no size."""
    causal = random_target()
    with pytest.raises(UserError, match="t5 reads a source by an encoder, but random has none"):
        T5Drafter(causal.spec, **SIZES).bind(causal)
    with pytest.raises(UserError, match=r"drafter.source=pooled was given, but random has no enc"):
        LSTM(causal.spec, source="pooled")
    with pytest.raises(UserError, match=r"of up to 32 tokens, but .* of up to 64: give target.con"):
        T5Drafter(target.spec, **SIZES, limit=32).bind(target)
    with pytest.raises(
        UserError, match=r"drafter.width has no value, and there is no target that a Llama"
    ):
        Transformer(target.spec)


def test_another_start_token_is_read_as_ones_own(target: Seq2SeqTarget, tmp_path: Path) -> None:
    drafter = Pretrained(target.spec, saved(tmp_path, "flan", decoder_start_token_id=1))
    drafter.set_tokenizer(NoTokenizer())
    assert drafter.input_V is not None
    assert drafter.input_V.tolist() == [1, *range(1, 43)]
