"""From the data group to a source of text: loader, text and source options, each with its type."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields
from itertools import chain
from typing import Any

from hydra.utils import get_class
from omegaconf import DictConfig, OmegaConf

from litdraft.config.groups import build, group_without
from litdraft.data.sources.base import Source
from litdraft.data.sources.documents import Documents
from litdraft.data.sources.examples import HasTexts
from litdraft.data.sources.mixture import Mixture
from litdraft.data.sources.options import TextOptions
from litdraft.data.sources.prompted import Prompted
from litdraft.errors import UserError
from litdraft.training.options import LoaderOptions

LOADER_KEYS = frozenset(field.name for field in fields(LoaderOptions))
TEXT_KEYS = frozenset(field.name for field in fields(TextOptions))


def loader_of(config: DictConfig) -> LoaderOptions:
    """How rows are batched, and what is validated."""
    if config.data is None:
        return LoaderOptions()
    node: Any = OmegaConf.to_container(config.data, resolve=False)
    return LoaderOptions(**{key: config.data[key] for key in LOADER_KEYS & node.keys()})


def source_of(config: DictConfig) -> Source:
    """The source that the data group names; UserError if it is none."""
    if config.data is None:
        raise UserError("data=null was given: choose data=target_generated or data=text")
    node = group_without(config, "data", LOADER_KEYS)
    if "parts" not in node:
        return _source(node)
    parts = {
        str(name): _source(group_without(config.data.parts, str(name), LOADER_KEYS))
        for name, part in node.parts.items()
        if part is not None
    }
    return Mixture(parts, node.judged)


def _source(node: DictConfig) -> Source:
    """A source by itself, or examples of text with the options that hold for any text."""
    if issubclass(get_class(node._target_), Source):
        source: Source = build(node)
        return source
    values = {str(key): node.pop(key) for key in TEXT_KEYS}
    options = TextOptions(**{**values, "temperatures": tuple(values["temperatures"])})
    examples = build(node)
    return Documents(examples, options) if examples.documents else Prompted(examples, options)


def texts_of(source: Source) -> Iterable[str]:
    """Text to train on, as a tokenizer may be; UserError if no part of the source offers any."""
    parts = source.parts.values() if isinstance(source, Mixture) else [source]
    examples = [part.source for part in parts if isinstance(part, Documents | Prompted)]
    offered = [some.texts() for some in examples if isinstance(some, HasTexts)]
    if not offered:
        raise UserError(
            "target=null needs a text to learn from: choose data=text, books, restoration, wmt14 "
            "or cnn_dailymail"
        )
    return chain.from_iterable(offered)
