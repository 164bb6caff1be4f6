"""`flmd-data`: look at, convert and draw annotated faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flmd import convert, formats, provenance
from flmd.cli.common import main_for, print_version
from flmd.crops import CropSettings
from flmd.errors import InputError, ParamsError
from flmd.schemes import get_scheme
from flmd.sources.rules import rules_for
from flmd.store import FaceStore
from flmd.tree import FileTree, open_tree

app = typer.Typer(help="Annotated faces: formats, conversion, inspection.", no_args_is_help=True)
BOXES, SPLITS, COLORS = (
    ("annotated", "landmarks", "image"),
    ("keep", "published", "standard", "subject"),
    ("rgb", "grey"),
)


@app.callback()
def _options(
    version: Annotated[bool, typer.Option("--version", callback=print_version, is_eager=True)] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Annotated faces: formats, conversion, inspection."""


@app.command("formats")
def list_formats() -> None:
    """List the annotation formats and what each can hold.

    Example: flmd-data formats
    """
    rows = [("format", "scheme", "base", "boxes", "visibility", "what")]
    for name in formats.names():
        f = formats.get(name)
        rows.append((name, f.scheme or "any", str(f.base), _yes(f.boxes), _yes(f.visibility), f.title))
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    for row in rows:
        typer.echo("  ".join([*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[5]]))
    for name, reason in formats.broken().items():
        typer.echo(f"plugin {name} does not load: {reason}", err=True)


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


@app.command("convert")
def convert_command(
    source: Annotated[Path, typer.Argument(metavar="SRC", help="Annotation file, folder, archive or store.")],
    target: Annotated[Path, typer.Argument(metavar="DST", help="A name ending in .h5 is a store.")],
    from_: Annotated[str | None, typer.Option("--from", help="Format of SRC; found out by default.")] = None,
    to: Annotated[str | None, typer.Option("--to", help="Format of DST when it is no store.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes; all CPUs by default.")] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace DST if it exists.")] = False,
    scheme: Annotated[str, typer.Option(help="Landmark scheme.")] = "ibug68",
    dataset: Annotated[str | None, typer.Option(help="Name of the data set; SRC's name by default.")] = None,
    box: Annotated[str | None, typer.Option(help="annotated, landmarks or image.")] = None,
    split: Annotated[str, typer.Option(help="keep, published, standard or subject.")] = "keep",
    val: Annotated[float, typer.Option(help="Share of training faces held out, by subject.")] = 0.0,
    test: Annotated[float, typer.Option(help="Share of faces to test on, with --split subject.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Of the split.")] = 0,
    crop_size: Annotated[int, typer.Option(help="Side of the context crops, pixels.")] = 256,
    margin: Annotated[float, typer.Option(help="That side over the box's longer side.")] = 2.4,
    color: Annotated[str, typer.Option(help="rgb or grey.")] = "rgb",
    strict: Annotated[bool, typer.Option(help="Stop at the first face that cannot be used.")] = False,
    report: Annotated[Path | None, typer.Option(help="Where to write the loss report, JSON.")] = None,
) -> None:
    """Convert annotations and pictures to a face store, or a store to an annotation format.

    Example: flmd-data convert labels_ibug_300W_train.xml faces.h5 --split subject
    """
    _free(source, target, overwrite)
    if target.suffix != ".h5":
        _export(source, target, to)
        return
    _one_of("--split", split, SPLITS)
    _one_of("--color", color, COLORS)
    if box is not None:
        _one_of("--box", box, BOXES)
    if crop_size < 8 or not 0 < margin < 100 or not 0 <= val < 1 or not 0 <= test < 1:
        raise ParamsError(
            f"--crop-size {crop_size} --margin {margin} --val {val} --test {test}",
            expected="a crop of 8 px or more, a margin above 0, shares in 0 ... 1",
        )
    name = dataset or source.name.partition(".")[0]
    only = source.name if source.is_file() and _is_text(source) else None
    with open_tree(source.parent if only else source, scratch=target.parent) as tree:
        fmt, found = formats.choose(tree, from_) if only is None else _choose_file(tree, only, from_)
        policy = box or ("annotated" if fmt.boxes else "landmarks")
        used: dict[str, Any] = {
            "format": fmt.name, "box": policy, "split": split, "val": val, "test": test, "seed": seed,
            "crop_size": crop_size, "margin": margin, "color": color,
        }  # fmt: skip
        account = convert.convert(
            tree,
            fmt,
            found,
            target,
            scheme=get_scheme(scheme),
            rules=rules_for(name),
            crop=CropSettings(crop_size, margin, color, 2e8, policy),
            split=convert.SplitSettings(split, val, test, seed),
            made_from=provenance.made_from([source] if source.is_file() else [], used),
            report=report,
            workers=workers,
            strict=strict,
        )
    typer.echo(f"{target}: {account}")


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ParamsError(f"{option} is {value!r}", expected="one of " + ", ".join(allowed))


def _free(source: Path, target: Path, overwrite: bool) -> None:
    if not source.exists():
        raise InputError("no such file or folder", where=str(source))
    if target.exists() and not overwrite:
        raise ParamsError("exists already", where=str(target), hint="add --overwrite to replace it")
    if target.is_dir():
        raise ParamsError("is a folder", where=str(target), expected="the name of a file")


def _is_text(path: Path) -> bool:
    """Whether a file is an annotation file rather than an archive: archives have zero bytes early on."""
    with path.open("rb") as stream:
        return b"\0" not in stream.read(1024)


def _choose_file(tree: FileTree, name: str, from_: str | None) -> tuple[formats.Format, formats.Detection]:
    """The format of one annotation file, whatever else lies in its folder."""
    for candidate in [from_] if from_ else formats.names():
        fmt = formats.get(candidate)
        if fmt.accepts(tree, name):
            return fmt, formats.Detection((name,), "named on the command line")
    expected = f"format {from_}" if from_ else "one of " + ", ".join(formats.names())
    raise InputError("not an annotation file of a known format", where=tree.where(name), expected=expected)


def _export(source: Path, target: Path, to: str | None) -> None:
    if to is None:
        guesses = {".xml": "dlib-xml", ".csv": "youtube-faces-csv"}
        if target.suffix not in guesses:
            raise ParamsError("which format?", where=str(target), expected="--to or a name ending in .h5")
        to = guesses[target.suffix]
    with FaceStore(source) as store:
        written = formats.get(to).write(store.faces(), target, store.scheme)
    typer.echo(f"{target}: {written.faces} faces written as {to}")
    for what, count in sorted(written.lost.items()):
        typer.echo(f"lost: {what}, of {count} faces", err=True)


@app.command()
def inspect(store: Annotated[Path, typer.Argument(metavar="STORE")]) -> None:
    """Say what a face store holds.

    Example: flmd-data inspect data/faces.h5
    """
    from collections import Counter

    with FaceStore(store) as faces:
        typer.echo(f"{store}: {len(faces)} faces, scheme {faces.scheme.name} ({faces.scheme.count} points)")
        if faces.has_crops:
            typer.echo(f"crops: {faces.crop_size} px, {faces.color}, {faces.margin:g} times the box")
        counted = zip(faces.texts("dataset"), faces.texts("split"), faces.texts("subset"), strict=True)
        for (dataset, split, subset), count in sorted(Counter(counted).items()):
            typer.echo(f"  {dataset or '-'}  {split or '-'}  {subset or '-'}  {count}")
        typer.echo(
            "boxes: " + ", ".join(f"{k} {v}" for k, v in sorted(Counter(faces.texts("box_source")).items()))
        )
        typer.echo(f"subjects: {len(set(faces.texts('subject')))}")
        for key, value in faces.made_from.items():
            typer.echo(f"made from {key}: {value}")


@app.command()
def preview(
    store: Annotated[Path, typer.Argument(metavar="STORE")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG to write.")],
    count: Annotated[int, typer.Option(help="How many faces.", min=1, max=400)] = 24,
    seed: Annotated[int, typer.Option(help="Which faces.")] = 0,
    numbers: Annotated[bool, typer.Option(help="Write the index beside each point.")] = False,
) -> None:
    """Draw a contact sheet of a store, with boxes and points.

    Example: flmd-data preview data/faces.h5 -o sheet.png
    """
    from flmd.cli.preview import draw_sheet

    with FaceStore(store) as faces:
        drawn = draw_sheet(faces, output, count=count, seed=seed, numbers=numbers)
    typer.echo(f"{output}: {drawn} faces")


main = main_for(app, "flmd-data")
