"""Whether a drafter, its objective and its teacher go together: refused before any work."""

from __future__ import annotations

from litdraft.errors import UserError
from litdraft.losses.objective import Objective
from litdraft.protocols import Drafter, Trainable, counts
from litdraft.teachers.base import Teacher


def check_objective(objective: Objective, *, has_target: bool) -> None:
    if objective.needs_teacher and not has_target:
        raise UserError(
            f"the objective ({', '.join(objective.losses)}) learns from a target, but "
            "target=null was given: use objective=ce"
        )


def check_drafter(drafter: Drafter, teacher: Teacher, *, has_target: bool) -> None:
    """UserError if it has nothing to train, or reads what is not there."""
    learns = any(parameter.requires_grad for parameter in drafter.parameters())
    if not isinstance(drafter, Trainable) or not (learns or counts(drafter)):
        raise UserError(
            f"drafter={drafter.name} has nothing to train: evaluate it as it is with "
            "litdraft evaluate drafter=..."
        )
    if not (drafter.needs.hidden or drafter.needs.taps):
        return
    if not teacher.has_hidden:
        raise UserError(
            f"drafter={drafter.name} reads the target's hidden states, which "
            "teacher=topk does not keep: use teacher=hidden or teacher=online"
        )
    if not has_target:
        raise UserError(
            f"{type(drafter).__name__} reads a target's hidden states, but target=null "
            "was given: choose a target, or train a language model with drafter=transformer"
        )
