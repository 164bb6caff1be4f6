"""YouTube Faces CSV: every trap of the format, bad input, the real files against csv, and both ways."""

from __future__ import annotations

import csv
import random
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats.youtube_faces_csv import YouTubeFacesCsv
from flmd.schemes import IBUG68
from flmd.tree import open_tree
from tests.formats.random_faces import HARD, image_names, make_face, points, same_points

CSV = YouTubeFacesCsv()
HEADER = "," + ",".join(map(str, range(136)))
NUMBERS = [f"{i}.0" for i in range(136)]
EXPECTED = np.arange(136, dtype=np.float32).reshape(68, 2)


def row(name: str = "A_B_1.jpg", cells: list[str] = NUMBERS, **wrong: str) -> str:
    """A row of 0.0, 1.0, …; ``_5="nan"`` sets the cell of column 5."""
    return ",".join([name, *(wrong.get(f"_{i}", cell) for i, cell in enumerate(cells))])


def table(*rows: str) -> str:
    return "\n".join([HEADER, *rows]) + "\n"


def read(folder: Path, text: str | bytes, name: str = "training_frames_keypoints.csv", pictures=()) -> list:
    for path in (folder / name, *(folder / p for p in pictures)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_tree(folder) as tree:
        return list(CSV.read(tree, IBUG68, (name,)))


def test_a_row_is_read_as_written(tmp_path):
    (face,) = read(tmp_path, table(row("Luis_Fonsi_21.jpg", _0="-23.0")))
    assert face.landmarks[0].tolist() == [-23, 1]
    assert np.array_equal(face.landmarks[1:], EXPECTED[1:])
    assert face.landmarks.dtype == np.float32
    assert (face.visibility == 2).all()
    assert (face.box, face.box_source, face.split) == (None, "none", "train")
    assert (face.image, face.subject) == ("training/Luis_Fonsi_21.jpg", "Luis_Fonsi")
    assert face.where.endswith("training_frames_keypoints.csv:2 (image Luis_Fonsi_21.jpg)")


@pytest.mark.parametrize(
    ("name", "pictures", "image"),
    [
        ("training_frames_keypoints.csv", ["training/A_B_1.jpg", "test/A_B_1.jpg"], "training/A_B_1.jpg"),
        ("test_frames_keypoints.csv", ["training/A_B_1.jpg", "test/A_B_1.jpg"], "test/A_B_1.jpg"),
        ("test_frames_keypoints.csv", ["training/A_B_1.jpg"], "test/A_B_1.jpg"),
        ("x/y/test_frames_keypoints.csv", ["x/y/test/A_B_1.jpg"], "x/y/test/A_B_1.jpg"),
        ("test_frames_keypoints.csv", ["A_B_1.jpg"], "A_B_1.jpg"),
        ("points.csv", ["A_B_1.jpg", "training/A_B_1.jpg"], "A_B_1.jpg"),
        ("points.csv", ["training/A_B_1.jpg"], "training/A_B_1.jpg"),
        ("points.csv", ["test/A_B_1.jpg"], "test/A_B_1.jpg"),
        ("points.csv", [], "A_B_1.jpg"),
        ("val.csv", ["val/A_B_1.jpg"], "val/A_B_1.jpg"),
    ],
)
def test_pictures_lie_in_the_folder_of_their_split(tmp_path, name, pictures, image):
    assert read(tmp_path, table(row()), name, pictures)[0].image == image


def test_one_name_in_both_files_is_two_faces(tmp_path):
    for split in ("training", "test"):
        read(tmp_path, table(row()), f"{split}_frames_keypoints.csv", [f"{split}/A_B_1.jpg"])
    with open_tree(tmp_path) as tree:
        faces = list(CSV.read(tree, IBUG68, CSV.detect(tree).files))
    assert [(f.split, f.image) for f in faces] == [
        ("test", "test/A_B_1.jpg"),
        ("train", "training/A_B_1.jpg"),
    ]


def test_a_point_with_both_cells_blank_is_not_labelled(tmp_path):
    (face,) = read(tmp_path, table(row(_6="", _7=" ")))
    assert np.isnan(face.landmarks[3]).all()
    assert face.visibility.tolist() == [2] * 3 + [0] + [2] * 64
    assert np.array_equal(np.delete(face.landmarks, 3, 0), np.delete(EXPECTED, 3, 0))


@pytest.mark.parametrize(
    ("bad", "reason", "what"),
    [
        (row(cells=NUMBERS[:-1]), "short_row", "136 cells, expected 137"),
        ("A_B_1.jpg", "short_row", "1 cells, expected 137"),
        (row(cells=[*NUMBERS, ""]), "long_row", "138 cells, expected 137"),
        (row(_6=""), "not_a_number", "column 6 holds '', expected a number"),
        (row(_7="nan"), "not_a_number", "column 7 holds 'nan'"),
        (row(_6="NaN", _7="NaN"), "not_a_number", "column 6 holds 'NaN'"),
        (row(_9="x\x1b"), "not_a_number", "column 9 holds 'x\\x1b'"),
        (row(_9="inf"), "not_a_number", "'inf'"),
        (row(_9="1e39"), "not_a_number", "'1e39'"),
        (row(_9="1_0"), "not_a_number", "'1_0'"),
        (row(""), "bad_path", "without a name"),
        (row("../../x.jpg"), "bad_path", "'../../x.jpg'"),
        (row("/etc/passwd"), "bad_path", "'/etc/passwd'"),
        (row("Z.jpg"), "duplicate_row", "earlier row"),
    ],
)
def test_bad_rows_are_skipped_and_located(tmp_path, bad, reason, what):
    found = read(tmp_path, table(row("Z.jpg"), bad, row("last.jpg")))
    assert isinstance(found[0], Face)
    assert found[1].reason == reason
    assert what in found[1].what
    assert "keypoints.csv:3 (image " in found[1].where
    assert isinstance(found[2], Face)
    assert found[2].where.endswith(":4 (image last.jpg)")


def test_a_row_after_a_bad_one_of_the_same_name_is_kept(tmp_path):
    found = read(tmp_path, table(row(_0="x"), row()))
    assert [getattr(f, "reason", "face") for f in found] == ["not_a_number", "face"]


def test_crlf_bom_blank_lines_and_quoted_names(tmp_path):
    text = table(row('"odd, ""name""_1.jpg"'), "", row("b.jpg")).replace("\n", "\r\n").encode("utf-8-sig")
    odd, plain = read(tmp_path, text)
    assert odd.image == 'training/odd, "name"_1.jpg'
    assert plain.where.endswith(":4 (image b.jpg)")


def test_names_that_are_not_utf8_match_the_trees(tmp_path):
    (face,) = read(tmp_path, table(row("caf\udce9_1.jpg")).encode("utf-8", "surrogateescape"))
    assert face.image == "training/caf\udce9_1.jpg"
    assert face.where.endswith("(image caf\\xe9_1.jpg)")


COLUMNS = HEADER.split(",")


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("", "it is empty"),
        (",".join(c for c in COLUMNS if c != "17"), "column '17' is missing"),
        (HEADER + ",subject", "column 'subject' in the header is not known"),
        (HEADER.replace(",5,6,", ",6,5,"), "column '6' in the header is out of place"),
        (HEADER + ",135", "column '135' in the header is out of place"),
        ("name" + HEADER, "begins with 'name'"),
    ],
)
def test_a_wrong_header_is_one_line_that_names_the_column(tmp_path, header, what):
    (tmp_path / "training_frames_keypoints.csv").write_text(header and header + "\n" + row() + "\n")
    with open_tree(tmp_path) as tree:
        detection = CSV.detect(tree)
        assert detection.fits
        with pytest.raises(InputError) as caught:
            list(CSV.read(tree, IBUG68, detection.files))
    assert "training_frames_keypoints.csv:1: " in str(caught.value)
    assert what in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_open_quote_is_one_line_after_the_good_rows(tmp_path):
    (tmp_path / "a.csv").write_text(table(row(), '"b' + row("c.jpg")))
    found: list[Face | Skipped] = []
    with open_tree(tmp_path) as tree, pytest.raises(InputError, match=r"a\.csv:3: broken CSV"):
        found.extend(CSV.read(tree, IBUG68, ("a.csv",)))  # keeps what came before the error
    assert len(found) == 1


def test_an_endless_line_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text(table(row(), "x" * 3_000_000))
    with open_tree(tmp_path) as tree, pytest.raises(InputError, match=r"a\.csv:3: "):
        list(CSV.read(tree, IBUG68, ("a.csv",)))


def test_a_table_is_known_by_its_header_and_one_that_joins_others_is_left_out(tmp_path):
    (tmp_path / "other.csv").write_text("a,b\n1,2\n")
    (tmp_path / "wide.csv").write_text("," + ",".join(map(str, range(4000))) + "\n")
    with open_tree(tmp_path) as tree:
        found = CSV.detect(tree)
        assert not found.fits
        assert (
            found.why
            == "no *.csv with the header ,0,1,…,135 (other.csv: column '0' is missing from the header)"
        )
    for name in ("deep/er/ALL.CSV", "deep/er/test_points.csv", "lone.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(table())
    with open_tree(tmp_path) as tree:
        found = CSV.detect(tree)
    assert found.files == ("deep/er/test_points.csv", "lone.csv")
    assert "left out as the union of these: deep/er/ALL.CSV" in found.why


def test_another_scheme_is_refused(tmp_path):
    class Five:
        name, count = "five", 5

    with open_tree(tmp_path) as tree, pytest.raises(InputError, match="scheme five has 5 points"):
        list(CSV.read(tree, Five, ("a.csv",)))


def test_memory_stays_flat(tmp_path):
    (tmp_path / "a.csv").write_text(table(*(row(f"{i}.jpg") for i in range(2000))))
    with open_tree(tmp_path) as tree:
        tracemalloc.start()
        count = sum(1 for _ in CSV.read(tree, IBUG68, ("a.csv",)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert count == 2000
    assert peak < 2e6


# Writing


@st.composite
def faces(draw, split):
    landmarks = draw(points(68, whole=draw(st.booleans())))
    landmarks[draw(st.lists(st.integers(0, 67), max_size=5))] = np.nan
    folder = {"train": "training/", "test": "test/"}[split]
    return make_face(folder + draw(image_names(HARD + ",\n\r;\udce9")), landmarks, split=split)


def written(folder: Path) -> list[Face | Skipped]:
    with open_tree(folder) as tree:
        return list(CSV.read(tree, IBUG68, CSV.detect(tree).files))


@settings(max_examples=60, deadline=None)
@given(train=st.lists(faces("train"), max_size=3), test=st.lists(faces("test"), max_size=3))
def test_writing_and_reading_gives_the_same_faces(tmp_path_factory, train, test):
    given_faces = list({f.image: f for f in [*test, *train]}.values())
    target = tmp_path_factory.mktemp("round") / "out"
    report = CSV.write(iter(given_faces), target, IBUG68)
    assert report.faces == len(given_faces)
    assert not report.lost
    for a, b in zip(given_faces, written(target), strict=True):
        assert same_points(a, b)
        assert (a.image, a.split) == (b.image, b.split)


def simple(image: str = "training/A_B_1.jpg", split: str = "train", **fields: object) -> Face:
    return make_face(image, EXPECTED.copy(), split=split, **fields)


def test_files_look_as_published(tmp_path):
    half = simple("training/b.jpg")
    half.landmarks[0] = 0.1, -2
    CSV.write([simple(), half, simple("test/A_B_1.jpg", "test")], tmp_path / "out", IBUG68)
    train, test = (tmp_path / "out" / f"{s}_frames_keypoints.csv" for s in ("training", "test"))
    assert train.read_text() == table(row(), row("b.jpg", _0="0.1", _1="-2.0"))
    assert test.read_text() == table(row())
    CSV.write([], tmp_path / "none", IBUG68)
    assert [p.name for p in (tmp_path / "none").iterdir()] == ["training_frames_keypoints.csv"]


def lost(tmp_path: Path, face: Face, target: str = "out") -> dict[str, int]:
    return dict(CSV.write([face], tmp_path / target, IBUG68).lost)


def test_losses_are_counted(tmp_path):
    assert lost(tmp_path, simple(subject="A_B")) == {}
    assert lost(tmp_path, simple(), "one.csv") == {"split": 1}
    assert lost(tmp_path, simple(), "train.csv") == {}
    assert lost(tmp_path, simple(split="val")) == {"split": 1}
    assert lost(tmp_path, simple(split="")) == {"split": 1}
    assert lost(tmp_path, simple(box=np.float32([1, 2, 3, 4]), box_source="annotated")) == {"box": 1}
    assert lost(tmp_path, simple(attributes={"blur": 1}, subset="x")) == {"attributes": 1, "subset": 1}
    assert lost(tmp_path, simple(subject="somebody")) == {"subject": 1}
    hidden = simple()
    hidden.visibility[0] = 1
    assert lost(tmp_path, hidden) == {"visibility": 1}


def test_a_second_face_of_one_picture_has_no_row(tmp_path):
    report = CSV.write([simple(), simple()], tmp_path / "out.csv", IBUG68)
    assert report.faces == 1
    assert report.lost == {"another face of one picture": 1, "split": 1}
    assert len(written(tmp_path)) == 1


@pytest.mark.parametrize("target", ["out.csv", "out"])
def test_a_failed_write_leaves_nothing(tmp_path, target):
    def stops():
        yield simple()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        CSV.write(stops(), tmp_path / target, IBUG68)
    assert list(tmp_path.iterdir()) == []


def test_writing_into_a_folder_that_is_there_keeps_its_pictures(tmp_path):
    (tmp_path / "out" / "training").mkdir(parents=True)
    (tmp_path / "out" / "training" / "A_B_1.jpg").touch()
    CSV.write([simple()], tmp_path / "out", IBUG68)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "training",
        "training_frames_keypoints.csv",
    ]
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def test_mutated_files_end_in_faces_skips_or_one_line(tmp_path):
    whole = table(row(), row("b.jpg", _3="", _4="")).encode()
    rng = random.Random(11)
    path = tmp_path / "test_frames_keypoints.csv"
    for _ in range(400):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 5)):
            at = rng.randrange(len(data))
            if rng.random() < 0.7:
                data[at] = rng.choice(b',"\r\n\0\xff\xfe.e-+_ nx')
            else:
                del data[at : at + rng.randint(1, 20)]
        path.write_bytes(data)
        with open_tree(tmp_path) as tree:
            CSV.detect(tree)
            found: list[Face | Skipped | FlmdError] = []
            try:
                found.extend(CSV.read(tree, IBUG68, (path.name,)))
            except FlmdError as error:
                found.append(error)
            for item in found:
                text = str(item) if isinstance(item, FlmdError) else item.where
                assert "\n" not in text


def test_every_real_number_is_that_of_the_csv_module(shared_data, tmp_path):
    folder = shared_data / "youtube_faces"
    if not folder.is_dir():
        pytest.skip(f"no youtube_faces in {shared_data}")
    with open_tree(folder) as tree:
        detection = CSV.detect(tree)
        found = list(CSV.read(tree, IBUG68, detection.files))
        assert all(f.image in tree for f in found)
    expected = []
    for name in detection.files:
        with (folder / name).open(newline="") as file:
            expected += [
                (name.split("_")[0], r[0], list(map(float, r[1:]))) for r in list(csv.reader(file))[1:]
            ]
    assert len(found) == len(expected) == 1853
    assert [f.image for f in found] == [f"{split}/{name}" for split, name, _ in expected]
    assert np.array_equal([f.landmarks.ravel() for f in found], [numbers for _, _, numbers in expected])
    assert {f.split for f in found} == {"train", "test"}
    CSV.write(found, tmp_path / "out", IBUG68)
    for name in detection.files:
        assert (tmp_path / "out" / name).read_text() == (folder / name).read_text()
