"""The numbers of :func:`flmd.curation.stats.store_stats` as tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flmd.core.terminal import TextTable
from flmd.curation.stats import ALL, PERCENTILES, Group
from flmd.evaluation.metrics import POSES
from flmd.face import BOX_SOURCES

Columns = Mapping[str, str]  # key of a group -> what heads its column
SPREADS = {
    "longer side of the box, px": "box_side_px",
    "inter-ocular distance, px": "inter_ocular_px",
    "yaw, degrees": "yaw_deg",
    "pitch, degrees": "pitch_deg",
    "roll, degrees": "roll_deg",
}


def tables(stats: Mapping[str, Any]) -> list[str | TextTable]:
    """Tables of counts, then of sizes, poses and points, with a row for each group of faces.

    Returns
    -------
    What :func:`flmd.core.terminal.show` prints: a title, and after an empty line each the tables.
    """
    crops = f", crops of {stats['crop_size']} px, {stats['color']}" if stats["crop_size"] else ", no crops"
    parts: list[str | TextTable] = [
        f"{stats['path']}: scheme {stats['scheme']}, {stats['points']} points{crops}"
    ]
    groups = stats["groups"]
    for title, columns in _columns(groups):
        if any(key in group for group in groups for key in columns):
            rows = [[*_name(group), *(_shown(group.get(key)) for key in columns)] for group in groups]
            parts += ["", TextTable([title, "split", *columns.values()], rows, left=(0, 1))]
    return parts


def _columns(groups: list[Group]) -> Iterator[tuple[str, Columns]]:
    """The title and the columns of every table there can be."""
    yield "data set", {name: name for name in ("faces", "pictures", "subjects")}
    subsets = sorted({key for group in groups for key in group if key.startswith("subset_")})
    yield "subsets", {key: key.removeprefix("subset_") for key in subsets}
    yield "boxes made from", {f"boxes_{source}": source for source in BOX_SOURCES}
    yield (
        "pictures, px",
        {
            f"image_{side}_px_{what}": f"{side} {what}"
            for side in ("width", "height")
            for what in ("min", "median", "max")
        },
    )
    for title, key in SPREADS.items():
        yield title, {f"{key}_{what}": what for what in ("min", *(f"p{p}" for p in PERCENTILES), "max")}
    yield "head pose, by yaw", {f"pose_{name}": name for name in POSES}
    yield (
        "points",
        {
            "points_visible": "visible",
            "points_hidden": "hidden",
            "points_not_labelled": "not labelled",
            "points_outside_image": "outside picture",
            "boxes_outside_image": "boxes outside",
        },
    )


def _name(group: Group) -> tuple[str, str]:
    if group["dataset"] == ALL:
        return "all", ""
    return group["dataset"] or "-", group["split"] or "-"


def _shown(value: float | None) -> str:
    if value is None:
        return "-"
    return str(value) if isinstance(value, int) else f"{value:.1f}"
