"""The map that a refusal proposes reads the table that it was proposed for."""

from __future__ import annotations

from pathlib import Path

import pytest

from flmd import formats
from flmd.errors import InputError
from flmd.face import Face
from flmd.formats.csv_draft import draft
from flmd.schemes import get_scheme
from flmd.tree import open_tree

HEADERS = {
    "x0": ("image,x0,y0,x1,y1,x2,y2", ","),
    "counted from one": ("file name,id,x1,x2,x3,y1,y2,y3", ","),
    "padded": ("filename,x_00,y_00,x_01,y_01,x_02,y_02", ","),
    "number first": ("photo,1_X,1_Y,2_X,2_Y,3_X,3_Y", ","),
    "word before": ("Image Path,point_1_x,point_1_y,point_2_x,point_2_y,point_3_x,point_3_y", ","),
    "tabs": ("img\tX_7\tY_7\tX_8\tY_8\tX_9\tY_9", "\t"),
}


def table(header: str, delimiter: str) -> str:
    """Two faces; point i of face f at (10 f + i, 100 + 10 f + i)."""
    names = header.split(delimiter)
    rows = [header]
    for face in range(2):
        row, seen = [], {"x": 0, "y": 0}
        for name in names:
            axis = next(
                (a for a in "xy" if a in name.lower().replace("index", "") and any(map(str.isdigit, name))),
                "",
            )
            if axis:
                row.append(f"{(100 if axis == 'y' else 0) + 10 * face + seen[axis]}")
                seen[axis] += 1
            else:
                row.append("7" if name == "id" else f"a{face}.jpg")
        rows.append(delimiter.join(row))
    return "\n".join(rows) + "\n"


@pytest.mark.parametrize("case", HEADERS)
def test_the_proposed_map_reads_the_table(tmp_path: Path, case: str) -> None:
    header, delimiter = HEADERS[case]
    path = tmp_path / ("points.tsv" if delimiter == "\t" else "points.csv")
    path.write_text(table(header, delimiter))
    with open_tree(tmp_path) as tree, pytest.raises(InputError, match="this fits its header") as refused:
        formats.choose(tree)
    with open_tree(tmp_path) as tree:
        said = draft(tree)
    assert said in str(refused.value)
    (tmp_path / "points.flmd.yaml").write_text(said.partition("points.flmd.yaml: ")[2])
    with open_tree(tmp_path) as tree:
        fmt, found = formats.choose(tree)
        faces = list(fmt.read(tree, get_scheme("points3"), found.files))
    assert fmt.name == "csv"
    for number, face in enumerate(faces):
        assert isinstance(face, Face)
        assert face.image == f"a{number}.jpg"
        assert face.landmarks.tolist() == [[10 * number + i, 100 + 10 * number + i] for i in range(3)]
    assert len(faces) == 2


@pytest.mark.parametrize(
    "header",
    [
        "",
        "image,left,right",
        "x0,y0,x1,y1",
        "image,x0,y1",
        "image,x{i},y{i}",
        "image,x" + "1" * 5000 + ",y1",
        "a\0b",
    ],
)
def test_a_header_that_does_not_tell_gets_none(tmp_path: Path, header: str) -> None:
    (tmp_path / "points.csv").write_text(header + "\n")
    with open_tree(tmp_path) as tree:
        assert draft(tree) == ""


def test_the_longest_run_wins_and_a_gap_ends_it(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text("image,box_x1,box_y1,box_x2,box_y2,x0,y0,x1,y1,x2,y2,x4,y4\n")
    with open_tree(tmp_path) as tree:
        assert 'points: {x: "x{i}", y: "y{i}", start: 0, count: 3}' in draft(tree)
