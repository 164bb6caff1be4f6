"""Every format that names its points reads them by name, says so where it cannot, and takes a map."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flmd import formats
from flmd.cli import flmd_data as command
from flmd.conversion.opening import open_faces
from flmd.errors import FlmdError
from flmd.face import Face, Skipped
from flmd.schemes import get_scheme
from flmd.schemes.name_choice import AUTO, PointNames
from flmd.store.face_store import FaceStore

Points = NDArray[np.float64]
Call = Callable[..., tuple[int, str]]  # a command's arguments -> its exit code, and what it printed
Writer = Callable[[Path, Sequence[str], Points], None]

IBUG68 = get_scheme("ibug68")
# Point i of the scheme lies at (20 + i, 70 - i / 2): every place tells its point.
PLACES = np.array([(20 + i, 70 - i / 2) for i in range(68)])
SIZE = (200, 100)


def coco(folder: Path, names: Sequence[str], points: Points) -> None:
    keypoints = [value for x, y in points.tolist() for value in (x, y, 2)]
    document = {
        "images": [{"id": 1, "file_name": "a.jpg", "width": SIZE[0], "height": SIZE[1]}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 7, "bbox": [20, 30, 80, 60], "keypoints": keypoints}
        ],
        "categories": [{"id": 7, "name": "face", "keypoints": list(names)}],  # behind, as COCO has them
    }
    (folder / "x.json").write_text(json.dumps(document))


def cvat(folder: Path, names: Sequence[str], points: Points) -> None:
    inside = "".join(
        f'<points label="{name}" outside="0" occluded="0" points="{x + 0.5},{y + 0.5}"/>'
        for name, (x, y) in zip(names, points.tolist(), strict=True)
    )
    (folder / "x.xml").write_text(
        f'<annotations><image id="0" name="a.jpg" width="200" height="100">'
        f'<skeleton label="face">{inside}</skeleton></image></annotations>'
    )


def label_studio(folder: Path, names: Sequence[str], points: Points) -> None:
    size = {"original_width": SIZE[0], "original_height": SIZE[1], "image_rotation": 0}
    result = [
        size
        | {
            "id": f"p{i}",
            "type": "keypointlabels",
            "value": {"x": (x + 0.5) / 2, "y": y + 0.5, "width": 0.5, "keypointlabels": [name]},
        }
        for i, (name, (x, y)) in enumerate(zip(names, points.tolist(), strict=True))
    ]
    (folder / "x.json").write_text(
        json.dumps([{"data": {"image": "a.jpg"}, "annotations": [{"result": result}]}])
    )


def dlib(folder: Path, names: Sequence[str], points: Points) -> None:
    parts = "".join(
        f"<part name='{name}' x='{x}' y='{y}'/>" for name, (x, y) in zip(names, points.tolist(), strict=True)
    )
    (folder / "x.xml").write_text(
        f"<dataset><images><image file='a.jpg'><box top='30' left='20' width='80' height='60'>{parts}</box>"
        "</image></images></dataset>"
    )


def yolo(folder: Path, names: Sequence[str], points: Points) -> None:
    import cv2

    (folder / "images").mkdir()
    (folder / "labels").mkdir()
    cv2.imwrite(str(folder / "images/a.png"), np.zeros((SIZE[1], SIZE[0], 3), np.uint8))
    numbers = [0, 0.3, 0.6, 0.4, 0.6, *(points / SIZE).ravel().tolist()]
    (folder / "labels/a.txt").write_text(" ".join(map(repr, numbers)) + "\n")
    (folder / "data.yaml").write_text(
        f"kpt_shape: [{len(names)}, 2]\nkpt_names: {{0: {json.dumps(list(names))}}}\ntrain: images\n"
    )


def table(folder: Path, names: Sequence[str], points: Points) -> None:
    header = ["image", *(f"{name}_{axis}" for name in names for axis in "xy")]
    row = ["a.jpg", *map(repr, points.ravel().tolist())]
    (folder / "x.csv").write_text(",".join(header) + "\n" + ",".join(row) + "\n")
    (folder / "x.flmd.yaml").write_text(
        f"image: image\npoints: {{start: 1, order: xyxy, count: {len(names)}}}\n"
    )


def spiga(folder: Path, names: Sequence[str], points: Points) -> None:
    item = {"imgpath": "a.jpg", "bbox": [20, 30, 80, 60], "ids": list(names), "landmarks": points.tolist()}
    (folder / "x.json").write_text(json.dumps([item | {"visible": [1.0] * len(names)}]))


def ljson(folder: Path, names: Sequence[str], points: Points) -> None:
    labels = [{"label": name, "mask": [index]} for index, name in enumerate(names)]
    landmarks = {"points": points[:, ::-1].tolist(), "connectivity": []}
    groups = {"face": {"landmarks": landmarks, "labels": labels}}
    (folder / "a.ljson").write_text(json.dumps({"version": 3, "groups": groups}))


def cvat_video(folder: Path, names: Sequence[str], points: Points) -> None:
    inside = "".join(
        f'<points label="{name}" outside="0" occluded="0" points="{x + 0.5},{y + 0.5}"/>'
        for name, (x, y) in zip(names, points.tolist(), strict=True)
    )
    (folder / "x.xml").write_text(
        f'<annotations><track id="0" label="face"><skeleton frame="0" keyframe="1">{inside}'
        "</skeleton></track></annotations>"
    )


def labelme(folder: Path, names: Sequence[str], points: Points) -> None:
    shapes = [
        {"label": name, "shape_type": "point", "points": [[x + 0.5, y + 0.5]], "group_id": None, "flags": {}}
        for name, (x, y) in zip(names, points.tolist(), strict=True)
    ]
    document = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": "a.jpg", "imageData": None}
    (folder / "a.json").write_text(json.dumps(document | {"imageWidth": SIZE[0], "imageHeight": SIZE[1]}))


def datumaro(folder: Path, names: Sequence[str], points: Points) -> None:
    categories = {
        "label": {"labels": [{"name": "face", "parent": "", "attributes": []}]},
        "points": {"items": [{"label_id": 0, "labels": list(names), "joints": []}]},
    }
    shape = {"id": 0, "type": "points", "label_id": 0, "group": 0, "points": points.ravel().tolist()}
    items = [{"id": "a", "annotations": [shape], "image": {"path": "a.jpg"}}]
    (folder / "x.json").write_text(json.dumps({"categories": categories, "items": items}))


WRITERS: dict[str, Writer] = {
    "coco": coco,
    "cvat": cvat,
    "label-studio": label_studio,
    "dlib-xml": dlib,
    "yolo-pose": yolo,
    "csv": table,
    "spiga-json": spiga,
    "ljson": ljson,
    "cvat-video": cvat_video,
    "labelme": labelme,
    "datumaro": datumaro,
}
SPELT = {
    "own": list(IBUG68.points),
    "from 0": [str(i) for i in range(68)],
    "from 1": [str(i) for i in range(1, 69)],
    "two digits": [f"{i:02}" for i in range(68)],
    "mmpose": [f"kpt-{i}" for i in range(68)],
}
UNKNOWN = [f"{a}{b}" for a in "qwertz" for b in "asdfghjkylmn"][:68]


def read(
    folder: Path, names: PointNames = AUTO, scheme: str | None = None, **more: str
) -> list[Face | Skipped]:
    with open_faces(folder, names=names, scheme=scheme, **more) as source:
        return list(source)


def only_face(folder: Path, names: PointNames = AUTO, scheme: str | None = None, **more: str) -> Face:
    (face,) = read(folder, names, scheme, **more)
    assert isinstance(face, Face), face
    return face


def shuffled(names: Sequence[str], seed: int = 5) -> tuple[list[str], Points]:
    """Names and their points, permuted together."""
    order = np.random.default_rng(seed).permutation(len(names))
    return [names[i] for i in order], PLACES[order]


def test_every_format_that_names_points_is_here() -> None:
    assert {name for name in formats.BUILT_IN if formats.get(name).named} == set(WRITERS)


@pytest.mark.parametrize("spelling", SPELT)
@pytest.mark.parametrize("name", WRITERS)
def test_known_names_tell_the_order(tmp_path: Path, name: str, spelling: str) -> None:
    WRITERS[name](tmp_path, *shuffled(SPELT[spelling]))
    with open_faces(tmp_path) as source:
        assert (source.kind, source.scheme.name) == (name, "ibug68")
    face = only_face(tmp_path)
    assert np.abs(face.landmarks - PLACES).max() < 1e-4
    assert (face.visibility == 2).all()


@settings(deadline=None, max_examples=10)
@given(seed=st.integers(0, 1000))
@pytest.mark.parametrize("name", WRITERS)
def test_any_permutation_of_names_and_points_is_undone(
    tmp_path_factory: pytest.TempPathFactory, name: str, seed: int
) -> None:
    folder = tmp_path_factory.mktemp("permuted")
    WRITERS[name](folder, *shuffled(SPELT["from 1"], seed))
    assert np.abs(only_face(folder).landmarks - PLACES).max() < 1e-4


def outcome(folder: Path, names: PointNames = AUTO, scheme: str | None = None) -> str:
    """What is said of a folder whose faces cannot be read: an error, or why its face was skipped."""
    try:
        (item,) = read(folder, names, scheme)
    except FlmdError as error:
        return str(error)
    assert isinstance(item, Skipped)
    return item.what


@pytest.mark.parametrize("name", WRITERS)
def test_unknown_names_are_said_in_one_line(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path, UNKNOWN, PLACES)
    said = outcome(tmp_path)
    assert "--names FILE" in said
    assert "\n" not in said


@pytest.mark.parametrize("name", WRITERS)
def test_keep_takes_them_as_they_stand(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path, UNKNOWN, PLACES)
    face = only_face(tmp_path, PointNames("keep"), "ibug68")
    assert np.abs(face.landmarks - PLACES).max() < 1e-4


@pytest.mark.parametrize("name", WRITERS)
def test_a_map_says_which_is_which(tmp_path: Path, name: str) -> None:
    order = np.random.default_rng(1).permutation(68)
    meant = {UNKNOWN[i]: IBUG68.points[i] for i in range(68)}
    WRITERS[name](tmp_path, [UNKNOWN[i] for i in order], PLACES[order])
    with open_faces(tmp_path, names=PointNames.of(meant)) as source:
        assert source.scheme.name == "ibug68"
    face = only_face(tmp_path, PointNames.of(meant))
    assert np.abs(face.landmarks - PLACES).max() < 1e-4


@pytest.mark.parametrize("name", WRITERS)
def test_a_map_may_leave_points_out(tmp_path: Path, name: str) -> None:
    names = [*UNKNOWN[:34], "pupil one", *UNKNOWN[34:], "pupil two"]
    points = np.insert(PLACES, 34, (1, 1), axis=0)
    WRITERS[name](tmp_path, names, np.append(points, [(2, 2)], axis=0))
    meant = {UNKNOWN[i]: IBUG68.points[i] for i in range(68)} | {"pupil one": None, "pupil two": None}
    face = only_face(tmp_path, PointNames.of(meant))
    assert np.abs(face.landmarks - PLACES).max() < 1e-4


@pytest.mark.parametrize("name", WRITERS)
def test_a_name_that_stands_twice_is_no_face(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path, ["jaw_1", *IBUG68.points[1:]], PLACES)
    said = outcome(tmp_path, scheme="ibug68")
    assert "twice" in said


@pytest.mark.parametrize("name", ["coco", "label-studio", "spiga-json", "yolo-pose"])
def test_points_that_a_file_does_not_have_are_not_labelled(tmp_path: Path, name: str) -> None:
    WRITERS[name](tmp_path, IBUG68.points[8:], PLACES[8:])
    face = only_face(tmp_path, scheme="ibug68")
    assert np.isnan(face.landmarks[:8]).all()
    assert np.abs(face.landmarks[8:] - PLACES[8:]).max() < 1e-4
    assert face.visibility.tolist() == [0] * 8 + [2] * 60


def test_names_of_a_format_without_names_are_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.pts").write_text("1 2\n3 4\n")
    with pytest.raises(FlmdError, match="--names, but pts files do not name their points"):
        read(tmp_path, PointNames("keep"))


class TestCoco:
    def test_each_category_has_its_own_order(self, tmp_path: Path) -> None:
        one, two = shuffled(IBUG68.points, 1), shuffled(IBUG68.points, 2)
        coco(tmp_path, *one)
        document = json.loads((tmp_path / "x.json").read_text())
        second = dict(document["annotations"][0], id=2, category_id=8)
        second["keypoints"] = [value for x, y in two[1].tolist() for value in (x, y, 2)]
        document["annotations"].append(second)
        document["categories"].append({"id": 8, "name": "other", "keypoints": two[0]})
        (tmp_path / "x.json").write_text(json.dumps(document))
        for face in read(tmp_path):
            assert isinstance(face, Face)
            assert np.array_equal(face.landmarks, PLACES)

    @pytest.mark.parametrize("first", [["categories", "images"], ["images", "annotations"]])
    def test_categories_stand_anywhere_in_the_file(self, tmp_path: Path, first: list[str]) -> None:
        coco(tmp_path, *shuffled(IBUG68.points))
        document = json.loads((tmp_path / "x.json").read_text())
        order = [*first, *(key for key in document if key not in first)]
        if "annotations" in first:  # and more than a MiB behind the categories
            order = [*order, "padding"]
            document["padding"] = ["p" * 1000] * 1100
        (tmp_path / "x.json").write_text(json.dumps({key: document[key] for key in order}))
        assert np.array_equal(only_face(tmp_path, from_="coco").landmarks, PLACES)

    def test_the_face_of_a_whole_body_goes_by_its_names(self, tmp_path: Path) -> None:
        names = [f"body {i}" for i in range(23)] + [f"face-{i}" for i in range(68)]
        names += [f"hand {i}" for i in range(42)]
        points = np.concatenate([np.ones((23, 2)), PLACES, np.ones((42, 2))])
        order = np.random.default_rng(3).permutation(133)
        coco(tmp_path, [names[i] for i in order], points[order])
        assert np.array_equal(only_face(tmp_path).landmarks, PLACES)

    def test_key_points_that_the_category_does_not_name_are_skipped(self, tmp_path: Path) -> None:
        coco(tmp_path, IBUG68.points[:67], PLACES)
        assert "68 key points, but its category names 67" in outcome(tmp_path)


def test_labels_of_parts_are_held_against_the_scheme(tmp_path: Path) -> None:
    ljson(tmp_path, IBUG68.points, PLACES)
    document = json.loads((tmp_path / "a.ljson").read_text())
    labels = [{"label": "jaw", "mask": list(range(17))}, {"label": "nose", "mask": list(range(27, 36))}]
    document["groups"]["face"]["labels"] = labels
    (tmp_path / "a.ljson").write_text(json.dumps(document))
    assert np.array_equal(only_face(tmp_path).landmarks, PLACES)
    labels[1]["mask"] = list(range(9))
    (tmp_path / "a.ljson").write_text(json.dumps(document))
    assert "label 'nose' has other points than in scheme ibug68" in outcome(tmp_path)
    assert np.array_equal(only_face(tmp_path, PointNames("keep")).landmarks, PLACES)


def test_a_list_of_columns_is_an_order_except_where_it_has_the_words_of_the_scheme(tmp_path: Path) -> None:
    kaggle = get_scheme("kaggle15").points[::-1]
    header = ["image", *(f"{name}_{axis}" for name in kaggle for axis in "xy")]
    (tmp_path / "x.csv").write_text(",".join(header) + "\na.jpg," + ",".join(map(str, range(30))) + "\n")
    columns = json.dumps([[f"{name}_x", f"{name}_y"] for name in kaggle])
    (tmp_path / "x.flmd.yaml").write_text(f"image: image\nscheme: kaggle15\npoints: {columns}\n")
    assert only_face(tmp_path, from_="csv").landmarks[:, 0].tolist() == list(range(28, -1, -2))
    columns = json.dumps([[f"{name}_x", f"{name}_y"] for name in kaggle[1:3]])
    (tmp_path / "x.flmd.yaml").write_text(f"image: image\npoints: {columns}\n")
    assert only_face(tmp_path, from_="csv").landmarks[:, 0].tolist() == [2, 4]


@pytest.fixture
def flmd_data(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    """Call the command; its exit code, and what it printed."""

    def call(*arguments: object) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["flmd-data", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            command.main()
        return int(ended.value.code or 0), "".join(capsys.readouterr())

    return call


def test_convert_and_validate_take_a_map(tmp_path: Path, flmd_data: Call) -> None:
    source, target, names = tmp_path / "in", tmp_path / "out.json", tmp_path / "names.yaml"
    source.mkdir()
    coco(source, UNKNOWN, PLACES)
    names.write_text(json.dumps(dict(zip(UNKNOWN, IBUG68.points, strict=True))))
    code, said = flmd_data("convert", source, target, "--to", "coco")
    assert (code, "--names FILE" in said) == (2, True)
    assert flmd_data("convert", source, target, "--to", "coco", "--names", names)[0] == 0
    (face,) = read(target)
    assert isinstance(face, Face)
    assert np.array_equal(face.landmarks, PLACES)
    assert json.loads(flmd_data("validate", source, "--names", "keep", "--json")[1])["faces"] == 1


def test_a_store_remembers_the_choice(tmp_path: Path, flmd_data: Call) -> None:
    (tmp_path / "in").mkdir()
    coco(tmp_path / "in", UNKNOWN, PLACES)
    target = tmp_path / "f.h5"
    assert flmd_data("convert", tmp_path / "in", target, "--names", "keep", "--images", "none")[0] == 0
    with FaceStore(target) as store:
        assert store.made_from["params"]["names"] == "keep"
