"""The comparators: faces in their pictures, the way back to image pixels, and the table of results."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.accuracy import chart, cost, naive, results
from benchmarks.accuracy.pictures import Shown, mirrored, shown
from benchmarks.accuracy.results import Row
from flmd import models
from flmd.errors import InputError, StoreError
from flmd.evaluation import evaluate, measure
from flmd.schemes import IBUG68
from flmd.store.face_store import FaceStore
from tests.factories import blob_picture, centroid, convert_list, make_face, write_picture

POINT = (61.0, 47.0)  # the blob is drawn here, and point 30 (the nose's tip) labelled
NOSE = 30


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tree")
    write_picture(folder / "face.png", blob_picture(121, 100, POINT))
    return folder


@pytest.fixture(scope="module")
def store(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    faces = [make_face("face.png", split=split, seed=n) for n, split in enumerate(("train", "val", "test"))]
    for face in faces:
        face.landmarks = np.rint(face.landmarks)
        face.landmarks[NOSE] = POINT
    return convert_list(tree, faces, tmp_path_factory.mktemp("store") / "faces.h5")[1]


@pytest.fixture(params=["tree", "crops"])
def face(request: pytest.FixtureRequest, store: FaceStore, tree: Path) -> Shown:
    return next(shown(store, np.array([0]), tree if request.param == "tree" else None))


def test_the_pixels_and_the_points_of_a_face_agree(face: Shown) -> None:
    assert centroid(face.pixels) == pytest.approx(face.points[NOSE], abs=0.1)
    assert face.to_image(face.points)[NOSE] == pytest.approx(POINT)


def test_whole_pictures_are_shown_as_they_are(store: FaceStore, tree: Path) -> None:
    (face,) = shown(store, np.array([0]), tree)
    assert face.pixels.shape == (100, 121)
    assert face.box.tolist() == [40, 30, 41, 41]
    assert face.points.astype(np.float32).tolist() == store.numbers("landmarks")[0].tolist()


def test_an_enlarged_crop_has_its_box_around_the_face(store: FaceStore) -> None:
    (face,) = shown(store, np.array([0]), None)
    side = 3 * 64 / 2.4  # the crop of 64 px, three times enlarged, holds 2.4 boxes
    assert face.box == pytest.approx([96 - side / 2, 96 - side / 2, side, side])


def test_a_mirrored_twin_shows_its_points(face: Shown) -> None:
    twin = mirrored(face, IBUG68)
    width = face.pixels.shape[1]
    assert centroid(twin.pixels) == pytest.approx(twin.points[NOSE], abs=0.1)
    assert twin.points[NOSE] == pytest.approx([width - 1 - face.points[NOSE, 0], face.points[NOSE, 1]])
    # The twin's outer corner of the right eye (36) is the left one's (45) in the mirror.
    assert twin.points[36] == pytest.approx([width - 1 - face.points[45, 0], face.points[45, 1]])
    left, _, wide, _ = face.box
    assert twin.box[0] == pytest.approx(width - left - wide)
    # Its affine leads to the picture as it was, where the points are still in the twin's order.
    assert twin.to_image(twin.points)[36] == pytest.approx(face.to_image(face.points)[45])


def test_mirrored_twice_is_the_face_itself(face: Shown) -> None:
    again = mirrored(mirrored(face, IBUG68), IBUG68)
    assert np.array_equal(again.pixels, face.pixels)
    for name in ("box", "points", "affine"):
        np.testing.assert_allclose(getattr(again, name), getattr(face, name), atol=1e-9)


def test_a_point_that_is_not_labelled_is_nan(tree: Path, tmp_path: Path) -> None:
    hidden = make_face("face.png")
    hidden.visibility[3] = 0
    hidden.landmarks[3] = np.nan
    _, store = convert_list(tree, [hidden], tmp_path / "faces.h5")
    (face,) = shown(store, np.array([0]), None)
    assert np.isnan(face.points[3]).all()
    assert np.isfinite(np.delete(face.points, 3, axis=0)).all()
    assert len(naive.Faces([face], 32)) == 0


def test_without_crops_the_pictures_must_be_named(store: FaceStore) -> None:
    bare = SimpleNamespace(numbers=store.numbers, has_crops=False, path=store.path)
    with pytest.raises(StoreError, match="name its pictures: --pictures"):
        next(shown(bare, np.array([0]), None))  # type: ignore[arg-type]


def test_a_planted_dlib_predictor_is_measured_exactly(store: FaceStore, tree: Path) -> None:
    """In whole pictures, points that are whole pixels come back to the bit."""
    shape_predictor = _shape_predictor()
    rows = np.arange(3)
    truth = store.numbers("landmarks", rows)

    class Planted:
        def __init__(self) -> None:
            self.faces = iter(truth)

        def __call__(self, pixels: NDArray[np.uint8], box: object) -> SimpleNamespace:
            assert (box.left(), box.top(), box.right(), box.bottom()) == (40, 30, 80, 70)  # type: ignore[attr-defined]
            points = [SimpleNamespace(x=x, y=y) for x, y in next(self.faces)]
            return SimpleNamespace(parts=lambda: points)

    predicted = shape_predictor.predict(Planted(), shown(store, rows, tree))
    assert np.array_equal(predicted, truth)


def test_dlib_learns_a_face_and_finds_it_in_image_pixels(store: FaceStore, tree: Path) -> None:
    """Trained on one face alone, it answers with that face: within the rounding to whole pixels."""
    shape_predictor = _shape_predictor()
    settings = shape_predictor.options(7, cascades=2, trees=5)
    rows = np.array([0])
    for pictures, pixels in ((tree, 0.01), (None, 0.75)):
        predictor, faces, left_out = shape_predictor.train(
            shown(store, rows, pictures), IBUG68, settings, mirror=False
        )
        assert (faces, left_out) == (1, 0)
        found = shape_predictor.predict(predictor, shown(store, rows, pictures))
        np.testing.assert_allclose(found, store.numbers("landmarks", rows), atol=pixels)


def test_dlib_sees_the_twins_too(store: FaceStore, tree: Path) -> None:
    shape_predictor = _shape_predictor()
    settings = shape_predictor.options(7, cascades=1, trees=2)
    _, faces, _ = shape_predictor.train(shown(store, np.arange(2), tree), IBUG68, settings, mirror=True)
    assert faces == 4


def test_parameters_of_a_shape_predictor() -> None:
    shape_predictor = _shape_predictor()
    settings = shape_predictor.options(7, cascades=2, trees=3)
    # 6 trees of 15 splits (3 numbers) and 16 leaves (136); 2 pools of 400 places (3 numbers); a mean shape.
    assert shape_predictor.parameters(settings, 68) == 6 * (45 + 16 * 136) + 2 * 400 * 3 + 136


def test_naive_targets_lead_back_to_image_pixels(face: Shown) -> None:
    pixels, target = naive.item(face, 32)
    assert pixels.shape == (32, 32)
    np.testing.assert_allclose(naive.back(target, face, 32), face.to_image(face.points), atol=1e-4)


def test_a_planted_naive_network_is_measured_exactly(store: FaceStore) -> None:
    """A network that puts out the targets of the first face finds its points, and so an NME of 0."""
    rows = np.array([0])
    (face,) = shown(store, rows, None)
    _, target = naive.item(face, 32)
    planted = _Constant(torch.from_numpy(target))
    faces = evaluate.test_faces(store, rows)
    predicted = naive.predict(planted, [face], 32)
    measured = measure.measure(faces, predicted, evaluate.mean_shapes(store), IBUG68)
    assert measured.metrics["test.nme"] < 1e-6


def test_the_naive_pipeline_repeats_itself(store: FaceStore) -> None:
    (one,) = shown(store, np.array([0]), None)
    (other,) = shown(store, np.array([1]), None)
    runs = [
        naive.train(naive.Faces([one], 32), naive.Faces([other], 32), "cnn2", 68, 2, seed=3)[0]
        for _ in range(2)
    ]
    assert np.array_equal(*(naive.predict(model, [one], 32) for model in runs))


def test_flops_and_parameters_worked_out_by_hand() -> None:
    network = models.build("cnn2", channels=1, input_size=12, width=2, hidden=3, points=5)
    # 12 -> conv 5 -> 8 -> pool 4 -> conv 3 -> 2 -> pool 1; then 4 -> 3 -> 10.
    macs = 8 * 8 * 2 * 25 + 2 * 2 * 4 * 2 * 9 + 4 * 3 + 3 * 10
    assert cost.flops(network, torch.zeros(1, 1, 12, 12)) == 2 * macs
    assert cost.parameters(network) == (25 * 2 + 2) + (2 * 9 * 4 + 4) + (4 * 3 + 3) + (3 * 10 + 10)


def test_latency_gives_the_median_and_the_threads_back() -> None:
    threads = torch.get_num_threads()
    seen = []
    took = cost.latency([lambda: seen.append(torch.get_num_threads())] * 30)
    assert set(seen) == {1}
    assert torch.get_num_threads() == threads
    assert 0 <= took["median"] <= took["p95"]
    assert took["calls"] == 30


def test_the_stopwatch_counts_children_and_no_sleep() -> None:
    watch = cost.Stopwatch()
    subprocess.run([sys.executable, "-c", "import time\nwhile time.process_time() < 0.3: pass"], check=True)
    time.sleep(0.3)
    took = watch.read()
    assert took["seconds"] >= took["cpu_seconds"] + 0.25
    assert took["cpu_seconds"] >= 0.28  # counted in ticks


def test_rows_come_back_as_they_were_written(tmp_path: Path) -> None:
    rows = [_row("dlib", 0.04), _row("fast", 0.03)]
    for row in rows:
        results.append(row, tmp_path)
    assert results.read([tmp_path]) == rows


def test_regions_keep_their_order(tmp_path: Path) -> None:
    row = replace(_row("dlib", 0.04), regions={"drawn": {"nose": 0.03, "jaw": 0.05}})
    results.append(row, tmp_path)
    assert "| NME % by region | nose | jaw |" in results.markdown(results.read([tmp_path]))


def test_a_damaged_line_is_named(tmp_path: Path) -> None:
    results.append(_row("dlib", 0.04), tmp_path)
    with (tmp_path / results.FILE).open("a") as out:
        out.write(json.dumps({"system": "x"}) + "\n")
    with pytest.raises(InputError, match=r"results\.jsonl:2"):
        results.read([tmp_path])
    with pytest.raises(InputError, match="no such file"):
        results.read([tmp_path / "elsewhere"])


def test_the_table_puts_the_best_first_and_keeps_the_last_row_of_a_system() -> None:
    page = results.markdown([_row("dlib", 0.09), _row("fast", 0.03), _row("dlib", 0.04)])
    first = page.split("| all (2 faces)")[1].splitlines()
    assert first[2].startswith(
        "| fast | annotated | 3.00 | 0.500 | 12.5 % | 1,234,567 | 98.8 | 1.25 | 2.50 | 0.75 | 2.0 |"
    )
    assert first[3].startswith("| dlib | annotated | 4.00 |")
    assert "9.00" not in page
    assert "| fast | five epochs | 2.5 min | 100 s | 7 | `python -m benchmarks.accuracy` |" in page


def test_short_trainings_stand_in_a_table_of_their_own_and_not_in_the_chart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = replace(_row("accurate", 0.19), whole=False)
    main, apart = results.markdown([short, _row("fast", 0.03)]).split("### Short trainings")
    assert "accurate" not in main
    assert "| accurate | drawn, subject | five epochs | 19.00 |" in apart
    assert "fast" not in apart
    assert results.markdown([short]).startswith("### Short trainings")
    drawn: list[str] = []
    monkeypatch.setattr(
        chart, "_panel", lambda place, dataset, rows, colours: drawn.extend(r.system for r in rows)
    )
    chart.draw([short, _row("fast", 0.03)], tmp_path / "chart.png")
    assert drawn == ["fast"]


def test_systems_measured_on_other_faces_stand_in_another_table() -> None:
    page = results.markdown([_row("dlib", 0.04), replace(_row("fast", 0.03), test_faces={"drawn": "others"})])
    assert page.count("| all (2 faces)") == 2


def test_the_chart_is_a_picture_of_every_panel(tmp_path: Path) -> None:
    rows = [_row("dlib", 0.04), replace(_row("fast", 0.03), test_faces={"drawn": "others"}, flops=None)]
    chart.draw(rows, tmp_path / "chart.png")
    height, width, _ = cv2.imread(str(tmp_path / "chart.png")).shape
    assert width == pytest.approx(2 * 5.2 * 120, abs=2)
    assert height == pytest.approx(6 * 120, abs=2)


def test_what_has_no_number_is_a_dash() -> None:
    bare = replace(
        _row("mean shape", 0.2), parameters=None, flops=None, bytes=None, latency=None, seconds=None
    )
    assert "| mean shape | annotated | 20.00 | 0.500 | 12.5 % | – | – | – | – | – | – |" in results.markdown(
        [bare]
    )


def test_the_digest_tells_test_faces_apart(store: FaceStore) -> None:
    digests = [
        results.digests_of(evaluate.test_faces(store, np.array(rows)))["test"]
        for rows in ([0, 1], [0, 1], [1, 0], [0])
    ]
    assert digests[0] == digests[1] == digests[2]
    assert digests[3] != digests[0]


def test_the_digest_does_not_look_at_boxes(store: FaceStore) -> None:
    faces = evaluate.test_faces(store, np.array([0, 1]))
    assert results.digests_of(replace(faces, box=faces.box + 1)) == results.digests_of(faces)
    assert results.digests_of(replace(faces, landmarks=faces.landmarks + 1)) != results.digests_of(faces)


class _Constant(nn.Module):
    def __init__(self, target: torch.Tensor) -> None:
        super().__init__()
        self.target = target

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.target.expand(len(x), -1, -1)


def _shape_predictor():  # type: ignore[no-untyped-def]
    pytest.importorskip("dlib")
    from benchmarks.accuracy import shape_predictor

    return shape_predictor


def _row(system: str, nme: float) -> Row:
    metrics = {"drawn.faces": 2, "drawn.nme": nme, "drawn.auc08": 0.5, "drawn.fr08": 0.125}
    return Row(
        system=system,
        test_faces={"drawn": "abc"},
        splits={"drawn": "subject"},
        command="python -m benchmarks.accuracy",
        seed=7,
        ran="five epochs",
        seconds=150,
        cpu_seconds=100,
        metrics=metrics,
        settings={
            "normaliser": "inter_ocular",
            "threshold": 0.08,
            "datasets": {"drawn": {"box_source": {"annotated": 2}}},
        },
        regions={"drawn": {"jaw": nme}},
        parameters=1234567,
        flops=98_760_000,
        bytes=2**21,
        latency={"median": 1.25, "p95": 2.5, "load": 0.75},
    )


@dataclass
class Recorded:
    """A store as far as its records go."""

    names: list[str]
    made_from: dict[str, object]

    def texts(self, column: str) -> list[str]:
        assert column == "dataset"
        return self.names


def converted(split: str) -> dict[str, object]:
    return {"stage": "convert", "params": {"dataset": {"split": split, "box": "image"}}}


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (Recorded(["a", "a"], converted("subject")), {"a": "subject"}),
        (
            Recorded(
                ["b", "a", "b"],  # the faces' order is not the inputs'
                {
                    "stage": "merge",
                    "inputs": {"a.h5": "1", "b.h5": "2"},
                    "earlier": {"1": converted("standard"), "2": converted("published")},
                },
            ),
            {"a": "standard", "b": "published"},
        ),
        (Recorded(["a", "b"], {}), {"a": "", "b": ""}),
    ],
)
def test_the_split_is_the_one_that_the_store_was_made_with(
    recorded: Recorded, expected: dict[str, str]
) -> None:
    assert results.splits_of(cast("FaceStore", recorded)) == expected
