"""The difference of two sets of faces: what was planted is counted, and nothing else."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from flmd.curation.diff import FaceDiff, diff_faces
from flmd.errors import InputError
from flmd.face import Face, Skipped, visibility_of
from tests.factories import make_face


def three(image: str, at: tuple[float, float] = (0, 0), **fields: object) -> Face:
    """Three points around a place."""
    points = np.add(at, [[0, 0], [10, 0], [0, 10]]).astype(np.float32)
    return Face(image, points, visibility_of(points), where=f"list:{image}", **fields)  # type: ignore[arg-type]


def moved(face: Face, point: int, by: tuple[float, float]) -> Face:
    points = face.landmarks.copy()
    points[point] += np.array(by, np.float32)
    return replace(face, landmarks=points)


def compare(tmp_path: Path, a: list[Face | Skipped], b: list[Face | Skipped], **options: float) -> FaceDiff:
    folder = tmp_path / f"scratch{len(list(tmp_path.iterdir()))}"
    return diff_faces(iter(a), iter(b), 3, scratch=folder, **options)  # type: ignore[arg-type]


def test_the_same_faces_in_another_order_are_the_same(tmp_path: Path) -> None:
    faces = [three(f"{i % 7}.jpg", (30.0 * i, 5.0 * i)) for i in range(40)]
    other = random.Random(3).sample(faces, len(faces))
    found = compare(tmp_path, [*faces], [*other])
    assert found.same
    assert (found.faces_a, found.faces_b, found.matched) == (40, 40, 40)


def test_added_removed_and_moved(tmp_path: Path) -> None:
    a = [three("a.jpg"), three("b.jpg"), three("gone.jpg")]
    b = [three("new.jpg"), moved(three("b.jpg"), 2, (3, -4)), three("a.jpg")]
    found = compare(tmp_path, [*a], [*b])
    assert (found.added, found.removed, found.moved, found.matched) == (1, 1, 1, 2)
    assert found.first_added == ["new.jpg (list:new.jpg)"]
    assert found.first_removed == ["gone.jpg (list:gone.jpg)"]
    # One of three points by (3, -4): 5 px at most, 5/3 px on average.
    (worst,) = found.worst
    assert (worst.image, worst.point, worst.largest) == ("b.jpg", 2, 5.0)
    assert worst.mean == pytest.approx(5 / 3)
    assert not found.changed
    assert not found.same


def test_tolerance_is_in_pixels_and_includes_its_end(tmp_path: Path) -> None:
    a, b = three("a.jpg"), moved(three("a.jpg"), 0, (0.5, 0))
    assert compare(tmp_path, [a], [b], tolerance=0.5).same
    assert compare(tmp_path, [a], [b], tolerance=0.49).moved == 1


def test_percentiles_over_the_moved_faces(tmp_path: Path) -> None:
    a = [three(f"{i}.jpg") for i in range(5)]
    b = [moved(face, 1, (float(i), 0)) for i, face in enumerate(a)]
    found = compare(tmp_path, [*a], [*b]).as_dict()
    # Largest distances 1, 2, 3, 4: the median lies midway between 2 and 3.
    assert (found["moved"], found["moved_largest_p50_px"], found["moved_largest_p100_px"]) == (4, 2.5, 4)
    assert [m["image"] for m in found["worst"]] == ["4.jpg", "3.jpg", "2.jpg", "1.jpg"]
    json.dumps(found)


def test_several_faces_of_a_picture_are_matched_by_their_points(tmp_path: Path) -> None:
    left, middle, right = (three("group.jpg", at) for at in ((0, 0), (100, 0), (200, 0)))
    found = compare(tmp_path, [left, middle, right], [moved(right, 0, (1, 0)), left])
    assert (found.removed, found.added, found.moved) == (1, 0, 1)
    assert found.worst[0].largest == 1.0
    # The best total, not the nearest first: 90 is nearer to 100 than 0 is, yet 0 -> 90 and 100 -> 190.
    shifted = [three("group.jpg", at) for at in ((90, 0), (190, 0))]
    found = compare(tmp_path, [left, middle], [*shifted])
    assert found.largest.tolist() == [90, 90]


def test_a_face_without_points_is_matched_by_its_box(tmp_path: Path) -> None:
    def boxed(x: float) -> Face:
        points = np.full((3, 2), np.nan, np.float32)
        return Face("a.jpg", points, visibility_of(points), np.array([x, 0, 9, 9], np.float32), "annotated")

    assert compare(tmp_path, [boxed(0), boxed(50)], [boxed(50), boxed(0)]).same
    found = compare(tmp_path, [boxed(0), boxed(50)], [boxed(51), boxed(0)])
    assert (found.moved, dict(found.changed)) == (0, {"box": 1})


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ("split", {"split": "test"}),
        ("subject", {"subject": "bob"}),
        ("subset", {"subset": "hard"}),
        ("attributes", {"attributes": {"pose": 3}}),
        ("image_size", {"image_size": (8, 9)}),
        ("box", {"box": None, "box_source": "annotated"}),
        ("box", {"box": np.array([1, 2, 3, 5], np.float32)}),
        ("box_source", {"box_source": "detector"}),
        ("visibility", {"visibility": np.array([2, 1, 2], np.uint8)}),
    ],
)
def test_each_change_is_counted_under_its_name(
    tmp_path: Path, change: str, fields: dict[str, object]
) -> None:
    box = np.array([1, 2, 3, 4], np.float32)
    face = three("a.jpg", box=box, box_source="annotated", image_size=(9, 9))
    found = compare(tmp_path, [face, three("b.jpg")], [replace(face, **fields), three("b.jpg")])  # type: ignore[arg-type]
    assert dict(found.changed) == {change: 1}
    assert not found.same


def test_a_point_labelled_on_one_side_only_is_a_change_of_visibility(tmp_path: Path) -> None:
    face = three("a.jpg")
    points = face.landmarks.copy()
    points[1] = np.nan
    found = compare(tmp_path, [face], [replace(face, landmarks=points, visibility=visibility_of(points))])
    assert (found.moved, dict(found.changed)) == (0, {"visibility": 1})


def test_data_sets_count_only_where_both_sides_name_them(tmp_path: Path) -> None:
    a, b = three("a.jpg", dataset="one"), three("a.jpg", dataset="two")
    assert compare(tmp_path, [a], [b]).added == 1
    assert compare(tmp_path, [a], [three("a.jpg")]).same


def test_skipped_faces_and_empty_sides(tmp_path: Path) -> None:
    skipped = Skipped("bad_box", "list:1", "0x0")
    found = compare(tmp_path, [three("a.jpg"), skipped], [three("a.jpg")])
    assert (found.skipped_a, found.skipped_b, found.same) == (1, 0, False)
    assert compare(tmp_path, [], []).same
    assert compare(tmp_path, [], [three("a.jpg")]).added == 1
    with pytest.raises(InputError, match="68 points; expected 3"):
        compare(tmp_path, [make_face("a.jpg")], [])
