"""How a face is cut out of its picture: one small value that stores, arrays and models keep.

A context crop of a face store and the crop that a network looks at are the same idea at two sizes, so one
type describes both. Files keep the keys they always had: a store the attributes ``crop_size``, ``margin``
and ``color``; training arrays and models the flat JSON of :meth:`CropSpec.to_dict`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from flmd.errors import StoreError

COLORS = ("rgb", "grey")
ROUNDING = 1e-9  # of margins that were computed


@dataclass(frozen=True)
class CropSpec:
    """A square around a face's box: how large, at how many pixels, in which colour.

    Attributes
    ----------
    size : S, side of the crop in its own pixels.
    margin : side of the padded square over the box's longer side, both in pixels of the picture.
    color : "rgb" or "grey".
    kept : the share of that square's side that the crop shows, about the middle; above 0, at most 1.
    stored_margin, stored_size, stored_color : of the context crop that it was cut from; None where it was cut
        from the picture, or where a model of before does not say.
    augmentation : the other settings of ``augment`` that training faces were made with, as in params.yaml.

    Raises
    ------
    ValueError : a size, margin or share that is not above 0, or another colour.
    """

    size: int
    margin: float
    color: str
    kept: float = 1.0
    stored_margin: float | None = None
    stored_size: int | None = None
    stored_color: str | None = None
    augmentation: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        if not (self.size > 0 and self.margin > 0 and 0 < self.kept <= 1):
            raise ValueError(f"a crop of {self.size} px, {self.margin} times the box, of which {self.kept}")
        colors = [self.color] if self.stored_color is None else [self.color, self.stored_color]
        for color in colors:
            if color not in COLORS:
                raise ValueError(f"color is {color!r}; expected rgb or grey")

    @property
    def shape(self) -> tuple[int, ...]:
        """(S, S) grey, (3, S, S) RGB: one crop as stores and arrays hold it."""
        return (self.size, self.size) if self.color == "grey" else (3, self.size, self.size)

    @property
    def context(self) -> CropSpec | None:
        """The context crop that this one is cut from; None where that is not known, or there is none."""
        if self.stored_margin is None or self.stored_size is None or self.stored_color is None:
            return None
        return CropSpec(self.stored_size, self.stored_margin, self.stored_color)

    @property
    def zoom(self) -> float:
        """Side of the crop over the box's longer side, as ``geometry.square_crop`` takes it."""
        return self.margin * self.kept

    @property
    def grey_first(self) -> bool:
        """Whether pictures turn grey before they are resampled: where no change of colour came between."""
        changes_color = any(float(self.augmentation.get(name, 0)) > 0 for name in ("saturation", "hue"))
        return self.color == "grey" and not changes_color

    def check_inside(self, context: CropSpec, where: str) -> None:
        """StoreError when the context crops of the store ``where`` show less of a picture than this crop."""
        if self.zoom > context.zoom + ROUNDING:
            raise StoreError(
                f"crops hold {context.margin} times the box, the model looks at {self.zoom:g}",
                where=where,
                hint="convert with a larger margin",
            )

    def to_dict(self) -> dict[str, Any]:
        """Flat JSON values under the names of params.yaml: input_size, padding, crop, color and the rest."""
        own = {"input_size": self.size, "padding": self.margin, "crop": self.kept, "color": self.color}
        names = ("stored_margin", "stored_size", "stored_color")
        stored = {name: getattr(self, name) for name in names if getattr(self, name) is not None}
        return {**stored, **self.augmentation, **own}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`to_dict`.

        Raises
        ------
        KeyError : input_size, padding, crop or color is missing. TypeError, ValueError : impossible values.
        """
        rest = dict(fields)
        margin, size = rest.pop("stored_margin", None), rest.pop("stored_size", None)
        colour = rest.pop("stored_color", None)
        return cls(
            size=int(rest.pop("input_size")),
            margin=float(rest.pop("padding")),
            kept=float(rest.pop("crop")),
            color=str(rest.pop("color")),
            stored_margin=None if margin is None else float(margin),
            stored_size=None if size is None else int(size),
            stored_color=None if colour is None else str(colour),
            augmentation=rest,
        )
