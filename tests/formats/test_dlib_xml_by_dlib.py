"""dlib's own loader of imglab XML against our reader and our writer."""

from __future__ import annotations

from pathlib import Path

import dlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.face import Face
from flmd.formats import get
from flmd.schemes import IBUG68
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points

LISTS = [
    "formats/dlib_300w_xml/labels_ibug_300W_test.xml",
    "ibug_300w/labels_ibug_300W_train.xml",
    "dlib_faces/training_with_face_landmarks.xml",
    "dlib_faces/testing_with_face_landmarks.xml",
]
ASCII = "abcXYZ019 _-&<>'\""  # dlib's Python binding takes the names of an ISO-8859-1 list for UTF-8
Row = tuple[str, tuple[int, int, int, int], list[list[int]]]


def by_dlib(path: Path) -> list[Row]:
    """Picture, left/top/width/height, and points in the order of their names, of every box with points."""
    rows = []
    for image in dlib.image_dataset_metadata.load_image_dataset_metadata(str(path)).images:
        for box in image.boxes:
            parts = {name: [point.x, point.y] for name, point in box.parts.items()}
            if parts:
                rect = (box.rect.left(), box.rect.top(), box.rect.width(), box.rect.height())
                rows.append((image.filename, rect, [parts[name] for name in sorted(parts)]))
    return rows


def by_us(path: Path) -> list[Row]:
    with open_tree(path.parent) as tree:
        found = [f for f in get("dlib-xml").read(tree, IBUG68, (path.name,)) if isinstance(f, Face)]
    return [
        (f.image, tuple(int(v) for v in f.box), f.landmarks.astype(int).tolist())  # type: ignore[union-attr,misc]
        for f in found
        if f.visibility.any()
    ]


@pytest.mark.parametrize("name", LISTS)
def test_real_lists_are_read_as_dlib_reads_them(shared_data: Path, name: str) -> None:
    expected = by_dlib(shared_data / name)
    assert len(expected) > 10
    assert by_us(shared_data / name) == expected


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(image_names(ASCII), points(68, whole=True)), min_size=1, max_size=3))
def test_what_we_write_dlib_reads(tmp_path_factory: pytest.TempPathFactory, drawn: list) -> None:  # type: ignore[type-arg]
    path = tmp_path_factory.mktemp("dlib") / "x.xml"
    box = np.array([-3, 5, 40, 41], np.float32)
    faces = [make_face(name, landmarks, box=box, box_source="annotated") for name, landmarks in drawn]
    get("dlib-xml").write(faces, path, IBUG68)
    rows = by_dlib(path)
    assert [points for _, _, points in rows] == [f.landmarks.astype(int).tolist() for f in faces]
    assert {rect for _, rect, _ in rows} == {(-3, 5, 40, 41)}


def test_dlib_reads_a_face_without_some_of_its_points(tmp_path: Path) -> None:
    landmarks = np.stack([np.arange(68), np.arange(68)], axis=1).astype(np.float32)
    landmarks[[5, 67]] = np.nan
    face = make_face("a.png", landmarks, box=np.array([0, 0, 68, 68], np.float32), box_source="annotated")
    get("dlib-xml").write([face], tmp_path / "x.xml", IBUG68)
    ((_, _, points),) = by_dlib(tmp_path / "x.xml")
    assert points == [[i, i] for i in range(68) if i not in (5, 67)]
