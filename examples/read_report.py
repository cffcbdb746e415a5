"""Read a report that `litdraft evaluate` wrote: python examples/read_report.py outputs/run."""

import sys
from pathlib import Path

import litdraft

folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("outputs/quickstart")
report = litdraft.Report.load(folder / "report.json")

print(f"{report.drafter} for {report.target}, k = {report.k}, on {report.device}")
print(f"{report.mean_acceptance_length:.2f} tokens per round")
print(f"   predicted by replay: {report.predicted_mean_acceptance_length:.2f}")
print(f"   prompt lookup {report.floor.lookup:.2f}, untrained {report.floor.untrained:.2f}")
for position, share in enumerate(report.conditional_acceptance, start=1):
    print(f"   draft position {position}: {100 * share:.0f} % accepted if reached")
low, high = report.speedup.low, report.speedup.high
print(f"{report.speedup.value:.2f} times as fast [{low:.2f}, {high:.2f}]")
print(f"{100 * report.repeated_4grams:.0f} % of the 4-grams are repeated")
