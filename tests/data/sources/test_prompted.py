"""Held-out prompts have the text's own responses as references."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from litdraft.data.sources.base import Materials
from litdraft.data.sources.documents import Documents
from litdraft.data.sources.jsonl import JSONL
from litdraft.data.sources.mixture import Mixture
from litdraft.data.sources.options import TextOptions
from litdraft.data.sources.prompted import Prompted
from litdraft.data.sources.text import Text
from litdraft.protocols import TargetSpec
from litdraft.tokenizers.load import open_tokenizer


@pytest.fixture
def materials(little: Path, tmp_path: Path) -> Materials:
    tokenizer = open_tokenizer(little / "tokenizer.model")
    spec = TargetSpec("little", tokenizer.size, 8, 1, 64, tokenizer.bos, (2,))
    return Materials(tokenizer, tmp_path / "cache", spec)


def lines_of(path: Path, lines: list[dict[str, object]]) -> str:
    path.write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    return str(path)


def test_a_reference_stays_with_its_prompt(
    materials: Materials, little: Path, tmp_path: Path
) -> None:
    """However prompts are shuffled, taken in turn by group and put after others without one."""
    lines: list[dict[str, object]] = [
        {"prompt": f"bal {n}", "response": f" dem {n}" if n % 3 else " ", "kind": "ab"[n > 29]}
        for n in range(40)
    ]
    source = JSONL(lines_of(tmp_path / "some.jsonl", lines), group_key="kind")
    prompted = Prompted(source, TextOptions(held_out_rows=16))
    rows = prompted.held_out(materials, "test", 4, 8)
    numbers = [materials.tokenizer.decode(prompt).split()[1] for prompt in rows.prompts()]
    assert numbers != sorted(numbers, key=int)
    assert rows.groups == ["a", "b", "a", "a"], "four of forty, one of them b"
    assert rows.references == [f"dem {n}" if int(n) % 3 else None for n in numbers]
    assert set(rows.references) > {None}
    text = Documents(Text(str(little / "text")), TextOptions(length=48, opening=8))
    both = Mixture({"text": text, "pairs": prompted}).held_out(materials, "test", 8, 8)
    assert both.references == [None] * 4 + rows.references


def test_special_tokens_of_a_template_are_not_in_the_reference(
    materials: Materials, tmp_path: Path
) -> None:
    """The decoded output has none either; an open conversation has no reference."""
    template = tmp_path / "own.jinja"
    template.write_text(
        "{% for m in messages %}{% if m['role'] == 'user' %}{{ '<s>' + m['content'] + ':' }}"
        "{% else %}{{ m['content'] + '</s>' }}{% endif %}{% endfor %}"
    )
    asked, answered = (
        {"role": r, "content": c} for r, c in (("user", "bal"), ("assistant", "dem"))
    )
    talks: list[dict[str, object]] = [{"messages": [asked, answered]}, {"messages": [asked]}]
    path = lines_of(tmp_path / "test.jsonl", talks)
    source = JSONL(path, test=path, template=str(template))
    rows = Prompted(source, TextOptions()).held_out(materials, "test", 2, 8)
    assert sorted(rows.references, key=str) == [None, "dem"]
