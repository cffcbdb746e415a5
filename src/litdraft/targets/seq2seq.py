"""A frozen encoder-decoder behind the Target protocol."""

from __future__ import annotations

from pathlib import Path

import torch

from litdraft.checkpoints.hf_t5 import open_t5_folder
from litdraft.checkpoints.hub import local_path
from litdraft.checkpoints.load import load_t5
from litdraft.errors import UserError
from litdraft.networks.t5 import T5
from litdraft.targets.frozen import Frozen, dtype_of


class Seq2SeqTarget(Frozen):
    """A T5, FLAN-T5 or mT5, natively. Its rows are source, start token and text in one (see
    `protocols.Sides`), so nothing else needs to know that it has an encoder."""

    def __init__(self, model: T5, name: str = "t5", eos: tuple[int, ...] = ()) -> None:
        super().__init__(model, name, None, eos, encoder_decoder=model.config.encoder_decoder)

    @property
    def packs(self) -> bool:
        return False

    @classmethod
    def open(
        cls,
        path: str | Path,
        dtype: torch.dtype | None = torch.float32,
        device: torch.device | str = "cpu",
        fused: bool = False,
        context: int | None = None,
    ) -> Seq2SeqTarget:
        """A Hugging Face folder or OWNER/NAME; UserError if it is none of a T5.

        dtype None keeps the weights as they are stored, or in float32 on a CPU; `fused` changes
        nothing here. `context` source tokens, and rows of twice as many, instead of n_positions:
        nothing in a T5 ends there, but it was not made for more. float16 is refused, and bfloat16
        taken for weights that are stored in it: feed-forward layers overflow there.
        """
        folder = local_path(path)
        if not (folder / "config.json").is_file():
            raise UserError(f"{path} holds no config.json: give a Hugging Face folder of a T5")
        opened, device = open_t5_folder(folder), torch.device(device)
        if dtype == torch.float16:
            raise UserError("a T5 overflows in float16: give dtype=bfloat16 or float32")
        if dtype is None:
            dtype = dtype_of(next(iter(opened.parts())).values.dtype, device, fused=False)
            dtype = torch.bfloat16 if dtype == torch.float16 else dtype
        model = load_t5(opened, dtype, device, context)
        name = opened.name if folder == Path(path).expanduser() else str(path)
        return cls(model, name, opened.eos)
