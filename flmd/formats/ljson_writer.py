"""Writing Menpo LJSON: ``ljson.Ljson`` says what is lost."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flmd.face import NOT_LABELLED, Face
from flmd.formats.base import WriteReport
from flmd.formats.common.sidecar_files import picture_read_back, write_file
from flmd.formats.layout import photo_of, resolve, split_of_path, whole_or_nothing
from flmd.formats.writing import check_points, count_lost
from flmd.schemes import Scheme


def is_group_of(scheme: Scheme, group: str) -> bool:
    """Whether a group's name says no more than the scheme: ``ibug68``, ``ibug68_face2``."""
    return re.fullmatch(re.escape(scheme.name) + r"(_face[1-9][0-9]*)?", group) is not None


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write a folder of files; faces of one picture share one, and memory holds that file."""
    report = WriteReport()
    labels, skeleton = _labels(scheme), [list(pair) for pair in scheme.skeleton]
    with whole_or_nothing(target) as scratch:
        scratch.mkdir()
        files = _Files(scratch)
        for face in faces:
            check_points(face, scheme)
            image = resolve("", face.image)
            name = posixpath.splitext(image)[0] + ".ljson" if image is not None else ""
            if not name or not files.turn_to(name):
                report.lost["face with unwritable image name"] += 1
                continue
            group = _free_name(face, scheme, files.groups)
            landmarks = {"points": _points(face), "connectivity": skeleton}
            files.groups[group] = {"landmarks": landmarks, "labels": labels}
            report.faces += 1
            read_back = picture_read_back(name)
            if image == face.image != read_back:
                report.lost["image name"] += 1
            count_lost(
                report,
                face,
                keeps=("unlabelled points",),
                subject=photo_of(read_back),
                split=split_of_path(posixpath.dirname(name)) or "",
                attributes=() if is_group_of(scheme, group) else ("group",),
            )
        files.finish()
    return report


class _Files:
    """The files of a folder, of which one at a time is held in memory.

    Attributes
    ----------
    groups : of the file at hand; what is put there is written when another file is turned to.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._name = folder, ""
        self._made: set[str] = set()
        self.groups: dict[str, Any] = {}

    def turn_to(self, name: str) -> bool:
        """Go on with this file, new or as it was left; False when it cannot be made."""
        if name == self._name:
            return True
        if name not in self._made and not write_file(self._folder, name, b""):
            return False
        self.finish()
        self._name = name
        if name in self._made:
            self.groups = json.loads((self._folder / name).read_bytes())["groups"]
        self._made.add(name)
        return True

    def finish(self) -> None:
        """Write the file at hand."""
        if self._name:
            text = json.dumps({"version": 3, "groups": self.groups}, separators=(",", ":"))
            (self._folder / self._name).write_text(text + "\n", "ascii")
        self._name, self.groups = "", {}


def _free_name(face: Face, scheme: Scheme, taken: dict[str, Any]) -> str:
    given = face.attributes.get("group")
    if isinstance(given, str) and not is_group_of(scheme, given) and given not in taken:
        return given
    number = len(taken) + 1
    while (name := scheme.name if number == 1 else f"{scheme.name}_face{number}") in taken:
        number += 1
    return name


def _labels(scheme: Scheme) -> list[dict[str, Any]]:
    labels = [{"label": region, "mask": list(points)} for region, points in scheme.regions.items()]
    if {point for points in scheme.regions.values() for point in points} != set(range(scheme.count)):
        labels.insert(0, {"label": "all", "mask": list(range(scheme.count))})
    return labels


def _points(face: Face) -> list[list[float | None]]:
    """[y, x] of each point; nulls where it is not labelled."""
    labelled = (face.visibility != NOT_LABELLED).tolist()
    places = face.landmarks[:, ::-1].tolist()
    return [place if known else [None, None] for place, known in zip(places, labelled, strict=True)]
