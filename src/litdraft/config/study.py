"""From a composed config to a study of a target alone: study=certainty and study=suffixes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from omegaconf import DictConfig
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue

from litdraft.config.data import loader_of, source_of, texts_of
from litdraft.config.evaluation import open_target, open_tokenizer
from litdraft.data.sources.base import Source
from litdraft.data.sources.target_generated import TargetGenerated
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec
from litdraft.studies.options import StudyOptions, StudyParts
from litdraft.studies.run import study_certainty, study_suffixes
from litdraft.targets.devices import named_dtype
from litdraft.tokenizers.load import open_tokenizer as open_tokenizer_file


def study(config: DictConfig, folder: Path) -> float:
    """What config.study names, written into the run folder; the figure that a sweep compares."""
    if config.devices != 1:
        raise UserError(
            f"devices={config.devices} was given, but study={config.study} runs on one device"
        )
    return STUDIES[config.study](config, folder)


def _certainty(config: DictConfig, folder: Path) -> float:
    """The share of positions at which the target is certain (0.99)."""
    if config.target is None:
        raise UserError("target=null was given: study=certainty needs a target")
    parts = StudyParts(
        open_target=partial(open_target, config),
        open_tokenizer=partial(open_tokenizer, config),
        open_source=partial(_open_source, config),
        cache=Path(loader_of(config).cache),
    )
    options = StudyOptions(
        prompts=config.prompts,
        max_new_tokens=config.max_new_tokens,
        seed=config.seed,
        dtype=named_dtype(config.dtype),
        native=config.fused,
    )
    _, figures = study_certainty(parts, options, folder).last_texts
    return figures.share[2]


def _open_source(config: DictConfig, spec: TargetSpec, max_new_tokens: int) -> Source:
    """Whole documents are cut so that every prompt leaves space for what the target writes."""
    whole = config.data is not None and config.data.get("length", 0) is None
    if whole and max_new_tokens < spec.context:
        config = config.copy()
        config.data.length = spec.context - max_new_tokens
    return source_of(config)


def _suffixes(config: DictConfig, folder: Path) -> float:
    """How many there are."""
    try:
        path = config.target.tokenizer
    except (AttributeError, MissingMandatoryValue, InterpolationToMissingValueError):
        raise UserError(
            "study=suffixes reads a tokenizer: give target.tokenizer=, or a target that has one"
        ) from None
    name = "/".join(Path(path).parts[-2:])
    report = study_suffixes(open_tokenizer_file(path), name, _texts(config), folder)
    return float(len(report.suffixes))


def _texts(config: DictConfig) -> Iterable[str] | None:
    """The text to count in; None where the data is what a target would have to write."""
    if config.data is None:
        return None
    source = source_of(config)
    return None if isinstance(source, TargetGenerated) else list(texts_of(source))


STUDIES: dict[str, Callable[[DictConfig, Path], float]] = {
    "certainty": _certainty,
    "suffixes": _suffixes,
}
