"""A run of `flmd predict`: all its pictures and videos, and what is said of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import typer

from flmd.core import terminal
from flmd.errors import FlmdError, InputError, ParamsError

if TYPE_CHECKING:
    from flmd.face import Face
    from flmd.formats import Format
    from flmd.inference.detection import Detector
    from flmd.inference.landmarker import Landmarker
    from flmd.inference.unfinished import Unfinished
    from flmd.inference.video.pictures import PictureReport, PictureRun
    from flmd.inference.video.sources import Sources
    from flmd.schemes.mapping import SchemeMapping

LISTS = ("point_confidence", "point_error")  # attributes that are lists in --json


@dataclass(frozen=True)
class Wanted:
    """The options of one run."""

    out: Path
    to: str
    numbers: bool
    drawn: bool
    images: str
    exif: bool
    every: int
    smooth: bool
    partial: bool
    overwrite: bool
    pose: bool
    batch: int

    def decisive(self) -> dict[str, Any]:
        """Those that decide what is kept of an unfinished run, which annotations are written from."""
        names = ("numbers", "drawn", "exif", "every", "smooth", "pose", "batch")
        return {f"--{name}": getattr(self, name) for name in names}


@dataclass
class Run:
    """Model, detector and sources at work. ``bad``: a line for each picture or video that cannot be used."""

    landmarker: Landmarker
    find: Detector
    sources: Sources
    wanted: Wanted
    bad: list[str] = field(default_factory=list)

    def printed(self) -> int:
        """A line of JSON for each picture, flushed at once; returns how many faces."""
        from flmd.inference.video.pictures import PictureReport

        if self.sources.videos:
            raise ParamsError(
                f"--json, but {self.sources.videos[0]} is a video",
                hint="leave --json out: videos have tables",
            )
        report = PictureReport()
        for name, faces in self._pictures(None).each(self.sources.tree, self.sources.pictures, report):
            print(json_line(name, self.landmarker.scheme.name, faces), flush=True)
        return report.faces

    def written(self, fmt: Format, record: dict[str, Any]) -> int:
        """Annotations, drawn pictures, videos and tables; returns how many faces.

        Parameters
        ----------
        record : model, detector and versions: with the options, what decides the results.
        """
        from flmd.inference.unfinished import unfinished

        mapping = _mapping(self.landmarker, fmt, self.wanted.partial)
        targets = _Targets.of(self.sources, fmt, self.wanted)
        faces = 0
        with unfinished(
            self.wanted.out,
            {**record, **self.wanted.decisive()},
            self.sources.stamps(),
            overwrite=self.wanted.overwrite,
            check=lambda: targets.check_free(self.wanted),
        ) as kept:
            if self.sources.pictures:
                faces += self._write_pictures(fmt, mapping, targets.annotations, kept)
            before = kept.videos()
            for number, (name, stem) in enumerate(targets.videos.items()):
                if name not in before:
                    before[name] = self._video(name, stem, number, kept)
                    kept.add_video(name, before[name])
                faces += self._tell_video(before[name])
        return faces

    def _pictures(self, kept: Unfinished | None, drawn: Path | None = None) -> PictureRun:
        from flmd.inference.video.pictures import PictureRun

        total = len(self.sources.pictures)
        return PictureRun(
            self.landmarker,
            self.find,
            exif=self.wanted.exif,
            drawn=drawn,
            numbers=self.wanted.numbers,
            pose=self.wanted.pose,
            batch=self.wanted.batch,
            kept=kept,
            complain=self._complain,
            goes_on=lambda done: terminal.say(f"goes on after {done} of {total} pictures", err=True),
        )

    def _write_pictures(
        self, fmt: Format, mapping: SchemeMapping | None, target: Path, kept: Unfinished
    ) -> int:
        from flmd.curation.write_annotations import write_faces
        from flmd.inference.video.pictures import PictureReport

        wanted, report = self.wanted, PictureReport()
        run = self._pictures(kept, wanted.out / "drawn" if wanted.drawn else None)
        faces: Iterator[Face] = run.faces(self.sources.tree, self.sources.pictures, report)
        if mapping is not None:
            faces = map(mapping.face, faces)
        first = next(faces, None)
        if first is not None:
            written = write_faces(
                chain([first], faces),
                fmt,
                target,
                self.landmarker.scheme if mapping is None else mapping.target,
                pictures=self.sources.tree,
                images=wanted.images,
                overwrite=wanted.overwrite or kept.goes_on,
            )
            terminal.say(f"{target}: {written.faces} faces written as {fmt.name}")
            for what, count in sorted(written.lost.items()):
                terminal.say(f"lost: {what}, of {count} faces", err=True)
        self._tell(report)
        return report.faces

    def _tell(self, report: PictureReport) -> None:
        wanted = self.wanted
        where = f"{wanted.out / 'drawn'}: " if wanted.drawn and report.pictures else ""
        more = f", {report.without_face} without a face" if report.without_face else ""
        more += f", {len(report.bad)} that cannot be used" if report.bad else ""
        terminal.say(f"{where}{report.pictures} pictures, {report.faces} faces{more}")

    def _video(self, name: str, stem: str, number: int, kept: Unfinished) -> dict[str, Any]:
        """One video; what is kept of it: the lines to say, and how many faces were written."""
        from flmd.inference.video.recorded import RecordedDetector, RecordedLandmarker, Recording
        from flmd.inference.video.tracking import FaceTracker
        from flmd.inference.video.video import open_video
        from flmd.inference.video.video_faces import predict_video

        table, video = (self.wanted.out / f"{stem}{end}" for end in (".csv", ".mp4"))
        recording = Recording(kept.calls(number))
        tracker = FaceTracker(
            RecordedLandmarker(self.landmarker, recording),
            RecordedDetector(self.find, recording),
            every=self.wanted.every,
            smooth=self.wanted.smooth,
        )
        shown = video if self.wanted.drawn else None
        try:
            with open_video(*self.sources.tree.member(name)) as reader:
                done = predict_video(reader, tracker, video=shown, table=table, numbers=self.wanted.numbers)
        except InputError as error:
            return {"rows": 0, "said": "", "bad": str(error)}
        said = (
            f"{shown or table}: {done.frames} frames, {done.tracks} faces in {done.rows} rows, "
            f"{done.fps:.1f} frames a second"
        )
        return {"rows": done.rows, "said": said, "bad": done.broken}

    def _tell_video(self, done: dict[str, Any]) -> int:
        if done["said"]:
            terminal.say(done["said"])
        if done["bad"]:
            self._complain(done["bad"])
        return int(done["rows"])

    def _complain(self, line: str) -> None:
        from tqdm import tqdm

        self.bad.append(line)
        tqdm.write(f"bad: {line}", file=typer.get_text_stream("stderr"))


@dataclass(frozen=True)
class _Targets:
    """Where results go: the annotations of pictures, and of each video the name without ending."""

    annotations: Path
    videos: dict[str, str]
    pictures: bool

    @classmethod
    def of(cls, sources: Sources, fmt: Format, wanted: Wanted) -> _Targets:
        stems = Counter(str(PurePosixPath(name).with_suffix("")) for name in sources.videos)
        videos = {}
        for name in sources.videos:
            stem = str(PurePosixPath(name).with_suffix(""))
            videos[name] = f"{stem if stems[stem] == 1 else name}_faces"
        return cls(wanted.out / f"annotations{fmt.suffix}", videos, bool(sources.pictures))

    def check_free(self, wanted: Wanted) -> None:
        """ParamsError when something is there already, and is not to be replaced."""
        written = [self.annotations, wanted.out / "drawn"] if self.pictures else []
        written += [wanted.out / f"{stem}{end}" for stem in self.videos.values() for end in (".mp4", ".csv")]
        for path in written:
            if path.exists() and not wanted.overwrite:
                raise ParamsError("exists already", where=str(path), hint="add --overwrite to replace it")


def json_line(name: str, scheme: str, faces: list[Face]) -> str:
    """A picture's faces as one line of JSON; stored pixels."""
    import json

    from flmd.formats.common.json_lists import shortest

    told = []
    for face in faces:
        attributes: dict[str, Any] = dict(face.attributes)
        for key in LISTS:
            if key in attributes:
                attributes[key] = [float(word) for word in str(attributes[key]).split()]
        box = [] if face.box is None else [float(number) for number in shortest(face.box)]
        points = [[float(x), float(y)] for x, y in map(shortest, face.landmarks)]
        told.append({"box": box, "points": points, **attributes})
    return json.dumps({"image": name, "scheme": scheme, "faces": told}, ensure_ascii=True)


def _mapping(landmarker: Landmarker, fmt: Format, partial: bool) -> SchemeMapping | None:
    """To the scheme of a format that has one of its own."""
    from flmd.schemes import get_scheme
    from flmd.schemes.mapping import mapping

    if fmt.scheme is None or fmt.scheme == landmarker.scheme.name:
        return None
    try:
        return mapping(landmarker.scheme, get_scheme(fmt.scheme), partial=partial)
    except FlmdError as error:
        raise ParamsError(f"--to {fmt.name} holds {fmt.scheme}: {error}") from None
