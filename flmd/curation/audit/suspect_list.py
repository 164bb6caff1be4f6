"""Faces whose labels disagree with a model, as a table or as JSON."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path

from flmd.core.atomic import whole_or_nothing
from flmd.curation.audit.findings import Audit, Suspect
from flmd.errors import ParamsError

COLUMNS = ("image", "face", "split", "kind", "score", "away", "says", "points")
KINDS = (".csv", ".json")


def check_name(path: Path) -> None:
    """ParamsError unless the name says what to write."""
    if path.suffix.lower() not in KINDS:
        raise ParamsError("what kind of list?", where=str(path), expected="a name ending in .csv or .json")


def write_list(found: Audit, path: Path, first: int | None = None) -> None:
    """Write the faces, the worst first, and in JSON the single points too; whole or not at all.

    ``face`` is the row in the store, ``away`` a share of the face's size; the points are the worst of the
    face, the worst first. ``first`` : only so many faces.
    """
    check_name(path)
    chosen = found.suspects[:first]
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_or_nothing(path) as part, part.open("w", encoding="utf-8", errors="surrogateescape") as stream:
        if path.suffix.lower() == ".csv":
            table = csv.writer(stream, lineterminator="\n")
            table.writerow(COLUMNS)
            table.writerows([*_row(item).values()] for item in chosen)
            return
        tree = {
            "store": Path(found.store).name,
            "judge": found.judge,
            "faces": [{**_row(item), "points": list(item.points)} for item in chosen],
            "points": [
                {"image": p.image, "face": p.row, "point": p.point, "times": p.times, "away": p.away}
                for p in found.odd_points
            ],
        }
        json.dump(tree, stream, indent=1, ensure_ascii=False)
        stream.write("\n")


def _row(item: Suspect) -> dict[str, object]:
    values: Sequence[object] = (
        item.image, item.row, item.split, item.kind, item.score, item.away, item.says, " ".join(item.points),
    )  # fmt: skip
    return dict(zip(COLUMNS, values, strict=True))
