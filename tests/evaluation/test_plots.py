"""Pictures: the same bytes twice, numbers and points where they belong, and nothing odd stops a drawing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from flmd.core import palette
from flmd.evaluation import drawings, galleries, plots
from flmd.evaluation import figures as figure_files

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
    galleries.gallery(crops, true, predicted, [f"face {i}  NME 3.1 %" for i in range(5)], path)


def draw_sheet(path: Path, numbers: bool = False) -> None:
    crops, true, _ = faces(color=True)
    boxes = np.tile([5.0, 5.0, 30.0, 35.0], (5, 1))
    galleries.contact_sheet(
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


@pytest.mark.parametrize("kind", ["svg", "pdf"])
@pytest.mark.parametrize("name", ["loss", "ced", "regions"])
def test_vector_charts_are_the_same_bytes_and_keep_their_words(name: str, kind: str, tmp_path: Path) -> None:
    for copy in ("one", "two"):
        DRAWINGS[name](tmp_path / f"{copy}.{kind}")
    one = (tmp_path / f"one.{kind}").read_bytes()
    assert one == (tmp_path / f"two.{kind}").read_bytes()
    assert one.startswith(b"%PDF" if kind == "pdf" else b"<?xml")
    if kind == "svg":
        assert b">epoch<" in one if name == "loss" else b"NME, % of the inter-ocular length" in one


@pytest.mark.parametrize("name", ["loss", "ced", "regions", "gallery"])
def test_a_png_says_and_has_200_dots_an_inch(name: str, figures: list[Figure], tmp_path: Path) -> None:
    DRAWINGS[name](tmp_path / "one.png")
    with Image.open(tmp_path / "one.png") as picture:
        assert picture.info["dpi"] == pytest.approx((200, 200), abs=0.1)
        assert picture.size == pytest.approx(tuple(200 * figures[0].get_size_inches()), abs=1)


def test_titles_of_galleries_name_data_set_error_and_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[list[str]] = []
    monkeypatch.setattr(galleries, "gallery", lambda *given, **_: drawn.append(given[3]))
    affine = np.tile(np.eye(2, 3), (2, 1, 1))
    truth = SimpleNamespace(
        rows=np.arange(2),
        store=SimpleNamespace(numbers=lambda *_: affine, crops=np.zeros((2, 8, 8), np.uint8)),
        faces=SimpleNamespace(
            dataset=["one", "two"], image=["a/b.jpg", "c.png"], true_points=np.zeros((2, 3, 2))
        ),
    )
    errors = {"": np.array([0.0512, np.inf])}
    drawings.gallery(truth, np.array([1, 0]), {"predicted": np.zeros((2, 3, 2))}, errors, tmp_path / "g.png")
    assert drawn == [["two  not found\nc.png", "one  5.1 %\nb.jpg"]]


def test_another_kind_of_picture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected an ending of png, svg, pdf"):
        plots.ced(CURVES, 0.08, tmp_path / "ced.gif", normaliser="box")


def test_systems_have_a_panel_per_data_set_and_a_colour_each(figures: list[Figure], tmp_path: Path) -> None:
    curves = {d: {"a": STEPS * 2, "b": STEPS * 3, "mean shape": STEPS} for d in ("one", "two")}
    notes = {("one", "a"): "n 5, AUC 0.400"}
    plots.ced_of_systems(curves, STEPS, 0.08, tmp_path / "ced.png", normaliser="box", notes=notes)
    left, right = figures[0].axes
    assert [axes.get_title() for axes in (left, right)] == ["one", "two"]
    assert [line.get_label() for line in left.lines[:3]] == ["a  (n 5, AUC 0.400)", "b", "mean shape"]
    colours = [[line.get_color() for line in axes.lines[:3]] for axes in (left, right)]
    assert colours[0] == colours[1] == [*palette.SYSTEMS[:2], palette.BASELINE]


def test_every_colour_means_one_thing() -> None:
    on_faces = {palette.TRUE, palette.PREDICTED, palette.BOX, palette.DISTANCE}
    assert len(on_faces) == 4
    assert not on_faces & set(palette.DATASETS)
    assert palette.SYSTEMS[0] == palette.PREDICTED  # one program alone has the colour of what is predicted
    for colours in (palette.DATASETS, palette.SYSTEMS):
        assert len(set(colours)) == len(colours)
    assert palette.rgb("#0180ff") == (1, 128, 255)


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
    galleries.gallery([crop], frame, hidden, [""], tmp_path / "bare.png")
    blue = cv2.imread(str(tmp_path / "bare.png")).astype(float)
    weight = np.where(blue[..., 0] > blue[..., 2] + 40, blue[..., 0] - blue[..., 2], 0) * (blue[..., 1] < 90)
    ys, xs = np.mgrid[: weight.shape[0], : weight.shape[1]]
    centre = np.array([(weight * xs).sum(), (weight * ys).sum()]) / weight.sum()
    point = np.array([[[30.0, 20.0], [np.nan, np.nan]]])
    galleries.gallery([crop], frame, point, [""], tmp_path / "point.png")
    drawn = find(tmp_path / "point.png", palette.PREDICTED)
    drawn = drawn[np.linalg.norm(drawn - centre, axis=1) < 10]
    assert len(drawn) >= 5
    np.testing.assert_allclose(drawn.mean(axis=0), centre, atol=0.8)


def test_grey_rgb_and_planar_crops_look_alike(tmp_path: Path) -> None:
    grey, true, predicted = faces()
    rgb = np.repeat(grey[..., None], 3, axis=3)
    for name, crops in {"grey": grey, "rgb": rgb, "planar": rgb.transpose(0, 3, 1, 2)}.items():
        galleries.gallery(crops, true, predicted, ["t"] * 5, tmp_path / f"{name}.png")
    assert (tmp_path / "rgb.png").read_bytes() == (tmp_path / "planar.png").read_bytes()
    difference = cv2.imread(str(tmp_path / "rgb.png")).astype(int) - cv2.imread(str(tmp_path / "grey.png"))
    assert np.abs(difference).max() <= 2


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that are drawn from now on, to be asked what is in their axes."""
    drawn: list[Figure] = []

    def recorded(*arguments: Any, **options: Any) -> Figure:
        drawn.append(Figure(*arguments, **options))
        return drawn[-1]

    monkeypatch.setattr(figure_files, "Figure", recorded)
    return drawn


def labelled_lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """Label -> (x, y) of each curve of an axes."""
    return {
        str(line.get_label()): [(float(x), float(y)) for x, y in np.asarray(line.get_xydata())]
        for line in axes.lines
    }


def count_in_tiles(path: Path, figure: Figure, colour: str) -> list[int]:
    """How many pixels of a colour each axes of a written figure shows."""
    height, width = cv2.imread(str(path)).shape[:2]
    pixels = find(path, colour)
    counts = []
    for axes in figure.axes:
        (x0, y0), (x1, y1) = axes.get_position().get_points() * (width, height)
        x, y = pixels[:, 0], height - 1 - pixels[:, 1]
        counts.append(int(((x >= x0) & (x < x1) & (y >= y0) & (y < y1)).sum()))
    return counts


def test_loss_curves_are_the_history(figures: list[Figure], tmp_path: Path) -> None:
    plots.loss_curves(HISTORY, tmp_path / "loss.png")
    loss, error, rate = figures[0].axes
    assert labelled_lines(loss) == {
        "train loss": [(row["epoch"], row["train_loss"]) for row in HISTORY],
        "val loss": [(row["epoch"], row["val_loss"]) for row in HISTORY],
    }
    assert labelled_lines(error) == {"val error px": [(row["epoch"], row["val_error_px"]) for row in HISTORY]}
    assert labelled_lines(rate) == {"lr": [(row["epoch"], 1e-3) for row in HISTORY]}
    assert [axes.get_title() for axes in figures[0].axes] == ["loss", "validation error", "learning rate"]
    assert [axes.get_yscale() for axes in figures[0].axes] == ["log", "linear", "linear"]


@pytest.mark.parametrize(
    ("history", "panels"),
    [(HISTORY[:1], 3), ([{"epoch": 1, "train_loss": 0.0}], 1), ([], 0)],
    ids=["one epoch", "a loss of nothing", "no epoch"],
)
def test_short_histories_have_the_panels_they_have_numbers_for(
    history: list[dict[str, float]], panels: int, figures: list[Figure], tmp_path: Path
) -> None:
    plots.loss_curves(history, tmp_path / "loss.png")
    assert len(figures[0].axes) == panels
    lines = [line for axes in figures[0].axes for line in axes.lines]
    assert [line.get_marker() for line in lines] == ["o"] * len(lines)  # a line of one point is not seen
    if panels == 1:
        assert figures[0].axes[0].get_yscale() == "linear"  # 0 has no logarithm
    assert (cv2.imread(str(tmp_path / "loss.png")).std() > 1) == (panels > 0)


def test_error_distribution_has_a_curve_for_each_data_set_and_its_mean_shape(
    figures: list[Figure], tmp_path: Path
) -> None:
    plots.ced(CURVES, 0.08, tmp_path / "ced.png", normaliser="inter_ocular")
    (axes,) = figures[0].axes
    *curves, limit = axes.lines
    expected = {"a": "a", "a, mean shape": "a_mean_shape", "b": "b"}
    for line, (label, name) in zip(curves, expected.items(), strict=True):
        assert line.get_label() == label
        np.testing.assert_array_equal(line.get_ydata(), CURVES[name])
        np.testing.assert_array_equal(line.get_xdata(), STEPS)
    assert [line.get_linestyle() for line in curves] == ["-", "--", "-"]
    assert curves[0].get_color() == curves[1].get_color() != curves[2].get_color()
    assert list(limit.get_xdata()) == [0.08, 0.08]
    assert axes.get_xlabel() == "NME, % of the inter-ocular length"


@pytest.mark.parametrize(("names", "columns"), [(("a", "b"), 2), (("ibug300w", "youtube_faces"), 1)])
def test_a_legend_lies_within_its_chart_and_in_two_columns_where_they_fit(
    names: tuple[str, str], columns: int, figures: list[Figure], tmp_path: Path
) -> None:
    curves = {"threshold": STEPS}
    curves |= {f"{name}{end}": CURVES["a"] for name in names for end in ("", "_mean_shape")}
    notes = dict.fromkeys(curves, "n 225, AUC 0.261")
    plots.ced(curves, 0.08, tmp_path / "ced.png", normaliser="inter_ocular", notes=notes)
    (legend,) = figures[0].legends
    extent, whole = legend.get_window_extent(), figures[0].bbox
    assert whole.x0 <= extent.x0
    assert extent.x1 <= whole.x1
    assert whole.y0 <= extent.y0
    left = {round(text.get_window_extent().x0) for text in legend.get_texts()}
    assert len(left) == columns
    pixels = cv2.imread(str(tmp_path / "ced.png"))
    assert (pixels[-200:, [0, 1, -2, -1]] == 255).all()


def test_a_curve_of_unmeasured_faces_is_left_blank(figures: list[Figure], tmp_path: Path) -> None:
    nothing = np.full(50, np.nan)
    curves = {"threshold": STEPS, "a": nothing, "a_mean_shape": nothing, "b": STEPS}
    plots.ced(curves, 0.08, tmp_path / "ced.png", normaliser="box")
    (axes,) = figures[0].axes
    assert [line.get_label() for line in axes.lines][:2] == ["a", "b"]  # no mean shape of a
    colours = [line.get_color() for line in axes.lines[:2]]
    unmeasured, measured = (count_in_tiles(tmp_path / "ced.png", figures[0], c)[0] for c in colours)
    assert unmeasured == 0
    assert measured > 100


def test_bars_are_as_long_as_the_errors(figures: list[Figure], tmp_path: Path) -> None:
    plots.region_bars(REGIONS, tmp_path / "regions.png", normaliser="inter_ocular")
    (axes,) = figures[0].axes
    lengths = [[bar.get_width() for bar in bars] for bars in axes.containers]
    assert lengths == [[3, 2], [5, pytest.approx(np.nan, nan_ok=True)]]
    assert [text.get_text() for text in axes.texts] == ["3.00", "2.00", "5.00", ""]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["jaw", "right eye"]
    # Of one region the data sets lie side by side, the first one above, and the regions do not overlap.
    places = [[bar.get_y() for bar in bars] for bars in axes.containers]
    assert places[0][0] < places[1][0] < places[0][1] < places[1][1]
    assert axes.yaxis_inverted()


def test_unlabelled_and_far_away_points_are_not_drawn_and_the_others_are(
    figures: list[Figure], tmp_path: Path
) -> None:
    crops = np.zeros((5, 48, 48), np.uint8)
    _, true, predicted = faces()
    true[0], true[1, :60] = np.nan, np.nan
    predicted[2] += 1e6
    galleries.gallery(crops, true, predicted, ["t"] * 5, tmp_path / "gallery.png")
    green = count_in_tiles(tmp_path / "gallery.png", figures[0], palette.TRUE)
    orange = count_in_tiles(tmp_path / "gallery.png", figures[0], palette.PREDICTED)
    assert green[0] == 0
    assert 0 < green[1] < green[3] / 3  # 8 of 68 points
    assert min(green[2:]) > 200
    assert orange[2] == 0
    assert min(orange[:2] + orange[3:]) > 200


def test_a_sheet_without_points_and_boxes_shows_the_pictures(figures: list[Figure], tmp_path: Path) -> None:
    crops, true, _ = faces()
    nothing = np.full((5, 4), np.nan)
    galleries.contact_sheet(crops, np.full_like(true, np.nan), nothing, ["t"] * 5, tmp_path / "sheet.png")
    shown = [axes.images[0].get_array() for axes in figures[0].axes]
    np.testing.assert_array_equal(np.stack(shown), crops)
    for colour in (palette.TRUE, palette.BOX):
        assert sum(count_in_tiles(tmp_path / "sheet.png", figures[0], colour)) == 0


def test_one_moved_point_changes_the_picture_where_it_was_and_where_it_is(
    figures: list[Figure], tmp_path: Path
) -> None:
    _, points, _ = faces(1)
    points[0, :2] = (0, 0), (47, 47)  # the whole picture is in view
    moved = points.copy()
    moved[0, 7] = (40.0, 8.0)
    pictures = []
    for name, places in (("before", points), ("after", moved)):
        crop = np.zeros((1, 48, 48), np.uint8)
        galleries.contact_sheet(crop, places, np.full((1, 4), np.nan), [""], tmp_path / f"{name}.png")
        pictures.append(cv2.imread(str(tmp_path / f"{name}.png")).astype(int))
    changed = np.argwhere(np.abs(pictures[1] - pictures[0]).max(axis=2) > 0)[:, ::-1]
    for place in (points[0, 7], moved[0, 7]):
        x, y = figures[0].axes[0].transData.transform(place)
        near = np.linalg.norm(changed - (x, len(pictures[0]) - y), axis=1) < 6
        assert near.any()
        changed = changed[~near]
    assert len(changed) == 0


def test_a_gallery_of_no_faces_is_its_legend_alone(figures: list[Figure], tmp_path: Path) -> None:
    crops, true, predicted = faces(1)
    galleries.gallery(crops, true, predicted, ["only"], tmp_path / "one.png")
    galleries.gallery(crops[:0], true[:0], predicted[:0], [], tmp_path / "none.png")
    assert [len(figure.axes) for figure in figures] == [1, 0]
    assert figures[0].axes[0].get_title() == "only"
    for figure in figures:
        texts = [text.get_text() for text in figure.legends[0].get_texts()]
        assert texts == ["true", "predicted", "distance"]


def test_long_titles_keep_their_end() -> None:
    assert galleries._shortened("a_very_long_file_name.png  NME 12.3 %", 20).endswith("NME 12.3 %")
    assert len(galleries._shortened("x" * 99, 20)) == 20
    assert galleries._shortened("short", 20) == "short"
