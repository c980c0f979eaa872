"""The import checker: what a source file imports, wherever in the file it does so, and whether it may where it lies."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

LINE = ("edge", "train", "convert", "benchmarks")
# The rooms of each folder, from the commands down: a room imports only from itself, those after it and single modules.
ROOMS = {
    "edge": (
        "commands", "doctor", "benchmarking", "web", "streams",
        "detectors", "sources", "pictures", "inference", "system",
    ),
    "train": ("commands", "fitting", "networks", "evaluation", "datasets", "augmentation"),
    "convert": ("reporting", "verification", "tflite", "quantization", "lowering"),
    "benchmarks": ("commands", "comparison", "runtime", "sections", "arm", "tradeoff", "robustness", "peers"),
}  # fmt: skip
BASE = frozenset({"numpy", "cv2", "click"})
INTERPRETERS = frozenset({"ai_edge_litert", "tflite_runtime", "tensorflow.lite"})
TENSORFLOW = frozenset({"tensorflow", "tf_keras", "tensorflow_model_optimization"})
INTERPRETER_FILE = Path("edge/inference/interpreter.py")
PICAMERA_FILE = Path("edge/sources/devices.py")
# Import by a name that is no literal: edge's lazy public names, and the table RUNTIMES, which a test of its own holds.
DYNAMIC_FILES = frozenset({Path("edge/__init__.py"), INTERPRETER_FILE})
# The extra `serve`: in these modules' functions and type annotations only, which tests/project/test_wheel.py holds.
WEB_FOLDER = Path("edge/web")
DYNAMIC = "<a name made at run time>"
EVERYWHERE = frozenset(sys.stdlib_module_names)


@dataclass(frozen=True)
class Import:
    """One imported module: its full dotted name, and whether it stands at the top of the file."""

    line: int
    module: str
    lazy: bool

    @property
    def package(self) -> str:
        """The first part of the dotted name."""
        return self.module.partition(".")[0]


def imports_of(source: str) -> list[Import]:
    """Return every import of a Python source, in functions and under TYPE_CHECKING too, and importlib's.

    A relative import stays in its own package and is left out.
    """
    found: list[Import] = []

    def visit(node: ast.AST, lazy: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(node.lineno, alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            # `from tensorflow import lite` imports tensorflow.lite
            found.extend(Import(node.lineno, _from(node.module, alias.name), lazy) for alias in node.names)
        elif isinstance(node, ast.Call) and _is_import_call(node.func) and node.args:
            name = node.args[0]
            literal = name.value if isinstance(name, ast.Constant) and isinstance(name.value, str) else DYNAMIC
            found.append(Import(node.lineno, literal, True))
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, lazy or inside)

    visit(ast.parse(source), False)
    return found


def violations(path: Path, source: str) -> list[str]:
    """Return one line for each import in `source` that the file at `path` (relative to the root) must not have."""
    folder = path.parts[0]
    allowed = LINE[: LINE.index(folder) + 1]
    lines = []
    for found in imports_of(source):
        if found.module == DYNAMIC:
            if path not in DYNAMIC_FILES:
                lines.append(f"{path}:{found.line}: {folder} imports by a name that no reader can see")
        elif found.package in LINE and found.package not in allowed:
            lines.append(f"{path}:{found.line}: {folder} imports {found.module}, which lies to its right")
        elif found.package == "tests":
            lines.append(f"{path}:{found.line}: {folder} imports the tests")
        elif folder == "edge" and not _edge_may(path, found):
            lines.append(f"{path}:{found.line}: edge imports {found.module}, which no device has")
        elif folder == "train" and found.package in TENSORFLOW:
            lines.append(f"{path}:{found.line}: train imports {found.module}; it runs on any backend of Keras")
    return lines


def upward(path: Path, source: str) -> list[str]:
    """Return one line for each import in `source` of a room that `ROOMS` has before the one that `path` lies in."""
    rooms = ROOMS[path.parts[0]]
    above = rooms[: rooms.index(path.parts[1])] if path.parts[1] in rooms else ()
    return [
        f"{path}:{found.line}: {path.parts[1]} imports {found.module}, which lies above it"
        for found in imports_of(source)
        if (parts := found.module.split("."))[0] == path.parts[0] and len(parts) > 1 and parts[1] in above
    ]


def circle(folder: str, sources: Mapping[Path, str]) -> list[str]:
    """Return rooms and single modules of a folder that import each other in a circle, lazily too; empty: none do.

    Args:
        folder: one of `LINE`.
        sources: path relative to the root -> source, of the folder's files.
    """
    graph: dict[str, set[str]] = {}
    for path, source in sources.items():
        here = path.parts[1].removesuffix(".py")
        named = [found.module.split(".") for found in imports_of(source)]
        graph.setdefault(here, set()).update(parts[1] for parts in named if parts[0] == folder and len(parts) > 1)
    sorter = TopologicalSorter({here: (there & graph.keys()) - {here} for here, there in graph.items()})
    try:
        sorter.prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def _edge_may(path: Path, found: Import) -> bool:
    if found.package in EVERYWHERE or found.package in BASE or found.package == "edge":
        return True
    if found.package == "picamera2":
        return found.lazy and path == PICAMERA_FILE
    if found.package == "aiohttp":
        return path.parent == WEB_FOLDER
    is_interpreter = any(found.module == name or found.module.startswith(f"{name}.") for name in INTERPRETERS)
    return is_interpreter and found.lazy and path == INTERPRETER_FILE


def _from(module: str, name: str) -> str:
    return f"{module}.{name}" if module == "tensorflow" or module in LINE else module


def _is_import_call(function: ast.expr) -> bool:
    return (isinstance(function, ast.Attribute) and function.attr == "import_module") or (
        isinstance(function, ast.Name) and function.id in ("__import__", "import_module")
    )
