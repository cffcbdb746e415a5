"""What proposes tokens."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from litdraft.errors import UserError
from litdraft.protocols.context import Context, Observation
from litdraft.protocols.proposal import Proposal
from litdraft.protocols.target import Target
from litdraft.sampling import Sampling

T = TypeVar("T")


@dataclass(frozen=True)
class Needs:
    """What a drafter asks of the target beside tokens."""

    hidden: bool = False
    taps: tuple[int, ...] = ()


@dataclass(frozen=True)
class Unregistered(Generic[T]):
    """Keeps an object outside a module's registry: it is not saved, moved or trained with it."""

    value: T


class Drafter(nn.Module, ABC):
    """What proposes tokens. A family implements `propose`, and `observe` if it holds state; what
    only some families can do are capabilities (`protocols.capabilities`), checked by isinstance.

    A drafter's life, in this order:

    1. built, from the target's spec and plain arguments; `Tokenized.set_tokenizer` follows at once;
    2. moved to its device, and `bind` to the target, whose parts it may borrow;
    3. trained: `Trainable.prepare`, then `Trainable.states` in every step (or `Counted.count`); or
       loaded, by `load_state_dict` before `bind`;
    4. `prepare_for_decoding`, once, after which it is trained no more;
    5. used: `allocate` for every batch, `observe` for the prompt, then `propose` and `observe` in
       every round; any number of batches, one at a time;
    6. `reset` before a measurement.
    """

    needs: Needs = Needs()
    _target: Unregistered[Target] | None = None

    @property
    def name(self) -> str:
        """The family's name: its file, and its choice on the command line."""
        return type(self).__module__.rpartition(".")[2]

    @property
    def target(self) -> Target:
        """The target it is bound to, which stays outside the module registry."""
        assert self._target is not None, "bind comes first"
        return self._target.value

    def bound_to(self, target: Target) -> bool:
        """Whether `bind` was called with this target last."""
        return self._target is not None and self._target.value is target

    def bind(self, target: Target) -> None:
        """Remember the target whose embedding and unembedding this drafter may borrow. UserError
        if the target lacks a layer that it taps."""
        beyond = [tap for tap in self.needs.taps if tap > target.spec.layers]
        if beyond:
            raise UserError(
                f"drafter={self.name} taps layer {beyond[0]}, but {target.spec.name} has "
                f"{target.spec.layers}: tap others, or choose another target"
            )
        self._target = Unregistered(target)

    def prepare_for_decoding(self, dtype: torch.dtype, native: bool) -> None:
        """Make decoding fast, with weights of this type; `native` beside a target that decodes by
        native operations on a CPU. The same proposals up to rounding."""
        return None

    def allocate(self, rows: int, capacity: int, k: int) -> Any:
        """The state of `rows` rows, for a loop that drafts k; None for a family without state."""
        return None

    def observe(self, state: Any, observation: Observation, context: Context) -> None:
        """Take in what was read and kept; the same for the prompt and for every round."""
        return None

    @abstractmethod
    def propose(
        self, state: Any, context: Context, k: int, sampling: Sampling, uniforms_BK: Tensor
    ) -> Proposal:
        """Draft k tokens after each row's unread token, drawing with the uniforms given."""

    def reset(self) -> None:
        """Forget what earlier decoding taught, if anything: measurements begin like this."""
        return None
