"""OpenPose's JSON: the people of a picture, with the points of their faces."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import NOT_LABELLED, Attribute, Face, SkipFace, Skipped, visibility_of
from flmd.formats.base import Certainty, Detection, Format, WriteReport
from flmd.formats.common.depth import numbers_of, numbers_text
from flmd.formats.common.json_file import content_of, json_in, json_text
from flmd.formats.common.json_lists import json_heads, numbers_in, shortest
from flmd.formats.common.json_stream import outline
from flmd.formats.common.picture_files import Layout, write_beside
from flmd.formats.common.picture_sizes import PictureSizes
from flmd.formats.layout import FURTHER_FACE, PicturesBeside, photo_of, split_of_path
from flmd.schemes import Scheme, scheme_of_count
from flmd.tree import FileTree
from flmd.tree.names import shown

ENDING = "_keypoints.json"
CONFIDENCE = "point_confidence"
_FACE = "face_keypoints_2d"
_FRAME = re.compile(r"(?P<clip>.+)_(?P<frame>[0-9]{12})", re.DOTALL)
_LOOKED_AT = 16
_PIXELS, _UNIT, _SYMMETRIC = "0", "3", "4"


class OpenPose(Format):
    """``NAME_keypoints.json``: ``{"people": [{"face_keypoints_2d": [x0, y0, c0, x1, …]}]}`` for each picture.

    iBUG's 68 points and then the person's right and left pupil; c is a confidence, and 0 a point that was
    not found. Coordinates are pixels (base 0) unless OpenPose ran with another ``--keypoint_scale``, which
    its files do not say: the option ``keypoint_scale`` is 0 for pixels, 3 for 0 … 1 and 4 for -1 … 1, both
    over the picture's width - 1 and height - 1. There is no box and no visibility: points count as visible.

    Reading
    -------
    A person is a face. The confidences become the text attribute ``point_confidence``, a number for each
    point. A file's picture is the one beside it under the stem without ``_keypoints``, ``<stem>.jpg`` where
    there is none. Of a video, OpenPose writes ``clip_000000000000_keypoints.json`` for the first frame: such
    files share the subject ``clip``, and where ``clip.avi`` lies beside them, their pictures are its frames.
    Of other files the subject is the picture's path without ending and ``_mirror``. The split is that of the
    deepest folder that says one. 70 points are openpose70; any other number is read too.

    Skipped, a person or a file, and the next one is read: ``no_face`` (the list is empty: OpenPose ran
    without ``--face``), ``wrong_point_count``, ``not_a_number``, ``units_open`` (every coordinate lies
    within -1 … 1, and nobody said in what units), ``image_missing`` and the like (a picture whose size is
    needed), ``bad_json``, ``bad_structure``, ``unreadable_file`` (also one above 8 MiB).

    Writing
    -------
    A folder with ``<image stem>_keypoints.json``, version 1.3, in pixels; all other lists are empty. c is 1
    where a face has no ``point_confidence``, and ``0 0 0`` for a point that is not labelled. Numbers have the
    fewest decimals that give the same float32. Lost, by key of ``WriteReport.lost``: ``box``,
    ``visibility``, ``split`` (unless a folder says it), ``subject``, ``subset``, ``dataset``,
    ``attributes``, ``image name`` (a picture that is not there comes back as a .jpg). Not written at all:
    ``face with unwritable image name``, ``another picture of this stem``, ``face of less than a pixel`` (it
    would read as one in other units).
    """

    name = "openpose"
    title = "OpenPose JSON, a file for each picture or frame (70 points of a face)"
    detected_by = '*.json, an object with "people" that have "face_keypoints_2d"'
    options: ClassVar = {"keypoint_scale": (_PIXELS, _UNIT, _SYMMETRIC)}

    def detect(self, tree: FileTree) -> Detection:
        """All ``*_keypoints.json`` where one of 16 fits; else those of at most 300 ``*.json`` that fit."""
        named = [name for name in tree.names if name.endswith(ENDING)]
        miss = ""
        if named:
            step = -(-len(named) // _LOOKED_AT)
            for name in named[::step]:
                wrong = _misfit(_head(tree, name))
                if wrong is None:
                    return Detection(tuple(named), f"{len(named)} files of OpenPose", Certainty.LIKELY)
                miss = miss or (f" ({shown(posixpath.basename(name))}: {wrong})" if wrong else "")
            return Detection((), f"no {self.detected_by}{miss}")
        files = tuple(sorted(name for name, head in json_heads(tree) if _misfit(head) is None))
        if not files:
            return Detection((), f"no {self.detected_by}")
        return Detection(files, f"{len(files)} files of OpenPose", Certainty.LIKELY)

    def accepts(self, tree: FileTree, name: str) -> bool:
        """Whether it begins as such a file does."""
        return name.lower().endswith(".json") and _misfit(_head(tree, name)) is None

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme meant by the number of points of the first face."""
        for name in files:
            try:
                people = content_of(tree, name).get("people")
            except SkipFace:
                continue
            for person in people if isinstance(people, list) else ():
                values = person.get(_FACE) if isinstance(person, dict) else None
                if isinstance(values, list) and len(values) >= 3:
                    return scheme_of_count(len(values) // 3)
        where = tree.where(files[0]) if files else tree.origin
        raise InputError("no face with points", where=where, hint="run OpenPose with --face")

    def pictures(self, tree: FileTree) -> FileTree:
        """The tree with the frames of videos as pictures."""
        frames = {}
        for name in self.detect(tree).files:
            clip, frame = _frame_of(name)
            if frame is not None and f"{clip}.avi" in tree:
                frames[f"{_stem(name)}.png"] = f"{clip}.avi", frame + 1
        if not frames:
            return tree
        from flmd.formats.common.video_frames import VideoFrames

        return VideoFrames(tree, frames)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the people of each file; memory holds one file."""
        beside, sizes = PicturesBeside(tree), PictureSizes(tree, self.frame)
        for name in files:
            where = tree.where(name)
            clip, frame = _frame_of(name)
            image = _picture_of(tree, name, beside)
            try:
                people = content_of(tree, name).get("people")
                if not isinstance(people, list):
                    raise SkipFace("bad_structure", 'no list "people"')
            except SkipFace as fault:
                yield fault.at(where)
                continue
            for number, person in enumerate(people):
                here = f"{where} (person {number})"
                try:
                    landmarks, attributes = self._points(person, scheme.count, image, here, sizes)
                except SkipFace as fault:
                    yield fault.at(here)
                    continue
                yield Face(
                    image=image,
                    landmarks=landmarks,
                    visibility=visibility_of(landmarks),
                    subject=photo_of(image) if frame is None else clip,
                    split=split_of_path(posixpath.dirname(name)) or "",
                    attributes=attributes,
                    where=here,
                )

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write a folder of .json files; see the class for what is lost."""
        return write_beside(
            faces, target, scheme, Layout(ENDING, _document, _people_in, _person, ("unlabelled points",))
        )

    def _points(
        self, person: Any, count: int, image: str, where: str, sizes: PictureSizes
    ) -> tuple[NDArray[np.float32], dict[str, Attribute]]:
        values = numbers_in(person.get(_FACE) if isinstance(person, dict) else None, _FACE)
        if not len(values):
            raise SkipFace("no_face", "no points of the face: OpenPose ran without --face, or found none")
        if len(values) != 3 * count:
            raise SkipFace("wrong_point_count", f"{len(values)} numbers in {_FACE}, expected 3 x {count}")
        x_y_c = values.reshape(count, 3)
        found = x_y_c[:, 2] != 0
        points = x_y_c[:, :2].copy()
        scale = self.option("keypoint_scale")
        if scale != _PIXELS:
            size = sizes.of(image, where)
            if isinstance(size, Skipped):
                raise SkipFace(size.reason, size.what)
            most = np.array(size, np.float64) - 1
            points = points * most if scale == _UNIT else (points + 1) / 2 * most
        elif found.any() and (np.abs(points[found]) <= 1).all():
            what = (
                "every coordinate lies within -1 … 1; say --option keypoint_scale=3 for 0 … 1, 4 for -1 … 1"
            )
            raise SkipFace("units_open", what)
        landmarks = points.astype(np.float32)
        if not np.isfinite(landmarks).all():
            raise SkipFace("not_a_number", "a coordinate beyond what float32 holds")
        landmarks[~found] = np.nan
        return landmarks, {CONFIDENCE: numbers_text(x_y_c[:, 2])}


def _head(tree: FileTree, name: str) -> bytes:
    try:
        return tree.read(name, 0, 1 << 15)
    except InputError:
        return b""


def _misfit(head: bytes) -> str | None:
    """Why a file is not OpenPose's with faces, "" when it is something else altogether; None when it is."""
    if b"people" not in head:
        return ""
    people = outline(head)[1].get("people")
    if not people or not isinstance(people[0], dict):
        return ""
    if _FACE in people[0]:
        return None
    return (
        "people without face_keypoints_2d; run OpenPose with --face"
        if "pose_keypoints_2d" in people[0]
        else ""
    )


def _stem(name: str) -> str:
    return name[: -len(ENDING)] if name.endswith(ENDING) else posixpath.splitext(name)[0]


def _frame_of(name: str) -> tuple[str, int | None]:
    """Clip and frame, from 0, of a file about a video; None for one about a picture."""
    found = _FRAME.fullmatch(_stem(name))
    return (found["clip"], int(found["frame"])) if found else (_stem(name), None)


def _picture_of(tree: FileTree, name: str, beside: PicturesBeside) -> str:
    stem = _stem(name)
    found = beside.find(f"{stem}.json")
    clip, frame = _frame_of(name)
    ending = ".png" if frame is not None and f"{clip}.avi" in tree else ".jpg"
    return found or FURTHER_FACE.sub("", stem) + ending


def _person(face: Face) -> tuple[dict[str, Any], Collection[str]] | str:
    """One of the people, and the attributes it holds."""
    labelled = (face.visibility != NOT_LABELLED) & np.isfinite(face.landmarks).all(axis=1)
    if labelled.any() and (np.abs(face.landmarks[labelled]) <= 1).all():
        return "face of less than a pixel"  # it would read as one in other units
    confidence = numbers_of(face, CONFIDENCE, len(labelled))
    if confidence is not None and not np.array_equal(np.nan_to_num(confidence) != 0, labelled):
        confidence = None
    c = np.ones(len(labelled)) if confidence is None else confidence
    values = shortest(np.where(labelled[:, None], np.column_stack([face.landmarks, c]), np.float32(0)))
    person = {"person_id": [-1], "pose_keypoints_2d": [], _FACE: values}
    return person, () if confidence is None else (CONFIDENCE,)


def _document(image: str, people: list[Any]) -> bytes:
    whole = [person | {f"hand_{side}_keypoints_2d": [] for side in ("left", "right")} for person in people]
    return json_text({"version": 1.3, "people": whole})


def _people_in(document: bytes) -> list[Any]:
    people: list[Any] = json_in(document)["people"]
    return people
