"""Meta's params.json, and what it does not contain: context, rotary scaling, end tokens."""

from __future__ import annotations

from litdraft.checkpoints.config_keys import ConfigKeys
from litdraft.networks.llama import LlamaConfig, RopeScaling

LLAMA_3 = 128_256  # its vocabulary; the last 256 ids are special tokens


def read_params(keys: ConfigKeys, vocabulary: int, inner: int, tied: bool) -> LlamaConfig:
    """The Llama described by params.json and by its tensors' shapes: vocabulary, SwiGLU width and
    whether the output is the embedding. UserError if a key is invalid or contradicts them.

    Keys and defaults are those of ModelArgs in github.com/meta-llama/llama and llama-models; all
    Llama 3 folders give rope_theta, Llama 2's mean 10,000.
    """
    width, heads = keys.count("dim"), keys.count("n_heads")
    if width % (2 * heads):
        raise keys.error(
            "dim", f"a multiple of {2 * heads}, so that each of {heads} heads has an even width"
        )
    kv_heads = keys.count("n_kv_heads", heads)
    if heads % kv_heads:
        raise keys.error("n_kv_heads", f"a divisor of the {heads} attention heads")
    if keys.values.get("vocab_size") not in (None, -1, vocabulary):
        raise keys.error("vocab_size", f"-1 or {vocabulary}, the rows of its embedding")
    theta, scaling = keys.number("rope_theta", 10000.0), _scaling(keys, tied)
    return LlamaConfig(
        vocabulary=vocabulary,
        width=width,
        layers=keys.count("n_layers"),
        heads=heads,
        kv_heads=kv_heads,
        head_width=width // heads,
        inner=inner,
        context=_context(vocabulary, theta, scaling is not None),
        norm_eps=keys.number("norm_eps", 1e-5),
        rope_theta=theta,
        rope_scaling=scaling,
        tied=tied,
    )


def _scaling(keys: ConfigKeys, tied: bool) -> RopeScaling | None:
    """The factor is 8 for Llama 3.1 and 3.3, and 32 for Llama 3.2's small models, which are tied.

    The folders of both only have use_scaled_rope; see llama-models' issues 166 and 241, and the
    config.json of the same models.
    """
    if not keys.flag("use_scaled_rope"):
        return None
    factor = keys.number("rope_scaling_factor", 32.0 if tied else 8.0)
    scaling = RopeScaling(factor, 1.0, keys.number("rope_high_freq_factor", 4.0), 8192)
    if scaling.high_freq_factor <= scaling.low_freq_factor:
        raise keys.error("rope_high_freq_factor", f"above {scaling.low_freq_factor}")
    return scaling


def _context(vocabulary: int, theta: float, scaled: bool) -> int:
    """The trained context of the family: Llama 3.1 and later, 3, Code Llama, 2."""
    if scaled:
        return 131_072
    if vocabulary == LLAMA_3:
        return 8192
    return 16_384 if theta > 10000 else 4096


def special_ids(vocabulary: int) -> tuple[int, tuple[int, ...]]:
    """BOS, and every id that ends a text: Llama 3's <|begin_of_text|>, and <|end_of_text|>,
    <|eom_id|>, <|eot_id|>; before it SentencePiece's 1 and 2."""
    if vocabulary == LLAMA_3:
        return 128_000, (128_001, 128_008, 128_009)
    return 1, (2,)
