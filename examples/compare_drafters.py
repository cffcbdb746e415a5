"""Evaluate two drafters on your own prompts: acceptance, speedup, and whether it is lossless."""

import litdraft

target = litdraft.load_target("tiny")
prompts = ["Once upon a time", "The old house", "One day, a girl named Lily", "It was raining"]
options = litdraft.EvaluationOptions(k=4, max_new_tokens=48)

drafters = {"lookup": litdraft.drafters.Lookup(), "suffix": litdraft.drafters.Suffix()}
for name, drafter in drafters.items():
    report = litdraft.evaluate(target, drafter, prompts, options)
    speedup = report.speedup
    print(
        f"{name}: {report.mean_acceptance_length:.2f} tokens per round, {speedup.value:.2f} times "
        f"as fast [{speedup.low:.2f}, {speedup.high:.2f}], "
        f"{report.losslessness.mismatches} mismatches"
    )
