"""`flmd evaluate` with other programs' points: the numbers of the library, whatever the format."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from flmd import formats
from flmd.cli import flmd
from flmd.evaluation import evaluate, measure
from flmd.face import Face, visibility_of
from flmd.schemes import IBUG68
from flmd.store.face_store import FaceStore
from tests.cli.test_cli import call
from tests.factories import convert_list, make_face, write_picture


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """16 faces in pictures of their own, four of them to test on, whose eyes are 20 px apart."""
    folder = tmp_path_factory.mktemp("store")
    faces = []
    for i in range(16):
        rng = np.random.default_rng(i)
        write_picture(folder / f"a/{i}.png", rng.integers(0, 255, (100, 110, 3), dtype=np.uint8))
        face = make_face(f"a/{i}.png", seed=i, subject=f"s{i}", split="test" if i % 4 == 0 else "train")
        face.landmarks[36], face.landmarks[45] = (50, 50), (70, 50)
        faces.append(face)
    convert_list(folder, faces, folder / "faces.h5")[1].close()
    return folder / "faces.h5"


def moved(store: Path, by: dict[int, float]) -> list[Face]:
    """The test faces in these places, each moved to the right by so many pixels."""
    with FaceStore(store) as faces:
        rows = faces.rows_where(split="test")
        points, boxes = faces.numbers("landmarks", rows), faces.numbers("box", rows)
        images = faces.texts("image", rows)
    found = []
    for place, pixels in by.items():
        right = (points[place] + [pixels, 0]).astype(np.float32)
        found.append(
            Face(images[place], right, visibility_of(right), boxes[place], "annotated", image_size=(110, 100))
        )
    return found


def written(faces: list[Face], folder: Path, name: str, as_: str = "coco") -> Path:
    fmt = formats.get(as_)
    path = folder / f"{name}{fmt.suffix}"
    fmt.write(faces, path, IBUG68)
    return path


def test_one_file_of_points_is_measured_like_a_model(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path, tmp_path: Path
) -> None:
    # By hand: eyes 20 px apart, points 1, 2 and 3 px off: 5, 10 and 15 %; one face is missing.
    given = written(moved(store, {0: 1, 1: 2, 2: 3}), tmp_path, "other")
    out = tmp_path / "out"
    assert call(monkeypatch, flmd, "evaluate", store, "-p", given, "-o", out, "--threshold", 0.12) == 0
    said = capsys.readouterr()
    assert "1 faces of the store without points: its picture is not in the predictions" in said.err
    assert "a/12.png (face" in said.err
    metrics = json.loads((out / "metrics.json").read_text())["test"]
    assert (metrics["faces"], metrics["faces_missed"]) == (4, 1)
    assert metrics["nme"] == pytest.approx(0.10, abs=1e-6)
    assert metrics["auc12"] == pytest.approx((7 / 12 + 2 / 12) / 4, abs=1e-6)
    assert metrics["fr12"] == 0.5
    assert metrics["nme_mouth"] == pytest.approx(0.10, abs=1e-6)
    settings = json.loads((out / "evaluation.json").read_text())
    assert settings["predictions"]["format"] == "coco"
    assert settings["predictions"]["used"] == 3
    assert set(settings["made_from"]["inputs"]) == {"faces.h5", given.name}
    faces = pd.read_csv(out / "faces.csv")
    assert faces["nme"].tolist() == [0.05, 0.1, 0.15, np.inf]
    unmatched = (out / "unmatched_other.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in unmatched[1:]] == [["store", "a/12.png"]]
    assert {p.name for p in (out / "plots").glob("*.png")} == {
        "ced.png",
        "regions.png",
        "worst.png",
        "random.png",
    }


def test_several_are_compared_in_one_table_and_one_curve(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path, tmp_path: Path
) -> None:
    one = written(moved(store, {0: 1, 1: 1, 2: 1, 3: 4}), tmp_path, "one")
    two = written(moved(store, {0: 2, 1: 2, 2: 2, 3: 2}), tmp_path, "two", "dlib-xml")
    out = tmp_path / "out"
    arguments = ("evaluate", store, "-p", one, "-p", f"second={two}", "-o", out, "--also", "svg")
    assert call(monkeypatch, flmd, *arguments) == 0
    shown = capsys.readouterr().out
    assert "one - second, test" in shown
    tree = json.loads((out / "comparison.json").read_text())
    numbers = tree["datasets"]["test"]
    assert numbers["systems"]["one"]["nme"]["value"] == pytest.approx((0.05 * 3 + 0.2) / 4, abs=1e-6)
    # dlib's XML has whole pixels: up to half a pixel of each of 68 points.
    assert numbers["systems"]["second"]["nme"]["value"] == pytest.approx(0.1, abs=0.01)
    assert numbers["pairs"][0]["a_better"] == 0.75
    assert tree["bootstrap"] == {"draws": 2000, "level": 0.95, "of": "subjects", "seed": 0}
    assert pd.read_csv(out / "comparison.csv")["best"].tolist() == ["one", "one", "one", "second"]
    for name in ("ced.png", "ced.svg", "regions_test.svg", "wins_one.png", "wins_second.png"):
        assert (out / "plots" / name).stat().st_size > 500, name
    assert "n 4, AUC 0." in (out / "plots" / "ced.svg").read_text()
    assert (out / "one" / "metrics.json").exists()


def test_what_cannot_be_measured_is_said_in_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], store: Path, tmp_path: Path
) -> None:
    given = written(moved(store, {0: 1}), tmp_path, "other")
    elsewhere = moved(store, {0: 1})
    elsewhere[0].image = "zz.png"
    lost = written(elsewhere, tmp_path, "lost")
    five = formats.get("coco")
    few = [
        Face("a/0.png", f.landmarks[:5], f.visibility[:5], f.box, "annotated") for f in moved(store, {0: 1})
    ]
    from flmd.schemes import get_scheme

    five.write(few, tmp_path / "five.json", get_scheme("mtfl5"))
    cases = [
        ((), "nothing to measure"),
        (
            ("-p", lost),
            "is a face of the store: zz.png: its picture is not in the store",
        ),
        (("-p", tmp_path / "five.json"), "lacks"),
        (("-p", given, "-p", given), "another one is called other; --predictions NAME="),
        (("-p", given, "--overlap", 0), "--overlap is 0"),
        (("-p", tmp_path / "none.csv"), "no such file"),
    ]
    for arguments, message in cases:
        assert call(monkeypatch, flmd, "evaluate", store, "-o", tmp_path / "out", *arguments) == 2, message
        said = capsys.readouterr().err.splitlines()
        assert message in said[-1]
        assert not (tmp_path / "out" / "metrics.json").exists()
    (tmp_path / "out").mkdir(exist_ok=True)
    (tmp_path / "out" / "metrics.json").write_text("{}")
    assert call(monkeypatch, flmd, "evaluate", store, "-p", given, "-o", tmp_path / "out") == 2
    assert "holds an evaluation (metrics.json) already; add --overwrite" in capsys.readouterr().err


def test_other_schemes_are_measured_under_the_one_named(
    monkeypatch: pytest.MonkeyPatch, store: Path, tmp_path: Path
) -> None:
    given = written(moved(store, {0: 1, 1: 1, 2: 1, 3: 1}), tmp_path, "other")
    out = tmp_path / "out"
    assert call(monkeypatch, flmd, "evaluate", store, "-p", given, "-o", out, "--scheme", "mtfl5",
                "--normaliser", "box") == 0  # fmt: skip
    metrics = json.loads((out / "metrics.json").read_text())["test"]
    assert metrics["nme"] == pytest.approx(1 / 41, abs=1e-6)  # every one of five points 1 px off, boxes of 41


def test_dlibs_points_from_a_file_are_what_the_benchmark_measures(
    monkeypatch: pytest.MonkeyPatch, shared_data: Path, tmp_path: Path
) -> None:
    """dlib, trained here on real faces, measured in memory as benchmarks.accuracy does, and from a file."""
    pytest.importorskip("dlib")
    from benchmarks.accuracy import shape_predictor
    from benchmarks.accuracy.pictures import shown
    from flmd.conversion.opening import open_faces

    with open_faces(shared_data / "ibug_300w" / "labels_ibug_300W_test.xml") as source:
        real = [face for face in source if isinstance(face, Face)][:24]
    for i, face in enumerate(real):
        face.split, face.subject = "test" if i % 3 == 0 else "train", face.image
    _, store = convert_list(shared_data / "ibug_300w", real, tmp_path / "faces.h5", size=96)
    train, rows = store.rows_where(split="train"), store.rows_where(split="test")
    settings = shape_predictor.options(7, cascades=2, trees=10)
    predictor, _, _ = shape_predictor.train(shown(store, train, None), IBUG68, settings, mirror=False)
    predicted: NDArray[np.float32] = shape_predictor.predict(predictor, shown(store, rows, None))
    truth = evaluate.test_faces(store, rows)
    expected = measure.measure(truth, predicted, evaluate.mean_shapes(store), IBUG68).metrics
    boxes, images = store.numbers("box", rows), store.texts("image", rows)
    store.close()
    found = [
        Face(image, points, visibility_of(points), box, "annotated")
        for image, points, box in zip(images, predicted, boxes, strict=True)
    ]
    given = written(found, tmp_path, "dlib")
    out = tmp_path / "out"
    assert call(monkeypatch, flmd, "evaluate", tmp_path / "faces.h5", "-p", given, "-o", out) == 0
    metrics = json.loads((out / "metrics.json").read_text())["test"]
    assert metrics["faces_missed"] == 0
    for name in ("nme", "auc08", "fr08", "nme_mouth", "nme_jaw", "mean_shape_nme"):
        assert metrics[name] == pytest.approx(expected[f"test.{name}"], abs=2e-6), name
