"""Writing YOLO-pose: :class:`flmd.formats.yolo_pose.YoloPose` says what is kept and what is lost."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterable
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from flmd.core import geometry
from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.base import WriteReport
from flmd.formats.layout import is_picture, photo_of, resolve, whole_or_nothing
from flmd.formats.writing import check_points, count_lost, number_text, usable_box
from flmd.formats.yolo_pose_layout import label_stem
from flmd.schemes import Scheme

MOST_CLASSES = 1000
_CLASHES = (errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL)


def picture_name(image: str, split: str) -> str:
    """Where the picture of a face lies: ``images/<split>/<path>``, which stays what it is."""
    folder = f"images/{split or 'unsplit'}/"
    return image if image.startswith(folder) else folder + image


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write a folder with ``data.yaml`` and ``labels/``; whole, or not there."""
    if (target / "labels").exists():
        raise InputError("there are labels already", where=str(target), hint="name a new folder")
    report = WriteReport()
    with whole_or_nothing(target) as scratch:
        (scratch / "labels").mkdir(parents=True)
        labels = _LabelFiles(scratch)
        try:
            for face in faces:
                _add(face, labels, scheme, report)
        finally:
            labels.close()
        (scratch / "data.yaml").write_text(_data_yaml(scheme, labels), "utf-8")
    return report


class _LabelFiles:
    """The label files of one target; one is open at a time.

    Attributes
    ----------
    classes : name -> index, in order of first use. splits : those with a face.
    """

    def __init__(self, folder: Path) -> None:
        self.classes: dict[str, int] = {}
        self.splits: set[str] = set()
        self._folder = folder
        self._pictures: dict[str, str] = {}
        self._stem = ""
        self._file: TextIO | None = None

    def taken(self, picture: str) -> bool:
        """Whether another picture has the label file of this one."""
        return self._pictures.get(label_stem(picture), picture) != picture

    def add(self, picture: str, line: str) -> bool:
        """Append a line to a picture's labels; False where the disk cannot have a file of that name."""
        stem = label_stem(picture)
        if stem != self._stem or self._file is None:
            self.close()
            path = self._folder / f"{stem}.txt"
            try:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._file = path.open("a", encoding="ascii")
            except (UnicodeEncodeError, ValueError):
                return False
            except OSError as error:
                if error.errno in _CLASHES:
                    return False
                raise
            self._stem, self._pictures[stem] = stem, picture
        self._file.write(line)
        return True

    def close(self) -> None:
        """Close the open file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def _add(face: Face, labels: _LabelFiles, scheme: Scheme, report: WriteReport) -> None:
    check_points(face, scheme)
    image = resolve("", face.image)
    if image is None:
        report.lost["face with unwritable image name"] += 1
        return
    if face.image_size is None or min(face.image_size) < 1:
        report.lost["face without picture size"] += 1
        return
    points = face.landmarks.astype(np.float64)
    labelled = (face.visibility > 0) & np.isfinite(points).all(axis=1)
    usable = usable_box(face)
    if not usable and not labelled.any():
        report.lost["face without box and points"] += 1
        return
    picture = picture_name(image, face.split)
    if labels.taken(picture):
        report.lost["another picture of this stem"] += 1
        return
    label = face.attributes.get("label")
    named = isinstance(label, str) and label != "face" and 0 < len(label) <= 200 and label.isprintable()
    named = named and (label in labels.classes or len(labels.classes) < MOST_CLASSES)
    name = str(label) if named else "face"
    kind = labels.classes.get(name, len(labels.classes))
    size = np.array(face.image_size, np.float64)
    box = face.box if usable and face.box is not None else _box_of(points[labelled])
    sides = box[2:].astype(np.float64) / size
    centre = box[:2].astype(np.float64) / size + sides / 2
    shares = np.where(labelled[:, None], points / size, 0.0)
    rows = zip(shares.tolist(), np.where(labelled, face.visibility, 0).tolist(), strict=True)
    cells = [
        str(kind),
        *map(number_text, (*centre.tolist(), *sides.tolist())),
        *(f"{number_text(x)} {number_text(y)} {seen}" for (x, y), seen in rows),
    ]
    if not labels.add(picture, " ".join(cells) + "\n"):
        report.lost["face with unwritable image name"] += 1
        return
    labels.classes[name] = kind
    labels.splits.add(face.split)
    report.faces += 1
    _count(face, picture, report, named)
    if not usable:
        report.lost["box"] += 1
    back = np.concatenate([(centre - sides / 2) * size, sides * size]).astype(np.float32)
    exact = (back == box).all() and ((shares * size).astype(np.float32) == face.landmarks)[labelled].all()
    if not exact:
        report.lost["sub-pixel"] += 1
    low, high = centre - sides / 2, centre + sides / 2
    inside = (low >= 0).all() and (high <= 1).all() and (shares >= 0).all() and (shares <= 1).all()
    if not inside:
        report.lost["points outside the picture"] += 1


def _count(face: Face, picture: str, report: WriteReport, named: bool) -> None:
    before = report.lost["image name"]
    count_lost(
        report,
        face,
        keeps=("box", "visibility", "unlabelled points", "image size"),
        # A subject that only says which picture it is comes back as that picture's new name.
        subject=face.subject if face.subject == photo_of(face.image) else photo_of(picture),
        split=face.split,
        attributes=("label",) if named else (),
    )
    report.lost["image name"] = before + (picture != face.image)
    if not is_picture(picture):
        report.lost["picture ending"] += 1
    report.lost = +report.lost  # without the zero that was just set


def _box_of(points: NDArray[np.float64]) -> NDArray[np.float32]:
    box = np.asarray(geometry.box_of_points(points), np.float32)
    box[2:] = np.maximum(box[2:], 1)
    return box


def _data_yaml(scheme: Scheme, labels: _LabelFiles) -> str:
    names = labels.classes or {"face": 0}
    lines = [
        "# YOLO-pose data set. Pictures lie in images/, labels in labels/; coordinates are pixel / size.",
        "path: .",
        "train: images/train",
        "val: images/val",
    ]
    if "test" in labels.splits:
        lines.append("test: images/test")
    lines.append(f"kpt_shape: [{scheme.count}, 3]")
    if scheme.flip_order is not None:
        lines.append(f"flip_idx: {list(scheme.flip_order)}")
    lines += [f"scheme: {scheme.name}", "names:"]
    lines += [f"  {i}: {json.dumps(name, ensure_ascii=False)}" for name, i in names.items()]
    return "\n".join(lines) + "\n"
