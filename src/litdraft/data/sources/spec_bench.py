"""Spec-Bench: prompts of 13 categories to measure speculative decoding on (arXiv 2401.07851)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from litdraft.data.readers.chat import conversation, template_for
from litdraft.data.readers.text_files import Paths, files_of, json_lines, read_text, stamp
from litdraft.data.sources.examples import Example, Split
from litdraft.data.sources.options import in_turn
from litdraft.errors import UserError
from litdraft.tokenizers.load import Tokenizer

INSTEAD = {
    "training": "train with another data=",
    "validation": "give k=NUMBER instead of k=auto, and train with another data=",
}


class SpecBench:
    """The first turn of every question, one of each category and again, so that the first few
    cover them all; its category is its group.

    A turn goes through the tokenizer's chat template, or the file `template`, if there is one.
    """

    documents = False
    apart: frozenset[Split] = frozenset({"test"})

    def __init__(self, path: Paths, template: str | None = None) -> None:
        self.path, self.template = path, template

    @cached_property
    def _files(self) -> list[Path]:
        return files_of(self.path, (".jsonl",))

    def facts(self) -> dict[str, Any]:
        files = [stamp(file) for file in self._files]
        template = None if self.template is None else read_text(Path(self.template).expanduser())
        return {"source": "spec_bench", "template": template, "files": files}

    def examples(self, split: Split, tokenizer: Tokenizer) -> Sequence[Example]:
        if split in INSTEAD:
            raise UserError(
                f"Spec-Bench has no {split} text, because it is for evaluation only: "
                f"{INSTEAD[split]}"
            )
        template = template_for(tokenizer, self.template)
        examples = []
        for place, row in (line for file in self._files for line in json_lines(file)):
            category, turns = row.get("category"), row.get("turns")
            first = turns[0] if isinstance(turns, list) and turns else None
            if not isinstance(category, str) or not isinstance(first, str):
                raise UserError(
                    f"{place} has {', '.join(row) or 'no key'}, but a category and turns (a list "
                    "of texts) were expected: give Spec-Bench's own question.jsonl"
                )
            message = {"role": "user", "content": first}
            examples.append(conversation([message], template, place, category))
        return [examples[place] for place in in_turn([example.group for example in examples])]
