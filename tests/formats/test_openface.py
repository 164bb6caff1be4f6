"""OpenFace's CSV: columns by name, frames of a clip and faces of a picture, values by plain csv."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.openface import OpenFace
from flmd.schemes import IBUG68, get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import HARD, image_names, make_face, points, same_points
from tests.formats.text_formats import fuzz, read, reasons, tree_of

FORMAT = OpenFace()
POINT_COLUMNS = [f"{axis}_{i}" for axis in "xy" for i in range(68)]
POSE = [f"pose_{axis}" for axis in ("Tx", "Ty", "Tz", "Rx", "Ry", "Rz")]


def table(*rows: dict[str, object], comma: str = ",", first: tuple[str, ...] = ("frame", "success")) -> str:
    """A table in which x_i is i and y_i is i + 100.5, unless a row says otherwise."""
    columns = [*first, "confidence", *POINT_COLUMNS, "X_0", "AU01_r"]
    lines = [comma.join(columns)]
    for row in rows:
        usual = {c: 100.5 * (c[0] == "y") + int(c[2:]) for c in POINT_COLUMNS}
        cells = {"frame": 1, "face": 0, "success": 1, "confidence": 0.9, "X_0": 7, "AU01_r": 0} | usual | row
        lines.append(comma.join(str(cells[c]) for c in columns))
    return "\n".join(lines) + "\n"


def test_reads_frames_of_a_clip_with_and_without_spaces(tmp_path: Path) -> None:
    for comma in (",", ", "):
        (face,) = read(FORMAT, IBUG68, tmp_path, {"clip.csv": table({"frame": 3}, comma=comma)})
        assert isinstance(face, Face)
        assert face.landmarks.tolist() == [[i, i + 100.5] for i in range(68)]
        assert (face.image, face.subject, face.split) == ("clip/000003.jpg", "clip", "")
        assert face.attributes == {"confidence": 0.9}


def test_frames_share_a_subject_and_lost_ones_are_skipped(tmp_path: Path) -> None:
    rows = [{"frame": 1}, {"frame": 2, "success": 0}, {"frame": 3}]
    items = read(FORMAT, IBUG68, tmp_path, {"train/clip_test.csv": table(*rows)})
    assert reasons(items) == ["", "not_tracked", ""]
    faces = [item for item in items if isinstance(item, Face)]
    assert {(f.subject, f.split) for f in faces} == {("train/clip_test", "train")}


def test_a_whole_folder_is_counted_in_the_order_of_its_names(tmp_path: Path) -> None:
    """OpenFace counts pictures, whatever their numbers: frame 1 of 000000.jpg … is the first."""
    pictures = {f"clip/{n:06d}.jpg": b"" for n in range(3)}
    items = read(FORMAT, IBUG68, tmp_path, {"clip.csv": table({"frame": 1}, {"frame": 3}), **pictures})
    assert [item.image for item in items] == ["clip/000000.jpg", "clip/000002.jpg"]  # type: ignore[union-attr]


def test_in_a_folder_that_lacks_frames_the_numbers_count(tmp_path: Path) -> None:
    pictures = {"clip/0007.png": b"", "clip/cover.png": b""}
    items = read(FORMAT, IBUG68, tmp_path, {"clip.csv": table({"frame": 7}, {"frame": 8}), **pictures})
    assert [item.image for item in items] == ["clip/0007.png", "clip/000008.jpg"]  # type: ignore[union-attr]


def test_frames_of_a_video_beside_are_pictures(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "clip.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 25, (32, 32))
    for grey in (0, 255):
        writer.write(np.full((32, 32, 3), grey, np.uint8))
    writer.release()
    for first in (0, 1):
        files = {"clip.csv": table({"frame": first}, {"frame": first + 1})}
        with tree_of(tmp_path, files) as tree:
            faces = list(FORMAT.read(tree, IBUG68, ("clip.csv",)))
            found = FORMAT.pictures(tree)
            grey = [
                cv2.imdecode(np.frombuffer(found.read(f.image), np.uint8), 0).mean()  # type: ignore[union-attr]
                for f in faces
            ]
        assert grey[0] < 5
        assert grey[1] > 250


def test_faces_of_a_picture_lie_beside_it_or_in_the_folder_that_openface_makes(tmp_path: Path) -> None:
    two = table({"face": 0}, {"face": 1, "x_0": ""}, first=("face",))
    files = {"a.csv": two, "a.png": b"", "processed/b.csv": table({}, first=("face",)), "b.jpeg": b""}
    one, bad, other = read(FORMAT, IBUG68, tmp_path, files)
    assert isinstance(one, Face)
    assert isinstance(other, Face)
    assert (one.image, one.subject, other.image) == ("a.png", "a", "b.jpeg")
    assert isinstance(bad, Skipped)
    assert (bad.reason, "column x_0" in bad.what) == ("not_a_number", True)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"x_5": "left"}, "not_a_number"),
        ({"y_67": "nan"}, "not_a_number"),
        ({"y_67": "1e39"}, "not_a_number"),
        ({"frame": "first"}, "bad_frame"),
        ({"frame": "-1"}, "bad_frame"),
        ({"AU01_r": "0,1"}, "long_row"),
    ],
)
def test_bad_rows_are_skipped_with_their_line(tmp_path: Path, row: dict, reason: str) -> None:
    good, skipped = read(FORMAT, IBUG68, tmp_path, {"clip.csv": table({}, row)})
    assert isinstance(good, Face)
    assert isinstance(skipped, Skipped)
    assert skipped.reason == reason
    assert skipped.where.endswith("clip.csv:3")


def test_a_short_row_and_a_repeated_column(tmp_path: Path) -> None:
    short = read(FORMAT, IBUG68, tmp_path, {"clip.csv": table({}) + "2,1,0.5\n"})[1]
    assert isinstance(short, Skipped)
    assert short.reason == "short_row"
    with pytest.raises(InputError, match="'confidence' occurs twice"):
        read(FORMAT, IBUG68, tmp_path, {"clip.csv": table({}, first=("frame", "success", "confidence"))})
    with tree_of(tmp_path, {}) as tree, pytest.raises(InputError, match="has 98 points; expected 68"):
        list(FORMAT.read(tree, get_scheme("wflw98"), ()))


def test_a_table_without_points_is_told_how_to_have_them(tmp_path: Path) -> None:
    with tree_of(tmp_path, {"a.csv": "frame, confidence, pose_Tx, AU01_r\n1, 1, 0, 0\n"}) as tree:
        assert "run OpenFace with -2Dfp" in FORMAT.detect(tree).why


def test_the_real_file(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "formats/openface_csv/OpenFace_Test.csv"
    with source.open(newline="") as stream:
        wanted = [{k.strip(): v for k, v in row.items()} for row in csv.DictReader(stream)]
    with open_tree(source.parent) as tree:
        faces = list(FORMAT.read(tree, IBUG68, FORMAT.detect(tree).files))
    assert len(faces) == len(wanted) == 100
    for face, row in zip(faces, wanted, strict=True):
        assert isinstance(face, Face)
        x_y = [[row[f"x_{i}"], row[f"y_{i}"]] for i in range(68)]
        assert np.array_equal(face.landmarks, np.array(x_y, np.float32))
        assert face.attributes == {c: float(row[c]) for c in ("timestamp", "confidence", *POSE)}
        assert face.image == f"OpenFace_Test/{int(row['frame']):06d}.jpg"
    report = FORMAT.write((f for f in faces if isinstance(f, Face)), tmp_path / "OpenFace_Test.csv", IBUG68)
    assert (report.faces, report.lost) == (100, {})
    with open_tree(tmp_path) as tree:
        again = list(FORMAT.read(tree, IBUG68, FORMAT.detect(tree).files))
    for one, two in zip(faces, again, strict=True):
        assert isinstance(one, Face)
        assert isinstance(two, Face)
        assert same_points(one, two)
        assert two.attributes == one.attributes | {"face_id": 0}
        assert (two.image, two.subject) == (one.image, one.subject)


@st.composite
def tracked(draw) -> Face:
    """A face with what OpenFace can say."""
    landmarks = draw(points(68, whole=False))
    landmarks[draw(st.lists(st.integers(0, 67), max_size=3))] = np.nan
    image = draw(image_names(HARD.replace("/", ""))) + draw(st.sampled_from([".jpg", ".png"]))
    keys = draw(st.lists(st.sampled_from(["confidence", *POSE]), unique=True, max_size=7))
    return make_face(image, landmarks, attributes={k: draw(st.floats(-1e9, 1e9)) for k in keys})


@settings(max_examples=40, deadline=None)
@given(st.lists(tracked(), max_size=4), st.booleans())
def test_written_faces_read_back(tmp_path_factory, faces: list[Face], sequence: bool) -> None:
    target = tmp_path_factory.mktemp("openface") / ("out.csv" if sequence else "out")
    report = FORMAT.write(faces, target, IBUG68)
    refused = report.lost["face with unwritable image name"] + report.lost["another picture of this stem"]
    assert report.faces + refused == len(faces)
    assert not (sequence and refused)
    with open_tree(target.parent if sequence else target) as tree:
        again = list(FORMAT.read(tree, IBUG68, FORMAT.detect(tree).files))
    assert len(again) == report.faces
    if sequence:
        pairs = list(zip(faces, again, strict=True))
    else:  # files come in name order, faces of one picture together
        left, pairs = list(faces), []
        for found in again:
            assert isinstance(found, Face)
            kept = {k: v for k, v in found.attributes.items() if k != "face_id"}
            alike = [f for f in left if same_points(f, found) and f.attributes == kept]
            assert alike, "a face that was not written, or one too many"
            left = [f for f in left if f is not alike[0]]
            pairs.append((alike[0], found))
    for one, two in pairs:
        assert isinstance(two, Face)
        assert same_points(one, two)
        two.attributes.pop("face_id", None)
        assert one.attributes == two.attributes


def test_a_sequence_numbers_pictures_and_a_folder_has_a_file_for_each(tmp_path: Path) -> None:
    good = np.ones((68, 2), np.float32)
    faces = [make_face(name, good) for name in ("a.jpg", "a.jpg", "clip/000009.jpg", "b/c.jpg")]
    faces[0].box, faces[0].box_source, faces[0].split = np.ones(4, np.float32), "annotated", "test"
    report = FORMAT.write(faces, tmp_path / "clip.csv", IBUG68)
    assert report.lost == {"box": 1, "split": 1, "image name": 3}
    rows = [row[:2] for row in csv.reader((tmp_path / "clip.csv").open())]
    assert rows[1:] == [["1", "0"], ["1", "1"], ["9", "0"], ["10", "0"]]
    report = FORMAT.write(faces, tmp_path / "out", IBUG68)
    assert report.lost == {"box": 1, "split": 1}
    assert (tmp_path / "out/a.csv").read_text().count("\n") == 3
    assert (tmp_path / "out/b/c.csv").read_text().startswith("face,confidence,pose_Tx")


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    fuzz(FORMAT, IBUG68, tmp_path, "clip.csv", table({}, {"frame": 2}).encode())
