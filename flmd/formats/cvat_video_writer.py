"""Writing CVAT for video: :class:`flmd.formats.cvat_video.CvatVideo` says what is kept and what is lost."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from flmd.core.atomic import whole_or_nothing
from flmd.face import HIDDEN, NOT_LABELLED, Face
from flmd.formats.base import WriteReport
from flmd.formats.cvat_meta import BOX_LABEL, HEAD, NO_SUBSET, copy_body, declared_labels, escaped, meta_of
from flmd.formats.cvat_shapes import CORNER
from flmd.formats.cvat_writer import SUBSETS, AttributeTexts, is_named, is_xml
from flmd.formats.layout import photo_of, split_of
from flmd.formats.writing import check_points, count_lost, is_file_target, usable_box
from flmd.schemes import Scheme

_NUMBERED = re.compile(r"images/frame_([0-9]{6})\.[A-Za-z]+")
_KEEPS = ("box", "visibility", "unlabelled points", "image size")


def write(faces: Iterable[Face], target: Path, scheme: Scheme) -> WriteReport:
    """Write one file (``*.xml``), or a folder with ``annotations.xml``; whole, or not there."""
    report = WriteReport()
    with whole_or_nothing(target) as scratch:
        path = scratch
        if not is_file_target(target, ".xml"):
            scratch.mkdir()
            path = scratch / "annotations.xml"
        spool = path.with_name(path.name + ".tracks")  # the labels stand first and are known last
        try:
            with spool.open("w+b") as body, path.open("wb") as file:
                document = _Document(body, scheme, split_of(target.name if path == scratch else path.name))
                for face in faces:
                    document.add(face, report)
                document.end()
                file.write(document.head().encode())
                copy_body(body, file, document.subsets)
                file.write(b"</annotations>\n")
        finally:
            with contextlib.suppress(FileNotFoundError):
                spool.unlink()
    return report


@dataclass
class _Track:
    """The track being written: what its faces share, ``id`` and group, its last frame, its boxes so far.

    ``subset``: the attribute that says it.
    """

    key: tuple[object, ...]
    identity: int
    group: int
    last: int
    subset: str
    boxes: list[tuple[int, list[float]]]


class _Document:
    """The tracks of one file being written, the frames and the labels they use."""

    def __init__(self, body: BinaryIO, scheme: Scheme, split_of_name: str | None) -> None:
        self._body, self._scheme, self._split_of_name = body, scheme, split_of_name or ""
        self._track: _Track | None = None
        self._tracks = self._groups = 0
        self.subsets: dict[str, None] = {}
        self._frames = _Frames()
        self._labels: dict[str, None] = {}
        self._attributes = AttributeTexts()
        self._size: tuple[int, int] | None = None
        self._points = tuple(map(escaped, scheme.points))

    def add(self, face: Face, report: WriteReport) -> None:
        """Append a face to its track, its losses counted."""
        check_points(face, self._scheme)
        if not face.image or not is_xml(face.image):
            report.lost["face with unwritable image name"] += 1
            return
        label = str(face.attributes["label"]) if is_named(face.attributes.get("label")) else "face"
        self._labels[label] = None
        frame = self._frames.of(face.image)
        texts = {k: v for k, v in face.attributes.items() if k not in ("label", "track") or not _known(k, v)}
        lines, kept = self._attributes.of(texts)
        kept |= {key: True for key, value in face.attributes.items() if _known(key, value)}
        self._turn_to(face, label, frame)
        exact = self._skeleton(face, frame, lines) & self._box(face, frame, report)
        self._size = self._size or face.image_size
        if not exact:
            report.lost["sub-pixel"] += 1
        if not all(kept.values()):
            report.lost["attribute type"] += 1
        if face.image_size is not None and face.image_size != self._size:
            report.lost["image size"] += 1
        known = {
            key: getattr(face, key) if is_xml(getattr(face, key)) else "" for key in ("subject", "subset")
        }
        dataset = ("dataset",) if is_xml(face.dataset) else ()
        source = ("box source",) if face.box_source == "detector" else ()
        count_lost(
            report,
            face,
            keeps=(*_KEEPS, *dataset, *source),
            **known,
            split=face.split,
            attributes=kept,
        )
        report.faces += 1

    def end(self) -> None:
        """Close the last track, and say which pictures the frames are."""
        self._end_track()
        for image, frame in self._frames.numbers.items():
            self._put(f'  <frame number="{frame}" name="{escaped(image)}"/>\n')

    def _end_track(self) -> None:
        track = self._track
        if track is None:
            return
        self._put(self._outside(track.last + 1))
        self._put("  </track>\n")
        if track.boxes:
            self._put_boxes(track)
        self._track = None

    def head(self) -> str:
        """Everything before the first track, its labels as CVAT wants them for a task."""
        labels = declared_labels(self._labels, self._scheme, self._attributes.declared())
        last = self._frames.last
        width, height = self._size or (0, 0)
        facts = (
            f"<size>{last + 1}</size><mode>interpolation</mode>"
            f"<start_frame>0</start_frame><stop_frame>{max(last, 0)}</stop_frame>"
            "<frame_filter></frame_filter>"
            f"<original_size><width>{width}</width><height>{height}</height></original_size>"
        )
        return HEAD + meta_of(dict.fromkeys(self.subsets or ("",), facts), labels)

    def _turn_to(self, face: Face, label: str, frame: int) -> None:
        """Go on with the track of a face, or begin one."""
        number = face.attributes.get("track")
        shared = _known("track", number)
        subject = "" if face.subject == photo_of(face.image) else face.subject
        detected = face.box_source == "detector"
        key = (number, label, face.split, face.subset, face.dataset, subject, detected)
        track = self._track
        if shared and track is not None and track.key == key and frame > track.last:
            if frame > track.last + 1:
                self._put(self._outside(track.last + 1))
            track.last = frame
            return
        self._end_track()
        self._groups += 1
        identity = number if isinstance(number, int) and shared else self._free_number()
        said = {"subject": subject, "part": face.subset, "dataset": face.dataset}
        more = "".join(f' {key}="{escaped(text)}"' for key, text in said.items() if text and is_xml(text))
        # An empty split would be read as the one that the file's name says.
        subset = SUBSETS.get(face.split, "unsplit" if self._split_of_name else "")
        self.subsets[subset] = None
        self._track = _Track(
            key, identity, self._groups, frame, f' subset="{subset}"' if subset else NO_SUBSET, []
        )
        self._put(
            f'  <track id="{identity}" label="{escaped(label)}" source="manual"'
            f' group_id="{self._groups}"{self._track.subset}{more}>\n'
        )

    def _free_number(self) -> int:
        self._tracks += 1
        return self._tracks - 1

    def _skeleton(self, face: Face, frame: int, attributes: str) -> bool:
        """Write the points; True when reading them gives the same float32."""
        points = face.landmarks.astype(np.float64) + CORNER
        labelled = (face.visibility != NOT_LABELLED) & np.isfinite(points).all(axis=1)
        lines = [f'    <skeleton frame="{frame}" keyframe="1" z_order="0">\n']
        for name, (x, y), known, seen in zip(
            self._points, points.tolist(), labelled.tolist(), face.visibility.tolist(), strict=True
        ):
            place = f"{x!r},{y!r}" if known else "0.0,0.0"
            lines.append(
                f'      <points label="{name}" frame="{frame}" keyframe="1" outside="{int(not known)}"'
                f' occluded="{int(seen == HIDDEN)}" points="{place}"/>\n'
            )
        self._put("".join((*lines, attributes, "    </skeleton>\n")))
        back = (points - CORNER).astype(np.float32)
        return bool((back == face.landmarks)[labelled].all())

    def _outside(self, frame: int) -> str:
        """The shape that says that the face is gone from this frame on."""
        gone = "".join(
            f'      <points label="{name}" frame="{frame}" keyframe="1" outside="1" occluded="0"'
            ' points="0.0,0.0"/>\n'
            for name in self._points
        )
        return f'    <skeleton frame="{frame}" outside="1" keyframe="1" z_order="0">\n{gone}    </skeleton>\n'

    def _box(self, face: Face, frame: int, report: WriteReport) -> bool:
        """Keep the box for the track's end; True when reading it gives the same float32, or there is none."""
        if face.box is None or self._track is None:
            return True
        x, y, width, height = face.box.tolist()
        right, bottom = x + width, y + height
        back = np.array([right - x, bottom - y]).astype(np.float32)
        if not usable_box(face) or not (back > 0).all():
            report.lost["box"] += 1
            return True
        self._track.boxes.append((frame, [x, y, right, bottom]))
        return bool((back == face.box[2:]).all())

    def _put_boxes(self, track: _Track) -> None:
        """The track of the boxes of the faces of a track."""
        source = "auto" if track.key[-1] else "manual"
        self._put(
            f'  <track id="{track.identity}" label="{BOX_LABEL}" source="{source}"'
            f' group_id="{track.group}"{track.subset}>\n'
        )
        for i, (frame, edges) in enumerate(track.boxes):
            self._put(_box_element(frame, edges, outside=False))
            if i + 1 == len(track.boxes) or track.boxes[i + 1][0] > frame + 1:
                self._put(_box_element(frame + 1, edges, outside=True))
        self._put("  </track>\n")

    def _put(self, text: str) -> None:
        self._body.write(text.encode())


def _box_element(frame: int, edges: list[float], *, outside: bool) -> str:
    left, top, right, bottom = edges
    return (
        f'    <box frame="{frame}" keyframe="1" outside="{int(outside)}" occluded="0" xtl="{left!r}"'
        f' ytl="{top!r}" xbr="{right!r}" ybr="{bottom!r}" z_order="0"/>\n'
    )


def _known(key: str, value: object) -> bool:
    """Whether an attribute is what a track says itself: its label, or its number."""
    if key == "track":
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9
    return key == "label" and isinstance(value, str) and is_named(value)


class _Frames:
    """The numbers of the pictures; ``last``: the highest given out, -1 for none."""

    def __init__(self) -> None:
        self.last = -1
        self.numbers: dict[str, int] = {}
        self._taken: set[int] = set()

    def of(self, image: str) -> int:
        """The number of a picture: the one its name says, if that is free."""
        if image not in self.numbers:
            said = _NUMBERED.fullmatch(image)
            frame = int(said[1]) if said else self.last + 1
            if frame in self._taken:
                frame = self.last + 1
            self.numbers[image] = frame
            self._taken.add(frame)
            self.last = max(self.last, frame)
        return self.numbers[image]
