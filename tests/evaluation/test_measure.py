"""Predictions mapped back, and an evaluation from end to end on faces whose errors are known."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from flmd.core import geometry
from flmd.core.params import EvaluateParams
from flmd.core.terminal import text
from flmd.errors import InputError, ParamsError
from flmd.evaluation import evaluate, metrics, report_files
from flmd.evaluation import measure as evaluation
from flmd.evaluation.measure import TestFaces, measure, predict, threshold_suffix
from flmd.models.normalisation import Normalisation
from flmd.schemes import IBUG68
from flmd.schemes.head_pose import MEAN_SHAPE, rotation

S = 32


class Recalls(nn.Module):
    """Puts out the truth: the first pixel of each picture says which face it is."""

    def __init__(self, answers: np.ndarray) -> None:
        super().__init__()
        self.answers = torch.from_numpy(answers.astype(np.float32))

    def forward(self, x: Tensor) -> Tensor:
        assert not self.training
        assert x.dtype == torch.float32
        face = ((x[:, 0, 0, 0] * 0.5 + 0.5) * 255).round().long()
        return self.answers[face]


def crops(count: int, channels: int = 1) -> np.ndarray:
    images = np.zeros((count, S, S) if channels == 1 else (count, 3, S, S), np.uint8)
    images[..., 0, 0] = np.arange(count).reshape(-1, *[1] * (images.ndim - 3))
    return images


def posed(yaw: float, centre: float, size: float) -> np.ndarray:
    return size * (MEAN_SHAPE @ rotation(yaw, 0, 0).T)[:, :2] + centre


def known_faces() -> TestFaces:
    """Two data sets; the second has no subsets and one face without its outer eye corner."""
    landmarks = np.stack(
        [posed(yaw, 300.0, size) for yaw, size in zip(YAWS, (20, 30, 60, 120, 30, 30), strict=True)]
    )
    landmarks[5, 36] = np.nan
    box = np.stack([geometry.box_of_points(face) for face in landmarks])
    return TestFaces(
        image=[f"a/{i}.png" for i in range(6)],
        dataset=["ibug300w"] * 4 + ["youtube_faces"] * 2,
        subset=["common", "common", "common", "challenging", "", ""],
        subject=list("abcdef"),
        box=box,
        box_source=["annotated"] * 4 + ["landmarks"] * 2,
        landmarks=landmarks,
        visibility=np.where(np.isnan(landmarks[..., 0]), 0, 2),
    )


YAWS = (0.0, 20.0, -20.0, 40.0, 0.0, 0.0)
SHIFTS = np.array([0.01, 0.02, 0.03, 0.10, 0.04, 0.04])  # NME of each face, inter-ocular


def evaluated(**changes: object) -> evaluation.Evaluation:
    faces = known_faces()
    whole = np.where(np.isnan(faces.landmarks), 0, faces.landmarks)
    ocular = np.linalg.norm(whole[:, 36] - whole[:, 45], axis=1)
    predicted = whole + (SHIFTS * ocular)[:, None, None] * [0.6, 0.8]
    shape = metrics.mean_shape(faces.landmarks, faces.box)
    options = {"normaliser": "inter_ocular", "threshold": 0.08, **changes}
    return measure(faces, predicted, {"ibug300w": shape, "youtube_faces": shape}, IBUG68, **options)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("batch", [1, 4, 64])
def test_predictions_come_back_through_random_affines(channels: int, batch: int) -> None:
    rng = np.random.default_rng(batch)
    count = 11
    truth = rng.uniform(-50, 2000, (count, 68, 2))
    affines = geometry.augmentation(
        np.concatenate([rng.uniform(0, 1500, (count, 2)), rng.uniform(200, 900, (count, 2))], axis=1),
        1.3,
        S,
        rotation=rng.uniform(-180, 180, count),
        scale=rng.uniform(0.7, 1.4, count),
        shift=rng.uniform(-0.1, 0.1, (count, 2)),
        flip=rng.random(count) < 0.5,
    )
    recipe = Normalisation(S, points_offset=0.45, points_scale=0.25)
    units = recipe.points(geometry.apply(affines, truth))
    seen: list[int] = []
    model = Recalls(units)
    points = predict(model, crops(count, channels), affines, recipe, batch=batch, progress=seen.append)
    assert points.shape == (count, 68, 2)
    assert points.dtype == np.float32
    assert sum(seen) == count
    assert model.training  # left as it came
    np.testing.assert_allclose(points, truth, atol=1e-3)


def test_a_network_that_looks_at_the_middle_says_the_middle_of_the_picture() -> None:
    # A 64 px picture shrunk to 32: the middle of both is their common middle, 31.5 and 15.5.
    recipe = Normalisation(S)
    points = predict(Recalls(np.zeros((1, 68, 2))), crops(1), geometry.resize_affine(0.5)[None], recipe)
    np.testing.assert_allclose(points, 31.5)


def test_a_diverged_network_is_an_error_of_one_line() -> None:
    answers = np.zeros((3, 68, 2))
    answers[1, 5] = np.nan
    identity = np.tile(geometry.resize_affine(1), (3, 1, 1))
    with pytest.raises(InputError, match="not finite for 1 of 3 faces; its training diverged"):
        predict(Recalls(answers), crops(3), identity, Normalisation(S))
    with pytest.raises(InputError, match="no test faces"):
        predict(Recalls(answers), crops(0), identity[:0], Normalisation(S))


def test_nme_by_data_set_and_subset() -> None:
    m = evaluated().metrics
    assert m["ibug300w.nme"] == pytest.approx(0.04)
    assert m["ibug300w.common.nme"] == pytest.approx(0.02)
    assert m["ibug300w.challenging.nme"] == pytest.approx(0.10)
    assert m["ibug300w.full.nme"] == pytest.approx(0.04)
    assert m["ibug300w.fr08"] == 0.25
    assert m["ibug300w.auc08"] == pytest.approx((7 / 8 + 6 / 8 + 5 / 8) / 4)
    assert [m[f"ibug300w.{s}.faces"] for s in ("common", "challenging", "full")] == [3, 1, 4]
    assert m["ibug300w.nme_mouth"] == pytest.approx(0.04)  # a shift moves every region alike
    assert m["ibug300w.nme_inter_ocular"] == m["ibug300w.nme"]
    assert (
        m["ibug300w.nme_inter_pupil"] > m["ibug300w.nme"] > m["ibug300w.nme_box"] > m["ibug300w.nme_diagonal"]
    )


def test_buckets_of_pose_and_size() -> None:
    result = evaluated()
    assert result.faces["pose"].tolist() == [metrics.pose_bucket([yaw])[0] for yaw in YAWS]
    np.testing.assert_allclose(result.faces["yaw"], YAWS, atol=0.5)
    m = result.metrics
    assert m["ibug300w.pose_frontal.nme"] == pytest.approx(0.01)
    assert m["ibug300w.pose_three_quarter.nme"] == pytest.approx(0.025)
    assert m["ibug300w.pose_profile.nme"] == pytest.approx(0.10)
    assert "ibug300w.pose_unknown.nme" not in m
    assert sum(m.get(f"ibug300w.size_{s}.faces", 0) for s in metrics.SIZES) == 4


def test_a_face_without_its_normaliser_is_counted_not_dropped() -> None:
    m = evaluated().metrics
    assert m["youtube_faces.faces"] == 2
    assert m["youtube_faces.faces_unmeasured"] == 1
    assert m["youtube_faces.nme"] == pytest.approx(0.04)
    assert evaluated(normaliser="box").metrics["youtube_faces.faces_unmeasured"] == 0
    shown = text(*report_files.metrics_table(m, evaluated().settings))
    assert "youtube_faces: 1 of 2 faces could not be measured" in shown


def test_all_numbers_are_finite_plain_numbers() -> None:
    for name, value in evaluated().metrics.items():
        assert type(value) in (int, float), name
        assert np.isfinite(value), name


def test_visibility_zero_hides_a_point_whatever_its_coordinates() -> None:
    faces = known_faces()
    faces.visibility[0, 60] = 0
    predicted = np.nan_to_num(faces.landmarks)
    predicted[0, 60] += 500
    assert measure(faces, predicted, {}, IBUG68).metrics["ibug300w.nme"] == 0


def test_a_data_set_without_mean_shape_has_no_baseline() -> None:
    faces = known_faces()
    result = measure(faces, np.nan_to_num(faces.landmarks), {}, IBUG68)
    assert not [name for name in result.metrics if name.endswith("mean_shape_nme")]
    assert "-" in text(*report_files.metrics_table(result.metrics, result.settings))


def test_predictions_that_do_not_fit_are_refused() -> None:
    faces = known_faces()
    with pytest.raises(InputError, match="68 points"):
        measure(faces, np.zeros((6, 5, 2)), {}, IBUG68)
    with pytest.raises(InputError, match="not finite"):
        measure(faces, np.full((6, 68, 2), np.nan), {}, IBUG68)
    with pytest.raises(ParamsError, match="unknown normaliser"):
        evaluated(normaliser="iod")
    with pytest.raises(ParamsError, match="above 0"):
        evaluated(threshold=0.0)


@pytest.mark.parametrize(
    ("threshold", "suffix"),
    [
        (0.08, "08"),
        (0.1, "10"),
        (0.075, "075"),
        (0.05, "05"),
        (0.125, "125"),
        (1.0, "1_00"),
        (1e-05, "00001"),
    ],
)
def test_threshold_suffix(threshold: float, suffix: str) -> None:
    assert threshold_suffix(threshold) == suffix


def test_threshold_names_the_metrics() -> None:
    assert {"ibug300w.auc10", "ibug300w.fr10"} <= set(evaluated(threshold=0.1).metrics)


def test_curves_and_regions_for_dvc_plots() -> None:
    result = evaluated()
    curves = result.curves
    assert list(curves) == [
        "threshold",
        "ibug300w",
        "ibug300w_mean_shape",
        "youtube_faces",
        "youtube_faces_mean_shape",
    ]
    assert curves["threshold"].iloc[[0, -1]].tolist() == [0, 0.16]
    assert curves["ibug300w"].iloc[-1] == 1
    assert curves.loc[curves["threshold"] < 0.0099, "ibug300w"].max() == 0
    assert len(result.regions) == 2 * len(IBUG68.regions)


def test_report_round_trip(tmp_path: Path) -> None:
    result = evaluated()
    report_files.write(result, tmp_path)
    numbers, settings = report_files.read(tmp_path)
    assert settings == result.settings
    assert numbers.keys() == result.metrics.keys()
    assert all(abs(numbers[name] - value) <= 5e-7 for name, value in result.metrics.items())
    tree = json.loads((tmp_path / "metrics.json").read_text())
    assert tree["ibug300w"]["common"]["nme"] == 0.02
    faces = pd.read_csv(tmp_path / "faces.csv", keep_default_na=False)
    assert faces["image"].tolist() == [f"a/{i}.png" for i in range(6)]
    assert faces["nme"].tolist() == ["0.01", "0.02", "0.03", "0.1", "0.04", ""]


def test_reports_are_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("one", "two"):
        report_files.write(evaluated(), tmp_path / name)
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*"))
    assert len(files) == 7
    for path in files:
        assert (tmp_path / "one" / path).read_bytes() == (tmp_path / "two" / path).read_bytes()


def test_metrics_table_says_what_its_numbers_are() -> None:
    result = evaluated()
    lines = text(*report_files.metrics_table(result.metrics, result.settings)).splitlines()
    assert "inter-ocular" in lines[0]
    assert "8%" in lines[0]
    assert "ibug300w annotated, youtube_faces landmarks" in lines[0]
    assert "flatters" in lines[-1]
    row = next(line for line in lines if line.startswith("ibug300w.full")).split()
    assert row[:3] == ["ibug300w.full", "4", "4.00"]
    assert row[-2:] == ["0.562", "25.0%"]


def test_no_warning_about_boxes_that_do_not_flatter() -> None:
    result = evaluated()
    result.settings["datasets"]["youtube_faces"]["box_source"] = {"image": 2}
    assert "flatters" not in text(*report_files.metrics_table(result.metrics, result.settings))


@pytest.mark.parametrize(
    ("content", "message"), [(None, "no such file"), ("{", "not valid JSON"), ("[]", "holds a list")]
)
def test_unreadable_reports(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(InputError, match=message):
        report_files.read(tmp_path)


def test_each_data_set_has_its_error_distribution_in_a_file_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "plots" / "ced").mkdir(parents=True)
    (tmp_path / "plots" / "ced" / "of_a_run_before.csv").write_text("threshold,share\n")
    report_files.write(evaluated(), tmp_path)
    together = pd.read_csv(tmp_path / "plots" / "ced.csv")
    found = {path.stem: pd.read_csv(path) for path in (tmp_path / "plots" / "ced").iterdir()}
    assert sorted(found) == ["ibug300w", "youtube_faces"]
    for name, curve in found.items():
        assert list(curve) == ["threshold", "share", "mean_shape"]
        assert curve["threshold"].equals(together["threshold"])
        assert curve["share"].equals(together[name])
        assert curve["mean_shape"].equals(together[f"{name}_mean_shape"])


@pytest.mark.parametrize(
    ("dataset", "file"),
    [
        ("300w", "300w"),
        ("my set, 2", "my set, 2"),
        ("Gesichter_ä-1.b", "Gesichter_ä-1.b"),
        ("../../x", "%2E.%2F..%2Fx"),
        ("..", "%2E."),
        ("/etc/x", "%2Fetc%2Fx"),
        ("a\0b", "a%00b"),
        ("a\udcff%", "a%FF%25"),
        ("C:\\x", "C%3A%5Cx"),
    ],
)
def test_a_data_set_s_file_lies_in_its_folder_whatever_the_name(
    dataset: str, file: str, tmp_path: Path
) -> None:
    assert report_files.file_name(dataset) == file
    (tmp_path / f"{file}.csv").touch()
    assert [path.name for path in tmp_path.iterdir()] == [f"{file}.csv"]


def test_long_names_of_data_sets_are_shortened_and_stay_apart(tmp_path: Path) -> None:
    one, two = (report_files.file_name("ä/" * 300 + end) for end in "ab")
    assert one != two
    for name in (one, two):
        (tmp_path / f"{name}.csv").touch()


def test_a_data_set_that_is_called_like_a_path_is_written_inside(tmp_path: Path) -> None:
    measured = evaluated()
    for name in ("../../../x", "a\0b"):
        measured.settings["datasets"][name] = 1
        for end in ("", "_mean_shape"):
            measured.curves[f"{name}{end}"] = 0.5
    out = tmp_path / "a" / "b"
    report_files.write(measured, out)
    report_files.name_files(measured, out, ())
    found = sorted(path.name for path in (out / "plots" / "ced").iterdir())
    assert found == ["%2E.%2F..%2F..%2Fx.csv", "a%00b.csv", "ibug300w.csv", "youtube_faces.csv"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_evaluation_that_cannot_be_written_whole_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    report_files.write(evaluated(), tmp_path / "old")
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    truth = SimpleNamespace(faces=None, mean_shapes=None, scheme=None)
    system = SimpleNamespace(points=None, missing=False)
    monkeypatch.setattr(evaluate.measure, "measure", lambda *given, **options: evaluated())
    monkeypatch.setattr(evaluate.drawings, "draw", full)
    for out in ("old", "new"):
        with pytest.raises(OSError, match="No space") as caught:
            evaluate.evaluate_system(truth, system, tmp_path / out, EvaluateParams())  # type: ignore[arg-type]
        assert caught.value.filename == str(tmp_path / out)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["old"]
