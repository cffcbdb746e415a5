"""The typed top of both command lines. Nothing heavy is imported here: --help needs it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STUDIES = ("certainty", "suffixes")


def key(default: Any, description: str) -> Any:
    """A key of the command line with its default and what --help says about it."""
    return field(default=default, metadata={"help": description})


@dataclass
class Common:
    """Keys of train and evaluate alike; `drafter=null` and the like empty a group."""

    target: Any = None
    drafter: Any = None
    data: Any = None
    name: str = key("run", "the run folder is outputs/NAME; by default made of the choices")
    k: int = key(3, "draft tokens per round")
    seed: int = key(0, "of every random number")
    devices: int = key(1, "processes, one device each")
    dtype: str = key(
        "float32", "of the target's weights: float32, bfloat16, float16, float64, auto"
    )
    temperature: float = key(0.0, "0 is greedy")
    top_k: int = key(0, "sample from the k likeliest tokens; 0: all")
    top_p: float = key(1.0, "sample from the likeliest tokens with this much mass; 1: all")


@dataclass
class Train(Common):
    """Keys of train."""

    resume: bool = key(False, "continue an interrupted run; give its name=")
    start: str | None = key(None, "begin with the weights of another run's drafter: its folder")
    evaluate: bool | None = key(None, "evaluate after training; null: in sweeps only")
    probe_prompts: int = key(8, "prompts on which each epoch ends with the real decode loop")
    save_minutes: float = key(5.0, "minutes between checkpoints inside an epoch")
    tokenizer_pieces: int | None = key(None, "with target=null: size of the tokenizer to train")
    objective: Any = None
    teacher: Any = None
    optimizer: Any = None
    schedule: Any = None
    trainer: Any = None
    logger: Any = None
    evaluation: dict[str, Any] = field(
        default_factory=dict,
        metadata={"help": "keys of evaluate for the evaluation after training: evaluation.k=auto"},
    )


@dataclass
class Evaluate(Common):
    """Keys of evaluate."""

    dtype: str = key("auto", "of the weights; auto: as stored, if that is fast here")
    k: Any = key(  # noqa: RUF009
        3, "draft tokens per round; auto: the fastest by measured costs"
    )
    decoding: Any = None
    run: str | None = key(None, "a run folder: restores its target, drafter and data")
    study: str | None = key(None, f"study the target alone: {' or '.join(STUDIES)}")
    prompt: str | None = key(None, "continue this text in colour instead of measuring")
    prompts: int = key(32, "held-out prompts to decode")
    max_new_tokens: int = key(128, "tokens to write after each prompt")
    batch: int = key(1, "prompts decoded together")
    fused: bool = key(True, "decode on a CPU by native operations, if they can be built")
    compile: str = key("auto", "torch.compile the rounds: auto, true or false")
    repeats: int = key(1, "times that every batch is timed")
