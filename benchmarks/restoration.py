"""Does a small T5 restore capitals and punctuation better than copying its input does?

    python benchmarks/restoration.py --target outputs/small_t5_passages/model     # two minutes

Passages of *Alice*, which it never saw, decoded greedily; word accuracy, case and punctuation
included (`evaluation.quality`), of what it writes, of the same cut behind LONGEST times as many
tokens as its source has (a passage is no longer than that, a loop is), and of its own input.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

from litdraft.data.rows.prompt_layout import prompt_tokens
from litdraft.data.sources.examples import prompt_text, response_text
from litdraft.data.sources.restoration import Restoration
from litdraft.decoding.autoregress import Autoregress
from litdraft.evaluation.quality import figures, sums
from litdraft.reports.provenance import provenance
from litdraft.sampling import Sampling
from litdraft.targets.seq2seq import Seq2SeqTarget
from litdraft.tokenizers.load import open_tokenizer

SHARED = Path(os.environ.get("LITDRAFT_SHARED") or "../shared")
RESULTS = Path("benchmarks/results/restoration.json")
BATCH, MOST, LONGEST = 16, 160, 1.5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default="outputs/small_t5_passages/model")
    parser.add_argument("--words", type=int, default=16, help="of a passage at most")
    parser.add_argument("--show", type=int, default=5, help="print so many texts")
    asked = parser.parse_args()
    target, tokenizer = Seq2SeqTarget.open(asked.target), open_tokenizer(asked.target)
    source = Restoration(
        f"{SHARED}/data/books", test="alice", validation="jungle", most_words=asked.words
    )
    examples = list(source.examples("test", tokenizer))
    given = [prompt_text(example) for example in examples]
    wanted = [(response_text(example, tokenizer) or "").strip() for example in examples]
    prompts = [prompt_tokens(tokenizer, target.spec.encoder_decoder, text) for text in given]
    written, cut = [], []
    for at in range(0, len(prompts), BATCH):
        told = Autoregress(target, Sampling()).generate(prompts[at : at + BATCH], MOST).tokens
        written += [tokenizer.decode(tokens) for tokens in told]
        limits = [int(LONGEST * len(prompt)) for prompt in prompts[at : at + BATCH]]
        cut += [tokenizer.decode(t[:most]) for t, most in zip(told, limits, strict=True)]
    copied = [text.removeprefix("Restore: ") for text in given]
    result = {
        "passages": len(examples),
        "restored": vars(figures(sums(written, wanted))),
        "cut": vars(figures(sums(cut, wanted))),
        "passages_cut": sum(a != b for a, b in zip(written, cut, strict=True)),
        "copied": vars(figures(sums(copied, wanted))),
        "whole_passages": sum(a == b for a, b in zip(written, wanted, strict=True)),
        "target": target.spec.facts(),
        **vars(provenance(target.device)),
    }
    for number in range(asked.show):
        print(f"{copied[number]}\n  -> {written[number]}\n  == {wanted[number]}\n")
    for name in ("restored", "cut", "copied"):
        print(name, ", ".join(f"{key} {value:.3f}" for key, value in result[name].items()))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
