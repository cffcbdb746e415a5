"""Hugging Face folders of a Llama: config.json beside one or several safetensors."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from litdraft.errors import UserError
from litdraft.models.checkpoint import Part
from litdraft.models.files import read_json, replacing
from litdraft.models.hf_config import read_config, read_ends, write_config
from litdraft.models.llama import Llama, LlamaConfig

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
EMBEDDING, HEAD = "model.embed_tokens.weight", "lm_head.weight"
FLOATS = frozenset({"F64", "F32", "F16", "BF16"})


class Place(NamedTuple):
    """Where one tensor of a folder stands in Llama's state, where several are fused to one."""

    name: str
    state: str
    first_row: int
    shape: tuple[int, ...]


class Stored(NamedTuple):
    """What a safetensors header says of one tensor."""

    path: Path
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class HFFolder:
    """An opened folder; `files` says which file holds each place."""

    name: str
    config: LlamaConfig
    bos: int | None
    eos: tuple[int, ...]
    files: dict[Place, Path]

    def parts(self) -> Iterator[Part]:
        with ExitStack() as stack:
            opened = {
                path: stack.enter_context(safe_open(path, framework="pt"))
                for path in set(self.files.values())
            }
            for place, path in self.files.items():
                yield Part(place.state, place.first_row, opened[path].get_tensor(place.name))


def layout(config: LlamaConfig) -> Iterator[Place]:
    """Every tensor of a folder, by Hugging Face's names."""
    width, inner = config.width, config.inner
    queries, keys = config.heads * config.head_width, config.kv_heads * config.head_width
    yield Place(EMBEDDING, "embedding.weight", 0, (config.vocabulary, width))
    for layer in range(config.layers):
        theirs, ours = f"model.layers.{layer}.", f"blocks.{layer}."
        for name, state, first_row, shape in (
            ("input_layernorm", "attention_norm", 0, (width,)),
            ("self_attn.q_proj", "qkv", 0, (queries, width)),
            ("self_attn.k_proj", "qkv", queries, (keys, width)),
            ("self_attn.v_proj", "qkv", queries + keys, (keys, width)),
            ("self_attn.o_proj", "out", 0, (width, queries)),
            ("post_attention_layernorm", "mlp_norm", 0, (width,)),
            ("mlp.gate_proj", "gate_up", 0, (inner, width)),
            ("mlp.up_proj", "gate_up", inner, (inner, width)),
            ("mlp.down_proj", "down", 0, (width, inner)),
        ):
            yield Place(f"{theirs}{name}.weight", f"{ours}{state}.weight", first_row, shape)
    yield Place("model.norm.weight", "norm.weight", 0, (width,))
    if not config.tied:
        yield Place(HEAD, "head.weight", 0, (config.vocabulary, width))


def open_hf_folder(folder: Path) -> HFFolder:
    """Read config.json and the tensors' headers; UserError unless they agree."""
    config = read_config(folder / "config.json")
    bos, eos = read_ends(folder, config.vocabulary)
    source, stored = read_headers(folder)
    config = replace(config, tied=config.tied and _agree(stored))
    files = {place: _find(place, stored, source) for place in _places(config, stored)}
    _refuse_strangers(config, set(stored) - {place.name for place in files}, source)
    return HFFolder(folder.resolve().name, config, bos, eos, files)


def read_headers(folder: Path) -> tuple[Path, dict[str, Stored]]:
    """Where a folder says what weights it has, and the headers of all of them."""
    source = next((p for p in (folder / WEIGHTS, folder / INDEX) if p.exists()), None)
    if source is None:
        raise UserError(f"{folder} holds neither {WEIGHTS} nor {INDEX}: no other weights are read")
    stored = {}
    for path in [source] if source.name == WEIGHTS else _shards(source):
        stored.update(_header(path))
    return source, stored


def _shards(index: Path) -> list[Path]:
    names = read_json(index).get("weight_map")
    if not isinstance(names, dict) or not all(isinstance(n, str) for n in names.values()):
        raise UserError(f"{index} has no weight_map from tensors to files: restore the file")
    outside = sorted(name for name in names.values() if Path(name).name != name)
    if outside:
        raise UserError(f"{index} names {outside[0]!r}, which is not a file of the same folder")
    return [index.parent / name for name in sorted(set(names.values()))]


def _header(path: Path) -> dict[str, Stored]:
    try:
        with safe_open(path, framework="pt") as file:
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118
            return {
                name: Stored(path, tuple(part.get_shape()), part.get_dtype())
                for name, part in slices.items()
            }
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is not readable as safetensors ({error}): restore it") from error


def _agree(stored: dict[str, Stored]) -> bool:
    """Whether the tensors allow a tied head: stored once, or twice and equal.

    Where config.json says tied and they do not, transformers believes the tensors; so do we.
    """
    if not {EMBEDDING, HEAD} <= stored.keys():
        return True
    if stored[EMBEDDING][1:] != stored[HEAD][1:]:
        return False
    with (
        safe_open(stored[EMBEDDING].path, framework="pt") as one,
        safe_open(stored[HEAD].path, framework="pt") as other,
    ):
        return torch.equal(one.get_tensor(EMBEDDING), other.get_tensor(HEAD))


def _places(config: LlamaConfig, stored: dict[str, Stored]) -> Iterator[Place]:
    for place in layout(config):
        once_as_head = config.tied and place.name == EMBEDDING and EMBEDDING not in stored
        yield place._replace(name=HEAD) if once_as_head and HEAD in stored else place


def _find(place: Place, stored: dict[str, Stored], source: Path) -> Path:
    found = stored.get(place.name)
    if found is None:
        raise UserError(f"{source} holds no tensor {place.name}, which its config.json asks for")
    if found.shape != place.shape:
        raise UserError(
            f"{found.path}: {place.name} has shape {list(found.shape)}, "
            f"but config.json asks for {list(place.shape)}"
        )
    if found.dtype not in FLOATS:
        raise UserError(
            f"{found.path}: {place.name} is stored as {found.dtype}, "
            f"but only {', '.join(sorted(FLOATS))} are read: give weights that are not quantized"
        )
    return found.path


def _refuse_strangers(config: LlamaConfig, names: set[str], source: Path) -> None:
    """A tensor that would be ignored makes another model than the folder's."""
    known = (HEAD,) if config.tied else ()
    strangers = sorted(n for n in names if n not in known and not n.endswith("rotary_emb.inv_freq"))
    if strangers:
        raise UserError(f"{source} holds {strangers[0]}, for which this Llama has no place")


def save_hf_folder(
    model: Llama,
    folder: str | Path,
    dtype: torch.dtype,
    bos: int | None,
    eos: tuple[int, ...],
    extra_files: Iterable[str | Path] = (),
) -> None:
    """Write a folder that LlamaForCausalLM and serving engines load, with copies of extra_files.

    config.json comes last: a folder that has one is whole.
    """
    folder, extras = Path(folder), [Path(extra) for extra in extra_files]
    if missing := [extra for extra in extras if not extra.is_file()]:
        raise UserError(f"{missing[0]} is no file, but was to be copied into {folder}")
    state = model.state_dict()
    tensors = {}
    for name, entry, first_row, shape in layout(model.config):
        rows = state[entry][first_row : first_row + shape[0]]
        tensors[name] = rows.to("cpu", dtype).contiguous()
    with replacing(folder / WEIGHTS) as path:
        save_file(tensors, path, metadata={"format": "pt"})
        path.chmod(0o644)  # the library writes for the owner alone
    for extra in extras:
        with replacing(folder / extra.name) as path:
            shutil.copyfile(extra, path)
    with replacing(folder / "config.json") as path:
        config = write_config(model.config, dtype, bos, eos)
        path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
