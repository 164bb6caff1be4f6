"""What the registry of formats says of itself: for the terminal, and for docs/formats.md."""

from __future__ import annotations

from typing import Annotated

import typer

from flmd import formats
from flmd.core import terminal
from flmd.core.terminal import TextTable
from flmd.formats import Format

COLUMNS = (
    "format",
    "what",
    "reads",
    "writes",
    "scheme",
    "base",
    "frame",
    "box",
    "visibility",
    "names",
    "precision",
    "detected by",
)
_INTRO = """# Annotation formats

`flmd-data formats --markdown > docs/formats.md` makes this page from the registry. Do not edit it.

- **base** is the coordinate that a file writes for the centre of the top-left pixel. Reading subtracts it
  and writing adds it, because faces have (0, 0) there. 0.5 means that the file measures from the picture's
  corner. `--base` says that a file has another base than its format.
- **frame** is what coordinates are of where a picture has an EXIF orientation: the picture as it is `stored`
  or as it is `shown`. See [below](#pictures-with-an-exif-orientation).
- **box** and **visibility** say whether the format has room for them. Every conversion counts and tells
  what the format has no room for. `--strict` refuses to lose anything.
- **names** says whether files name the points. Names of a known scheme, however spelt, tell the order of the
  points ([schemes.md](schemes.md#names-of-points)).
- **precision** is the smallest step of a coordinate, in pixels. "float" loses nothing of a float32.
- **writes** is the ending of the file, or a folder. Where DST ends in `.zip`, `.tar` or `.tar.gz`, the
  folder becomes an archive. Some formats need more than points to write; then this column says what.

A file for each picture has the picture's name, and its picture lies **beside** it. Where none does, a folder
`annot`, `annots`, `annotation`, `annotations` or `landmarks` of its path stands for the folder `imgs`, `img`,
`images`, `image` or `frames` beside that one: `001/annot/000006.pts` is of `001/imgs/000006.jpg`. Each
picture is a subject of its own; `--subject-from '^[^/]+'` keeps the frames in each first folder in one split.

"""
_ORIENTATION = """
## Pictures with an EXIF orientation

Cameras store a picture as the sensor lay, and say in its EXIF how to turn or mirror it. Viewers, browsers
and most annotation tools show it turned, so their labels are of the picture as it is **shown**. The data
sets of the field (iBUG and its like, dlib's lists, plain tables) were labelled on pixels as decoders hand
them out, the picture as it is **stored**. Every format says which it is. `--exif stored` and `--exif shown`
of `convert`, `preview` and `validate`, and `datasets.*.exif` in params.yaml, say that a source is
otherwise: for example a COCO file made from iBUG's points.

- A **crop** is cut from the picture that was labelled, so a face is upright in it where its annotator saw
  it upright. The row of the store says what was done ([stores.md](stores.md)).
- **Written** annotations are in the frame of their format, whatever the frame of their source; pictures are
  copied as they are. `flmd-data convert` says how many faces were turned. The headers of the pictures tell
  the orientation: where they are not there, coordinates stay as they are.
- **Names** of points never change. A name was given to a spot in the picture that the annotator saw, and
  the spot stays the same eye in either frame. Only orientations 2, 4, 5 and 7 mirror a picture. In the
  other frame of such a picture, names and what is seen there disagree about left and right; writing counts
  it as lost.
- The **loss report** counts the pictures with an orientation and names the frame. A box outside its picture
  (`box_outside`) names the other frame where the box would lie inside.
"""
_OPTIONS = (
    "## Options",
    "",
    "Some files leave open what only you can know. `--option NAME=VALUE` says it.",
    "",
    "| format | option | usual | others |",
    "| --- | --- | --- | --- |",
)


def formats_command(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="As the table of docs/formats.md.")] = False,
) -> None:
    """List the annotation formats and what each can hold.

    Example: flmd-data formats
    """
    if as_markdown:
        typer.echo(markdown(), nl=False)
        return
    terminal.show(table())
    for name, reason in formats.broken().items():
        terminal.say(f"plugin {name} does not load: {reason}", err=True)


def rows(plugins: bool = True) -> list[tuple[str, ...]]:
    """A row for each format, in the order of COLUMNS; ``plugins`` for those of installed packages too."""
    names = formats.names() if plugins else list(formats.BUILT_IN)
    return [_row(formats.get(name)) for name in names]


def _row(fmt: Format) -> tuple[str, ...]:
    needs = ", ".join(sorted(need.replace("_", " ") for need in fmt.needs))
    target = f"`{fmt.suffix}`, folder" if fmt.suffix else "folder"
    target = target + (f"; needs {needs}" if needs else "") if fmt.writes else "no"
    return (
        fmt.name,
        fmt.title,
        "yes",
        target,
        fmt.scheme or "any",
        f"{fmt.base:g}",
        fmt.frame,
        "yes" if fmt.boxes else "no",
        "yes" if fmt.visibility else "no",
        "yes" if fmt.named else "no",
        "float" if fmt.precision == 0 else f"{fmt.precision:g} px",
        fmt.detected_by,
    )


def markdown() -> str:
    """docs/formats.md, of the built-in formats."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
    for row in rows(plugins=False):
        cells = [cell.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*") for cell in row]
        lines.append("| " + " | ".join(cells) + " |")
    return _INTRO + "\n".join([*lines, *_options()]) + "\n" + _ORIENTATION


def _options() -> list[str]:
    """The options of the built-in formats."""
    found = {name: formats.get(name).options for name in formats.BUILT_IN}
    rows = [
        f"| {name} | {option} | {values[0]} | {', '.join(values[1:])} |"
        for name, options in found.items()
        for option, values in options.items()
    ]
    return ["", *_OPTIONS, *rows] if rows else []


def table() -> TextTable:
    """The table for a terminal, a row for each format."""
    chosen = [0, 4, 5, 6, 7, 8, 9, 10, 1]
    header, *body = [[row[i].replace("`", "") for i in chosen] for row in [COLUMNS, *rows()]]
    return TextTable(header, body, left=range(len(chosen)))
