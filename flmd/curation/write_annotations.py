"""Faces out to an annotation format: a file, a folder, an archive or an address, with what was lost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from flmd.conversion.frames import Turner
from flmd.conversion.skip_hints import hints
from flmd.core.orientation import STORED
from flmd.curation.write_target import placed
from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped
from flmd.formats import Format, WriteReport
from flmd.formats.choosing import blamed
from flmd.formats.layout import resolve
from flmd.schemes import Scheme
from flmd.tree import FileTree

NAMED = 5
IMAGES = ("none", "copy", "link")
# Points keep their names when a mirrored picture is written in its other frame (flmd.core.orientation).
SIDES = "left and right of a mirrored picture"


@dataclass
class ExportReport:
    """What became of faces that were written.

    Attributes
    ----------
    format : written. faces : how many.
    lost : what the format has no room for -> of how many faces it was lost.
    skipped : reason -> faces that could not be read. first : reason -> the first few of them.
    pictures : how many were copied or linked. missing : pictures that were not there.
    turned : faces brought into the format's frame, as their pictures have an EXIF orientation.
    """

    format: str
    faces: int = 0
    lost: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[str]] = field(default_factory=dict)
    pictures: int = 0
    missing: int = 0
    turned: int = 0

    def skip(self, item: Skipped) -> None:
        """Count a face that could not be read."""
        self.skipped[item.reason] += 1
        first = self.first.setdefault(item.reason, [])
        if len(first) < NAMED:
            first.append(f"{item.where}: {item.what}" if item.where else item.what)

    def count(self, written: WriteReport, turner: Turner, cropped: bool) -> None:
        """Take over what was written, and what was lost by turning and cropping."""
        self.faces, self.lost, self.turned = written.faces, written.lost, turner.turned
        self.lost += Counter({SIDES: turner.mirrored, "sub-pixel": turner.rounded})
        if cropped and self.faces:
            self.lost["picture outside the crop"] = self.faces

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "format": self.format,
            "faces_written": self.faces,
            "lost": dict(sorted(self.lost.items())),
            "faces_skipped": sum(self.skipped.values()),
            "skipped": {r: {"count": n, "first": self.first[r]} for r, n in sorted(self.skipped.items())},
            "pictures": self.pictures,
            "pictures_missing": self.missing,
            **({"faces_turned": self.turned} if self.turned else {}),
        }

    def write(self, path: Path) -> None:
        """Write all of it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_dict(), indent=2, ensure_ascii=False)
        path.write_text(text + "\n", encoding="utf-8", errors="surrogateescape")


def write_faces(
    faces: Iterable[Face | Skipped],
    fmt: Format,
    target: Path | str,
    scheme: Scheme,
    *,
    pictures: FileTree | None = None,
    images: str = "none",
    strict: bool = False,
    overwrite: bool = False,
    report: Path | None = None,
    scratch: Path | None = None,
    cropped: bool = False,
    frame: str = STORED,
) -> ExportReport:
    """Write faces in an annotation format; what was there before stays until all of it is written.

    Parameters
    ----------
    faces : to write, in ``scheme``; skipped ones are counted.
    target : a file with the format's ending, a folder, an archive of such a folder, or an
        fsspec address of any of these.
    pictures : the tree that holds the pictures: for their sizes, pixels, and for ``images``.
    images : "none"; "copy" puts the pictures where the format looks for them; "link" makes symbolic links.
    strict : anything lost or skipped is an error, and nothing is written.
    overwrite : replace a target that is there.
    report : where the report goes, JSON, also when ``strict`` refuses.
    scratch : folder for what is sent to an address.
    cropped : the pictures are crops of others, which counts as lost.
    frame : of the coordinates of faces that do not say theirs. Where a picture has an EXIF orientation,
        coordinates are brought into the format's frame (``flmd.conversion.frames``).

    Raises
    ------
    InputError : ``strict``, and something was lost or skipped; a face that does not fit the scheme.
    ParamsError : a target that is there already, or ``images`` without pictures.
    """
    if not fmt.writes:
        raise ParamsError(f"format {fmt.name} is read only", expected="another format with --to")
    _check_images(images, pictures)
    done = ExportReport(fmt.name)
    with placed(target, overwrite, scratch) as work:
        root = work if not _is_file(work, fmt) else work.parent
        used = _Pictures(fmt, pictures, images, root)
        turner = Turner(pictures, frame, fmt.frame)
        sized = _sized(faces, fmt, turner, pictures, done, used)
        stream = tqdm(sized, desc="write", unit="face", disable=None)
        with blamed(fmt, "it writes"):
            written = fmt.write(stream, work, scheme, pictures)
        done.count(written, turner, cropped)
        used.bring(done)
        if report is not None:
            done.write(report)
        if strict and (done.lost or done.skipped or done.missing):
            raise InputError(_summary(done), where=str(target), hint="leave out --strict to write the rest")
        if not done.faces:
            tries = f"; {hints(done.skipped)}" if done.skipped else ""
            raise InputError("no face could be written", where=str(target), hint=_summary(done) + tries)
    return done


def _check_images(images: str, pictures: FileTree | None) -> None:
    if images not in IMAGES:
        raise ParamsError(f"images is {images!r}", expected="one of " + ", ".join(IMAGES))
    if images != "none" and pictures is None:
        raise ParamsError(
            f"--images {images}, but the source holds no pictures as files",
            expected="annotations with their pictures",
            hint="name the folder or archive of the pictures with --pictures",
        )


def _summary(report: ExportReport) -> str:
    lost = [f"{what} of {n} faces" for what, n in sorted(report.lost.items())]
    skipped = [f"{n} faces ({reason})" for reason, n in sorted(report.skipped.items())]
    texts = ["lost: " + ", ".join(lost)] if lost else []
    texts += ["skipped: " + ", ".join(skipped)] if skipped else []
    texts += [f"{report.missing} pictures are missing"] if report.missing else []
    return "; ".join(texts) or "there are none"


def _is_file(target: Path, fmt: Format) -> bool:
    return bool(fmt.suffix) and target.name.lower().endswith(fmt.suffix)


def _sized(
    faces: Iterable[Face | Skipped],
    fmt: Format,
    turner: Turner,
    pictures: FileTree | None,
    report: ExportReport,
    used: _Pictures,
) -> Iterator[Face]:
    """The faces in the format's frame, with the sizes of their pictures where it needs and they tell them."""
    for item in faces:
        if isinstance(item, Skipped):
            report.skip(item)
            continue
        item = turner(item)
        if item.image_size is None and "image_size" in fmt.needs and pictures is not None:
            header = turner.header(item.image)
            item = replace(item, image_size=None if header is None else header.size(fmt.frame))
        used.note(item)
        yield item


class _Pictures:
    """The pictures of the faces that were written, and where they go."""

    def __init__(self, fmt: Format, tree: FileTree | None, images: str, root: Path) -> None:
        self._fmt, self._tree, self._images, self._root = fmt, tree, images, root
        self._wanted: dict[str, str] = {}

    def note(self, face: Face) -> None:
        """Remember the picture of a face."""
        if self._images != "none":
            self._wanted[self._fmt.picture_name(face)] = face.image

    def bring(self, report: ExportReport) -> None:
        """Copy or link all of them."""
        if self._tree is None or self._images == "none":
            return
        for place, name in tqdm(sorted(self._wanted.items()), desc="pictures", unit="file", disable=None):
            if name not in self._tree:
                report.missing += 1
                continue
            if resolve("", place) != place:
                raise InputError(
                    f"picture {place!r} would lie outside the target", where=self._tree.where(name)
                )
            path = self._root / place
            path.parent.mkdir(parents=True, exist_ok=True)
            if self._images == "link":
                path.symlink_to(self._source(name))
            else:
                path.write_bytes(self._tree.read(name))
            report.pictures += 1

    def _source(self, name: str) -> Path:
        assert self._tree is not None
        path = Path(self._tree.where(name)).absolute()
        if not path.is_file():
            raise ParamsError(
                f"--images link, but {self._tree.where(name)} is not a file on the disk",
                hint="use --images copy",
            )
        return path


def target_format(target: Path | str, to: str | None, known: dict[str, Format]) -> Format:
    """The format to write: the named one, or the only one whose files end like the target.

    Raises ParamsError when the ending says nothing, or several formats have it.
    """
    if to is not None:
        from flmd import formats

        return formats.get(to)
    name = str(target).lower()
    known = {name: fmt for name, fmt in known.items() if fmt.writes}
    fitting = [n for n, fmt in known.items() if fmt.suffix and name.endswith(fmt.suffix)]
    if len(fitting) == 1:
        return known[fitting[0]]
    expected = "--to with one of " + ", ".join(fitting or known)
    raise ParamsError("which format?", where=str(target), expected=expected + ", or a name ending in .h5")
