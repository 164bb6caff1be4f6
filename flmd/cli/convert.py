"""`flmd-data convert` and `flmd-data detect`."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from flmd import formats
from flmd.conversion import converter
from flmd.conversion.context_crops import CropSettings
from flmd.core import provenance
from flmd.curation import write_annotations
from flmd.curation.face_source import FaceSource, accepting, open_faces
from flmd.curation.store_copy import copy_store
from flmd.curation.write_annotations import ExportReport
from flmd.curation.write_target import placed
from flmd.errors import InputError, ParamsError
from flmd.face import Face, Skipped
from flmd.parallel import dask_cluster
from flmd.sources.datasets.rules import rules_for
from flmd.store.face_store import FaceStore
from flmd.tree import is_address, open_tree

BOXES, SPLITS, COLORS, IMAGES, BASES = (
    ("annotated", "landmarks", "image"),
    ("keep", "published", "standard", "subject"),
    ("rgb", "grey"),
    ("embed", "copy", "link", "none"),
    (0, 0.5, 1),
)


def convert_command(
    source: Annotated[
        str, typer.Argument(metavar="SRC", help="Annotation file, folder, archive, store, or an address.")
    ],
    target: Annotated[str, typer.Argument(metavar="DST", help="A name ending in .h5 is a store.")],
    from_: Annotated[str | None, typer.Option("--from", help="Format of SRC; found out by default.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Format of DST when it is no store.")] = None,
    scheme: Annotated[str | None, typer.Option(help="Landmark scheme wanted; SRC's own by default.")] = None,
    partial: Annotated[
        bool, typer.Option(help="Points that --scheme cannot have from SRC are not labelled.")
    ] = False,
    base: Annotated[
        float | None, typer.Option(help="Where SRC counts pixels from, 0, 0.5 or 1; its format says.")
    ] = None,
    box: Annotated[str | None, typer.Option(help="annotated, landmarks or image.")] = None,
    subject_from: Annotated[
        str | None, typer.Option(help="Expression over the picture's name whose first group is the subject.")
    ] = None,
    split: Annotated[str, typer.Option(help="keep, published, standard or subject.")] = "keep",
    val: Annotated[float, typer.Option(help="Share of training faces held out, by subject.")] = 0.0,
    test: Annotated[float, typer.Option(help="Share of faces to test on, with --split subject.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    images: Annotated[
        str | None,
        typer.Option(help="embed (crops, in a store), copy, link or none; embed or none by default."),
    ] = None,
    pictures: Annotated[
        str | None, typer.Option(help="Where the pictures are, when not beside the annotations.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; all CPUs by default.")] = None,
    scheduler_: Annotated[
        str | None,
        typer.Option("--scheduler", help="Work on a Dask cluster, tcp://host:port; else $FLMD_SCHEDULER."),
    ] = None,
    strict: Annotated[bool, typer.Option(help="Refuse to lose anything: stop at the first.")] = False,
    overwrite: Annotated[bool, typer.Option(help="Replace DST if it exists.")] = False,
    report: Annotated[Path | None, typer.Option(help="Where to write the loss report, JSON.")] = None,
    dataset: Annotated[str | None, typer.Option(help="Name of the data set; SRC's name by default.")] = None,
    crop_size: Annotated[int, typer.Option(help="Side of the context crops, pixels.")] = 256,
    margin: Annotated[float, typer.Option(help="That side over the box's longer side.")] = 2.4,
    color: Annotated[str, typer.Option(help="rgb or grey.")] = "rgb",
) -> None:
    """Convert any annotation format, or a store, to any other, or to a store.

    Example: flmd-data convert labels_ibug_300W_train.xml faces.h5 --split subject
    """
    _there(source)
    to_store = target.endswith(".h5") and to is None
    if scheduler_ is not None and (not to_store or images == "none"):
        raise ParamsError("--scheduler, but no pictures are cut", expected="a store with crops to make")
    _one_of("--split", split, SPLITS)
    _one_of("--color", color, COLORS)
    _one_of("--images", images or "none", IMAGES)
    if base is not None and base not in BASES:
        raise ParamsError(f"--base is {base:g}", expected="0, 0.5 or 1")
    if box is not None:
        _one_of("--box", box, BOXES)
    if crop_size < 8 or not 0 < margin < 100 or not 0 <= val < 1 or not 0 <= test < 1:
        raise ParamsError(
            f"--crop-size {crop_size} --margin {margin} --val {val} --test {test}",
            expected="a crop of 8 px or more, a margin above 0, shares in 0 ... 1",
        )
    scratch = None if is_address(target) else Path(target).absolute().parent
    if scratch is not None:
        scratch.mkdir(parents=True, exist_ok=True)
    with open_faces(
        source,
        from_=from_,
        scheme=scheme,
        base=base,
        subject_from=subject_from,
        partial=partial,
        scratch=scratch,
    ) as faces:
        if split != "keep" and faces.store is not None:
            raise ParamsError(f"--split {split}, but SRC is a store", hint="use flmd-data split")
        if not to_store:
            wanted = _Export(target, to, images or "none", pictures, strict, overwrite, report, scratch)
            settings = converter.SplitSettings(split, val, test, seed)
            _to_format(faces, wanted, settings, dataset or _name(source))
            return
        how = images or "embed"
        if how not in ("embed", "none"):
            raise ParamsError(f"--images {how}, but DST is a store", expected="embed or none")
        name = dataset or _name(source)
        policy = box or ("annotated" if faces.format is None or faces.format.boxes else "landmarks")
        used: dict[str, Any] = {
            "format": faces.kind, "box": policy, "split": split, "val": val, "test": test, "seed": seed,
            "crop_size": crop_size, "margin": margin, "color": color, "scheme": faces.scheme.name,
            "base": base, "subject_from": subject_from, "images": how,
        }  # fmt: skip
        with _local(target, overwrite) as path:
            if faces.store is not None:
                account: object = f"{copy_store(faces, path, crops=how == 'embed', params=used)} faces"
            else:
                assert faces.tree is not None
                assert faces.format is not None
                assert faces.detection is not None
                with dask_cluster.connected(scheduler_) if how == "embed" else nullcontext(None) as executor:
                    account = converter.convert(
                        faces.tree,
                        faces.format,
                        faces.detection,
                        path,
                        scheme=faces.scheme,
                        rules=rules_for(name),
                        crop=CropSettings(crop_size, margin, color, 2e8, policy),
                        split=converter.SplitSettings(split, val, test, seed),
                        made_from=_made_from(source, faces, used),
                        report=report,
                        workers=workers,
                        executor=executor,
                        strict=strict,
                        faces=faces,
                        crops=how == "embed",
                        pictures=None if pictures is None else open_tree(_there(pictures), scratch=scratch),
                    )
    typer.echo(f"{target}: {account}")


def _made_from(source: str, faces: FaceSource, used: dict[str, Any]) -> dict[str, Any]:
    """The record of a store: the digest of the source's one file, or of all its annotation files."""
    stage = "flmd-data convert"
    if not is_address(source) and Path(source).is_file():
        return provenance.made_from([Path(source)], used, stage=stage)
    assert faces.tree is not None
    assert faces.detection is not None
    files = {}
    for name in faces.detection.files:
        files[name] = hashlib.sha256(faces.tree.read(name)).hexdigest()
    used = {**used, "input_digest": f"of the sha256sum lines of {len(files)} annotation files"}
    last = source.partition("?")[0].rstrip("/").rpartition("/")[2]
    return provenance.record_of({last: provenance.listing_digest(files)}, used, stage)


@dataclass(frozen=True)
class _Export:
    """The options of a conversion to an annotation format."""

    target: str
    to: str | None
    images: str
    pictures: str | None
    strict: bool
    overwrite: bool
    report: Path | None
    scratch: Path | None


def _to_format(faces: FaceSource, how: _Export, split: converter.SplitSettings, dataset: str) -> None:
    if how.images == "embed":
        raise ParamsError("--images embed, but DST is no store", expected="copy, link or none")
    fmt = write_annotations.target_format(
        how.target, how.to, {name: formats.get(name) for name in formats.names()}
    )
    if fmt.scheme is not None and fmt.scheme != faces.scheme.name:
        raise ParamsError(
            f"{fmt.name} holds {fmt.scheme}, but the faces are {faces.scheme.name}",
            hint=f"add --scheme {fmt.scheme}",
        )
    tree = faces.pictures if how.pictures is None else open_tree(_there(how.pictures), scratch=how.scratch)
    with _resplit(faces, split, dataset, how.strict) as stream:
        account = write_annotations.export(
            stream,
            fmt,
            how.target,
            faces.scheme,
            pictures=tree,
            images=how.images,
            strict=how.strict,
            overwrite=how.overwrite,
            report=how.report,
            scratch=how.scratch,
        )
    _tell(how.target, account)


@contextmanager
def _resplit(
    faces: FaceSource, split: converter.SplitSettings, dataset: str, strict: bool
) -> Iterator[Iterable[Face | Skipped]]:
    """The faces, in new splits where those are asked for: they go through a store of annotations."""
    if split.policy == "keep" and not split.val:
        yield faces
        return
    assert faces.tree is not None
    assert faces.format is not None
    assert faces.detection is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.h5"
        converter.convert(
            faces.tree,
            faces.format,
            faces.detection,
            path,
            scheme=faces.scheme,
            rules=rules_for(dataset),
            crop=CropSettings(8, 1, "grey", 2e8, "annotated"),
            split=split,
            made_from={},
            strict=strict,
            faces=faces,
            crops=False,
        )
        with FaceStore(path) as store:
            yield store.faces()


def _tell(target: str, account: ExportReport) -> None:
    more = f", {account.pictures} pictures" if account.pictures else ""
    typer.echo(f"{target}: {account.faces} faces written as {account.format}{more}")
    for what, count in sorted(account.lost.items()):
        typer.echo(f"lost: {what}, of {count} faces", err=True)
    for reason, count in sorted(account.skipped.items()):
        typer.echo(f"skipped: {reason}, {count} faces; first: {account.first[reason][0]}", err=True)
    if account.missing:
        typer.echo(f"missing: {account.missing} pictures", err=True)


def detect_command(
    source: Annotated[
        str, typer.Argument(metavar="PATH", help="File, folder, archive or address to look at.")
    ],
) -> None:
    """Say which formats fit, how surely, and of each other one the requirement that is not met.

    Exit code 0 when exactly one can be chosen, 1 otherwise.

    Example: flmd-data detect labels_ibug_300W_train.xml
    """
    _there(source)
    only = None
    path = Path(source)
    with open_tree(source) as tree:
        found = formats.detect(tree)
        if not is_address(source) and tree.kind == "file":
            only = path.name
    fits = {name: d for name, d in found.items() if d.fits}
    if only is not None and not fits:  # what lies beside one file may tell more of it
        with open_tree(path.parent) as tree:
            sure = accepting(tree, only)
            fits = {name: formats.Detection((only,), "by what lies beside it", c) for name, c in sure.items()}
    surest = max((d.certainty for d in fits.values()), default=None)
    width = max(map(len, found), default=0)
    for name, detection in sorted(fits.items(), key=lambda item: (-item[1].certainty, item[0])):
        count = f"{len(detection.files)} file{'s' if len(detection.files) != 1 else ''}"
        typer.echo(f"{name:{width}}  {detection.certainty.name.lower():8}  {count}: {detection.why}")
    for name, detection in found.items():
        if name not in fits:
            typer.echo(f"{name:{width}}  no        {detection.why}")
    chosen = [name for name, d in fits.items() if d.certainty == surest]
    if len(chosen) != 1:
        typer.echo("no format fits" if not chosen else f"several fit: {', '.join(chosen)}", err=True)
        raise typer.Exit(1)


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ParamsError(f"{option} is {value!r}", expected="one of " + ", ".join(allowed))


def _there(source: str) -> str:
    if not is_address(source) and not Path(source).exists():
        raise InputError("no such file or folder", where=source)
    return source


@contextmanager
def _local(target: str, overwrite: bool) -> Iterator[Path]:
    """The path to write a store to: the target, or one whose file is sent to the target's address."""
    if is_address(target):
        with placed(target, overwrite, None) as path:
            yield path
        return
    path = Path(target)
    if path.exists() and not overwrite:
        raise ParamsError("exists already", where=target, hint="add --overwrite to replace it")
    if path.is_dir():
        raise ParamsError("is a folder", where=target, expected="the name of a file")
    yield path


def _name(source: str) -> str:
    return source.rstrip("/").rpartition("/")[2].partition(".")[0]
