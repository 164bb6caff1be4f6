"""Pictures with an EXIF orientation, 1 to 8: labels stay on what they mark, through every format and command.

Pillow makes the pictures: a scene as it is shown, stored the way each orientation turns back into it.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from flmd import formats
from flmd.conversion.context_crops import crop_image
from flmd.conversion.converter import convert
from flmd.conversion.face_source import StoredFaces
from flmd.conversion.opening import open_faces
from flmd.conversion.settings import CropSettings, Reporting, Workers
from flmd.core import geometry, images
from flmd.core.orientation import EXIF_ORIENTATION, SHOWN, STORED
from flmd.curation.write_annotations import write_faces
from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped, visibility_of
from flmd.schemes import IBUG68, get_scheme
from flmd.store.face_store import FaceStore
from flmd.tree import open_tree
from tests.factories import blob_picture, centroid

WIDTH, HEIGHT = 120, 96  # as it is shown; even, for videos
DOT = (66.0, 31.0)  # point 0, as it is shown
BOX = (38.0, 12.0, 51.0, 47.0)
CROP = CropSettings(64, 1.5, "grey")
# How Pillow undoes the turn of each orientation.
STORE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
# Where the pixel (x, y) of the picture as shown, w x h, is stored; by hand, from the table of EXIF 2.32.
PLACE = {
    1: lambda x, y, w, h: (x, y),
    2: lambda x, y, w, h: (w - 1 - x, y),
    3: lambda x, y, w, h: (w - 1 - x, h - 1 - y),
    4: lambda x, y, w, h: (x, h - 1 - y),
    5: lambda x, y, w, h: (y, x),
    6: lambda x, y, w, h: (y, w - 1 - x),
    7: lambda x, y, w, h: (h - 1 - y, w - 1 - x),
    8: lambda x, y, w, h: (h - 1 - y, x),
}
ANNOTATED = [n for n in formats.BUILT_IN if formats.get(n).writes and n != "cofw68"]  # that has no pictures


def scene() -> np.ndarray:
    """(H, W, 3): the dot, and a ramp that tells every way up from every other."""
    ramp = np.add.outer(np.arange(HEIGHT) * 0.2, np.arange(WIDTH) * 0.1).astype(np.uint8)
    return np.maximum(blob_picture(WIDTH, HEIGHT, DOT, 2.5), ramp[:, :, None])


def stored_image(orientation: int) -> Image.Image:
    image = Image.fromarray(scene())
    return image.transpose(STORE[orientation]) if orientation in STORE else image


def name_of(orientation: int) -> str:
    return f"pictures/o{orientation}.jpg"


def save_pictures(folder: Path) -> None:
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[EXIF_ORIENTATION] = orientation
        path = folder / name_of(orientation)
        path.parent.mkdir(parents=True, exist_ok=True)
        stored_image(orientation).save(path, quality=98, subsampling=0, exif=exif)


def points_of(scheme: str) -> np.ndarray:
    """(K, 2) whole pixels as they are shown, the first on the dot."""
    points = np.random.default_rng(5).integers((42, 16), (84, 54), (get_scheme(scheme).count, 2))
    points[0] = DOT
    return points.astype(np.float32)


def in_frame(points: np.ndarray, orientation: int, frame: str) -> np.ndarray:
    if frame == SHOWN:
        return points
    return np.array([PLACE[orientation](x, y, WIDTH, HEIGHT) for x, y in points.tolist()], np.float32)


def face_of(orientation: int, frame: str, scheme: str = "ibug68") -> Face:
    """The face of a picture, by hand in either frame."""
    points = in_frame(points_of(scheme), orientation, frame)
    x, y, w, h = BOX
    corners = in_frame(np.array([(x, y), (x + w - 1, y + h - 1)]), orientation, frame)
    low = corners.min(axis=0)
    box = np.array([*low, *(corners.max(axis=0) - low + 1)], np.float32)
    size = (WIDTH, HEIGHT) if frame == SHOWN or orientation < 5 else (HEIGHT, WIDTH)
    return Face(name_of(orientation), points, visibility_of(points), box, "annotated", image_size=size)


def annotated(name: str, folder: Path, scheme: str | None = None) -> Path:
    """A data set of eight pictures in a format, its labels in the format's frame."""
    fmt = formats.get(name)
    scheme = scheme or fmt.scheme or "ibug68"
    save_pictures(folder / "raw")
    faces = [face_of(orientation, fmt.frame, scheme) for orientation in range(1, 9)]
    with open_tree(folder / "raw") as pictures:
        options = {"pictures": pictures, "images": "copy", "frame": fmt.frame}
        done = write_faces(faces, fmt, folder / name, get_scheme(scheme), **options)
    assert (done.faces, done.turned) == (8, 0)
    return folder / name


def to_store(source: Path, target: Path, box: str | None = None, **options: str) -> FaceStore:
    with open_faces(source, **options) as faces:
        report = convert(faces, target, box=box, crop=CROP, workers=Workers(1))
    assert report.kept == report.read == 8
    return FaceStore(target)


def assert_on_the_dot(store: FaceStore, tolerance: float = 0.3) -> None:
    """Point 0 lies on the dot in the crop of every face; the rest of the scene is cut off as darker."""
    affine, landmarks = store.numbers("affine"), store.numbers("landmarks")
    for row in range(len(store)):
        placed = geometry.apply(affine[row], landmarks[row, 0])
        drawn = centroid(store.crops[row], floor=60)
        assert drawn == pytest.approx(tuple(placed), abs=tolerance), store.texts("image")[row]


@pytest.mark.parametrize("name", ANNOTATED)
def test_labels_of_every_format_are_on_the_dot_in_the_crop(name: str, tmp_path: Path) -> None:
    with to_store(annotated(name, tmp_path), tmp_path / "s.h5") as store:
        assert_on_the_dot(store)


@pytest.mark.parametrize("name", ANNOTATED)
@pytest.mark.parametrize("source", ["coco", "pts"])
def test_labels_written_from_the_other_frame_are_on_the_dot(source: str, name: str, tmp_path: Path) -> None:
    fmt = formats.get(name)
    start = annotated(source, tmp_path / "a", fmt.scheme or "ibug68")
    with open_faces(start, scheme=fmt.scheme) as faces:
        options = {"pictures": faces.pictures, "images": "copy", "frame": faces.frame}
        done = write_faces(faces, fmt, tmp_path / name, faces.scheme, **options)
        other = faces.frame != fmt.frame
    assert (done.faces, done.turned) == (8, 7 if other else 0)
    assert done.lost["left and right of a mirrored picture"] == (4 if other else 0)
    with to_store(tmp_path / name, tmp_path / "s.h5", box="landmarks") as store:
        assert_on_the_dot(store)


@pytest.mark.parametrize("name", ["coco", "cvat", "labelme", "pts", "dlib-xml", "csv", "wflw"])
def test_the_crop_is_the_picture_that_was_labelled(name: str, tmp_path: Path) -> None:
    """Upright for formats of what is shown, as stored for the others: against pictures without a tag."""
    frame = formats.get(name).frame
    source = annotated(name, tmp_path, "wflw98" if name == "wflw" else "ibug68")
    with to_store(source, tmp_path / "s.h5") as store:
        for row, image in enumerate(store.texts("image")):
            orientation = int(image[-5])
            plain = np.asarray(stored_image(orientation if frame == STORED else 1))
            box = store.numbers("box")[row]
            crop = images.warp(plain, geometry.square_crop(box, CROP.margin, CROP.size), CROP.size)
            difference = np.abs(images.to_grey(crop).astype(int) - store.crops[row])
            assert difference.max() <= 12, image
            assert store.numbers("image_size")[row].tolist() == [plain.shape[1], plain.shape[0]]
            said = json.loads(store.texts("attributes")[row] or "{}")
            wanted = {} if orientation == 1 else {"exif_orientation": orientation, "exif_frame": frame}
            assert {key: value for key, value in said.items() if key.startswith("exif")} == wanted


def test_a_store_writes_every_frame_and_reads_back_the_same(tmp_path: Path) -> None:
    start = annotated("coco", tmp_path)
    with to_store(start, tmp_path / "s.h5") as store, open_tree(start) as pictures:
        for name, frame in (("cvat", SHOWN), ("dlib-xml", STORED)):
            fmt = formats.get(name)
            source = StoredFaces("s.h5", store, pictures=pictures)
            options = {"pictures": pictures, "images": "copy", "frame": source.frame}
            done = write_faces(source, fmt, tmp_path / name, IBUG68, **options)
            assert done.turned == (7 if frame == STORED else 0)
            with open_faces(tmp_path / name) as faces:
                read = {face.image: face for face in faces if isinstance(face, Face)}
            for orientation in range(1, 9):
                wanted, found = face_of(orientation, frame), read[name_of(orientation)]
                assert np.array_equal(found.landmarks, wanted.landmarks)
                assert np.array_equal(found.box, wanted.box)
                assert found.image_size == wanted.image_size
                assert found.attributes == {}
        with open_faces(tmp_path / "s.h5", pictures=start) as again:
            convert(again, tmp_path / "again.h5", crop=CROP, workers=Workers(1))
    with FaceStore(tmp_path / "s.h5") as one, FaceStore(tmp_path / "again.h5") as two:
        assert np.array_equal(one.crops, two.crops)
        assert one.texts("attributes") == two.texts("attributes")


def test_the_frame_can_be_said(tmp_path: Path) -> None:
    """A COCO file made of iBUG's labels, which are of the stored pixels."""
    save_pictures(tmp_path / "raw")
    faces = [face_of(n, STORED) for n in range(1, 9)]
    with open_tree(tmp_path / "raw") as pictures:
        options = {"pictures": pictures, "images": "copy", "frame": SHOWN}  # as they stand
        write_faces(faces, formats.get("coco"), tmp_path / "c", IBUG68, **options)
    with to_store(tmp_path / "c", tmp_path / "s.h5", exif="stored") as store:
        assert_on_the_dot(store)
    wrong = "exif is 'shwon'.*one of auto, stored, shown.*did you mean 'shown'"
    with pytest.raises(ParamsError, match=wrong), open_faces(tmp_path / "c", exif="shwon"):
        pass
    only = "--exif shown is for annotation files"
    with pytest.raises(ParamsError, match=only), open_faces(tmp_path / "s.h5", exif="shown"):
        pass


def test_the_report_counts_turned_pictures_and_names_the_frame(tmp_path: Path) -> None:
    source = annotated("coco", tmp_path)
    for exif, frame in (("auto", "shown"), ("stored", "stored")):
        with open_faces(source, exif=exif) as faces:
            settings = {"box": "image", "crop": CROP, "workers": Workers(1)}
            report = convert(
                faces, tmp_path / "s.h5", reporting=Reporting(tmp_path / "loss.json"), **settings
            )
        said = json.loads((tmp_path / "loss.json").read_text())["exif_orientation"]
        assert said == {"pictures": 7, "read_as": {frame: 7}, "first": [name_of(n) for n in range(2, 7)]}
        assert str(report) == f"8 faces read, 8 kept; pictures with an EXIF orientation, read: 7 as {frame}"


def test_pictures_without_an_orientation_change_no_byte(tmp_path: Path) -> None:
    (tmp_path / "pictures").mkdir()
    stored_image(1).save(tmp_path / name_of(1), quality=98)
    formats.get("coco").write([face_of(1, SHOWN)], tmp_path / "c.json", IBUG68)
    reports = []
    for exif in ("stored", "shown"):
        with open_faces(tmp_path / "c.json", exif=exif) as faces:
            reports.append(convert(faces, tmp_path / f"{exif}.h5", crop=CROP, workers=Workers(1)))
    assert (tmp_path / "stored.h5").read_bytes() == (tmp_path / "shown.h5").read_bytes()
    assert reports[0].as_dict() == reports[1].as_dict()
    assert "exif" not in json.dumps(reports[0].as_dict())


def test_a_box_outside_names_the_frame_as_the_likely_cause(tmp_path: Path) -> None:
    save_pictures(tmp_path)
    with open_tree(tmp_path) as tree:
        face = face_of(6, SHOWN)
        face.box[:] = (100, 20, 15, 15)  # inside 120x96, outside 96x120
        (found,) = crop_image(tree, CROP, "annotated", [face], STORED)
        assert isinstance(found, Skipped)
        assert found.reason == "box_outside"
        assert found.what == (
            "box [100.0, 20.0, 15.0, 15.0] lies outside 96x120; the picture has EXIF orientation 6, and its "
            "labels are read as stored: they fit --exif shown"
        )
        face.box[:] = (200, 20, 15, 15)
        (found,) = crop_image(tree, CROP, "annotated", [face], STORED)
        assert found.what.endswith("EXIF orientation 6, and its labels are read as stored")
        face.image = name_of(1)
        (found,) = crop_image(tree, CROP, "annotated", [face], STORED)
        assert found.what.endswith("lies outside 120x96")


def test_annotations_alone_keep_their_frame(tmp_path: Path) -> None:
    """Headers are read where the picture is there; the store's format tells of the others."""
    source = annotated("coco", tmp_path)
    (source / name_of(8)).unlink()
    convert(source, tmp_path / "s.h5", crop=None)
    with FaceStore(tmp_path / "s.h5") as store, open_tree(tmp_path / "raw") as pictures:
        faces = StoredFaces("s.h5", store, pictures=pictures)
        assert faces.frame == SHOWN
        assert [bool(text) for text in store.texts("attributes")] == [False, *[True] * 6, False]
        done = write_faces(
            faces, formats.get("pts"), tmp_path / "p", IBUG68, pictures=pictures, frame=faces.frame
        )
        assert done.turned == 7
    with open_faces(tmp_path / "p") as read:
        for face in read:
            orientation = int(face.image[-5])
            assert np.array_equal(face.landmarks, face_of(orientation, STORED).landmarks)


def test_what_float32_does_not_hold_in_the_other_frame_is_counted(tmp_path: Path) -> None:
    save_pictures(tmp_path)
    face = face_of(2, SHOWN)
    face.landmarks[0, 0] = np.float32(1e-9)
    with open_tree(tmp_path) as pictures:
        options = {"pictures": pictures, "frame": SHOWN}
        done = write_faces(
            [face, face_of(3, SHOWN)], formats.get("dlib-xml"), tmp_path / "x.xml", IBUG68, **options
        )
    assert done.lost["sub-pixel"] == 1


def test_labels_that_no_frame_explains_are_an_error_that_tells_of_it(tmp_path: Path) -> None:
    """100x40 with orientation 6, the issue's own: `box_outside` in every face, with what to try."""
    exif = Image.Exif()
    exif[EXIF_ORIENTATION] = 6
    Image.new("RGB", (100, 40), "grey").save(tmp_path / "a.jpg", exif=exif)
    face = face_of(1, SHOWN)
    face.image, face.image_size = "a.jpg", (40, 100)
    face.box[:] = (5, 60, 20, 20)
    formats.get("coco").write([face], tmp_path / "c.json", IBUG68)
    assert convert(tmp_path / "c.json", tmp_path / "s.h5", crop=CROP, workers=Workers(1)).kept == 1
    tries = "box_outside 1; --exif shown or --exif stored"
    with open_faces(tmp_path / "c.json", exif="stored") as faces, pytest.raises(InputError, match=tries):
        convert(faces, tmp_path / "t.h5", crop=CROP, workers=Workers(1))
