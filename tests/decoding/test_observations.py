"""What a drafter is shown is what the target has read and the loop has kept: all of it, once."""

from __future__ import annotations

import pytest
import torch
from tests.fakes import random_target

from litdraft.decoding import batching as shapes
from litdraft.decoding import speculate
from litdraft.decoding.speculate import Speculate
from litdraft.drafters.lookup import Lookup
from litdraft.protocols import Context, Needs, Observation
from litdraft.sampling import Sampling

PROMPTS = [[1, 5, 6, 7, 5, 6], [1, 9], [1, 3, 4, 3, 4, 3, 4, 8, 2]]


class Recorder(Lookup):
    """Lookup that writes down what it is shown, row by row."""

    needs = Needs(hidden=True, taps=(1,))

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[Observation, torch.Tensor]] = []

    def observe(self, state: None, seen: Observation, context: Context) -> None:
        self.shown.append((seen, context.length_B.clone()))


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_every_token_is_shown_once_where_it_stands(
    temperature: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(speculate.PATIENCE, "cpu", 7)
    monkeypatch.setattr(shapes, "CROWD", 0)  # some rows are done long before the others
    target, drafter = random_target(eos=(11,)), Recorder()
    generation = Speculate(target, drafter, 3, Sampling(temperature)).generate(PROMPTS, 40)
    assert any(sum(row) > 0 for row in generation.accepted), "nothing accepted tests little"
    for row, (prompt, written) in enumerate(zip(PROMPTS, generation.tokens, strict=True)):
        text: list[int] = []
        hidden, taps = [], []
        for seen, length_B in drafter.shown:
            start, count = int(seen.start_B[row]), int(seen.count_B[row])
            assert start == len(text)
            text += seen.tokens_BP[row, :count].tolist()
            hidden.append(seen.hidden_BPD[row, :count])
            assert seen.taps_BPC is not None
            taps.append(seen.taps_BPC[row, :count])
            assert len(text) == int(length_B[row]) - 1, "all but the emitted and unread token"
            if count:
                assert torch.equal(seen.last_hidden_BD()[row], seen.hidden_BPD[row, count - 1])
        assert text == [*prompt, *written][:-1]
        exact = target.forward(torch.tensor([text]), taps=(1,))
        assert exact.taps_BPC is not None
        assert (torch.cat(hidden) - exact.hidden_BPD[0]).abs().max() < 1e-12
        assert (torch.cat(taps) - exact.taps_BPC[0]).abs().max() < 1e-12
