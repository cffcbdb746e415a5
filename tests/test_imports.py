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
# do not know each other. The longest name wins: `evaluation.stats` is not `evaluation`.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("",),  # the package itself: its version
    ("errors",),
    ("protocols",),
    ("native", "hosts"),
    ("sampling",),
    ("models", "chunked"),
    ("targets", "drafters", "objectives", "decoding.tree"),
    ("decoding", "evaluation.stats"),
    ("data", "evaluation", "export"),
    ("training",),
    ("config",),
)
LAYER_OF = {part: layer for layer, parts in enumerate(LAYERS) for part in parts}

# What any family of drafters may take; everything else under drafters/ is a family of its own.
ADD_ONS = frozenset(
    {"head", "stepwise", "parallel", "language_model", "apart", "cached", "source", "sizes"}
    | {"correction", "vocabulary", "confidence", "sentencewise", "sentence_lstm", "within"}
    | {"sentence_draft"}
    | {"lstm_lm", "cnn_lm", "ngram"}  # language models, which another family may hold as its body
)

ONLY_CONFIG = frozenset({"hydra", "omegaconf"})
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
    """`litdraft.drafters.eagle.heads` belongs to the family `eagle`; drafters itself to ''."""
    return next(iter(module.split(".")[2:]), "")


def complaint(found: Import) -> str | None:
    """Why an import breaks the order, in one sentence; None if it does not."""
    here, there = part_of(found.importer), part_of(found.imported)
    top = found.imported.split(".")[0]
    if here is None:
        return f"{found.importer} has no place in LAYERS"
    if top in ONLY_CONFIG and here != "config":
        return f"only config.py imports {top}"
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
    """Families take add-ons and nothing else from drafters/; add-ons take only add-ons."""
    if here == there or there in ADD_ONS:
        return None
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


TARGET = {"targets/llama.py": "", "models/llama.py": "", "drafters/cnn.py": ""}

BROKEN = {
    "upwards": ("sampling.py", "import litdraft.models.llama", "models.llama"),
    "upwards, from": ("models/t5.py", "from litdraft.targets import llama", "targets.llama"),
    "upwards, relative": ("models/t5.py", "from ..targets.llama import Llama", "targets.llama"),
    "from the package's own init": ("models/__init__.py", "from ..targets import llama", "targets"),
    "in a function": ("sampling.py", "def f():\n    from litdraft.models import llama", "models"),
    "for types only": (
        "models/t5.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import litdraft.targets",
        "targets",
    ),
    "beside": ("objectives.py", "from litdraft.targets import llama", "targets.llama"),
    "tree below the loop": ("decoding/tree.py", "import litdraft.decoding", "decoding"),
    "statistics below": ("evaluation/stats.py", "import litdraft.evaluation", "evaluation"),
    "family to family": ("drafters/lstm.py", "from .cnn import CNN", "drafters.cnn"),
    "family through drafters": ("drafters/lstm.py", "from . import CNN", "drafters"),
    "add-on to family": ("drafters/vocabulary.py", "from . import cnn", "drafters.cnn"),
    "hydra": ("training/module.py", "from hydra.utils import instantiate", "hydra"),
    "omegaconf": ("data/text.py", "import omegaconf", "omegaconf"),
    "entry point": ("config.py", "import train", "train"),
    "the package imports its parts": ("__init__.py", "from . import models", "models"),
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
        "__init__.py": "__version__ = '0'",
        "protocols.py": "import torch\nfrom litdraft.errors import UserError",
        "errors.py": "import os",
        "drafters/eagle/__init__.py": "from .heads import Head",
        "drafters/eagle/heads.py": "from litdraft.drafters.vocabulary import Vocabulary",
        "drafters/vocabulary.py": "from litdraft.drafters import confidence",
        "drafters/confidence.py": "from litdraft.models.llama import Llama",
        "models/llama.py": "from litdraft import __version__, sampling",
        "sampling.py": "from .protocols import Target",
        "decoding/tree.py": "from litdraft import protocols",
        "decoding/speculate.py": "from . import tree\nfrom ..drafters.eagle import Head",
        "evaluation/stats.py": "import math",
        "evaluation/report.py": "from .stats import interval\nfrom litdraft.decoding import tree",
        "training/module.py": "import lightning\nfrom litdraft.data.text import Text",
        "data/text.py": "import datasets",
        "config.py": "import hydra, omegaconf\nfrom litdraft.training import module",
    }
    assert offences(house(tmp_path, files)) == []
