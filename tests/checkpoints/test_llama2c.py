"""llama2.c's files, all versions: read as run.c runs them, refused unless header and size agree."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from litdraft.checkpoints.load import load_llama, open_checkpoint
from litdraft.errors import UserError
from litdraft.tokenizers.load import open_tokenizer

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
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
    """How many floats stand after a header."""
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


def arrays(path: Path) -> dict[str, Floats]:
    """The weights of a version-0 file by the names of run.c's struct, in its order."""
    width, inner, layers, heads, kv_heads, vocabulary, context = struct.unpack(
        "<7i", path.read_bytes()[:28]
    )
    weights, head = np.fromfile(path, "<f4", offset=28), width // heads
    shapes: dict[str, tuple[int, ...]] = {
        "embedding": (abs(vocabulary), width),
        "rms_attention": (layers, width),
        "wq": (layers, heads * head, width),
        "wk": (layers, kv_heads * head, width),
        "wv": (layers, kv_heads * head, width),
        "wo": (layers, width, width),
        "rms_ffn": (layers, width),
        "w1": (layers, inner, width),
        "w2": (layers, width, inner),
        "w3": (layers, inner, width),
        "rms_final": (width,),
        "rotary": (context, head),
    }
    if vocabulary < 0:
        shapes["classifier"] = (-vocabulary, width)
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes.values()])
    assert ends[-1] == len(weights)
    parts = np.split(weights, ends[:-1])
    return {
        name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


def run_c(path: Path, tokens: list[int]) -> Array:
    """logits_TV by the arithmetic of llama2.c's forward(), in float64: one head, one pair of
    neighbouring features at a time."""
    width, _, layers, heads, kv_heads, *_ = struct.unpack("<7i", path.read_bytes()[:28])
    head = width // heads
    weights = {name: values.astype(np.float64) for name, values in arrays(path).items()}
    embedding, rms_final = weights["embedding"], weights["rms_final"]
    classifier = weights.get("classifier", embedding)
    rms_attention, rms_ffn = weights["rms_attention"], weights["rms_ffn"]
    wq, wk, wv, wo, w1, w2, w3 = (weights[n] for n in ("wq", "wk", "wv", "wo", "w1", "w2", "w3"))

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
    logits: Array = model.unembed(model.forward(torch.tensor([tokens]))[0])[0].numpy()
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
def test_stories260k_writes_a_story(shared: Path) -> None:
    """Only the right order of weights, the right pairs and the right tokenizer write English."""
    checkpoint = open_checkpoint(shared / "targets/stories260K/stories260K.bin")
    tokenizer = open_tokenizer(shared / "targets/stories260K/tok512.model")
    assert (checkpoint.name, checkpoint.bos, checkpoint.eos) == ("stories260K", 1, (1, 2))
    model, ids = load_llama(checkpoint), [1]
    for _ in range(60):
        hidden_1PD, _ = model.forward(torch.tensor([ids]))
        ids.append(int(model.unembed(hidden_1PD[:, -1]).argmax()))
    story = tokenizer.decode(ids)
    assert story.startswith("Once upon a time, there was a little girl named Lily."), story


LATER = (
    "rms_attention", "rms_ffn", "rms_final", "embedding", "wq", "wk", "wv", "wo", "w1", "w2", "w3",
    "classifier",
)  # fmt: skip


def rewrite(path: Path, version: int, group: int = 0, apart: bool = False) -> Path:
    """A version-0 file as export.py writes versions 1 and 2: in int8, a matrix of a layer at a time
    with its scales behind it; or `apart`, all scales at the end, as it once did."""
    *sizes, vocabulary, context = struct.unpack("<7i", path.read_bytes()[:28])
    given, scales_last = arrays(path), b""
    sizes = [*sizes, abs(vocabulary), context]
    written = struct.pack("<I", 0x616B3432) + struct.pack("<8i", version, *sizes)
    written += struct.pack("<B", vocabulary > 0)
    written += struct.pack("<i", group) if version == 2 else b""
    written += bytes(256 - len(written))
    for name in LATER[: 12 if vocabulary < 0 else 11]:
        if version == 1 or name.startswith("rms"):
            written += given[name].tobytes()
            continue
        for layer in given[name].reshape(-1, *given[name].shape[-2:]):
            numbers, scales = quantized(layer, group)
            written += numbers.tobytes() + (b"" if apart else scales.tobytes())
            scales_last += scales.tobytes() if apart else b""
    made = path.with_name(f"version{version}.bin")
    made.write_bytes(written + scales_last)
    return made


def quantized(weight: Floats, group: int) -> tuple[NDArray[np.int8], Floats]:
    """Q8_0: the largest of a group becomes 127."""
    rows = weight.reshape(-1, group)
    scales = np.abs(rows).max(1) / np.float32(127)
    return np.round(rows / scales[:, None]).astype(np.int8), scales


def dequantized(path: Path, group: int) -> Path:
    """A version-0 file of what is left of its weights, number by number."""
    floats = []
    for name, values in arrays(path).items():
        if not name.startswith("rms") and name != "rotary":
            numbers, scales = quantized(values, group)
            rounded = [
                np.float32(n) * s for row, s in zip(numbers, scales, strict=True) for n in row
            ]
            values = np.array(rounded, np.float32)
        floats.append(values.tobytes())
    made = path.with_name("rounded.bin")
    made.write_bytes(path.read_bytes()[:28] + b"".join(floats))
    return made


def state(path: Path) -> dict[str, torch.Tensor]:
    return load_llama(open_checkpoint(path)).state_dict()


@pytest.mark.parametrize("vocabulary", [17, -17])
def test_version_1_has_the_weights_of_version_0(tmp_path: Path, vocabulary: int) -> None:
    path = write(tmp_path / "model.bin", vocabulary=vocabulary, heads=6, kv_heads=2)
    one, other = open_checkpoint(path), open_checkpoint(rewrite(path, 1))
    assert one.config == other.config
    assert (other.name, other.bos, other.eos) == ("version1", 1, (1, 2))
    given = state(path)
    for name, values in state(rewrite(path, 1)).items():
        assert torch.equal(values, given[name]), name


@pytest.mark.parametrize(
    "changes, group",
    [
        ({"vocabulary": -17}, 24),
        ({"heads": 6, "kv_heads": 2}, 8),  # groups run on across the rows of w2
        ({"width": 6}, 2),  # the scales stand at no multiple of four bytes
    ],
)
def test_version_2_is_dequantized(tmp_path: Path, changes: dict[str, int], group: int) -> None:
    path = write(tmp_path / "model.bin", **changes)
    result, given, rounded = (
        state(p) for p in (rewrite(path, 2, group), path, dequantized(path, group))
    )
    for name, values in result.items():
        assert torch.equal(values, rounded[name]), name
        step = given[name].abs().max() / 127
        assert (values - given[name]).abs().max() <= 0.501 * step, name
    assert not torch.equal(result["embedding.weight"], given["embedding.weight"])


@torch.no_grad()
def test_a_quantized_story_begins_alike(shared: Path, tmp_path: Path) -> None:
    (tmp_path / "whole.bin").symlink_to(shared / "targets/stories260K/stories260K.bin")
    tokens = open_tokenizer(shared / "targets/stories260K/tok512.bin").encode("Once upon a time")
    exact = our_logits(tmp_path / "whole.bin", tokens)
    result = our_logits(rewrite(tmp_path / "whole.bin", 2, 64), tokens)
    assert 0 < np.abs(result - exact).max() < 0.5
    assert (result.argmax(1) == exact.argmax(1)).all()


SPOILT = {
    "truncated": lambda data: data[:-4],
    "oversized": lambda data: data + bytes(4),
    "a byte too long": lambda data: data + bytes(1),
    "byte-swapped": lambda data: np.frombuffer(data[:36], "<i4").byteswap().tobytes() + data[36:],
    "a header cut short": lambda data: data[:20],
    "a header alone": lambda data: data[:256],
    "empty": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
    "noise": lambda data: b"\xff" * len(data),
    "no magic": lambda data: b"ggml" + data[4:],
}


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("spoil", SPOILT.values(), ids=SPOILT.keys())
def test_a_file_unlike_its_header_is_refused_by_name(tmp_path: Path, version: int, spoil) -> None:
    path = write(tmp_path / "model.bin")
    path = rewrite(path, version, 8) if version else path
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(UserError, match=rf"{path.name}.*(truncated|swapped|header)"):
        open_checkpoint(path)


REFUSED = {
    "version 3": (4, struct.pack("<i", 3), "of version 3, but only versions 0, 1 and 2 are read"),
    "more than a flag": (36, b"\2", "has unknown values in its llama2.c version-2 header"),
    "another program's": (41, b"\1", "has unknown values in its llama2.c version-2 header"),
    "no group": (37, struct.pack("<i", 0), "groups of 0 numbers, which do not divide"),
    "an odd group": (37, struct.pack("<i", 5), "groups of 5 numbers, which do not divide"),
    "another group": (37, struct.pack("<i", 4), "its header requires"),
    "no heads": (20, struct.pack("<i", 0), "version-2 checkpoint: its header has .* heads 0"),
    "negative": (28, struct.pack("<i", -17), "its header has .* vocabulary -17"),
}


@pytest.mark.parametrize("at, wrong, message", REFUSED.values(), ids=REFUSED.keys())
def test_a_later_header_is_checked(tmp_path: Path, at: int, wrong: bytes, message: str) -> None:
    path = rewrite(write(tmp_path / "model.bin"), 2, 8)
    data = path.read_bytes()
    path.write_bytes(data[:at] + wrong + data[at + len(wrong) :])
    with pytest.raises(UserError, match=message):
        open_checkpoint(path)


def test_scales_at_the_end_are_noticed(tmp_path: Path) -> None:
    """The file is as long as one whose scales come after each matrix."""
    path = rewrite(write(tmp_path / "model.bin"), 2, 8, apart=True)
    with pytest.raises(UserError, match="no scales after each matrix"):
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
