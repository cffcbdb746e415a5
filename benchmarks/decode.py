"""LitDraft beside its peers: the same checkpoint, prompts, machine and threads, taking turns.

    python benchmarks/decode.py --target FOLDER --run outputs/mix --text stories.txt

Peers are what is found: transformers (in this environment), and llama.cpp and llama2.c through
LITDRAFT_LLAMA_CPP="PROGRAM MODEL.gguf" and LITDRAFT_LLAMA2C="PROGRAM MODEL.bin", programs built
from benchmarks/peers/ (see there). LITDRAFT_ASSISTANT=FOLDER is a small model with the same
tokenizer for transformers' assisted generation.

Seconds are of decoding alone, end tokens ignored: the first new token belongs to the prefill.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as both entry points do

import torch

from litdraft.decoding.autoregress import Autoregress
from litdraft.decoding.result import Decoder
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.io import write_json
from litdraft.reports.provenance import provenance
from litdraft.runs.open import open_run
from litdraft.sampling import Sampling
from litdraft.targets.llama import LlamaTarget
from litdraft.tokenizers.load import open_tokenizer

Ids = list[int]
Run = Callable[[], "list[Decoded]"]


@dataclass(frozen=True)
class Decoded:
    """What a contestant wrote behind one prompt, and how long decoding took."""

    ids: Ids
    seconds: float


@dataclass
class Contestant:
    """One way to decode, with tokens per second of every turn."""

    name: str
    run: Run
    paces: list[float] = field(default_factory=list)
    texts: list[Ids] = field(default_factory=list)

    def turn(self) -> None:
        told = self.run()
        self.texts = [one.ids for one in told]
        tokens = sum(len(one.ids) - 1 for one in told)
        self.paces.append(tokens / sum(one.seconds for one in told))


def own(decoder: Decoder, prompts: Sequence[Ids], tokens: int) -> Run:
    def run() -> list[Decoded]:
        told = [decoder.generate([prompt], tokens) for prompt in prompts]
        return [Decoded(one.tokens[0], one.decode_seconds) for one in told]

    return run


def litdraft(arguments: argparse.Namespace, prompts: Sequence[Ids]) -> list[Contestant]:
    """Plain, by lookup, and with a trained drafter; the eager network beside."""
    told, tokens, greedy = [], arguments.tokens, Sampling()
    fused = LlamaTarget.open(arguments.target, None, fused=True)
    eager = LlamaTarget.open(arguments.target, torch.float32)
    for target in (fused, eager):
        target.spec = replace(target.spec, eos=())
    name = f"litdraft, plain, {str(fused.dtype).removeprefix('torch.')}"
    told.append(Contestant(name, own(Autoregress(fused, greedy), prompts, tokens)))
    for k in arguments.k:
        loop = Speculate(fused, Lookup(fused.spec), k, greedy)
        told.append(Contestant(f"litdraft, lookup, k={k}", own(loop, prompts, tokens)))
    for run in arguments.run:
        drafter = open_run(run).drafter
        drafter.bind(fused)
        drafter.prepare_for_decoding(fused.dtype, native=True)
        for k in arguments.k:
            loop = Speculate(fused, drafter, k, greedy)
            label = f"litdraft, {Path(run).name}, k={k}"
            told.append(Contestant(label, own(loop, prompts, tokens)))
    plain = Autoregress(eager, greedy)
    told.append(Contestant("litdraft, plain, eager float32", own(plain, prompts, tokens)))
    return told


def transformers(arguments: argparse.Namespace, prompts: Sequence[Ids]) -> list[Contestant]:
    """generate: as it comes, with a compiled static cache, with an assistant, by prompt lookup."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.set_verbosity_error()

    def contestant(name: str, model: Any, **how: Any) -> Contestant:
        def once(prompt: Ids, tokens: int) -> tuple[Ids, float]:
            given = torch.tensor([prompt])
            started = time.perf_counter()
            with torch.inference_mode():
                told = model.generate(
                    given, attention_mask=torch.ones_like(given), do_sample=False,
                    max_new_tokens=tokens, min_new_tokens=tokens, eos_token_id=None,
                    pad_token_id=0, **how,
                )  # fmt: skip
            return told[0, len(prompt) :].tolist(), time.perf_counter() - started

        def run() -> list[Decoded]:
            found = []
            for prompt in prompts:
                _, prefill = once(prompt, 1)
                ids, whole = once(prompt, arguments.tokens)
                found.append(Decoded(ids, max(whole - prefill, 1e-9)))
            return found

        return Contestant(f"transformers, {name}", run)

    told, load = [], AutoModelForCausalLM.from_pretrained
    for dtype in (torch.float32, torch.bfloat16):
        model = load(arguments.target, dtype=dtype).eval()
        label = str(dtype).removeprefix("torch.")
        told.append(contestant(f"generate, {label}", model))
        if dtype == torch.float32:
            for k in arguments.k:
                told.append(contestant(f"prompt lookup, k={k}", model, prompt_lookup_num_tokens=k))
            if assistant := os.environ.get("LITDRAFT_ASSISTANT"):
                small = load(assistant, dtype=dtype).eval()
                told.append(contestant("assisted generation", model, assistant_model=small))
            if arguments.static:
                static = load(arguments.target, dtype=dtype).eval()
                static.forward = torch.compile(static.forward)
                told.append(
                    contestant("static cache, compiled", static, cache_implementation="static")
                )
    return told


def binaries(arguments: argparse.Namespace, file: Path) -> list[Contestant]:
    """Programs of benchmarks/peers/, named by the environment."""

    def contestant(name: str, command: str, *more: str, **environment: str) -> Contestant:
        words = [*shlex.split(command), str(file), str(arguments.tokens), str(arguments.threads)]

        def run() -> list[Decoded]:
            told = subprocess.run(
                [*words, *more], check=True, capture_output=True, text=True,
                env={**os.environ, **environment},
            ).stdout.splitlines()  # fmt: skip
            rows = [json.loads(line) for line in told]
            return [Decoded(row["ids"], row["decode_seconds"]) for row in rows]

        return Contestant(name, run)

    told = []
    if program := os.environ.get("LITDRAFT_LLAMA_CPP"):
        for attention in ("auto", "off"):  # flash attention: off was seen to be faster here
            told.append(contestant(f"llama.cpp, flash {attention}", program, LC_FA=attention))
            for k in arguments.k:
                name = f"llama.cpp, lookup, k={k}, flash {attention}"
                told.append(contestant(name, program, "lookup", str(k), LC_FA=attention))
    if program := os.environ.get("LITDRAFT_LLAMA2C"):
        told.append(contestant("llama2.c, float32", program))
    return told


def prompts_of(arguments: argparse.Namespace) -> list[Ids]:
    """Openings of a text's paragraphs."""
    tokenizer = open_tokenizer(arguments.target)
    text = Path(arguments.text).read_text(encoding="utf-8")
    rows = (tokenizer.encode(part.strip()) for part in text.split(arguments.separator))
    some = [row[: arguments.opening] for row in rows if len(row) >= arguments.opening]
    return some[: arguments.prompts]


def table(contestants: Sequence[Contestant], base: str, ours: str) -> list[dict[str, Any]]:
    """A row each: median, spread, and the ratio to two others within the same turn."""
    by_name = {one.name: one for one in contestants}
    rows = []
    for one in contestants:
        row: dict[str, Any] = {
            "name": one.name,
            "tokens_per_second": statistics.median(one.paces),
            "low": min(one.paces),
            "high": max(one.paces),
            "same_texts": sum(
                mine == other for mine, other in zip(one.texts, by_name[ours].texts, strict=True)
            ),
        }
        for label, other in (("against_base", base), ("against_plain", ours)):
            if other in by_name:
                pairs = zip(one.paces, by_name[other].paces, strict=True)
                row[label] = statistics.median(mine / its for mine, its in pairs)
        rows.append(row)
    return rows


def show(rows: Sequence[dict[str, Any]], base: str, prompts: int) -> str:
    lines = [
        f"| | tokens/s | lowest, highest | x {base} | x own plain | same text as own plain |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for row in sorted(rows, key=lambda row: row["tokens_per_second"]):
        cells = [
            row["name"],
            f"{row['tokens_per_second']:.0f}",
            f"{row['low']:.0f}, {row['high']:.0f}",
            f"{row['against_base']:.2f}" if "against_base" in row else "",
            f"{row['against_plain']:.2f}",
            f"{row['same_texts']} of {prompts}",
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", required=True, help="a Hugging Face Llama folder")
    parser.add_argument("--text", required=True, help="a text file; its paragraphs are continued")
    parser.add_argument("--separator", default="\n\n", help="what stands between paragraphs")
    parser.add_argument("--run", nargs="*", default=[], help="run folders of trained drafters")
    parser.add_argument("--k", nargs="*", type=int, default=[3, 5])
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--opening", type=int, default=48, help="tokens of a prompt")
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--static", action="store_true", help="also transformers' compiled cache")
    parser.add_argument("--out", default="benchmarks/results/decode.json")
    return parser.parse_args()


def main() -> None:
    warnings.filterwarnings("ignore")
    arguments = parsed()
    torch.set_num_threads(arguments.threads)
    prompts = prompts_of(arguments)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "prompts.txt"
        file.write_text("".join(" ".join(map(str, row)) + "\n" for row in prompts))
        contestants = [
            *litdraft(arguments, prompts),
            *transformers(arguments, prompts),
            *binaries(arguments, file),
        ]
        base, ours = "transformers, generate, float32", contestants[0].name
        for turn in range(arguments.turns + 1):
            for one in contestants:
                one.turn()
                print(f"turn {turn}: {one.name}: {one.paces[-1]:.0f}", file=sys.stderr, flush=True)
        for one in contestants:
            one.paces = one.paces[1:]  # the first turn warms up
    rows = table(contestants, base, ours)
    told = {
        "rows": rows,
        "settings": {**vars(arguments), "run": [Path(run).name for run in arguments.run],
                     "target": Path(arguments.target).name, "text": Path(arguments.text).name},
        "contestants": [asdict(replace(one, run=None, texts=[])) for one in contestants],  # type: ignore[arg-type]
        **vars(provenance(torch.device("cpu"))),
    }  # fmt: skip
    write_json(Path(arguments.out), told)
    print(show(rows, "transformers", len(prompts)))


if __name__ == "__main__":
    main()
