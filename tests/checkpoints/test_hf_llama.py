"""Hugging Face folders: read as transformers reads them, written so that it reads them back."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from litdraft.checkpoints.load import load_llama, open_checkpoint, save_hf_folder
from litdraft.errors import UserError
from litdraft.networks.llama import Llama, LlamaConfig, RopeScaling

SMALL: dict[str, Any] = {
    "vocab_size": 96,
    "hidden_size": 32,
    "intermediate_size": 56,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 128,
    "initializer_range": 0.1,  # logits of the order of 1
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
KINDS: dict[str, dict[str, Any]] = {
    "tied": {"tie_word_embeddings": True},
    "untied": {"tie_word_embeddings": False},
    "grouped queries": {"num_key_value_heads": 2},
    "one key head": {"num_key_value_heads": 1, "rms_norm_eps": 1e-3},
    "heads wider than the model": {"head_dim": 16, "num_key_value_heads": 2},
    "another base": {"rope_parameters": {"rope_type": "default", "rope_theta": 100.0}},
    "llama 3": {"rope_parameters": LLAMA3, "num_key_value_heads": 2, "tie_word_embeddings": True},
}


def save_theirs(folder: Path, shard: str = "1GB", **changes: Any) -> Path:
    """A random Llama of transformers, with norms that are not all ones, saved by transformers."""
    from transformers import LlamaConfig as TheirConfig
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(TheirConfig(**{**SMALL, **changes}))
    for name, weight in model.named_parameters():
        if "norm" in name:
            torch.nn.init.uniform_(weight, 0.5, 1.5)
    model.save_pretrained(folder, max_shard_size=shard)
    return folder


def their_logits(folder: Path, tokens_BT: Tensor) -> Tensor:
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32)
    with torch.no_grad():
        logits: Tensor = model(tokens_BT).logits
    return logits


@torch.no_grad()
def our_logits(path: Path, tokens_BT: Tensor) -> Tensor:
    model = load_llama(open_checkpoint(path))
    return model.unembed(model.forward(tokens_BT)[0])


def edit_json(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_tensors(path: Path, edit: Callable[[dict[str, Tensor]], None]) -> None:
    tensors = load_file(path)
    edit(tensors)
    save_file(tensors, path, metadata={"format": "pt"})


@pytest.mark.parametrize("shard", ["1GB", "20KB"], ids=["one file", "shards"])
@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS.keys())
def test_logits_are_those_of_transformers(
    tmp_path: Path, changes: dict[str, Any], shard: str
) -> None:
    folder = save_theirs(tmp_path, shard, **changes)
    assert (len(list(folder.glob("*.safetensors"))) > 2) == (shard == "20KB")
    tokens_BT = torch.randint(0, 96, (2, 100))
    expected = their_logits(folder, tokens_BT)
    assert expected.abs().max() > 0.3
    assert (our_logits(folder, tokens_BT) - expected).abs().max() <= 1e-5


@pytest.mark.parametrize("name", ["mix-13m", "tinystories656K_hf"])
def test_trained_targets_agree_with_transformers(shared: Path, name: str) -> None:
    """To 1e-5 of the largest logit: transformers' own float32 is no nearer to its float64."""
    folder = shared / "targets" / name
    tokens_BT = torch.randint(0, open_checkpoint(folder).config.vocabulary, (2, 60))
    expected = their_logits(folder, tokens_BT)
    off = (our_logits(folder, tokens_BT) - expected).abs().max()
    assert off <= 1e-5 * expected.abs().max()


def test_rope_with_the_keys_of_transformers_4_is_the_same_model(tmp_path: Path) -> None:
    folder = save_theirs(tmp_path, **KINDS["llama 3"])
    new = open_checkpoint(folder).config
    scaling = {key: value for key, value in LLAMA3.items() if key != "rope_theta"}
    for name in ("rope_type", "type"):
        scaling[name] = scaling.pop("rope_type")
        edit_json(
            folder / "config.json", rope_parameters=None, rope_theta=500.0, rope_scaling=scaling
        )
        assert open_checkpoint(folder).config == new
        scaling["rope_type"] = scaling.pop(name)
    assert new.rope_theta == 500.0
    assert new.rope_scaling == RopeScaling(8.0, 1.0, 4.0, 32)


def test_a_tied_weight_may_be_stored_under_either_name_or_both(tmp_path: Path) -> None:
    folder = save_theirs(tmp_path, **KINDS["tied"])
    tokens_BT = torch.randint(0, 96, (1, 9))
    expected = our_logits(folder, tokens_BT)

    def twice(tensors: dict[str, Tensor]) -> None:
        tensors["lm_head.weight"] = tensors["model.embed_tokens.weight"].clone()

    def as_head(tensors: dict[str, Tensor]) -> None:
        del tensors["model.embed_tokens.weight"]

    for edit in (twice, as_head):
        edit_tensors(folder / "model.safetensors", edit)
        assert open_checkpoint(folder).config.tied
        assert torch.equal(our_logits(folder, tokens_BT), expected)


def test_an_untied_head_is_preferred_to_the_key_tied(tmp_path: Path) -> None:
    folder = save_theirs(tmp_path, **KINDS["untied"])
    edit_json(folder / "config.json", tie_word_embeddings=True)
    assert not open_checkpoint(folder).config.tied
    tokens_BT = torch.randint(0, 96, (1, 9))
    off = our_logits(folder, tokens_BT) - their_logits(folder, tokens_BT)
    assert off.abs().max() <= 1e-5


def test_end_tokens_come_from_both_files(tmp_path: Path) -> None:
    folder = save_theirs(tmp_path, bos_token_id=7, eos_token_id=[5, 6])
    edit_json(folder / "generation_config.json", eos_token_id=[6, 9])
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.bos, checkpoint.eos) == (7, (5, 6, 9))
    edit_json(folder / "config.json", bos_token_id=None, eos_token_id=3)
    (folder / "generation_config.json").unlink()
    checkpoint = open_checkpoint(folder)
    assert (checkpoint.bos, checkpoint.eos) == (None, (3,))


CONFIGS = {
    "tied": LlamaConfig(96, 32, 2, 4, 2, 8, 40, 64),
    "untied, scaled": LlamaConfig(
        *(96, 32, 2, 4, 4, 8, 40, 64),
        norm_eps=1e-6,
        rope_theta=500.0,
        rope_scaling=RopeScaling(4.0, 1.0, 2.0, 16),
        tied=False,
    ),
}


def made(config: LlamaConfig) -> Llama:
    model = Llama(config)
    model.reset_parameters(torch.Generator().manual_seed(3))
    return model


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_what_is_saved_is_loaded_again(tmp_path: Path, config: LlamaConfig) -> None:
    model, folder = made(config), tmp_path / "new" / "folder"
    save_hf_folder(model, folder, torch.float32, 1, (1, 2))
    checkpoint = open_checkpoint(folder)
    assert checkpoint.config == config
    assert (checkpoint.name, checkpoint.bos, checkpoint.eos) == ("folder", 1, (1, 2))
    loaded = load_llama(checkpoint)
    assert loaded.state_dict().keys() == model.state_dict().keys()
    for name, weight in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], weight), name
    for name, buffer in model.named_buffers():
        assert torch.equal(loaded.get_buffer(name), buffer), name


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS.keys())
def test_transformers_reads_what_is_saved(tmp_path: Path, config: LlamaConfig) -> None:
    model = made(config)
    save_hf_folder(model, tmp_path, torch.float32, None, ())
    tokens_BT = torch.randint(0, 96, (2, 60))
    with torch.no_grad():
        logits = model.unembed(model.forward(tokens_BT)[0])
    assert (logits - their_logits(tmp_path, tokens_BT)).abs().max() <= 1e-5


def test_the_requested_dtype_is_used(tmp_path: Path) -> None:
    model = made(CONFIGS["tied"])
    save_hf_folder(model, tmp_path, torch.bfloat16, 1, (2,))
    stored = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.bfloat16}
    for dtype in (torch.bfloat16, torch.float64):
        loaded = load_llama(open_checkpoint(tmp_path), dtype)
        assert {tensor.dtype for tensor in loaded.state_dict().values()} == {dtype}
        assert torch.equal(loaded.norm.weight, model.norm.weight.bfloat16().to(dtype))


def test_extra_files_come_along_and_nothing_else_is_left(tmp_path: Path) -> None:
    extra, folder = tmp_path / "tokenizer.model", tmp_path / "out"
    extra.write_bytes(b"pieces")
    save_hf_folder(made(CONFIGS["tied"]), folder, torch.float32, 1, (2,), [extra])
    names = {path.name for path in folder.iterdir()}
    assert names == {"config.json", "model.safetensors", "tokenizer.model"}
    assert (folder / "tokenizer.model").read_bytes() == b"pieces"
    assert all(path.stat().st_mode & 0o044 for path in folder.iterdir()), "only its owner may read"


def test_a_missing_extra_file_is_reported_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="nowhere"):
        save_hf_folder(
            *(made(CONFIGS["tied"]), tmp_path / "out", torch.float32, 1, (2,)),
            [tmp_path / "nowhere"],
        )
    assert not (tmp_path / "out").exists()


def anonymous_bytes() -> int:
    """Memory of this process that no file backs: mapped checkpoints do not count."""
    status = Path("/proc/self/status").read_text()
    return 1024 * int(status.split("RssAnon:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_loading_has_the_weights_in_memory_once(tmp_path: Path) -> None:
    config = LlamaConfig(2048, 512, 8, 8, 4, 64, 1536, 32)
    model = made(config)
    save_hf_folder(model, tmp_path, torch.float32, 1, (2,))
    weights = sum(4 * parameter.numel() for parameter in model.parameters())
    del model
    peak, done = [start := anonymous_bytes()], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            peak.append(anonymous_bytes())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        load_llama(open_checkpoint(tmp_path))
    finally:
        done.set()
        watcher.join()
    assert weights > 90e6
    assert len(peak) > 4, "loading was too quick to be watched"
    assert max(peak) - start < 1.3 * weights


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def drop(tensors: dict[str, Tensor]) -> None:
    del tensors["model.layers.1.mlp.up_proj.weight"]


def narrow(tensors: dict[str, Tensor]) -> None:
    tensors["model.norm.weight"] = tensors["model.norm.weight"][:-1]


def quantize(tensors: dict[str, Tensor]) -> None:
    tensors["model.norm.weight"] = tensors["model.norm.weight"].to(torch.int8)


def add_bias(tensors: dict[str, Tensor]) -> None:
    tensors["model.layers.0.self_attn.q_proj.bias"] = torch.zeros(32)


ONE = "model.safetensors"
BROKEN_FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "truncated": (lambda f: truncate(f / ONE), ONE),
    "empty": (lambda f: (f / ONE).write_bytes(b""), ONE),
    "no weights": (lambda f: (f / ONE).unlink(), "safetensors"),
    "a tensor missing": (lambda f: edit_tensors(f / ONE, drop), "layers.1.mlp.up_proj"),
    "a wrong shape": (lambda f: edit_tensors(f / ONE, narrow), r"model\.norm.*\[31\].*\[32\]"),
    "quantized": (lambda f: edit_tensors(f / ONE, quantize), "I8"),
    "a bias": (lambda f: edit_tensors(f / ONE, add_bias), "q_proj.bias"),
    "no config": (lambda f: (f / "config.json").unlink(), "config.json does not exist"),
    "no JSON": (lambda f: truncate(f / "config.json"), "config.json is not readable JSON"),
    "a list": (lambda f: (f / "config.json").write_text("[]"), "config.json has list"),
}


@pytest.mark.parametrize("spoil, named", BROKEN_FILES.values(), ids=BROKEN_FILES.keys())
def test_a_broken_folder_is_refused_by_name(
    tmp_path: Path, spoil: Callable[[Path], Any], named: str
) -> None:
    spoil(save_theirs(tmp_path))
    with pytest.raises(UserError, match=named) as caught:
        open_checkpoint(tmp_path)
    assert str(tmp_path) in str(caught.value)


BROKEN_KEYS: dict[str, dict[str, Any]] = {
    "model_type": {"model_type": "gpt2"},
    "attention_bias": {"attention_bias": True},
    "mlp_bias": {"mlp_bias": True},
    "hidden_act": {"hidden_act": "gelu"},
    "quantization_config": {"quantization_config": {"bits": 4}},
    "rope_type": {"rope_parameters": {"rope_type": "yarn", "factor": 2.0}},
    "type": {"rope_scaling": {"type": "linear", "factor": 2.0}},
    "factor": {"rope_parameters": {"rope_type": "llama3"}},
    "high_freq_factor": {"rope_parameters": {**LLAMA3, "high_freq_factor": 1.0}},
    "partial_rotary_factor": {
        "rope_parameters": {"rope_type": "default", "partial_rotary_factor": 0.5}
    },
    "hidden_size": {"hidden_size": "32"},
    "vocab_size": {"vocab_size": None},
    "num_hidden_layers": {"num_hidden_layers": 0},
    "num_key_value_heads": {"num_key_value_heads": 3},
    "rms_norm_eps": {"rms_norm_eps": -1},
    "tie_word_embeddings": {"tie_word_embeddings": "yes"},
    "eos_token_id": {"eos_token_id": [2, 96]},
    "bos_token_id": {"bos_token_id": 1.5},
    "head_dim is 7": {"head_dim": 7},
}


@pytest.mark.parametrize("named, changes", BROKEN_KEYS.items(), ids=BROKEN_KEYS.keys())
def test_a_config_that_is_not_read_is_refused_by_key(
    tmp_path: Path, named: str, changes: dict[str, Any]
) -> None:
    folder = save_theirs(tmp_path)
    edit_json(folder / "config.json", **changes)
    with pytest.raises(UserError, match=rf"config\.json: {named}\b") as caught:
        open_checkpoint(folder)
    assert str(tmp_path) in str(caught.value)


def test_broken_shards_are_refused_by_name(tmp_path: Path) -> None:
    folder = save_theirs(tmp_path, "20KB")
    index = folder / "model.safetensors.index.json"
    whole = index.read_text()
    first = min(folder.glob("*.safetensors"))
    edit_json(index, weight_map={"model.norm.weight": f"../{first.name}"})
    with pytest.raises(UserError, match=r"index\.json names '\.\./"):
        open_checkpoint(folder)
    edit_json(index, weight_map=None)
    with pytest.raises(UserError, match=r"index\.json has no weight_map"):
        open_checkpoint(folder)
    index.write_text(whole)
    truncate(first)
    with pytest.raises(UserError, match=first.name):
        open_checkpoint(folder)
    first.unlink()
    with pytest.raises(UserError, match=first.name):
        open_checkpoint(folder)


def test_a_path_that_is_no_checkpoint_gets_an_error_that_names_what_would_be(
    tmp_path: Path,
) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist.*Hugging Face folder.*\.bin"):
        open_checkpoint(tmp_path / "nowhere")
    (tmp_path / "model.gguf").touch()
    with pytest.raises(UserError, match=r"model\.gguf is not a checkpoint"):
        open_checkpoint(tmp_path / "model.gguf")
