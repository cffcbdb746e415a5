"""From a composed config to the objects it names."""

from __future__ import annotations

import functools
import inspect
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import fields, replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from hydra.errors import InstantiationException
from hydra.utils import get_object, instantiate
from omegaconf import DictConfig, OmegaConf

from litdraft.data.sources.base import Source
from litdraft.data.sources.documents import Documents
from litdraft.data.sources.mixture import Mixture
from litdraft.data.sources.options import TextOptions
from litdraft.data.sources.prompted import Prompted
from litdraft.errors import UserError
from litdraft.io import replacing
from litdraft.protocols import Drafter, Target, TargetSpec
from litdraft.sampling import Sampling
from litdraft.teachers.base import Teacher
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.load import check_tokenizer, open_tokenizer
from litdraft.tokenizers.sentencepiece import train_sentencepiece
from litdraft.training.datamodule import TextModule

OpenTarget = Callable[[torch.device], Target]

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
    "float64": torch.float64,
}
# Keys of a data group that are not the source's own: the datamodule's, and those of any text.
LOADER_KEYS = (
    "batch_size", "pack", "workers", "validation_prompts", "validation_tokens", "preview", "cache",
)  # fmt: skip
TEXT_KEYS = tuple(field.name for field in fields(TextOptions))


def build(node: DictConfig, **extra: Any) -> Any:
    """Make what a group names from plain arguments and runtime objects."""
    # Behind Hydra's back, which would take a dataclass for a config and wrap what is raised.
    return maker(node)(**extra)


def maker(node: DictConfig) -> Callable[..., Any]:
    """What a group names, to be called with what only the run knows."""
    try:
        made: Callable[..., Any] = instantiate(node, _convert_="all", _partial_=True)
        return made
    except InstantiationException as error:
        raise UserError(str(error).splitlines()[0]) from error


def plain(config: DictConfig) -> dict[str, Any]:
    """The config as plain data, interpolations kept: assets lie elsewhere on another machine."""
    container = OmegaConf.to_container(config, resolve=False)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def dtype_of(name: str) -> torch.dtype | None:
    """None for auto: as the checkpoint is stored, where that is fast."""
    if name != "auto" and name not in DTYPES:
        raise UserError(f"dtype={name} was given: choose one of auto, {', '.join(DTYPES)}")
    return DTYPES.get(name)


def own_device(accelerator: str = "auto") -> torch.device:
    """This process's device, as Lightning will choose it."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
    return torch.device("cpu")


def sampling_of(config: DictConfig) -> Sampling:
    return Sampling(config.temperature, config.top_k, config.top_p)


def samplings_of(config: DictConfig) -> tuple[Sampling, Sampling]:
    """What was asked for, and what stands beside it: greedy, or temperature 1."""
    asked = sampling_of(config)
    return asked, replace(asked, temperature=1.0 if asked.greedy else 0.0)


def target_opener(
    config: DictConfig, dtype: torch.dtype | None, fused: bool = False
) -> OpenTarget | None:
    """Opens the target once a device, `fused` for decoding only; None for target=null."""
    if config.target is None:
        return None
    node = _without(config, "target", ("tokenizer",))

    @functools.cache
    def open_on(device: torch.device) -> Target:
        target: Target = build(node, dtype=dtype, device=device, fused=fused)
        return target

    return open_on


def _writer_opener(config: DictConfig, open_target: OpenTarget | None) -> OpenTarget | None:
    """On a CPU text is written as it is when evaluated, fused and in the fastest type; elsewhere
    the target that teaches writes as well, so that it lies in memory once."""
    if open_target is None:
        return None

    def open_on(device: torch.device) -> Target:
        assert open_target is not None
        fast = target_opener(config, None, fused=True) if device.type == "cpu" else open_target
        assert fast is not None
        return fast(device)

    return open_on


def teacher_of(config: DictConfig) -> Teacher:
    node = _without(config, "teacher", ("path",))
    teacher: Teacher = build(node)
    return teacher


def tokenizer_of(config: DictConfig, target: Target | None, folder: Path) -> Tokenizer:
    """The target's tokenizer; without a target that of the run to start from, or one trained on the
    text, kept in the run folder."""
    if target is not None:
        tokenizer = open_tokenizer(config.target.tokenizer)
        check_tokenizer(tokenizer, target.spec.vocabulary)
        return tokenizer
    if config.tokenizer_pieces is None:
        raise UserError("target=null needs tokenizer_pieces=N: how many pieces to train")
    path = folder / "tokenizer.model"
    if path.exists():
        return open_tokenizer(path)
    if config.get("start") is not None:
        theirs = Path(config.start) / path.name
        if not theirs.is_file():
            raise UserError(
                f"start={config.start} holds no {path.name}, whose ids its weights know: give a "
                "run that was trained with target=null"
            )
        with replacing(path) as temporary:
            shutil.copyfile(theirs, temporary)
        return open_tokenizer(path)
    return train_sentencepiece(texts_of(source_of(config)), config.tokenizer_pieces, path)


def texts_of(source: Source) -> Iterable[str]:
    """Text to train on, as a tokenizer may be; UserError if no part of the source offers any."""
    parts = source.parts.values() if isinstance(source, Mixture) else [source]
    examples = [part.source for part in parts if isinstance(part, Documents | Prompted)]
    offered = [some.texts() for some in examples if hasattr(some, "texts")]
    if not offered:
        raise UserError(
            "target=null needs a text to learn from: choose data=text, books, restoration, wmt14 "
            "or cnn_dailymail"
        )
    return chain.from_iterable(offered)


def source_of(config: DictConfig) -> Source:
    if config.data is None:
        raise UserError("data=null was given: choose data=target_generated or data=text")
    node = _without(config, "data", LOADER_KEYS)
    if "parts" not in node:
        return _source(node)
    parts = {
        str(name): _source(_without(config.data.parts, str(name), LOADER_KEYS))
        for name, part in node.parts.items()
        if part is not None
    }
    return Mixture(parts, node.judged)


def _source(node: DictConfig) -> Source:
    if "truncate" not in node:
        source: Source = build(node)
        return source
    chosen = {key: node.pop(key) for key in TEXT_KEYS}
    chosen["temperatures"] = tuple(chosen["temperatures"])
    choices, examples = TextOptions(**chosen), build(node)
    return Documents(examples, choices) if examples.documents else Prompted(examples, choices)


def datamodule_of(
    config: DictConfig,
    tokenizer: Tokenizer,
    open_target: OpenTarget | None,
    teacher: Teacher,
    drafter: Drafter,
) -> TextModule:
    return TextModule(
        source_of(config),
        tokenizer,
        open_target,
        open_writer=_writer_opener(config, open_target),
        teacher=teacher,
        taps=drafter.needs.taps,
        teacher_path=config.teacher.get("path"),
        pack=config.data.pack,
        workers=config.data.workers,
        batch_size=config.data.batch_size,
        validation_prompts=config.data.validation_prompts,
        max_new_tokens=config.data.validation_tokens,
        k=config.k,
        sampling=sampling_of(config),
        cache=config.data.cache,
        seed=config.seed,
        encoder_decoder=drafter.encoder_decoder,
    )


def drafter_of(config: DictConfig, spec: TargetSpec | None, tokenizer: Tokenizer) -> Drafter:
    if config.drafter is None:
        raise UserError("drafter=null was given: choose one, for instance drafter=lstm")
    node = _without(config, "drafter", ())
    if spec is None and not _alone(get_object(node._target_)):
        raise UserError(
            f"{node._target_} drafts for a target, but target=null was given: choose one, or train "
            "a language model with drafter=transformer"
        )
    drafter: Drafter = build(node, spec=spec)
    drafter.set_tokenizer(tokenizer)
    return drafter


def _alone(family: Callable[..., Any]) -> bool:
    """Whether it can be built without a target."""
    return inspect.signature(family).parameters["spec"].default is None


def _without(config: DictConfig, group: str, keys: tuple[str, ...]) -> DictConfig:
    """A resolved copy of a group, some keys left out; UserError if a key has no value."""
    node: DictConfig = config[group].copy()
    # Interpolations see the whole config through the parent.
    node._set_parent(config)
    node._set_key(group)
    for key in map(str, node):
        if OmegaConf.is_missing(node, key):
            whole = config._get_full_key(f"{group}.{key}")
            raise UserError(f"{whole} has no value: give {whole}=...")
    OmegaConf.set_struct(node, False)
    for key in keys:
        if key in node:
            del node[key]
    OmegaConf.resolve(node)
    return node
