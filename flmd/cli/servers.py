"""`flmd-data push` and `flmd-data pull`: faces to an annotation server, and back."""

from __future__ import annotations

import os
from collections.abc import Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flmd.cli.choices import Exif
from flmd.cli.common import check_free, check_there, tell_passed_over
from flmd.cli.reading import ExifFrame, FormatOptions, Names, reading
from flmd.core import terminal
from flmd.errors import ParamsError

if TYPE_CHECKING:
    from flmd.conversion.face_source import FaceSource
    from flmd.face import Face, Skipped
    from flmd.servers.cvat import Cvat
    from flmd.servers.label_studio import LabelStudio
    from flmd.tree import FileTree


class Server(StrEnum):
    """The kinds of server."""

    LABEL_STUDIO = "label-studio"
    CVAT = "cvat"


Kind = Annotated[Server, typer.Argument(metavar="label-studio|cvat", help="What runs there.")]
Url = Annotated[str, typer.Option(help="Address of the server, as https://labels.example.org.")]
Project = Annotated[int, typer.Option(min=1, help="The number in the project's address.")]
Token = Annotated[
    str, typer.Option("--token-from-env", metavar="NAME", help="Environment variable that holds your token.")
]
Timeout = Annotated[
    float, typer.Option(min=0.1, help="Seconds without an answer until an attempt has failed.")
]
Source = Annotated[
    str, typer.Argument(metavar="SRC", help="A store, or annotations (of `flmd predict`, say) with pictures.")
]
From = Annotated[str | None, typer.Option("--from", help="Format of SRC; found out by default.")]
SchemeName = Annotated[str | None, typer.Option(help="Landmark scheme wanted; SRC's own by default.")]
Pictures = Annotated[
    str | None,
    typer.Option(help="Where the pictures are, when not beside SRC. A store without it sends its crops."),
]
Model = Annotated[str, typer.Option(help="What the suggestions are said to be of.")]
Target = Annotated[
    Path, typer.Argument(metavar="DST", help="File to write: .json of Label Studio, .xml of CVAT.")
]
Overwrite = Annotated[bool, typer.Option(help="Replace DST if it exists.")]


def push_command(
    kind: Kind,
    source: Source,
    url: Url,
    project: Project,
    token_from_env: Token,
    pictures: Pictures = None,
    from_: From = None,
    scheme: SchemeName = None,
    names: Names = None,
    exif: ExifFrame = Exif.AUTO,
    option: FormatOptions = None,
    model: Model = "flmd",
    timeout: Timeout = 30.0,
) -> None:
    """Send pictures and faces to Label Studio or CVAT, as suggestions to correct.

    What is there already is not sent twice.

    Example: flmd-data push cvat faces.h5 --url https://app.cvat.ai --project 7 --token-from-env CVAT_TOKEN
    """
    from flmd.conversion.opening import open_faces
    from flmd.servers.outgoing import outgoing

    server = _server(kind, url, project, token_from_env, timeout)
    check_there(source)
    meant = reading(names, option, None, exif)
    with open_faces(source, from_=from_, scheme=scheme, **meant.how(), pictures=pictures) as opened:
        tell_passed_over(opened)
        ready = outgoing(*_with_pictures(opened, source))
        for reason, count in sorted(ready.left_out.items()):
            terminal.say(f"left out: {reason}, {count} faces", err=True)
        if not ready.pictures:
            raise ParamsError("no face can be sent", where=source, hint="name the pictures with --pictures")
        sent = list(server.push(ready.pictures, opened.scheme, model))
    there = len(ready.pictures) - len(sent)
    terminal.say(
        f"{url}: {len(sent)} pictures with {sum(len(p.faces) for p in sent)} faces sent"
        + (f", {there} were there" if there else "")
    )


def pull_command(
    kind: Kind,
    target: Target,
    url: Url,
    project: Project,
    token_from_env: Token,
    overwrite: Overwrite = False,
    timeout: Timeout = 30.0,
) -> None:
    """Bring back what people annotated on Label Studio or CVAT.

    Example: flmd-data pull cvat labels.xml --url https://app.cvat.ai --project 7 --token-from-env CVAT_TOKEN
    """
    ending = {Server.LABEL_STUDIO: ".json", Server.CVAT: ".xml"}[kind]
    if target.suffix != ending:
        raise ParamsError("is no name for this", where=str(target), expected=f"a name that ends in {ending}")
    check_free(target, overwrite)
    done = _server(kind, url, project, token_from_env, timeout).pull(target)
    for what, count in sorted((+done.left_out).items()):
        terminal.say(f"left out: {what}, {count}", err=True)
    what = "annotated tasks" if kind == Server.LABEL_STUDIO else "pictures with shapes"
    terminal.say(f"{target}: {done.written} {what} of {done.there}")


def _server(kind: Server, url: str, project: int, variable: str, silence: float) -> LabelStudio | Cvat:
    from flmd.servers.connection import Connection, Patience
    from flmd.servers.cvat import Cvat
    from flmd.servers.label_studio import LabelStudio

    token = os.environ.get(variable)
    if token is None:
        # Its name is not repeated: people give the token itself.
        what = "--token-from-env names no environment variable that is set"
        raise ParamsError(what, expected="its name, as LABEL_STUDIO_TOKEN", hint="export it first")
    connection = Connection(url, token.strip(), Patience(silence))
    return LabelStudio(connection, project) if kind == Server.LABEL_STUDIO else Cvat(connection, project)


def _with_pictures(faces: FaceSource, source: str) -> tuple[Iterable[Face | Skipped], FileTree, str]:
    """Faces, their pictures and their frame; a store whose pictures are not at hand has its crops.

    Crops have the names by which `flmd-data fix` knows them again.
    """
    from flmd.conversion.face_source import StoredFaces
    from flmd.core.orientation import STORED
    from flmd.curation.corrections import crops_of

    if faces.pictures is not None:
        return faces, faces.pictures, faces.frame
    if isinstance(faces, StoredFaces) and faces.store.has_crops:
        return *crops_of(faces, {row: {} for row in range(len(faces.store))}), STORED
    raise ParamsError("there are no pictures", where=source, hint="name them with --pictures")
