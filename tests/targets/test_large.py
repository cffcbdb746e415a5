"""What large models need: weights held once, told beforehand where they do not fit, in fewer bits,
spread over devices, fetched by name."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model
from tests.foreign import PLAIN, PROMPTS, network, saved
from tests.loading import held_while_opening
from transformers import AutoConfig, AutoModelForCausalLM

from litdraft.checkpoints import memory_check as capacity
from litdraft.checkpoints import quantize
from litdraft.checkpoints.hf_causal import open_hf
from litdraft.checkpoints.hf_causal_check import checked_model
from litdraft.checkpoints.hub import local_path
from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.errors import UserError
from litdraft.sampling import Sampling
from litdraft.targets.hf_causal import HFCausalTarget
from litdraft.targets.llama import LlamaTarget


@pytest.mark.parametrize("kind", ["hf_causal.HFCausalTarget", "llama.LlamaTarget"])
def test_opening_half_a_gigabyte_holds_it_once(tmp_path: Path, kind: str) -> None:
    """In two files, as large models come."""
    sizes = {"hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 16_000, "head_dim": 64}
    config = AutoConfig.for_model("llama", **{**PLAIN, **sizes, "num_hidden_layers": 6})
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    model = model.to_empty(device="cpu")
    for weight in model.parameters():
        weight.data.fill_(0.01)
    model.save_pretrained(tmp_path / "large", max_shard_size="300MB")
    del model
    small = saved(tmp_path / "small", "llama")
    assert len(list((tmp_path / "large").glob("*.safetensors"))) > 1
    assert 0.9 < held_while_opening(kind, tmp_path / "large", small) < 1.1


def test_what_does_not_fit_says_how_much_it_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = saved(tmp_path, "qwen2")
    monkeypatch.setattr(capacity, "free_bytes", lambda device: 10_000)
    with pytest.raises(UserError, match=r"needs 0\.0 GiB of memory, but cpu has 0\.0 GiB free"):
        HFCausalTarget.open(folder)
    with pytest.raises(UserError, match=r"needs .* but cpu has"):
        LlamaTarget.open(saved(tmp_path / "llama", "llama", tie_word_embeddings=False))


def test_weights_in_fewer_bits_say_nearly_the_same(tmp_path: Path) -> None:
    """And decode without loss: drafts are checked by the same weights."""
    folder = saved(tmp_path, "qwen3")
    whole, small = HFCausalTarget.open(folder), HFCausalTarget.open(folder, quantize="int8")
    tokens_BT = torch.tensor([PROMPTS[2]])
    exact, rounded = (t.forward(tokens_BT).hidden_BPD for t in (whole, small))
    assert 0 < (exact - rounded).norm() / exact.norm() < 0.05
    assert small.spec.fingerprint == f"{whole.spec.fingerprint}-int8"
    small.model.double()
    drafter = Lookup()
    drafter.bind(small)
    plain = Autoregress(small, Sampling()).generate(PROMPTS, 16).tokens
    assert Speculate(small, drafter, 3, Sampling()).generate(PROMPTS, 16).tokens == plain
    with pytest.raises(UserError, match=r"quantize=int3 was given: choose null, int8 or int4"):
        HFCausalTarget.open(folder, quantize="int3")


def test_without_torchao_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}")

    monkeypatch.setattr("importlib.import_module", missing)
    with pytest.raises(UserError, match=r"int8 does not work here .*pip install torchao"):
        quantize.quantize_weights(torch.nn.Linear(4, 4), "int8")


def test_a_model_that_is_spread_says_the_same(tmp_path: Path) -> None:
    """Over all devices of this machine, by accelerate."""
    folder = saved(tmp_path, "gemma2")
    tokens_BT = torch.tensor([PROMPTS[0]])
    one, spread = (
        HFCausalTarget.open(folder, devices=devices).forward(tokens_BT).hidden_BPD.cpu()
        for devices in (None, "auto")
    )
    assert torch.allclose(one, spread, atol=1e-5)


@pytest.mark.parametrize("kind", ["qwen3", "gemma2"])
def test_layers_between_hooks_say_the_same(kind: str) -> None:
    """As accelerate sets them where layers stand on several devices; there is one here."""
    model = network(kind, torch.float32)
    tokens_BT = torch.tensor([PROMPTS[0]])
    wanted = model(tokens_BT, use_cache=False).logits
    hooked = dispatch_model(model, {"": "cpu"}, force_hooks=True)
    target = HFCausalTarget(checked_model(hooked, 128, "random"), "random")
    told = target.unembed(target.forward(tokens_BT).hidden_BPD)
    assert (told - wanted).abs().max() < 1e-4
    some_U = torch.tensor([3, 9])
    narrowed = target.unembed_subset(some_U)(target.forward(tokens_BT).hidden_BPD)
    assert torch.allclose(narrowed, told[..., some_U], atol=1e-5)


def test_what_would_lie_on_disk_is_told(tmp_path: Path) -> None:
    folder = saved(tmp_path, "qwen3")
    with pytest.raises(UserError, match=r"does not decode with weights on disk|cannot be loaded"):
        HFCausalTarget.open(folder, devices="disk")


def test_half_precision_is_known_from_the_weights(tmp_path: Path) -> None:
    """Where config.json does not say it."""
    network("qwen3", torch.bfloat16).save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    path.write_text(path.read_text().replace('"dtype": "bfloat16",', ""))
    assert (
        open_hf(tmp_path, torch.device("cpu"), lambda stored: stored).model.dtype == torch.bfloat16
    )


def test_a_name_on_the_hub_is_a_folder_in_its_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the hub's library lays it out; without a network what is not there is told."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    commit = "0" * 40
    repository = tmp_path / "models--some--model"
    folder = saved(repository / "snapshots" / commit, "qwen2")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    assert local_path("some/model") == folder
    assert local_path(folder) == folder
    assert HFCausalTarget.open("some/model").spec.name == "some/model"
    with pytest.raises(
        UserError, match=r"other/model does not exist here and could not be downloaded"
    ):
        local_path("other/model")
    with pytest.raises(UserError, match="does not exist"):
        LlamaTarget.open("no/such/path")
