"""`flmd-data audit`: what is wrong with a face store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flmd.core import terminal
from flmd.errors import ParamsError
from flmd.store.face_store import FaceStore

if TYPE_CHECKING:
    from flmd.curation.audit.findings import Audit

NAMED = 3


def audit_command(
    store: Annotated[Path, typer.Argument(metavar="STORE", help="Face store (.h5).")],
    html: Annotated[Path | None, typer.Option("--html", help="Page with pictures to write.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all findings as JSON.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Exit code 1 when anything is found.")] = False,
    pictures: Annotated[int, typer.Option(help="Most findings a section of the page shows.", min=1)] = 40,
) -> None:
    """Find leaks between splits, copied and mirrored pictures, and wrong labels in a store.

    Example: flmd-data audit data/faces.h5 --html audit.html
    """
    from flmd.curation.audit.inspection import audit
    from flmd.curation.audit.page import write_page

    if html is not None and html.is_dir():
        raise ParamsError("is a folder", where=str(html), expected="the name of a file")
    with FaceStore(store) as faces:
        found = audit(faces)
        if html is not None:
            write_page(found, faces, html, most=pictures)
    if as_json:
        terminal.say_json(found.as_dict())
    else:
        for line in lines_of(found):
            terminal.say(line)
    if html is not None:
        terminal.say(f"{html}: written", err=True)
    if check and not found.clean:
        raise typer.Exit(1)


def lines_of(found: Audit) -> Iterator[str]:
    """The findings as text: a line for each kind, and the first few of it."""
    from flmd.curation.audit.pairs import groups_of

    splits = ", ".join(f"{split or 'no split'} {count}" for split, count in found.splits.items())
    yield f"{found.store}: {found.faces} faces ({splits})"
    for title, shared in (
        ("subjects in two splits", found.shared_subjects),
        ("people in two splits by the names of their pictures", found.shared_names),
        ("pictures with faces in two splits", found.shared_pictures),
    ):
        more = "; ".join(found.people_elsewhere) if shared is found.shared_subjects else ""
        yield _titled(title, len(shared), f" ({more})" if more else "")
        for s in shared[:NAMED]:
            yield f"  {s.name}: " + ", ".join(f"{split} {n}" for split, n in s.faces.items())
    for kind, title in (
        ("exact", "copies of a file"),
        ("near", "nearly the same picture"),
        ("mirrored", "mirrored twins"),
    ):
        for across, where in ((True, "across splits"), (False, "within a split")):
            pairs = found.pairs_of(kind, across)
            more = f" in {groups_of(pairs)} groups" if pairs else ""
            if pairs and kind == "mirrored":
                more += f", {sum(p.names_agree for p in pairs)} with names that say so"
            yield _titled(f"{title}, {where}", len(pairs), more)
            for p in pairs[:NAMED]:
                yield f"  {p.images[0]} ({p.splits[0]}) = {p.images[1]} ({p.splits[1]}), {p.score:.3f}"
    yield _titled("one face labelled twice, differently", len(found.conflicts), "")
    for c in found.conflicts[:NAMED]:
        yield f"  {c.images[0]} and {c.images[1]}: points {100 * c.error:.1f}% of the box apart"
    yield _titled("landmarks that look wrong", len(found.outliers), "")
    for o in found.outliers[:NAMED]:
        yield f"  face {o.row}, {o.image}: {'; '.join(o.reasons)}"
    for note in found.notes:
        yield f"note: {note}"
    if found.clean:
        yield "nothing found"


def _titled(title: str, count: int, more: str) -> str:
    return f"{title}: {count}{more}"
