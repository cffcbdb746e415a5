"""Print a text as it appears, accepted tokens in green."""

import litdraft

target = litdraft.load_target("tiny")
decoder = litdraft.SpeculativeDecoder(target, litdraft.drafters.Suffix(), k=6)

prompt = "Once upon a time"
print(prompt, end="", flush=True)
rounds = tokens = 0
for chunk in decoder.stream(prompt, max_new_tokens=80):
    colour = "\x1b[32m" if chunk.accepted else ""
    print(f"{colour}{chunk.text}\x1b[0m", end="", flush=True)
    rounds += chunk.drafted > 0
    tokens += len(chunk.tokens)
print(f"\n\n{tokens} tokens; the target ran {rounds} rounds with a draft")
