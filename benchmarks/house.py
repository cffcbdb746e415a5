"""How far a reader goes in the code, and how long its files and functions are.

    python benchmarks/house.py                  this tree
    python benchmarks/house.py OTHER --json     another checkout, as JSON
    python benchmarks/house.py --run            also run train.py and evaluate.py once (a minute)

- *chain*: files of the package on the shortest chain of imports from an entry point to the loss
  (`losses/chunked.py`) or to the report (`reports/schema.py`). Imports inside functions count.
- *stack* (`--run`): files of the package on the call stack when the loss is first computed, or
  report.json is written; `climbs` is how often the stack goes up a layer (LAYERS in
  tests/test_imports.py of the measured tree).
- *ran* (`--run`): files whose functions ran until then, imports excluded, and `climbs` in the
  order in which they ran first: what a reader who follows the calls has to open.
- *files*, *functions*: lines of the package's Python; a function from `def` to its last line.
- *members*: public attributes and methods of the protocol `Drafter`.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

PACKAGE = "litdraft"
QUICK = {
    "train": ["name=house", "data.samples=16", "data.validation_prompts=4", "trainer.max_steps=1"],
    "evaluate": ["drafter=lookup", "prompts=2", "max_new_tokens=16"],
}


def measure(tree: Path) -> dict[str, Any]:
    """Everything that is read from the source alone."""
    modules = modules_of(tree)
    files = {name: len(path.read_text().splitlines()) for name, path in modules.items()}
    functions = {name: n for path in modules.values() for name, n in functions_of(path)}
    return {
        "chain": {
            "train": len(chain(tree / "train.py", modules, loss_of(modules))),
            "evaluate": len(chain(tree / "evaluate.py", modules, report_of(modules))),
        },
        "files": spread(files),
        "functions": spread(functions),
        "members": len(members_of(modules[f"{PACKAGE}.protocols.drafter"])),
    }


def modules_of(tree: Path) -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    named, source = {}, tree / "src"
    for path in sorted((source / PACKAGE).rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        named[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return named


def loss_of(modules: dict[str, Path]) -> str:
    return next(name for name in modules if name.endswith(".chunked"))


def report_of(modules: dict[str, Path]) -> str:
    """The typed report where there is one; before it, what wrote report.json."""
    ends = (".reports.schema", ".reports.report", ".evaluation.report")
    return next(name for end in ends for name in modules if name.endswith(end))


def chain(start: Path, modules: dict[str, Path], goal: str) -> list[str]:
    """The shortest chain of imports from a script to a module, without the script."""
    came: dict[str, str | None] = dict.fromkeys(imports_of(start, modules))
    queue = deque(came)
    while queue:
        name = queue.popleft()
        if name == goal:
            passed = [name]
            while (before := came[passed[-1]]) is not None:
                passed.append(before)
            return passed[::-1]
        for imported in imports_of(modules[name], modules):
            if imported not in came:
                came[imported] = name
                queue.append(imported)
    return []


def imports_of(path: Path, modules: dict[str, Path]) -> list[str]:
    """The package's modules that a file imports, wherever the import is written."""
    found: dict[str, None] = {}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name: None for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found[whole if whole in modules else node.module] = None
    return [name for name in found if name in modules and modules[name] != path]


def functions_of(path: Path) -> list[tuple[str, int]]:
    """Every function of a file, also methods and nested ones, and its lines."""
    return [
        (f"{path.name}:{node.name}:{node.lineno}", (node.end_lineno or 0) - node.lineno + 1)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def members_of(path: Path) -> set[str]:
    """Public names that the class `Drafter` declares, sets on itself or defines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    drafter = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "Drafter")
    names = set()
    for node in ast.walk(drafter):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names |= {node.target.id} if node in drafter.body else set()
        elif isinstance(node, ast.Assign) and node in drafter.body:
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            names |= {node.attr}
    return {name for name in names if not name.startswith("_")}


def spread(lines: dict[str, int]) -> dict[str, Any]:
    longest = max(lines, key=lambda name: lines[name])
    return {
        "count": len(lines),
        "median": statistics.median(lines.values()),
        "longest": lines[longest],
        "which": longest,
    }


# What runs


def run(tree: Path, command: str) -> dict[str, Any]:
    """Run an entry point until its goal in a process of its own; see `trace`."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "trace.json"
        source = f"{tree / 'src'}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
        process = [sys.executable, __file__, str(tree), "--trace", command, str(out)]
        # twice: the texts that the target writes are cached by the first
        for _ in range(2):
            subprocess.run(
                process,
                cwd=folder,
                env={**os.environ, "PYTHONPATH": source},
                check=True,
                stdout=subprocess.DEVNULL,
            )
        passed = json.loads(out.read_text(encoding="utf-8"))
    layers = layers_of(tree)
    return {
        kind: {"files": len(files), "climbs": climbs(files, layers)}
        for kind, files in passed.items()
    }


def trace(tree: Path, command: str, out: Path) -> None:
    """In this process: note the package's files as their functions run, and end at the goal."""
    import runpy

    package = str(tree / "src" / PACKAGE) + os.sep
    ran: dict[str, None] = {}

    def end(frame: Any) -> None:
        sys.setprofile(None)
        stack = []
        while frame is not None:
            stack.append(frame.f_code.co_filename)
            frame = frame.f_back
        on_stack = list(dict.fromkeys(name for name in stack[::-1] if name.startswith(package)))
        passed = {"stack": on_stack, "ran": list(ran)}
        short = {k: [name.removeprefix(package) for name in v] for k, v in passed.items()}
        out.write_text(json.dumps(short), encoding="utf-8")
        os._exit(0)

    def profile(frame: Any, event: str, _: Any) -> None:
        name = frame.f_code.co_filename
        if event == "call" and name.startswith(package) and not importing(frame):
            ran.setdefault(name)
            if command == "train" and name.endswith(f"{os.sep}chunked.py"):
                end(frame)

    def importing(frame: Any) -> bool:
        while frame is not None:
            if frame.f_code.co_name == "<module>" and frame.f_code.co_filename.startswith(package):
                return True
            frame = frame.f_back
        return False

    def audit(event: str, arguments: tuple[Any, ...]) -> None:
        if event == "os.rename" and str(arguments[1]).endswith("report.json"):
            end(sys._getframe())

    if command == "evaluate":
        sys.addaudithook(audit)
    script = tree / f"{command}.py"
    sys.argv = [str(script), *QUICK[command]]
    sys.path.insert(0, str(tree))
    sys.setprofile(profile)
    runpy.run_path(str(script), run_name="__main__")


def layers_of(tree: Path) -> dict[str, int]:
    """The order of the layers that the tree's own import test demands, lowest first."""
    source = (tree / "tests" / "test_imports.py").read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        target = (
            node.target if isinstance(node, ast.AnnAssign) else getattr(node, "targets", [0])[0]
        )
        if isinstance(target, ast.Name) and target.id in ("LAYERS", "ORDER"):
            layers = ast.literal_eval(node.value)  # type: ignore[attr-defined]
            return {
                part: place
                for place, parts in enumerate(layers)
                for part in ([parts] if isinstance(parts, str) else parts)
            }
    raise SystemExit(f"{tree}/tests/test_imports.py has no LAYERS")


def climbs(files: list[str], layers: dict[str, int]) -> int:
    heights = []
    for file in files:
        parts = file.removesuffix(".py").replace(os.sep, ".").split(".")
        names = [".".join(parts[:end]) for end in range(len(parts), -1, -1)]
        heights.append(next((layers[name] for name in names if name in layers), 0))
    return sum(later > sooner for sooner, later in itertools.pairwise(heights))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    here = Path(__file__).resolve().parent.parent
    parser.add_argument("tree", nargs="?", type=Path, default=here)
    parser.add_argument("--run", action="store_true", help="also run train.py and evaluate.py once")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trace", nargs=2, metavar=("COMMAND", "OUT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    tree = options.tree.resolve()
    if options.trace:
        return trace(tree, options.trace[0], Path(options.trace[1]))
    result = measure(tree)
    if options.run:
        result["run"] = {command: run(tree, command) for command in QUICK}
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name:10} {value}")
    return None


if __name__ == "__main__":
    main()
