"""Folders as Meta's model-parallel ranks write them, and what those ranks would compute."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litdraft.networks.llama import Llama

# fairscale's layers in Meta's model.py: ColumnParallelLinear splits what comes out of a matrix, its
# rows; RowParallelLinear what goes in, its columns. Norms are whole in_every_shard.
SPLIT = {"wq": 0, "wk": 0, "wv": 0, "wo": 1, "w1": 0, "w2": 1, "w3": 0, "output": 0}


def meta_state(model: Llama) -> dict[str, Tensor]:
    """Llama's weights by Meta's names, whole; rotary pairs become neighbours, row by row."""
    config, state = model.config, model.state_dict()
    head, half = config.head_width, config.head_width // 2
    order = [i // 2 + half * (i % 2) for i in range(head)]

    def paired(rows_nD: Tensor) -> Tensor:
        return rows_nD[[at + i for at in range(0, len(rows_nD), head) for i in order]]

    message = {
        "tok_embeddings.weight": state["embedding.weight"],
        "norm.weight": state["norm.weight"],
    }
    message["output.weight"] = state.get("head.weight", state["embedding.weight"])
    queries, keys = config.heads * head, config.kv_heads * head
    for i in range(config.layers):
        ours, theirs = f"blocks.{i}.", f"layers.{i}."
        q, k, v = state[ours + "qkv.weight"].split((queries, keys, keys))
        gate, up = state[ours + "gate_up.weight"].chunk(2)
        for name, weight in (
            ("attention.wq", paired(q)), ("attention.wk", paired(k)), ("attention.wv", v),
            ("attention.wo", state[ours + "out.weight"]), ("feed_forward.w1", gate),
            ("feed_forward.w3", up), ("feed_forward.w2", state[ours + "down.weight"]),
            ("attention_norm", state[ours + "attention_norm.weight"]),
            ("ffn_norm", state[ours + "mlp_norm.weight"]),
        ):  # fmt: skip
            message[f"{theirs}{name}.weight"] = weight
    return message


def save_meta(model: Llama, folder: Path, shards: int = 1, split: int = 0, **params: Any) -> Path:
    """params.json and `shards` files; the embedding is split by rows (0) or by columns (1)."""
    config = model.config
    pieces: list[dict[str, Tensor]] = [{} for _ in range(shards)]
    for name, weight in meta_state(model).items():
        layer = name.split(".")[-2]
        along = split if layer == "tok_embeddings" else SPLIT.get(layer)
        parts = [weight] * shards if along is None else weight.chunk(shards, along)
        for piece, part in zip(pieces, parts, strict=True):
            piece[name] = part.clone()
    folder.mkdir(parents=True, exist_ok=True)
    for number, piece in enumerate(pieces):
        torch.save(piece, folder / f"consolidated.{number:02}.pth")
    message = {
        "dim": config.width, "n_layers": config.layers, "n_heads": config.heads,
        "n_kv_heads": config.kv_heads, "vocab_size": -1, "multiple_of": 256,
        "norm_eps": config.norm_eps, "rope_theta": config.rope_theta, **params,
    }  # fmt: skip
    kept = {key: value for key, value in message.items() if value is not None}
    (folder / "params.json").write_text(json.dumps(kept))
    return folder


def meta_logits(folder: Path, tokens_T: Tensor) -> Tensor:
    """logits_TV as Meta's model.py has its ranks compute them, in float64: every rank has its own
    heads and its own share of the feed-forward width, and sums are taken over the ranks."""
    params = json.loads((folder / "params.json").read_text())
    ranks = [
        {name: weight.double() for name, weight in torch.load(path, weights_only=True).items()}
        for path in sorted(folder.glob("*.pth"))
    ]
    head = params["dim"] // params["n_heads"]
    group = params["n_heads"] // params["n_kv_heads"]
    length = len(tokens_T)
    frequencies = params["rope_theta"] ** -(torch.arange(0, head, 2).double() / head)
    turns = torch.outer(torch.arange(length).double(), frequencies)
    turns_T1e = torch.polar(torch.ones_like(turns), turns)[:, None]

    def norm(x_TD: Tensor, weight: Tensor) -> Tensor:
        scale = (x_TD.square().mean(-1, keepdim=True) + params["norm_eps"]).rsqrt()
        return x_TD * scale * weight

    def turn(x_THE: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x_THE.reshape(*x_THE.shape[:2], -1, 2).contiguous())
        return torch.view_as_real(pairs * turns_T1e).flatten(2)

    def attend(x_TD: Tensor, rank: dict[str, Tensor], at: str) -> Tensor:
        q, k, v = ((x_TD @ rank[f"{at}.w{n}.weight"].T).unflatten(1, (-1, head)) for n in "qkv")
        q, k, v = turn(q), turn(k).repeat_interleave(group, 1), v.repeat_interleave(group, 1)
        scores_HTT = torch.einsum("thd,shd->hts", q, k) / head**0.5
        later = torch.ones(length, length, dtype=torch.bool).triu(1)
        shares_HTT = scores_HTT.masked_fill(later, -torch.inf).softmax(-1)
        mixed_TD = torch.einsum("hts,shd->thd", shares_HTT, v).flatten(1)
        return mixed_TD @ rank[f"{at}.wo.weight"].T

    def feed(x_TD: Tensor, rank: dict[str, Tensor], at: str) -> Tensor:
        gate = torch.nn.functional.silu(x_TD @ rank[f"{at}.w1.weight"].T)
        return (gate * (x_TD @ rank[f"{at}.w3.weight"].T)) @ rank[f"{at}.w2.weight"].T

    tables = [rank["tok_embeddings.weight"] for rank in ranks]
    by_columns = tables[0].shape[1] < params["dim"]
    x_TD = torch.cat(tables, 1 if by_columns else 0)[tokens_T]
    for i in range(params["n_layers"]):
        normed = norm(x_TD, ranks[0][f"layers.{i}.attention_norm.weight"])
        x_TD = x_TD + sum(attend(normed, rank, f"layers.{i}.attention") for rank in ranks)
        normed = norm(x_TD, ranks[0][f"layers.{i}.ffn_norm.weight"])
        x_TD = x_TD + sum(feed(normed, rank, f"layers.{i}.feed_forward") for rank in ranks)
    normed = norm(x_TD, ranks[0]["norm.weight"])
    return torch.cat([normed @ rank["output.weight"].T for rank in ranks], -1)
