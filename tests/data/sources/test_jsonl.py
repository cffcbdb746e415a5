"""One JSON object per line, and Spec-Bench, which has this format."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from tests.training.runs import NoTokenizer

from litdraft.data.sources.base import Materials
from litdraft.data.sources.examples import Segment
from litdraft.data.sources.jsonl import JSONL
from litdraft.data.sources.options import TextOptions
from litdraft.data.sources.prompted import Prompted
from litdraft.data.sources.spec_bench import SpecBench
from litdraft.errors import UserError
from litdraft.protocols import TargetSpec
from litdraft.tokenizers.load import open_tokenizer


def file_of(folder: Path, *lines: object) -> str:
    path = folder / "some.jsonl"
    path.write_text("\n".join(json.dumps(line) for line in lines), encoding="utf-8")
    return str(path)


def test_prompts_and_responses_are_used_as_they_are(tmp_path: Path) -> None:
    path = file_of(
        tmp_path, {"prompt": "a b", "response": " c", "kind": "x"}, {"prompt": "d", "kind": "y"}
    )
    kept = tmp_path / "kept.jsonl"
    kept.write_text('{"prompt": "e"}')
    source = JSONL(str(tmp_path), test=str(kept), group_key="kind")
    assert source.own_splits == {"test"}
    assert len(source.examples("test", NoTokenizer())) == 1
    one, two = source.examples("training", NoTokenizer())
    assert one.segments == (Segment("a b"), Segment(" c", response=True))
    assert (one.group, one.location) == ("x", f"{path}, line 1")
    assert two.segments == (Segment("d"),)


def test_conversations_in_either_spelling(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text(
        "{% for m in messages %}{{ m['role'][0] + ':' + m['content'] + ';' }}{% endfor %}"
        "{% if add_generation_prompt %}a:{% endif %}"
    )
    path = file_of(
        tmp_path,
        {"messages": [{"role": "user", "content": "1"}, {"role": "assistant", "content": "2"}]},
        {"conversations": [{"from": "human", "value": "1"}, {"from": "gpt", "value": "2"}]},
    )
    source = JSONL(path, template=str(tmp_path / "own.jinja"))
    for example in source.examples("training", NoTokenizer()):
        assert example.segments == (Segment("u:1;a:"), Segment("2;", response=True))
        assert example.rendered


@pytest.mark.parametrize(
    ("line", "answer"),
    [
        ('{"text": "a"}', "line 1 has text, but messages or the texts prompt and response"),
        ('{"prompt": 3}', "line 1 has prompt, but"),
        ("[1]", "line 1 has list, not a JSON object"),
        ("{", "line 1 is not JSON"),
        ('{"messages": []}', "line 1 has no messages"),
        ('{"messages": [{"role": "user"}]}', "line 1 has the message"),
        ("", "is empty"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, answer: str) -> None:
    path = tmp_path / "some.jsonl"
    path.write_text(line)
    with pytest.raises(UserError, match=answer):
        JSONL(str(path)).examples("training", NoTokenizer())


def test_spec_bench_has_480_prompts_in_13_categories(shared: Path, tmp_path: Path) -> None:
    path = str(shared / "data" / "specbench")
    source = SpecBench(path)
    counted = Counter(example.group for example in source.examples("test", NoTokenizer()))
    large = ("translation", "summarization", "qa", "math_reasoning", "rag")
    assert sum(counted.values()) == 480
    assert len(counted) == 13
    assert all(number == (80 if name in large else 10) for name, number in counted.items())
    for split in ("training", "validation"):
        with pytest.raises(UserError, match=f"no {split} text, because it is only for evaluation"):
            source.examples(split, NoTokenizer())
    tokenizer = open_tokenizer(shared / "targets" / "mix-13m")
    spec = TargetSpec("mix", tokenizer.size, 320, 8, 512, tokenizer.bos, (2,))
    materials = Materials(tokenizer, tmp_path, spec)
    rows = Prompted(source, TextOptions(truncate="left")).held_out(materials, "test", 26, 128)
    assert Counter(rows.groups) == Counter(dict.fromkeys(counted, 2)), "categories in turn"
    assert max(map(len, rows.prompts())) <= 512 - 128
    with pytest.raises(UserError, match=r"tokens do not fit into 512 with 128 tokens after it"):
        Prompted(source, TextOptions()).held_out(materials, "test", 26, 128)
