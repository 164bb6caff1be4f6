"""CVAT for video 1.1: tracks over the frames of a video, or of a folder of pictures."""

from __future__ import annotations

import io
import posixpath
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import ClassVar

from flmd.core.orientation import SHOWN
from flmd.errors import InputError
from flmd.face import Face, Skipped
from flmd.formats.base import Detection, Format, WriteReport
from flmd.formats.common.xml_stream import XmlStream
from flmd.formats.cvat import PROBE
from flmd.formats.cvat_frames import VideoMeta, frame_in, frame_name, video_of
from flmd.formats.cvat_shapes import Labels, scheme_of_shapes
from flmd.formats.cvat_tracks import NAMES, SHAPES, OneShape, TrackReader, shapes_of
from flmd.formats.cvat_video_writer import write
from flmd.formats.layout import without_unions
from flmd.schemes import Scheme
from flmd.tree import FileTree
from flmd.tree.names import shown

_KEYFRAMES, _ALL = "keyframes", "all"


class CvatVideo(Format):
    """``<annotations><meta/><track id= label=><points frame= outside= keyframe= points=/></track>``.

    CVAT measures from the picture's top-left corner: base 0.5, and boxes as with CVAT for images
    (``flmd.formats.cvat``). A face is one shape of a track: ``<points points="x,y;x,y;…"/>``, its points
    in the scheme's order, or ``<skeleton frame=>`` with a ``<points label= outside= occluded=
    points="x,y"/>`` for each point, keyed by label as in CVAT for images. A shape with ``outside="1"`` is
    none. A ``<box>`` of a track with the same ``group_id`` is the face's box in that frame; two such
    boxes: none.

    Reading
    -------
    Only what people annotated, the shapes with ``keyframe="1"``. The option ``frames=all`` reads the
    interpolated ones too, and makes those that the file leaves out: on a straight line to the next shape, or
    where the last one was until it is outside or the video ends. ``label`` and ``track`` are attributes,
    ``<attribute>`` children too, as with CVAT for images.

    Frames count from 0. The picture of frame 10 is ``images/frame_000010`` of any ending, or beside the XML;
    else the picture of that place, by name, in ``images/`` or the folder named like the video, when there are
    as many as frames; else that frame of the video (AVI) that ``<source>`` names, beside the XML. The subject
    is the video: who shares its frames stays on one side of a split. The split is that of the track's
    ``subset``, as with CVAT for images, else of the XML's name. A file is read twice; memory holds one
    shape, and the boxes in groups.

    Skipped reasons: ``wrong_point_count`` (also a track of single points), ``duplicate_point``,
    ``unknown_point``, ``not_a_number``, ``bad_frame``, ``bad_path``, ``image_too_long`` (a shape above 8
    MiB), ``too_many_frames`` (100,000 to be made between two). InputError: broken or truncated XML (after
    the faces before it), any DOCTYPE, another root element.

    Writing
    -------
    One file when the target ends in ``.xml``, else a folder with ``annotations.xml``: a skeleton track
    for each face, and its box in a track of the same group. Faces that follow each other, with the same
    attribute ``track``, share one. A picture keeps its number where it is named ``images/frame_000010``,
    others get the next; a ``<frame number= name=/>``, which CVAT passes over, says the name. After a
    frame that is not followed by the next one, the track is outside: nothing is interpolated that nobody
    annotated. Faces with a split make it a project, whose tracks say their ``subset``. Lost, by key of
    ``WriteReport.lost``: ``sub-pixel``, ``box``, ``box source``, ``attributes``, ``attribute type`` and
    ``image name`` as with CVAT for images, ``image size`` (another than the first face's). Not written:
    ``face with unwritable image name``.
    """

    name = "cvat-video"
    title = "CVAT for video 1.1 (XML, tracks)"
    frame = SHOWN
    detected_by = "*.xml with the root element <annotations> and <track> with points or skeletons in it"
    suffix = ".xml"
    base = 0.5
    boxes = True
    visibility = True
    named = True
    options: ClassVar = {"frames": (_KEYFRAMES, _ALL)}

    def detect(self, tree: FileTree) -> Detection:
        """Any ``*.xml`` with ``<annotations>`` and a track of points within its first MiB."""
        found: list[str] = []
        miss = ""
        for name in tree.names:
            if not name.lower().endswith(".xml"):
                continue
            wrong = _misfit(tree, name)
            if wrong is None:
                found.append(name)
            elif wrong:
                miss = miss or f" ({shown(posixpath.basename(name))}: {wrong})"
        if not found:
            return Detection((), f"no {self.detected_by}{miss}")
        files, unions = without_unions(found)
        why = f"CVAT videos: {', '.join(map(shown, files))}"
        if unions:
            why += f"; left out as the union of these: {', '.join(map(shown, unions))}"
        return Detection(tuple(files), why)

    def scheme_in(self, tree: FileTree, files: tuple[str, ...]) -> str:
        """The scheme whose points the first shape names, else the one that their number means."""
        for name in files:
            labels = Labels()
            with tree.open(name) as stream:
                for kind, _, element in shapes_of(stream, tree.where(name), labels, VideoMeta()):
                    if kind in SHAPES and element is not None:
                        found = scheme_of_shapes(OneShape(element), labels, self.names)
                        if found:
                            return found
        where = tree.where(files[0]) if files else tree.origin
        raise InputError("no track of points", where=where, hint="name the scheme with --scheme")

    def pictures(self, tree: FileTree) -> FileTree:
        """The tree with the frames of videos as pictures; files about one are read once to find them."""
        frames: dict[str, tuple[str, int]] = {}
        for name in self.detect(tree).files:
            frames |= _video_frames(tree, name, whole=self.option("frames") == _ALL)
        if not frames:
            return tree
        from flmd.formats.common.video_frames import VideoFrames

        return VideoFrames(tree, frames)

    def read(self, tree: FileTree, scheme: Scheme, files: tuple[str, ...]) -> Iterator[Face | Skipped]:
        """Yield the faces of every track of every file."""
        orders = self.names.orders(scheme)
        between = self.option("frames") == _ALL
        for name in files:
            yield from TrackReader(tree, name, scheme, orders, between=between).faces()

    def write(
        self, faces: Iterable[Face], target: Path, scheme: Scheme, pictures: FileTree | None = None
    ) -> WriteReport:
        """Write an ``.xml`` file, or a folder with ``annotations.xml``; see the class for what is lost."""
        return write(faces, target, scheme)


def _misfit(tree: FileTree, name: str) -> str | None:
    """Why a file is no video of CVAT's with points, "" when it is something else; None when it is."""
    tracks = False
    try:
        xml = XmlStream(io.BytesIO(tree.read(name, 0, PROBE)), "it", NAMES, whole=False)
        if xml.root != "annotations":
            return ""
        for _, element, _ in xml:
            tracks = tracks or element == "track"
            if tracks and element in SHAPES:
                return None
    except InputError:
        pass
    return "tracks of boxes or other shapes, no points" if tracks else ""


def _video_frames(tree: FileTree, name: str, *, whole: bool) -> dict[str, tuple[str, int]]:
    """The annotated frames of the video of a file, or ``whole``: all of them."""
    meta, numbers = VideoMeta(), set[int]()
    try:
        with tree.open(name) as stream:
            for kind, _, element in shapes_of(stream, tree.where(name), Labels(), meta):
                frame = (
                    frame_in(element.get("frame") or "") if kind in SHAPES and element is not None else None
                )
                if frame is not None:
                    numbers.add(frame)
    except InputError:
        pass  # reading the faces says it
    video = video_of(tree, name, meta)
    if video is None:
        return {}
    if whole:
        numbers |= set(range(meta.start, meta.stop + 1, meta.step))
    return {frame_name("", video, number): (video, number + 1) for number in numbers}
