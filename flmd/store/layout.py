"""What a face store consists of: its columns, in the order in which they lie in the file."""

from __future__ import annotations

from flmd.core.crop_spec import CropSpec

FORMAT, VERSION = "flmd-faces", 1
BLOCK = 256  # rows that are copied at a time
TEXTS = ("image", "image_sha256", "subject", "split", "subset", "dataset", "box_source", "attributes")
UNITS = {
    "crops": "levels 0-255; (N, S, S) grey or (N, 3, S, S) planar RGB",
    "affine": "image pixels -> crop pixels, (2, 3) acting on (x, y, 1)",
    "landmarks": "image pixels, the centre of the top-left pixel is (0, 0); NaN: not labelled",
    "visibility": "0 not labelled, 1 labelled but hidden, 2 visible",
    "box": "x, y, width, height, image pixels; covers pixels x ... x + width - 1",
    "image_size": "width, height, pixels",
}

Kind = tuple[tuple[int, ...], str]
"""Shape of one row, and the dtype."""


def numeric_columns(points: int, crop: CropSpec | None) -> dict[str, Kind]:
    """The numeric columns of a store of K points. ``crop`` : of its crops, if it has some."""
    columns: dict[str, Kind] = {
        "landmarks": ((points, 2), "f4"),
        "visibility": ((points,), "u1"),
        "box": ((4,), "f4"),
        "image_size": ((2,), "i4"),
    }
    if crop is not None:
        columns["affine"] = ((2, 3), "f8")
        columns["crops"] = (crop.shape, "u1")
    return columns
