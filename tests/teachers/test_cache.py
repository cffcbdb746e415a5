"""Cached teacher outputs train as the target itself does."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from tests.fakes import random_target
from tests.training.runs import module_of

from litdraft.data.distributed import Distributed
from litdraft.data.rows.batches import collate
from litdraft.data.rows.packed import Packed
from litdraft.data.rows.rows import Rows
from litdraft.drafters.lstm import LSTM
from litdraft.errors import UserError
from litdraft.losses.objective import Sums
from litdraft.protocols import Drafter, TargetSpec
from litdraft.sampling import Sampling, log_softmax
from litdraft.targets.llama import LlamaTarget
from litdraft.teachers import cache as teacher_cache
from litdraft.teachers.base import Teacher
from litdraft.teachers.cache import TeacherCache
from litdraft.teachers.hidden import Hidden
from litdraft.teachers.online import Online
from litdraft.teachers.shards import readable_size
from litdraft.teachers.topk import TopK

LENGTHS = [9, 30, 4, 17, 22, 12, 2, 25]


def texts() -> Rows:
    generator = torch.Generator().manual_seed(0)
    rows = [torch.randint(3, 20, (n,), generator=generator).tolist() for n in LENGTHS]
    return Rows.of(rows, [1 + n // 4 for n in LENGTHS])


def cache_of(
    folder: Path, teacher: Teacher, target: LlamaTarget, taps: tuple[int, ...] = ()
) -> TeacherCache:
    return TeacherCache(texts(), teacher, target, taps, folder, Distributed())


def small(spec: TargetSpec) -> Drafter:
    torch.manual_seed(0)
    return LSTM(spec, width=12)


def sums_of(target: LlamaTarget, teacher: Teacher, items: list[object]) -> Sums:
    module = module_of(target, small, 3, Sampling())
    module.teacher = teacher
    module.configure_model()
    return module.sums(collate(items))  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("packed", [False, True])
def test_hidden_states_from_the_cache_teach_as_the_target_does(
    tmp_path: Path, dtype: torch.dtype, packed: bool
) -> None:
    target, rows = random_target(dtype=dtype), texts()
    cached = cache_of(tmp_path, Hidden(), target)
    sets = [Packed(some, rows.lengths_B, 40) if packed else some for some in (rows, cached)]
    online, hidden = (
        sums_of(target, teacher, [some[n] for n in range(len(some))])
        for some, teacher in ((sets[0], Online()), (sets[1], Hidden()))
    )
    assert torch.equal(online.count_K, hidden.count_K)
    assert (online.count_K > 0).all()
    # bfloat16 rounds the target's own passes of different shapes apart.
    near = 1e-6 if dtype == torch.float32 else 1e-3
    for name in ("loss_K", "acceptance_K"):
        assert torch.allclose(getattr(hidden, name), getattr(online, name), rtol=near), name


def test_int8_is_exact_to_a_hundredth_of_the_largest_value(tmp_path: Path) -> None:
    target = random_target(dtype=torch.float32)
    exact = cache_of(tmp_path, Hidden(), target)
    small_ = cache_of(tmp_path, Hidden("int8"), target)
    for row in range(len(exact)):
        batch = collate([small_[row]])
        output = Hidden("int8").output(target, batch, ())
        assert output is not None
        teacher_outputs = exact[row].teacher_outputs
        assert teacher_outputs is not None
        error = (output.hidden_BPD[0] - teacher_outputs["hidden"]).abs().amax(-1)
        assert (error <= teacher_outputs["hidden"].abs().amax(-1) / 253).all()


def test_top_probabilities_and_the_mass_of_the_rest(tmp_path: Path) -> None:
    target = random_target(dtype=torch.float32)
    hidden = cache_of(tmp_path, Hidden(), target)
    for top, near in ((target.spec.vocabulary, 2e-3), (4, None)):
        teacher = TopK(top)
        batch = collate([cache_of(tmp_path, teacher, target)[1]])
        predicted = teacher.logits(target, batch, None)(torch.arange(LENGTHS[1] - 1))
        teacher_outputs = hidden[1].teacher_outputs
        assert teacher_outputs is not None
        exact = log_softmax(target.unembed(teacher_outputs["hidden"]))
        assert torch.allclose(predicted.exp().sum(-1), torch.ones(len(predicted)), atol=2e-3)
        best = exact.topk(4).indices
        assert torch.allclose(predicted.gather(1, best), exact.gather(1, best), atol=5e-3)
        assert near is None or torch.allclose(predicted.exp(), exact.exp(), atol=near)


def test_taps_come_with_the_hidden_states(tmp_path: Path) -> None:
    target = random_target(dtype=torch.float32)
    batch = collate([cache_of(tmp_path, Hidden(), target, (0, 1))[n] for n in (0, 3)])
    given = Hidden().output(target, batch, (0, 1))
    exact = Online().output(target, batch, (0, 1))
    assert given is not None
    assert exact is not None
    assert given.taps_BPC is not None
    assert exact.taps_BPC is not None
    for row, length in ((0, LENGTHS[0] - 1), (1, LENGTHS[3] - 1)):
        assert torch.allclose(given.taps_BPC[row, :length], exact.taps_BPC[row, :length], atol=1e-5)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_shard_cut_short_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(teacher_cache, "SHARD_BYTES", 2500)
    target = random_target(dtype=torch.float32)
    cache = cache_of(tmp_path, Hidden(), target)
    whole = contents(cache.folder)
    assert len(whole) > 3
    shards = sorted(cache.folder.glob("*.safetensors"))
    shards[1].write_bytes(whole[shards[1].name][:-10])
    shards[2].unlink()
    times = [shard.stat().st_mtime_ns for shard in (shards[0], *shards[3:])]
    again = cache_of(tmp_path, Hidden(), target)
    assert contents(again.folder) == whole
    assert [s.stat().st_mtime_ns for s in (shards[0], *shards[3:])] == times


def test_processes_share_the_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher_cache, "SHARD_BYTES", 2500)
    target = random_target(dtype=torch.float32)
    alone = contents(cache_of(tmp_path / "alone", Hidden(), target).folder)
    for rank in (0, 1):
        share = Distributed(rank, 2)
        cache = TeacherCache(texts(), Hidden(), target, (), tmp_path / "two", share)
        done = len(list(cache.folder.glob("*.safetensors")))
        assert done == (len(alone) - 1 if rank else -(-(len(alone) - 1) // 2))
    assert contents(cache.folder) == alone


def test_a_cache_with_different_facts_is_refused(tmp_path: Path) -> None:
    target, other = random_target(dtype=torch.float32), random_target(seed=9, dtype=torch.float32)
    path = str(tmp_path / "mine")
    TeacherCache(texts(), Hidden(), target, (), tmp_path, Distributed(), path)
    with pytest.raises(UserError, match="the teacher cache of another target"):
        TeacherCache(texts(), Hidden(), other, (), tmp_path, Distributed(), path)
    with pytest.raises(UserError, match="a teacher cache with a different stored_dtype, teacher"):
        TeacherCache(texts(), TopK(), target, (), tmp_path, Distributed(), path)
    one, two = (cache_of(tmp_path, Hidden(), some).folder for some in (target, other))
    assert one != two


def test_disk_space_is_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: full)
    with pytest.raises(UserError, match=r"has 100 bytes free, but the teacher cache needs 7.23 KB"):
        cache_of(tmp_path, Hidden(), random_target(dtype=torch.float32))
    assert not list(tmp_path.rglob("*.safetensors"))


def test_reported_sizes_are_exact(tmp_path: Path) -> None:
    target = random_target(dtype=torch.float32)
    for teacher in (Hidden(), Hidden("int8"), Hidden("bfloat16"), TopK(4)):
        cache = cache_of(tmp_path, teacher, target, (1,) if isinstance(teacher, Hidden) else ())
        predicted = teacher.bytes_per_token(target.spec, target.dtype, len(cache.taps))
        teacher_outputs = cache[1].teacher_outputs
        assert teacher_outputs is not None
        really = sum(v.element_size() * v[0].numel() for v in teacher_outputs.values())
        assert predicted == really
    assert [readable_size(size) for size in (12, 1234, 3.5e13)] == ["12 bytes", "1.23 KB", "35 TB"]
    with pytest.raises(UserError, match=r"teacher\.dtype=int4"):
        Hidden("int4")


def test_a_drafter_that_reads_hidden_states_needs_them() -> None:
    module = module_of(random_target(), small, 2, Sampling())
    module.teacher = TopK()
    with pytest.raises(UserError, match="teacher=topk does not keep"):
        module.configure_model()
