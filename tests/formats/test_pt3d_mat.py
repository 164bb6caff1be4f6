"""300W-LP and AFLW2000: values by scipy.io, depth and pose as attributes, faces turned share a subject."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats import Format, choose
from flmd.formats.aflw2000 import Aflw2000
from flmd.formats.w300lp import W300Lp
from flmd.schemes import IBUG68, get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import each_is_one_of, image_names, make_face, points, same_points
from tests.formats.text_formats import fuzz, read, reasons, tree_of

AFLW2000, W300LP = Aflw2000(), W300Lp()
PT3D = np.arange(204, dtype=np.float32).reshape(3, 68) / 4
PT2D = np.arange(136, dtype=np.float64).reshape(2, 68) * 0.5
POSE = np.array([[0.1, -0.2, 0.3, 225, 200, -66, 0.0015]], np.float32)


def mat(**variables: object) -> bytes:
    file = io.BytesIO()
    scipy.io.savemat(file, variables)
    return file.getvalue()


def one(fmt: Format, folder: Path, name: str, data: bytes) -> Face:
    (face,) = read(fmt, IBUG68, folder, {name: data})
    assert isinstance(face, Face)
    return face


def test_aflw2000_has_points_depth_pose_and_labels(tmp_path: Path) -> None:
    labels = np.tile([[5.0], [7.5]], 21)
    labels[:, 3] = -1, 452  # as the published files mark what is not labelled
    roi = np.array([[-3, 4, 500, 600]], np.int16)
    content = mat(pt3d_68=PT3D, pt2d=labels, Pose_Para=POSE, roi=roi, Shape_Para=np.ones((199, 1)))
    face = one(AFLW2000, tmp_path, "test/image1.mat", content)
    assert face.landmarks.tolist() == PT3D[:2].T.tolist()
    assert face.visibility.tolist() == [2] * 68
    assert (face.image, face.split, face.box) == ("test/image1.jpg", "test", None)
    z = face.attributes.pop("z")
    assert isinstance(z, str)
    assert list(map(float, z.split())) == PT3D[2].tolist()
    assert face.attributes.pop("aflw21") == " ".join(["5.0 7.5"] * 3 + ["nan nan"] + ["5.0 7.5"] * 17)
    pose = dict(zip(("pitch", "yaw", "roll", "tx", "ty", "tz", "scale"), POSE[0].tolist(), strict=True))
    assert face.attributes == pose | {"roi_left": -3, "roi_top": 4, "roi_right": 500, "roi_bottom": 600}


def test_300w_lp_takes_the_fitted_points_where_a_file_has_them(tmp_path: Path) -> None:
    face = one(W300LP, tmp_path, "a.mat", mat(pt2d=PT2D, Pose_Para=POSE))
    assert face.landmarks.tolist() == PT2D.T.tolist()
    assert "z" not in face.attributes
    face = one(W300LP, tmp_path, "a.mat", mat(pt2d=PT2D, pt3d_68=PT3D))
    assert face.landmarks.tolist() == PT3D[:2].T.tolist()
    assert "z" in face.attributes


def test_faces_turned_and_mirrored_share_a_subject(tmp_path: Path) -> None:
    names = ["AFW/AFW_134212_1_0", "AFW/AFW_134212_1_13", "AFW_Flip/AFW_134212_1_2", "AFW/AFW_134212_2_0"]
    items = read(W300LP, IBUG68, tmp_path, {f"{name}.mat": mat(pt2d=PT2D) for name in names})
    subjects = [item.subject for item in items if isinstance(item, Face)]
    assert subjects == ["AFW/AFW_134212_1", "AFW/AFW_134212_1", "AFW/AFW_134212_2", "AFW/AFW_134212_1"]


def test_the_names_of_300w_say_no_split_here(tmp_path: Path) -> None:
    face = one(W300LP, tmp_path, "LFPW/LFPW_image_test_0001_0.mat", mat(pt2d=PT2D))
    assert (face.split, face.subject) == ("", "LFPW/LFPW_image_test_0001")


def test_the_folder_of_plain_points_is_read_where_it_is_alone(tmp_path: Path) -> None:
    plain = {"landmarks/AFW/AFW_1_1_0_pts.mat": mat(pts_2d=PT2D.T, pts_3d=PT2D.T + 9)}
    (face,) = read(W300LP, IBUG68, tmp_path / "alone", plain)
    assert isinstance(face, Face)
    assert face.landmarks.tolist() == PT2D.T.tolist()
    assert (face.image, face.subject) == ("AFW/AFW_1_1_0.jpg", "AFW/AFW_1_1")
    beside = plain | {"AFW/AFW_1_1_0.mat": mat(pt2d=PT2D + 1), "AFW/AFW_1_1_0.jpg": b""}
    (face,) = read(W300LP, IBUG68, tmp_path / "both", beside)
    assert isinstance(face, Face)
    assert face.landmarks[0].tolist() == [1, 35]


def test_a_model_beside_the_pictures_is_no_face(tmp_path: Path) -> None:
    files = {"a.mat": mat(pt2d=PT2D), "a.jpg": b"", "Code/Model.mat": mat(w=np.ones((3, 3)))}
    with tree_of(tmp_path, files) as tree:
        assert W300LP.detect(tree).files == ("a.mat",)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (mat(pt2d=PT2D[:, :21]), "wrong_point_count"),
        (mat(pt3d_68=PT3D.T), "wrong_point_count"),
        (mat(pt2d=np.full((2, 68), np.inf)), "not_a_number"),
        (mat(pt2d=np.where(np.arange(136).reshape(2, 68) == 5, np.nan, PT2D)), "not_a_number"),
        (mat(pt2d=PT2D)[:200], "unreadable_file"),
        (bytes(2 << 20), "unreadable_file"),
    ],
)
def test_bad_files_are_skipped(tmp_path: Path, content: bytes, reason: str) -> None:
    items = read(W300LP, IBUG68, tmp_path, {"a.mat": mat(pt2d=PT2D), "b.mat": content})
    assert reasons(items) == ["", reason]


def test_a_scheme_of_another_count_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="wflw98 has 98 points; expected 68"):
        AFLW2000.write([], tmp_path / "out", get_scheme("wflw98"))


def test_the_real_files(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "formats/aflw2000"
    with open_tree(folder) as tree:
        fmt, found = choose(tree)
        assert (fmt.name, len(found.files)) == ("aflw2000", 10)
        faces = list(fmt.read(tree, IBUG68, found.files))
    for face in faces:
        assert isinstance(face, Face)
        assert (folder / face.image).is_file()
        wanted = scipy.io.loadmat(folder / Path(face.image).with_suffix(".mat"))
        assert np.array_equal(face.landmarks, wanted["pt3d_68"][:2].T)
        assert np.array_equal(np.float32(str(face.attributes["z"]).split()), wanted["pt3d_68"][2])
        labels = np.float32(str(face.attributes["aflw21"]).split()).reshape(21, 2)
        unlabelled = wanted["pt2d"][0] < 0
        assert np.array_equal(np.isnan(labels).all(axis=1), unlabelled)
        assert np.array_equal(labels[~unlabelled], np.float32(wanted["pt2d"].T[~unlabelled]))
        pose = [face.attributes[key] for key in ("pitch", "yaw", "roll")]
        assert np.array_equal(np.float32(pose), wanted["Pose_Para"][0, :3])
    report = fmt.write((f for f in faces if isinstance(f, Face)), tmp_path / "out", IBUG68)
    assert (report.faces, report.lost) == (10, {})
    with open_tree(tmp_path / "out") as tree:
        again = list(fmt.read(tree, IBUG68, fmt.detect(tree).files))
    for face, back in zip(faces, again, strict=True):
        assert isinstance(face, Face)
        assert isinstance(back, Face)
        assert same_points(face, back)
        assert (back.attributes, back.image) == (face.attributes, face.image)


@st.composite
def fitted(draw: st.DrawFn) -> Face:
    """A face with what both formats can hold."""
    landmarks = draw(points(68, whole=False))
    landmarks[draw(st.lists(st.integers(0, 67), max_size=3))] = np.nan
    face = make_face(draw(image_names()) + ".jpg", landmarks)
    if draw(st.booleans()):
        z = draw(points(68, whole=False))[:, 0]
        face.attributes["z"] = " ".join(repr(float(v)) for v in z)
    if draw(st.booleans()):
        numbers = st.floats(-1e30, 1e30)
        face.attributes |= {key: draw(numbers) for key in ("pitch", "yaw", "roll", "tx", "ty", "tz", "scale")}
    if draw(st.booleans()):
        whole = st.integers(-(1 << 30), 1 << 30)
        face.attributes |= {f"roi_{side}": draw(whole) for side in ("left", "top", "right", "bottom")}
    return face


@pytest.mark.parametrize("fmt", [AFLW2000, W300LP])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_written_faces_read_back(tmp_path_factory, fmt: Format, data: st.DataObject) -> None:
    faces = data.draw(st.lists(fitted(), max_size=3, unique_by=lambda f: f.image))
    target = tmp_path_factory.mktemp("pt3d") / "out"
    report = fmt.write(faces, target, IBUG68)
    assert set(report.lost) <= {"image name", "subject", "split", "face with unwritable image name"}
    with open_tree(target) as tree:
        again = list(fmt.read(tree, IBUG68, fmt.detect(tree).files))
    assert len(again) == report.faces
    assert each_is_one_of(again, faces, _same)


def _same(face: Face, back: Face) -> bool:
    """The same points and attributes; no depth is written as 0, and ``aflw21`` is of the picture."""
    one, two = dict(face.attributes), dict(back.attributes)
    two.pop("aflw21", None)
    deep = [np.float32(str(said.pop("z", "0 " * 68)).split()) for said in (one, two)]
    return same_points(face, back) and one == two and np.array_equal(*deep)


def test_what_is_lost_is_counted(tmp_path: Path) -> None:
    face = make_face("a.png", np.ones((68, 2), np.float32), subject="me", split="train")
    face.visibility[0] = 1
    face.attributes = {"pitch": 0.5, "z": "1 2 3"}  # no yaw and roll, and too few depths
    assert W300LP.write([face], tmp_path / "out", IBUG68).lost == {
        "image name": 1,
        "visibility": 1,
        "subject": 1,
        "split": 1,
        "attributes": 1,
    }


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    fuzz(AFLW2000, IBUG68, tmp_path, "a.mat", mat(pt3d_68=PT3D, pt2d=PT2D[:, :21], Pose_Para=POSE))


def test_skipped_faces_say_what_was_expected(tmp_path: Path) -> None:
    (item,) = read(AFLW2000, IBUG68, tmp_path, {"b.mat": mat(pt3d_68=PT3D)})
    assert isinstance(item, Face)
    files = {"a.mat": mat(pt3d_68=PT3D), "b.mat": mat(pt3d_68=PT3D[:, :9])}
    bad = read(AFLW2000, IBUG68, tmp_path, files)[1]
    assert isinstance(bad, Skipped)
    assert bad.what == "pt3d_68 is of shape (3, 9), expected 3x68"
