"""A network in use meets the pixels it was trained with: crops of the store and of the pictures are equal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import flmd
from flmd.augmentation import build
from flmd.conversion.converter import convert
from flmd.conversion.settings import CropSettings
from flmd.core.crop_spec import CropSpec
from flmd.core.params import AugmentParams
from flmd.errors import ParamsError
from flmd.evaluation.evaluate import predict_rows
from flmd.inference.face_crops import cut_through_context
from flmd.inference.picture import open_picture
from flmd.models import checkpoint
from flmd.sources.sample.archive import make_ibug300w
from flmd.store.face_store import FaceStore
from flmd.tree import open_tree
from tests.factories import blob_picture, convert_list, make_face, write_picture
from tests.inference.deploy.models import model_file

CROP = AugmentParams(input_size=64, color="grey", padding=1.3, variants=1)


def network_crop(store: FaceStore, config: AugmentParams) -> CropSpec:
    """The crop of a model that was trained on the store's faces, as the stage `augment` writes it."""
    context = store.crop_spec
    stored = {"stored_margin": context.margin, "stored_size": context.size, "stored_color": context.color}
    return CropSpec.from_dict({**stored, **config.model_dump()})


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("stored", ["rgb", "grey"])
@pytest.mark.parametrize(
    "config",
    [CROP, CROP.model_copy(update={"hue": 0.1}), CROP.model_copy(update={"color": "rgb", "crop": 0.8})],
    ids=["grey first", "grey last", "rgb"],
)
def test_crops_are_equal_to_the_byte(tmp_path: Path, ending: str, stored: str, config: AugmentParams) -> None:
    """Faces of 40 to 700 px in pictures with texture: JPEGs are decoded at 1/1 to 1/4 of their size."""
    faces = []
    for place, side in enumerate((41, 160, 333, 700)):
        rng = np.random.default_rng(place)
        pixels = blob_picture(900, 800, (300.0, 350.0), sigma=60)
        noise = rng.integers(0, 56, pixels.shape, dtype=np.uint8)
        name = f"{place}.{ending}"
        write_picture(tmp_path / name, pixels + noise, quality=92)
        box = (60.0 + place, 50.5, float(side), side * 0.9)
        faces.append(make_face(name, centre=(300, 350), box=box, seed=place))
    _, store = convert_list(tmp_path, faces, tmp_path / "faces.h5", size=64, color=stored)
    crop = network_crop(store, config)
    rows = np.arange(len(store))
    trained = build.plain_faces(store, rows, crop)
    for row in rows:
        picture = open_picture(tmp_path / store.texts("image")[row], exif=False)
        seen, affine = cut_through_context(picture, store.numbers("box", rows[row : row + 1]), crop)
        np.testing.assert_allclose(affine[0], trained.affine[row], atol=1e-9)
        assert np.array_equal(seen[0], trained.images[row]), store.texts("image")[row]


def test_points_agree_on_the_built_in_sample(tmp_path: Path) -> None:
    """The same network on the store and on the pictures: less than 0.05 px of the crop apart."""
    make_ibug300w(tmp_path / "sample.tar", faces=24, seed=3, workers=1)
    convert(tmp_path / "sample.tar", tmp_path / "faces.h5", crop=CropSettings(96, 2.4, "rgb"))
    path = model_file(tmp_path / "m.pt")
    network, info = checkpoint.load_model(path, "cpu")
    config = CROP.model_copy(update={"input_size": info.normalisation.input_size})
    with FaceStore(tmp_path / "faces.h5") as store, open_tree(tmp_path / "sample.tar") as pictures:
        crop = network_crop(store, config)
        info = replace(info, crop=crop)
        checkpoint.save_model(path, checkpoint.weights_of(network), info)
        expected = predict_rows(store, np.arange(len(store)), network, info, "cpu")
        boxes = store.numbers("box")
        scale = crop.size / (crop.zoom * boxes[:, 2:].max(axis=1))
        apart = {}
        for how in ("store", "direct"):
            landmarker = flmd.load(path, "cpu", resample=how)
            found = np.zeros_like(expected)
            images = np.array(store.texts("image"))
            for name in np.unique(images):
                here = images == name  # all faces of a picture at once, as the store's crops were made
                found[here] = landmarker.points(pictures.read(str(name)), boxes[here])
            apart[how] = np.linalg.norm(found - expected, axis=2) * scale[:, None]
    assert apart["store"].max() < 0.05
    # The network does see pixels: in one resampling its points lie elsewhere.
    assert apart["direct"].max() > 4 * apart["store"].max()


def test_a_model_that_does_not_say_how_its_store_was_made_is_used_directly(tmp_path: Path) -> None:
    path = model_file(tmp_path / "m.pt")
    assert flmd.load(path, "cpu").resample == "direct"
    with pytest.raises(ParamsError, match="resample is 'twice'; expected store or direct"):
        flmd.load(path, "cpu", resample="twice")
