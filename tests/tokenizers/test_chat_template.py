"""Chat templates: where they are found, and that they render as transformers renders them."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from litdraft.errors import UserError
from litdraft.tokenizers.chat_template import ChatTemplate, find_template
from litdraft.tokenizers.load import open_tokenizer

LLAMA3 = """{{ bos_token }}{% for message in messages %}
{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}
{{- message['content'] | trim + '<|eot_id|>' }}
{% endfor %}
{% if add_generation_prompt %}
{{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{% endif %}"""
STRICT = """{{ bos_token }}{% for message in messages %}
{%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{- raise_exception('roles must alternate') }}{% endif %}
{%- generation %}{{ message | tojson }}{% endgeneration %}{% endfor %}"""
TURNS = [{"role": "user", "content": " Hé <b>?\n"}, {"role": "assistant", "content": "Yes."}]


@pytest.mark.parametrize("text", [LLAMA3, STRICT])
@pytest.mark.parametrize("count", [1, 2])
def test_rendering_is_that_of_transformers(shared: Path, text: str, count: int) -> None:
    file = shared / "targets" / "tinystories656K_hf" / "tokenizer.json"
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(file), bos_token="<s>", chat_template=text)
    for answer in (False, True):
        whole = theirs.apply_chat_template(
            TURNS[:count], tokenize=False, add_generation_prompt=answer
        )
        assert ChatTemplate(text, "<s>").render(TURNS[:count], answer) == whole


def test_what_a_template_raises_is_reported() -> None:
    for text, message in (
        (STRICT, r"does not accept a conversation: roles must alternate \(its turns: assistant\)"),
        ("{{ messages[0].content + 1 }}", r"a\.jinja does not accept a conversation"),
        ("one\n{% if %}", r"a\.jinja is not valid Jinja \(line 2: .*give data\.template=FILE"),
    ):
        with pytest.raises(UserError, match=message):
            ChatTemplate(text, location="a.jinja").render(TURNS[1:], answer=True)


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": 3}')
    with pytest.raises(UserError, match=r"tokenizer_config\.json: chat_template is int"):
        find_template(tmp_path, "", "")
    (tmp_path / "chat_template.jinja").write_bytes(b"caf\xe9")
    with pytest.raises(UserError, match=r"chat_template\.jinja is not readable as text"):
        find_template(tmp_path, "", "")


def test_tokenizers_find_the_template_in_their_folder(
    little: Path, shared: Path, tmp_path: Path
) -> None:
    real = shared / "targets" / "tinystories656K_hf" / "tokenizer.json"
    assert open_tokenizer(real).template is None
    for source in (little / "tokenizer.model", real):
        folder = tmp_path / source.suffix
        folder.mkdir()
        (folder / source.name).write_bytes(source.read_bytes())
        (folder / "tokenizer_config.json").write_text('{"bos_token": "<|start_story|>"}')
        (folder / "chat_template.jinja").write_text("{{ bos_token }}")
        tokenizer = open_tokenizer(folder / source.name)
        assert tokenizer.template is not None
        text = tokenizer.template.render(TURNS, answer=False)
        assert tokenizer.encode_rendered(text) == [tokenizer.bos]
