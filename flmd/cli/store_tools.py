"""`flmd-data stats`, `inspect`, `diff`, `merge` and `split`: what stores hold, and stores from stores."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated

import typer
from tqdm import tqdm

from flmd.cli.choices import SplitUnit
from flmd.cli.common import check_free
from flmd.core import terminal
from flmd.errors import InputError, ParamsError
from flmd.store.face_store import FaceStore
from flmd.store.merge import merge

Store = Annotated[Path, typer.Argument(metavar="STORE", help="A face store.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def stats_command(path: Store, as_json: AsJson = False) -> None:
    """Say what a store holds: how many, how large, how posed, how visible, by data set and split.

    Example: flmd-data stats data/faces.h5
    """
    from flmd.curation.stats import store_stats
    from flmd.curation.stats_tables import tables

    with FaceStore(path) as faces:
        stats = store_stats(faces)
    if as_json:
        terminal.say_json(stats)
    else:
        terminal.show(*tables(stats))


def inspect_command(path: Annotated[Path, typer.Argument(metavar="STORE")]) -> None:
    """Say what a face store holds.

    Example: flmd-data inspect data/faces.h5
    """
    with FaceStore(path) as faces:
        terminal.say(f"{path}: {len(faces)} faces, scheme {faces.scheme.name} ({faces.scheme.count} points)")
        if faces.has_crops:
            crop = faces.crop_spec
            terminal.say(f"crops: {crop.size} px, {crop.color}, {crop.margin:g} times the box")
        counted = zip(faces.texts("dataset"), faces.texts("split"), faces.texts("subset"), strict=True)
        for (dataset, split, subset), count in sorted(Counter(counted).items()):
            terminal.say(f"  {dataset or '-'}  {split or '-'}  {subset or '-'}  {count}")
        boxes = sorted(Counter(faces.texts("box_source")).items())
        terminal.say("boxes: " + ", ".join(f"{source} {count}" for source, count in boxes))
        terminal.say(f"subjects: {len(set(faces.texts('subject')))}")
        for key, value in faces.made_from.items():
            terminal.say(f"made from {key}: {value}")


def diff_command(
    a: Annotated[str, typer.Argument(metavar="A", help="A store, or annotations in any format.")],
    b: Annotated[str, typer.Argument(metavar="B", help="What A is compared with.")],
    tolerance: Annotated[float, typer.Option(help="Pixels by which points and boxes may differ.")] = 0.0,
    as_json: AsJson = False,
) -> int:
    """Say what changed from A to B. Ends with 0: the same, 1: different.

    Example: flmd-data diff before.h5 after.h5 --tolerance 0.5
    """
    from flmd.conversion.frames import Turner
    from flmd.conversion.opening import open_faces
    from flmd.core.orientation import SHOWN, STORED
    from flmd.curation.diff import diff_faces

    if not tolerance >= 0:
        raise ParamsError(f"--tolerance {tolerance:g}", expected="0 pixels or more")
    with _scratch() as scratch, open_faces(a) as one, open_faces(b) as two:
        if one.scheme.name != two.scheme.name:
            raise InputError(
                f"scheme {two.scheme.name}, but {one.scheme.name} in {a}",
                where=b,
                hint="convert one of them to the other's scheme first",
            )
        # One frame for both, of pictures that EXIF turns: the one that needs the fewest pictures to be there.
        frame = SHOWN if SHOWN in (one.frame, two.frame) else STORED
        before, after = (Turner(side.pictures, side.frame, frame).each(side) for side in (one, two))
        with tqdm(desc="compare", unit="face", disable=None) as bar:
            found = diff_faces(
                before, after, one.scheme.count, scratch=scratch, tolerance=tolerance, progress=bar.update
            )
    if as_json:
        terminal.say_json({"a": a, "b": b, "tolerance_px": tolerance, **found.as_dict()})
    else:
        for line in found.lines():
            terminal.say(line)
    return 0 if found.same else 1


@contextmanager
def _scratch() -> Iterator[Path]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="flmd-diff-") as folder:
        yield Path(folder)


def merge_command(
    stores: Annotated[list[Path], typer.Argument(metavar="STORES...", help="Two stores or more.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The store to write.")],
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
) -> None:
    """Join stores of one scheme and one kind of crop, in the order given.

    Example: flmd-data merge ibug.h5 youtube.h5 -o both.h5
    """
    check_free(output, overwrite)
    if len(stores) < 2:
        raise ParamsError("one store is nothing to merge", where=str(stores[0]), expected="two or more")
    with ExitStack() as stack:
        opened = [stack.enter_context(FaceStore(path)) for path in stores]
        count = sum(map(len, opened))
        with tqdm(desc="merge", total=count, unit="face", disable=None) as bar:
            merge(opened, output, bar.update)
        counts = " + ".join(str(len(faces)) for faces in opened)
    terminal.say(f"{output}: {count} faces ({counts})")


def split_command(
    path: Store,
    by: Annotated[SplitUnit, typer.Option(help="What stays whole; random: single faces are drawn.")],
    val: Annotated[float, typer.Option(help="Share to validate on, of the faces that are not test.")] = 0.1,
    test: Annotated[float, typer.Option(help="Share to test on, of all faces.")] = 0.2,
    seed: Annotated[int, typer.Option(help="Another seed draws others.")] = 0,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The store to write; without, --overwrite replaces STORE."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace the output if it exists.")] = False,
) -> None:
    """Draw the splits of a store again; crops and all else are kept.

    Example: flmd-data split data/faces.h5 --by subject --val 0.1 --test 0.2 --seed 7 -o split.h5
    """
    from flmd.curation.split_store import split_store

    if output is not None:
        check_free(output, overwrite)
    elif not overwrite:
        raise ParamsError(
            "would be replaced", where=str(path), hint="write another with -o, or add --overwrite"
        )
    with (
        FaceStore(path) as faces,
        tqdm(desc="split", total=len(faces), unit="face", disable=None) as bar,
    ):
        report = split_store(
            faces, output or path, by=by.value, val=val, test=test, seed=seed, progress=bar.update
        )
    what = {SplitUnit.SUBJECT: "subjects", SplitUnit.IMAGE: "pictures", SplitUnit.RANDOM: "faces"}[by]
    terminal.say(f"{output or path}: {report.changed} faces changed splits")
    for split, count in report.faces.items():
        of = "" if by is SplitUnit.RANDOM else f", {report.units[split]} {what}"
        terminal.say(f"  {split.ljust(5)}  {count} faces{of}")
    shared = [f"{count} ({pair})" for pair, count in report.subjects_shared.items() if count]
    terminal.say("subjects in two splits: " + (", ".join(shared) or "none"))
