"""Load a target and continue some prompts with a drafter that needs no training."""

import litdraft

# "tiny" is embedded. A folder, a llama2.c file or a name on the Hugging Face hub work the same.
target = litdraft.load_target("tiny")

# Prompt lookup drafts what followed the last time the same words stood in the text.
# A trained drafter: litdraft.load_drafter("outputs/run", target).
drafter = litdraft.drafters.Lookup()
decoder = litdraft.SpeculativeDecoder(target, drafter, k=4)

result = decoder.generate(["Once upon a time", "The old house"], max_new_tokens=60)
for text in result.texts:
    print(text, end="\n\n")

# Greedy output is the target's own, whatever the drafter proposes.
print(f"{result.mean_acceptance_length:.2f} tokens per round")
print(f"{100 * result.acceptance_rate:.0f} % of the drafted tokens accepted")
print(f"{result.tokens_per_second:.0f} tokens per second")
