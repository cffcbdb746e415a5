"""Tables of text: what is read, and the error for each broken one."""

from __future__ import annotations

import json
from pathlib import Path

import datasets
import pytest

from litdraft.data.readers.tables import open_hub, open_table
from litdraft.errors import UserError

ROWS = [{"article": 'One, "two"\nthree', "highlights": "1"}, {"article": "x", "highlights": "y"}]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(folder))


def write_tables(folder: Path) -> dict[str, Path]:
    table = datasets.Dataset.from_list([{**row, "id": "7"} for row in ROWS])
    files = {ending: folder / f"t.{ending}" for ending in ("csv", "tsv", "jsonl", "parquet")}
    table.to_csv(files["csv"])
    table.to_csv(files["tsv"], sep="\t")
    table.to_json(files["jsonl"])
    table.to_parquet(files["parquet"])
    return files


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "parquet"])
def test_every_kind_of_file_gives_the_same_rows(tmp_path: Path, ending: str) -> None:
    file = write_tables(tmp_path)[ending]
    assert open_table(file, ["highlights", "article"]) == ROWS


BROKEN = {
    "wrong columns": ("t.csv", b"text,id\na,b\n", "columns text, id, but article is needed"),
    "wrong keys": ("t.jsonl", b'{"text": "a"}\n', "line 1 has the columns text, but article"),
    "empty": ("t.csv", b"", "t.csv is empty"),
    "only a header": ("t.csv", b"article\n", "has no rows"),
    "an open quote": ("t.csv", b'article\n"a\n', "line 2 is broken"),
    "too many fields": ("t.csv", b"article\na\nb,c\n", "line 3: 2 fields, but the header names 1"),
    "broken JSON": ("t.jsonl", b'{"article": "a"}\n{"art\n', "line 2 is not JSON"),
    "no object": ("t.jsonl", b"[1]\n", "line 1 has list, not a JSON object"),
    "no UTF-8": ("t.csv", b"article\ncaf\xe9\n", r"not UTF-8: byte 11 \(line 2\)"),
    "binary": ("t.csv", b"article\n\0\n", "is a binary file"),
    "no parquet": ("t.parquet", b"article\n", "not readable as a .parquet file"),
    "empty parquet": ("t.parquet", b"", "not readable as a .parquet file"),
    "another ending": (
        "t.xlsx",
        b"article\n",
        "is not a table: give .csv, .tsv, .parquet or .jsonl",
    ),
}


@pytest.mark.parametrize("name, content, message", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_file_is_reported(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        open_table(tmp_path / name, ["article"])


def test_a_parquet_file_without_the_column_or_rows_is_reported(tmp_path: Path) -> None:
    file = write_tables(tmp_path)["parquet"]
    with pytest.raises(UserError, match="columns article, highlights, id, but summary is needed"):
        open_table(file, ["summary"])
    datasets.Dataset.from_dict({"article": []}).to_parquet(file)
    with pytest.raises(UserError, match="has no rows"):
        open_table(file, ["article"])


def write_hub(folder: Path) -> Path:
    folder.mkdir()
    for split in ("train", "test"):
        rows = [
            {"article": f"{split} {i}", "highlights": "h", "id": str(i), "number": i}
            for i in range(3)
        ]
        (folder / "3.0.0").mkdir(exist_ok=True)
        datasets.Dataset.from_list(rows).to_parquet(folder / "3.0.0" / f"{split}-00000.parquet")
    card = "---\nconfigs:\n- config_name: 3.0.0\n  data_files:\n" + "".join(
        f"  - split: {split}\n    path: 3.0.0/{split}-*\n" for split in ("train", "test")
    )
    (folder / "README.md").write_text(card + "---\n", encoding="utf-8")
    return folder


def test_a_folder_laid_out_like_the_hub(tmp_path: Path) -> None:
    hub = write_hub(tmp_path / "cnn")
    table = open_hub(str(hub), "3.0.0", "test", ["article"])
    assert [len(table), table[2]["article"]] == [3, "test 2"]
    with pytest.raises(UserError, match="columns article, highlights, id, but summary"):
        open_hub(str(hub), "3.0.0", "test", ["summary"])
    with pytest.raises(UserError, match="but number is needed"):
        open_hub(str(hub), "3.0.0", "test", ["number"])
    with pytest.raises(
        UserError, match=r"'2.0.0' cannot be opened \(BuilderConfig '2.0.0' not found"
    ):
        open_hub(str(hub), "2.0.0", "test", ["article"])
    with pytest.raises(UserError, match="split 'validation' of"):
        open_hub(str(hub), "3.0.0", "validation", ["article"])


def test_no_code_of_a_data_set_runs(tmp_path: Path) -> None:
    hub = write_hub(tmp_path / "cnn")
    proof = tmp_path / "ran"
    (hub / "cnn.py").write_text(f"open({json.dumps(str(proof))}, 'w')\n", encoding="utf-8")
    with pytest.raises(UserError, match="scripts are no longer supported"):
        open_hub(str(hub), "3.0.0", "test", ["article"])
    assert not proof.exists()


@pytest.mark.parametrize("name", ["wmt/no-such-data-set", "/no/such/folder"])
def test_a_hub_out_of_reach_is_reported(name: str) -> None:
    with pytest.raises(UserError, match=f"{name} cannot be reached .no network, or no such data"):
        open_hub(name, "de-en", "train", ["translation"])


def test_a_full_disk_is_not_called_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(datasets, "load_dataset", full)
    with pytest.raises(UserError, match=r"cannot be opened .*No space left on device"):
        open_hub("wmt/wmt14", "de-en", "train", ["translation.de"])
