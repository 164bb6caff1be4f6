"""`flmd-data audit` with a model: from wrong labels to a list, to corrections, and back into a store."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from ruamel.yaml import YAML

from flmd import formats
from flmd.cli import judging
from flmd.conversion.opening import open_faces
from flmd.core import geometry
from flmd.curation.audit.disagreement import Judged
from flmd.curation.audit.findings import Pair
from flmd.curation.audit.folds import folds_of, units_of
from flmd.curation.corrections import crop_keys, key_in
from flmd.curation.write_annotations import write_faces
from flmd.errors import ParamsError
from flmd.face import Face, visibility_of
from flmd.projects import settings
from flmd.store.face_store import FaceStore
from tests.cli.conftest import Outcome
from tests.curation.test_disagreement import FLIP, face_shape
from tests.factories import convert_list, write_picture
from tests.html_reading import what_acts

COUNT, SWAPPED, WILD = 32, 3, 7
Flmd = Callable[..., Outcome]


def points_of(number: int) -> NDArray[np.float32]:
    """Where the points of a face really are: in a picture of 200 px."""
    rng = np.random.default_rng(number)
    shape = face_shape(1, 1 + 0.2 * (number % 3), number % 4) * rng.uniform(0.8, 1.2)
    return (shape + rng.uniform(90, 110, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 faces, of two people each two; the label of one is swapped, of another a point is wild."""
    folder = tmp_path_factory.mktemp("store")
    faces = []
    for n in range(COUNT):
        rng = np.random.default_rng(n)
        write_picture(folder / f"{n:02d}.png", rng.integers(0, 255, (200, 200, 3), np.uint8))
        points = points_of(n) + rng.normal(0, 0.5, (68, 2)).astype(np.float32)
        if n == SWAPPED:
            points = points[FLIP]
        if n == WILD:
            points[40] += 30
        box = geometry.box_of_points(points_of(n)).astype(np.float32)
        face = Face(f"{n:02d}.png", points, visibility_of(points), box, "annotated", f"s{n // 2}")
        faces.append(replace(face, split="test" if n % 4 == 3 else "train"))
    convert_list(folder, faces, folder / "faces.h5", color="grey")[1].close()
    return folder / "faces.h5"


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that knows where the points are."""

    def judged(faces: FaceStore, path: Path, split: str, device: str) -> Judged:
        rows = np.arange(len(faces)) if split == "all" else faces.rows_where(split=split)
        truth = [points_of(int(faces.texts("image")[row][:2])) for row in rows.tolist()]
        return judging.judged_rows(faces, rows, np.array(truth), path.name, unseen=True)

    monkeypatch.setattr(judging, "judged_by_model", judged)


@pytest.mark.usefixtures("oracle")
@pytest.mark.parametrize(("to", "name"), [("cvat", "wrong.xml"), ("label-studio", "wrong.json")])
def test_from_wrong_labels_to_a_corrected_store(
    store: Path, tmp_path: Path, flmd_data: Flmd, to: str, name: str
) -> None:
    listed, page, wrong = tmp_path / "list.json", tmp_path / "audit.html", tmp_path / "c" / name
    (tmp_path / "c").mkdir()
    call = (
        "audit",
        store,
        "--model",
        store,
        "--list",
        listed,
        "--html",
        page,
        "--correct",
        wrong,
        "--to",
        to,
    )
    done = flmd_data(*call)
    assert done.code == 0, done.err
    assert "labels that faces.h5 disagrees with: 2 (left and right swapped 1, one wild point 1)" in done.out
    faces = json.loads(listed.read_text())["faces"]
    assert {face["image"]: face["kind"] for face in faces} == {"03.png": "swapped", "07.png": "wild_point"}
    text = page.read_text()
    assert text.count("data:image/jpeg") >= 4
    assert "points of the model" in text
    assert what_acts(text) == []
    assert "exists already" in flmd_data(*call).err

    corrected(wrong, to, store)
    fixed = flmd_data("fix", store, wrong, "-o", tmp_path / "new.h5")
    assert fixed.code == 0, fixed.err
    assert "2 faces changed, 0 of the 2" in fixed.out
    with FaceStore(tmp_path / "new.h5") as new, FaceStore(store) as old:
        for row, image in enumerate(new.texts("image")):
            apart = np.abs(new.numbers("landmarks")[row] - points_of(int(image[:2])))
            assert apart.max() < (0.01 if image[:2] in ("03", "07") else 4)
        assert (new.crops[:] == old.crops[:]).all()
    again = flmd_data("audit", tmp_path / "new.h5", "--model", store, "--json", "--check")
    assert json.loads(again.out)["suspects"] == []


def corrected(path: Path, to: str, store: Path) -> None:
    """Move all points of a list of crops to where they really are."""
    with FaceStore(store) as faces:
        rows = {key: row for row, key in enumerate(crop_keys(faces))}
        images, affines = faces.texts("image"), faces.numbers("affine")
    with open_faces(path, scheme="ibug68") as source:
        found = [face for face in source if isinstance(face, Face)]
    for face in found:
        row = rows[key_in(face.image) or ""]
        face.landmarks[:] = geometry.apply(affines[row], points_of(int(images[row][:2])))
    write_faces(found, formats.get(to), path, source.scheme, overwrite=True)


@pytest.mark.usefixtures("oracle")
def test_corrections_of_whole_pictures_and_of_the_first_only(
    store: Path, tmp_path: Path, flmd_data: Flmd
) -> None:
    call = ("audit", store, "--model", store, "--correct", tmp_path / "c.xml", "--first", "1")
    assert flmd_data(*call, "--originals", store.parent).code == 0
    with open_faces(tmp_path / "c.xml") as source:
        (face,) = (face for face in source if isinstance(face, Face))
    assert face.attributes["found"] in ("swapped", "wild_point")
    assert (tmp_path / face.image).read_bytes() == (store.parent / face.image).read_bytes()
    kept = flmd_data("fix", store, tmp_path / "c.xml", "-o", tmp_path / "new.h5")
    assert "0 faces changed, 1 of the 1 corrected as before" in kept.out


@pytest.mark.usefixtures("oracle")
def test_one_split_alone_and_nothing_to_correct(store: Path, tmp_path: Path, flmd_data: Flmd) -> None:
    call = ("audit", store, "--model", store, "--split", "train", "--least", "90")
    done = flmd_data(*call, "--correct", tmp_path / "c.xml")
    assert (done.code, done.err) == (0, f"{tmp_path / 'c.xml'}: not written, as no label disagrees\n")
    assert not (tmp_path / "c.xml").exists()
    assert "fewer than 30 faces were judged" in flmd_data(*call).out


def test_options_that_do_not_fit_are_one_line(store: Path, tmp_path: Path, flmd_data: Flmd) -> None:
    for arguments, said in (
        (("--model", "none.pt"), "no such file"),
        (("--model", store, "--folds", "3"), "one of them"),
        (("--folds", "1"), "2 or more"),
        (("--recipe", "fast"), "add --folds"),
        (("--split", "test"), "add --model"),
        (("--list", tmp_path / "a.csv"), "add --model"),
        (("--model", store, "--list", tmp_path / "a.txt"), "a name ending in .csv or .json"),
        (("--model", store, "--originals", "x"), "add --correct"),
        (("--model", store, "--least", "nan"), "--least is nan"),
        (("--model", store), "faces.h5"),
    ):
        done = flmd_data("audit", store, *arguments)
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
        assert said in done.err


def small_settings(path: Path) -> None:
    """flmd's own settings, but for a training of a second."""
    settings.write_own(path)
    tree = YAML().load(path)
    tree["augment"].update({"input_size": 32, "variants": 1, "albumentations": []})
    tree["train"].update({"network": "cnn2", "network_options": {}, "epochs": 1, "cpu": "native"})
    YAML().dump(tree, path)


def test_every_face_is_judged_by_a_network_that_has_not_seen_its_person(
    store: Path, tmp_path: Path, flmd_data: Flmd, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flmd.evaluation import evaluate

    small = tmp_path / "params.yaml"
    small_settings(small)
    seen: list[set[str]] = []
    predict = evaluate.predict_rows

    def noted(faces: FaceStore, rows: NDArray[np.intp], *rest: object) -> NDArray[np.float32]:
        seen.append(set(np.array(faces.texts("subject"))[rows].tolist()))
        return predict(faces, rows, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(evaluate, "predict_rows", noted)
    how = ("--folds", "2", "--params", small, "--keep", tmp_path / "runs", "--workers", "1")
    call = ("audit", store, *how)
    done = flmd_data(*call, "--json", "--list", tmp_path / "a.csv")
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found["judge"] == "networks of 2 folds"
    assert not any("split train" in note for note in found["notes"])
    assert len(seen) == 2
    assert not seen[0] & seen[1]
    assert len(seen[0] | seen[1]) == COUNT // 2
    kept = sorted(path.name for path in (tmp_path / "runs" / "fold_1").iterdir())
    assert kept == ["best.pt", "last.pt"]
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("*.pt")}
    assert flmd_data(*call, "--json").out == done.out
    assert {path: path.stat().st_mtime_ns for path in made} == made


def test_people_pictures_and_twins_stay_together(store: Path) -> None:
    with FaceStore(store) as faces:
        units = units_of(faces)
        assert units[0] == units[1] != units[2]
        assert len(set(units)) == COUNT // 2
        twin = Pair("mirrored", (1, 31), ("a", "b"), ("", ""), ("", ""), 1.0, None, True)
        joined = units_of(faces, [twin])
        assert joined[0] == joined[1] == joined[30] == joined[31]
        fold = folds_of(joined, 5, 7)
        for unit in set(joined):
            assert len({int(f) for f, u in zip(fold, joined, strict=True) if u == unit}) == 1
        assert sorted(np.bincount(fold).tolist())[0] >= 4
        assert folds_of(joined, 5, 7).tolist() == fold.tolist()
        with pytest.raises(ParamsError, match="--folds 16, but only 15 groups"):
            folds_of(joined, 16, 7)
