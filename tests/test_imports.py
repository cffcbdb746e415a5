"""Imports run one way: the order of the house, read from the source of every module."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = "litdraft"
SOURCE = Path(__file__).resolve().parent.parent / "src" / PACKAGE

# Lowest first. A part may import itself and every part of a lower layer; parts that share a layer
# do not know each other. The longest name wins: `runs.lock` is not `runs`.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("errors", "device_sync"),
    ("io", "native", "limits", "quiet"),
    ("sampling",),
    ("protocols",),
    ("networks",),
    ("checkpoints",),
    ("tokenizers",),
    ("targets", "drafters", "losses"),
    ("decoding", "acceptance"),
    ("data",),
    ("teachers",),
    ("reports", "runs.status"),
    ("runs.checkpoints", "runs.lock"),
    ("training", "evaluation"),
    ("studies", "sweeps"),
    ("config",),
    ("runs",),
    ("api",),
    ("",),  # the package itself: the public API
    ("cli",),
)
LAYER_OF = {part: layer for layer, parts in enumerate(LAYERS) for part in parts}

# Language models that another family may hold as its body; beside drafters/parts/ the only
# modules of drafters/ that a family may take from.
BODIES = frozenset({"cnn_lm", "ngram"})

KNOW_HYDRA = frozenset({"config", "runs", "cli"})  # runs.open and runs.restore read saved configs
HYDRA = frozenset({"hydra", "omegaconf"})
ENTRY_POINTS = frozenset({"train", "evaluate"})


class Import(NamedTuple):
    """One import statement's one name: `importer` and `imported` are full module names."""

    importer: str
    imported: str
    line: int


def modules_of(source: Path) -> dict[str, Path]:
    """Every module under the package folder, by its full name."""
    names = {}
    for path in sorted(source.rglob("*.py")):
        parts = [PACKAGE, *path.relative_to(source).with_suffix("").parts]
        names[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return names


def imports_of(name: str, path: Path, modules: dict[str, Path]) -> Iterator[Import]:
    """Every import in a module, also those inside functions and `if TYPE_CHECKING`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(name, alias.name, node.lineno)
        elif isinstance(node, ast.ImportFrom):
            base = origin(node, name, is_package=path.name == "__init__.py")
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                yield Import(name, whole if whole in modules else base, node.lineno)


def origin(node: ast.ImportFrom, name: str, *, is_package: bool) -> str:
    """The full name of the module after `from`, its leading dots resolved."""
    if not node.level:
        return node.module or ""
    up = node.level - is_package
    parents = name.split(".")[: len(name.split(".")) - up]
    return ".".join([*parents, *([node.module] if node.module else [])])


def part_of(module: str) -> str | None:
    """The part of the house a module belongs to; None if it has no place yet."""
    names = module.split(".")[1:]
    if not names:
        return ""
    longest_first = (".".join(names[:end]) for end in range(len(names), 0, -1))
    return next((part for part in longest_first if part in LAYER_OF), None)


def family_of(module: str) -> str:
    """`litdraft.drafters.parts.head` belongs to `parts`; drafters itself to ''."""
    return next(iter(module.split(".")[2:]), "")


def complaint(found: Import) -> str | None:
    """Why an import breaks the order, in one sentence; None if it does not."""
    here, there = part_of(found.importer), part_of(found.imported)
    top = found.imported.split(".")[0]
    if here is None:
        return f"{found.importer} has no place in LAYERS"
    if top in HYDRA and here not in KNOW_HYDRA:
        return f"only {', '.join(sorted(KNOW_HYDRA))} import {top}"
    if top in ENTRY_POINTS:
        return "nothing in the package imports an entry point"
    if top != PACKAGE:
        return None
    if there is None:
        return f"{found.imported} has no place in LAYERS"
    if here == there == "drafters":
        return family_complaint(family_of(found.importer), family_of(found.imported))
    if here != there and LAYER_OF[there] >= LAYER_OF[here]:
        return f"{there} does not stand below {here or 'the package'}"
    return None


def family_complaint(here: str, there: str) -> str | None:
    """A family takes parts and bodies, and no other family; parts take only parts."""
    if here in ("", there) or there == "parts" or (there in BODIES and here != "parts"):
        return None  # the package's own __init__ lists the families for the public API
    return (
        f"drafters do not know each other, but {here or 'drafters'} imports {there or 'drafters'}"
    )


def offences(source: Path) -> list[str]:
    """Every import that breaks the order: file, line, what it imports, why not."""
    modules = modules_of(source)
    return [
        f"{modules[found.importer].relative_to(source.parent)}:{found.line}: "
        f"imports {found.imported}: {reason}"
        for name, path in modules.items()
        for found in imports_of(name, path, modules)
        if (reason := complaint(found))
    ]


def test_imports_run_one_way() -> None:
    found = offences(SOURCE)
    assert not found, "\n" + "\n".join(found)


def house(root: Path, files: dict[str, str]) -> Path:
    """A made-up package of the given files, with an empty `__init__.py` in every folder."""
    source = root / PACKAGE
    for name, text in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    for folder in {source, *(path.parent for path in source.rglob("*.py"))}:
        (folder / "__init__.py").touch()
    return source


TARGET = {"targets/llama.py": "", "networks/llama.py": "", "drafters/cnn.py": ""}

BROKEN = {
    "upwards": ("sampling.py", "import litdraft.networks.llama", "networks"),
    "upwards, from": ("networks/t5.py", "from litdraft.targets import llama", "targets.llama"),
    "upwards, relative": ("networks/t5.py", "from ..targets.llama import Llama", "targets.llama"),
    "from a part's own init": ("networks/__init__.py", "from ..targets import llama", "targets"),
    "in a function": (
        "sampling.py",
        "def f():\n    from litdraft.networks import llama",
        "networks",
    ),
    "for types only": (
        "networks/t5.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import litdraft.targets",
        "targets",
    ),
    "beside": ("losses/objective.py", "from litdraft.targets import llama", "targets.llama"),
    "a low module of a high part": ("runs/lock.py", "import litdraft.config", "config"),
    "family to family": ("drafters/lstm.py", "from .cnn import CNN", "drafters.cnn"),
    "family through drafters": ("drafters/lstm.py", "from . import CNN", "drafters"),
    "part to family": ("drafters/parts/head.py", "from .. import cnn", "drafters.cnn"),
    "hydra": ("training/module.py", "from hydra.utils import instantiate", "hydra"),
    "omegaconf": ("data/sources/text.py", "import omegaconf", "omegaconf"),
    "entry point": ("config/build.py", "import train", "train"),
    "a part without a place": ("mystery.py", "import os", "litdraft.mystery has no place"),
}


@pytest.mark.parametrize("file, text, named", BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_order_is_found_and_named(
    tmp_path: Path, file: str, text: str, named: str
) -> None:
    found = offences(house(tmp_path, {**TARGET, file: text}))
    assert len(found) == 1, found
    assert found[0].startswith(f"{PACKAGE}/{file}:")
    assert named in found[0]


def test_a_sound_order_passes(tmp_path: Path) -> None:
    files = {
        "__init__.py": "__version__ = '0'\nfrom litdraft.config import build",
        "protocols.py": "import torch\nfrom litdraft.errors import UserError",
        "errors.py": "import os",
        "drafters/eagle.py": "from .parts.head import Head\nfrom litdraft.drafters import ngram",
        "drafters/ngram.py": "",
        "drafters/parts/head.py": "from litdraft.drafters.parts import sizes",
        "drafters/parts/sizes.py": "from litdraft.networks.llama import Llama",
        "networks/llama.py": "from litdraft import sampling",
        "sampling.py": "from .errors import UserError",
        "decoding/speculate.py": "from . import verify\nfrom ..drafters.eagle import Head",
        "decoding/verify.py": "from litdraft import protocols",
        "runs/lock.py": "import filelock",
        "runs/open.py": "import omegaconf\nfrom litdraft.config import build",
        "training/run.py": "import lightning\nfrom litdraft.runs.lock import locked",
        "config/build.py": "import hydra, omegaconf\nfrom litdraft.training import run",
        "cli/main.py": "import litdraft\nfrom litdraft.runs.open import open_run",
    }
    assert offences(house(tmp_path, files)) == []
