"""The house holds its shape: which room imports which, how long a function may be, how light a package is."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LOOSE = 9  # modules of flmd/ that are in no room
FUNCTION, CLASS = 60, 200  # lines, from `def` or `class` to the last, docstring included
HEAVY = (
    "PIL", "albumentations", "cv2", "dvc", "fsspec", "h5py", "jinja2", "lxml", "matplotlib", "onnxruntime",
    "pandas", "requests", "scipy", "streamlit", "torch", "torchvision",
)  # fmt: skip


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, the contract and its table."""
    copy = tmp_path_factory.mktemp("house")
    shutil.copytree(ROOT / "flmd", copy / "flmd", ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "tests").mkdir()
    for name in ("pyproject.toml", "tests/__init__.py", "tests/rooms_contract.py"):
        shutil.copy(ROOT / name, copy / name)
    return copy


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_every_room_imports_what_the_table_allows(house: Path) -> None:
    done = lint_imports(house)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "planted", "said"),
    [
        ("formats/pts.py", "import flmd.store.h5file", "formats may not import that"),
        ("store/h5file.py", "def late():\n    from flmd.training import loop", "store may not import that"),
        ("core/images.py", "from flmd.store import face_store", "core may not import that"),
        ("errors.py", "import flmd.core.images", "errors may not import that"),
        ("curation/diff.py", "import flmd.evaluation.plots", "curation may not import that"),
        ("tree/zip.py", "import flmd", "tree may not import that"),
        ("attic/__init__.py", "", "flmd.attic has no line in the table of rooms"),
    ],
)
def test_an_import_against_the_table_is_refused(house: Path, module: str, planted: str, said: str) -> None:
    path = house / "flmd" / module
    before = path.read_text(encoding="utf-8") if path.exists() else None
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{before or ''}\n\n{planted}\n", encoding="utf-8")
    try:
        done = lint_imports(house)
    finally:
        path.write_text(before, encoding="utf-8") if before is not None else shutil.rmtree(path.parent)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in " ".join(done.stdout.split())


def test_few_modules_are_in_no_room() -> None:
    loose = [path.name for path in (ROOT / "flmd").glob("*.py")]
    assert len(loose) <= LOOSE, loose


def lengths(path: Path) -> Iterator[tuple[str, ast.AST, int]]:
    """Each function and class of a file: its name with those it is in, what it is, its lines."""
    todo: list[tuple[str, ast.AST]] = [("", ast.parse(path.read_text(encoding="utf-8")))]
    while todo:
        inside, parent = todo.pop()
        for node in ast.iter_child_nodes(parent):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                name = f"{inside}.{node.name}".lstrip(".")
                yield name, node, (node.end_lineno or 0) - node.lineno + 1
                todo.append((name, node))
            else:
                todo.append((inside, node))


def test_functions_and_classes_are_short() -> None:
    too_long = {
        f"{path.relative_to(ROOT).as_posix()}:{name}": size
        for folder in ("flmd", "pipeline")
        for path in sorted((ROOT / folder).rglob("*.py"))
        for name, node, size in lengths(path)
        if size > (CLASS if isinstance(node, ast.ClassDef) else FUNCTION)
    }
    assert too_long == {}


def test_importing_a_package_alone_is_cheap() -> None:
    """Its `__init__` imports none of the packages that take long to load."""
    packages = [
        ".".join(path.parent.relative_to(ROOT).parts) for path in sorted((ROOT / "flmd").rglob("__init__.py"))
    ]
    code = (
        "import importlib, os, sys\n"
        "for name in sys.argv[1].split():\n"
        "    child = os.fork()\n"  # each package into an interpreter that has loaded nothing
        "    if not child:\n"
        "        importlib.import_module(name)\n"
        f"        print(*[f'{{name}}:{{heavy}}' for heavy in {HEAVY} if heavy in sys.modules], flush=True)\n"
        "        os._exit(0)\n"
        "    assert os.waitpid(child, 0)[1] == 0, name"
    )
    command = [sys.executable, "-c", code, " ".join(packages)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
