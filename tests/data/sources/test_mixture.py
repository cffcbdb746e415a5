"""Several texts as one."""

from __future__ import annotations

from pathlib import Path

import pytest

from litdraft.data.sources.base import Materials
from litdraft.data.sources.documents import Documents
from litdraft.data.sources.mixture import Mixture
from litdraft.data.sources.options import TextOptions
from litdraft.data.sources.text import Text
from litdraft.errors import UserError
from litdraft.tokenizers.load import open_tokenizer


def test_parts_are_joined_and_kept_apart_by_name(little: Path, tmp_path: Path) -> None:
    materials = Materials(open_tokenizer(little / "tokenizer.model"), tmp_path)
    options = TextOptions(length=48, opening=8, held_out_rows=10)
    parts = {
        name: Documents(Text(str(little / "text" / f"{name}.txt")), options)
        for name in ("one", "two")
    }
    mixture = Mixture(parts)
    alone = [part.training(materials).token_lists() for part in parts.values()]
    assert mixture.training(materials).token_lists() == alone[0] + alone[1]
    held_out = mixture.held_out(materials, "test", 9, 8)
    assert held_out.groups == ["one"] * 5 + ["two"] * 4
    assert (
        held_out.token_lists()[:5] == parts["one"].held_out(materials, "test", 5, 8).token_lists()
    )
    assert [len(prompt) for prompt in held_out.prompts()] == [8] * 9
    judged = Mixture(parts, ["two"])
    assert judged.held_out(materials, "test", 4, 8).groups == ["two"] * 4
    assert judged.training(materials).token_lists() == alone[0] + alone[1]
    with pytest.raises(UserError, match="no parts"):
        Mixture({})
    with pytest.raises(UserError, match=r"data.judged=\['three'\] was given: choose .* one, two"):
        Mixture(parts, ["three"])
