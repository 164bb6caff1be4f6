"""Pictures: the same bytes twice, points where they belong, and nothing odd stops a drawing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest

from flmd.evaluation import plots

HISTORY = [
    {
        "epoch": e,
        "train_loss": 0.1 * 0.8**e,
        "val_loss": 0.12 * 0.8**e,
        "val_error_px": 3.0 - 0.1 * e,
        "lr": 1e-3,
    }
    for e in range(1, 6)
]
STEPS = np.linspace(0, 0.16, 50)
CURVES = {"threshold": STEPS, "a": np.clip(STEPS * 9, 0, 1), "a_mean_shape": STEPS, "b": STEPS * 2}
REGIONS = [("a", "jaw", 0.03), ("a", "right_eye", 0.02), ("b", "jaw", 0.05), ("b", "right_eye", float("nan"))]


def faces(count: int = 5, side: int = 48, color: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    crops = rng.integers(0, 256, (count, side, side, 3) if color else (count, side, side), dtype=np.uint8)
    true = rng.uniform(5, side - 5, (count, 68, 2))
    return crops, true, true + rng.normal(size=true.shape)


def draw_gallery(path: Path) -> None:
    crops, true, predicted = faces()
    plots.gallery(crops, true, predicted, [f"face {i}  NME 3.1 %" for i in range(5)], path)


def draw_sheet(path: Path, numbers: bool = False) -> None:
    crops, true, _ = faces(color=True)
    boxes = np.tile([5.0, 5.0, 30.0, 35.0], (5, 1))
    plots.contact_sheet(
        crops, true, boxes, ["a name that is far too long to fit.png"] * 5, path, numbers=numbers
    )


DRAWINGS: dict[str, Callable[[Path], None]] = {
    "loss": lambda path: plots.loss_curves(HISTORY, path),
    "ced": lambda path: plots.ced(CURVES, 0.08, path, normaliser="inter_ocular"),
    "regions": lambda path: plots.region_bars(REGIONS, path, normaliser="inter_ocular"),
    "gallery": draw_gallery,
    "sheet": draw_sheet,
    "numbers": lambda path: draw_sheet(path, numbers=True),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_the_same_bytes_twice_whatever_the_users_style(name: str, tmp_path: Path) -> None:
    DRAWINGS[name](tmp_path / "new folder" / "one.png")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "red", "savefig.bbox": "tight"}):
        DRAWINGS[name](tmp_path / "two.png")
    one = (tmp_path / "new folder" / "one.png").read_bytes()
    assert one == (tmp_path / "two.png").read_bytes()
    assert b"Software" not in one
    assert cv2.imread(str(tmp_path / "two.png")).std() > 1


def find(path: Path, colour: str) -> np.ndarray:
    """(M, 2) x, y of the pixels that have a colour."""
    picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB).astype(int)
    rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return np.argwhere(np.abs(picture - rgb).max(axis=2) < 8)[:, ::-1]


def test_a_point_is_drawn_on_its_pixel(tmp_path: Path) -> None:
    # Pixel (30, 20) is blue; the point there must be drawn at the centre of the blue square.
    crop = np.zeros((64, 64, 3), np.uint8)
    crop[20, 30] = (0, 0, 255)
    frame = np.array([[[0.0, 0.0], [63.0, 63.0]]])
    hidden = np.array([[[np.nan, np.nan]] * 2])
    plots.gallery([crop], frame, hidden, [""], tmp_path / "bare.png")
    blue = cv2.imread(str(tmp_path / "bare.png")).astype(float)
    weight = np.where(blue[..., 0] > blue[..., 2] + 40, blue[..., 0] - blue[..., 2], 0) * (blue[..., 1] < 90)
    ys, xs = np.mgrid[: weight.shape[0], : weight.shape[1]]
    centre = np.array([(weight * xs).sum(), (weight * ys).sum()]) / weight.sum()
    point = np.array([[[30.0, 20.0], [np.nan, np.nan]]])
    plots.gallery([crop], frame, point, [""], tmp_path / "point.png")
    drawn = find(tmp_path / "point.png", plots.PREDICTED)
    drawn = drawn[np.linalg.norm(drawn - centre, axis=1) < 10]
    assert len(drawn) >= 5
    np.testing.assert_allclose(drawn.mean(axis=0), centre, atol=0.8)


def test_grey_rgb_and_planar_crops_look_alike(tmp_path: Path) -> None:
    grey, true, predicted = faces()
    rgb = np.repeat(grey[..., None], 3, axis=3)
    for name, crops in {"grey": grey, "rgb": rgb, "planar": rgb.transpose(0, 3, 1, 2)}.items():
        plots.gallery(crops, true, predicted, ["t"] * 5, tmp_path / f"{name}.png")
    assert (tmp_path / "rgb.png").read_bytes() == (tmp_path / "planar.png").read_bytes()
    difference = cv2.imread(str(tmp_path / "rgb.png")).astype(int) - cv2.imread(str(tmp_path / "grey.png"))
    assert np.abs(difference).max() <= 2


def test_unlabelled_and_far_away_points_do_not_stop_a_gallery(tmp_path: Path) -> None:
    crops, true, predicted = faces()
    true[0], true[1, :17] = np.nan, np.nan
    predicted[2] += 1e6
    plots.gallery(crops, true, predicted, ["t"] * 5, tmp_path / "gallery.png")
    nothing = np.full((5, 4), np.nan)
    plots.contact_sheet(crops, np.full_like(true, np.nan), nothing, ["t"] * 5, tmp_path / "sheet.png")


def test_a_single_face_and_none(tmp_path: Path) -> None:
    crops, true, predicted = faces(1)
    plots.gallery(crops, true, predicted, ["only"], tmp_path / "one.png")
    plots.gallery(crops[:0], true[:0], predicted[:0], [], tmp_path / "none.png")
    assert (tmp_path / "none.png").exists()


@pytest.mark.parametrize("history", [HISTORY[:1], [{"epoch": 1, "train_loss": 0.0}], []])
def test_short_histories(history: list[dict[str, float]], tmp_path: Path) -> None:
    plots.loss_curves(history, tmp_path / "loss.png")
    assert (tmp_path / "loss.png").stat().st_size > 0


def test_a_curve_of_unmeasured_faces_is_left_blank(tmp_path: Path) -> None:
    curves = {"threshold": STEPS, "a": np.full(50, np.nan), "a_mean_shape": np.full(50, np.nan)}
    plots.ced(curves, 0.08, tmp_path / "ced.png", normaliser="box")
    assert (tmp_path / "ced.png").exists()


def test_long_titles_keep_their_end() -> None:
    assert plots._shortened("a_very_long_file_name.png  NME 12.3 %", 20).endswith("NME 12.3 %")
    assert len(plots._shortened("x" * 99, 20)) == 20
    assert plots._shortened("short", 20) == "short"
