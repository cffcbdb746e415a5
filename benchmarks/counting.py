"""How long drafter=ngram takes to count a text, and how large it becomes.

    python benchmarks/counting.py --text ../shared/data --tokenizer ../shared/targets/mix-13m

Texts of 500 tokens drawn independently, token r with probability proportional to 1 / r (Zipf): more
different n-grams than any real text has, so nothing takes longer. With --text, also all *.txt files
below that path, each paragraph a text. The best of some repeats.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from litdraft.drafters.ngram import NGram
from litdraft.io import replacing
from litdraft.protocols import TargetSpec
from litdraft.reports.provenance import provenance
from litdraft.tokenizers.load import open_tokenizer

LENGTH = 500


def zipf(tokens: int, vocabulary: int) -> list[Tensor]:
    mass_V = (1 / torch.arange(1, vocabulary + 1).double()).cumsum(0)
    uniforms_n = torch.rand(tokens, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    return list(torch.searchsorted(mass_V, uniforms_n * mass_V[-1]).split(LENGTH))


def paragraphs(text: Path, tokenizer: Path) -> tuple[list[Tensor], int]:
    """Their tokens, and the size of the vocabulary."""
    pieces = open_tokenizer(tokenizer)
    files = sorted(text.rglob("*.txt")) if text.is_dir() else [text]
    parts = [
        part for file in files for part in file.read_text("utf-8", "replace").split("\n\n") if part
    ]
    return [torch.tensor(pieces.encode(part)) for part in parts], pieces.size


def measured(
    texts: list[Tensor], vocabulary: int, order: int, least: int, repeats: int
) -> dict[str, Any]:
    drafter = NGram(TargetSpec("none", vocabulary, 1, 1, 1, None, ()), order, least=least)
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        drafter.count(texts)
        seconds.append(time.perf_counter() - started)
    size = sum(buffer.numel() * buffer.element_size() for buffer in drafter.buffers())
    return {
        "tokens": sum(map(len, texts)),
        "vocabulary": vocabulary,
        "order": order,
        "least": least,
        "seconds": round(min(seconds), 2),
        "slowest": round(max(seconds), 2),
        "mebibytes": round(size / 2**20, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=10_000_000)
    parser.add_argument("--vocabularies", type=int, nargs="+", default=[8192, 128_256])
    parser.add_argument("--order", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--text", type=Path)
    parser.add_argument("--tokenizer", type=Path)
    parser.add_argument("--out", default="benchmarks/results/counting.json")
    arguments = parser.parse_args()
    if (arguments.text is None) != (arguments.tokenizer is None):
        parser.error("--text and --tokenizer go together: give both or neither")
    told = []
    for vocabulary in arguments.vocabularies:
        texts = zipf(arguments.tokens, vocabulary)
        for least in (1, 2):
            row = measured(texts, vocabulary, arguments.order, least, arguments.repeats)
            told.append({"text": "zipf", **row})
            print(told[-1], flush=True)
    if arguments.text is not None:
        texts, vocabulary = paragraphs(arguments.text, arguments.tokenizer)
        for least in (1, 2):
            row = measured(texts, vocabulary, arguments.order, least, arguments.repeats)
            told.append({"text": "real", **row})
            print(told[-1], flush=True)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    with replacing(Path(arguments.out)) as path:
        report = {"counts": told, "peak_gibibytes": peak, **vars(provenance(torch.device("cpu")))}
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
