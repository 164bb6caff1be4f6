"""`flmd dataset`: add, remove and list the data sets of a project."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from flmd.core import terminal
from flmd.core.terminal import TextTable
from flmd.errors import ParamsError
from flmd.tree import is_address

app = typer.Typer(help="The data sets of a project.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Letters, digits, - and _.")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="A folder, an archive, a URL, official, sample, or sample:NUMBER OF FACES."
    ),
]
Format = Annotated[str | None, typer.Option("--format", help="Its format; found out by default.")]
SchemeName = Annotated[
    str | None, typer.Option(help="Of its points, where its files do not tell; docs/schemes.md.")
]
Names = Annotated[
    str | None, typer.Option(metavar="auto|keep|0|1|FILE", help="As --names of flmd-data convert.")
]
Exif = Annotated[
    str | None, typer.Option(metavar="auto|stored|shown", help="As --exif of flmd-data convert.")
]
Box = Annotated[
    str | None, typer.Option(metavar="annotated|landmarks|image", help="Annotated where it has boxes.")
]
Split = Annotated[
    str | None, typer.Option(metavar="published|standard|subject", help="Drawn by subject by default.")
]
Val = Annotated[float | None, typer.Option(help="Share of training faces held out; 0.1.")]
Test = Annotated[float | None, typer.Option(help="Share of faces to test on, with --split subject; 0.2.")]
Accept = Annotated[bool, typer.Option("--accept-license", help="Of official data.")]
ParamsFile = Annotated[Path, typer.Option("--params", help="The settings to change.")]


@app.command("add")
def add(
    name: Name,
    source: Source,
    format_: Format = None,
    scheme: SchemeName = None,
    names: Names = None,
    exif: Exif = None,
    box: Box = None,
    split: Split = None,
    val: Val = None,
    test: Test = None,
    accept_license: Accept = False,
    params_file: ParamsFile = Path("params.yaml"),
) -> None:
    """Put a data set into params.yaml, and so into the whole pipeline; its first faces are read before.

    Example: flmd dataset add wflw data/WFLW.tar.gz --split published
    """
    from flmd.projects import datasets, looking
    from flmd.tree import Limits

    settings = datasets.check_new(params_file, name)
    given: dict[str, Any] = {
        "source": _source(source),
        "format": format_,
        "scheme": scheme,
        "accept_license": accept_license or None,
        "names": _names(names),
        "exif": exif,
        "box": box,
        "split": split,
        "val_share": val,
        "test_share": test,
    }
    entry = {key: value for key, value in given.items() if value is not None}
    dataset = datasets.checked(settings, name, entry)
    limits = Limits.of(settings.download)
    found = looking.look(name, dataset, settings.convert.scheme, limits)
    if found is not None:
        terminal.say(found.told(name, settings.convert.scheme))
        entry = {"source": entry.pop("source"), "format": found.format, **entry}
    else:
        terminal.say(f"{name}: {source} is not looked at before dvc repro gets it")
    terminal.say(f"into {params_file}:")
    terminal.say(datasets.add(params_file, name, entry).rstrip("\n"))
    if found is not None and {"train", "test"} <= found.splits.keys() and split is None:
        published = ", ".join(f"{key} {value}" for key, value in found.splits.items())
        terminal.say(
            f"its annotations publish a split (first faces: {published}), and another is drawn by subject; "
            f"datasets.{name}.split: published keeps it",
            err=True,
        )
    terminal.say("now: dvc repro")


@app.command("remove")
def remove(name: Name) -> None:
    """Take a data set out of params.yaml and out of the pipeline, with what stages made of it alone.

    Example: flmd dataset remove wflw
    """
    from flmd.projects import datasets

    gone = datasets.remove(Path(), name)
    terminal.say(f"{name} is out of params.yaml" + (f"; removed {', '.join(gone)}" if gone else ""))
    terminal.say("now: dvc repro")


@app.command("list")
def list_(params_file: ParamsFile = Path("params.yaml")) -> None:
    """List the data sets of params.yaml, and how many faces the last run kept.

    Example: flmd dataset list
    """
    from flmd.core import params

    settings = params.load(params_file)
    rows = []
    for name, dataset in settings.datasets.items():
        faces = f"sample of {dataset.sample_faces}" if dataset.sample_faces else dataset.address
        trains = "yes" if name in settings.train.datasets else "no"
        kept = _kept(Path("reports/data") / f"{name}.json")
        rows.append((name, faces, dataset.format, dataset.scheme, dataset.box, dataset.split, trains, kept))
    header = ("data set", "source", "format", "scheme", "box", "split", "trains", "faces")
    terminal.show(TextTable(header, rows, left=range(7)))


def _kept(report: Path) -> str:
    """The number of faces in a report of the stage `convert`; "-" where there is none."""
    try:
        return str(json.loads(report.read_text(encoding="utf-8"))["faces_kept"])
    except (OSError, ValueError, KeyError, TypeError):
        return "-"


def _source(text: str) -> str | dict[str, int]:
    """As params.yaml has it; a path with ``/`` between its parts."""
    kind, colon, count = text.partition(":")
    if kind == "sample" and colon:
        if not count.isdecimal() or int(count) < 1:
            raise ParamsError(f"SOURCE is {text!r}", expected="sample:NUMBER OF FACES, such as sample:900")
        return {"sample": int(count)}
    if is_address(text) or text in ("official", "sample"):
        return text
    return Path(text).expanduser().as_posix()


def _names(text: str | None) -> Any:
    """As params.yaml has it."""
    if text is None or text in ("auto", "keep", "0", "1"):
        return text
    from flmd.schemes.name_choice import PointNames

    return PointNames.parse(text).said
