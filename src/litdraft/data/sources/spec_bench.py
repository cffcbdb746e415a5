"""Spec-Bench: prompts of 13 categories to measure speculative decoding on (arXiv 2401.07851)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from litdraft.data.readers.chat import conversation, template_for
from litdraft.data.readers.text_files import Paths, files_of, json_lines, read_text, stamp
from litdraft.data.sources.examples import Example, Split
from litdraft.data.sources.options import round_robin
from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer

ADVICE = {
    "training": "train with another data=",
    "validation": "give k=NUMBER instead of k=auto, and train with another data=",
}


class SpecBench:
    """The first turn of every question, taking the categories in turn, so that the first few
    prompts cover all of them. The category is the group.

    The tokenizer's chat template, or the file `template`, renders a turn if there is one.
    """

    documents = False
    own_splits: frozenset[Split] = frozenset({"test"})

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
        if split in ADVICE:
            raise UserError(
                f"Spec-Bench has no {split} text, because it is only for evaluation: "
                f"{ADVICE[split]}"
            )
        template = template_for(tokenizer, self.template)
        examples = []
        for location, row in (line for file in self._files for line in json_lines(file)):
            category, turns = row.get("category"), row.get("turns")
            first = turns[0] if isinstance(turns, list) and turns else None
            if not isinstance(category, str) or not isinstance(first, str):
                raise UserError(
                    f"{location} has {', '.join(row) or 'no key'}, but a category and turns (a "
                    "list of texts) were expected: give Spec-Bench's question.jsonl"
                )
            message = {"role": "user", "content": first}
            examples.append(conversation([message], template, location, category))
        return [examples[i] for i in round_robin([example.group for example in examples])]
