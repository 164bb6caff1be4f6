"""Numbers of a store, against numbers worked out by hand; and the commands on stores."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from flmd.cli import store_tools
from flmd.cli.common import main_for
from flmd.core.terminal import text
from flmd.curation.stats import store_stats
from flmd.curation.stats_tables import tables
from flmd.face import Face, visibility_of
from flmd.schemes import get_scheme
from flmd.schemes.head_pose import MEAN_SHAPE, rotation
from flmd.store.build import copy_rows
from flmd.store.column_buffer import ColumnBuffer
from flmd.store.face_store import FaceStore


def posed(image: str, yaw: float, eyes: float, **fields: object) -> Face:
    """The mean face turned by ``yaw``; ``eyes`` px between the outer eye corners before it is turned."""
    points = (eyes * (MEAN_SHAPE @ rotation(yaw, 0, 0).T)[:, :2] + (100, 70)).astype(np.float32)
    return Face(image, points, visibility_of(points), where=image, **fields)  # type: ignore[arg-type]


def write(path: Path, faces: list[Face], scheme: str = "ibug68") -> Path:
    buffer = ColumnBuffer(path.with_suffix(".columns"), get_scheme(scheme).count, {}, ("image_sha256",))
    buffer.append(faces, image_sha256=["0"] * len(faces))
    copy_rows([buffer], path, get_scheme(scheme), None, {})
    buffer.close()
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    box = np.array([50, 40, 101, 80], np.float32)
    common = {"image_size": (200, 160), "dataset": "d", "box": box, "box_source": "annotated"}
    faces = [
        posed("a.png", 0, 40, subject="ann", split="train", **common),
        posed("a.png", 20, 50, subject="bob", split="train", subset="hard", **common),
        posed("b.png", -40, 60, subject="ann", split="test", **common),
        posed("c.png", 0, 70, subject="", split="test", **common),
    ]
    faces[2].visibility[:5] = 1
    faces[3].landmarks[7:9] = np.nan
    faces[3].visibility[7:9] = 0
    faces[0].landmarks[3] = (-1, 5)
    faces[1].box = np.array([150, 0, 51, 20], np.float32)  # reaches to 200.5, the picture to 199.5
    faces[3].box, faces[3].box_source, faces[3].image_size = None, "none", (400, 300)
    return write(tmp_path / "s.h5", faces)


def test_counts_sizes_poses_and_visibility_by_hand(path: Path) -> None:
    with FaceStore(path) as store:
        every, test, train = store_stats(store)["groups"]
    assert [(g["dataset"], g["split"]) for g in (every, test, train)] == [
        ("*", "*"), ("d", "test"), ("d", "train"),
    ]  # fmt: skip
    assert (every["faces"], every["pictures"], every["subjects"]) == (4, 3, 2)
    assert (train["faces"], train["pictures"], train["subjects"]) == (2, 1, 2)
    assert (test["faces"], test["pictures"], test["subjects"]) == (2, 2, 1)
    assert train["subset_hard"] == 1
    assert (every["boxes_annotated"], every["boxes_none"], every["boxes_detector"]) == (3, 1, 0)
    # Pictures, not faces: a.png and b.png are 200 wide, c.png 400.
    assert every["image_width_px_median"] == 200
    assert (every["image_height_px_min"], every["image_height_px_max"]) == (160, 300)
    assert (every["box_side_px_min"], every["box_side_px_p50"]) == (51, 101)
    # Corners midway apart: 40 and 70 as they are, 50 and 60 foreshortened by the turn (they lie at z = 0).
    assert train["inter_ocular_px_min"] == pytest.approx(40, abs=1e-3)
    assert train["inter_ocular_px_max"] == pytest.approx(50 * np.cos(np.radians(20)), abs=1e-3)
    assert test["inter_ocular_px_p50"] == pytest.approx((70 + 60 * np.cos(np.radians(40))) / 2, abs=1e-3)
    assert every["points_visible"] == 4 * 68 - 5 - 2
    assert (every["points_hidden"], every["faces_with_points_hidden"]) == (5, 1)
    assert (every["points_not_labelled"], every["faces_with_points_not_labelled"]) == (2, 1)
    assert (every["points_outside_image"], every["boxes_outside_image"]) == (1, 1)
    assert test["yaw_deg_min"] == pytest.approx(-40, abs=0.1)
    assert [every[f"pose_{p}"] for p in ("frontal", "three_quarter", "profile", "unknown")] == [2, 1, 1, 0]


def test_a_scheme_without_eyes_has_no_poses_and_no_eye_distance(tmp_path: Path) -> None:
    points = np.array([[1, 1], [5, 5], [2, 8]], np.float32)
    path = write(tmp_path / "s.h5", [Face("a.png", points, visibility_of(points))], "points3")
    with FaceStore(path) as store:
        stats = store_stats(store)
    (every, only) = stats["groups"]
    assert every["faces"] == only["faces"] == 1
    assert not [name for name in every if "inter_ocular" in name or "yaw" in name or "box_side" in name]
    assert text(*tables(stats)).split("\n")[0].endswith("scheme points3, 3 points, no crops")


def test_an_empty_store(tmp_path: Path) -> None:
    with FaceStore(write(tmp_path / "s.h5", [])) as store:
        stats = store_stats(store)
    assert [g["faces"] for g in stats["groups"]] == [0]
    assert "\nall                  0         0         0\n" in text(*tables(stats))


def test_text_is_aligned(path: Path) -> None:
    with FaceStore(path) as store:
        lines = text(*tables(store_stats(store))).split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("data set"))
    assert lines[start : start + 4] == [
        "data set  split  faces  pictures  subjects",
        "all                  4         3         2",
        "d         test       2         2         1",
        "d         train      2         1         2",
    ]


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    app = typer.Typer()
    for name in ("stats", "diff", "merge", "split"):
        app.command(name)(getattr(store_tools, f"{name}_command"))
    monkeypatch.setattr(sys, "argv", ["flmd-data", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        main_for(lambda _: app, "flmd-data")()
    return int(ended.value.code or 0)


def test_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path, tmp_path: Path
) -> None:
    assert run(monkeypatch, "stats", path, "--json") == 0
    assert json.loads(capsys.readouterr().out)["groups"][0]["faces"] == 4
    both, split = tmp_path / "both.h5", tmp_path / "split.h5"
    assert run(monkeypatch, "merge", path, path, "-o", both) == 0
    assert capsys.readouterr().out == f"{both}: 8 faces (4 + 4)\n"
    assert run(monkeypatch, "merge", path, path, "-o", both) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert run(monkeypatch, "merge", path, "-o", split) == 2
    assert "two or more" in capsys.readouterr().err
    assert run(monkeypatch, "diff", path, path) == 0
    assert capsys.readouterr().out.endswith("the same\n")
    assert run(monkeypatch, "diff", path, both, "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["added"], found["removed"], found["moved"], found["same"]) == (4, 0, 0, False)
    assert run(monkeypatch, "split", path, "--by", "image", "--test", 0.2, "--val", 0, "-o", split) == 0
    assert "subjects in two splits: " in capsys.readouterr().out
    assert run(monkeypatch, "split", path, "--by", "image", "--val", 1.5, "--overwrite") == 2
    assert capsys.readouterr().err == "error: --val 1.5; expected a share of 0 or more, below 1\n"


def test_other_schemes_are_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path, tmp_path: Path
) -> None:
    points = np.zeros((3, 2), np.float32)
    other = write(tmp_path / "o.h5", [Face("a.png", points, visibility_of(points))], "points3")
    for command in (("merge", path, other, "-o", tmp_path / "both.h5"), ("diff", path, other)):
        assert run(monkeypatch, *command) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"error: {other}: scheme is 'points3' but 'ibug68' in {path}") or (
            line.startswith(f"error: {other}: scheme points3, but ibug68 in {path}")
        )
    assert not (tmp_path / "both.h5").exists()
