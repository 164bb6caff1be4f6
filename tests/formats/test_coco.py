"""COCO keypoints: values agree with pycocotools and with plain json; round trips keep everything."""

from __future__ import annotations

import contextlib
import json
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools.coco import COCO

from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats.coco import Coco
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points

FORMAT = Coco()
P2 = get_scheme("points2")


def annotation(number: int = 1, **fields: object) -> dict:
    """Two labelled points."""
    return {
        "id": number,
        "image_id": 7,
        "category_id": 1,
        "bbox": [1, 2, 30.5, 40],
        "keypoints": [10, 20.5, 2, 30.25, 40, 1],
    } | fields


def document(*annotations: object, **fields: object) -> dict:
    """One picture, ``a/b.jpg``."""
    images = [{"id": 7, "file_name": "a/b.jpg", "width": 640, "height": 480}]
    return {"images": images, "annotations": list(annotations)} | fields


def read(tmp_path: Path, content: object, scheme=P2, name: str = "list.json") -> list[Face | Skipped]:
    """What the reader makes of a document."""
    (tmp_path / name).write_text(json.dumps(content))
    with open_tree(tmp_path) as tree:
        return list(FORMAT.read(tree, scheme, (name,)))


def test_reads_points_box_visibility_and_size(tmp_path: Path) -> None:
    (face,) = read(tmp_path, document(annotation(attributes={"pose": 3, "none": None, "deep": [1]})))
    assert isinstance(face, Face)
    assert face.image == "a/b.jpg"
    assert face.image_size == (640, 480)
    assert face.landmarks.tolist() == [[10, 20.5], [30.25, 40]]
    assert face.visibility.tolist() == [2, 1]
    assert face.box is not None
    assert face.box.tolist() == [1, 2, 30.5, 40]
    assert (face.box_source, face.subject, face.split) == ("annotated", "a/b", "")
    assert face.attributes == {"pose": 3, "deep": "[1]"}
    assert face.where.endswith("list.json:1 (annotation 1)")


def test_points_of_v_0_are_nan_wherever_they_are(tmp_path: Path) -> None:
    (face,) = read(tmp_path, document(annotation(keypoints=[10, 20, 2, 30, 40, 0])))
    assert np.isnan(face.landmarks[1]).all()
    assert face.visibility.tolist() == [2, 0]


def test_a_face_without_any_labelled_point_stays_a_face(tmp_path: Path) -> None:
    (face,) = read(tmp_path, document(annotation(keypoints=[0] * 6)))
    assert face.visibility.tolist() == [0, 0]
    assert face.box is not None


def test_v_1_means_visible_in_a_file_without_any_2(tmp_path: Path) -> None:
    ones = annotation(keypoints=[1, 2, 1, 3, 4, 1])
    (face,) = read(tmp_path, document(ones))
    assert face.visibility.tolist() == [2, 2]
    face, _ = read(tmp_path, document(ones, annotation(2)))
    assert face.visibility.tolist() == [1, 1]


def test_keys_in_any_order_give_the_same_faces(tmp_path: Path) -> None:
    content = document(annotation(), annotation(2), categories=[])
    backwards = dict(reversed(content.items()))
    assert next(iter(backwards)) == "categories"
    one, two = read(tmp_path, content), read(tmp_path, backwards)
    assert [f.landmarks.tolist() for f in one] == [f.landmarks.tolist() for f in two]
    assert [f.image for f in one] == [f.image for f in two] == ["a/b.jpg"] * 2


def test_pictures_are_found_where_the_tree_has_them_once(tmp_path: Path) -> None:
    for name in ("train2017/a/b.jpg", "val2017/a/b.jpg"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "annotations").mkdir()
    name = "annotations/person_keypoints_train2017.json"
    (face,) = read(tmp_path, document(annotation()), name=name)
    assert (face.image, face.split) == ("train2017/a/b.jpg", "train")
    (face,) = read(tmp_path, document(annotation()), name="annotations/all.json")
    assert face.image == "annotations/a/b.jpg"  # two of them: which is not known


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image_id": 8}, "unknown_image"),
        ({"image_id": [8]}, "unknown_image"),
        ({"keypoints": [1, 2, 2]}, "wrong_point_count"),
        ({"keypoints": [1, 2, 2, 3, 4]}, "wrong_point_count"),
        ({"keypoints": []}, "no_keypoints"),
        ({"keypoints": None}, "no_keypoints"),
        ({"keypoints": [1, 2, 2, "3", 4, 2]}, "not_a_number"),
        ({"keypoints": [1, 2, 2, True, 4, 2]}, "not_a_number"),
        ({"keypoints": [1, 2, 2, float("nan"), 4, 2]}, "not_a_number"),
        ({"keypoints": [1, 2, 2, 1e39, 4, 2]}, "not_a_number"),
        ({"keypoints": [1, 2, 2, 10**400, 4, 2]}, "not_a_number"),
        ({"keypoints": {"x": 1}}, "not_a_number"),
        ({"keypoints": [1, 2, 2, 3, 4, 0.5]}, "bad_visibility"),
        ({"bbox": [1, 2, 0, 4]}, "bad_box"),
        ({"bbox": [1, 2, 3]}, "bad_box"),
        ({"bbox": "box"}, "bad_box"),
    ],
)
def test_bad_annotations_are_skipped(tmp_path: Path, fields: dict, reason: str) -> None:
    skipped, face = read(tmp_path, document(annotation(**fields), annotation(2)))
    assert isinstance(skipped, Skipped)
    assert skipped.reason == reason
    assert isinstance(face, Face)


def test_annotations_that_are_no_dictionary_and_paths_out_of_the_tree_are_skipped(tmp_path: Path) -> None:
    assert read(tmp_path, document(5))[0].reason == "bad_annotation"
    for image in ({"id": 7}, {"id": 7, "file_name": "../../x.jpg"}, {"id": 7, "file_name": "/x.jpg"}):
        assert read(tmp_path, document(annotation(), images=[image]))[0].reason == "bad_path"


def test_a_truncated_file_gives_its_good_faces_first(tmp_path: Path) -> None:
    text = json.dumps(document(annotation(), annotation(2)), indent=0)
    (tmp_path / "x.json").write_text(text[: text.rindex("keypoints")])
    with open_tree(tmp_path) as tree:
        faces = FORMAT.read(tree, P2, ("x.json",))
        assert isinstance(next(faces), Face)
        with pytest.raises(InputError, match=r"x.json:\d+: broken JSON"):
            next(faces)


def test_no_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match='no "images"'):
        read(tmp_path, {"annotations": [annotation()]})


WHOLE = {133: 23, 136: 26}


@pytest.mark.parametrize("count", [133, 136])
def test_the_face_of_a_whole_body(tmp_path: Path, count: int) -> None:
    values = [[i, i + 0.5, 2] for i in range(count)]
    flat = [v for point in values for v in point]
    (tmp_path / "x.json").write_text(json.dumps(document(annotation(keypoints=flat))))
    with open_tree(tmp_path) as tree:
        assert FORMAT.scheme_in(tree, ("x.json",)) == "wholebody68"
        (face,) = FORMAT.read(tree, get_scheme("wholebody68"), ("x.json",))
        (body,) = FORMAT.read(tree, get_scheme(f"points{count}"), ("x.json",))
    first = WHOLE[count]
    assert face.landmarks[:, 0].tolist() == list(range(first, first + 68))
    assert face.box is None
    assert len(body.landmarks) == count
    assert body.box is not None


def test_face_kpts_with_their_box_and_validity(tmp_path: Path) -> None:
    own = {"face_kpts": [5, 6, 1] * 68, "face_box": [1, 1, 9, 9], "face_valid": True}
    none = {"face_kpts": [0, 0, 0] * 68, "face_box": [0, 0, 0, 0], "face_valid": False}
    content = document(
        annotation(keypoints=[1, 2, 2] * 17, **own), annotation(keypoints=[1, 2, 2] * 17, **none)
    )
    face, skipped = read(tmp_path, content, get_scheme("wholebody68"))
    assert face.box.tolist() == [1, 1, 9, 9]
    assert (face.visibility == 2).all()
    assert skipped.reason == "face_not_valid"
    body, other = read(tmp_path, content, get_scheme("points17"))
    assert body.box.tolist() == [1, 2, 30.5, 40]
    assert isinstance(other, Face)


REAL = {
    "300w/test_300w.json": ("ibug68", 2),
    "aflw/test_aflw.json": (None, 2),
    "cofw/test_cofw.json": ("cofw29", 2),
    "lapa/test_lapa.json": ("lapa106", 2),
    "wflw/test_wflw.json": ("wflw98", 4),
    "coco/test_coco.json": ("points17", 14),
    "coco/test_coco_wholebody.json": ("wholebody68", 4),
    "coco/test_keypoint_partition_metric.json": ("wholebody68", 4),
    "halpe/test_halpe.json": ("wholebody68", 14),
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_agree_with_pycocotools(shared_data: Path, name: str, capsys) -> None:
    path = shared_data / "formats/mmpose_coco" / name
    scheme_name, count = REAL[name]
    theirs = COCO(str(path))
    with open_tree(path.parent) as tree:
        found = FORMAT.scheme_in(tree, (path.name,))
        assert found == (scheme_name or found)
        read = list(FORMAT.read(tree, get_scheme(found), (path.name,)))
    faces = [face for face in read if isinstance(face, Face)]
    assert {skipped.reason for skipped in read if isinstance(skipped, Skipped)} <= {"face_not_valid"}
    assert len(faces) == count
    wanted = list(theirs.anns.values())
    if found == "wholebody68":
        wanted = [a for a in wanted if a.get("face_valid", True)]
    for face, a in zip(faces, wanted, strict=True):
        values = np.array(a.get("face_kpts", a["keypoints"]) if found == "wholebody68" else a["keypoints"])
        values = values.reshape(-1, 3)
        if len(values) in WHOLE:
            values = values[WHOLE[len(values)] :][:68]
        labelled = values[:, 2] > 0
        assert np.array_equal(face.landmarks[labelled], values[labelled, :2].astype(np.float32))
        assert np.array_equal(face.visibility > 0, labelled)
        assert np.isnan(face.landmarks[~labelled]).all()
        image = theirs.loadImgs(a["image_id"])[0]
        assert face.image == image["file_name"]
        assert face.image_size == (image["width"], image["height"])
        if "halpe" not in name:
            box = a["face_box"] if found == "wholebody68" else a["bbox"]
            assert face.box.tolist() == np.float32(box).tolist()


@pytest.mark.parametrize(
    ("name", "visible"), [("wflw", {2}), ("300w", {2}), ("aflw", {2}), ("cofw", {1, 2}), ("lapa", {2})]
)
def test_v_of_real_files(shared_data: Path, name: str, visible: set[int]) -> None:
    with open_tree(shared_data / "formats/mmpose_coco" / name) as tree:
        files = FORMAT.detect(tree).files
        scheme = get_scheme(FORMAT.scheme_in(tree, files))
        assert {int(v) for face in FORMAT.read(tree, scheme, files) for v in face.visibility} == visible


def test_detects_its_own_and_says_why_not(tmp_path: Path, shared_data: Path) -> None:
    for name in REAL:
        with open_tree(shared_data / "formats/mmpose_coco" / name) as tree:
            assert FORMAT.detect(tree).files == (Path(name).name,)
    with open_tree(shared_data / "formats/mmpose_coco/coco/test_coco_det_AP_H_56.json") as tree:
        found = FORMAT.detect(tree)
    assert not found.fits
    assert "(test_coco_det_AP_H_56.json: a list of results, which names no pictures)" in found.why
    for other in ("spiga_json", "menpo", "wflw", "cofw68_mat"):
        with open_tree(shared_data / "formats" / other) as tree:
            assert not FORMAT.detect(tree).fits


def test_detects_keypoints_that_stand_far_from_the_beginning(tmp_path: Path) -> None:
    images = [{"id": i, "file_name": f"{i:012}.jpg"} for i in range(2000)]
    far = document(*[annotation(i, image_id=i) for i in range(2000)], images=images)
    boxes = json.loads(json.dumps(far).replace('"keypoints"', '"segmentation"'))
    (tmp_path / "far.json").write_text(json.dumps(far))
    (tmp_path / "instances.json").write_text(json.dumps(boxes))
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).files == ("far.json",)
    (tmp_path / "far.json").write_text(json.dumps({"version": 3, "groups": {}}))
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).why.endswith("(instances.json: its annotations have no keypoints)")


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
ATTRIBUTES = st.dictionaries(
    TEXTS, TEXTS | st.booleans() | st.integers(-99, 99) | st.floats(allow_nan=False, allow_infinity=False)
)


@st.composite
def whole_faces(draw) -> Face:
    """A face that says anything a face can say."""
    landmarks = draw(points(5, whole=False))
    landmarks[draw(st.lists(st.integers(0, 4), max_size=3))] = np.nan
    face = make_face(draw(image_names()), landmarks)
    if draw(st.booleans()):
        face.visibility[face.visibility == 2] = draw(st.sampled_from([1, 2]))
    if draw(st.booleans()):
        low, size = draw(points(2, whole=False))
        face.box = np.array([*low, *(np.abs(size) + np.float32(0.5))], np.float32)
        face.box_source = draw(st.sampled_from(["annotated", "landmarks", "image", "detector"]))
    face.subject, face.subset, face.dataset = draw(TEXTS), draw(TEXTS), draw(TEXTS)
    face.split = draw(st.sampled_from(["train", "val", "test", ""]))
    face.image_size = draw(st.none() | st.tuples(st.integers(1, 9000), st.integers(1, 9000)))
    face.attributes = draw(ATTRIBUTES)
    return face


@settings(max_examples=60, deadline=None)
@given(st.lists(whole_faces(), max_size=4), st.booleans())
def test_written_faces_read_back_whole(tmp_path_factory, faces: list[Face], one_file: bool) -> None:
    folder = tmp_path_factory.mktemp("coco")
    target = folder / ("all.json" if one_file else "lists")
    report = FORMAT.write(faces, target, get_scheme("points5"))
    assert report.faces == len(faces)
    assert set(report.lost) <= {"image name"}
    with open_tree(target) as tree:
        found = FORMAT.detect(tree)
        assert found.fits
        again = list(FORMAT.read(tree, get_scheme("points5"), found.files))
    if not one_file:
        order = ["test", "train", "", "val"]  # file names in order: test, train, unsplit, val
        faces = sorted(faces, key=lambda f: order.index(f.split))
    for one, two in zip(faces, again, strict=True):
        assert isinstance(two, Face)
        assert np.array_equal(one.landmarks, two.landmarks, equal_nan=True)
        assert one.visibility.tolist() == two.visibility.tolist()
        assert (one.box is None) == (two.box is None)
        assert one.box is None or np.array_equal(one.box, two.box)
        same = ("box_source", "split", "subset", "dataset", "image_size", "attributes")
        assert [getattr(one, key) for key in same] == [getattr(two, key) for key in same]
        assert one.subject in ("", two.subject)


def test_pycocotools_reads_what_is_written(tmp_path: Path) -> None:
    landmarks = np.array([[10.1, 20.25], [np.nan, np.nan], [3, 4]], np.float32)
    face = make_face("a b.jpg", landmarks, image_size=(50, 40), attributes={"iscrowd": True, "k": 1})
    face.box, face.box_source = np.array([1, 2, 3, 4.5], np.float32), "annotated"
    FORMAT.write([face], tmp_path / "x.json", get_scheme("points3"))
    theirs = COCO(str(tmp_path / "x.json"))
    (a,) = theirs.loadAnns(theirs.getAnnIds(iscrowd=True))
    assert a["keypoints"] == [10.1, 20.25, 2, 0, 0, 0, 3, 4, 2]
    assert (a["num_keypoints"], a["bbox"], a["area"], a["attributes"]) == (2, [1, 2, 3, 4.5], 13.5, {"k": 1})
    assert theirs.imgs == {1: {"id": 1, "file_name": "a b.jpg", "width": 50, "height": 40}}
    assert theirs.cats[1]["keypoints"] == ["point_0", "point_1", "point_2"]


def test_scheme_survives_where_two_have_the_same_number_of_points(tmp_path: Path) -> None:
    for name in ("jd106", "lapa106", "wholebody68", "ibug68", "celeba5", "mtfl5"):
        scheme = get_scheme(name)
        face = make_face("a.jpg", np.ones((scheme.count, 2), np.float32))
        FORMAT.write([face], tmp_path / "x.json", scheme)
        with open_tree(tmp_path) as tree:
            assert FORMAT.scheme_in(tree, ("x.json",)) == name


def test_what_cannot_be_written_is_counted(tmp_path: Path) -> None:
    good = np.ones((2, 2), np.float32)
    faces = [
        make_face("../a.jpg", good),
        make_face("a.jpg", good, box=np.array([0, 0, 0, 5], np.float32), box_source="annotated"),
        make_face("a.jpg", good, attributes={"a": float("inf"), "b": 1}),
    ]
    report = FORMAT.write(faces, tmp_path / "x.json", P2)
    assert report.faces == 2
    assert report.lost == {"face with unwritable image name": 1, "box": 1, "attributes": 1}


def test_a_failing_writer_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("old")
    with pytest.raises(InputError, match=r"expected \(2, 2\)"):
        FORMAT.write([make_face("a.jpg", np.ones((3, 2), np.float32))], tmp_path / "x.json", P2)
    assert (tmp_path / "x.json").read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["x.json"]


def test_damaged_files_end_in_faces_skipped_or_input_errors(tmp_path: Path) -> None:
    good = json.dumps(document(annotation(), annotation(2), info={"flmd": {}}, categories=[])).encode()
    draw = random.Random(1)
    path = tmp_path / "x.json"
    for _ in range(300):
        data = bytearray(good)
        for _ in range(draw.randint(1, 5)):
            at = draw.randrange(len(data))
            data[at : at + draw.randint(0, 3)] = draw.choice(
                [b"", b"\0", b"9" * 50, b"[", b'"', b"\xff", b"null"]
            )
        path.write_bytes(bytes(data))
        with open_tree(tmp_path) as tree, contextlib.suppress(FlmdError):
            FORMAT.detect(tree)
            FORMAT.scheme_in(tree, ("x.json",))
        with open_tree(tmp_path) as tree, contextlib.suppress(FlmdError):
            assert all(isinstance(f, Face | Skipped) for f in FORMAT.read(tree, P2, ("x.json",)))
