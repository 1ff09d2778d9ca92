"""The house is as docs/design/0001-architecture.md draws it: who may import whom, and tests for every source file."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE, TESTS = ROOT / "src", ROOT / "tests"

METRICS = {
    "metrics",
    *(f"metrics_{of}" for of in ("instances", "panoptic", "recognition", "referring", "regression", "video")),
}
LEAVES = {"errors", "losses", "data", "io", "task_names"} | METRICS
GROUPS = [
    {"ops", "orders"},
    {"cells"},
    {"layers"},
    {"models"},
    {"tasks"},
    {"training", "inference"},
    {"export", "hub", "keras", "testing", "benchmark", "explain"},
    {"compare", "tuning"},
    {"cli", "serve"},
    {"__main__"},
]
RANKS = {package: rank for rank, group in enumerate(GROUPS, 1) for package in group} | dict.fromkeys(LEAVES, 0)


def modules(source):
    """Dotted name -> file of every module under a source folder."""
    files = {}
    for path in sorted(source.rglob("*.py")):
        parts = path.relative_to(source).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def imports(files):
    """Module -> our modules that it imports anywhere in its file, at the top, in functions or for type checkers."""
    found = {}
    for name, path in files.items():
        package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
        found[name] = set()
        for node in ast.walk(ast.parse(path.read_text("utf8"))):
            if isinstance(node, ast.Import):
                candidates = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                base = package[: len(package) - node.level + 1] if node.level else []
                origin = ".".join([*base, *([node.module] if node.module else [])])
                names = [f"{origin}.{alias.name}" for alias in node.names]
                candidates = [name if name in files else origin for name in names]
            else:
                continue
            found[name] |= {candidate for candidate in candidates if candidate.split(".")[0] == "sweepseg"}
    return found


def layout_faults(source):
    """What breaks the rules, one line each."""
    files = modules(source)
    graph = imports(files)
    faults = []
    for name, targets in graph.items():
        if name != "sweepseg" and name.split(".")[1] not in RANKS:
            faults.append(f"{name} has no place among the layers")
            continue
        for target in sorted(targets):
            if target == "sweepseg":
                faults.append(f"{name} imports the package root")
            elif name != "sweepseg":
                user, used = name.split(".")[1], target.split(".")[1]
                both_leaves = {user, used} <= LEAVES
                if user != used and not both_leaves and RANKS[used] >= RANKS[user]:
                    faults.append(f"{name} imports {target}, which does not stand left of it")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        faults.append("cycle: " + " -> ".join(error.args[1]))
    return faults


def place_of_tests(module, path):
    """The test file of a source file, relative to tests/; None for a package that only lists its parts.

    It has the same place and, behind ``test_``, the same name without underscores around it. All files of an operation
    are tested through the operation, and a package whose ``__init__`` holds code of its own by a file with its name.
    """
    parts = module.split(".")
    if parts[1:2] == ["ops"] and path.parent.name != "ops":
        return Path("ops", f"test_{parts[2]}.py")
    if path.name == "__init__.py":
        body = ast.parse(path.read_text("utf8")).body
        if not any(isinstance(node, ast.FunctionDef | ast.ClassDef) for node in body):
            return None
        parts.append(parts[-1])
    return Path(*parts[1:-1], f"test_{parts[-1].strip('_')}.py")


def untested(source, tests):
    """Test files that are missing."""
    wanted = {place_of_tests(module, path) for module, path in modules(source).items()} - {None}
    return sorted(str(path) for path in wanted if not (tests / path).is_file())


def test_imports():
    assert layout_faults(SOURCE) == []


def test_every_source_file_has_its_tests():
    assert untested(SOURCE, TESTS) == []


def house(folder, files):
    """A source folder with empty packages and these files in it."""
    for package in ("", *RANKS):
        (folder / "sweepseg" / package).mkdir(parents=True)
        (folder / "sweepseg" / package / "__init__.py").touch()
    for name, text in files.items():
        path = folder / "sweepseg" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return folder


@pytest.mark.parametrize(
    ("files", "fault"),
    [
        ({"cells/gru.py": "from ..layers import sweep"}, "cells.gru imports sweepseg.layers"),
        ({"cells/gru.py": "from sweepseg.layers.sweep import Sweep"}, "cells.gru imports sweepseg.layers.sweep"),
        ({"cells/gru.py": "import sweepseg.layers.sweep as sweep"}, "cells.gru imports sweepseg.layers.sweep"),
        ({"cells/__init__.py": "from ..layers import sweep"}, "cells imports sweepseg.layers"),
        ({"cells/gru.py": "def f():\n    from ..models import MODELS"}, "cells.gru imports sweepseg.models"),
        (
            {"cells/gru.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ..cli import main"},
            "cells.gru imports sweepseg.cli",
        ),
        ({"ops/scan.py": "from .. import orders"}, "ops.scan imports sweepseg.orders"),
        ({"training/fit.py": "from ..inference import segment"}, "training.fit imports sweepseg.inference"),
        ({"io/png.py": "from ..ops import scan"}, "io.png imports sweepseg.ops"),
        ({"cells/gru.py": "import sweepseg"}, "cells.gru imports the package root"),
        ({"cells/gru.py": "from sweepseg import __version__"}, "cells.gru imports the package root"),
        ({"cells/gru.py": "from .. import __version__"}, "cells.gru imports the package root"),
        ({"extras.py": "from .cells import gru"}, "extras has no place"),
        ({"cells/a.py": "from .b import f", "cells/b.py": "from . import a"}, "cycle: "),
        ({"io/a.py": "from ..data import b", "data/b.py": "from ..io.a import f"}, "cycle: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_catches(tmp_path, files, fault):
    files = {"layers/sweep.py": ""} | files
    assert any(fault in line for line in layout_faults(house(tmp_path, files)))


def test_allows(tmp_path):
    files = {
        "cells/gru.py": "from ..ops import scan\nfrom ._base import Cell\nfrom ..errors import UsageError",
        "cells/_base.py": "import torch, sweepsegment",
        "data/pairs.py": "from ..io import images",
        "__init__.py": "from .cells import gru",
    }
    assert layout_faults(house(tmp_path, files)) == []


def test_knows_which_tests_are_missing(tmp_path):
    files = {
        "errors.py": "",
        "cells/_base.py": "",
        "cells/gru.py": "",
        "ops/_dispatch.py": "",
        "ops/gru_scan/__init__.py": "def gru_scan(): ...",
        "ops/gru_scan/_reference.py": "",
        "io/__init__.py": "def read(): ...",
        "__init__.py": "def __getattr__(name): ...",
    }
    source, tests = house(tmp_path / "src", files), tmp_path / "tests"
    (tests / "cells").mkdir(parents=True)
    (tests / "cells" / "test_gru.py").touch()
    assert untested(source, tests) == [
        "cells/test_base.py",
        "io/test_io.py",
        "ops/test_dispatch.py",
        "ops/test_gru_scan.py",
        "test_errors.py",
        "test_sweepseg.py",
    ]
