"""An n-gram language model: counted, not trained.

Interpolated Kneser-Ney smoothing with three discounts a length (Chen and Goodman, "An empirical
study of smoothing techniques for language modeling", 1999). Behind a history h,

    p(w | h) = (c(hw) - D(c(hw))) / N(h) + left(h) p(w | h')

where h' is h without its oldest token, N(h) sums c over all that followed h, and left(h) is what
makes the sum one. The longest n-grams count as often as they stand in the text, shorter ones by the
number of different tokens that they stood behind. A history that was never followed leaves all to
the next shorter one, and no history at all leaves the same to every token.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from litdraft.drafters.parts.ngram_counts import Ints, Level, counted, pruned
from litdraft.drafters.parts.stepwise import Stepwise
from litdraft.errors import UserError
from litdraft.protocols import Context, TargetSpec, TrainingBatch

LONGEST = 5
NONE = -1  # the token before a text's beginning, and the node of a history that was never seen
BEHIND_ALL = (1 << 63) - 1  # a key that no history has, so that every search ends at some key
TABLES = ("keys", "first", "drafts", "gained", "left")


@dataclass
class NGramDraft:
    """The histories that a draft under way ends with."""

    nodes_nM: Tensor


class NGram(Stepwise):
    """Histories of up to M = order - 1 tokens, the longest first, are nodes of a trie.

    A token is its own node; the others are numbered behind those as their keys are sorted, node of
    all but the last token x V + that token. The `continuations` tokens that followed a node most
    often stand in `drafts` from first[node] to first[node + 1], and in `gained` what they get of
    its mass; left[node] goes through the shorter history to all tokens. The last entries of `first`
    and `left` make a node -1 behind which nothing stands.
    """

    counts = True
    discount_N4: Tensor  # for each length: D(0), D(1), D(2), D(3 and more)
    unigram_V: Tensor
    keys: Tensor
    first: Tensor
    drafts: Tensor
    gained: Tensor
    left: Tensor

    def __init__(
        self, spec: TargetSpec, order: int = 5, continuations: int = 128, least: int = 2
    ) -> None:
        """n-grams of three tokens and more are dropped where seen less than `least` times. Until
        `count` is called, all tokens are equally likely.

        UserError if order is not 1 to 5, or if the others are not at least 1.
        """
        super().__init__()
        if not 1 <= order <= LONGEST or continuations < 1 or least < 1:
            raise UserError(
                f"drafter=ngram was given order={order}, continuations={continuations}, "
                f"least={least}: order must be 1 to {LONGEST}, the others at least 1"
            )
        self.vocabulary, self.order = spec.vocabulary, order
        self.reach = max(order - 1, 1)  # M
        self.look = self.reach + 1
        self.continuations, self.least = continuations, least
        self.register_buffer("discount_N4", torch.zeros(order, 4))
        self.register_buffer("unigram_V", torch.full((spec.vocabulary,), 1 / spec.vocabulary))
        nothing = torch.zeros(spec.vocabulary + 1, dtype=torch.int32)
        self.register_buffer("keys", torch.tensor([BEHIND_ALL]))
        self.register_buffer("first", nothing)
        self.register_buffer("drafts", nothing[:1].clone())
        self.register_buffer("gained", torch.zeros(1))
        self.register_buffer("left", torch.ones(spec.vocabulary + 1))
        self.most = 0  # tokens in `drafts` behind one node

    def count(self, texts: Iterable[Tensor]) -> None:
        """Learn from texts, tokens_T each, instead of all that was counted before.

        UserError if there are no tokens, or one that the vocabulary lacks.
        """
        given = [np.asarray(text_T.cpu(), np.int64) for text_T in texts if len(text_T)]
        if not given:
            raise UserError("drafter=ngram was given no text to count: it needs at least one token")
        least, most = min(text_T.min() for text_T in given), max(text_T.max() for text_T in given)
        if least < 0 or most >= self.vocabulary:
            raise UserError(
                f"drafter=ngram was given tokens {least} to {most} to count, but its target has "
                f"{self.vocabulary} tokens, from 0: use the target's tokenizer"
            )
        grown = counted(given, self.vocabulary, self.order)
        levels = list(grown if self.least == 1 else pruned(grown, self.least))
        self._set("discount_N4", np.stack([level.discount_4 for level in levels]))
        tokens, given_V = levels[0], levels[0].given_E()
        each_V = tokens.weight_E - given_V + given_V.mean()
        self._set("unigram_V", each_V / tokens.total_P)
        if self.order > 1:
            self._tabulate(levels[1:])

    def _tabulate(self, levels: Sequence[Level]) -> None:
        """Levels 2 and on, each as what follows the nodes of the level below."""
        keys: list[Ints] = []
        followers, drafts, gained, left = [], [], [], []
        node = 0
        for level in levels:
            keys.append((node + level.history_E) * self.vocabulary + level.token_E)
            node += len(level.total_P)
            some = level.most_frequent(self.continuations)
            gained_E = (some.weight_E - some.given_E()) / level.total_P[some.history_E]
            followers.append(some.followers_P())
            drafts.append(some.token_E)
            gained.append(gained_E)
            left.append(1 - np.bincount(some.history_E, gained_E, len(level.total_P)))
        self._set("keys", np.concatenate([*keys[:-1], [BEHIND_ALL]]))  # the longest lead nowhere
        self._set("first", np.concatenate([[0], *followers]).cumsum())
        self._set("drafts", np.concatenate([*drafts, [0]]))
        self._set("gained", np.concatenate([*gained, [0.0]]))
        self._set("left", np.concatenate([*left, [1.0]]))
        self.most = self._most_followers()

    def _most_followers(self) -> int:
        return int(self.first.diff().max())

    def _set(self, name: str, values: NDArray[Any]) -> None:
        """In the buffer's own type and place, but as long as it comes."""
        setattr(self, name, torch.from_numpy(values).to(getattr(self, name)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """How long the tables are depends on what was counted."""
        for name in TABLES:
            if (given := state_dict.get(prefix + name)) is not None:
                setattr(self, name, getattr(self, name).new_empty(given.shape))
        super()._load_from_state_dict(state_dict, prefix, *rest)
        self.most = self._most_followers()

    def start(self, state: None, context: Context) -> NGramDraft:
        tokens_BM, slots_BM = context.before_BP(self.reach)
        return NGramDraft(self._nodes(torch.where(slots_BM >= 0, tokens_BM, NONE)))

    def step(self, memory: NGramDraft, token_n: Tensor, j: int) -> Tensor:
        memory.nodes_nM = self._behind(memory.nodes_nM, token_n)
        return memory.nodes_nM

    def states(self, batch: TrainingBatch) -> Tensor:
        """states_BS1M: the nodes of the histories that end at s. Whole numbers, in float64, which
        counts further than float32."""
        tokens_BS = batch.tokens_BT[:, :-1]
        place_S = torch.arange(tokens_BS.shape[1], device=tokens_BS.device)
        slots_SM = place_S[:, None] + torch.arange(1 - self.reach, 1, device=place_S.device)
        start_BS = torch.zeros_like(tokens_BS) if batch.start_BS is None else batch.start_BS
        history_BSM = tokens_BS[:, slots_SM.clamp_min(0)]
        known_BSM = slots_SM >= start_BS[..., None]
        nodes_BSM = self._nodes(torch.where(known_BSM, history_BSM, NONE))
        return nodes_BSM[:, :, None].double()

    def unembed(self, states_nM: Tensor, j: int) -> Tensor:
        """log_probs_nV, the same for every draft position."""
        nodes_nM = states_nM.long()
        some_C = torch.arange(self.most, device=nodes_nM.device)
        places_nMC = self.first[nodes_nM][..., None] + some_C
        inside_nMC = places_nMC < self.first[nodes_nM + 1][..., None]
        places_nMC = places_nMC.clamp_max(len(self.drafts) - 1)
        # What all longer histories left to each, and at last to no history.
        left_nM = self.left[nodes_nM]
        share_nN = torch.cat((torch.ones_like(left_nM[..., :1]), left_nM), -1).cumprod(-1)
        gained_nMC = self.gained[places_nMC] * inside_nMC * share_nN[..., :-1, None]
        probs_nV = self.unigram_V * share_nN[..., -1:]
        drafts_nC = self.drafts[places_nMC].long().flatten(-2)
        return probs_nV.scatter_add(-1, drafts_nC, gained_nMC.flatten(-2)).log()

    def _nodes(self, history_nM: Tensor) -> Tensor:
        """nodes_nM after reading these tokens, the oldest first."""
        nodes_nM = torch.full_like(history_nM, NONE)
        for token_n in history_nM.unbind(-1):
            nodes_nM = self._behind(nodes_nM, token_n)
        return nodes_nM

    def _behind(self, nodes_nM: Tensor, token_n: Tensor) -> Tensor:
        """nodes_nM after one more token: it behind all but the longest history, and it alone."""
        keys_nL = nodes_nM[..., 1:] * self.vocabulary + token_n[..., None]
        place_nL = torch.searchsorted(self.keys, keys_nL)
        longer_nL = torch.where(self.keys[place_nL] == keys_nL, place_nL + self.vocabulary, NONE)
        return torch.cat((longer_nL, token_n[..., None]), -1)
