"""Kaggle's training.csv: points and pixels by hand, bad input, resampling, and both ways."""

from __future__ import annotations

import csv
import pickle
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.core import images
from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats.kaggle_csv import KaggleCsv
from flmd.formats.kaggle_csv_rows import COLUMNS, picture_of
from flmd.schemes import get_scheme
from flmd.tree import open_tree
from tests.formats.random_faces import make_face, points, same_points

FORMAT, SCHEME = KaggleCsv(), get_scheme("kaggle15")
NUMBERS = [f"{i}.5" for i in range(30)]
GREYS = (np.arange(9216) % 251).astype(np.uint8).reshape(96, 96)
IMAGE = " ".join(map(str, GREYS.ravel()))


def table(*rows: list[str], header=COLUMNS) -> str:
    return "\n".join(",".join(row) for row in (header, *rows)) + "\n"


def read(folder: Path, text: str | bytes, name: str = "training.csv") -> list:
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with open_tree(folder) as tree:
        return list(FORMAT.read(tree, SCHEME, (name,)))


def test_a_row_is_read_as_written(tmp_path):
    (face,) = read(tmp_path, table([*NUMBERS, IMAGE]))
    assert face.landmarks.tolist() == [[2 * i + 0.5, 2 * i + 1.5] for i in range(15)]
    assert (face.image, face.subject, face.split) == ("training/00001.png", "training/00001", "train")
    assert face.image_size == (96, 96)
    assert face.where.endswith("training.csv:2")


def test_columns_in_any_order_and_blank_points(tmp_path):
    order = list(reversed(COLUMNS))
    cells = dict(zip(COLUMNS, [*NUMBERS, IMAGE], strict=True)) | {"nose_tip_x": "", "nose_tip_y": ""}
    (face,) = read(tmp_path, table([cells[c] for c in order], header=order))
    assert np.isnan(face.landmarks[10]).all()
    assert face.visibility.tolist() == [2] * 10 + [0] + [2] * 4
    assert face.landmarks[0].tolist() == [0.5, 1.5]


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_pictures_come_from_the_rows(tmp_path, ending):
    text = table([*NUMBERS, IMAGE], [*NUMBERS, ""], [*NUMBERS, IMAGE.replace("250", "0")])
    (tmp_path / "training.csv").write_bytes(text.replace("\n", ending).encode())
    with open_tree(tmp_path) as tree:
        view = pickle.loads(pickle.dumps(FORMAT.pictures(tree)))
        assert view.names == ["training/00001.png", "training/00003.png"]
        data = view.read("training/00001.png")
        assert np.array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), GREYS)
        third = images.to_grey(images.decode(view.open("training/00003.png").read()))
        assert np.array_equal(third, np.where(GREYS == 250, 0, GREYS))
        assert images.probe(view.read("training/00003.png", 0, 100)) == (96, 96)
        with pytest.raises(InputError, match="no such file"):
            view.read("training/00002.png")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c[:-1], "short_row"),
        (lambda c: [*c, "1"], "long_row"),
        (lambda c: ["nan", *c[1:]], "not_a_number"),
        (lambda c: ["", *c[1:]], "not_a_number"),
        (lambda c: ["1e39", *c[1:]], "not_a_number"),
        (lambda c: ["1_0", *c[1:]], "not_a_number"),
        (lambda c: ["é", *c[1:]], "not_a_number"),
    ],
)
def test_bad_rows_are_skipped(tmp_path, change, reason):
    bad, good = read(tmp_path, table(change([*NUMBERS, IMAGE]), [*NUMBERS, IMAGE]))
    assert isinstance(bad, Skipped)
    assert bad.reason == reason
    assert bad.where.endswith("training.csv:2")
    assert good.image == "training/00002.png"


def test_bad_headers_and_lines_are_named(tmp_path):
    with pytest.raises(InputError, match="training.csv:1: column 'nose_tip_y' is missing"):
        read(tmp_path, table(header=[c for c in COLUMNS if c != "nose_tip_y"]))
    with pytest.raises(InputError, match="column 'extra' in the header is not known"):
        read(tmp_path, table(header=[*COLUMNS, "extra"]))
    with pytest.raises(InputError, match="occurs twice"):
        read(tmp_path, table(header=[*COLUMNS, "Image"]))
    with pytest.raises(InputError, match="training.csv:2: a line of 262144 bytes"):
        read(tmp_path, table(["1" * 300_000]))


@pytest.mark.parametrize("image", ["1 " * 9215, IMAGE.replace("250", "256"), IMAGE.replace("250", "x")])
def test_bad_pixels_are_an_image_error(tmp_path, image):
    (tmp_path / "training.csv").write_text(table([*NUMBERS, image.ljust(19000)]))
    with open_tree(tmp_path) as tree, pytest.raises(images.ImageError, match="training.csv:2"):
        FORMAT.pictures(tree).read("training/00001.png")


def test_only_a_table_with_points_is_training_data(tmp_path):
    (tmp_path / "test.csv").write_text("ImageId,Image\n1,2 3\n")
    with open_tree(tmp_path) as tree:
        assert "test.csv has pictures but no points" in FORMAT.detect(tree).why
    (tmp_path / "training.csv").write_text(table())
    (tmp_path / "other.csv").write_text("," + ",".join(map(str, range(136))) + "\n")
    with open_tree(tmp_path) as tree:
        assert FORMAT.detect(tree).files == ("training.csv",)
    with open_tree(tmp_path / "training.csv") as tree:
        assert FORMAT.detect(tree).fits


def test_a_picture_of_96_pixels_is_kept(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), GREYS)
    face = make_face("a.png", np.full((15, 2), 7.25, np.float32))
    with open_tree(tmp_path) as tree:
        report = FORMAT.write([face], tmp_path / "training.csv", SCHEME, tree)
    assert (report.faces, dict(report.lost)) == (1, {"image name": 1, "split": 1})
    with (tmp_path / "training.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["Image"] == IMAGE
    assert row["nose_tip_x"] == "7.25"


def test_another_picture_is_resampled_with_its_points(tmp_path):
    """A blob drawn around a point is still around it."""
    y, x = np.mgrid[:300, :400]
    blob = 255 * np.exp(-((x - 210.3) ** 2 + (y - 120.7) ** 2) / 60)
    cv2.imwrite(str(tmp_path / "a.png"), np.dstack([blob, blob, blob * 0.5]).astype(np.uint8))
    face = make_face("a.png", np.full((15, 2), [210.3, 120.7], np.float32))
    face.box, face.box_source = np.array([150, 60, 120, 100], np.float32), "annotated"
    with open_tree(tmp_path) as tree:
        report = FORMAT.write([face], tmp_path / "out.csv", SCHEME, tree)
    assert report.lost["picture resampled to 96x96"] == report.lost["colour"] == report.lost["box"] == 1
    with open_tree(tmp_path / "out.csv") as tree:
        (back,) = FORMAT.read(tree, SCHEME, ("out.csv",))
        grey = images.to_grey(images.decode(FORMAT.pictures(tree).read(back.image))).astype(float)
    yy, xx = np.mgrid[:96, :96]
    centroid = [(grey * xx).sum() / grey.sum(), (grey * yy).sum() / grey.sum()]
    assert np.allclose(back.landmarks, centroid, atol=0.05)


@given(
    st.lists(
        st.tuples(points(15, whole=False), st.sampled_from(["train", "test", "val", ""])),
        min_size=1,
        max_size=3,
    ),
    st.sets(st.integers(0, 14), max_size=3),
)
@settings(max_examples=40, deadline=None)
def test_what_is_written_is_read_back(tmp_path_factory, content, missing):
    folder = tmp_path_factory.mktemp("kaggle")
    faces = []
    for landmarks, split in content:
        landmarks[list(missing)] = np.nan
        faces.append(make_face("x.png", landmarks, split=split))
    report = FORMAT.write(iter(faces), folder / "out", SCHEME)
    assert report.faces == report.lost["picture"] == len(faces)
    with open_tree(folder / "out") as tree:
        back = list(FORMAT.read(tree, SCHEME, FORMAT.detect(tree).files))
    order = {split: [f for f in faces if f.split == split] for split in ("train", "test", "val", "")}
    for split, wanted in order.items():
        got = [f for f in back if f.split == split]
        assert len(got) == len(wanted)
        assert all(map(same_points, got, wanted))


def test_hostile_bytes_end_in_an_error_or_faces(tmp_path):
    good = table([*NUMBERS, IMAGE], [*NUMBERS, IMAGE]).encode()
    chance = random.Random(3)
    for _ in range(100):
        data = bytearray(good)
        for _ in range(chance.randint(1, 20)):
            data[chance.randrange(1200)] = chance.choice([0, 10, 34, 44, 255, chance.randrange(256)])
        data = data[: chance.choice([len(data), chance.randrange(len(data))])]
        (tmp_path / "training.csv").write_bytes(data)
        with open_tree(tmp_path) as tree:
            try:
                FORMAT.detect(tree)
                for item in FORMAT.read(tree, SCHEME, ("training.csv",)):
                    assert isinstance(item, Face | Skipped)
                view = FORMAT.pictures(tree)
                for name in view.names:
                    view.read(name)
            except FlmdError:
                pass


def test_names_count_from_one():
    assert picture_of("a/training.csv", 12) == "a/training/00012.png"
