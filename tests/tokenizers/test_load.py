"""Tokenizers: text survives the way there and back, and the wrong one is noticed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from litdraft.errors import UserError
from litdraft.tokenizers.base import Tokenizer
from litdraft.tokenizers.load import check_tokenizer, first_difference, open_tokenizer
from litdraft.tokenizers.sentencepiece import train_sentencepiece

LINES = (
    "Once upon a time, there was a little girl named Lily.",
    "She had 3 dogs and 42 cats!",
    "\n\nThe old  man said: naïve, café\n and left.",
    "He went home.\nThe end.",
)
HARD = "Tabs\tand  two spaces,\n\n\nnewlines, 1234, émigré, 你好, 🦙.\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokenizer") / "new" / "tokenizer.model"
    train_sentencepiece(LINES * 5, 340, path)
    return path


def test_any_text_survives(trained: Path) -> None:
    tokenizer = open_tokenizer(trained)
    for text in (*LINES, HARD, "a\n", "", "🦙"):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_trained_as_asked(trained: Path) -> None:
    tokenizer = open_tokenizer(trained)
    assert (tokenizer.size, tokenizer.bos, tokenizer.eos) == (340, 1, 2)
    assert [tokenizer.piece(i) for i in range(5)] == ["<unk>", "<s>", "</s>", "\n", "<0x00>"]
    assert tokenizer.encode("a") == [1, *tokenizer.encode("a", bos=False)]
    newlines = [i for i in tokenizer.encode("He\n\nshe", bos=False) if tokenizer.piece(i) == "\n"]
    assert newlines == [3, 3]
    digits = [tokenizer.piece(i) for i in tokenizer.encode("42424", bos=False)]
    assert [piece.strip("▁") for piece in digits if piece != "▁"] == list("42424")
    learned = {tokenizer.piece(i) for i in range(260, 340)}
    assert any(len(piece) > 3 for piece in learned), learned
    assert not any("\n" in piece for piece in learned)


def test_training_repeats_itself_and_leaves_nothing_else(trained: Path, tmp_path: Path) -> None:
    train_sentencepiece(iter(LINES * 5), 340, tmp_path / "again.model")
    assert (tmp_path / "again.model").read_bytes() == trained.read_bytes()
    assert [path.name for path in trained.parent.iterdir()] == ["tokenizer.model"]


def test_long_lines_are_learned_from(tmp_path: Path) -> None:
    """SentencePiece leaves out lines of more than 4,192 bytes unless configured otherwise."""
    text = "xylophone zeppelin " * 500
    tokenizer = train_sentencepiece([text], 300, tmp_path / "long.model")
    assert len(tokenizer.encode("xylophone zeppelin", bos=False)) <= 4


@pytest.mark.parametrize("texts, vocabulary", [(["ab"], 4000), ([], 300), (LINES, 10)])
def test_training_that_cannot_be_is_reported(
    tmp_path: Path, texts: list[str], vocabulary: int
) -> None:
    with pytest.raises(UserError, match=str(vocabulary)):
        train_sentencepiece(texts, vocabulary, tmp_path / "no.model")
    assert not list(tmp_path.iterdir())


def test_training_is_quiet(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train_sentencepiece(LINES * 5, 300, tmp_path / "quiet.model")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "name", ["mix-13m", "stories260K/tok512.model", "llama2_tokenizer", "tinystories656K_hf"]
)
def test_real_tokenizers_keep_plain_text(shared: Path, name: str) -> None:
    tokenizer = open_tokenizer(shared / "targets" / name)
    text = "One day, a girl named Lily went to the park."
    ids = tokenizer.encode(text)
    assert ids[0] == tokenizer.bos == 1
    assert tokenizer.eos == 2
    assert max(ids) < tokenizer.size
    assert tokenizer.decode([*ids, 2]) == text
    assert tokenizer.decode([*ids, tokenizer.size, tokenizer.size + 5, -1]) == text


@pytest.mark.parametrize("name", ["mix-13m", "stories260K/tok512.model", "llama2_tokenizer"])
def test_bytes_that_have_no_piece_come_back(shared: Path, name: str) -> None:
    tokenizer = open_tokenizer(shared / "targets" / name)
    ids = tokenizer.encode("A 🦙!")
    assert [tokenizer.piece(i) for i in ids if tokenizer.piece(i).startswith("<0x")] == [
        "<0xF0>",
        "<0x9F>",
        "<0xA6>",
        "<0x99>",
    ]
    assert tokenizer.decode(ids) == "A 🦙!"
    assert "\ufffd" in tokenizer.decode(ids[:-2])


def test_hugging_face_pieces_are_those_of_transformers(shared: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    folder = shared / "targets/tinystories656K_hf"
    ours = open_tokenizer(folder)
    theirs = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    text = "Tom and Sue had 2 red balls.\nThey played."
    assert ours.encode(text, bos=False) == theirs.encode(text, add_special_tokens=False)
    assert (ours.size, ours.piece(1), ours.piece(2)) == (2048, "<|start_story|>", "<|end_story|>")
    with pytest.raises(IndexError):
        ours.piece(2048)


def hugging_face(folder: Path, words: list[str], **beside: dict[str, object]) -> Path:
    """A made tokenizer.json of whole words, and other files of the folder."""
    import tokenizers

    model = tokenizers.models.WordLevel({word: i for i, word in enumerate(words)}, "<unk>")
    tokenizer = tokenizers.Tokenizer(model)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    for name, values in beside.items():
        (folder / f"{name}.json").write_text(json.dumps(values))
    return folder


WORDS = ["<unk>", "a", "b", "c"]


def test_ends_are_named_by_string_or_by_object_in_either_file(tmp_path: Path) -> None:
    one = hugging_face(
        tmp_path / "one",
        WORDS,
        tokenizer_config={"bos_token": "<s>", "eos_token": {"content": "</s>"}},
    )
    other = hugging_face(
        tmp_path / "other",
        WORDS,
        tokenizer_config={"bos_token": None},
        special_tokens_map={"bos_token": {"content": "<s>"}, "eos_token": "</s>"},
    )
    for folder in (one, other):
        tokenizer = open_tokenizer(folder)
        assert (tokenizer.size, tokenizer.bos, tokenizer.eos) == (6, 4, 5)
        assert tokenizer.encode("a c") == [4, 1, 3]
        assert tokenizer.decode([4, 1, 3, 5]) == "a c"


def test_without_a_name_there_is_no_bos(tmp_path: Path) -> None:
    tokenizer = open_tokenizer(hugging_face(tmp_path, WORDS) / "tokenizer.json")
    assert (tokenizer.bos, tokenizer.eos) == (None, None)
    assert tokenizer.encode("a b") == [1, 2]
    assert tokenizer.decode([1, 4, 2, 5]) == "a b"


def test_an_end_token_that_does_not_exist_is_reported(tmp_path: Path) -> None:
    folder = hugging_face(tmp_path, WORDS, tokenizer_config={"eos_token": "<|eot|>"})
    with pytest.raises(UserError, match=r"tokenizer_config\.json: eos_token is '<\|eot\|>'"):
        open_tokenizer(folder)


def test_a_folder_with_both_prefers_the_json(trained: Path, tmp_path: Path) -> None:
    """Which knows tokens that were added, for chats for instance."""
    (tmp_path / "tokenizer.model").write_bytes(trained.read_bytes())
    assert open_tokenizer(tmp_path).size == 340
    assert open_tokenizer(hugging_face(tmp_path, WORDS)).size == 6


@pytest.mark.parametrize(
    "name", ["spoilt.model", "spoilt.json", "none.model", "none.json", "a.bin"]
)
def test_a_file_that_is_no_tokenizer_is_refused_by_name(tmp_path: Path, name: str) -> None:
    if name.startswith("spoilt"):
        (tmp_path / name).write_bytes(b"{}garbage" * 9)
    with pytest.raises(UserError, match=name.replace(".", r"\.")):
        open_tokenizer(tmp_path / name)


def test_an_empty_folder_error_names_what_it_should_have(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"tokenizer\.model or a tokenizer\.json"):
        open_tokenizer(tmp_path)


class Sized(Tokenizer):
    """Pieces named by their numbers, but for one."""

    bos = eos = None

    def __init__(self, size: int, odd: int = -1) -> None:
        self.size, self._odd = size, odd

    def piece(self, token: int) -> str:
        return "odd" if token == self._odd else str(token)

    def _encode(self, text: str) -> list[int]:
        return []

    def _decode(self, ids: list[int]) -> str:
        return ""


@pytest.mark.parametrize(
    "size, vocabulary",
    [(512, 512), (32000, 32000), (32001, 32008), (32003, 32128), (50257, 50304), (50295, 51200)],
)
def test_a_vocabulary_may_be_rounded_up(size: int, vocabulary: int) -> None:
    check_tokenizer(Sized(size), vocabulary)


@pytest.mark.parametrize(
    "size, vocabulary", [(512, 511), (32000, 512), (512, 32000), (512, 641), (32000, 33000)]
)
def test_another_vocabulary_is_refused_with_both_sizes(size: int, vocabulary: int) -> None:
    with pytest.raises(UserError, match=rf"{size} pieces.*{vocabulary}"):
        check_tokenizer(Sized(size), vocabulary)


def test_the_first_token_that_differs_is_found() -> None:
    assert first_difference(Sized(9), Sized(9)) is None
    assert first_difference(Sized(9), Sized(9, odd=4)) == 4
    assert first_difference(Sized(9), Sized(7)) == first_difference(Sized(7), Sized(9)) == 7
    assert first_difference(Sized(9, odd=0), Sized(7)) == 0


def test_the_same_pieces_in_two_formats_are_the_same(shared: Path) -> None:
    whole = open_tokenizer(shared / "targets/llama2_tokenizer")
    stories = open_tokenizer(shared / "targets/stories260K/tok512.model")
    assert first_difference(whole, open_tokenizer(shared / "targets/llama2_tokenizer")) is None
    assert first_difference(whole, stories) == 259  # behind three specials and 256 bytes


def test_content_distinguishes_tokenizers_with_the_same_pieces(
    shared: Path, tmp_path: Path
) -> None:
    path = shared / "targets" / "tinystories656K_hf" / "tokenizer.json"
    message = json.loads(path.read_text(encoding="utf-8"))
    message["normalizer"] = {"type": "Lowercase"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(message), encoding="utf-8")
    one, other = open_tokenizer(path), open_tokenizer(tmp_path / "tokenizer.json")
    assert first_difference(one, other) is None
    assert one.encode("A", bos=False) != other.encode("A", bos=False)
    assert one.content() != other.content()
    assert one.content() == open_tokenizer(path).content()
