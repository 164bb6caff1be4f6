"""The house holds its shape: which room imports which."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


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
