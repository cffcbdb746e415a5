"""LitDraft's T5 against transformers' T5, and its folders."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.networks.t5_networks import KINDS, START, VOCABULARY, network, saved
from tests.networks.trees import PARENTS, check_tree
from torch import Tensor
from transformers import T5ForConditionalGeneration

from litdraft.checkpoints.hf_t5 import open_t5_folder, save_t5_folder
from litdraft.checkpoints.load import load_t5
from litdraft.errors import UserError
from litdraft.networks.t5 import T5
from litdraft.networks.t5_blocks import T5Config
from litdraft.networks.t5_cache import T5Cache

SOURCES, WRITTEN = (20, 3, 11), 15
TOLERANCE = 1e-5


class Rows:
    """Ragged sources with texts after them, and the outputs of transformers for each."""

    def __init__(self, model: Any) -> None:
        generator = torch.Generator().manual_seed(1)
        self.source_B = torch.tensor(SOURCES)
        source_BS = torch.randint(3, VOCABULARY, (3, max(SOURCES)), generator=generator)
        text_BP = torch.randint(3, VOCABULARY, (3, WRITTEN), generator=generator)
        text_BP[:, 0] = START
        self.tokens_BT = torch.zeros(3, max(SOURCES) + WRITTEN, dtype=torch.long)
        for row, size in enumerate(SOURCES):
            joined = torch.cat((source_BS[row, :size], text_BP[row]))
            self.tokens_BT[row, : len(joined)] = joined
        mask_BS = torch.arange(max(SOURCES)) < self.source_B[:, None]
        output = model(
            input_ids=source_BS.masked_fill(~mask_BS, 0),
            attention_mask=mask_BS.long(),
            decoder_input_ids=text_BP,
            output_hidden_states=True,
        )
        self.logits_BPV = output.logits
        self.encoded_BSD = output.encoder_last_hidden_state
        self.streams = output.decoder_hidden_states

    def text_part(self, x_BTC: Tensor) -> Tensor:
        """The positions of whole rows after the sources, BPC."""
        position_BP = self.source_B[:, None] + torch.arange(WRITTEN)
        return x_BTC.gather(1, position_BP[..., None].expand(-1, -1, x_BTC.shape[2]))


@pytest.fixture(params=KINDS)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, T5]:
    folder = saved(tmp_path, request.param, torch.float32)
    return network(request.param, torch.float32), load_t5(open_t5_folder(folder))


def near(one: Tensor, other: Tensor) -> bool:
    """Equal up to float32's rounding, relative to the largest value."""
    return bool((one - other).abs().max() <= TOLERANCE * other.abs().max().clamp_min(1.0))


@torch.no_grad()
def test_a_whole_pass_equals_transformers(pair: tuple[Any, T5]) -> None:
    """Logits, encoder and taps, of ragged rows, in float32."""
    theirs, ours = pair
    rows = Rows(theirs)
    hidden_BTD, taps_BTC = ours.forward(rows.tokens_BT, taps=(0, 1), prompt_B=rows.source_B + 1)
    assert near(ours.unembed(rows.text_part(hidden_BTD)), rows.logits_BPV)
    for row, size in enumerate(SOURCES):
        assert near(hidden_BTD[row, :size], rows.encoded_BSD[row, :size])
    assert taps_BTC is not None
    assert near(rows.text_part(taps_BTC), torch.cat(rows.streams[:2], -1))


@torch.no_grad()
def test_reading_in_pieces_equals_reading_at_once(pair: tuple[Any, T5]) -> None:
    """Through the cache: rows roll back, differ in length, leave; far beyond the bias's reach."""
    theirs, ours = pair
    rows = Rows(theirs)
    prompt_B, own_B = rows.source_B + 1, torch.arange(3)
    whole_BTD = ours.forward(rows.tokens_BT, prompt_B=prompt_B)[0]
    cache = ours.allocate(3, max(SOURCES) + WRITTEN)
    first_BTD = ours.forward(rows.tokens_BT[:, : max(SOURCES) + 1], cache, prompt_B=prompt_B)[0]
    assert near(first_BTD[own_B, rows.source_B], whole_BTD[own_B, rows.source_B])
    cache.keep(prompt_B)
    for count, kept, stay in (
        (5, [3, 5, 1], [2, 0, 1]),  # each row keeps some tokens, the others are rejected
        (1, [1, 0, 1], [0, 2]),
        (4, [1, 4], [1, 0]),
        (4, [4, 4], [0]),
    ):
        position_BP = cache.length_B[:, None] + torch.arange(count)
        read_BPD = ours.forward(rows.tokens_BT[own_B[:, None], position_BP], cache)[0]
        assert near(read_BPD, whole_BTD[own_B[:, None], position_BP])
        cache.keep(torch.tensor(kept))
        cache.select(torch.tensor(stay))
        cache.limit_slots(max(SOURCES) + WRITTEN)
        own_B = own_B[stay]


@pytest.mark.parametrize("kind", PARENTS)
def test_a_tree_is_read_like_its_paths(pair: tuple[Any, T5], kind: str) -> None:
    """The position bias counts depths, not slots; beyond its reach, too."""
    ours = pair[1].double()
    rows = Rows(pair[0])
    prompt_B = rows.source_B + 1
    kept_B = torch.tensor([9, 0, 4])

    @torch.no_grad()
    def prefilled() -> T5Cache:
        cache = ours.allocate(3, max(SOURCES) + 40)
        ours.forward(rows.tokens_BT[:, : max(SOURCES) + 1], cache, prompt_B=prompt_B)
        cache.keep(prompt_B)
        text_BP = rows.tokens_BT.gather(1, prompt_B[:, None] + torch.arange(9))
        ours.forward(text_BP, cache)
        cache.keep(kept_B)
        return cache

    check_tree(ours, prefilled, kind, 1e-9)


@torch.no_grad()
def test_a_folder_is_saved_and_loaded(pair: tuple[Any, T5], tmp_path: Path) -> None:
    """Transformers and LitDraft both read what LitDraft wrote."""
    theirs, ours = pair
    save_t5_folder(ours, tmp_path / "again", torch.float32, eos=(2,))
    again: Any = T5ForConditionalGeneration.from_pretrained(tmp_path / "again").eval()
    assert (Rows(again).logits_BPV - Rows(theirs).logits_BPV).abs().max() == 0
    opened = open_t5_folder(tmp_path / "again")
    assert (opened.config, opened.eos) == (ours.config, (2,))
    for name, weight in load_t5(opened).state_dict().items():
        assert torch.equal(weight, ours.state_dict()[name]), name


def test_gradients_reach_every_weight() -> None:
    ours = T5(T5Config(VOCABULARY, 16, 1, 1, 2, 8, 24, START))
    ours.reset_parameters()
    tokens_BT = torch.randint(3, VOCABULARY, (2, 12))
    hidden_BTD = ours.forward(tokens_BT, prompt_B=torch.tensor([5, 7]))[0]
    ours.unembed(hidden_BTD[:, 7:]).square().sum().backward()
    assert all(weight.grad is not None for weight in ours.parameters())


def test_a_broken_folder_is_refused(tmp_path: Path) -> None:
    def edited(**keys: Any) -> Callable[[Path], None]:
        def edit(folder: Path) -> None:
            path = folder / "config.json"
            path.write_text(json.dumps({**json.loads(path.read_text()), **keys}))

        return edit

    cases: dict[str, Callable[[Path], None]] = {
        "feed_forward_proj is 'gated-swish', but must be one of relu": edited(
            feed_forward_proj="gated-swish"
        ),
        "d_ff is 0, but must be a whole number": edited(d_ff=0),
        "has no tensor decoder.block.2": edited(num_decoder_layers=3),
        "has decoder.block.1.*which this T5 does not have": edited(num_decoder_layers=1),
        "has shape .*, but config.json requires": edited(d_kv=7),
        "only T5, FLAN-T5 and mT5 are supported": edited(model_type="umt5"),
        "has neither model.safetensors nor": lambda f: (f / "model.safetensors").unlink(),
    }
    for number, (message, broken) in enumerate(cases.items()):
        folder = saved(tmp_path / str(number), "flan")
        broken(folder)
        with pytest.raises(UserError, match=message):
            open_t5_folder(folder)
