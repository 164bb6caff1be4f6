"""DESIGN.md's measure of geometry: a drawn blob and its point agree to 0.05 px, from file to tensor.

The blob is drawn at a sub-pixel place, annotated in a real annotation file, read by its format, converted,
augmented (rotation, scale, shift, flip, crop) and turned into the network's float tensor.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flmd.augmentation import arrays, build
from flmd.conversion.converter import convert
from flmd.conversion.opening import open_faces
from flmd.conversion.settings import CropSettings, Workers
from flmd.core.params import AugmentParams
from flmd.models.normalisation import Normalisation
from flmd.store.face_store import FaceStore
from tests.factories import blob_picture, centroid, write_picture

WIDTH, HEIGHT, SIZE, VARIANTS = 520, 500, 64, 5
NOSE_TIP = 30  # its own mirror image, so that a flip leaves it at its index


def points_around(point: tuple[float, float], side: float) -> np.ndarray:
    """68 points on a ring about ``point``, which is the nose tip."""
    angle = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    ring = np.array(point) + side * 0.45 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    ring[NOSE_TIP] = point
    return ring


def write_xml(folder: Path, points: np.ndarray, box: tuple[int, int, int, int]) -> None:
    left, top, width, height = box
    parts = "".join(f"<part name='{i:02d}' x='{x!r}' y='{y!r}'/>" for i, (x, y) in enumerate(points.tolist()))
    (folder / "labels_train.xml").write_text(
        "<?xml version='1.0' encoding='ISO-8859-1'?><dataset><images><image file='a/blob.png'>"
        f"<box top='{top}' left='{left}' width='{width}' height='{height}'>{parts}</box>"
        "</image></images></dataset>"
    )


def write_csv(folder: Path, points: np.ndarray) -> None:
    header = "," + ",".join(str(i) for i in range(136))
    row = "Blob_Person_01.jpg," + ",".join(repr(v) for v in points.ravel().tolist())
    (folder / "training_frames_keypoints.csv").write_text(f"{header}\n{row}\n")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fmt=st.sampled_from(["dlib-xml", "youtube-faces-csv"]),
    x=st.floats(200, 300),
    y=st.floats(200, 300),
    side=st.integers(70, 230),
    shift=st.tuples(st.integers(-12, 12), st.integers(-12, 12)),
    seed=st.integers(0, 2**32 - 1),
    color=st.sampled_from(["rgb", "grey"]),
)
def test_a_blob_and_its_point_agree_from_file_to_tensor(
    tmp_path: Path, fmt: str, x: float, y: float, side: int, shift: tuple[int, int], seed: int, color: str
) -> None:
    folder = tmp_path / "raw"
    for old in folder.rglob("*.*"):
        old.unlink()
    picture = blob_picture(WIDTH, HEIGHT, (x, y), sigma=side / 14)
    points = points_around((x, y), side)
    if fmt == "dlib-xml":
        write_picture(folder / "a" / "blob.png", picture)
        corner = (round(x - side / 2) + shift[0], round(y - side / 2) + shift[1])
        write_xml(folder, points, (*corner, side, side - 5))
    else:
        write_picture(folder / "training" / "Blob_Person_01.png", picture)
        (folder / "training" / "Blob_Person_01.png").rename(folder / "training" / "Blob_Person_01.jpg")
        write_csv(folder, points)
    limits = AugmentParams(
        input_size=SIZE, color=color, padding=1.3, crop=0.95, variants=VARIANTS,  # type: ignore[arg-type]
        rotation=35, scale=0.15, shift=0.05, aspect=0.1, shear=0.1, flip=0.5,
    )  # fmt: skip
    box = "annotated" if fmt == "dlib-xml" else "landmarks"
    with open_faces(folder) as faces:
        assert faces.kind == fmt
        convert(
            faces,
            tmp_path / "faces.h5",
            box=box,
            crop=CropSettings(160, limits.reach()),
            workers=Workers(1),
        )
    with FaceStore(tmp_path / "faces.h5") as store:
        build.build(store, tmp_path / "a.h5", limits, seed=seed, made_from={}, workers=1)
    normalisation = Normalisation(SIZE, 0.5, 0.5)
    with arrays.TrainingArrays(tmp_path / "a.h5") as made:
        train = made.split("train")
        tensor = normalisation.pixels(torch.from_numpy(np.array(train.images)))
        targets = normalisation.points(torch.from_numpy(np.array(train.points)))
    assert tensor.shape == (VARIANTS, 1 if color == "grey" else 3, SIZE, SIZE)
    back = normalisation.denormalise_points(targets).numpy()
    for row in range(VARIANTS):
        levels = (tensor[row, 0].numpy() * 0.5 + 0.5) * 255
        assert centroid(levels) == pytest.approx(tuple(back[row, NOSE_TIP]), abs=0.05)
