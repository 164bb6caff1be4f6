"""What a run of `flmd predict` has done so far, so that one that was killed goes on where it was.

A hidden folder in the folder of results, for as long as the run is not finished::

    .unfinished/run.json        what decides the results: model, options, versions
    .unfinished/sources.jsonl   a line for each picture and video: name, bytes, time of its last change
    .unfinished/pictures.jsonl  a line for each group of pictures that are done, with their faces
    .unfinished/videos.jsonl    a line for each video that is done
    .unfinished/video-N.jsonl   of the video at work: what the detector and the network said, call by call
    .unfinished/lock            locked while a run is at work

A line counts when it ends; what a kill cut short is cut off. Floats are kept as their bytes, so that results
that were kept are those that were found.
"""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flmd.core.atomic import lock_file, whole_or_nothing
from flmd.errors import ParamsError, printable
from flmd.face import Face, visibility_of

FOLDER = ".unfinished"
_AGAIN = "give the same options to go on, or --overwrite to start over"


@dataclass(frozen=True)
class PictureResult:
    """A picture that is done: its faces, or ``bad``, a line that says why it cannot be used."""

    name: str
    faces: list[Face]
    bad: str = ""


class Lines:
    """A file of JSON, one tree a line: those that are there can be read, and then more be added."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[Any]:
        """The trees; what follows the last whole line is cut off once they are read."""
        if not self._path.exists():
            return
        good = 0
        with self._path.open("rb") as file:
            for line in file:
                try:
                    tree = json.loads(line) if line.endswith(b"\n") else None
                except ValueError:
                    tree = None
                if tree is None:
                    break
                good += len(line)
                yield tree
        if good < self._path.stat().st_size:
            os.truncate(self._path, good)

    def add(self, tree: Any) -> None:
        """One more line; handed to the system at once, so that it outlives this process."""
        line = json.dumps(tree, separators=(",", ":")) + "\n"
        with self._path.open("ab") as file:
            file.write(line.encode())


class Unfinished:
    """The folder of a run that is at work.

    Attributes
    ----------
    goes_on : whether an earlier run left something that is kept.
    """

    def __init__(self, folder: Path, *, goes_on: bool) -> None:
        self.folder, self.goes_on = folder, goes_on
        self._pictures, self._videos = Lines(folder / "pictures.jsonl"), Lines(folder / "videos.jsonl")

    def pictures(self) -> Iterator[list[PictureResult]]:
        """The groups of pictures that are done, in order."""
        for group in self._pictures:
            yield [
                PictureResult(one["name"], [_face(one["name"], face) for face in one["faces"]], one["bad"])
                for one in group
            ]

    def add_pictures(self, results: Iterable[PictureResult]) -> None:
        """Keep the results of a group."""
        self._pictures.add(
            [{"name": r.name, "faces": [_kept(f) for f in r.faces], "bad": r.bad} for r in results]
        )

    def videos(self) -> dict[str, Any]:
        """Name -> what was kept of each video that is done."""
        return {one["name"]: one["done"] for one in self._videos}

    def add_video(self, name: str, done: Mapping[str, Any]) -> None:
        """Keep what is said of a video that is done; how it was found need not be kept any longer."""
        self._videos.add({"name": name, "done": dict(done)})
        for path in self.folder.glob("video-*.jsonl"):
            path.unlink()

    def calls(self, number: int) -> Lines:
        """What detector and network said of the video of that number."""
        return Lines(self.folder / f"video-{number}.jsonl")

    def holds_something(self) -> bool:
        """Whether anything was done."""
        files = [self.folder / name for name in ("pictures.jsonl", "videos.jsonl")]
        files += self.folder.glob("video-*.jsonl")
        return any(path.exists() and path.stat().st_size for path in files)


@contextmanager
def unfinished(
    out: Path,
    run: Mapping[str, Any],
    sources: Iterable[tuple[str, int, int]],
    *,
    overwrite: bool,
    check: Callable[[], object] = lambda: None,
) -> Iterator[Unfinished]:
    """What an earlier run into ``out`` has left to go on with, or a fresh folder; gone at the end.

    When the block fails, or its process is killed, what was done stays.

    Parameters
    ----------
    run : what decides the results, JSON values. sources : name, bytes and time of each picture and video.
    overwrite : start over, where an earlier run was another one.
    check : called before a fresh start: whether results may be written.

    Raises
    ------
    ParamsError : another run is at work in the folder; the earlier run was another one, or its pictures have
        changed.
    """
    folder, new = out / FOLDER, not out.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock, _ = lock_file(folder / "lock")
    except BlockingIOError:
        raise ParamsError(
            "another run is at work there", where=str(out), hint="wait for it, or choose another folder"
        ) from None
    kept = Unfinished(folder, goes_on=False)
    try:
        kept = _begun(folder, dict(run), sources, overwrite, check)
        yield kept
    except BaseException:
        with contextlib.suppress(OSError):
            if not kept.holds_something():
                shutil.rmtree(folder)
                if new:
                    out.rmdir()
        raise
    else:
        shutil.rmtree(folder)
    finally:
        os.close(lock)


def _begun(
    folder: Path,
    run: dict[str, Any],
    sources: Iterable[tuple[str, int, int]],
    overwrite: bool,
    check: Callable[[], object],
) -> Unfinished:
    listing: Iterator[str] = (json.dumps(entry) + "\n" for entry in sources)
    if (folder / "run.json").exists() and Unfinished(folder, goes_on=True).holds_something():
        listing, again = itertools.tee(listing) if overwrite else (listing, iter(()))
        problem = _other_run(folder, run) or _other_sources(folder, listing)
        if not problem:
            return Unfinished(folder, goes_on=True)
        if not overwrite:
            what = f"an unfinished run is there, and {problem}"
            raise ParamsError(what, where=str(folder.parent), hint=_AGAIN)
        listing = again
    check()
    for path in folder.iterdir():
        if path.is_dir():  # of a run that was killed while it began
            shutil.rmtree(path)
        elif path.name != "lock":
            path.unlink()
    with (folder / "sources.jsonl").open("w", encoding="utf-8") as file:
        file.writelines(listing)
    with whole_or_nothing(folder / "run.json", durable=False) as new:
        new.write_text(json.dumps(run, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return Unfinished(folder, goes_on=False)


def _other_run(folder: Path, run: dict[str, Any]) -> str:
    """What differs from the run before, in words; "" when nothing does."""
    try:
        before = json.loads((folder / "run.json").read_text(encoding="utf-8"))
        changed = sorted(key for key in before.keys() | run.keys() if before.get(key) != run.get(key))
    except (ValueError, AttributeError):
        return "its record is damaged"
    if not changed:
        return ""
    key = changed[0]
    then, now = (str(tree.get(key))[:40] for tree in (before, run))
    return printable(f"its {key} was {then}, now {now}")


def _other_sources(folder: Path, listing: Iterator[str]) -> str:
    """The first picture that has changed, come or gone since the run before, in words; "" when none has."""
    with (folder / "sources.jsonl").open(encoding="utf-8") as file:
        for then, now in itertools.zip_longest(file, listing):
            if then == now:
                continue
            names = [None if line is None else json.loads(line)[0] for line in (then, now)]
            if names[0] == names[1]:
                return printable(f"{names[0]} has changed since")
            if names[0] is None or (names[1] is not None and names[1] < names[0]):
                return printable(f"{names[1]} has come since")
            return printable(f"{names[0]} is gone since")
    return ""


def packed(numbers: NDArray[np.floating]) -> list[Any]:
    """A float32 array as JSON: its shape, and its bytes in base64."""
    array = np.ascontiguousarray(numbers, "<f4")
    return [list(array.shape), base64.b64encode(array.tobytes()).decode()]


def unpacked(tree: list[Any]) -> NDArray[np.float32]:
    """The inverse of :func:`packed`."""
    shape, text = tree
    return np.frombuffer(base64.b64decode(text), "<f4").reshape(shape).astype(np.float32)


def _kept(face: Face) -> dict[str, Any]:
    return {
        "landmarks": packed(face.landmarks),
        "box": None if face.box is None else packed(face.box),
        "box_source": face.box_source,
        "image_size": face.image_size,
        "attributes": face.attributes,
        "where": face.where,
    }


def _face(name: str, tree: dict[str, Any]) -> Face:
    landmarks = unpacked(tree["landmarks"])
    return Face(
        image=name,
        landmarks=landmarks,
        visibility=visibility_of(landmarks),
        box=None if tree["box"] is None else unpacked(tree["box"]),
        box_source=tree["box_source"],
        image_size=tuple(tree["image_size"]),
        attributes=tree["attributes"],
        where=tree["where"],
    )
