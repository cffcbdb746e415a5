"""Sentences on tokens: by hand, and against a splitter of plain text on a real book."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import accumulate, pairwise
from pathlib import Path

import pytest
import torch
from tests.data.letters import Letters

from litdraft.tokenizers.load import open_tokenizer
from litdraft.tokenizers.sentence_starts import SentenceStarts

# Each list is one text; between its parts, and nowhere else, a sentence begins.
TEXTS = {
    "stops": ["He ran. ", "She sat! ", "Who? ", "I saw... ", "End"],
    "several": ["What?! ", "No!!! ", "Yes"],
    "quotations": ['"Yes!" he said. ', '"And you?" ', "She left. ", "“No.” ", "“Oh!” cried he"],
    "brackets": ["He left. ", "(She did not.) ", "[Exit.] ", "Then"],
    "abbreviations": [
        "Mr. Hill met Mrs. A. B. Hall, i.e. Dr. Who, in St. Ives. ",
        "Then Messrs. X",
    ],
    "no abbreviation": ["Ask the gumMr. ", "He is a Mrt. ", "It was I. ", "So"],
    "abbreviation in marks": ["(Mr. Hill), “Mr. Hill”, or Mr.Hill, and Mr.) So. ", "So"],
    "numbers": ["It cost 3.5 of 10.000 dollars. ", "30 men came. ", "So"],
    "no space": ["See a.org or U.S.A today.So"],
    "newlines": ["A line\n", "and another\n", "\n", "Mr.\n", "x"],
    "small letters": ["He was... tired. but went. ", "So"],
    "dashes": ["Well! -- said he. ", "So"],
}


class Every(Letters):
    """A token for each letter of Unicode's first blocks."""

    size = 0x2100


@pytest.mark.parametrize("parts", TEXTS.values(), ids=TEXTS.keys())
def test_sentences_spelled_letter_by_letter(parts: list[str]) -> None:
    """A space of its own after a stop belongs to the sentence before."""
    tokens_BT = torch.tensor([Every().encode("".join(parts), bos=False)])
    sentence_starts = SentenceStarts(Every())
    starts_T = sentence_starts(tokens_BT)[0]
    lengths = [len(part) for part in parts]
    expected_T = torch.tensor([0, *lengths[:-1]]).cumsum(0).repeat_interleave(torch.tensor(lengths))
    assert torch.equal(starts_T, expected_T)
    begun_T = starts_T[1:] == torch.arange(1, len(starts_T))
    assert not (begun_T & ~sentence_starts.possible(tokens_BT)[0]).any()


def begins(text: str) -> set[int]:
    """Where sentences of a plain text begin: the same definition on letters, by one regular
    expression."""
    words = "Mr|Mrs|Ms|Dr|St|Mt|Messrs|Mme|Mlle|Prof|Rev|Hon|Capt|Col|Gen|Lieut|Sgt|Esq|Jr|Sr"
    short = re.compile(rf"(?<![^\W\d_])(?:{words}|Chap|Vol|viz|vs|cf|[A-HJ-Zeg])\.[\"'”’»)\]]*$")
    border = re.compile(r"[.!?…][\"'”’»)\]]*( +)(?=[\"'“‘«„(\[A-Z0-9ÀÉÈŒ])|\n+()")
    ends = (m for m in border.finditer(text) if not short.search(text[: m.start(m.lastindex or 0)]))
    return {0} | {m.end() for m in ends if m.end() < len(text)}


def letters_before(parts: Iterable[str]) -> set[int]:
    """How many letters that are no spaces come before each part of a text."""
    return set(accumulate((len("".join(part.split())) for part in list(parts)[:-1]), initial=0))


@pytest.mark.parametrize(
    "name", ["mix-13m", "stories260K/tok512.model", "stories260K/tok512.bin", "llama2_tokenizer"]
)
@pytest.mark.parametrize("book", ["pg11_alice.txt", "pg1661_sherlock_holmes.txt"])
def test_sentences_of_a_real_book(shared: Path, name: str, book: str) -> None:
    """Nowhere but where a tokenizer spells an opening quotation mark by its bytes."""
    text = (shared / "data" / "books" / book).read_text(encoding="utf-8-sig")
    text = "\n".join(" ".join(some.split()) for some in text.split("\n\n") if some.strip())
    text = text[2000:42000].partition("\n")[2]
    tokenizer = open_tokenizer(shared / "targets" / name)
    tokens = tokenizer.encode(text, bos=False)
    sentence_starts = SentenceStarts(tokenizer)
    starts_T = sentence_starts(torch.tensor([tokens]))[0]
    begun_T = starts_T[1:] == torch.arange(1, len(starts_T))
    possible_T = sentence_starts.possible(torch.tensor([tokens]))[0]
    assert not (begun_T & ~possible_T).any(), "what is ruled out soon never happens"
    assert possible_T.float().mean() < 0.15, "and most is"
    cuts = [*starts_T.unique().tolist(), len(tokens)]
    result = letters_before(tokenizer.decode(tokens[a:b]) for a, b in pairwise(cuts))
    expected = letters_before(text[a:b] for a, b in pairwise([*sorted(begins(text)), len(text)]))
    assert len(expected) > 300
    assert len(result ^ expected) <= 1


def test_what_comes_later_changes_nothing_before(shared: Path) -> None:
    """A text that is being written has the sentences that it has when it is done; rows of a batch
    do not know of each other."""
    tokenizer = open_tokenizer(shared / "targets" / "mix-13m")
    sentence_starts = SentenceStarts(tokenizer, tokenizer.size + 5)
    parts = ["Mr. Hill left. ", '"Why?" she said. ', "At 3.30 p.m.\n", "Dr. Who?! ", "(No.) ", "So"]
    tokens_T = torch.tensor([*tokenizer.encode("".join(parts)), tokenizer.eos, 8195])
    starts_T = sentence_starts(tokens_T[None])[0]
    for length in range(1, len(tokens_T) + 1):
        rows = torch.stack((tokens_T[:length], tokens_T[:length].flip(0)))
        assert torch.equal(sentence_starts(rows)[0], starts_T[:length])
    texts = [tokenizer.decode(tokens_T[starts_T == start].tolist()) for start in starts_T.unique()]
    assert texts == ["", *(part.strip(" ") for part in parts), ""], "marks stand apart"


def test_a_piece_that_ends_one_sentence_begins_the_next(shared: Path) -> None:
    tokenizer = open_tokenizer(shared / "targets" / "tinystories656K_hf")
    tokens = tokenizer.encode("Mrs. Hill had a cat. It was big. and red", bos=False)
    pieces = [tokenizer.piece(token) for token in tokens]
    starts = SentenceStarts(tokenizer)(torch.tensor([tokens]))[0].unique().tolist()
    assert [pieces[start] for start in starts] == [pieces[0], ".▁It▁was▁"]
    assert ".▁H" in pieces
