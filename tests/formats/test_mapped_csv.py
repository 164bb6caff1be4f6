"""Tables with a map: every kind of column, bad maps and rows, the page's examples, and both ways."""

from __future__ import annotations

import csv
import json
import random
import re
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from flmd.conversion.opening import open_faces
from flmd.core import bounded_search
from flmd.errors import FlmdError, InputError
from flmd.face import Face
from flmd.formats.common.yaml_file import read_yaml
from flmd.formats.csv_map import numbered
from flmd.formats.dlib_xml import DlibXml
from flmd.formats.mapped_csv import MappedCsv
from flmd.schemes import IBUG68, get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points, same_points

CSV = MappedCsv()
TWO = get_scheme("points2")
MAP = "image: name\npoints: [[x0, y0], [x1, y1]]\n"
HEADER = "name,x0,y0,x1,y1"
PAGE = Path(__file__).parents[2] / "docs" / "csv-map.md"


def read(folder: Path, table: str, table_map: str = MAP, scheme=TWO, name: str = "a"):
    (folder / f"{name}.csv").parent.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.csv").write_text(table, newline="")
    (folder / f"{name}.flmd.yaml").write_text(table_map)
    with open_tree(folder) as tree:
        return list(CSV.read(tree, scheme, (f"{name}.csv",)))


def reasons(found) -> list[str]:
    return [getattr(f, "reason", "face") for f in found]


def error_of(folder: Path, table: str, table_map: str = MAP) -> str:
    with pytest.raises(InputError) as caught:
        read(folder, table, table_map)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_the_examples_of_the_page_are_read_as_it_says(tmp_path):
    blocks = re.findall(r"^`(\S+)`\n\n```\w+\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    assert len(blocks) == 4
    for name, text in blocks:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    with open_tree(tmp_path / "kaggle") as tree:
        assert CSV.detect(tree).why == "tables with a map: faces.csv"
        assert CSV.scheme_in(tree, ("faces.csv",)) == "points3"
    with open_tree(tmp_path) as tree:
        assert CSV.detect(tree).files == ("kaggle/faces.csv", "openface/img_7.csv")
        found = list(CSV.read(tree, get_scheme("points3"), CSV.detect(tree).files))
    assert [(f.image, f.split, f.subject) for f in found] == [
        ("kaggle/pictures/0001.png", "train", "ann"),
        ("kaggle/pictures/0002.png", "val", "bob"),
        ("openface/img_7.jpg", "", "openface/img_7"),
        ("openface/img_7.jpg", "", "openface/img_7"),
    ]
    assert found[0].landmarks.tolist() == np.float32([[66, 39], [30.2, 36.4], [44.4, 57.1]]).tolist()
    assert [f.visibility.tolist() for f in found] == [[2, 2, 2], [2, 0, 2], [2, 2, 2], [0, 2, 2]]
    assert found[2].landmarks.tolist() == np.float32([[120.5, 200], [121, 212.5], [123.4, 224.1]]).tolist()
    assert found[3].attributes == {"confidence": 0.35}
    table_map = tmp_path / "openface/openface.flmd.yaml"
    text = re.sub(
        r"points: .*", "points: {start: 3, order: xxyy, count: 3}\nheader: false", table_map.read_text()
    )
    table_map.write_text(text.replace("attributes: [confidence]", ""))
    table = tmp_path / "openface/img_7.csv"
    table.write_text(table.read_text().split("\n", 1)[1])
    with open_tree(tmp_path / "openface") as tree:
        again = list(CSV.read(tree, get_scheme("points3"), ("img_7.csv",)))
    assert all(same_points(a, b) for a, b in zip(found[2:], again, strict=True))


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("{x: 'px{i}', y: 'py{i}', start: 1, count: 2}", "1,3,2,4"),
        ("{start: px1, order: xxyy, count: 2}", "1,3,2,4"),
        ("{start: 1, order: xyxy, count: 2}", "1,2,3,4"),
        ("[[1, 2], [3, 4]]", "1,2,3,4"),
    ],
)
def test_points_by_pattern_run_or_list(tmp_path, text, row):
    (face,) = read(tmp_path, f"name,px1,px2,py1,py2\na.jpg,{row}\n", f"image: name\npoints: {text}\n")
    assert face.landmarks.tolist() == [[1, 2], [3, 4]]
    assert (face.image, face.split, face.subject) == ("a.jpg", "", "a")
    assert face.where.endswith("a.csv:2 (image a.jpg)")


@pytest.mark.parametrize(("base", "corner"), [(0, [10, 20]), (1, [9, 19]), (0.5, [10, 20])])
def test_the_base_moves_points_and_whole_bases_boxes(tmp_path, base, corner):
    table = f"{HEADER},a,b,c,d\nn,1,2,3,4,10,20,30,60\n"
    (face,) = read(tmp_path, table, MAP + f"base: {base}\nbox: {{columns: [a, b, c, d], kind: xyxy}}\n")
    assert face.landmarks.tolist() == [[1 - base, 2 - base], [3 - base, 4 - base]]
    assert face.box.tolist() == [*corner, 20, 40]


@pytest.mark.parametrize(
    ("kind", "cells"),
    [("xywh", "10,20,30,40"), ("xyxy", "10,20,40,60"), ("xxyy", "10,40,20,60"), ("cxcywh", "25,40,30,40")],
)
def test_boxes_of_every_kind(tmp_path, kind, cells):
    table = f"{HEADER},a,b,c,d\nn,1,2,3,4,{cells}\nn,1,2,3,4,,,,\n"
    one, none = read(tmp_path, table, MAP + f"box: {{columns: [a, b, c, d], kind: {kind}}}\n")
    assert one.box.tolist() == [10, 20, 30, 40]
    assert (one.box_source, none.box, none.box_source) == ("annotated", None, "none")


def test_an_inclusive_box_has_a_pixel_more(tmp_path):
    table = f"{HEADER},a,b,c,d\nn,1,2,3,4,10,20,39,59\n"
    table_map = MAP + "box: {columns: [a, b, c, d], kind: xyxy, inclusive: true}\n"
    assert read(tmp_path, table, table_map)[0].box.tolist() == [10, 20, 30, 40]


def test_visibility_has_a_map_of_its_own(tmp_path):
    table = f"{HEADER},v1,v2\nn,1,2,3,4,occ,0\nn,1,2,,,vis,vis\nn,1,2,3,4,odd,0\nn,1,2,3,4,vis,0.0\n"
    table_map = MAP + "visibility: {columns: 'v{i}', start: 1, values: {vis: 2, occ: 1, 0: 0}}\n"
    found = read(tmp_path, table, table_map)
    assert found[0].visibility.tolist() == [1, 0]
    assert np.isnan(found[0].landmarks[1]).all()
    assert found[1].visibility.tolist() == [2, 0]
    assert found[2].reason == "bad_value"
    assert found[2].what == "column 'v1' holds 'odd', expected one of vis, occ, 0"
    assert found[3].visibility.tolist() == [2, 0]


def test_normalised_points_need_the_picture_or_its_size(tmp_path):
    cv2.imwrite(str(tmp_path / "p.png"), np.zeros((50, 200, 3), np.uint8))
    (tmp_path / "bad.png").write_bytes(b"no picture")
    table = f"{HEADER},w,h\n" + "".join(f"{n},0.5,0.5,0,1\n".replace("\n", f",{s}\n") for n, s in (
        ("p.png", ","), ("gone.png", ","), ("gone.png", "100,10"), ("bad.png", ","), ("p.png", "x,1"),
    ))  # fmt: skip
    found = read(tmp_path, table, MAP + "units: normalised\nsize: [w, h]\n")
    assert reasons(found) == ["face", "image_missing", "face", "image_unknown", "not_a_number"]
    assert found[0].landmarks.tolist() == [[100, 25], [0, 50]]
    assert found[0].image_size == (200, 50)
    assert found[2].landmarks.tolist() == [[50, 5], [0, 10]]


def test_split_subject_subset_and_attributes(tmp_path):
    table = f"{HEADER},s,d,age,j\n" + "".join(
        f"{n},1,2,3,4,{s},hard,{age},{j}\n"
        for n, s, age, j in [
            ("p1/x_2.jpg", "Train", "31", '"{""a"": true}"'), ("b.jpg", "", "", ""),
            ("c.jpg", "odd", "1.5", ""), ("c.jpg", "val", "1", "[1]"), ("c.jpg", "val", "1", "{"),
        ]
    )  # fmt: skip
    table_map = MAP + (
        "split: s\nsubset: d\ndataset: d\nsubject: {pattern: '^p\\d'}\n"
        "attributes: {columns: [age], json: j}\n"
    )
    found = read(tmp_path, table, table_map)
    assert [(f.split, f.subject, f.subset, f.dataset, f.attributes) for f in found[:2]] == [
        ("train", "p1", "hard", "hard", {"age": 31, "a": True}), ("", "b", "hard", "hard", {}),
    ]  # fmt: skip
    assert reasons(found[2:]) == ["bad_value"] * 3
    assert "column 's' holds 'odd'" in found[2].what
    assert read(tmp_path, f"{HEADER}\nn,1,2,3,4\n", name="set/train/t")[0].split == "train"


def test_a_pattern_of_a_map_that_never_ends_stops_the_reading(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded_search, "SECONDS", 0.1)
    table = f"{HEADER}\n" + f"{'a' * 40}.jpg,1,2,3,4\n" * 3
    with pytest.raises(InputError, match=r"the search for '\^\(a\+\)\+\$' in 'a+.jpg' takes more than"):
        read(tmp_path, table, MAP + "subject: {pattern: '^(a+)+$'}\n")


@pytest.mark.parametrize(
    ("row", "reason", "what"),
    [
        ("n,1,2,3", "short_row", "4 cells, expected 5"),
        ("n,1,2,3,4,5", "long_row", "6 cells, expected 5"),
        ("n,1,2,x,4", "not_a_number", "column 'x1' holds 'x', expected a number"),
        ("n,1,2,nan,4", "not_a_number", "column 'x1' holds 'nan'"),
        ("n,1,2,1e39,4", "not_a_number", "column 'x1' holds '1e39'"),
        ("n,1,2,1_0,4", "not_a_number", "column 'x1' holds '1_0'"),
        ("n,1,2,,4", "not_a_number", "column 'x1' is missing"),
        ("n,1,2,3,", "not_a_number", "column 'y1' is missing"),
        (",1,2,3,4", "bad_path", "without an image name"),
        ("../n,1,2,3,4", "bad_path", "'../n'"),
        ("/n,1,2,3,4", "bad_path", "'/n'"),
    ],
)
def test_bad_rows_skip_their_face_only(tmp_path, row, reason, what):
    found = read(tmp_path, f"{HEADER}\n\n{row}\nok,1,2,3,4\n")
    assert reasons(found) == [reason, "face"]
    assert what in found[0].what
    assert "a.csv:3" in found[0].where


@pytest.mark.parametrize("cells", ["1,2,3,x", "1,2,0,4", "1,2,3,-4", ",2,3,4", "1,2,inf,4"])
def test_bad_boxes_are_skipped(tmp_path, cells):
    table = f"{HEADER},a,b,c,d\nn,1,2,3,4,{cells}\n"
    found = read(tmp_path, table, MAP + "box: {columns: [a, b, c, d], kind: xywh}\n")
    assert reasons(found) == ["bad_box"]
    assert "column '" in found[0].what


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ("", "a.csv:1: the table is empty"),
        ("name,x0,y0,x_1,y1\n", "a.csv:1: column 'x1' is missing from the header; did you mean 'x"),
        (HEADER + ",x0\n", "column 'x0' stands 2 times"),
        (HEADER + '\nn,1,2,3,4\n"n,1,2,3,4\n', "a.csv:3: broken CSV"),
        (HEADER + "\n" + "1" * (1 << 20), "a line of"),
    ],
)
def test_a_table_that_cannot_be_read_is_one_line(tmp_path, table, what):
    assert what in error_of(tmp_path, table)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (MAP + "imagee: x\n", "unknown key 'imagee'; did you mean 'image'?"),
        (
            MAP + "box: {column: [1, 2, 3, 4], kind: xywh}\n",
            "'box.column' (and 1 more); did you mean 'columns'?",
        ),
        (MAP + "split: {colunm: s}\n", "did you mean 'column'?"),
        ("points: [[1, 2]]\n", "key 'image' is missing"),
        (MAP + "units: inches\n", "units is 'inches'; expected 'pixels' or 'normalised'"),
        (MAP + "base: 2\n", "base is 0, 0.5 or 1"),
        (MAP + "header: 3\n", "header is '3'"),
        (MAP + "scheme: ibug68\n", "points: 2 of them, scheme ibug68 has another number"),
        (MAP + "scheme: ibug86\n", "unknown key"),
        (MAP + "visibility: {columns: [1]}\n", "visibility: 1 columns for 2 points"),
        (MAP + "subject: {pattern: '('}\n", "not a regular expression"),
        ("image: name\npoints: {x: a, y: 'b{i}', count: 2}\n", "patterns with {i}"),
        ("image: name\npoints: {start: 3}\n", "give a list of [x, y]"),
        ("image: name\npoints: {start: 3, order: xyxy}\n", "give points.count, or a scheme"),
        ("image: name\npoints: {start: 4, order: xyxy, count: 2}\n", "there is no column 7"),
        (MAP + "header: false\n", "is a name, but header is false"),
        (MAP + "a: [\n", "a.flmd.yaml:4: not valid YAML"),
        (MAP + "a: &x 1\nb: *x\n", "a.flmd.yaml:3: an anchor or alias"),
        (MAP + "a: " + "[" * 5000, "nested too deeply"),
        (MAP + "#" * 300_000, "bytes; expected at most"),
        (MAP + "a: !!python/object:os.system x\n", "not valid YAML"),
        (MAP + "image: again\n", "not valid YAML"),
        ("- 1\n", "not a mapping"),
        ("\0\xff", "not valid YAML"),
    ],
)
def test_a_bad_map_names_the_key_or_line(tmp_path, text, what):
    if "ibug86" in text:
        what = "did you mean 'ibug68'?"
    text = error_of(tmp_path, HEADER + "\nn,1,2,3,4\n", text)
    assert what in text
    with open_tree(tmp_path) as tree:  # never raises; a fault that only the table shows is found by reading
        found = CSV.detect(tree)
    assert found.fits == ("a.csv:1" in text or "header is false" in text)
    assert found.fits or what in found.why


def test_detection_says_what_is_missing(tmp_path):
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    with open_tree(tmp_path) as tree:
        assert CSV.detect(tree).why == "no *.flmd.yaml that says which column is what; see docs/csv-map.md"
    (tmp_path / "only.flmd.yaml").write_text(MAP)
    (tmp_path / "b").mkdir()
    (tmp_path / "b/c.csv").write_text(HEADER)
    with open_tree(tmp_path) as tree:
        assert CSV.detect(tree).files == ("a.csv", "b/c.csv")
    (tmp_path / "b/other.flmd.yaml").write_text(MAP)
    with open_tree(tmp_path) as tree:
        assert "no table that it could be for" in CSV.detect(tree).why
    (tmp_path / "b/other.flmd.yaml").write_text(MAP + "files: ['c.*']\n")
    (tmp_path / "only.flmd.yaml").write_text(MAP + "files: '*.csv'\n")
    with open_tree(tmp_path) as tree:
        assert "c.csv is the table of b/other.flmd.yaml as well" in CSV.detect(tree).why


def test_a_number_that_means_a_missing_point_is_still_an_attribute(tmp_path):
    table = "name,x0,y0,x1,y1,success,pose,note\nn.jpg,0,0,3,4,0,0.0,NA\nm.jpg,1,2,3,4,1,NA,\n"
    table_map = MAP + "missing: ['', 0, NA]\nattributes: [success, pose, note]\n"
    one, two = read(tmp_path, table, table_map)
    assert one.visibility.tolist() == [0, 2]
    assert one.attributes == {"success": 0, "pose": 0.0}
    assert two.attributes == {"success": 1}


@pytest.mark.parametrize(
    ("where", "wanted"),
    [
        ("{ok: 1}", "ac"),
        ("{ok: [0, 1]}", "abc"),
        ("{ok: '1.0'}", "ac"),
        ("{ok: true}", "d"),
        ("{ok: [1, 'True'], split: x}", "ad"),
        ("{5: 1}", "ac"),
        ("{}", "abcd"),
    ],
)
def test_rows_are_chosen_by_what_their_cells_say(tmp_path, where, wanted):
    rows = [("a", "1", "x"), ("b", "0", "x"), ("c", " 1.0", "y"), ("d", "True", "x")]
    table = "name,x0,y0,x1,y1,ok,split\n" + "".join(f"{n}.jpg,1,2,3,4,{ok},{s}\n" for n, ok, s in rows)
    found = read(tmp_path, table + "e.jpg,1\n", MAP + f"where: {where}\n")
    assert "".join(f.image[0] for f in found[:-1]) == wanted
    assert found[-1].reason == "short_row"


def test_a_column_to_choose_by_that_is_not_there_is_named(tmp_path):
    text = error_of(tmp_path, HEADER + "\nn.jpg,1,2,3,4\n", MAP + "where: {x3: 1}\n")
    assert "column 'x3' is missing from the header; it is named in" in text


def test_numbers_in_column_names_may_have_leading_zeros(tmp_path):
    table = "name,x08,y08,v08,x09,y09,v09,x10,y10,v10\nn.jpg,1,2,2,3,4,1,5,6,0\n"
    table_map = (
        "image: name\npoints: {x: 'x{i:02}', y: 'y{i:02}', start: 8, count: 3}\n"
        "visibility: {columns: 'v{i:02}', start: 8}\n"
    )
    (found,) = read(tmp_path, table, table_map, get_scheme("points3"))
    assert found.visibility.tolist() == [2, 1, 0]
    assert found.landmarks[:2].tolist() == [[1, 2], [3, 4]]
    assert numbered("p{i}_x{i:03}", 7) == "p7_x007"
    text = error_of(tmp_path, table, table_map.replace("x{i:02}", "x{i:2}"))
    assert 'such as "x_{i}" or "x{i:02}"' in text


def wrong_map_elsewhere(folder: Path) -> Path:
    """A table with its map; below it another table whose map has a misspelt key."""
    (folder / "of").mkdir()
    for name, table_map in (("pred", MAP), ("of/of", MAP + "bas: 1\n")):
        (folder / f"{name}.csv").write_text(HEADER + "\nn.jpg,1,2,3,4\n")
        (folder / f"{name}.flmd.yaml").write_text(table_map)
    return folder


def test_a_wrong_map_of_another_table_harms_its_own_alone(tmp_path):
    folder = wrong_map_elsewhere(tmp_path)
    for source in (folder / "pred.csv", folder / "pred.flmd.yaml", f"file://{folder}/pred.csv"):
        with open_faces(source) as faces:
            assert faces.kind == "csv"
            assert [f.image for f in faces] == ["n.jpg"]
    for source in (folder / "of/of.csv", folder / "of/of.flmd.yaml"):
        with (
            pytest.raises(InputError, match=r"of/of\.flmd\.yaml: unknown key 'bas'.*did you mean 'base'"),
            open_faces(source) as faces,
        ):
            list(faces)


def test_a_folder_with_a_wrong_map_is_a_csv_whose_map_is_named(tmp_path):
    with (
        pytest.raises(InputError, match=r"^\S+of/of\.flmd\.yaml: unknown key 'bas'"),
        open_faces(wrong_map_elsewhere(tmp_path)) as faces,
    ):
        list(faces)


def test_a_map_that_is_named_reads_the_tables_it_is_for(tmp_path):
    (tmp_path / "deep").mkdir()
    for i in range(3):
        (tmp_path / "deep" / f"{i}.csv").write_text(HEADER + f"\n{i}.jpg,1,2,3,4\n")
    (tmp_path / "deep" / "2.csv").rename(tmp_path / "other.csv")
    (tmp_path / "all.flmd.yaml").write_text(MAP + "files: deep/*.csv\n")
    with open_faces(tmp_path / "all.flmd.yaml") as faces:
        assert [f.image for f in faces] == ["deep/0.jpg", "deep/1.jpg"]


def test_a_scheme_of_another_number_is_an_error(tmp_path):
    with pytest.raises(InputError, match=r"a map of 2 points; expected 68"):
        read(tmp_path, HEADER, scheme=IBUG68)


def test_mutated_files_end_in_faces_skips_or_errors(tmp_path):
    start = time.perf_counter()
    rng = random.Random(4)
    table_map = (MAP + "missing: ['', -1]\nbox: {columns: [x0, y0, x1, y1], kind: xyxy}\nsplit: s\n").encode()
    table = f"{HEADER},s\nn,1,2,3,4,train\nm,5,-1,7,8,val\n".encode() * 2
    for turn in range(200):
        texts = [table_map, table]
        data = bytearray(texts[turn % 2])
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(data))
            data[at : at + rng.choice([0, 1, 1, 6])] = rng.choice(
                [
                    b"",
                    b"[",
                    b"{",
                    b'"',
                    b"\0",
                    b"\xff",
                    b"1e999",
                    b"9" * 30,
                    b",",
                    b"\n",
                    b"- ",
                    b": ",
                    b"&a ",
                ]
            )
        texts[turn % 2] = bytes(data)
        (tmp_path / "a.flmd.yaml").write_bytes(texts[0])
        (tmp_path / "a.csv").write_bytes(texts[1])
        with open_tree(tmp_path) as tree:
            files = CSV.detect(tree).files
            try:
                CSV.scheme_in(tree, files)
                list(CSV.read(tree, TWO, files or ("a.csv",)))
            except FlmdError:
                continue
    assert time.perf_counter() - start < 60  # a hang, not a speed


def test_yaml_of_many_values_ends_soon(tmp_path):
    (tmp_path / "a.yaml").write_text("a: [" + "1," * 100_000 + "1]")
    start = time.perf_counter()
    with open_tree(tmp_path) as tree, pytest.raises(InputError, match="too long"):
        read_yaml(tree, "a.yaml")
    assert time.perf_counter() - start < 60  # a hang, not a speed


# Writing


TEXT = st.text("a &,;\"'=é\t\n\r]中 ", max_size=9)
NUMBERS = st.floats(-1e6, 1e6, width=32)


@st.composite
def faces(draw):
    landmarks = draw(points(2, whole=False))
    landmarks[draw(st.lists(st.integers(0, 1), max_size=2))] = np.nan
    box = draw(st.none() | st.tuples(NUMBERS, NUMBERS, *[st.floats(0.125, 9e3, width=32)] * 2))
    face = make_face(
        draw(image_names()),
        landmarks,
        box=None if box is None else np.float32(box),
        box_source=draw(st.sampled_from(["annotated", "landmarks", "image", "detector", "none"])),
        split=draw(st.sampled_from(["train", "val", "test", ""])),
        subject=draw(TEXT.filter(bool)),
        subset=draw(TEXT),
        dataset=draw(TEXT),
        image_size=draw(st.none() | st.tuples(st.integers(1, 9999), st.integers(1, 9999))),
        attributes=draw(st.dictionaries(TEXT, TEXT | st.booleans() | st.integers() | NUMBERS, max_size=3)),
    )
    face.visibility[(face.visibility == 2) & draw(hnp.arrays(bool, 2))] = 1
    return face


@settings(max_examples=60, deadline=None)
@given(given_faces=st.lists(faces(), max_size=4), target=st.sampled_from(["out", "o[u]t_test.csv"]))
def test_writing_and_reading_loses_nothing(tmp_path_factory, given_faces, target):
    given_faces = [f for f in given_faces if f.image.strip()]
    folder = tmp_path_factory.mktemp("round")
    report = CSV.write(iter(given_faces), folder / target, TWO)
    assert (report.faces, dict(report.lost)) == (len(given_faces), {})
    with open_tree(folder if target.endswith("csv") else folder / target) as tree:
        found = list(CSV.read(tree, TWO, CSV.detect(tree).files))
    for a, b in zip(given_faces, found, strict=True):
        assert same_points(a, b)
        assert (None if a.box is None else a.box.tolist()) == (None if b.box is None else b.box.tolist())
        for key in (
            "image",
            "box_source",
            "split",
            "subject",
            "subset",
            "dataset",
            "image_size",
            "attributes",
        ):
            assert getattr(a, key) == getattr(b, key)


def test_the_table_is_plain(tmp_path):
    face = make_face("a.jpg", np.float32([[0.1, 2], [np.nan, np.nan]]), attributes={"a": 1}, split="val")
    CSV.write([face], tmp_path / "X.CSV", TWO)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["X.CSV", "X.flmd.yaml"]
    with (tmp_path / "X.CSV").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["x_0"], row["y_0"], row["x_1"], row["v_0"], row["v_1"]) == (
        repr(float(np.float32(0.1))), "2.0", "", "2", "0",
    )  # fmt: skip
    assert json.loads(row["attributes"]) == {"a": 1}


def test_losses_are_counted(tmp_path):
    def lost(**fields):
        face = make_face(fields.pop("image", "a.jpg"), np.float32([[1, 2], [3, 4]]), **fields)
        return dict(CSV.write([face], tmp_path / "out.csv", TWO).lost)

    assert lost(box=np.float32([1, 2, np.nan, 4])) == {"box": 1}
    assert lost(image="a\\b") == {"image name": 1}
    assert lost(image=" ") == lost(image="\ud800") == lost(subset="x" * 200_000)
    assert lost(image=" ") == {"face with unwritable text": 1}


@pytest.mark.parametrize("target", ["out.csv", "out"])
def test_a_failed_write_leaves_nothing(tmp_path, target):
    def stops():
        yield make_face("a.jpg", np.float32([[1, 2], [3, 4]]))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CSV.write(stops(), tmp_path / target, TWO)
    assert list(tmp_path.iterdir()) == []


def test_real_faces_come_back(shared_data, tmp_path):
    dlib = DlibXml()
    with open_tree(shared_data / "dlib_faces") as tree:
        given = [f for f in dlib.read(tree, IBUG68, dlib.detect(tree).files) if isinstance(f, Face)]
    assert not CSV.write(given, tmp_path / "out", IBUG68).lost
    with open_tree(tmp_path / "out") as tree:
        found = list(CSV.read(tree, IBUG68, CSV.detect(tree).files))
    for a, b in zip(given, found, strict=True):
        assert same_points(a, b)
        assert (a.image, a.split, a.subject, a.attributes) == (b.image, b.split, b.subject, b.attributes)
        assert a.box.tolist() == b.box.tolist()
