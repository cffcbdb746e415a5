"""Project Gutenberg's files lose what is not the book, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from litdraft.data.readers.gutenberg import read_gutenberg
from litdraft.data.readers.text_files import read_text

STORY = "CHAPTER I\n\nIt was night,\nand dark.\n\n\n“Who?” said\nshe.\n"
PLAIN = "CHAPTER I\nIt was night, and dark.\n“Who?” said she."
OLD_HEADER = (
    "The Project Gutenberg Etext of The Tale\n\n***START**THE SMALL PRINT!**FOR ETEXTS**START***\n"
    "Why is this here?\n\n*END*THE SMALL PRINT! FOR PUBLIC DOMAIN ETEXTS*Ver.04.29.93*END*\n\n"
)
HEADERS = [
    "*** START OF THIS PROJECT GUTENBERG EBOOK THE TALE ***\n\n",
    "***START OF THE PROJECT GUTENBERG EBOOK THE TALE***\n\nE-text prepared by A. B.\n\n\n",
    "*** START OF THE PROJECT GUTENBERG EBOOK THE LONG TALE OF A\nLONG NIGHT ***\n\n",
    "*** START OF THE PROJECT GUTENBERG EBOOK 7 ***\nProduced by A. B. and the\nOthers\n\n",
    OLD_HEADER,
    OLD_HEADER + "This etext was prepared by A. B. of Nowhere.\n\n",
]
FOOTERS = [
    "\n\n*** END OF THE PROJECT GUTENBERG EBOOK THE TALE ***\n\nlicence",
    "\n\nEnd of the Project Gutenberg EBook of The Tale, by A\n\n*** END OF THIS PROJECT",
    "\nEnd of Project Gutenberg’s The Tale, by A. B.\n\nlicence",
    "\n\nEnd of The Project Gutenberg Etext of The Tale\n",
    "\n\n***END OF THE PROJECT GUTENBERG EBOOK THE TALE***\n\n\n******* This file should be",
]


@pytest.mark.parametrize("header", HEADERS)
@pytest.mark.parametrize("footer", FOOTERS)
def test_headers_and_footers_are_cut(header: str, footer: str) -> None:
    raw = f"The Project Gutenberg EBook\n\nTitle: The Tale\n\nAuthor: A\n\n{header}{STORY}{footer}"
    assert read_gutenberg(raw) == ("The Tale", PLAIN)


def test_a_text_without_a_header_passes() -> None:
    story = "Produced by a spring, the water ran.\n\n" + STORY
    assert read_gutenberg(story) == (None, "Produced by a spring, the water ran.\n" + PLAIN)
    end = "\n\n***START**THE SMALL PRINT!**START***\nWhy?\n*END*THE SMALL PRINT! FOR ETEXTS*END*\n"
    assert read_gutenberg(STORY + end) == (None, PLAIN), "the small print behind the book"


def test_titles_run_over_lines() -> None:
    start = "\n\n*** START OF THIS PROJECT GUTENBERG EBOOK X ***\n\nTitle: no\n\n"
    for head in ("Title: A Tale\n   of Two\n\nAuthor: B", "Title: A Tale\nof Two\nAuthor: B: C"):
        assert read_gutenberg(head + start)[0] == "A Tale of Two"
    assert read_gutenberg("Author: B" + start)[0] is None


def test_markers_and_notes_are_removed() -> None:
    raw = (
        "one [Illustration] two\n\n[Illustration: a cat\n\n[_Copyright_]\nby C]\n\nthree [a note]\n"
        "\nTranscriber's Note:\n\nSpelling was kept.\n\n[Transcriber’s Notes: none]\n\nfour"
    )
    assert read_gutenberg(raw)[1] == "one two\nthree [a note]\nfour"


def test_real_files(shared: Path) -> None:
    folder = shared / "data" / "books"
    texts = {path.name: read_gutenberg(read_text(path)) for path in folder.glob("*.txt")}
    assert len(texts) == 7
    assert not any("gutenberg" in text.casefold() for _, text in texts.values())
    title, alice = texts["pg11_alice.txt"]
    assert title == "Alice’s Adventures in Wonderland"
    lines = alice.split("\n")
    assert sum(line.startswith("CHAPTER ") for line in lines) == 12
    first = "Alice was beginning to get very tired of sitting by her sister on the bank"
    assert alice.count(first) == 1
    assert (lines[0], lines[-1]) == ("ALICE’S ADVENTURES IN WONDERLAND", "THE END")
    title, moby = texts["pg2701_moby_dick.txt"]
    assert title == "Moby Dick; or The Whale"
    assert moby.startswith("MOBY-DICK;\nor, THE WHALE.\nBy Herman Melville\n")
    assert moby.endswith("only found another orphan.")
    assert "Virginia Tech" not in moby
    title, dorian = texts["pg174_dorian_gray.txt"]
    assert title is None
    assert dorian.startswith("The artist is the creator of beautiful things. To reveal art and")
