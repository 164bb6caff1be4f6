"""Augmentation: points stay on the picture, draws depend on the face alone, same bytes whoever works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flmd.augmentation import arrays, build, photometric
from flmd.augmentation.augmenter import Augmented, Augmenter, draw_affines
from flmd.augmentation.counter_rng import face_keys
from flmd.core import geometry
from flmd.core.crop_spec import CropSpec
from flmd.core.params import AugmentParams
from flmd.errors import ParamsError, StoreError
from flmd.schemes import IBUG68
from tests.factories import blob_picture, centroid, convert_list, make_face, write_picture


def limits(**changes: object) -> AugmentParams:
    return AugmentParams.model_validate({"input_size": 64, "padding": 1.3, "variants": 4, **changes})


GEOMETRIC = {"rotation": 30, "scale": 0.15, "shift": 0.05, "flip": 0.5}
PHOTOMETRIC = {
    "brightness": 0.3, "contrast": 0.3, "saturation": 0.4, "hue": 0.1, "grey": 0.2, "blur": 1.0,
    "noise": 0.03, "occlusion": 0.3,
}  # fmt: skip


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 10**6),
    side=st.floats(60, 260),
    u=st.floats(0.35, 0.65),
    v=st.floats(0.35, 0.65),
    color=st.sampled_from(["rgb", "grey"]),
)
def test_a_blob_and_its_point_agree_through_every_variant(
    tmp_path: Path, seed: int, side: float, u: float, v: float, color: str
) -> None:
    """From the picture's file to the network's pixels: rotation, scale, shift, crop and flip."""
    box = (150.0 - side * 0.1, 140.0, side, side * 0.9)
    point = (box[0] + u * side, box[1] + v * side * 0.9)
    write_picture(tmp_path / "a.png", blob_picture(560, 540, point, sigma=side / 14))
    face = make_face("a.png", box=box)
    face.landmarks[:] = point
    _, store = convert_list(tmp_path, [face], tmp_path / "s.h5", size=160)
    settings_ = limits(color=color, crop=0.95, **GEOMETRIC)
    with store:
        augmenter = Augmenter(settings_, IBUG68, seed, "rgb")
        made = build.make_faces(store, np.array([0]), augmenter, range(6))
    for row in range(6):
        plane = made.images[row] if color == "grey" else made.images[row, 1]
        # Two resamplings to 8 bits: half a level of rounding moves a centroid by less than 0.05 px.
        assert centroid(plane) == pytest.approx(tuple(made.points[row, 0]), abs=0.05)


def small_store(folder: Path, count: int = 6, **options: object):  # type: ignore[no-untyped-def]
    rng = np.random.default_rng(0)
    faces = []
    for i in range(count):
        write_picture(folder / f"{i}.png", rng.integers(0, 255, (110, 130, 3), dtype=np.uint8))
        split = ("train", "train", "train", "train", "val", "test")[i % 6]
        faces.append(make_face(f"{i}.png", seed=i, split=split))
    return convert_list(folder, faces, folder / "s.h5", **options)[1]  # type: ignore[arg-type]


def test_a_face_is_cut_out_by_the_box_that_is_given(tmp_path: Path) -> None:
    """Worked out by hand: a square of 1.3 times the longer side of the box, about its middle, on 64 px."""
    crop = CropSpec(64, 1.3, "grey", augmentation={"variants": 1})
    with small_store(tmp_path) as store:
        rows = np.arange(3)
        boxes = store.numbers("box", rows) + np.float32([4, -3, 0, 0])
        boxes[:, 2:] *= np.float32(0.8)
        own, given = build.plain_faces(store, rows, crop), build.plain_faces(store, rows, crop, boxes)
    side = 1.3 * boxes[:, 2:].max(axis=1).astype(np.float64)
    middle = boxes[:, :2] + (boxes[:, 2:] - 1) / 2
    scale = 64 / side
    wanted = np.zeros((3, 2, 3))
    wanted[:, 0, 0] = wanted[:, 1, 1] = scale
    wanted[:, :, 2] = 31.5 - scale[:, None] * middle
    np.testing.assert_allclose(given.affine, wanted, atol=1e-5)
    assert not np.allclose(own.affine, given.affine, atol=0.1)
    assert (given.images != own.images).any(axis=(1, 2)).all()


def test_variant_0_is_the_plain_crop(tmp_path: Path) -> None:
    with small_store(tmp_path) as store:
        wild = Augmenter(limits(**GEOMETRIC, **PHOTOMETRIC), IBUG68, 1, "rgb")
        tame = Augmenter(limits(saturation=0.1), IBUG68, 99, "rgb")
        a = build.make_faces(store, np.arange(6), wild)
        b = build.make_faces(store, np.arange(6), tame)
        box = store.numbers("box")
    assert (a.images == b.images).all()
    assert a.affine == pytest.approx(geometry.square_crop(box, 1.3, 64))


def test_a_variant_is_a_function_of_seed_face_and_variant_alone(tmp_path: Path) -> None:
    with small_store(tmp_path) as store:
        augmenter = Augmenter(limits(**GEOMETRIC, **PHOTOMETRIC), IBUG68, 1, "rgb")
        together = build.make_faces(store, np.arange(6), augmenter, range(4))
        alone = build.make_faces(store, np.array([3]), augmenter, [2])
        other = build.make_faces(store, np.array([3]), Augmenter(limits(**GEOMETRIC), IBUG68, 2, "rgb"), [2])
    assert (together.images[3 * 4 + 2] == alone.images[0]).all()
    assert (together.points[3 * 4 + 2] == alone.points[0]).all()
    assert not np.allclose(other.points, alone.points)


def test_flips_permute_points_and_visibility() -> None:
    box = np.array([[10, 10, 40, 40]], np.float32)
    landmarks = np.random.default_rng(0).uniform(10, 50, (1, 68, 2)).astype(np.float32)
    visibility = np.full((1, 68), 2, np.uint8)
    visibility[0, 36] = 1
    augmenter = Augmenter(limits(flip=1), IBUG68, 0, "grey")
    crops = np.zeros((1, 64, 64), np.uint8)
    affine = geometry.square_crop(box, 2.4, 64)
    made = augmenter(crops, affine, box, landmarks, visibility, face_keys(["a"], landmarks), np.array([0, 1]))
    plain, mirrored = made.points
    # Point 36, the outer corner of the right eye, is now where 45 was mirrored to; x' = W - 1 - x.
    assert mirrored[45] == pytest.approx([63 - plain[36, 0], plain[36, 1]], abs=1e-4)
    assert mirrored[8] == pytest.approx([63 - plain[8, 0], plain[8, 1]], abs=1e-4)
    assert made.visibility[1].tolist().index(1) == 45


def test_draws_fill_their_ranges_and_stay_inside() -> None:
    n = 4000
    box = np.tile(np.array([[0, 0, 100, 100]], np.float32), (n, 1))
    keys = np.arange(n, dtype=np.uint64)
    given_limits = limits(rotation=30, scale=0.2, shift=0.1, flip=0.5)
    affine, flipped = draw_affines(box, keys, np.ones(n, int), given_limits, seed=3)
    affine[flipped, 0] *= -1
    angle = np.degrees(np.arctan2(affine[:, 1, 0], affine[:, 0, 0]))
    scale = geometry.scale_of(affine) / (64 / 130)
    assert (abs(angle).max(), scale.min(), scale.max()) == pytest.approx((30, 0.8, 1.2), abs=0.05)
    assert abs(angle).max() <= 30 + 1e-6
    assert 0.46 < flipped.mean() < 0.54  # standard error 0.008


def test_levels_by_hand() -> None:
    grey = np.array([[0, 100], [100, 200]], np.uint8)  # mean 100
    change = photometric.Photometric(brightness=1.1, contrast=0.5)
    # 1.1 * x, then half way to the brightened mean 110: 0 -> 55, 100 -> 110, 200 -> 165.
    assert photometric.change_levels(grey, change).tolist() == [[55, 110], [110, 165]]


def test_brightness_and_saturation_equal_torchvisions() -> None:
    import torch
    from torchvision.transforms import functional as peer

    rng = np.random.default_rng(0)
    rgb = np.clip(rng.normal(128, 25, (32, 32, 3)), 40, 200).astype(np.uint8)  # nothing is clipped
    tensor = torch.from_numpy(rgb.transpose(2, 0, 1).copy())
    ours = photometric.change_color(rgb, photometric.Photometric(saturation=0.6, brightness=1.2))
    theirs = peer.adjust_saturation(peer.adjust_brightness(tensor, 1.2), 0.6).numpy().transpose(1, 2, 0)
    assert abs(ours.astype(int) - theirs).max() <= 2  # they cut off, twice


def test_noise_has_the_strength_asked_for_and_occlusion_the_size() -> None:
    flat = np.full((200, 200), 128, np.uint8)
    noisy = photometric.change_texture(flat, photometric.Photometric(noise=0.05, noise_place=0.3), 1)
    assert noisy.std() == pytest.approx(0.05 * 255, rel=0.03)
    covered = photometric.change_texture(flat, photometric.Photometric(occlusion=(1, 0, 0.5, 0.5, 0.9)), 1)
    assert (covered != 128).sum() == 75 * 25


def test_colour_changes_leave_a_grey_store_grey(tmp_path: Path) -> None:
    with small_store(tmp_path, color="grey") as store:
        made = build.make_faces(
            store, np.arange(2), Augmenter(limits(**PHOTOMETRIC), IBUG68, 0, "grey"), [0, 1]
        )
    assert made.images.shape == (4, 64, 64)


def test_same_arrays_with_one_and_four_workers_and_on_two_runs(tmp_path: Path) -> None:
    given_limits = limits(variants=70, **GEOMETRIC, **PHOTOMETRIC)
    found = set()
    with small_store(tmp_path, count=12) as store:
        for run, workers in enumerate((1, 4, 1)):
            target = tmp_path / f"{run}.h5"
            counts = build.build(store, target, given_limits, seed=5, made_from={}, workers=workers)
            assert counts == {"train": 8 * 70, "val": 2, "test": 2}
            found.add(target.read_bytes())
    assert len(found) == 1


def test_arrays_hold_what_was_made(tmp_path: Path) -> None:
    given_limits = limits(**GEOMETRIC)
    with small_store(tmp_path) as store:
        build.build(store, tmp_path / "a.h5", given_limits, seed=5, made_from={"x": 1}, workers=1)
        made = build.make_faces(store, np.arange(4), Augmenter(given_limits, IBUG68, 5, "rgb"), range(4))
    with arrays.TrainingArrays(tmp_path / "a.h5") as opened:
        train = opened.split("train")
        assert isinstance(train.images, np.memmap)
        assert (train.images == made.images).all()
        assert (train.points == made.points).all()
        assert train.face.tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4
        assert train.variant.tolist() == [0, 1, 2, 3] * 4
        assert opened.datasets("train") == ["test"]
        assert len(opened.split("train", ["nobody"])) == 0
        assert opened.made_from == {"x": 1}


def test_a_margin_too_small_for_the_limits_is_refused(tmp_path: Path) -> None:
    with small_store(tmp_path, margin=1.5) as store, pytest.raises(ParamsError, match="raise convert.margin"):
        build.build(store, tmp_path / "a.h5", limits(rotation=45), seed=0, made_from={})


def test_no_training_faces_is_said(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", np.zeros((110, 130, 3), np.uint8))
    _, store = convert_list(tmp_path, [make_face("a.png", split="test")], tmp_path / "s.h5")
    with store, pytest.raises(StoreError, match="no face has split train"):
        build.build(store, tmp_path / "a.h5", limits(), seed=0, made_from={})


def test_a_store_is_no_arrays_file(tmp_path: Path) -> None:
    with small_store(tmp_path) as store, pytest.raises(StoreError, match="'flmd-faces'.*'flmd-arrays'"):
        arrays.TrainingArrays(store.path)


def two_data_sets(given_limits: AugmentParams) -> Augmented:
    """A plain and a changed version of the same face in data sets "a", "b" and "c"."""
    landmarks = np.tile(IBUG_FACE, (3, 1, 1))
    box = np.tile(np.array([20, 20, 60, 60], np.float32), (3, 1))
    return Augmenter(given_limits, IBUG68, 0, "grey")(
        [np.zeros((100, 100), np.uint8)] * 3,
        np.tile(np.eye(2, 3), (3, 1, 1)),
        box,
        landmarks,
        np.full((3, 68), 2, np.uint8),
        face_keys(["a", "b", "c"], landmarks),
        np.array([0, 1]),
        datasets=["a", "b", "c"],
    )


IBUG_FACE = np.random.default_rng(5).uniform(25, 75, (68, 2)).astype(np.float32)


def test_a_data_set_may_have_its_own_probability_of_being_mirrored() -> None:
    made = two_data_sets(limits(flip=0, flip_of={"b": 1}))
    assert (np.linalg.det(made.affine[:, :, :2]) < 0).tolist() == [False, False, False, True, False, False]


def test_points_right_of_what_they_mark_are_so_in_the_mirror_too() -> None:
    made = two_data_sets(limits(flip=1, offset_of={"b": 0.5}))
    a, b = made.points[1], made.points[3]
    zoom = abs(made.affine[1, 0, 0])
    # Mirrored alone, what was 0.5 px too far right is 0.5 px too far left: 1 px of the picture apart.
    assert b - a == pytest.approx(np.tile([2 * 0.5 * zoom, 0.0], (68, 1)), abs=1e-4)
    assert made.points[2] == pytest.approx(made.points[0])  # plain crops hold the points as they are
    assert made.points[5] == pytest.approx(a)
