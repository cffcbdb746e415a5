"""What the parts promise each other.

Shapes live in names. The legend, once:

    B  rows (sequences)      T  context tokens        P  tokens in this pass
    K  draft positions       V  vocabulary            D  target width
    U  draft vocabulary: V, or the part of it that a drafter can draft
    C  state width of a drafter, or tapped features   n  anything flattened
    S  predicting positions of a text (s reads x_s and predicts x_{s+1}); inside an encoder-decoder
       the tokens of a source

Alignment. The target has read x_1..x_t; hidden_t gives p(x_{t+1}). x_{t+1} is already known when
drafting begins: the last verification emitted it and the target has not read it. Draft position j
(1-based) predicts x_{t+1+j}, and its teacher is the target's own distribution at s = t + j. So one
teacher row at s serves every pair (t = s - j, j), and everything in training is indexed by (s, j).
"""

from litdraft.protocols.batch import Teacher, TrainingBatch
from litdraft.protocols.capabilities import (
    Confident,
    Counted,
    LimitedLength,
    ReadsSource,
    Replayable,
    StopRule,
    Tokenized,
    Trainable,
    check_length,
    counts,
    layout_of,
    longest_draft,
)
from litdraft.protocols.context import Context, Observation, pass_path, select
from litdraft.protocols.drafter import Drafter, Needs, Unregistered
from litdraft.protocols.proposal import GreedyTokens, Proposal, Verdict, vocabulary_index
from litdraft.protocols.target import (
    Cache,
    EncoderDecoderLayout,
    Target,
    TargetOutput,
    TargetSpec,
    encoder_kwargs,
)
from litdraft.protocols.tree import Tree

__all__ = [
    "Cache",
    "Confident",
    "Context",
    "Counted",
    "Drafter",
    "EncoderDecoderLayout",
    "GreedyTokens",
    "LimitedLength",
    "Needs",
    "Observation",
    "Proposal",
    "ReadsSource",
    "Replayable",
    "StopRule",
    "Target",
    "TargetOutput",
    "TargetSpec",
    "Teacher",
    "Tokenized",
    "Trainable",
    "TrainingBatch",
    "Tree",
    "Unregistered",
    "Verdict",
    "check_length",
    "counts",
    "encoder_kwargs",
    "layout_of",
    "longest_draft",
    "pass_path",
    "select",
    "vocabulary_index",
]
