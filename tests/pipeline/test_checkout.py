"""A queued experiment runs in a checkout of its own, while the installed flmd is the workspace's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = sorted(path.name for path in (ROOT / "pipeline").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_runs_the_flmd_beside_it_and_not_the_installed_one(script: str, tmp_path: Path) -> None:
    shutil.copytree(ROOT / "pipeline", tmp_path / "pipeline", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "flmd").mkdir()
    (tmp_path / "flmd" / "__init__.py").touch()
    (tmp_path / "flmd" / "errors.py").write_text("def run(main):\n    print(__file__)\n")
    done = subprocess.run(
        [sys.executable, "-S", f"pipeline/{script}"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert Path(done.stdout.strip()) == tmp_path / "flmd" / "errors.py"
