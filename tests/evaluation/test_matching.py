"""Another program's faces brought to a store's: which pictures, which faces, and what is left over."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from flmd.evaluation import matching
from flmd.evaluation.matching import assigned, match_predictions, picture_names
from flmd.face import Face, Skipped, visibility_of
from flmd.schemes import IBUG68
from flmd.store.build import copy_rows
from flmd.store.column_buffer import ColumnBuffer
from flmd.store.face_store import FaceStore

SQUARE = np.array([[0.0, 0], [9, 0], [9, 9], [0, 9]])


def a_face(
    image: str, at: tuple[float, float], split: str = "test", dataset: str = "d", **more: object
) -> Face:
    """68 points on the corners of a square of 10 pixels; its box covers it."""
    points = (np.resize(SQUARE, (68, 2)) + at).astype(np.float32)
    box = np.array([*at, 10, 10], np.float32)
    face = Face(image, points, visibility_of(points), box, "annotated", split=split, dataset=dataset)
    for name, value in more.items():
        setattr(face, name, value)
    return face


def store_of(folder: Path, faces: list[Face]) -> FaceStore:
    buffer = ColumnBuffer(folder / "buffer", 68, {}, ("image_sha256",))
    buffer.append(faces, image_sha256=[""] * len(faces))
    copy_rows([buffer], folder / "faces.h5", IBUG68, None, {})
    buffer.close()
    return FaceStore(folder / "faces.h5")


def matched(store: FaceStore, predictions: list[Face | Skipped], **options: float) -> matching.Matched:
    rows = store.rows_where(split="test")
    return match_predictions(store, rows, store.numbers("landmarks").astype(float), predictions, **options)


def reasons(done: matching.Matched, side: str) -> Counter[str]:
    return Counter(item.reason for item in done.unmatched if item.side == side)


def test_every_face_is_matched_or_named(tmp_path: Path) -> None:
    store = store_of(
        tmp_path,
        [
            a_face("a/1.jpg", (0, 0)),
            a_face("a/1.jpg", (50, 0)),
            a_face("a/2.jpg", (0, 0)),
            a_face("a/3.jpg", (0, 0)),
            a_face("a/4.jpg", (0, 0), split="train"),
            a_face("a/5.jpg", (0, 0), image_size=(100, 100)),
        ],
    )
    done = matched(
        store,
        [
            a_face("a/1.jpg", (52, 0)),  # the second face of 1.jpg
            a_face("a/1.jpg", (1, 0)),
            a_face("a/1.jpg", (200, 0), where="line 3"),  # a face that the store has not
            a_face("a/2.jpg", (9, 9)),  # one pixel of 10 x 10 in common
            a_face("a/4.jpg", (0, 0)),
            a_face("a/5.jpg", (0, 0), image_size=(50, 50)),
            a_face("b/9.jpg", (0, 0)),
            Skipped("wrong_point_count", "line 9", "5 points"),
        ],
    )
    assert done.points[:, 0].tolist()[:2] == [[1, 0], [52, 0]]
    assert np.isnan(done.points[2:]).all()
    assert (done.read, done.used, dict(done.skipped)) == (7, 2, {"wrong_point_count": 1})
    assert reasons(done, "store") == {matching.NO_OVERLAP: 1, matching.NO_PICTURE: 2}
    assert reasons(done, "predictions") == {
        matching.EXTRA: 2,
        matching.OTHER_SPLIT: 1,
        matching.OTHER_SIZE: 1,
        matching.UNKNOWN: 1,
    }
    assert done.used + sum(reasons(done, "predictions").values()) == done.read
    summary = done.summary()
    assert summary["points_without_face"][matching.EXTRA] == {"count": 2, "first": ["line 3", "a/2.jpg"]}
    assert "1 predicted faces left out: of another split; the first: a/4.jpg" in done.lines()
    done.write_unmatched(tmp_path / "new" / "unmatched.csv")
    lines = (tmp_path / "new" / "unmatched.csv").read_text().splitlines()
    assert len(lines) == 1 + len(done.unmatched)
    assert f"store,a/3.jpg,a/3.jpg (face 3),{matching.NO_PICTURE}" in lines


def test_the_sum_of_the_overlaps_decides_not_the_order(tmp_path: Path) -> None:
    # By hand: face B lies over both predictions, A over the first alone. First come, first served would
    # give B the first and leave A with nothing.
    store = store_of(tmp_path, [a_face("x.jpg", (0, 0)), a_face("x.jpg", (4, 0))])
    done = matched(store, [a_face("x.jpg", (3, 0)), a_face("x.jpg", (6, 0))], least=0.3)
    assert done.points[:, 0].tolist() == [[3, 0], [6, 0]]
    assert assigned(np.array([[0.6, 0.8], [0.0, 0.7]]), 0.3) == {0: 0, 1: 1}
    assert assigned(np.array([[0.2, 0.8], [0.0, 0.7]]), 0.3) == {0: 1}


def test_points_far_off_belong_to_the_face_of_their_box(tmp_path: Path) -> None:
    """A program that was given the box and answered wrongly is measured, not left out."""
    store = store_of(tmp_path, [a_face("x.jpg", (0, 0))])
    wrong = a_face("x.jpg", (0, 0))
    wrong.landmarks = wrong.landmarks + 40
    assert matched(store, [wrong]).points[0, 0].tolist() == [40, 40]
    wrong.box = None
    assert reasons(matched(store, [wrong]), "store") == {matching.NO_OVERLAP: 1}


@pytest.mark.parametrize(
    ("predicted", "expected"),
    [
        ("helen/test/a.jpg", "helen/test/a.jpg"),
        ("/data/w/helen/test/a.jpg", "helen/test/a.jpg"),
        ("test\\a.jpg", "helen/test/a.jpg"),
        ("./lfpw/test/a.png", "lfpw/test/a.png"),
        ("lfpw/test/a", "lfpw/test/a.png"),
        ("elsewhere/only.jpg", "helen/test/only.png"),  # by its name alone
        ("a.jpg", None),  # two pictures are called so
        ("c.jpg", None),
    ],
)
def test_pictures_are_known_by_the_ends_of_their_paths(predicted: str, expected: str | None) -> None:
    stored = [("d", n) for n in ("helen/test/a.jpg", "lfpw/test/a.png", "helen/test/only.png")]
    (found,) = picture_names([predicted], stored).values()
    if predicted == "a.jpg":
        assert found == [("d", "helen/test/a.jpg")]  # the ending tells them apart
    else:
        assert found == ([] if expected is None else [("d", expected)])


def test_a_name_that_fits_two_pictures_is_ambiguous_unless_the_data_set_tells(tmp_path: Path) -> None:
    store = store_of(tmp_path, [a_face("1/x.jpg", (0, 0)), a_face("2/x.jpg", (0, 0), dataset="e")])
    unsaid = a_face("x.jpg", (0, 0), dataset="")
    assert reasons(matched(store, [unsaid]), "predictions") == {matching.AMBIGUOUS: 1}
    assert matched(store, [a_face("x.jpg", (0, 0), dataset="e")]).used == 1
    # Two predicted pictures of one name, neither of whose paths fits: neither is guessed.
    one, two = (a_face(f"{folder}/x.jpg", (0, 0), dataset="") for folder in "pq")
    assert reasons(matched(store, [one, two]), "predictions") == {matching.AMBIGUOUS: 2}


@pytest.mark.parametrize("stored_frame", ["stored", "shown"])
def test_points_of_turned_pictures_come_to_the_frame_of_the_store(tmp_path: Path, stored_frame: str) -> None:
    """By hand, orientation 6 of a stored 120 x 80 picture: shown are 80 x 120, x' = 80 - 1 - y, y' = x."""
    stored, shown = a_face("x.jpg", (10, 20)), a_face("x.jpg", (0, 0))
    stored.image_size, shown.image_size = (120, 80), (80, 120)
    x, y = stored.landmarks.T
    shown.landmarks = np.stack([79 - y, x], axis=1)
    shown.box = np.array([79 - 29, 10, 10, 10], np.float32)
    truth, given = (stored, shown) if stored_frame == "stored" else (shown, stored)
    truth.attributes = {"exif_orientation": 6, "exif_frame": stored_frame}
    store = store_of(tmp_path, [truth])
    other = "shown" if stored_frame == "stored" else "stored"
    rows, points = np.array([0]), store.numbers("landmarks").astype(float)
    done = match_predictions(store, rows, points, [given], frame=other)
    assert done.used == 1
    np.testing.assert_array_equal(done.points[0], truth.landmarks)
    # Said to be in the store's frame already, they are of a picture of another size.
    done = match_predictions(store, rows, points, [given], frame=stored_frame)
    assert reasons(done, "predictions") == {matching.OTHER_SIZE: 1}
