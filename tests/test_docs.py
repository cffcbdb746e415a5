"""The documentation is true: links, paths, names, keys and error messages exist."""

from __future__ import annotations

import ast
import functools
import importlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

import litdraft
from litdraft.config.schema import Evaluate, Train

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    path
    for pattern in ("[CR]*.md", "docs/*.md", "benchmarks/*.md", "benchmarks/peers/*.md")
    for path in ROOT.glob(pattern)
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")

every_page = pytest.mark.parametrize("page", PAGES, ids=NAMES)


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def blocks(page: Path, language: str) -> list[str]:
    return [
        body for kind, body in FENCE.findall(page.read_text(encoding="utf-8")) if kind == language
    ]


def spans(page: Path) -> list[str]:
    """Inline code, with line breaks as spaces."""
    return [" ".join(span.split()) for span in INLINE.findall(prose(page))]


# Links


@functools.cache
def anchors(page: Path) -> frozenset[str]:
    """Of every heading, as GitHub makes them; a second heading of the same name ends in -1."""
    seen: dict[str, int] = {}
    for title in re.findall(r"^#{1,6} +(.+?) *$", prose(page), re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "").lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        seen[slug] = seen.get(slug, -1) + 1
        if seen[slug]:
            seen[f"{slug}-{seen[slug]}"] = 0
    return frozenset(seen)


@every_page
def test_relative_links_and_anchors_resolve(page: Path) -> None:
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(link)
    assert not broken


def test_the_site_builds(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs")
    pytest.importorskip("mkdocstrings")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir"]
    site = tmp_path / "site"
    done = subprocess.run(
        [*command, str(site)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (site / "index.html").exists()
    assert not re.search(r"https?://fonts\.", (site / "index.html").read_text(encoding="utf-8"))


# Names of files and modules


@every_page
def test_files_that_are_named_exist(page: Path) -> None:
    roots = (ROOT, ROOT / "src/litdraft", ROOT / "docs", ROOT / "benchmarks")
    named = re.findall(
        r"(?<![\w/.*])((?!vendor|my_conf)[a-z_]+/[\w/]+\.(?:py|cpp|h|yaml|ipynb))\b",
        " ".join(spans(page)),
    )
    assert not [name for name in named if not any((root / name).exists() for root in roots)]


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or something that a module (or a class in it) has."""
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:end]))
        except ModuleNotFoundError:
            continue
        for part in parts[end:]:
            if not hasattr(found, part):
                return False
            found = getattr(found, part)
        return True
    return False


@every_page
def test_dotted_names_exist(page: Path) -> None:
    text = " ".join((*spans(page), *blocks(page, "python")))
    text += " ".join(re.findall(r"^::: (\S+)", prose(page), re.MULTILINE))
    names = set(re.findall(r"\blitdraft(?:\.[A-Za-z_]\w*)+", text))
    if not hasattr(litdraft, "__all__"):  # the public API is not written yet
        names = {name for name in names if name.count(".") > 1 and name.islower()}
    assert not sorted(name for name in names if not resolves(name))


@every_page
def test_python_examples_parse(page: Path) -> None:
    for block in blocks(page, "python"):
        ast.parse(block)


@pytest.mark.parametrize("name", getattr(litdraft, "__all__", ()))
def test_public_names_have_docstrings(name: str) -> None:
    value = getattr(litdraft, name)
    assert isinstance(value, str) or (value.__doc__ or "").strip()


# Keys and choices of the command line

CONF = ROOT / "conf"
GROUPS = {
    folder.name: {path.stem for path in folder.glob("*.yaml")}
    for folder in CONF.iterdir()
    if folder.is_dir()
}
SCHEMAS = {"train": Train, "evaluate": Evaluate}


@functools.cache
def keys_of(path: Path) -> frozenset[str]:
    """Dotted keys of a YAML file and of what its defaults list includes in the same place."""
    content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    keys = set(flat(content))
    for entry in content.get("defaults", ()):
        if isinstance(entry, dict):  # {/data@parts.stories: text}
            for where, choice in entry.items():
                group, _, at = where.lstrip("/").partition("@")
                if at:
                    keys |= {f"{at}.{key}" for key in keys_of(CONF / group / f"{choice}.yaml")}
        elif entry.startswith("/"):
            keys |= keys_of(CONF / f"{entry[1:].partition('@')[0]}.yaml")
        elif entry != "_self_":
            keys |= keys_of(path.with_name(f"{entry}.yaml"))
    return frozenset(keys)


def flat(content: dict[str, Any], prefix: str = "") -> Iterator[str]:
    for key, value in content.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")


def known(override: str, commands: tuple[str, ...], chosen: dict[str, str]) -> bool:
    """Whether one of the commands has this key, and the group this choice."""
    key, _, value = override.lstrip("+~").partition("=")
    if key.startswith("hydra"):
        return True  # Hydra's own
    if key.startswith("evaluation."):
        return known(override.lstrip("+").removeprefix("evaluation."), ("evaluate",), chosen)
    group, _, rest = key.partition(".")
    if not rest and group in GROUPS:
        choices = re.split(r"[,|]", value.strip("'\""))
        return all(
            choice in GROUPS[group] or choice in ("null", "", "yours", "NAME") or "*" in choice
            for choice in choices
        )
    if not rest:
        return any(key in {field.name for field in fields(SCHEMAS[name])} for name in commands)
    if group not in GROUPS:
        return False
    given = chosen.get(group, "").split(",")[0]
    files = (
        [CONF / group / f"{given}.yaml"]
        if given in GROUPS[group]
        else (CONF / group).glob("*.yaml")
    )
    return any(rest in keys_of(path) for path in files)


def defaults(command: str) -> dict[str, str]:
    entries = yaml.safe_load((CONF / f"{command}.yaml").read_text(encoding="utf-8"))["defaults"]
    return {
        key: str(value)
        for entry in entries
        if isinstance(entry, dict)
        for key, value in entry.items()
    }


COMMAND = re.compile(r"^(?:\S*python )?(?:litdraft |)(train|evaluate)(?:\.py)?\s+(.*)$")


def commands(page: Path) -> Iterator[tuple[str, list[str]]]:
    """Every command line of a page: which command, and its overrides."""
    lines = [
        line.strip()
        for block in blocks(page, "bash")
        for line in block.replace("\\\n", " ").splitlines()
    ]
    for line in (*lines, *spans(page)):
        line = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line)  # environment variables
        match = COMMAND.match(line)
        if (
            match
            and (line.startswith("litdraft") or "python" in line)
            and "--config-dir" not in line
        ):
            words = shlex.split(re.split(r"(?:^|\s)#\s", match[2])[0])
            yield match[1], [word for word in words if "=" in word and not word.startswith("-")]


@every_page
def test_commands_use_keys_that_exist(page: Path) -> None:
    wrong = []
    for command, overrides in commands(page):
        given = dict(word.split("=", 1) for word in overrides)
        chosen = {} if "experiment" in given or "run" in given else defaults(command)
        chosen |= given
        wrong += [f"{command}: {word}" for word in overrides if not known(word, (command,), chosen)]
    assert not wrong


@every_page
def test_keys_named_in_the_text_exist(page: Path) -> None:
    words = [
        word
        for span in spans(page)
        if "(" not in span and "litdraft" not in span and "python" not in span
        for word in span.split()
        if re.match(r"^\+?(?:[a-z_][\w.]*)=", word) and "==" not in word
    ]
    assert not [word for word in words if not known(word, ("train", "evaluate"), {})]


# Errors that the troubleshooting page quotes


@functools.cache
def printed() -> str:
    """The package's source with adjacent string literals joined, and {...} as …"""
    text = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "src").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", text)
    return re.sub(r"\{[^{}]*\}", "…", joined)


def test_quoted_errors_are_what_the_code_prints() -> None:
    page = ROOT / "docs" / "troubleshooting.md"
    quoted = [
        part.strip()
        for block in blocks(page, "text")
        for part in " ".join(block.split()).split("…")
        if part.strip()
    ]
    assert quoted
    assert not [part for part in quoted if part not in printed()]


# Words

UNWANTED = re.compile(
    r"\b(told|says|said|heard|behind|thereby|heed|archaism|whilst|upon which|wherein"
    r"|tokens a round|drafts accepted|all but certain|one's own|by itself|in front of)\b",
    re.IGNORECASE,
)


@every_page
def test_words_are_plain(page: Path) -> None:
    text = re.sub(r'"[^"\n]*"', "", prose(page))  # quotations
    text = INLINE.sub("", text)
    assert not UNWANTED.findall(text)
