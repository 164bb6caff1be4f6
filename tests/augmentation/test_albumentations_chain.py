"""Albumentations transforms by name: repeatable, changing pixels alone, mistakes named."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from flmd.augmentation import build
from flmd.augmentation.albumentations_chain import PixelTransforms
from flmd.core.params import AugmentParams
from flmd.errors import ParamsError
from tests.factories import convert_list, make_face, write_picture

CHAIN = [{"name": "GaussNoise", "p": 0.5}, {"name": "ImageCompression", "quality_range": [20, 60], "p": 0.5}]
PICTURE = np.random.default_rng(0).integers(0, 255, (40, 40), dtype=np.uint8)


def test_a_seed_decides_everything_whatever_came_before() -> None:
    first, other = PixelTransforms(CHAIN), pickle.loads(pickle.dumps(PixelTransforms(CHAIN)))
    outcomes = [first(PICTURE, seed) for seed in range(12)]
    for seed in reversed(range(12)):
        assert (other(PICTURE, seed) == outcomes[seed]).all()
    assert len({o.tobytes() for o in outcomes}) > 3
    assert any((o == PICTURE).all() for o in outcomes), "p: 0.5 leaves some alone"


def test_compression_equals_albumentations_called_plainly() -> None:
    import albumentations

    plain = albumentations.ImageCompression(quality_range=(30, 30), p=1)
    ours = PixelTransforms([{"name": "ImageCompression", "quality_range": [30, 30], "p": 1}])
    assert (ours(PICTURE, 5) == plain(image=PICTURE)["image"]).all()


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"name": "ImageCompresion"}, "did you mean 'ImageCompression'"),
        ({"name": "Rotate"}, "'Rotate' is no pixel-level transform.*moves points"),
        ({"p": 1}, "None is no pixel-level transform"),
        ({"name": "GaussNoise", "std": 3}, "GaussNoise: .*'?std'?"),
        ({"name": "ImageCompression", "quality_range": [0, 900]}, "ImageCompression: "),
    ],
)
def test_mistakes_are_named(step: dict[str, object], message: str) -> None:
    with pytest.raises(ParamsError, match=message) as caught:
        PixelTransforms([step]).check()
    assert str(caught.value).startswith("augment.albumentations: ")


def test_they_change_the_variants_and_never_the_plain_crop(tmp_path: Path) -> None:
    write_picture(
        tmp_path / "a.png", np.random.default_rng(1).integers(0, 255, (120, 130, 3), dtype=np.uint8)
    )
    _, store = convert_list(tmp_path, [make_face("a.png")], tmp_path / "s.h5")
    bare = AugmentParams(input_size=48, padding=1.3, variants=3, color="rgb")
    noisy = bare.model_copy(update={"albumentations": [{"name": "GaussNoise", "p": 1}]})
    with store:
        made = {
            name: build.make_faces(store, np.array([0]), build.augmenter_for(store, limits, 3), range(3))
            for name, limits in (("bare", bare), ("noisy", noisy))
        }
    assert (made["bare"].images[0] == made["noisy"].images[0]).all()
    assert not (made["bare"].images[1] == made["noisy"].images[1]).all()
    assert (made["bare"].points == made["noisy"].points).all()
