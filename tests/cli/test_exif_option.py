"""`--exif` of convert, validate and preview: what is told of pictures that EXIF turns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flmd import formats
from flmd.conversion.opening import open_faces
from flmd.core.orientation import EXIF_ORIENTATION
from flmd.face import Face, visibility_of
from flmd.schemes import IBUG68
from flmd.store.face_store import FaceStore


@pytest.fixture
def turned(tmp_path: Path) -> Path:
    """A COCO file of one 100x40 JPEG with orientation 6, labelled as it is shown: 40x100."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.new("RGB", (100, 40), "grey").save(tmp_path / "a.jpg", exif=exif)
    points = np.stack([np.linspace(5, 30, 68), np.linspace(60, 85, 68)], axis=1).astype(np.float32)
    box = np.array([5, 60, 26, 26], np.float32)
    face = Face("a.jpg", points, visibility_of(points), box, "annotated", image_size=(40, 100))
    formats.get("coco").write([face], tmp_path / "labels.json", IBUG68)
    return tmp_path / "labels.json"


def test_a_store_of_what_is_shown(flmd_data, turned: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = flmd_data("convert", turned, tmp_path / "s.h5", "--workers", 1, "--report", tmp_path / "r.json")
    assert done.out.strip().endswith(
        "1 faces read, 1 kept; pictures with an EXIF orientation, read: 1 as shown"
    )
    assert json.loads((tmp_path / "r.json").read_text())["exif_orientation"]["read_as"] == {"shown": 1}
    with FaceStore(tmp_path / "s.h5") as store:
        assert store.numbers("image_size").tolist() == [[40, 100]]
        assert "exif" not in store.made_from["params"]
    done = flmd_data("convert", turned, tmp_path / "t.h5", "--workers", 1, "--exif", "stored")
    assert done.code == 2
    assert "skipped: box_outside 1; --exif shown or --exif stored" in done.err
    options = ("--workers", 1, "--exif", "stored", "--box", "landmarks", "--images", "none")
    assert flmd_data("convert", turned, tmp_path / "u.h5", *options).code == 0
    with FaceStore(tmp_path / "u.h5") as store:
        assert store.made_from["params"]["exif"] == "stored"


def test_what_is_written_is_turned_and_told(flmd_data, turned: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    done = flmd_data(
        "convert", turned, tmp_path / "out.xml", "--to", "dlib-xml", "--report", tmp_path / "r.json"
    )
    assert "turned: 1 faces of pictures with an EXIF orientation, written as stored" in done.err
    assert json.loads((tmp_path / "r.json").read_text())["faces_turned"] == 1
    with open_faces(tmp_path / "out.xml") as faces, open_faces(turned) as labelled:
        (written,), (shown,) = faces, labelled
    # Shown is stored turned clockwise, x' = H - 1 - y and y' = x, so stored is x = y', y = H - 1 - x'.
    x, y = shown.landmarks.astype(int).T  # dlib's are whole
    assert np.abs(written.landmarks - np.stack([y, 39 - x], axis=1)).max() <= 1
    assert written.box.tolist() == [60, 39 - 30, 26, 26]
    done = flmd_data("convert", turned, tmp_path / "as.xml", "--to", "dlib-xml", "--exif", "stored")
    assert "turned" not in done.err


def test_validate_knows_the_size_as_shown(flmd_data, turned: Path) -> None:  # type: ignore[no-untyped-def]
    assert flmd_data("validate", turned).code == 0
    done = flmd_data("validate", turned, "--exif", "stored")
    assert done.code == 1
    assert "40x100, the picture has 100x40 as it is stored; its EXIF orientation is 6, see --exif" in done.out


def test_preview_draws_on_what_was_labelled(flmd_data, turned: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert flmd_data("preview", turned, "-o", tmp_path / "a.png").code == 0
    done = flmd_data("preview", turned, "-o", tmp_path / "b.png", "--exif", "stored")
    assert done.code == 2
    assert "box_outside 1" in done.err


def test_diff_compares_in_one_frame(flmd_data, turned: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    flmd_data("convert", turned, tmp_path / "as_stored.csv", "--to", "csv")
    flmd_data("convert", turned, tmp_path / "s.h5", "--workers", 1)
    for other in ("as_stored.csv", "s.h5"):
        done = flmd_data("diff", turned, tmp_path / other, "--tolerance", 0.01, "--json")
        found = json.loads(done.out)
        assert (found["matched"], found["moved"]) == (1, 0)
        assert (found["changed_box"], found["changed_image_size"]) == (0, 0)
