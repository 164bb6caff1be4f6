"""Faces through transforms of one's own: a point stays on what it marks, and keeps its name in the mirror."""

from __future__ import annotations

from pathlib import Path

import albumentations
import numpy as np
import pytest
import torch
from albumentations import KeypointParams
from torch.utils.data import DataLoader
from torchvision.transforms import v2
from torchvision.transforms.v2 import InterpolationMode
from torchvision.tv_tensors import Image, KeyPoints

from flmd.errors import ParamsError, StoreError
from flmd.face import Face
from flmd.schemes import IBUG68
from flmd.store.face_store import FaceStore
from flmd.training.torch_dataset import FaceDataset, MirrorFace
from tests.factories import blob_picture, centroid, convert_list, make_face, write_picture

MARKED = 36  # the outer corner of the person's right eye: where the blob is
MIRRORED = 45  # what it is called in the mirror
UNLABELLED = 5
BILINEAR = InterpolationMode.BILINEAR


def marked_face(folder: Path, number: int) -> Face:
    """A face whose point 36 is the centre of its picture's only blob; point 5 is not labelled."""
    rng = np.random.default_rng(number)
    face = make_face(f"{number}.png", centre=(80, 80), box=(60, 60, 41, 41), seed=number)
    face.split = "train" if number else "test"
    face.landmarks[MARKED] = 80 + rng.uniform(-15, 15, 2)
    face.landmarks[UNLABELLED], face.visibility[UNLABELLED] = np.nan, 0
    x, y = face.landmarks[MARKED].tolist()
    write_picture(folder / face.image, blob_picture(160, 160, (x, y)))
    return face


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FaceStore:
    folder = tmp_path_factory.mktemp("faces")
    faces = [marked_face(folder, number) for number in range(4)]
    return convert_list(folder, faces, folder / "faces.h5", size=98)[1]


def distance(image: torch.Tensor, points: torch.Tensor, index: int) -> float:
    """From the blob's centroid to a point, pixels."""
    x, y = centroid(image[0].numpy())
    return float(np.hypot(points[index, 0] - x, points[index, 1] - y))


def test_without_a_transform_points_lie_on_the_crop(store: FaceStore) -> None:
    image, target = FaceDataset(store)[1]
    assert isinstance(image, Image)
    assert (image.shape, image.dtype) == ((3, 98, 98), torch.uint8)
    assert isinstance(target["points"], KeyPoints)
    assert (target["points"].shape, target["points"].canvas_size) == ((68, 2), (98, 98))
    assert distance(image, target["points"], MARKED) < 0.05
    assert target["points"][UNLABELLED].isnan().all()
    assert target["visibility"][UNLABELLED] == 0


@pytest.mark.parametrize(
    "transform",
    [
        v2.Resize(196, antialias=True),
        v2.Resize(49, antialias=True),
        v2.RandomRotation(25, interpolation=BILINEAR),
        v2.RandomAffine(15, translate=(0.05, 0.05), scale=(0.8, 1.1), shear=5, interpolation=BILINEAR),
        v2.RandomResizedCrop(70, scale=(0.8, 1.0), antialias=True),
        v2.Compose([v2.RandomCrop(90), v2.Pad(4), v2.Resize(64, antialias=True)]),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_a_point_stays_on_what_it_marks(store: FaceStore, transform: torch.nn.Module) -> None:
    torch.manual_seed(3)
    for image, target in FaceDataset(store, transform=transform):  # type: ignore[attr-defined]
        assert distance(image, target["points"], MARKED) < 0.05
        assert target["points"][UNLABELLED].isnan().all()


def test_a_mirrored_point_has_its_mirrors_name(store: FaceStore) -> None:
    both = v2.Compose([MirrorFace("ibug68", p=1.0), v2.Resize(49, antialias=True)])
    plain = FaceDataset(store)[2][1]["points"]
    for transform, scale in ((MirrorFace(IBUG68, p=1.0), 1.0), (both, 0.5)):
        image, target = FaceDataset(store, transform=transform)[2]
        assert distance(image, target["points"], MIRRORED) < 0.05
        expected = (97 - plain[MARKED, 0] + 0.5) * scale - 0.5
        assert target["points"][MIRRORED, 0] == pytest.approx(float(expected), abs=1e-4)
        unlabelled = IBUG68.flip_indices()[UNLABELLED]
        assert target["visibility"][unlabelled] == 0
        assert target["points"][unlabelled].isnan().all()


def test_half_of_the_faces_are_mirrored(store: FaceStore) -> None:
    torch.manual_seed(0)
    dataset = FaceDataset(store, rows=[1] * 200, transform=MirrorFace("ibug68"))
    shown = [dataset[index] for index in range(200)]
    mirrored = sum(distance(image, target["points"], MIRRORED) < 0.05 for image, target in shown)
    assert 70 < mirrored < 130  # 4 standard deviations of a fair coin are 28


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (albumentations.HorizontalFlip(p=1), MIRRORED),
        (albumentations.VerticalFlip(p=1), MIRRORED),
        (albumentations.Transpose(p=1), MIRRORED),
        (albumentations.RandomRotate90(p=1), MARKED),
        (albumentations.Affine(rotate=(10, 20), scale=(0.8, 0.9), p=1), MARKED),
        (albumentations.GaussianBlur(p=1), MARKED),
    ],
    ids=lambda value: type(value).__name__,
)
def test_albumentations_may_mirror_too(
    store: FaceStore, change: albumentations.BasicTransform, name: int
) -> None:
    keep = KeypointParams("xy", remove_invisible=False)
    dataset = FaceDataset(store, transform=albumentations.Compose([change], keypoint_params=keep, seed=5))
    for index in range(len(dataset)):
        image, target = dataset[index]
        assert distance(image, target["points"], name) < 0.05
        assert int(target["points"].isnan().any(dim=1).sum()) == 1


def test_a_loader_of_torch_makes_batches_in_processes(store: FaceStore) -> None:
    transform = v2.Compose([v2.Resize(32, antialias=True), v2.ToDtype(torch.float32, scale=True)])
    dataset = FaceDataset(store.path, split="train", transform=transform)
    ((images, target),) = DataLoader(dataset, batch_size=4, num_workers=2, multiprocessing_context="spawn")
    assert (images.shape, images.dtype) == ((3, 3, 32, 32), torch.float32)
    assert target["points"].shape == (3, 68, 2)
    assert target["row"].tolist() == store.rows_where(split="train").tolist()


@pytest.mark.parametrize("flip", [v2.RandomHorizontalFlip(), v2.RandomVerticalFlip()])
def test_a_flip_that_forgets_names_is_refused(store: FaceStore, flip: torch.nn.Module) -> None:
    with pytest.raises(ParamsError, match=r"leaves a left eye .* use flmd.MirrorFace"):
        FaceDataset(store, transform=v2.Compose([v2.RandomApply([flip])]))


@pytest.mark.parametrize(
    "keep",
    [None, KeypointParams("xy"), KeypointParams("yx", remove_invisible=False)],
)
def test_a_pipeline_that_loses_points_is_refused(store: FaceStore, keep: KeypointParams | None) -> None:
    with pytest.raises(ParamsError, match="does not keep all points"):
        FaceDataset(store, transform=albumentations.Compose([], keypoint_params=keep))


def test_a_scheme_without_a_mirror_is_refused() -> None:
    with pytest.raises(ParamsError, match="no flip order"):
        MirrorFace("points17")


def test_a_store_without_crops_is_refused(tmp_path: Path, store: FaceStore) -> None:
    import flmd

    flmd.convert(store.path, tmp_path / "bare.h5", crop=None)
    with pytest.raises(StoreError, match="annotations only"):
        FaceDataset(tmp_path / "bare.h5")
