"""`flmd-data convert`: any annotation format, or a store, to any other, or to a store."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from flmd import formats
from flmd.cli.choices import Exif, Images
from flmd.cli.common import check_free, check_there, tell_passed_over
from flmd.cli.reading import Base, ExifFrame, FormatOptions, Names, reading
from flmd.conversion.converter import convert
from flmd.conversion.face_source import FaceSource, StoredFaces
from flmd.conversion.opening import open_faces
from flmd.conversion.settings import (
    BoxPolicy,
    Color,
    CropSettings,
    Reporting,
    SplitPolicy,
    SplitSettings,
    Workers,
)
from flmd.conversion.stored_crops import CroppedFaces
from flmd.core import terminal
from flmd.curation import write_annotations
from flmd.curation.store_copy import copy_store
from flmd.curation.write_target import placed
from flmd.errors import ParamsError
from flmd.face import Face, Skipped
from flmd.parallel import dask_cluster
from flmd.store.face_store import FaceStore
from flmd.tree import is_address

Source = Annotated[
    str, typer.Argument(metavar="SRC", help="Annotation file, folder, archive, store, or an address.")
]
Target = Annotated[str, typer.Argument(metavar="DST", help="A name ending in .h5 is a store.")]
From = Annotated[str | None, typer.Option("--from", help="Format of SRC; found out by default.")]
To = Annotated[str | None, typer.Option("--to", help="Format of DST when it is no store.")]
SchemeName = Annotated[str | None, typer.Option(help="Landmark scheme wanted; SRC's own by default.")]
Partial = Annotated[bool, typer.Option(help="Points that --scheme cannot have from SRC are not labelled.")]
Box = Annotated[
    BoxPolicy | None, typer.Option(help="What a face's box is; the annotated one where SRC has boxes.")
]
SubjectFrom = Annotated[
    str | None, typer.Option(help="Expression over the picture's name whose first group is the subject.")
]
Split = Annotated[SplitPolicy, typer.Option(help="Who trains and who tests; keep: as SRC says.")]
Val = Annotated[float, typer.Option(help="Share of training faces held out, by subject.")]
Test = Annotated[float, typer.Option(help="Share of faces to test on, with --split subject.")]
Seed = Annotated[int, typer.Option(help="Of the split.")]
Pictures = Annotated[
    str | None, typer.Option(help="Where the pictures are, when not beside the annotations.")
]
ImagesWanted = Annotated[
    Images | None, typer.Option(help="Embed: crops, in a store. By default embed, or none where DST is none.")
]
Processes = Annotated[int | None, typer.Option(help="Processes; all CPUs by default.")]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", help="Work on a Dask cluster, tcp://host:port; else $FLMD_SCHEDULER."),
]
Strict = Annotated[bool, typer.Option(help="Refuse to lose anything: stop at the first.")]
Overwrite = Annotated[bool, typer.Option(help="Replace DST if it exists.")]
ReportPath = Annotated[Path | None, typer.Option(help="Where to write the loss report, JSON.")]
Dataset = Annotated[str | None, typer.Option(help="Name of the data set; SRC's name by default.")]
CropSize = Annotated[int, typer.Option(help="Side of the context crops, pixels; 8 or more.")]
Margin = Annotated[float, typer.Option(help="That side over the box's longer side.")]
ColorWanted = Annotated[Color, typer.Option(help="Of the crops.")]


@dataclass(frozen=True)
class _Wanted:
    """The options that say what is written."""

    target: str
    to: str | None
    images: Images | None
    box: BoxPolicy | None
    crop: CropSettings
    split: SplitSettings
    dataset: str | None
    report: Path | None
    strict: bool
    overwrite: bool
    workers: int | None
    scheduler: str | None
    scratch: Path | None

    @property
    def store(self) -> bool:
        """Whether a store is written."""
        return self.target.endswith(".h5") and self.to is None


def convert_command(
    source: Source,
    target: Target,
    from_: From = None,
    to: To = None,
    scheme: SchemeName = None,
    partial: Partial = False,
    base: Base = None,
    names: Names = None,
    exif: ExifFrame = Exif.AUTO,
    box: Box = None,
    subject_from: SubjectFrom = None,
    split: Split = SplitPolicy.KEEP,
    val: Val = 0.0,
    test: Test = 0.2,
    seed: Seed = 0,
    images: ImagesWanted = None,
    pictures: Pictures = None,
    option: FormatOptions = None,
    workers: Processes = None,
    scheduler: Scheduler = None,
    strict: Strict = False,
    overwrite: Overwrite = False,
    report: ReportPath = None,
    dataset: Dataset = None,
    crop_size: CropSize = 256,
    margin: Margin = 2.4,
    color: ColorWanted = Color.RGB,
) -> None:
    """Convert any annotation format, or a store, to any other, or to a store.

    Example: flmd-data convert labels_ibug_300W_train.xml faces.h5 --split subject
    """
    crop, shares = CropSettings(crop_size, margin, color), SplitSettings(split, val, test, seed)
    scratch = None if is_address(target) else Path(target).absolute().parent
    wanted = _Wanted(
        target, to, images, box, crop, shares, dataset, report, strict, overwrite, workers, scheduler, scratch
    )
    _check(wanted)
    check_there(source)
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    meant = reading(names, option, base, exif)
    with open_faces(
        source,
        from_=from_,
        scheme=scheme,
        **meant.how(),
        subject_from=subject_from,
        partial=partial,
        pictures=pictures,
        scratch=scratch,
    ) as faces:
        tell_passed_over(faces)
        _check_store(faces, wanted)
        if wanted.store:
            _to_store(faces, wanted, {"subject_from": subject_from, **meant.record()})
        else:
            _to_format(faces, wanted)


def _check(wanted: _Wanted) -> None:
    """ParamsError for options that do not fit each other."""
    if wanted.scheduler is not None and (not wanted.store or wanted.images == Images.NONE):
        raise ParamsError("--scheduler, but no pictures are cut", expected="a store with crops to make")
    if wanted.store and wanted.images in (Images.COPY, Images.LINK):
        raise ParamsError(f"--images {wanted.images}, but DST is a store", expected="embed or none")
    if not wanted.store and wanted.images == Images.EMBED:
        raise ParamsError("--images embed, but DST is no store", expected="copy, link or none")


def _check_store(faces: FaceSource, wanted: _Wanted) -> None:
    split = wanted.split
    if isinstance(faces, StoredFaces) and (split.policy != SplitPolicy.KEEP or split.val):
        what = f"--split {split.policy} --val {split.val:g}, but SRC is a store"
        raise ParamsError(what, hint="use flmd-data split")


def _to_store(faces: FaceSource, wanted: _Wanted, asked: dict[str, Any]) -> None:
    """Write a store, and say what became of the faces."""
    crop, split, images = wanted.crop, wanted.split, wanted.images or Images.EMBED
    box = wanted.box or (BoxPolicy.ANNOTATED if faces.boxes else BoxPolicy.LANDMARKS)
    used: dict[str, Any] = {
        "format": faces.kind, "box": box.value,
        "split": split.policy, "val": split.val, "test": split.test, "seed": split.seed,
        "crop_size": crop.size, "margin": crop.margin, "color": crop.color,
        "scheme": faces.scheme.name, **asked, "images": images.value,
    }  # fmt: skip
    embed = images == Images.EMBED
    with _local(wanted.target, wanted.overwrite) as path:
        if isinstance(faces, StoredFaces) and faces.pictures is None:
            done: object = f"{copy_store(faces, path, crops=embed, params=used)} faces"
        else:
            made_from = faces.made_from(used, "flmd-data convert")
            with dask_cluster.connected(wanted.scheduler) if embed else nullcontext() as executor:
                done = convert(
                    faces,
                    path,
                    box=box,
                    crop=crop if embed else None,
                    split=split,
                    dataset=wanted.dataset,
                    reporting=Reporting(wanted.report, wanted.strict, made_from),
                    workers=Workers(wanted.workers, executor),
                )
    terminal.say(f"{wanted.target}: {done}")


def _to_format(faces: FaceSource, wanted: _Wanted) -> None:
    """Write annotations, and say what was lost."""
    known = {name: formats.get(name) for name in formats.names()}
    fmt = write_annotations.target_format(wanted.target, wanted.to, known)
    if fmt.scheme is not None and fmt.scheme != faces.scheme.name:
        raise ParamsError(
            f"{fmt.name} holds {fmt.scheme}, but the faces are {faces.scheme.name}",
            hint=f"add --scheme {fmt.scheme}",
        )
    if isinstance(faces, StoredFaces) and "pixels" in fmt.needs and wanted.images is None:
        faces = faces if faces.pictures is not None or not faces.store.has_crops else CroppedFaces.of(faces)
    with _resplit(faces, wanted) as stream:
        report = write_annotations.write_faces(
            stream,
            fmt,
            wanted.target,
            faces.scheme,
            pictures=faces.pictures,
            images=wanted.images or Images.NONE,
            strict=wanted.strict,
            overwrite=wanted.overwrite,
            report=wanted.report,
            scratch=wanted.scratch,
            cropped=isinstance(faces, CroppedFaces),
            frame=faces.frame,
        )
    _tell(wanted.target, report)


@contextmanager
def _resplit(faces: FaceSource, wanted: _Wanted) -> Iterator[Iterable[Face | Skipped]]:
    """The faces, in new splits where those are asked for: they go through a store of annotations."""
    if wanted.split.policy == SplitPolicy.KEEP and not wanted.split.val:
        yield faces
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.h5"
        convert(
            faces,
            path,
            box=BoxPolicy.ANNOTATED,
            crop=None,
            split=wanted.split,
            dataset=wanted.dataset,
            reporting=Reporting(strict=wanted.strict, made_from={}),
        )
        with FaceStore(path) as store:
            yield store.faces()


def _tell(target: str, report: write_annotations.ExportReport) -> None:
    more = f", {report.pictures} pictures" if report.pictures else ""
    terminal.say(f"{target}: {report.faces} faces written as {report.format}{more}")
    for what, count in sorted(report.lost.items()):
        terminal.say(f"lost: {what}, of {count} faces", err=True)
    for reason, count in sorted(report.skipped.items()):
        terminal.say(f"skipped: {reason}, {count} faces; first: {report.first[reason][0]}", err=True)
    if report.turned:
        frame = formats.get(report.format).frame
        what = f"{report.turned} faces of pictures with an EXIF orientation, written as {frame}"
        terminal.say(f"turned: {what}", err=True)
    if report.missing:
        terminal.say(f"missing: {report.missing} pictures", err=True)


@contextmanager
def _local(target: str, overwrite: bool) -> Iterator[Path]:
    """The path to write a store to: the target, or one whose file is sent to the target's address."""
    if is_address(target):
        with placed(target, overwrite, None) as path:
            yield path
        return
    path = Path(target)
    check_free(path, overwrite)
    yield path
