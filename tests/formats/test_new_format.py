"""docs/new-format.md: its package is built, installed and used as the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from flmd.store.face_store import FaceStore

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "new-format.md"
BLOCK = re.compile(r"^```\w+ file=(\S+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(*command: object, cwd: Path, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "NO_ALBUMENTATIONS_UPDATE": "1"}
    if path is not None:
        environment["PYTHONPATH"] = str(path)
    return subprocess.run(
        [sys.executable, *map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True
    )


def flmd_data(*arguments: object, cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    return run("-c", "from flmd.cli.flmd_data import main; main()", *arguments, cwd=cwd, path=path)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The page's package, and the folder it was installed to."""
    package = tmp_path_factory.mktemp("flmd-helen194")
    for name, text in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
        (package / name).write_text(text, encoding="utf-8")
    site = tmp_path_factory.mktemp("site")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", site)
    done = run("-m", "pip", "install", *options, package, cwd=package)
    assert done.returncode == 0, done.stderr
    return package, site


@pytest.fixture
def annotation(tmp_path: Path) -> Path:
    folder = tmp_path / "annotation"
    folder.mkdir()
    for number in range(3):
        lines = [f"{number}_1", *(f"{i + number}.5 , {2 * i}.25" for i in range(194))]
        (folder / f"{number}.txt").write_text("\n".join(lines) + "\n")
    return folder


def test_the_package_is_in_the_list_and_its_own_test_passes(installed: tuple[Path, Path]) -> None:
    package, site = installed
    listed = flmd_data("formats", cwd=package, path=site)
    assert re.search(
        r"^helen194 +points194 +0 +stored +no +no +no +float +HELEN, 194 points$", listed.stdout, re.M
    )
    tested = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "test_helen194.py", cwd=package, path=site)
    assert "1 passed" in tested.stdout


def test_it_converts(installed: tuple[Path, Path], annotation: Path, tmp_path: Path) -> None:
    _, site = installed
    detected = flmd_data("detect", annotation, cwd=tmp_path, path=site)
    assert detected.stdout.splitlines()[0].split()[:4] == ["helen194", "likely", "3", "files:"]
    done = flmd_data("convert", annotation, "faces.h5", "--images", "none", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stderr
    with FaceStore(tmp_path / "faces.h5") as store:
        assert store.texts("image") == ["0_1.jpg", "1_1.jpg", "2_1.jpg"]
        expected = np.stack([np.arange(194) + 2.5, 2 * np.arange(194) + 0.25], axis=1)
        assert np.array_equal(store.numbers("landmarks")[2], expected)
    back = flmd_data("convert", "faces.h5", "back", "--to", "helen194", cwd=tmp_path, path=site)
    assert back.returncode == 0, back.stderr
    assert (tmp_path / "back" / "2_1.txt").read_text().splitlines()[:2] == ["2_1", "2.5 , 0.25"]


def test_a_broken_plugin_is_named_and_the_others_work(
    installed: tuple[Path, Path], annotation: Path, tmp_path: Path
) -> None:
    _, site = installed
    broken = tmp_path / "broken"
    (broken / "bad-1.0.dist-info").mkdir(parents=True)
    (broken / "bad-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    (broken / "bad-1.0.dist-info" / "entry_points.txt").write_text("[flmd.formats]\nbad = bad:Bad\n")
    (broken / "bad.py").write_text("import no_such_module\n")
    path = Path(f"{site}{os.pathsep}{broken}")
    listed = flmd_data("formats", cwd=tmp_path, path=path)
    assert listed.returncode == 0
    assert "plugin bad does not load: ModuleNotFoundError" in listed.stderr
    done = flmd_data("convert", annotation, "faces.h5", "--images", "none", cwd=tmp_path, path=path)
    assert done.returncode == 0, done.stderr
    asked = flmd_data("convert", annotation, "x.h5", "--from", "bad", cwd=tmp_path, path=path)
    assert asked.returncode == 2
    assert "'bad' comes from a plugin that does not load" in asked.stderr
