"""llama2.c's version-0 files: read as run.c runs them, refused unless header and size agree."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from litdraft.errors import UserError
from litdraft.models.tokenizer import open_tokenizer
from litdraft.models.weights import load_llama, open_checkpoint

Array = NDArray[np.float64]
HEADER = {
    "width": 24,
    "inner": 20,
    "layers": 2,
    "heads": 3,
    "kv_heads": 3,
    "vocabulary": 17,
    "context": 12,
}


def size_of(header: dict[str, int]) -> int:
    """How many floats stand behind a header."""
    width, inner, layers, heads, kv_heads, vocabulary, context = header.values()
    keys = width // heads * kv_heads
    layer = 2 * width + 2 * width * width + 2 * keys * width + 3 * inner * width
    heads_own = vocabulary < 0
    rotary = context * (width // heads)
    return abs(vocabulary) * width * (1 + heads_own) + layers * layer + width + rotary


def write(path: Path, **changes: int) -> Path:
    header = HEADER | changes
    floats = 0.4 * np.random.default_rng(0).standard_normal(size_of(header))
    path.write_bytes(struct.pack("<7i", *header.values()) + floats.astype("<f4").tobytes())
    return path


def run_c(path: Path, tokens: list[int]) -> Array:
    """logits_TV by the arithmetic of llama2.c's forward(), in float64: one head, one pair of
    neighbouring features at a time, weights cut from the file in the order of its struct."""
    width, inner, layers, heads, kv_heads, vocabulary, context = struct.unpack(
        "<7i", path.read_bytes()[:28]
    )
    weights = np.fromfile(path, "<f4", offset=28).astype(np.float64)
    head = width // heads

    def cut(*shape: int) -> Array:
        nonlocal weights
        taken, weights = np.split(weights, [int(np.prod(shape))])
        return taken.reshape(shape)

    embedding = cut(abs(vocabulary), width)
    rms_attention = cut(layers, width)
    wq, wk, wv = (cut(layers, n * head, width) for n in (heads, kv_heads, kv_heads))
    wo, rms_ffn = cut(layers, width, width), cut(layers, width)
    w1, w2, w3 = cut(layers, inner, width), cut(layers, width, inner), cut(layers, inner, width)
    rms_final, _rotary = cut(width), cut(context, head)
    classifier = embedding if vocabulary > 0 else cut(-vocabulary, width)
    assert not weights.size

    def rms(x: Array, weight: Array) -> Array:
        return weight * x / np.sqrt((x * x).mean() + 1e-5)

    def turn(x: Array, position: int) -> Array:
        pairs = x.reshape(-1, head // 2, 2)
        angle = position * 10000.0 ** (-np.arange(0, head, 2) / head)
        turned = (pairs[..., 0] + 1j * pairs[..., 1]) * np.exp(1j * angle)
        return np.stack((turned.real, turned.imag), -1).reshape(-1, head)

    keys: list[list[Array]] = [[] for _ in range(layers)]
    values: list[list[Array]] = [[] for _ in range(layers)]
    logits = []
    for position, token in enumerate(tokens):
        x = embedding[token].copy()
        for i in range(layers):
            normed = rms(x, rms_attention[i])
            queries = turn(wq[i] @ normed, position)
            keys[i].append(turn(wk[i] @ normed, position))
            values[i].append((wv[i] @ normed).reshape(-1, head))
            out = []
            for h, query in enumerate(queries):
                kv = h // (heads // kv_heads)
                scores = np.array([k[kv] @ query for k in keys[i]]) / np.sqrt(head)
                shares = np.exp(scores - scores.max())
                shares /= shares.sum()
                out.append(sum(s * v[kv] for s, v in zip(shares, values[i], strict=True)))
            x += wo[i] @ np.concatenate(out)
            normed = rms(x, rms_ffn[i])
            gate = w1[i] @ normed
            x += w2[i] @ (gate / (1 + np.exp(-gate)) * (w3[i] @ normed))
        logits.append(classifier @ rms(x, rms_final))
    return np.stack(logits)


@torch.no_grad()
def our_logits(path: Path, tokens: list[int]) -> Array:
    model = load_llama(open_checkpoint(path), torch.float64)
    logits: Array = model.unembed(model.read(torch.tensor([tokens]))[0])[0].numpy()
    return logits


@pytest.mark.parametrize(
    "changes",
    [{}, {"kv_heads": 1}, {"vocabulary": -17}, {"heads": 6, "kv_heads": 2, "vocabulary": -17}],
    ids=["tied", "grouped queries", "untied", "grouped queries, untied"],
)
def test_logits_are_those_of_run_c(tmp_path: Path, changes: dict[str, int]) -> None:
    path = write(tmp_path / "model.bin", **changes)
    tokens = [1, 16, 3, 3, 9, 0, 12, 5]
    np.testing.assert_allclose(our_logits(path, tokens), run_c(path, tokens), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["stories260K/stories260K.bin", "llama2xs_279K/model.bin"])
def test_trained_models_run_as_in_run_c(shared: Path, name: str) -> None:
    path = shared / "targets" / name
    tokens = [1, 403, 407, 261, 378, 432, 500, 4, 77, 300]
    np.testing.assert_allclose(our_logits(path, tokens), run_c(path, tokens), rtol=0, atol=1e-9)


@torch.no_grad()
def test_stories260k_tells_a_story(shared: Path) -> None:
    """Only the right order of weights, the right pairs and the right tokenizer write English."""
    checkpoint = open_checkpoint(shared / "targets/stories260K/stories260K.bin")
    tokenizer = open_tokenizer(shared / "targets/stories260K/tok512.model")
    assert (checkpoint.name, checkpoint.bos, checkpoint.eos) == ("stories260K", 1, (1, 2))
    model, ids = load_llama(checkpoint), [1]
    for _ in range(60):
        hidden_1PD, _ = model.read(torch.tensor([ids]))
        ids.append(int(model.unembed(hidden_1PD[:, -1]).argmax()))
    story = tokenizer.decode(ids)
    assert story.startswith("Once upon a time, there was a little girl named Lily."), story


SPOILT = {
    "truncated": lambda data: data[:-4],
    "oversized": lambda data: data + bytes(4),
    "a byte too long": lambda data: data + bytes(1),
    "byte-swapped": lambda data: struct.pack(">7i", *HEADER.values()) + data[28:],
    "version 1 or 2": lambda data: b"24ka" + data[4:],
    "a header cut short": lambda data: data[:20],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "noise": lambda data: b"\xff" * len(data),
}


@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_file_unlike_its_header_is_refused_by_name(tmp_path: Path, spoil) -> None:
    path = write(tmp_path / "model.bin")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=r"model\.bin"):
        open_checkpoint(path)


def test_later_versions_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "model.bin"
    path.write_bytes(struct.pack("<2i", 0x616B3432, 1) + bytes(300))
    with pytest.raises(UserError, match="only version 0 is read"):
        open_checkpoint(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"width": 25},  # heads do not divide it
        {"width": 27},  # heads of odd width have no pairs
        {"kv_heads": 2},
        {"kv_heads": 0},
        {"layers": 0},
        {"context": -12},
        {"layers": 2**31 - 1, "vocabulary": 2**31 - 1},
    ],
)
def test_a_nonsense_header_is_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    path = write(tmp_path / "model.bin")
    header = struct.pack("<7i", *(HEADER | changes).values())
    path.write_bytes(header + path.read_bytes()[28:])
    with pytest.raises(UserError, match=r"model\.bin.*header"):
        open_checkpoint(path)
