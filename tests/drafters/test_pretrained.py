"""A drafter with a cache of its own: at the edge of its context, beside rows that are done, and
what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import tokenizers
import torch
from tests.fakes import context_of, random_target, transformer
from tests.foreign import VOCABULARY, saved
from torch import Tensor

from litdraft.checkpoints.hf_llama import save_hf_folder
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.pretrained import Pretrained
from litdraft.drafters.transformer import Transformer
from litdraft.errors import UserError
from litdraft.protocols import Observation
from litdraft.sampling import Sampling, draw
from litdraft.targets.llama import LlamaTarget
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.intersection import intersection
from litdraft.tokenizers.load import open_tokenizer
from litdraft.tokenizers.sentencepiece import train_sentencepiece

SHAPE = vars(random_target().model.config)
PROMPTS = [[1, 2, 3], [1, 4, 5, 6, 7]]


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_last_position_of_the_context_is_used_and_none_behind_it(k: int) -> None:
    """The drafter's context is what is short; the target's would allow more."""
    target = random_target()
    drafter = Transformer(target.spec, context=24, layers=2).double()
    drafter.model.reset_buffers()
    loop, fitting = Speculate(target, drafter, k, Sampling()), 24 - 5 - k - 1
    exact = Autoregress(target, Sampling()).generate(PROMPTS, fitting).tokens
    assert loop.generate(PROMPTS, fitting).tokens == exact
    with pytest.raises(UserError, match="25 positions are needed, but the drafter has a context"):
        loop.generate(PROMPTS, fitting + 1)


@pytest.mark.parametrize("accepted", [0, 1, 3])
def test_a_done_row_says_the_same_again_and_disturbs_nobody(accepted: int) -> None:
    """Row 0 is done; row 1 goes on by `accepted` of three drafts and a token, round by round."""
    target, k = random_target(), 3
    drafter = transformer(target).eval()
    both: list[Tensor] = []
    alone: list[Tensor] = []
    for rows, told in (([0, 1], both), ([1], alone)):
        tokens_BT = torch.randint(2, 24, (2, 30), generator=torch.Generator().manual_seed(4))[rows]
        length_B = torch.tensor([6, 4])[rows]
        none_B, going_B = torch.zeros_like(length_B), torch.tensor([0, 1])[rows]
        context = context_of(tokens_BT, length_B)
        state, nothing = drafter.allocate(len(rows), 30, k), torch.empty(len(rows), 5, 0)
        drafter.observe(
            state, Observation(tokens_BT[:, :5], none_B, length_B - 1, nothing), context
        )
        for _ in range(4):
            drawn_BK = torch.tensor([0.4, 0.1, 0.8], dtype=torch.float64).expand(len(rows), k)
            proposal = drafter.propose(state, context, k, Sampling(1.0), drawn_BK)
            assert proposal.probs_BNU is not None
            told.append(proposal.probs_BNU)
            for j in range(k):  # each draft is drawn by a uniform of its own
                own_B = draw(proposal.probs_BNU[:, j], drawn_BK[:, j])
                assert torch.equal(proposal.tokens_BN[:, j], own_B)
            row, at = len(rows) - 1, int(context.length_B[-1])
            tokens_BT[row, at : at + accepted] = proposal.tokens_BN[row, :accepted]
            context.length_B = context.length_B + (accepted + 1) * going_B
            drafter.observe(state, Observation(tokens_BT[:, :4], none_B, none_B, nothing), context)
    for probs_BKV, alone_1KV in zip(both, alone, strict=True):
        assert (probs_BKV[0] - both[0][0]).abs().max() < 1e-10
        assert (probs_BKV[1] - alone_1KV[0]).abs().max() < 1e-10


def other_tokenizer(folder: Path) -> Tokenizer:
    """Of another text than the little target's, but with some of the same pieces."""
    words = [f"{a}{b} " for a in "pqtvwxz" for b in "aeiouy"] * 20
    return train_sentencepiece(["".join(words), *words], 300, folder / "tokenizer.model")


def test_the_checkpoints_tokenizer_is_the_targets(
    little: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = LlamaTarget.open(little / "target").spec
    mine, other = open_tokenizer(little / "target"), other_tokenizer(tmp_path)
    monkeypatch.setenv("HOME", str(little))
    for path in (str(little / "target"), "~/target"):
        drafter = Pretrained(spec, path)
        drafter.set_tokenizer(mine)
        assert drafter.vocabulary_U is None
        told = r"has 320 tokens, the target 320, and token \d+ is '.+' here and '.+' there"
        with pytest.raises(UserError, match=told):
            drafter.set_tokenizer(other)
    plain = tmp_path / "plain"  # without a tokenizer beside it there is nothing to compare
    plain.mkdir()
    for name in ("config.json", "model.safetensors"):
        (plain / name).symlink_to(little / "target" / name)
    Pretrained(spec, plain).set_tokenizer(other)
    with pytest.raises(UserError, match="token"):
        Pretrained(spec, plain, tokenizer=little / "target").set_tokenizer(other)


def test_a_checkpoint_of_another_vocabulary_is_refused(little: Path, tmp_path: Path) -> None:
    spec, other = random_target(vocabulary=300).spec, other_tokenizer(tmp_path)
    with pytest.raises(UserError, match="has 320 tokens, the target 300, and token"):
        Pretrained(spec, little / "target").set_tokenizer(other)
    with pytest.raises(UserError, match="choose null or intersection"):
        Pretrained(spec, little / "target", vocabulary="union")


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_tokenizers_that_share_some_tokens_draft_those(
    little: Path, tmp_path: Path, temperature: float
) -> None:
    """Lossless whatever is drafted; and what is drafted are tokens that both spell alike."""
    theirs, mine = other_tokenizer(tmp_path), open_tokenizer(little / "target")
    target = random_target(vocabulary=300)
    drafter = Pretrained(target.spec, little / "target", vocabulary="intersection").double()
    drafter.model.reset_buffers()
    drafter.set_tokenizer(theirs)
    assert drafter.vocabulary_U is not None
    assert drafter.drafter_U is not None
    assert 20 < len(drafter.vocabulary_U) < 300
    for token, own in zip(drafter.vocabulary_U.tolist(), drafter.drafter_U.tolist(), strict=True):
        assert theirs.decode([5, token]) == mine.decode([5, own]) or token < 259  # bytes
    drafter.bind(target)
    told = Speculate(target, drafter, 3, Sampling(temperature)).generate(PROMPTS, 20)
    assert sum(map(sum, told.drafted)) > 0
    if temperature == 0:
        assert told.tokens == Autoregress(target, Sampling()).generate(PROMPTS, 20).tokens


def byte_level(folder: Path, texts: list[str]) -> Tokenizer:
    """As GPT-2's: bytes by letters."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    alphabet = tokenizers.pre_tokenizers.ByteLevel.alphabet()
    trainer = tokenizers.trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet)
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    return open_tokenizer(folder / "tokenizer.json")


def test_pieces_are_shared_by_what_they_spell(little: Path, tmp_path: Path) -> None:
    """Spaces, newlines and bytes are written in two ways."""
    text = (little / "text" / "one.txt").read_text()
    mine, theirs = open_tokenizer(little / "target"), byte_level(tmp_path, [text])
    common = intersection(mine, theirs, theirs.size)
    both = torch.stack((common.target_U, common.drafter_U), 1).tolist()
    spelled = {theirs.piece(one): mine.piece(other) for one, other in both}
    assert spelled["Ġb"] == "▁b"
    assert spelled["Ċ"] in ("<0x0A>", "\n")
    assert spelled["Ã"] == "<0xC3>"


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_it_drafts_in_the_targets_type(tmp_path: Path, kind: str) -> None:
    """Native or not; it is trained in float32."""
    target = random_target(vocabulary=VOCABULARY, dtype=torch.bfloat16)
    drafter = Pretrained(target.spec, saved(tmp_path, kind))
    drafter.bind(target)
    drafter.prepare_for_decoding(target.dtype, native=False)
    assert {weight.dtype for weight in drafter.parameters()} == {torch.bfloat16}
    told = Speculate(target, drafter, 3, Sampling(1.0)).generate(PROMPTS, 12)
    assert sum(map(sum, told.drafted)) > 0


def test_a_tokenizer_that_is_not_the_drafters_is_told(little: Path, tmp_path: Path) -> None:
    """Its ids would have no rows."""
    folder = tmp_path / "small"
    save_hf_folder(random_target(vocabulary=61).model, folder, torch.float32, 1, (2,))
    drafter = Pretrained(random_target(vocabulary=320).spec, folder, little / "target")
    with pytest.raises(UserError, match=r"has 320 pieces, but the model's vocabulary is 61"):
        drafter.set_tokenizer(open_tokenizer(little / "target"))


def test_the_same_tokens_rounded_up_differently_are_no_difference(little: Path) -> None:
    """As in one family of models whose sizes were padded to different multiples."""
    target = random_target(vocabulary=384)
    drafter = Pretrained(target.spec, little / "target")
    drafter.set_tokenizer(open_tokenizer(little / "target"))
    assert drafter.vocabulary_U is not None
    assert drafter.vocabulary_U.tolist() == list(range(320))
    assert drafter.input_V is not None
    assert drafter.input_V[:320].tolist() == list(range(320)), "special tokens as well"


def test_a_path_is_needed() -> None:
    with pytest.raises(UserError, match=r"needs drafter\.path"):
        Pretrained()


WRONG = {
    "widht": (3, "drafter has widht, but a Llama has only vocabulary, width"),
    "inner": ("no", "inner is no, but must be a whole number above 0"),
    "layers": (0, "layers is 0"),
    "width": ("wide", "width is wide"),
    "heads": (3, "kv_heads must divide heads"),
    "head_width": (3, "heads be evenly wide"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_shape_that_is_no_llama_is_told(key: str) -> None:
    value, answer = WRONG[key]
    with pytest.raises(UserError, match=answer):
        Transformer(**{**SHAPE, key: value})
    with pytest.raises(UserError, match=r"drafter\.vocabulary has no value"):
        Transformer(width=8)


def test_it_begins_as_the_targets_first_layers() -> None:
    target = random_target()
    drafter = Transformer(target.spec, layers=1, begin="target").double()
    drafter.bind(target)
    drafter.prepare(lambda: torch.zeros(24))
    given = target.model.state_dict()
    assert all(torch.equal(weight, given[n]) for n, weight in drafter.model.named_parameters())
    other = Transformer(target.spec, layers=1, inner=20, begin="target").double()
    other.bind(target)
    with pytest.raises(UserError, match="gate_up"):
        other.prepare(lambda: torch.zeros(24))
