"""Contact sheets of stores and of annotations; which faces have the least usual shapes."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer

from flmd.cli.common import main_for
from flmd.cli.preview import draw_annotations, draw_sheet, preview_command
from flmd.errors import InputError
from flmd.evaluation import galleries
from flmd.face import Face, Skipped, visibility_of
from flmd.formats import get
from flmd.schemes import IBUG68
from flmd.schemes.head_pose import MEAN_SHAPE, rotation
from flmd.store.face_store import FaceStore
from flmd.tree import open_tree
from tests.factories import convert_list, write_picture


def person(i: int) -> np.ndarray:
    """(68, 2) the mean face, turned, sized and placed in some way, with a pixel of noise."""
    rng = np.random.default_rng(i)
    turned = MEAN_SHAPE @ rotation(rng.uniform(-15, 15), rng.uniform(-10, 10), rng.uniform(-30, 30)).T
    points = rng.uniform(30, 60) * turned[:, :2] + rng.uniform(90, 110, 2) + rng.normal(0, 0.5, (68, 2))
    return points.astype(np.float32)


def face(image: str, points: np.ndarray) -> Face:
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    box = np.array([*low, *(high - low)], np.float32)
    return Face(image, points, visibility_of(points), box, "annotated", subject=image, where=image)


@pytest.fixture
def people(tmp_path: Path) -> list[Face]:
    """12 faces; those of row 4 and 9 are a jumble and upside-down labels."""
    faces = []
    for i in range(12):
        pixels = np.random.default_rng(i).integers(0, 255, (200, 200, 3), dtype=np.uint8)
        write_picture(tmp_path / f"{i}.png", pixels)
        faces.append(face(f"{i}.png", person(i)))
    faces[4].landmarks = np.random.default_rng(1).permutation(faces[4].landmarks)
    faces[9].landmarks = faces[9].landmarks[::-1].copy()
    return faces


def titles_of(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The titles of the sheets that are drawn from now on."""
    seen: list[str] = []
    tiles = galleries._tiles

    def spy(crops, titles, *rest, **named):  # type: ignore[no-untyped-def]
        seen.extend(titles)
        return tiles(crops, titles, *rest, **named)

    monkeypatch.setattr(galleries, "_tiles", spy)
    return seen


def test_worst_of_a_store_and_of_annotations(
    monkeypatch: pytest.MonkeyPatch, people: list[Face], tmp_path: Path
) -> None:
    titles = titles_of(monkeypatch)
    convert_list(tmp_path, people, tmp_path / "s.h5")[1].close()
    with FaceStore(tmp_path / "s.h5") as store:
        assert draw_sheet(store, tmp_path / "s.png", count=2, seed=0, numbers=False, worst=True) == 2
    with open_tree(tmp_path) as tree:
        assert draw_annotations(
            iter(people), tree, IBUG68, tmp_path / "a.png", count=2, seed=0, numbers=True, worst=True
        ) == (2, Counter())
    assert {title.split()[0] for title in titles} == {"4", "9"}
    assert titles[:2] == titles[2:]
    assert float(titles[0].split()[-1]) >= float(titles[1].split()[-1]) > 0.5
    assert cv2.imread(str(tmp_path / "a.png")).std() > 1


def test_the_same_seed_gives_the_same_sheet(people: list[Face], tmp_path: Path) -> None:
    with open_tree(tmp_path) as tree:
        for name, seed in (("a", 5), ("b", 5), ("c", 6)):
            draw_annotations(
                people, tree, IBUG68, tmp_path / f"{name}.png", count=4, seed=seed, numbers=False
            )
    one, same, other = ((tmp_path / f"{name}.png").read_bytes() for name in "abc")
    assert one == same != other


def test_faces_that_cannot_be_drawn_are_counted(people: list[Face], tmp_path: Path) -> None:
    (tmp_path / "2.png").unlink()
    stream = [*people, Skipped("wrong_point_count", "x", "67")]
    with open_tree(tmp_path) as tree:
        drawn, missed = draw_annotations(
            stream, tree, IBUG68, tmp_path / "a.png", count=40, seed=0, numbers=False
        )
        assert (drawn, dict(missed)) == (11, {"image_missing": 1, "wrong_point_count": 1})
        with pytest.raises(InputError, match="not one face can be drawn; image_missing 1"):
            draw_annotations([people[2]], tree, IBUG68, tmp_path / "b.png", count=4, seed=0, numbers=False)
    assert not (tmp_path / "b.png").exists()


def test_hidden_points_are_hollow_and_neighbours_are_joined(tmp_path: Path) -> None:
    crop = np.zeros((1, 64, 64, 3), np.uint8)
    points = np.array([[[16.0, 32], [32, 32], [48, 32]]])
    box = np.array([[8.0, 8, 48, 48]])

    def green(name: str, **options: object) -> np.ndarray:
        galleries.contact_sheet(crop, points, box, ["x"], tmp_path / name, **options)  # type: ignore[arg-type]
        return (cv2.imread(str(tmp_path / name))[:, :, 1].astype(int) > 150) & (
            cv2.imread(str(tmp_path / name))[:, :, 0].astype(int) < 180
        )

    full = green("full.png")
    hollow = green("hollow.png", visibility=np.array([[2, 1, 2]]))
    joined = green("joined.png", skeleton=((0, 1),))
    # The points lie on the middle row of a tile; the hollow one is dark at its own place.
    row = int(full.sum(axis=1).argmax())
    runs = [np.flatnonzero(np.diff(picture[row].astype(int)) == 1).tolist() for picture in (full, hollow)]
    assert len(runs[0]) == 3
    assert len(runs[1]) == 4  # both sides of the ring
    assert joined.sum() > full.sum()


def test_real_pictures_with_several_faces(shared_data: Path, tmp_path: Path) -> None:
    fmt = get("dlib-xml")
    with open_tree(shared_data / "dlib_faces") as tree:
        faces = fmt.read(tree, IBUG68, ("training_with_face_landmarks.xml",))
        drawn, missed = draw_annotations(
            faces, tree, IBUG68, tmp_path / "a.png", count=6, seed=0, numbers=False
        )
    assert (drawn, dict(missed)) == (6, {})


def test_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], people: list[Face], tmp_path: Path
) -> None:
    app = typer.Typer()
    app.command("preview")(preview_command)
    app.command("other")(lambda: None)

    def run(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["flmd-data", "preview", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main_for(lambda _: app, "flmd-data")()
        return int(ended.value.code or 0)

    convert_list(tmp_path, people, tmp_path / "s.h5")[1].close()
    sheet = tmp_path / "sheet.png"
    assert run(tmp_path / "s.h5", "-o", sheet, "--worst", "--count", 3) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == f"{sheet}: 3 faces"
    assert "Procrustes distance" in said[1]
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert run(tmp_path / "s.h5", "-o", sheet) == 2
    assert f"{sheet}: exists already; add --overwrite" in capsys.readouterr().err
    assert run(tmp_path / "s.h5", "-o", sheet, "--overwrite") == 0
    assert capsys.readouterr().out == f"{sheet}: 12 faces\n"
    assert run(tmp_path / "none.xml", "-o", tmp_path / "other.png") == 2
    assert "no such file" in capsys.readouterr().err
