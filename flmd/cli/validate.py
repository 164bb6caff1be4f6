"""`flmd-data validate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from flmd.cli.choices import Exif
from flmd.cli.common import tell_passed_over
from flmd.cli.reading import ExifFrame, Names, reading
from flmd.core import terminal
from flmd.errors import InputError, ParamsError


def validate_command(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A store, or annotations in any format.")],
    from_: Annotated[str | None, typer.Option("--from", help="Format of PATH; found out by default.")] = None,
    names: Names = None,
    exif: ExifFrame = Exif.AUTO,
    as_json: Annotated[bool, typer.Option("--json", help="Print the findings as JSON.")] = False,
    allow: Annotated[
        list[str] | None, typer.Option(help="A kind of finding to count as a note; may be repeated.")
    ] = None,
    pixels: Annotated[bool, typer.Option(help="Read the crops of a store.")] = True,
) -> int:
    """Check a store, or annotations and their pictures. Ends with 0: clean, 1: findings, 2: unreadable.

    Example: flmd-data validate data/faces.h5
    """
    from flmd.conversion.opening import is_store, open_faces
    from flmd.curation.findings import KINDS, Findings
    from flmd.curation.validate import validate_faces, validate_store

    for kind in allow or ():
        if not kind.isidentifier():
            raise ParamsError(f"--allow {kind!r}", expected="a kind of finding, like " + ", ".join(KINDS))
    findings = Findings(allow or ())
    failure: InputError | None = None
    if is_store(path):
        asked = {"--from": from_, "--names": names, "--exif": None if exif == Exif.AUTO else exif.value}
        for option, value in asked.items():
            if value is not None:
                raise ParamsError(f"{option} {value} is for annotation files", expected="nothing for a store")
        kind = "store"
        validate_store(Path(path), findings, pixels=pixels)
    else:
        with open_faces(path, from_=from_, names=reading(names).names, exif=exif.value) as source:
            kind = source.kind
            tell_passed_over(source)
            try:
                validate_faces(source, source.scheme.count, source.pictures, findings, source.frame)
            except InputError as error:
                failure = error
    if failure is None and not findings.faces:
        findings.add("no_landmarks", path, "no faces at all")
    if as_json:
        report: dict[str, Any] = {"path": path, "kind": kind, **findings.as_dict()}
        if failure is not None:
            report |= {"clean": False, "unreadable": str(failure)}
        terminal.say_json(report)
    else:
        for line in findings.lines():
            terminal.say(line)
    if failure is not None:
        raise failure
    return 0 if findings.clean else 1
