"""Conversations become segments whose masks come from the template alone."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from litdraft.data.readers.chat import conversation
from litdraft.data.rows.encoding import Cuts, Encoder
from litdraft.errors import UserError
from litdraft.tokenizers.chat_template import ChatTemplate, find_template
from litdraft.tokenizers.load import open_tokenizer

CHATML = (
    "{% for m in messages %}"
    "{{ '<|im_start|>' + m['role'] + '\\n' + m['content'] + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
LLAMA2 = (
    "{% for m in messages %}{% if m['role'] == 'user' %}"
    "{{ bos_token + '[INST] ' + m['content'] + ' [/INST]' }}"
    "{% else %}{{ ' ' + m['content'] + ' ' + eos_token }}{% endif %}{% endfor %}"
)
# The generation prompt holds an empty thought, which finished turns do not show.
THINKING = CHATML.replace("assistant\\n' }}{% endif", "assistant\\n<think></think>' }}{% endif")
TURNS = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Two."},
    {"role": "user", "content": "Three?"},
    {"role": "assistant", "content": "Four."},
]


@pytest.mark.parametrize("text", [CHATML, LLAMA2])
@pytest.mark.parametrize("turns", [1, 2, 3, 4])
def test_segments_are_the_whole_rendering(shared: Path, text: str, turns: int) -> None:
    """Against transformers' own apply_chat_template."""
    folder = shared / "targets" / "tinystories656K_hf"
    theirs = PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), bos_token="<s>", eos_token="</s>"
    )
    messages = TURNS[:turns]
    whole = theirs.apply_chat_template(
        messages, chat_template=text, tokenize=False, add_generation_prompt=turns % 2 == 1
    )
    example = conversation(messages, ChatTemplate(text, "<s>", "</s>"))
    assert "".join(segment.text for segment in example.segments) == whole
    written = [segment.text.strip() for segment in example.segments if segment.response]
    assert all(map(str.startswith, written, ("Two.", "Four.")))
    assert len(written) == turns // 2
    assert all("?" not in text for text in written)
    assert example.segments[-1].response == (turns % 2 == 0)


def test_a_mask_that_would_be_wrong_is_refused() -> None:
    with pytest.raises(UserError, match="changes earlier turns"):
        conversation(TURNS, ChatTemplate(THINKING), location="a.jsonl, line 3")
    refusing = "{{ raise_exception('only users here') }}"
    with pytest.raises(UserError, match="does not accept a conversation: only users here"):
        conversation(TURNS, ChatTemplate(refusing))
    with pytest.raises(UserError, match="line 3: the target's tokenizer has no chat template"):
        conversation(TURNS, None, location="a.jsonl, line 3")
    alone = conversation(TURNS[:1], None)
    assert [segment.text for segment in alone.segments] == ["One?"]


def test_a_template_cannot_run_code() -> None:
    nasty = "{{ ().__class__.__mro__[1].__subclasses__() }}"
    with pytest.raises(UserError, match="does not accept"):
        ChatTemplate(nasty).render(TURNS, answer=True)


def test_special_tokens_in_a_rendering_become_ids(shared: Path) -> None:
    tokenizer = open_tokenizer(shared / "targets" / "llama2_tokenizer" / "tokenizer.model")
    template = ChatTemplate(LLAMA2, "<s>", "</s>")
    row = Encoder(tokenizer, 200).row(conversation(TURNS, template), cuts=Cuts())
    assert row is not None
    assert [row.tokens.count(mark) for mark in (1, 2)] == [2, 2]
    assert row.tokens[-1] == tokenizer.eos
    begin, end = row.spans[2:]
    assert end == len(row.tokens)
    assert tokenizer.decode(row.tokens[begin:end]).strip() == "Four."
    assert row.prompt == begin


def test_where_templates_are_found(tmp_path: Path) -> None:
    assert find_template(tmp_path, "", "") is None
    config = tmp_path / "tokenizer_config.json"
    config.write_text('{"chat_template": [{"name": "tool_use", "template": "a"}]}')
    assert find_template(tmp_path, "", "") is None
    config.write_text('{"chat_template": [{"name": "default", "template": "b"}]}')
    assert find_template(tmp_path, "", "") == ChatTemplate("b", location=str(config))
    (tmp_path / "chat_template.jinja").write_text("c")
    found = find_template(tmp_path, "<s>", "</s>")
    assert found is not None
    assert (found.text, found.bos, found.eos) == ("c", "<s>", "</s>")
