"""What a pass of a fused target over several tokens costs, against one over a single token: what
there is to gain by drafting at all. It depends on the processor: with AMX rows are nearly free.

    python benchmarks/passes.py                  # mix-13m, a few seconds
    python benchmarks/passes.py --target FOLDER

Medians of 40 passes, sizes in turn, with the likeliest next token, one row behind 128 tokens.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("GOMP_SPINCOUNT", "10000")  # as both entry points do

import torch
from runs import SHARED, table

from litdraft.io import write_json
from litdraft.reports.provenance import provenance
from litdraft.studies.skipping import pass_seconds
from litdraft.targets.llama import LlamaTarget

RESULT = Path("benchmarks/results/passes.json")
BEHIND, SHOWN = 128, (1, 2, 3, 4, 5, 6, 8, 12, 16)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--target", default=str(SHARED / "targets" / "mix-13m"))
    target = LlamaTarget.open(parser.parse_args().target, dtype=None, fused=True)
    most, found = torch.get_num_threads(), {}
    for threads in sorted({1, most}):
        torch.set_num_threads(threads)
        found[threads] = pass_seconds(target, [3, 4, 5], BEHIND)
    dtype = str(target.dtype).removeprefix("torch.")
    told = {"target": target.spec.name, "dtype": dtype, "seconds": found}
    write_json(RESULT, {**told, **vars(provenance(target.device))})
    lines = [
        [f"{threads}", f"{1e3 * told[0]:.3f}", *(f"{told[n - 1] / told[0]:.2f}" for n in SHOWN[1:])]
        for threads, told in found.items()
    ]
    print(table(["threads", "one token, ms", *map(str, SHOWN[1:])], lines))


if __name__ == "__main__":
    main()
