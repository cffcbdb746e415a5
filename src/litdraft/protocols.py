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

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from litdraft.errors import UserError


@dataclass(frozen=True)
class Sides:
    """An encoder-decoder's text as one row: a source of up to `limit` tokens, which the encoder
    reads at once, then the decoder's `start` token, then what the decoder writes. The prompt is all
    up to the start token, that included; so whatever reads a row's own text may look into the
    source."""

    start: int
    limit: int


@dataclass(frozen=True)
class TargetSpec:
    """The plain facts of a target that a drafter or a report may need."""

    name: str
    vocabulary: int
    width: int
    layers: int
    context: int
    bos: int | None
    eos: tuple[int, ...]
    fingerprint: str = ""  # of its weights: what was written by another target is not its own
    shape: Mapping[str, Any] | None = None  # where it is a Llama: the sizes of `models.llama`
    sides: Sides | None = None  # where it is an encoder-decoder

    def facts(self) -> dict[str, Any]:
        """Plain data that tells targets apart; their sizes are in the fingerprint."""
        told = {part.name: getattr(self, part.name) for part in fields(self)}
        shown = {name: value for name, value in told.items() if name not in ("shape", "sides")}
        return shown if self.sides is None else {**shown, "sides": asdict(self.sides)}


@dataclass
class Context:
    """What is known of every row. Owned by the loop, which writes it in place; drafters only look.

    tokens_BT holds prompt and emitted tokens, then room; the target has read length_B - 1 of them
    (the last one is emitted and unread). known_B counts what was verified, before the cut at the
    end token or at the limit, so known_B >= length_B.
    """

    tokens_BT: Tensor
    length_B: Tensor
    known_B: Tensor
    prompt_B: Tensor
    done_B: Tensor
    row_B: Tensor
    round_B: Tensor

    def unread_B1(self) -> Tensor:
        """Each row's last token, which the target has not read."""
        return self.tokens_BT.gather(1, self.length_B[:, None] - 1)

    def last_BP(self, count: int) -> Tensor:
        """The last `count` known tokens of each row, oldest first (clamped at the row's start)."""
        steps_P = torch.arange(-count, 0, device=self.length_B.device)
        slots_BP = (self.length_B[:, None] + steps_P).clamp_min(0)
        return self.tokens_BT.gather(1, slots_BP)

    def before_BP(self, count: int) -> tuple[Tensor, Tensor]:
        """The `count` tokens before the unread one, oldest first, and their slots, which are below
        zero where there is none."""
        steps_P = torch.arange(-count - 1, -1, device=self.length_B.device)
        return self.last_BP(count + 1)[:, :-1], self.length_B[:, None] + steps_P


@dataclass(frozen=True)
class Seen:
    """What the target has just read and the loop has kept: a prompt, or a round's accepted path.

    tokens_BP are right-padded; count_B says how many count; they stand at start_B and after.
    hidden_BPD is the target's final hidden state for each of them, taps_BPC what was asked for.
    """

    tokens_BP: Tensor
    start_B: Tensor
    count_B: Tensor
    hidden_BPD: Tensor
    taps_BPC: Tensor | None = None

    def last_hidden_BD(self) -> Tensor:
        """The hidden state of each row's last token: where the next draft starts."""
        rows, _, width = self.hidden_BPD.shape
        last_B = (self.count_B - 1).clamp_min(0)
        return self.hidden_BPD.gather(1, last_B.view(rows, 1, 1).expand(rows, 1, width))[:, 0]


@dataclass(frozen=True)
class Proposal:
    """A chain of K drafted tokens a row.

    probs_BKU is the distribution that each token was really drawn from; None says that the draft
    is deterministic (one-hots are never materialized). vocabulary_U, ascending, says which tokens
    its columns are, where those are not all. valid_BK, where given, is a prefix mask: a row may
    propose fewer than K tokens, or none.
    """

    tokens_BK: Tensor
    probs_BKU: Tensor | None = None
    valid_BK: Tensor | None = None
    vocabulary_U: Tensor | None = None


def place_in(vocabulary_U: Tensor | None, tokens_n: Tensor) -> Tensor:
    """Which column of a draft vocabulary each token is; -1 for a token that it lacks."""
    if vocabulary_U is None:
        return tokens_n
    place_n = torch.searchsorted(vocabulary_U, tokens_n.contiguous()).clamp_max(
        len(vocabulary_U) - 1
    )
    return torch.where(vocabulary_U[place_n] == tokens_n, place_n, -1)


def select(tree: Any, rows_n: Tensor) -> Any:
    """These rows of everything in a state: tensors have rows first, anything else that has rows
    knows how to `select` them in place."""
    if isinstance(tree, Tensor):
        return tree[rows_n]
    if hasattr(tree, "select"):
        tree.select(rows_n)
    elif isinstance(tree, list | tuple):
        return type(tree)(select(part, rows_n) for part in tree)
    elif is_dataclass(tree) and not isinstance(tree, type):
        for part in fields(tree):
            setattr(tree, part.name, select(getattr(tree, part.name), rows_n))
    return tree


@dataclass(frozen=True)
class Verdict:
    """What verification decided, before any cut.

    tokens_BP (P = K + 1) are the accepted drafts and then the recovered or bonus token;
    count_B = accepted + 1 of them count. That is also how many tokens the cache keeps: the
    formerly unread token and the accepted drafts. In a row that is done, none of them count.
    """

    tokens_BP: Tensor
    count_B: Tensor
    drafted_B: Tensor

    def unless(self, done_B: Tensor) -> Verdict:
        """The same, but nothing for rows that are done."""
        return Verdict(self.tokens_BP, self.count_B.masked_fill(done_B, 0), self.drafted_B)


@dataclass(frozen=True)
class Certain:
    """One-hot distributions, each certain of one token: greedy decoding, never materialized."""

    tokens_BP: Tensor


@dataclass(frozen=True)
class Reading:
    """Final hidden states (after the final norm) of one pass, and the tapped features."""

    hidden_BPD: Tensor
    taps_BPC: Tensor | None = None


class Cache(Protocol):
    """A target's memory of what it has read. Rolling back is not advancing."""

    length_B: Tensor

    def keep(self, count_B: Tensor) -> None:
        """Advance each row by the first count_B of the tokens just read; forget the others."""

    def within(self, slots: int) -> None:
        """A promise, until the next call of this: no row reaches beyond so many slots, nor further
        behind its prompt than the row of the longest prompt may. So a short context need not pay
        for the room of a long one."""

    def select(self, rows_n: Tensor) -> None:
        """Go on with these rows alone, in this order."""


class Target(Protocol):
    """A frozen model being sped up. Reading and unembedding are apart on purpose: a prompt's
    logits never exist as B x T x V."""

    spec: TargetSpec

    @property
    def device(self) -> torch.device: ...

    @property
    def dtype(self) -> torch.dtype: ...

    def allocate(self, rows: int, room: int) -> Cache:
        """A cache for `rows` rows of `room` tokens; UserError if the model has no such context."""

    def read(
        self,
        tokens_BP: Tensor,
        cache: Cache | None = None,
        taps: tuple[int, ...] = (),
        start_BP: Tensor | None = None,
        prompt_B: Tensor | None = None,
    ) -> Reading:
        """Read tokens behind what the cache holds (without one: from position 0, causally).

        The cache does not advance; its `keep` does. taps are residual streams after layer i,
        0 = the embeddings, concatenated along C. start_BP, for training without a cache, says
        where each token's own text begins in a packed row: texts do not read each other.

        prompt_B is given with whatever begins at position 0, and says how much of it is prompt. An
        encoder-decoder must hear it (see `Sides`): its encoder reads all but the last of those
        tokens, and hidden states there are the encoder's last, as are the taps. With an empty cache
        the prompts alone are read, and what stands behind them is padding.
        """

    def embed(self, tokens: Tensor) -> Tensor: ...

    def unembed(self, hidden_nD: Tensor) -> Tensor: ...

    def best(self, hidden_nD: Tensor) -> Tensor:
        """tokens_n of the largest logit: all that greedy decoding asks for."""

    def narrowed(self, vocabulary_U: Tensor) -> Callable[[Tensor], Tensor]:
        """Unembedding to these tokens alone: hidden_nD -> logits_nU."""

    def weights(self) -> Mapping[str, Tensor]:
        """Its parameters, where it is not fused: what a drafter may begin as."""

    @property
    def compiles(self) -> bool:
        """Whether torch.compile gets through it in seconds: then compile=auto may."""

    @property
    def packs(self) -> bool:
        """Whether it can read packed rows."""

    @property
    def packed(self) -> tuple[Tensor, Tensor] | None:
        """Embedding and unembedding as native operations read them, where the target is fused."""


@dataclass(frozen=True)
class Lesson:
    """Text with the target's hidden states over it: what a drafter learns from.

    hidden_BSD[s] has read tokens_BT[..s] and predicts tokens_BT[s + 1]; S = T - 1. It is None
    where a language model is trained on text alone.
    trained_BS marks the s whose predicted token counts in the loss. start_BS, in packed rows,
    says where the text of x_s begins; prompt_B, in others, how many tokens were given.
    """

    tokens_BT: Tensor
    trained_BS: Tensor
    hidden_BSD: Tensor | None
    taps_BSC: Tensor | None
    k: int
    start_BS: Tensor | None = None
    prompt_B: Tensor | None = None


Teacher = Callable[[Tensor], Tensor]  # flat positions to a target's logits_nV


class Warp(Protocol):
    """From logits to the distribution that tokens are drawn from (see `sampling.Sampling`)."""

    @property
    def greedy(self) -> bool: ...

    @property
    def only_temperature(self) -> float | None:
        """The temperature, if that is all there is to it; 0 is greedy."""

    def probs(self, logits: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Needs:
    """What a drafter asks of the target beside tokens."""

    hidden: bool = False
    taps: tuple[int, ...] = ()


class Drafter(nn.Module, ABC):
    """What proposes tokens. A family implements `propose`, and `observe` if it holds state.

    A trainable family also implements `states` and, unless it uses the target's frozen head,
    `unembed`; on the same tokens `states` equals what `propose` computes (a test per family).
    Attributes set by `bind` stay outside the module registry: the target is never saved, moved
    or trained with the drafter.
    """

    needs: Needs = Needs()
    confident: bool = False  # says how sure it is, and can be told by a gate when to stop
    counted: bool = False  # learns by counting its training text once, not by gradients

    @property
    def name(self) -> str:
        """The family's, as its file and its choice on the command line are called."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def vocabulary_U(self) -> Tensor | None:
        """The tokens it can draft, ascending; None for all."""
        return None

    @property
    def sides(self) -> Sides | None:
        """How it lays out its text, where it is an encoder-decoder; a target's rows are the
        target's own."""
        return None

    @property
    def most_drafts(self) -> int | None:
        """The most tokens it can draft; None where there is no limit."""
        return None

    def check_length(self, k: int) -> None:
        """UserError if it cannot draft k tokens."""
        if self.most_drafts is not None and k > self.most_drafts:
            raise UserError(
                f"k={k} was given, but this drafter={self.name} was made to "
                f"draft {self.most_drafts}: give a k up to that, or train another one"
            )

    def meet(self, tokenizer: Any) -> None:
        """Hear of the target's tokenizer (`models.tokenizer`), where a family has one of its own;
        UserError if they do not go together."""
        return None

    def learn_vocabulary(self, counts_V: Tensor) -> None:
        """Which tokens to draft, from how often each stands in a text."""
        return None

    def prepare(self, counts_V: Callable[[], Tensor]) -> None:
        """Before a training that starts anew, already bound: take over what the target or the text
        gives. counts_V tells how often each token stands in the training text."""
        if self.vocabulary_U is not None:
            self.learn_vocabulary(counts_V())

    def count(self, texts: Iterable[Tensor]) -> None:
        """Learn from whole texts, tokens_T each: what `counted` families do instead of training."""
        raise NotImplementedError(f"{type(self).__name__} does not learn by counting")

    def forget(self) -> None:
        """Lose what earlier decoding taught, where a family remembers: measurements begin so."""
        return None

    def fuse(self, dtype: torch.dtype) -> None:
        """Make ready for decoding on a CPU beside a fused target, with weights of this type: what a
        family can do faster by native operations. The same proposals up to rounding."""
        return None

    def compute_in(self, dtype: torch.dtype) -> None:
        """Make ready for decoding beside a target of this type that is not fused: what a family
        that is a large model does in the same type. The same proposals up to rounding."""
        return None

    def bind(self, target: Target) -> None:
        """Remember the target whose embedding and unembedding this drafter may borrow. UserError
        if that has not the layers it taps."""
        beyond = [tap for tap in self.needs.taps if tap > target.spec.layers]
        if beyond:
            raise UserError(
                f"drafter={self.name} taps layer {beyond[0]}, but {target.spec.name} has "
                f"{target.spec.layers}: tap others, or choose another target"
            )
        self.__dict__["target"] = target

    def allocate(self, rows: int, room: int, k: int) -> Any:
        """The state of `rows` rows, for a loop that drafts k; None for a family without state."""
        return None

    def observe(self, state: Any, seen: Seen, context: Context) -> None:
        """Take in what was read and kept; the same act for the prompt and for every round."""
        return None

    @abstractmethod
    def propose(
        self, state: Any, context: Context, k: int, warp: Warp, uniforms_BK: Tensor
    ) -> Proposal:
        """Draft k tokens behind each row's unread token, drawing with the uniforms given."""

    def states(self, lesson: Lesson) -> Tensor:
        """Teacher-forced states_BSKC: [s, j] predicts token s + 1 in the round begun at s - j.

        K may be 1 for a family whose state at s does not depend on where the round began.
        Entries with s < j belong to no round and are never read.
        """
        raise NotImplementedError(f"{type(self).__name__} cannot be trained: it has no states")

    def unembed(self, states_nC: Tensor, j: int) -> Tensor:
        """logits_nU of draft position j (0-based); by default through the target's frozen head."""
        logits: Tensor = self.__dict__["target"].unembed(states_nC)
        return logits

    def matrix(self, j: int) -> Tensor | None:
        """weight_UC, where `unembed` multiplies with this trained parameter and does nothing else:
        training then needs memory for its gradient once instead of twice."""
        return None

    def own_loss(self, states_BSKC: Tensor, lesson: Lesson, teacher: Teacher) -> Tensor | None:
        """The mean loss of what it learns beside its distribution, if anything. The teacher maps
        flat positions to the target's logits_nV."""
        return None

    @torch.no_grad()
    def likelihood(self, lesson: Lesson, warp: Warp) -> Tensor:
        """draft_probs_BSK: how likely this drafter was to draft the token that the text has.

        Entries with s < j belong to no round and are zero. By default from `states`, one text
        at a time so that logits stay small; a family without states says it in its own way.
        """
        states_BSKC, labels_BS = self.states(lesson), lesson.tokens_BT[:, 1:]
        rows, places, columns = states_BSKC.shape[:3]
        probs_BSK = states_BSKC.new_zeros(rows, places, lesson.k)
        place_BS = place_in(self.vocabulary_U, labels_BS)
        for row in range(rows):
            place_S1 = place_BS[row, :, None]
            for j in range(lesson.k):
                if j < columns:  # where there is one, it serves every draft position
                    probs_SU = warp.probs(self.unembed(states_BSKC[row, :, j], j))
                    chosen_S1 = probs_SU.gather(1, place_S1.clamp_min(0))
                    chosen_S = torch.where(place_S1 < 0, 0.0, chosen_S1)[:, 0]
                probs_BSK[row, j + 1 :, j] = chosen_S[j + 1 :]
        return probs_BSK
