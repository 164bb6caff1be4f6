"""Reading the tracks of a CVAT video: :class:`flmd.formats.cvat_video.CvatVideo` has the rules."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.common.xml_stream import LARGEST_KEPT, XmlStream
from flmd.formats.cvat_boxes import box_in
from flmd.formats.cvat_frames import FramePictures, VideoMeta, frame_in
from flmd.formats.cvat_shapes import Labels, ShapeFace, ShapesOfImage, group_of
from flmd.formats.layout import SPLIT_WORDS, photo_of, split_of
from flmd.schemes import Scheme
from flmd.schemes.name_choice import PointOrders
from flmd.tree import FileTree
from flmd.tree.names import shown

SHAPES = ("skeleton", "points")
NAMES = ("meta", "frame", "skeleton", "points", "box", "track")
MOST_BETWEEN = 100_000  # frames between two of a track that are made


@dataclass
class Track:
    """What ``<track>`` says; ``said`` are all its attributes."""

    number: str
    label: str
    group: str
    line: int
    said: dict[str, str]

    @classmethod
    def of(cls, element: Any, line: int) -> Track:
        """From the element, as it begins."""
        said = {str(key): str(value) for key, value in element.attrib.items()}
        return cls(said.get("id", ""), said.get("label", ""), group_of(element), line, said)


class OneShape:
    """A shape by itself, as ``ShapesOfImage`` wants the picture it is in."""

    def __init__(self, element: Any) -> None:
        self._element = element

    def iterchildren(self, *tags: str) -> Iterator[Any]:
        name = self._element.tag.rpartition("}")[2]
        return iter([self._element] if f"{{*}}{name}" in tags else [])


def shapes_of(
    stream: BinaryIO, where: str, labels: Labels, meta: VideoMeta
) -> Iterator[tuple[str, Track | None, Any]]:
    """``(name, track, element)`` of every shape; ("frame", None, attributes); ("end", track, None).

    The element is None where it is longer than LARGEST_KEPT bytes. ``labels`` and ``meta`` are filled on the
    way. Memory holds one shape.
    """
    xml = XmlStream(stream, where, NAMES)
    if xml.root not in ("", "annotations"):
        raise InputError(
            f"the root element is <{shown(xml.root[:40])}>",
            where=f"{where}:{xml.line}",
            expected="<annotations> with <track> in it",
        )
    track: Track | None = None
    kept: Any = None
    for event, name, element in xml:
        if kept is not None:
            if event == "end" and element is kept:
                whole, kept = xml.keeps(element), None
                if name == "meta" and whole:
                    labels.declare(element)
                    meta.take(element)
                elif track is not None:
                    yield name, track, element if whole else None
        elif event == "end":
            if name == "track" and track is not None:
                yield "end", track, None
                track = None
        elif name == "track":
            track = Track.of(element, xml.line)
        elif name == "frame":
            yield "frame", None, dict(element.attrib)
        elif name == "meta" or track is not None:
            kept = element
            xml.keep(element)


class TrackReader:
    """One file: its tracks, read twice, since a face's box may stand behind it.

    ``between``: frames that nobody annotated are read, or made, too.
    """

    def __init__(
        self, tree: FileTree, name: str, scheme: Scheme, orders: PointOrders, *, between: bool
    ) -> None:
        self._tree, self._name, self._where = tree, name, tree.where(name)
        self._scheme, self._orders, self._between = scheme, orders, between
        self._labels, self._meta = Labels(), VideoMeta()
        self._boxes: dict[tuple[str, int], tuple[NDArray[np.float32] | None, str]] = {}
        self._split = split_of(name) or ""

    def faces(self) -> Iterator[Face | Skipped]:
        """Every face of every track, track by track."""
        names = self._survey()
        pictures = FramePictures(self._tree, self._name, self._meta, names)
        last: tuple[int, ShapeFace | None] | None = None
        with self._tree.open(self._name) as stream:
            for kind, track, element in shapes_of(stream, self._where, Labels(), VideoMeta()):
                if track is not None and kind == "end":
                    if last is not None and last[1] is not None:
                        yield from self._made(
                            track, last, (self._meta.stop + self._meta.step, None), pictures
                        )
                    last = None
                elif track is not None and kind in SHAPES:
                    shape = self._shape(track, element, kind)
                    if isinstance(shape, Skipped):
                        yield shape
                        continue
                    if last is not None and last[1] is not None:
                        yield from self._made(track, last, shape, pictures)
                    last = shape
                    if shape[1] is not None and (self._between or element.get("keyframe") != "0"):
                        yield self._face(track, shape[0], shape[1], pictures)

    def _survey(self) -> dict[int, str]:
        """Fill labels, meta and the boxes in groups, as far as the file can be read; the names of frames."""
        names: dict[int, str] = {}
        try:
            with self._tree.open(self._name) as stream:
                for kind, track, element in shapes_of(stream, self._where, self._labels, self._meta):
                    if kind == "frame":
                        number = frame_in(element.get("number", ""))
                        names |= {} if number is None else {number: element.get("name", "")}
                    if kind != "box" or track is None or element is None or not track.group:
                        continue
                    frame = frame_in(element.get("frame") or "")
                    if frame is not None and element.get("outside") != "1":
                        key = track.group, frame
                        box = None if key in self._boxes else box_in(element)  # two boxes: none
                        self._boxes[key] = box, track.said.get("source", "")
        except InputError:
            pass  # reading the faces stops there too, after the good ones
        return names

    def _shape(self, track: Track, element: Any, kind: str) -> tuple[int, ShapeFace | None] | Skipped:
        """Frame and face of a shape; no face where it is outside."""
        where = f"{self._where}:{track.line} (track {shown(track.number[:20])}"
        if element is None:
            return Skipped("image_too_long", where + ")", f"more than {LARGEST_KEPT} bytes in one shape")
        text = element.get("frame") or ""
        frame = frame_in(text)
        where += f", frame {shown(text[:20])})"
        if frame is None:
            return Skipped("bad_frame", where, f"frame {text[:40]!r}, expected a number")
        if element.get("outside") == "1":
            return frame, None
        single = kind == "points" and ";" not in (element.get("points") or "") and self._scheme.count > 1
        if single:
            return Skipped("wrong_point_count", where, f"1 point, expected {self._scheme.count}")
        (shape,) = ShapesOfImage(OneShape(element), self._scheme, self._labels, self._orders).faces()
        if shape.fault is not None:
            return shape.fault.at(where)
        return frame, shape

    def _made(
        self,
        track: Track,
        before: tuple[int, ShapeFace | None],
        after: tuple[int, ShapeFace | None],
        pictures: FramePictures,
    ) -> Iterator[Face | Skipped]:
        """The faces of the frames between two shapes: on a straight line, or where the first one is."""
        first = before[1]
        if not self._between or first is None:
            return
        frames = range(before[0] + self._meta.step, after[0], self._meta.step)
        if len(frames) > MOST_BETWEEN:
            where = f"{self._where}:{track.line} (track {shown(track.number[:20])})"
            yield Skipped(
                "too_many_frames", where, f"{len(frames)} frames between two, expected {MOST_BETWEEN}"
            )
            return
        for frame in frames:
            share = (frame - before[0]) / (after[0] - before[0])
            yield self._face(track, frame, _blended(first, after[1], share), pictures)

    def _face(self, track: Track, frame: int, shape: ShapeFace, pictures: FramePictures) -> Face | Skipped:
        where = f"{self._where}:{track.line} (track {shown(track.number[:20])}, frame {frame})"
        image = pictures.find(frame)
        if image is None:
            return Skipped("bad_path", where, f"{pictures.names[frame][:200]!r} is not a picture in the tree")
        box, source = self._boxes.get((track.group, frame), (None, ""))
        attributes = dict(shape.attributes)
        if track.label not in ("", "face"):
            attributes.setdefault("label", track.label)
        if track.number.isdecimal() and len(track.number) < 10:
            attributes.setdefault("track", int(track.number))
        said = track.said
        clip = posixpath.splitext(self._meta.source or self._name)[0]
        word = said.get("split") or said.get("subset", "")  # the first is of earlier files of ours
        split = SPLIT_WORDS.get(word.lower())
        return Face(
            image=image,
            landmarks=shape.landmarks,
            visibility=shape.visibility,
            box=box,
            box_source="none" if box is None else "detector" if source == "auto" else "annotated",
            subject=said.get("subject") or (photo_of(image) if frame in pictures.names else clip),
            split=self._split if split is None else split,
            subset=said.get("part") or ("" if split is not None or word.lower() == "default" else word),
            dataset=said.get("dataset", ""),
            image_size=self._meta.size,
            attributes=attributes,
            where=where,
        )


def _blended(one: ShapeFace, other: ShapeFace | None, share: float) -> ShapeFace:
    """A face on the way from one to another; the first one itself where the other is gone."""
    if other is None:
        return one
    first, last = one.landmarks.astype(np.float64), other.landmarks.astype(np.float64)
    between = (first + (last - first) * share).astype(np.float32)
    stays = np.isnan(between) & ~np.isnan(one.landmarks)
    return replace(one, landmarks=np.where(stays, one.landmarks, between))
