"""Spec-Bench: categories in turn, through a chat template if there is one."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.training.runs import NoTokenizer

from litdraft.data.sources.spec_bench import SpecBench
from litdraft.errors import UserError


def test_the_first_turns_cover_every_category(shared: Path, tmp_path: Path) -> None:
    path = shared / "data" / "specbench" / "question.jsonl"
    examples = SpecBench(path).examples("test", NoTokenizer())
    assert len({example.group for example in examples[:13]}) == 13
    assert [example.group for example in examples[:13]] == [e.group for e in examples[13:26]]
    assert examples[0].segments[0].text.startswith("Compose an engaging travel blog post")
    assert not examples[0].segments[0].response
    assert (examples[0].rendered, examples[0].location) == (False, f"{path}, line 1")
    template = tmp_path / "own.jinja"
    template.write_text("USER: {{ messages[0].content }} ASSISTANT:")
    source = SpecBench(path, template=str(template))
    chat = source.examples("test", NoTokenizer())[0]
    assert chat.rendered
    assert chat.segments[0].text == f"USER: {examples[0].segments[0].text} ASSISTANT:"
    assert source.facts() != SpecBench(path).facts()


def test_another_file_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "question.jsonl"
    path.write_text('{"category": "qa", "turns": ["a"]}\n\n{"category": "qa", "turns": []}\n')
    with pytest.raises(UserError, match=r"question\.jsonl, line 3 has category, turns, but"):
        SpecBench(path).examples("test", NoTokenizer())
    with pytest.raises(UserError, match="give k=NUMBER instead of k=auto"):
        SpecBench(path).examples("validation", NoTokenizer())
