"""`flmd-data audit`: what is wrong with a face store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flmd.cli.choices import CorrectionFormat, EvaluatedSplit
from flmd.cli.judging import Sent, Wanted, check_options
from flmd.core import terminal
from flmd.errors import ParamsError
from flmd.store.face_store import FaceStore

if TYPE_CHECKING:
    from flmd.curation.audit.findings import Audit

NAMED = 3


Store = Annotated[Path, typer.Argument(metavar="STORE", help="Face store (.h5).")]
Html = Annotated[Path | None, typer.Option("--html", help="Page with pictures to write.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print all findings as JSON.")]
Check = Annotated[bool, typer.Option("--check", help="Exit code 1 when anything is found.")]
PicturesShown = Annotated[int, typer.Option(help="Most findings a section of the page shows.", min=1)]
Model = Annotated[Path | None, typer.Option("--model", "-m", help="Compare labels with this model's points.")]
Folds = Annotated[
    int | None,
    typer.Option(help="Compare labels with networks trained for it, each of which has not seen its faces."),
]
RecipeName = Annotated[
    str | None, typer.Option("--recipe", help="With --folds: of `flmd recipe list`; fast by default.")
]
ParamsFile = Annotated[
    Path | None,
    typer.Option("--params", help="With --folds: the settings; params.yaml here, else flmd's own."),
]
Keep = Annotated[
    Path | None,
    typer.Option(help="With --folds: folder that keeps the networks; a killed run goes on from there."),
]
Workers = Annotated[int | None, typer.Option(help="With --folds: processes; all CPUs by default.")]
Split = Annotated[EvaluatedSplit, typer.Option(help="With --model: the faces to compare.")]
Least = Annotated[float, typer.Option(help="Score from which on a label is listed.")]
ListFile = Annotated[
    Path | None, typer.Option("--list", help="Table of the labels to write, .csv or .json, the worst first.")
]
Correct = Annotated[
    str | None,
    typer.Option(help="Labels to correct, with their pictures: a file, folder or archive to write."),
]
To = Annotated[CorrectionFormat, typer.Option(help="The program that reads --correct.")]
Originals = Annotated[
    str | None, typer.Option(help="With --correct: where the whole pictures are, instead of crops.")
]
First = Annotated[int | None, typer.Option(help="Only so many labels in --list and --correct.", min=1)]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ...")]
Overwrite = Annotated[bool, typer.Option(help="Replace what --list and --correct name.")]


def audit_command(
    store: Store,
    html: Html = None,
    as_json: AsJson = False,
    check: Check = False,
    pictures: PicturesShown = 40,
    model: Model = None,
    folds: Folds = None,
    recipe: RecipeName = None,
    params_file: ParamsFile = None,
    keep: Keep = None,
    workers: Workers = None,
    split: Split = EvaluatedSplit.ALL,
    least: Least = 3.0,
    list_: ListFile = None,
    correct: Correct = None,
    to: To = CorrectionFormat.CVAT,
    originals: Originals = None,
    first: First = None,
    device: Device = "auto",
    overwrite: Overwrite = False,
) -> None:
    """Find leaks between splits, copied and mirrored pictures, and wrong labels in a store.

    With a model, or with networks trained for it, labels are compared with what they say. The labels that
    are listed can be corrected in CVAT or Label Studio, and come back with flmd-data fix.

    Example: flmd-data audit data/faces.h5 --model best.pt --html audit.html --correct wrong.xml
    """
    if html is not None and html.is_dir():
        raise ParamsError("is a folder", where=str(html), expected="the name of a file")
    wanted = Wanted(model, folds, recipe, params_file, keep, workers, split.value, device)
    sent = Sent(list_, correct, to.value, originals, first, overwrite)
    check_options(wanted, sent, least)
    if folds is not None:
        from flmd.cli.out_of_fold import pinned_settings

        pinned_settings(params_file, recipe)
    from flmd.curation.audit.disagreement import judge_labels
    from flmd.curation.audit.inspection import audit
    from flmd.curation.audit.page import write_page

    files: list[Path | str] = []
    with FaceStore(store) as faces:
        judged = wanted.by_model(faces)
        found = audit(faces)
        judged = judged or wanted.by_folds(faces, found)
        if judged is not None:
            judge_labels(found, judged, least)
        if html is not None:
            write_page(
                found, faces, html, most=pictures, predicted=None if judged is None else judged.by_row()
            )
            files.append(html)
        files += sent.write(found, faces)
    _tell(found, as_json, files)
    if check and not found.clean:
        raise typer.Exit(1)


def _tell(found: Audit, as_json: bool, files: Iterable[Path | str]) -> None:
    """The findings to stdout, the files that were written to stderr."""
    if as_json:
        terminal.say_json(found.as_dict())
    else:
        for line in lines_of(found):
            terminal.say(line)
    for file in files:
        terminal.say(f"{file}: written", err=True)


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
    yield from _of_judge(found)
    for note in found.notes:
        yield f"note: {note}"
    if found.clean:
        yield "nothing found"


def _of_judge(found: Audit) -> Iterator[str]:
    """What a model said of the labels."""
    from flmd.curation.audit.explanations import KINDS

    if not found.judge:
        return
    kinds = Counter(item.kind for item in found.suspects)
    more = ", ".join(f"{KINDS[kind]} {kinds[kind]}" for kind in KINDS if kinds[kind])
    yield _titled(f"labels that {found.judge} disagrees with", len(found.suspects), more and f" ({more})")
    for s in found.suspects[:NAMED]:
        says = KINDS[s.kind] + (f" ({s.says})" if s.says else "")
        yield f"  face {s.row}, {s.image}: {says}, score {s.score:.1f}, worst {', '.join(s.points[:3])}"
    yield _titled("single points far off in their faces", len(found.odd_points), "")
    for p in found.odd_points[:NAMED]:
        yield f"  face {p.row}, {p.image}: {p.point}, {100 * p.away:.0f}% of the face off"


def _titled(title: str, count: int, more: str) -> str:
    return f"{title}: {count}{more}"
