"""`python -m benchmarks.gpu` runs to its end where there is little more than torch; its faces travel."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.gpu.pack import pack, smaller
from flmd.errors import ParamsError

BARE = """
import runpy, sys
for name in ("albumentations", "torchvision", "kornia", "onnx", "onnxruntime", "simplejpeg", "dvc"):
    sys.modules[name] = None
sys.argv = ["gpu", "--dry", "--out", sys.argv[1]]
runpy.run_module("benchmarks.gpu", run_name="__main__")
"""
CHECKS = {"bfloat16", "resident data", "live augmentation", "determinism", "resume", "export"}
RECIPES = [
    *("accurate", "balanced", "fast", "cnn6-youtube", "naimishnet-youtube", "cnn2-youtube"),
    *("xception-ibug", "resnet152-youtube", "vgg19-youtube"),
]


def test_a_dry_run_without_other_packages_passes_every_check(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BARE, str(tmp_path)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = [json.loads(line) for line in (tmp_path / "gpu.jsonl").read_text().splitlines()]
    checks = {row["name"]: row for row in rows if row["kind"] == "check"}
    assert set(checks) == CHECKS
    assert all(row["ok"] for row in checks.values())
    assert "onnx left out" in checks["export"]["found"]
    speeds = {row["name"]: row for row in rows if row["kind"] == "throughput"}
    assert all(row.get("images_per_second", 0) > 0 for name, row in speeds.items() if "flmd" in name)
    assert "albumentations" in speeds["augment, DataLoader and albumentations"]["left_out"]
    trainings = [row for row in rows if row["kind"] == "training"]
    assert [row["name"] for row in trainings] == RECIPES
    assert all("error" not in row for row in trainings)
    fast = trainings[2]
    assert fast["whole"]
    assert set(fast["nme"]) >= {"ibug300w.nme", "youtube_faces.nme"}


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    """A folder with a smooth PNG, a JPEG that cannot become smaller, and an annotation file."""
    folder = tmp_path / "faces" / "in"
    folder.mkdir(parents=True)
    ramp = np.add.outer(np.arange(120), np.arange(160)).astype(np.uint8)
    noisy = np.random.default_rng(1).integers(0, 256, (120, 160), dtype=np.uint8)
    cv2.imwrite(str(folder / "a.png"), np.dstack([ramp, noisy // 16 + 100, ramp[::-1]]))
    (folder / "b.jpg").write_bytes(cv2.imencode(".jpg", ramp, [cv2.IMWRITE_JPEG_QUALITY, 20])[1].tobytes())
    (folder / "points.csv").write_text("in/a.png,1,2\n")
    return tmp_path / "faces"


def test_packed_faces_have_the_names_and_nearly_the_pixels_they_had(faces: Path, tmp_path: Path) -> None:
    parts = pack({"one": faces, "two": faces}, tmp_path / "out", 24_000)
    assert len(parts) > 1
    assert all(part.stat().st_size <= 24_000 for part in parts)
    for part in parts:
        shutil.unpack_archive(part, tmp_path / "there")  # before 3.11.4, tarfile takes no filter
    there = tmp_path / "there" / "two" / "in"
    assert sorted(path.name for path in there.iterdir()) == ["a.png", "b.jpg", "points.csv"]
    assert (there / "points.csv").read_bytes() == (faces / "in" / "points.csv").read_bytes()
    assert (there / "b.jpg").read_bytes() == (faces / "in" / "b.jpg").read_bytes()
    packed = (there / "a.png").read_bytes()
    assert packed[:2] == b"\xff\xd8"
    assert len(packed) < (faces / "in" / "a.png").stat().st_size
    away = cv2.imread(str(there / "a.png")).astype(int) - cv2.imread(str(faces / "in" / "a.png"))
    assert np.abs(away).mean() < 6


def test_a_file_larger_than_a_part_is_refused(faces: Path, tmp_path: Path) -> None:
    (faces / "big.csv").write_bytes(bytes(30_000))
    with pytest.raises(ParamsError, match=r"one/big\.csv: 30000 bytes"):
        pack({"one": faces}, tmp_path / "out", 24_000)


def test_what_is_no_picture_is_packed_as_it_is() -> None:
    assert smaller(b"no picture") == b"no picture"
