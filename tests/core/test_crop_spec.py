"""How a face is cut out: the same value in a store, in arrays and in a model, under the keys files had."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flmd.core import geometry
from flmd.core.crop_spec import CropSpec
from flmd.core.params import AugmentParams
from flmd.errors import StoreError

# What arrays and models of earlier releases hold: all of `augment`, and the margin of the store.
OLD = {
    "stored_margin": 2.4,
    **AugmentParams(input_size=64, color="grey", padding=1.3, crop=0.9, variants=8, hue=0.05).model_dump(),
}


def test_json_of_earlier_files_comes_back_key_by_key() -> None:
    spec = CropSpec.from_dict(OLD)
    assert (spec.size, spec.margin, spec.kept, spec.color, spec.stored_margin) == (64, 1.3, 0.9, "grey", 2.4)
    assert json.dumps(spec.to_dict(), sort_keys=True) == json.dumps(OLD, sort_keys=True)


@settings(deadline=None)
@given(
    size=st.integers(1, 512),
    margin=st.floats(0.1, 8),
    kept=st.floats(0.1, 1),
    color=st.sampled_from(["rgb", "grey"]),
    stored=st.none() | st.floats(0.1, 8),
    variants=st.integers(1, 100),
)
def test_any_crop_survives_json(
    size: int, margin: float, kept: float, color: str, stored: float | None, variants: int
) -> None:
    spec = CropSpec(size, margin, color, kept, stored, augmentation={"variants": variants})
    assert CropSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec


def test_a_crop_shows_the_kept_share_of_the_padded_square() -> None:
    """By hand: 1.5 boxes of 100 px, half of that kept: 75 px of the picture on 30 px."""
    spec = CropSpec(30, 1.5, "rgb", kept=0.5)
    assert spec.shape == (3, 30, 30)
    assert spec.zoom == 0.75
    affine = geometry.square_crop(np.array([0, 0, 100, 40]), spec.zoom, spec.size)
    assert geometry.scale_of(affine) == pytest.approx(30 / 75)


@pytest.mark.parametrize(
    ("color", "changes", "first"),
    [
        ("grey", {}, True),
        ("grey", {"hue": 0.1}, False),
        ("grey", {"saturation": 0.1}, False),
        ("rgb", {}, False),
    ],
)
def test_grey_comes_first_unless_a_change_of_colour_is_between(
    color: str, changes: dict[str, float], first: bool
) -> None:
    assert CropSpec(8, 1, color, augmentation=changes).grey_first is first


def test_a_crop_must_lie_inside_the_stored_one() -> None:
    context = CropSpec(160, 1.2, "rgb")
    CropSpec(64, 1.5, "grey", kept=0.8).check_inside(context, "faces.h5")  # 1.2 boxes, computed
    with pytest.raises(StoreError, match="faces.h5: crops hold 1.2 times the box, the model looks at 1.3"):
        CropSpec(64, 1.3, "grey").check_inside(context, "faces.h5")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"size": 0}, "0 px"),
        ({"margin": -1.0}, "-1.0 times the box"),
        ({"kept": 1.1}, "of which 1.1"),
        ({"color": "RGB"}, "color is 'RGB'; expected rgb or grey"),
        ({"stored_color": "blue"}, "color is 'blue'; expected rgb or grey"),
    ],
)
def test_impossible_crops(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CropSpec(**{"size": 8, "margin": 1.3, "color": "grey", **changes})  # type: ignore[arg-type]


def test_a_model_knows_the_crops_of_its_store_once_it_says_all_of_them() -> None:
    whole = {**OLD, "stored_size": 160, "stored_color": "rgb"}
    assert CropSpec.from_dict(OLD).context is None
    assert CropSpec.from_dict(whole).context == CropSpec(160, 2.4, "rgb")
    assert CropSpec.from_dict(whole).to_dict() == whole
