"""AFLW: a data base made here with sqlite3, a list made with scipy; hostile files; writing; both ways."""

from __future__ import annotations

import random
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd import formats
from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats import aflw_db, aflw_mat
from flmd.formats.aflw import Aflw
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import image_names, make_face, points

FORMAT, SCHEME = Aflw(), get_scheme("aflw19")
SCHEMA = """
CREATE TABLE Faces (face_id INTEGER PRIMARY KEY, file_id TEXT, db_id TEXT);
CREATE TABLE FaceImages (image_id INTEGER PRIMARY KEY, db_id, file_id, filepath, bw, width, height);
CREATE TABLE FaceRect (face_id INTEGER, x INT, y INT, w INT, h INT, annot_type_id INT);
CREATE TABLE FeatureCoords (face_id INTEGER, feature_id INTEGER, x REAL, y REAL, annot_type_id INT);
CREATE TABLE FacePose (face_id INTEGER, roll REAL, pitch REAL, yaw REAL, annot_type_id INT);
CREATE TABLE FaceMetaData (face_id INTEGER, sex TEXT, occluded, glasses, bw, annot_type_id INT);
"""
GOOD = """
INSERT INTO Faces VALUES (39341, 'image1.jpg', 'aflw'), (39342, 'image1.jpg', 'aflw');
INSERT INTO FaceImages VALUES (1, 'aflw', 'image1.jpg', '0/image1.jpg', 0, 640, 480);
INSERT INTO FaceRect VALUES (39341, 11, 21, 100, 90, 4);
INSERT INTO FeatureCoords VALUES
  (39341, 21, 50.5, 99.25, 1), (39341, 1, 1, 2, 1), (39341, 13, 7, 7, 1), (39341, 17, 8, 8, 1),
  (39341, 14, 41, 61, 1), (39341, 16, NULL, 3, 1), (39341, 99, 3, 3, 1), (39342, 2, 0, 0, 1);
INSERT INTO FacePose VALUES (39341, 0.25, -0.5, 1.5, 4);
INSERT INTO FaceMetaData VALUES (39341, 'f', 0, 1, 7, 4);
"""


def database(path: Path, *scripts: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as base:
        for script in scripts:
            base.executescript(script)
        base.commit()
    return path


def read(path: Path) -> list:
    with open_tree(path) as tree:
        found = FORMAT.detect(tree)
        return list(FORMAT.read(tree, SCHEME, found.files or (path.name,)))


def aflw_list(path: Path, rows: int = 3, **changes: object) -> Path:
    """Row i (from 0) has x 10 i + 1 … 10 i + 19 and y 1000 more; only the first point of all is masked."""
    x = np.arange(19) + 1.0 + 10 * np.arange(rows)[:, None]
    mask = np.ones((rows, 19), np.uint8)
    mask[:, 0] = 0
    names = np.empty((rows, 1), object)
    names[:, 0] = [f"0/image{i}.jpg" for i in range(rows)]
    variables = {
        "data": np.hstack([x, x + 1000]),
        "bbox": np.tile([3.0, 23, 5, 15], (rows, 1)),
        "mask_new": mask,
        "nameList": names,
        "ra": np.roll(np.arange(rows) + 1, 1)[None],
    } | changes
    scipy.io.savemat(path, {k: v for k, v in variables.items() if v is not None}, do_compression=True)
    return path


def test_a_face_of_the_data_base_by_hand(tmp_path):
    one, two = read(database(tmp_path / "aflw.sqlite", SCHEMA, GOOD))
    labelled = {18: [49.5, 98.25], 0: [0, 1], 12: [40, 60]}
    assert {int(i): one.landmarks[i].tolist() for i in np.flatnonzero(one.visibility)} == labelled
    assert one.visibility[[0, 12, 18]].tolist() == [2, 2, 2]
    assert np.isnan(one.landmarks[one.visibility == 0]).all()
    assert one.box.tolist() == [10, 20, 100, 90]
    assert (one.image, one.image_size, one.box_source) == ("0/image1.jpg", (640, 480), "annotated")
    assert one.attributes == {
        "sex": "f", "occluded": False, "glasses": True, "roll": 0.25, "pitch": -0.5, "yaw": 1.5,
    }  # fmt: skip
    assert (one.subject, one.split) == ("0/image1", "")
    assert one.where.endswith("aflw.sqlite (face 39341)")
    assert two.landmarks[1].tolist() == [-1, -1]
    assert (two.box, two.box_source, two.attributes) == (None, "none", {})


def test_features_go_by_the_names_the_data_base_gives(tmp_path):
    named = """CREATE TABLE FeatureCoordTypes (feature_id INTEGER PRIMARY KEY, descr TEXT);
    INSERT INTO FeatureCoordTypes VALUES (1, 'ChinCenter'), (21, 'LeftEar'), (14, 'LeftBrowCenter');"""
    one, _ = read(database(tmp_path / "aflw.sqlite", SCHEMA, GOOD, named))
    assert np.flatnonzero(one.visibility).tolist() == [1, 18]
    assert one.landmarks[[1, 18]].tolist() == [[40, 60], [0, 1]]


@pytest.mark.parametrize(
    ("base", "picture"),
    [
        ("aflw.sqlite", "flickr/0/image1.jpg"),
        ("data/aflw.sqlite", "data/flickr/0/image1.jpg"),
        ("aflw.sqlite", "data/flickr/0/image1.jpg"),
        ("aflw.sqlite", "images/0/image1.jpg"),
        ("a/aflw.db", "a/0/image1.jpg"),
    ],
)
def test_pictures_are_found_below_flickr(tmp_path, base, picture):
    database(tmp_path / base, SCHEMA, GOOD)
    (tmp_path / picture).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / picture).write_bytes(b"")
    assert {face.image for face in read(tmp_path)} == {picture}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ("UPDATE FeatureCoords SET x = 'left'", "not_a_number"),
        ("UPDATE FeatureCoords SET y = 9e999", "not_a_number"),
        ("UPDATE FeatureCoords SET y = 1e39", "not_a_number"),
        ("UPDATE FeatureCoords SET y = x'00'", "not_a_number"),
        ("UPDATE FaceRect SET w = 0", "bad_box"),
        ("UPDATE FaceRect SET h = -3", "bad_box"),
        ("UPDATE FaceRect SET h = NULL", "bad_box"),
        ("UPDATE FaceRect SET w = 1e-50", "bad_box"),
        ("UPDATE FaceRect SET x = 'a'", "bad_box"),
        ("UPDATE FaceImages SET filepath = '../../etc/passwd'", "bad_path"),
        ("UPDATE FaceImages SET filepath = '/etc/passwd'", "bad_path"),
        ("UPDATE FaceImages SET filepath = x'41'", "bad_path"),
        ("DELETE FROM FaceImages; UPDATE Faces SET file_id = NULL", "bad_path"),
    ],
)
def test_bad_faces_of_the_data_base_are_skipped(tmp_path, change, reason):
    first, *_ = read(database(tmp_path / "aflw.sqlite", SCHEMA, GOOD, change))
    assert isinstance(first, Skipped)
    assert first.reason == reason
    assert first.where.endswith("aflw.sqlite (face 39341)")


def test_of_a_face_with_many_rows_the_first_count(tmp_path):
    more = """INSERT INTO FaceRect VALUES (39341, 1, 1, 1, 1, 4);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 5000)
    INSERT INTO FeatureCoords SELECT 39341, 22, 1, 1, 1 FROM n;"""
    one, two = read(database(tmp_path / "aflw.sqlite", SCHEMA, GOOD, more))
    assert one.box.tolist() == [10, 20, 100, 90]
    assert two.landmarks[1].tolist() == [-1, -1]


@pytest.mark.parametrize(
    ("scripts", "what"),
    [
        ((SCHEMA, "DROP TABLE Faces"), "no table Faces"),
        ((SCHEMA, "DROP TABLE FeatureCoords"), "no table FeatureCoords"),
        ((SCHEMA, "ALTER TABLE FeatureCoords DROP COLUMN y"), "table FeatureCoords has no column y"),
        (
            (
                SCHEMA,
                "DROP TABLE Faces; CREATE VIEW Faces AS SELECT 1 AS face_id, 'a' AS file_id, 'b' AS db_id",
            ),
            "Faces is no plain table",
        ),
        (
            (
                SCHEMA,
                "DROP TABLE FaceRect; CREATE VIEW FaceRect AS WITH RECURSIVE n(face_id) AS "
                "(SELECT 1 UNION ALL SELECT face_id FROM n) "
                "SELECT face_id, 1 AS x, 1 AS y, 1 AS w, 1 AS h FROM n",
            ),
            "FaceRect is no plain table",
        ),
        (
            (SCHEMA, "DROP TABLE FaceRect; CREATE VIRTUAL TABLE FaceRect USING rtree(face_id, x, y, w, h)"),
            "FaceRect is no plain table",
        ),
    ],
)
def test_other_data_bases_are_refused(tmp_path, scripts, what):
    path = database(tmp_path / "aflw.sqlite", *scripts)
    with open_tree(path) as tree, pytest.raises(InputError, match=what):
        list(FORMAT.read(tree, SCHEME, (path.name,)))


def test_a_trigger_without_end_is_not_run(tmp_path):
    trigger = """PRAGMA recursive_triggers = ON; CREATE TRIGGER again AFTER INSERT ON Faces BEGIN
    INSERT INTO Faces (file_id) VALUES ('more'); END;"""
    assert len(read(database(tmp_path / "aflw.sqlite", SCHEMA, GOOD, trigger))) == 2


def test_many_rows_of_a_face_in_every_table_make_no_product(tmp_path):
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 300) INSERT INTO"
    path = database(
        tmp_path / "aflw.sqlite",
        SCHEMA,
        GOOD,
        f"{many} FaceRect SELECT 39341, 1, 1, 1, 1, 1 FROM n;"
        f"{many} FacePose SELECT 39341, 0, 0, 0, 1 FROM n;"
        f"{many} FaceMetaData SELECT 39341, 'm', 0, 0, 0, 1 FROM n; {many} FaceImages (file_id) "
        "SELECT 'image1.jpg' FROM n;",
    )
    assert len(read(path)) == 2


def test_faces_are_joined_in_linear_time_without_an_index(tmp_path, monkeypatch):
    landmarks = np.ones((19, 2), np.float32)
    faces = (make_face(f"{i}.jpg", landmarks, attributes={"yaw": 0.5, "sex": "f"}) for i in range(3000))
    FORMAT.write(faces, tmp_path / "aflw.sqlite", SCHEME)
    monkeypatch.setattr(aflw_db, "_STEP", 10_000_000)
    with open_tree(tmp_path / "aflw.sqlite") as tree, aflw_db.Database(tree, "aflw.sqlite") as base:
        base._steps = 1  # 20 million instructions; a quadratic join takes ten times that
        assert sum(record["FacePose_yaw"] == 0.5 for record, _ in base.faces()) == 3000


def test_a_query_without_end_is_stopped(tmp_path, monkeypatch):
    path = database(tmp_path / "aflw.sqlite", SCHEMA, GOOD)
    monkeypatch.setattr(aflw_db, "_STEP", 10)
    monkeypatch.setattr(aflw_db.Database, "_count", lambda self: 1)
    with pytest.raises(InputError, match="damaged or endless data base"):
        read(path)


def test_files_that_are_no_data_base(tmp_path):
    path = database(tmp_path / "aflw.sqlite", SCHEMA, GOOD)
    data = path.read_bytes()
    for bad in (b"", b"face_id,x,y\n" * 100, data[:100], data[: len(data) // 2], data[:16] + data[::-1]):
        path.write_bytes(bad)
        with open_tree(path) as tree, pytest.raises(InputError, match=r"aflw\.sqlite: "):
            list(FORMAT.read(tree, SCHEME, (path.name,)))


def test_a_list_by_hand(tmp_path):
    one, two, three = read(aflw_list(tmp_path / "AFLWinfo_release.mat"))
    assert one.landmarks[[0, 18]].tolist() == [[0, 1000], [18, 1018]]
    assert two.landmarks[0].tolist() == [10, 1010]
    assert one.visibility.tolist() == [1] + [2] * 18
    assert one.box.tolist() == [2, 4, 20, 10]
    assert [f.image for f in (one, two, three)] == ["0/image0.jpg", "0/image1.jpg", "0/image2.jpg"]
    assert one.where.endswith("AFLWinfo_release.mat (row 1)")


def test_the_split_is_that_of_the_permutation(tmp_path, monkeypatch):
    monkeypatch.setattr(aflw_mat, "TRAINING", 2)  # of ra = 3, 1, 2: rows 3 and 1
    assert [f.split for f in read(aflw_list(tmp_path / "aflw.mat"))] == ["train", "test", "train"]
    assert [f.split for f in read(aflw_list(tmp_path / "aflw.mat", ra=None))] == ["", "", ""]


def test_the_published_size_splits_into_20000_and_the_others(tmp_path):
    order = np.random.default_rng(0).permutation(20_003) + 1
    splits = aflw_mat._splits(order[None].astype(np.uint16), 20_003, "x")
    assert splits.count("train") == 20_000
    assert [i + 1 for i, s in enumerate(splits) if s == "test"] == sorted(order[20_000:].tolist())


def test_missing_and_bad_rows_of_a_list(tmp_path):
    data = np.tile(np.arange(38) + 1.0, (7, 1))
    data[0, [2, 21]], data[0, 4], data[1, 5] = 0, np.nan, np.inf
    boxes = np.tile([3.0, 23, 5, 15], (7, 1))
    boxes[2, 1], boxes[3, 0], boxes[4, 3] = 3, np.nan, np.inf
    mask = np.ones((7, 19))
    mask[5, 5] = np.nan
    names = np.empty((7, 1), object)
    names[:, 0] = ["a.jpg"] * 6 + ["../../a.jpg"]
    path = aflw_list(tmp_path / "aflw.mat", 7, data=data, bbox=boxes, mask_new=mask, nameList=names)
    first, *bad = read(path)
    assert np.flatnonzero(first.visibility == 0).tolist() == [2, 4]
    assert np.isnan(first.landmarks[[2, 4]]).all()
    assert [s.reason for s in bad] == [
        "not_a_number", "bad_box", "bad_box", "bad_box", "not_a_number", "bad_path",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"nameList": None}, "no cell array nameList"),
        ({"data": None}, "data is missing"),
        ({"bbox": np.ones((2, 4))}, r"bbox is \(2, 4\)"),
        ({"mask_new": np.ones((3, 21))}, r"mask_new is \(3, 21\)"),
        ({"ra": [[1, 2, 2]]}, "ra is no permutation"),
    ],
)
def test_other_lists_are_refused(tmp_path, change, what):
    with pytest.raises(InputError, match=what):
        read(aflw_list(tmp_path / "aflw.mat", **change))


def test_a_truncated_list_is_refused(tmp_path):
    path = aflw_list(tmp_path / "aflw.mat")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=r"aflw\.mat: a damaged \.mat file"):
        read(path)


def test_a_base_is_known_by_its_table_and_left_out_where_the_list_repeats_it(tmp_path):
    database(tmp_path / "other.sqlite", "CREATE TABLE Faces (face_id)")
    (tmp_path / "Thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0")
    scipy.io.savemat(tmp_path / "1_points.mat", {"Points": np.ones((68, 2))})
    (tmp_path / "aflw_old.mat").write_bytes(b"MATLAB 7.3 MAT-file" + bytes(600))
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).why == "no *.sqlite with a table FeatureCoords and no AFLW*.mat"
        assert "aflw" not in {fmt.name for fmt in map(formats.get, formats.BUILT_IN) if fmt.detect(tree).fits}
    base = database(tmp_path / "data" / "aflw.sqlite", SCHEMA, GOOD)
    for path in (tmp_path, base):
        with open_tree(path) as tree:
            fits = [name for name in formats.BUILT_IN if formats.get(name).detect(tree).fits]
            assert "aflw" in fits
            assert path is tmp_path or fits == ["aflw"]
    aflw_list(tmp_path / "AFLWinfo_release.mat")
    with open_tree(tmp_path) as tree:
        found = FORMAT.detect(tree)
    assert found.files == ("AFLWinfo_release.mat",)
    assert found.why.endswith("left out as repeated by the list: data/aflw.sqlite")


def test_another_scheme_is_refused(tmp_path):
    with pytest.raises(InputError, match="scheme ibug68 has 68 points"):
        FORMAT.write([], tmp_path / "a.sqlite", get_scheme("ibug68"))


def test_written_tables_as_sqlite_reads_them(tmp_path):
    face = make_face("0/a.jpg", np.tile(np.float32([4.5, 7.25]), (19, 1)), split="train")
    face.landmarks[3], face.visibility[3], face.visibility[4] = np.nan, 0, 1
    face.box, face.box_source = np.array([0, 1, 2, 3], np.float32), "landmarks"
    face.attributes = {"sex": "m", "yaw": 0.5, "glasses": True, "blur": 1}
    sized = make_face("0/a.jpg", face.landmarks.copy(), image_size=(640, 480))
    sized.box = np.array([0, 0, 0, 3], np.float32)
    unwritable = make_face("../a\udc80.jpg", face.landmarks)
    report = FORMAT.write([face, sized, unwritable], tmp_path / "out", SCHEME)
    assert (report.faces, dict(report.lost)) == (
        2,
        {
            "box source": 2, "visibility": 1, "split": 1, "attributes": 1, "box": 1,
            "face with unwritable image name": 1,
        },
    )  # fmt: skip
    with closing(sqlite3.connect(tmp_path / "out" / "aflw.sqlite")) as base:
        rows = base.execute("SELECT feature_id, x, y FROM FeatureCoords WHERE face_id = 1").fetchall()
        assert rows == [(i, 5.5, 8.25) for i in range(1, 22) if i not in (4, 13, 17)]
        assert base.execute("SELECT * FROM FaceRect").fetchall() == [(1, 1, 2, 2, 3)]
        assert base.execute("SELECT file_id, filepath, width, height FROM FaceImages").fetchall() == [
            ("0/a.jpg", "0/a.jpg", 640, 480)
        ]
        assert base.execute("SELECT * FROM FacePose").fetchall() == [(1, None, None, 0.5)]
        assert base.execute("SELECT * FROM FaceMetaData").fetchall() == [(1, "m", None, 1, None)]


@given(
    st.lists(st.tuples(image_names(), points(19, whole=False)), max_size=3),
    st.sets(st.integers(0, 18), max_size=6),
    st.sampled_from([{}, {"sex": "f", "bw": True, "roll": 0.1}, {"occluded": False}]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, content, missing, attributes, one):
    faces = []
    for image, landmarks in content:
        landmarks[list(missing)] = np.nan
        faces.append(make_face(image, landmarks, attributes=dict(attributes), image_size=(30, 20)))
        faces[-1].box, faces[-1].box_source = np.array([1.5, -2, 3.25, 4], np.float32), "annotated"
    target = tmp_path_factory.mktemp("aflw") / ("out.sqlite" if one else "out")
    report = FORMAT.write(iter(faces), target, SCHEME)
    assert (report.faces, dict(report.lost)) == (len(faces), {})
    back = read(target)
    for got, face in zip(back, faces, strict=True):
        wanted = (face.landmarks.astype(np.float64) + 1 - 1).astype(np.float32)
        assert np.array_equal(got.landmarks, wanted, equal_nan=True)
        assert np.array_equal(got.visibility, face.visibility)
        assert got.box.tolist() == face.box.tolist()
        assert (got.image, got.image_size, got.attributes) == (face.image, (30, 20), attributes)


@pytest.mark.parametrize("kind", ["base", "list"])
def test_hostile_bytes_end_in_an_error_or_faces(tmp_path, kind):
    if kind == "base":
        path = database(tmp_path / "aflw.sqlite", "PRAGMA page_size = 512;" + SCHEMA, GOOD)
    else:
        path = aflw_list(tmp_path / "aflw.mat")
        variables = scipy.io.loadmat(path)  # not compressed: a changed byte is otherwise only a bad checksum
        scipy.io.savemat(path, {k: v for k, v in variables.items() if k[0] != "_"})
    good = path.read_bytes()
    chance = random.Random(7)
    for _ in range(200):
        data = bytearray(good)
        for _ in range(chance.randint(1, 10)):
            data[chance.randrange(len(data))] = chance.choice([0, 1, 255, chance.randrange(256)])
        data = data[: chance.choice([len(data), len(data), chance.randrange(len(data))])]
        path.write_bytes(data)
        with open_tree(path) as tree:
            try:
                FORMAT.detect(tree)
                for item in FORMAT.read(tree, SCHEME, (path.name,)):
                    assert isinstance(item, Face | Skipped)
            except FlmdError:
                pass
