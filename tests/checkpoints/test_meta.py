"""Meta's folders: read as Meta's ranks run them, refused unless shards and params.json agree."""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.checkpoints.meta_files import meta_logits, save_meta
from tests.checkpoints.test_hf_llama import edit_json, our_logits, save_theirs, their_logits
from tests.fakes import random_llama
from tests.loading import held_while_opening
from torch import Tensor

from litdraft.checkpoints.load import load_llama, open_checkpoint, save_hf_folder
from litdraft.checkpoints.meta_params import LLAMA_3, special_ids
from litdraft.drafters.pretrained import Pretrained
from litdraft.errors import UserError
from litdraft.networks.llama import Llama, RopeScaling
from litdraft.targets.llama import LlamaTarget


def made(**shape: Any) -> Llama:
    """A random Llama whose norms are not all ones."""
    model = random_llama(**{"heads": 8, "kv_heads": 4, "width": 32, "inner": 48, **shape})
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    return model


@pytest.mark.parametrize("split", [0, 1], ids=["embedding by rows", "embedding by columns"])
@pytest.mark.parametrize("shards", [1, 2, 4])
@pytest.mark.parametrize(
    "shape",
    [{"tied": True}, {"tied": False}, {"tied": False, "kv_heads": 8, "rope_theta": 300.0}],
    ids=["tied", "untied", "every head its own"],
)
@torch.no_grad()
def test_logits_are_those_of_its_origin_and_of_metas_ranks(
    tmp_path: Path, shape: dict[str, Any], shards: int, split: int
) -> None:
    model, tokens_T = made(**shape), torch.randint(0, 24, (60,))
    folder = save_meta(model, tmp_path / "meta", shards, split)
    ours = our_logits(folder, tokens_T[None])[0]
    assert ours.abs().max() > 0.3
    assert (ours - meta_logits(folder, tokens_T)).abs().max() <= 1e-5 * ours.abs().max()
    assert torch.equal(ours, model.unembed(model.forward(tokens_T[None])[0])[0])


@pytest.mark.parametrize("tied, factor", [(True, 32.0), (False, 8.0)], ids=["3.2", "3.1"])
def test_scaled_models_are_those_of_transformers(tmp_path: Path, tied: bool, factor: float) -> None:
    """The factor is not in the folder: Llama 3.2's small models are tied, and theirs is 32."""
    rope = {
        "rope_type": "llama3", "rope_theta": 500000.0, "factor": factor, "low_freq_factor": 1.0,
        "high_freq_factor": 4.0, "original_max_position_embeddings": 8192,
    }  # fmt: skip
    theirs = save_theirs(
        tmp_path / "hf", rope_parameters=rope, tie_word_embeddings=tied, num_key_value_heads=2,
        max_position_embeddings=131_072, rms_norm_eps=1e-5,
    )  # fmt: skip
    opened = open_checkpoint(theirs)
    folder = save_meta(load_llama(opened), tmp_path / "meta", 2, use_scaled_rope=True)
    tokens_BT = torch.randint(0, 96, (2, 100))
    expected = their_logits(theirs, tokens_BT)
    assert open_checkpoint(folder).config == opened.config
    assert (our_logits(folder, tokens_BT) - expected).abs().max() <= 1e-5
    edit_json(folder / "params.json", use_scaled_rope=False)
    assert (our_logits(folder, tokens_BT) - expected).abs().max() > 1e-4


def test_a_given_scaling_is_used(tmp_path: Path) -> None:
    message: dict[str, Any] = {"use_scaled_rope": True, "rope_scaling_factor": 16.0}
    message["rope_high_freq_factor"] = 2.0
    scaling = open_checkpoint(save_meta(made(), tmp_path, **message)).config.rope_scaling
    assert scaling == RopeScaling(16.0, 1.0, 2.0, 8192)


def test_a_head_left_out_is_the_embedding_and_what_is_not_needed_is_ignored(
    tmp_path: Path,
) -> None:
    folder, tokens_BT = save_meta(made(), tmp_path, 2), torch.randint(0, 24, (1, 20))
    expected = our_logits(folder, tokens_BT)

    def shorten(tensors: dict[str, Tensor]) -> None:
        del tensors["output.weight"]
        tensors["rope.freqs"] = torch.ones(2)

    edit_shards(folder, shorten)
    assert torch.equal(our_logits(folder, tokens_BT), expected)


def test_the_context_is_the_familys_or_as_asked(tmp_path: Path) -> None:
    folder = save_meta(made(), tmp_path, rope_theta=None, norm_eps=None, n_kv_heads=4)
    config = open_checkpoint(folder).config
    assert (config.context, config.rope_theta, config.norm_eps) == (4096, 10000.0, 1e-5)
    edit_json(folder / "params.json", rope_theta=1e6)
    assert open_checkpoint(folder).config.context == 16_384  # Code Llama
    edit_json(folder / "params.json", use_scaled_rope=True)
    assert open_checkpoint(folder).config.context == 131_072
    assert LlamaTarget.open(folder, context=64).spec.context == 64
    with pytest.raises(UserError, match="context=0 was given"):
        LlamaTarget.open(folder, context=0)


def test_llama_3_is_known_by_its_vocabulary(tmp_path: Path) -> None:
    model = made(vocabulary=LLAMA_3, width=8, heads=2, kv_heads=1, inner=4, layers=1)
    checkpoint = open_checkpoint(save_meta(model, tmp_path / "Llama3", vocab_size=LLAMA_3))
    assert (checkpoint.name, checkpoint.config.context) == ("Llama3", 8192)
    assert (checkpoint.bos, checkpoint.eos) == (128_000, (128_001, 128_008, 128_009))
    assert special_ids(32_000) == (1, (2,))


def test_a_folder_of_metas_drafts_too_and_half_precision_is_kept(tmp_path: Path) -> None:
    folder = save_meta(made().bfloat16(), tmp_path, 2)
    assert {part.values.dtype for part in open_checkpoint(folder).parts()} == {torch.bfloat16}
    target = LlamaTarget.open(folder)
    drafter = Pretrained(target.spec, folder)
    weights = drafter.model.state_dict()
    assert all(torch.equal(weights[name], w) for name, w in target.weights().items())


def test_both_formats_in_one_folder_are_hugging_faces(tmp_path: Path) -> None:
    save_meta(made(), tmp_path)
    save_hf_folder(random_llama(layers=1), tmp_path, torch.float32, 1, (2,))
    assert open_checkpoint(tmp_path).config.layers == 1


def test_loading_shards_has_the_weights_in_memory_once(tmp_path: Path) -> None:
    shape = {"width": 512, "heads": 8, "kv_heads": 4, "head_width": 64, "inner": 1536}
    large = save_meta(made(**shape, vocabulary=4096, layers=16, tied=False), tmp_path / "large", 4)
    small = save_meta(made(), tmp_path / "small", 4)
    assert 0.9 < held_while_opening("llama.LlamaTarget", large, small) < 1.1


def edit_shards(folder: Path, edit: Callable[[dict[str, Tensor]], None], only: str = "*") -> None:
    for path in folder.glob(f"consolidated.{only}.pth"):
        tensors = torch.load(path, weights_only=True)
        edit(tensors)
        torch.save(tensors, path)


class Code:
    """Runs when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch executed",)


def change(name: str, edit: Callable[[Tensor], Tensor] | None) -> Callable[[dict], None]:
    def apply(tensors: dict[str, Tensor]) -> None:
        if edit is None:
            del tensors[name]
        else:
            tensors[name] = edit(tensors.get(name, torch.zeros(1)))

    return apply


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


ONE, TWO = "consolidated.00.pth", "consolidated.01.pth"
WK, W2 = "layers.1.attention.wk.weight", "layers.0.feed_forward.w2.weight"
BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "the last shard missing": (lambda f: (f / TWO).unlink(), r"1 of 2 shards.*consolidated\.01"),
    "the first missing": (lambda f: (f / ONE).unlink(), r"has consolidated\.01.*but no cons"),
    "no shards": (
        lambda f: [path.rename(f"{path}.old") for path in f.glob("*.pth")],
        r"no consolidated\.00\.pth",
    ),
    "one too many": (
        lambda f: (f / "consolidated.02.pth").write_bytes((f / ONE).read_bytes()),
        r"4 key heads over 3 shards",
    ),
    "no params": (lambda f: (f / "params.json").unlink(), r"params\.json does not exist"),
    "truncated": (lambda f: cut(f / TWO), r"01\.pth is not readable.*restore"),
    "empty": (lambda f: (f / ONE).write_bytes(b""), r"00\.pth is not readable"),
    "a pickle alone": (
        lambda f: (f / ONE).write_bytes(pickle.dumps(Code())), r"00\.pth is not readable",
    ),
    "code": (lambda f: torch.save({"a": Code()}, f / ONE), r"which are never unpickled"),
    "numbers": (lambda f: torch.save({"a": 3}, f / ONE), r"other objects than named tensors"),
    "a list": (lambda f: torch.save([torch.ones(2)], f / TWO), r"01\.pth has other objects"),
    "a tensor missing": (
        lambda f: edit_shards(f, change(WK, None), "01"), r"01\.pth has no tensor layers\.1\.att",
    ),
    "an embedding missing": (
        lambda f: edit_shards(f, change("tok_embeddings.weight", None)), "has no tensor tok_emb",
    ),
    "a stranger": (
        lambda f: edit_shards(f, change("layers.0.attention.wq.bias", lambda t: t)),
        r"has layers\.0\.attention\.wq\.bias, which this Llama",
    ),
    "shards unlike each other": (
        lambda f: edit_shards(f, change(W2, lambda t: t[:, :-1]), "01"),
        r"w2\.weight has shape \[32, 24\] and \[32, 23\] in its 2 \.pth.*\[32, 48\] in all",
    ),
    "a wrong shape": (
        lambda f: edit_shards(f, change(WK, lambda t: t[:-1])), r"wk\.weight has shape \[7, 32\]",
    ),
    "a norm in parts": (
        lambda f: edit_shards(f, change("layers.0.ffn_norm.weight", lambda t: t[:16])),
        r"ffn_norm\.weight has shape \[16\]",
    ),
    "quantized": (
        lambda f: edit_shards(f, change(W2, lambda t: t.to(torch.int8))), r"w2\.weight.*int8",
    ),
}  # fmt: skip


@pytest.mark.parametrize("spoil, named", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_folder_is_refused_in_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[[Path], Any], named: str
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = save_meta(made(), tmp_path / "meta", 2)
    spoil(folder)
    with pytest.raises(UserError, match=named) as caught:
        open_checkpoint(folder)
    assert str(folder) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "executed").exists()


BROKEN_KEYS: dict[str, tuple[dict[str, Any], str]] = {
    "dim": ({"dim": 64}, r"dim is 64, but must be the width of norm\.weight, .*\[32\]"),
    "heads": ({"n_heads": 3}, r"dim is 32, but must be a multiple of 6"),
    "key heads": ({"n_kv_heads": 3}, "n_kv_heads is 3, but must be a divisor"),
    "fewer key heads": ({"n_kv_heads": 2}, r"wk\.weight.* \[8, 32\] in its 2 .* \[8, 32\] in all"),
    "fewer layers": ({"n_layers": 1}, r"has layers\.1\.attention.*, which this Llama"),
    "more layers": ({"n_layers": 3}, r"has no tensor layers\.2\.attention"),
    "vocabulary": ({"vocab_size": 25}, "vocab_size is 25, but must be -1 or 24"),
    "vocabulary, a word": ({"vocab_size": "24"}, "vocab_size is '24', but must be -1 or 24"),
    "epsilon": ({"norm_eps": 0}, "norm_eps is 0, but must be a number above 0"),
    "scaled": ({"use_scaled_rope": "yes"}, "use_scaled_rope is 'yes', but must be true or false"),
    "frequencies": (
        {"use_scaled_rope": True, "rope_high_freq_factor": 1}, "rope_high_freq_factor is 1, but",
    ),
}  # fmt: skip


@pytest.mark.parametrize("changes, named", BROKEN_KEYS.values(), ids=BROKEN_KEYS.keys())
def test_params_that_disagree_are_refused_by_key(
    tmp_path: Path, changes: dict[str, Any], named: str
) -> None:
    folder = save_meta(made(), tmp_path, 2)
    edit_json(folder / "params.json", **changes)
    with pytest.raises(UserError, match=named) as caught:
        open_checkpoint(folder)
    assert str(tmp_path) in str(caught.value)


def test_key_heads_in_halves_are_refused(tmp_path: Path) -> None:
    folder = save_meta(made(), tmp_path, 8)
    assert json.loads((folder / "params.json").read_text())["n_kv_heads"] == 4
    with pytest.raises(UserError, match="splits 4 key heads over 8 shards"):
        open_checkpoint(folder)
