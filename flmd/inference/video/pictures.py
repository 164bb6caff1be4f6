"""Predicting on many pictures, in order, several at once if wanted; a bad one does not stop the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
from tqdm import tqdm

from flmd.errors import FlmdError, InputError, one_line
from flmd.face import Face
from flmd.inference.detection import Detector, Found
from flmd.inference.landmarker import Landmarker
from flmd.inference.picture import MAX_BYTES, Picture, open_picture
from flmd.inference.pose import posed
from flmd.inference.unfinished import PictureResult, Unfinished
from flmd.inference.video.drawn_pictures import write_drawn
from flmd.tree import FileTree

_UNUSABLE = (FlmdError, cv2.error, MemoryError)  # what one picture can raise, and the others need not share
MOST_PIXELS = 3e7  # decoded and waiting to go through the network together: 90 MB, unless one alone has more


@dataclass
class PictureReport:
    """What became of the pictures. ``bad``: a line for each that could not be used."""

    pictures: int = 0
    faces: int = 0
    without_face: int = 0
    bad: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Opened:
    """A picture on its way: decoded, its faces detected; or ``bad``, why not."""

    name: str
    where: str
    picture: Picture | None = None
    found: Found = field(default_factory=Found)
    bad: str = ""


@dataclass(frozen=True)
class PictureRun:
    """Predicts the faces of pictures.

    Attributes
    ----------
    landmarker, detector : find points and faces.
    exif : look at pictures the way EXIF says.
    drawn : folder that takes the drawn pictures, or None. numbers : draw the index beside each point.
    pose : faces get their head pose in degrees, see :func:`flmd.inference.pose.posed`.
    batch : as soon as so many faces, or pictures, are at hand, they go through the network together; which
        ones does not depend on where a run began.
    kept : remembers what is done, so that a run that was killed goes on; None: nothing is kept.
    complain : is told of each bad picture, at once. goes_on : is told how many pictures were done before.
    """

    landmarker: Landmarker
    detector: Detector
    exif: bool = True
    drawn: Path | None = None
    numbers: bool = False
    pose: bool = False
    batch: int = 1
    kept: Unfinished | None = None
    complain: Callable[[str], object] = lambda line: None
    goes_on: Callable[[int], object] = lambda pictures: None

    def faces(self, tree: FileTree, names: list[str], report: PictureReport) -> Iterator[Face]:
        """The faces of the pictures of a tree, in order; ``Face.image`` is the name in the tree."""
        for _, found in self.each(tree, names, report):
            yield from found

    def each(
        self, tree: FileTree, names: list[str], report: PictureReport
    ) -> Iterator[tuple[str, list[Face]]]:
        """The pictures of a tree that can be used, in order, each by its name and with its faces."""
        for result in self._results(tree, names):
            if result.bad:
                report.bad.append(result.bad)
                self.complain(result.bad)
                continue
            report.pictures += 1
            report.faces += len(result.faces)
            report.without_face += not result.faces
            yield result.name, result.faces

    def _results(self, tree: FileTree, names: list[str]) -> Iterator[PictureResult]:
        """What was done before, and then the rest."""
        done = 0
        if self.kept is not None:
            for results in self.kept.pictures():
                yield from results
                done += len(results)
        if done:
            self.goes_on(done)
        bar = tqdm(desc="predict", total=len(names), initial=done, unit="picture", disable=None)
        with bar:
            for results in self._groups(tree, names[done:]):
                if self.kept is not None:
                    self.kept.add_pictures(results)
                bar.update(len(results))
                yield from results

    def _groups(self, tree: FileTree, names: Sequence[str]) -> Iterator[list[PictureResult]]:
        """The results of pictures that go through the network together."""
        waiting: list[_Opened] = []
        for name in names:
            waiting.append(self._opened(tree, name))
            faces = sum(len(one.found) for one in waiting)
            pixels = sum(one.picture.pixels.size / 3 for one in waiting if one.picture is not None)
            if max(faces, len(waiting)) >= self.batch or pixels >= MOST_PIXELS:
                yield self._finished(waiting)
                waiting = []
        if waiting:
            yield self._finished(waiting)

    def _opened(self, tree: FileTree, name: str) -> _Opened:
        where = tree.where(name)
        try:
            size = tree.size(name)
            if size > MAX_BYTES:
                raise InputError(f"{size} bytes", expected=f"a picture of at most {MAX_BYTES}")
            picture = replace(open_picture(tree.read(name), exif=self.exif), name=name)
            return _Opened(name, where, picture, self.detector(picture))
        except _UNUSABLE as error:
            return _Opened(name, where, bad=_line(error, where))

    def _finished(self, group: list[_Opened]) -> list[PictureResult]:
        usable = [(one, one.picture) for one in group if one.picture is not None]
        try:
            pictures, boxes = [picture for _, picture in usable], [one.found for one, _ in usable]
            faces = self.landmarker.faces_of(pictures, boxes) if usable else []
        except _UNUSABLE as error:
            if len(group) > 1:  # which of them it was, each alone says
                return [result for one in group for result in self._finished([one])]
            return [PictureResult(group[0].name, [], _line(error, group[0].where))]
        found = {one.name: some for (one, _), some in zip(usable, faces, strict=True)}
        return [self._marked(one, found.get(one.name, [])) for one in group]

    def _marked(self, one: _Opened, faces: list[Face]) -> PictureResult:
        """The faces with their pose, and drawn, as far as that is wanted."""
        if one.picture is None:
            return PictureResult(one.name, [], one.bad)
        try:
            if self.pose:
                faces = list(posed(faces, self.landmarker.scheme, one.picture.to_upright))
            for face in faces:
                face.where = one.where
            if self.drawn is not None:
                skeleton = self.landmarker.scheme.skeleton
                write_drawn(self.drawn, one.picture, faces, numbers=self.numbers, skeleton=skeleton)
        except _UNUSABLE as error:
            return PictureResult(one.name, [], _line(error, one.where))
        return PictureResult(one.name, faces)


def _line(error: Exception, where: str) -> str:
    """Why a picture cannot be used; its name alone does not say which archive it is in."""
    if isinstance(error, InputError):
        return str(InputError(error.what, where=where, expected=error.expected, hint=error.hint))
    return str(error) if isinstance(error, FlmdError) else f"{where}: cannot be processed ({one_line(error)})"
