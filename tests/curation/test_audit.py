"""What is planted in a store is found; a store without faults has none."""

from __future__ import annotations

import copy
import json
import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import typer
from numpy.typing import NDArray
from typer.testing import CliRunner

from flmd.cli.audit import audit_command
from flmd.core import geometry
from flmd.curation import alignment
from flmd.curation.audit import identities, outliers, page, search
from flmd.curation.audit.descriptors import unit_vectors
from flmd.curation.audit.findings import Audit
from flmd.curation.audit.identities import people_elsewhere
from flmd.curation.audit.inspection import audit
from flmd.curation.audit.page import write_page
from flmd.face import Face, visibility_of
from flmd.schemes import IBUG68
from flmd.sources.sample.ibug300w import Picture, draw
from flmd.store.face_store import FaceStore
from tests.factories import convert_list, write_picture
from tests.html_reading import POISON, shown, what_acts

COUNT = 40


class Faces:
    """Drawn faces in a folder, to which faults are added."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faces: list[Face] = []
        self.pixels: list[NDArray[np.uint8]] = []
        for n in range(COUNT):
            entry = draw(5, Picture(n, "afw", f"p{n}"))[0]
            rgb = cv2.imdecode(np.frombuffer(entry.jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
            self.add(
                f"drawn{n}x.jpg",
                np.asarray(rgb, np.uint8),
                entry.points[0],
                "test" if n % 4 == 0 else "train",
            )

    def add(self, name: str, rgb: NDArray[np.uint8], points: NDArray[np.generic], split: str) -> Face:
        write_picture(self.folder / name, rgb, quality=90)
        return self.label(name, points, split, rgb)

    def label(self, name: str, points: NDArray[np.generic], split: str, rgb: NDArray[np.uint8]) -> Face:
        places = np.array(points, np.float32)
        box = geometry.box_of_points(places).astype(np.float32)
        face = Face(name, places, visibility_of(places), box, "annotated", name, split)
        self.faces.append(face)
        self.pixels.append(rgb)
        return face

    def audit(self, **options: str) -> tuple[Audit, FaceStore]:
        target = self.folder / "faces.h5"
        # A conversion fills boxes in: the drawn faces are used by several tests.
        store = convert_list(self.folder, [replace(f) for f in self.faces], target, size=128, **options)[1]
        return audit(store), store


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Faces:
    return Faces(tmp_path_factory.mktemp("drawn"))


@pytest.fixture
def faces(drawn: Faces) -> Faces:
    """The drawn faces, to add to: what a test adds is gone after it."""
    own = Faces.__new__(Faces)
    own.folder, own.faces, own.pixels = drawn.folder, copy.deepcopy(drawn.faces), list(drawn.pixels)
    return own


def test_nothing_is_found_in_a_clean_store(faces: Faces) -> None:
    found, _ = faces.audit()
    assert found.clean, found.counts()
    assert found.faces == COUNT
    assert found.splits == {"test": 10, "train": 30}


def test_a_recompressed_brighter_shifted_copy_is_found_across_splits(faces: Faces) -> None:
    rgb, points = faces.pixels[1], faces.faces[1].landmarks
    moved = np.roll(np.clip(rgb.astype(float) * 1.15 + 8, 0, 255).astype(np.uint8), (3, -2), axis=(0, 1))
    faces.add("copy.jpg", moved, points + np.array([-2, 3]), "test")
    pairs = faces.audit()[0].pairs
    assert [(p.kind, p.rows, p.splits) for p in pairs] == [("near", (1, COUNT), ("train", "test"))]
    assert pairs[0].across
    assert pairs[0].landmark_error == pytest.approx(0, abs=1e-3)


def test_a_smaller_copy_is_found_though_its_box_differs(faces: Faces) -> None:
    rgb, points = faces.pixels[2], faces.faces[2].landmarks
    small = np.asarray(cv2.resize(rgb, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA), np.uint8)
    scale = np.array([small.shape[1] / rgb.shape[1], small.shape[0] / rgb.shape[0]])
    face = faces.add("small.jpg", small, (points + 0.5) * scale - 0.5, "train")
    assert face.box is not None
    face.box[:2] -= 4
    face.box[2:] += 14
    assert [(p.kind, p.rows) for p in faces.audit()[0].pairs] == [("near", (2, COUNT))]


def test_a_mirrored_twin_is_found_by_pixels_whatever_its_name(faces: Faces) -> None:
    for source, name in ((3, "another.jpg"), (5, "drawn5x_mirror.jpg")):
        rgb, points = faces.pixels[source], faces.faces[source].landmarks
        flipped = points[IBUG68.flip_indices()] * (-1, 1) + (rgb.shape[1] - 1, 0)
        faces.add(name, np.ascontiguousarray(rgb[:, ::-1]), flipped, "train")
    found = faces.audit()[0]
    pairs = found.pairs
    assert sorted((p.kind, p.rows, p.names_agree) for p in pairs) == [
        ("mirrored", (3, COUNT), False),
        ("mirrored", (5, COUNT + 1), True),
    ]
    assert max(p.landmark_error or 0 for p in pairs) < 1e-3
    # Only the one whose name says so was made on purpose; across splits, or with other landmarks, none is.
    assert [page.is_intended(p) for p in sorted(pairs, key=lambda p: p.rows)] == [False, True]
    named = next(p for p in pairs if p.names_agree)
    assert not page.is_intended(replace(named, splits=("train", "test")))
    assert not page.is_intended(replace(named, landmark_error=0.3))
    shown = {section.title: [card.rows for card in section.cards] for section in page._sections(found)}
    assert shown["Mirrored pictures, within a split"] == [(3, COUNT)]
    assert shown["Mirrored twins, intended"] == [(5, COUNT + 1)]


def test_a_twin_whose_points_were_not_reordered_is_found_and_its_landmarks_disagree(faces: Faces) -> None:
    rgb, points = faces.pixels[3], faces.faces[3].landmarks
    unordered = points * (-1, 1) + (rgb.shape[1] - 1, 0)
    faces.add("twin.jpg", np.ascontiguousarray(rgb[:, ::-1]), unordered, "train")
    found, _ = faces.audit()
    assert [(p.kind, p.rows) for p in found.pairs] == [("mirrored", (3, COUNT))]
    assert (found.pairs[0].landmark_error or 0) > 0.3
    assert [o.row for o in found.outliers] == [COUNT]
    assert any("left and right are swapped" in reason for reason in found.outliers[0].reasons)


def test_the_same_file_under_two_names_is_an_exact_copy_not_a_near_one(faces: Faces) -> None:
    (faces.folder / "same.jpg").write_bytes((faces.folder / "drawn4x.jpg").read_bytes())
    faces.label("same.jpg", faces.faces[4].landmarks, "train", faces.pixels[4])
    assert [(p.kind, p.rows, p.across) for p in faces.audit()[0].pairs] == [("exact", (4, COUNT), True)]


def test_subjects_and_names_in_two_splits_are_told(faces: Faces) -> None:
    faces.faces[0].subject = faces.faces[1].subject = "somebody"
    faces.faces[7].image = "Ann_Lee_21.jpg"
    faces.faces[8].image = "more/Ann_Lee_3.jpg"
    for row in (7, 8):
        write_picture(faces.folder / faces.faces[row].image, faces.pixels[row])
    found, _ = faces.audit()
    assert [(s.name, s.faces) for s in found.shared_subjects] == [("somebody", {"test": 1, "train": 1})]
    assert [(s.name, s.rows) for s in found.shared_names] == [("Ann_Lee", (7, 8))]


@pytest.mark.parametrize(
    ("image", "person"),
    [
        ("test/Luis_Fonsi_21.jpg", "Luis_Fonsi"),
        ("George_W_Bush_0001.jpg", "George_W_Bush"),
        ("Luis_Fonsi/0021.jpg", "Luis_Fonsi"),
        ("helen/296814969_3.jpg", "296814969"),
        ("helen/296814969_3_mirror.jpg", "296814969"),
        ("lfpw/trainset/image_0021.jpg", None),
        ("face_image_0021.jpg", None),
        ("trainset/0021.jpg", None),
        ("portrait.jpg", None),
    ],
)
def test_person_named(image: str, person: str | None) -> None:
    assert identities.person_named(image) == person


def test_a_name_that_all_pictures_have_is_not_a_person() -> None:
    images = [f"My_Data_{n}.jpg" for n in range(100)]
    splits = ["train", "test"] * 50
    assert identities.shared_names(images, images, splits, []) == []


def test_one_face_labelled_twice_is_a_conflict_and_its_picture_in_two_splits(faces: Faces) -> None:
    faces.label("drawn9x.jpg", faces.faces[9].landmarks + np.float32(6), "test", faces.pixels[9])
    found, _ = faces.audit()
    assert [s.name for s in found.shared_pictures] == ["drawn9x.jpg"]
    # Faces of one picture adjoin in a store.
    assert [c.rows for c in found.conflicts] == [(9, 10)]
    box = faces.faces[9].box
    assert box is not None
    assert found.conflicts[0].error == pytest.approx(6 * 2**0.5 / box[2:].max(), rel=1e-3)
    assert found.pairs == []


def test_wrong_landmarks_are_told_with_the_reason(faces: Faces) -> None:
    points = [face.landmarks for face in faces.faces]
    side = float(np.ptp(points[1][:, 0]))
    points[1][8] += (side, side)
    points[2][:] = points[2][IBUG68.flip_indices()]
    points[3][10:] = points[3][30]
    box = faces.faces[6].box
    assert box is not None
    box[:2] += box[2:] * np.float32(0.9)
    points[7][:] -= points[7].max(axis=0) + side
    found = {o.row: "; ".join(o.reasons) for o in faces.audit()[0].outliers}
    assert set(found) == {1, 2, 3, 6, 7}
    assert "jaw_8" in found[1]
    assert "left and right are swapped" in found[2]
    assert "collapsed" in found[3]
    assert "box does not match" in found[6]
    assert "68 points lie" in found[7]


def test_search_finds_what_a_plain_double_loop_finds() -> None:
    rng = np.random.default_rng(2)
    vectors = unit_vectors(rng.normal(size=(300, 6)), np.ones(300, bool))
    i, j, cut = search.alike(vectors, vectors, 0.93, np.zeros(300, int))
    expected = {(a, b) for a in range(300) for b in range(a + 1, 300) if vectors[a] @ vectors[b] >= 0.93}
    assert set(zip(i.tolist(), j.tolist(), strict=True)) == expected
    assert not cut
    assert len(expected) > 10


def test_of_too_many_matches_those_across_splits_are_kept() -> None:
    vectors = unit_vectors(np.tile([1.0, 0.0, 0.0], (60, 1)), np.ones(60, bool))
    groups = np.array([0] * 57 + [1] * 3)
    i, j, cut = search.alike(vectors, vectors, 0.9, groups)
    assert cut
    assert set(j[i == 0].tolist()) >= {57, 58, 59}
    assert (i == 0).sum() == search.MOST_EACH


def test_twenty_thousand_faces_are_compared_in_seconds() -> None:
    rng = np.random.default_rng(3)
    vectors = unit_vectors(rng.normal(size=(20_000, 256)).astype(np.float32), np.ones(20_000, bool))
    vectors[19_999] = vectors[5]
    start = time.perf_counter()
    i, j, _ = search.alike(vectors, vectors, 0.9, np.zeros(20_000, int))
    assert time.perf_counter() - start < 30
    assert (i.tolist(), j.tolist()) == ([5], [19_999])


def test_page_is_one_file_that_escapes_names_and_says_how_many_more(faces: Faces, tmp_path: Path) -> None:
    for n in range(3):
        name = f"copy<b>{n}.png"
        faces.add(name, faces.pixels[9 + n], faces.faces[9 + n].landmarks, "train")
    found, store = faces.audit(color="grey")
    write_page(found, store, tmp_path / "audit.html", most=2)
    text = (tmp_path / "audit.html").read_text()
    assert "and 1 more" in text
    assert "copy<b>" not in text
    assert "copy&lt;b&gt;" in text
    assert text.count("data:image/jpeg;base64,") == 4
    assert what_acts(text) == []
    assert [path.name for path in tmp_path.iterdir()] == ["audit.html"]


def test_poisoned_names_subjects_and_splits_are_text_on_the_page(faces: Faces, tmp_path: Path) -> None:
    for n, poison in enumerate(POISON):
        face = faces.add(f"{poison}.png", faces.pixels[n], faces.faces[n].landmarks, f"{poison}{n}")
        face.subject = faces.faces[n].subject = poison
    found, store = faces.audit(color="grey")
    found.notes.extend(POISON)
    write_page(found, store, tmp_path / "audit.html")
    page = (tmp_path / "audit.html").read_text(encoding="utf-8")
    assert what_acts(page) == []
    texts = shown(page)
    for poison in POISON:
        for words in (f"Note: {poison}.", f"{poison}.png", f"{poison}\n: "):
            assert words in texts


def test_command_prints_lines_or_json_and_check_decides_the_exit_code(faces: Faces) -> None:
    app = typer.Typer()
    app.command()(audit_command)
    run = CliRunner().invoke
    faces.audit()[1].close()
    store = str(faces.folder / "faces.h5")
    clean = run(app, [store, "--check"])
    assert clean.exit_code == 0
    assert "nothing found" in clean.output
    faces.faces[0].subject = faces.faces[1].subject = "somebody"
    faces.audit()[1].close()
    assert run(app, [store]).exit_code == 0
    assert "subjects in two splits: 1" in run(app, [store]).output
    checked = run(app, [store, "--json", "--check"])
    assert checked.exit_code == 1
    assert json.loads(checked.stdout)["counts"]["shared_subjects"] == 1


def test_how_many_of_a_splits_people_are_elsewhere() -> None:
    subjects = ["a", "b", "a", "c", "", "d"]
    splits = ["train", "train", "test", "train", "test", "val"]
    assert people_elsewhere(subjects, splits) == ["1 of 1 subjects in test are in train too"]
    assert people_elsewhere(subjects, ["train"] * 6) == []


def test_faces_judged_in_many_blocks_are_judged_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    mean = rng.normal(0, 1, 9) + 1j * rng.normal(0, 1, 9)
    points = mean + 0.1 * (rng.normal(0, 1, (100, 9)) + 1j * rng.normal(0, 1, (100, 9)))
    points[rng.random(points.shape) < 0.05] = np.nan
    points[17] += 3 * rng.normal(0, 1, 9)
    odd, left = outliers.shape_scores(points, mean)
    fitted = alignment.fit(points, mean)
    monkeypatch.setattr(alignment, "BLOCK", 7)
    again = outliers.shape_scores(points, mean)
    assert odd.argmax() == 17
    assert again[0] == pytest.approx(odd, abs=1e-9)
    assert again[1] == pytest.approx(left, abs=1e-9)
    for one, other in zip(fitted, alignment.fit(points, mean), strict=True):
        assert np.array_equal(one, other, equal_nan=True)
