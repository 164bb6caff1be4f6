"""`flmd-data fix`: bring corrected labels into a store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from tqdm import tqdm

from flmd.cli.common import check_free, check_there, tell_passed_over
from flmd.cli.reading import Base, FormatOptions, Names, reading
from flmd.core import terminal
from flmd.errors import ParamsError

if TYPE_CHECKING:
    from flmd.curation.fix_store import FixReport

NAMED = 5

Store = Annotated[Path, typer.Argument(metavar="STORE", help="The store whose labels are corrected.")]
Corrected = Annotated[
    str, typer.Argument(metavar="CORRECTIONS", help="Corrected faces, in any format that flmd reads.")
]
Output = Annotated[Path, typer.Option("--output", "-o", help="The store to write.")]
From = Annotated[str | None, typer.Option("--from", help="Format of CORRECTIONS; found out by default.")]
Overlap = Annotated[float, typer.Option(help="Least overlap (IoU) of a corrected face with its face.")]
SkipUnmatched = Annotated[
    bool, typer.Option("--skip-unmatched", help="Leave out what is no face of STORE, or cannot be read.")
]
Overwrite = Annotated[bool, typer.Option(help="Replace the output if it exists.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def fix_command(
    store: Store,
    corrections: Corrected,
    output: Output,
    from_: From = None,
    names: Names = None,
    option: FormatOptions = None,
    base: Base = None,
    overlap: Overlap = 0.3,
    skip_unmatched: SkipUnmatched = False,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> int:
    """Write a store with corrected labels. Ends with 0: all used, 1: some left out, 2: refused.

    Points and their visibility are replaced. Boxes, crops and all else stay as they are.

    Example: flmd-data fix data/faces.h5 corrections.xml -o fixed.h5
    """
    if not 0 < overlap <= 1:
        raise ParamsError(f"--overlap is {overlap}", expected="above 0, at most 1")
    check_free(output, overwrite)
    check_there(corrections)
    from flmd.conversion.opening import open_faces
    from flmd.curation.fix_store import Corrections, fix_store
    from flmd.store.face_store import FaceStore

    meant = reading(names, option, base)
    with (
        FaceStore(store) as faces,
        open_faces(corrections, from_=from_, scheme=faces.scheme.name, **meant.how()) as source,
        tqdm(desc="copy faces", total=len(faces), unit="face", disable=None) as bar,
    ):
        tell_passed_over(source)
        fmt = getattr(source, "format", None)  # a store has none, and tells visibility
        given = Corrections(
            source,
            corrections,
            source.frame,
            fmt is None or fmt.visibility,
            source.made_from({}, "")["inputs"],
        )
        report = fix_store(
            faces, given, output, least=overlap, skip_unmatched=skip_unmatched, progress=bar.update
        )
    if as_json:
        terminal.say_json(report.as_dict())
    else:
        _tell(output, report)
    return 0 if report.whole else 1


def _tell(output: Path, report: FixReport) -> None:
    same = f"{report.same} of the {report.read} corrected as before"
    terminal.say(f"{output}: {len(report.changed)} faces changed, {same}")
    counts = ("moved", "added", "removed", "seen")
    what = {"seen": "seen otherwise"}
    points = [f"{getattr(report, n)} {what.get(n, n)}" for n in counts if getattr(report, n)]
    if points:
        terminal.say("points: " + ", ".join(points))
    if report.boxes_of_points:
        terminal.say(
            f"{report.boxes_of_points} of these faces have boxes drawn around their old points: boxes and "
            "crops are kept; flmd-data convert --box landmarks --dataset NAME --pictures FOLDER makes others"
        )
    for item in report.unmatched[:NAMED]:
        terminal.say(f"left out: {item.where or item.image}: {item.reason}", err=True)
    if len(report.unmatched) > NAMED:
        terminal.say(f"and {len(report.unmatched) - NAMED} more left out", err=True)
    for reason, count in sorted(report.skipped.items()):
        terminal.say(f"{count} could not be read: {reason}", err=True)
