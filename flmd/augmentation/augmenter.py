"""Versions of a face at network size: one random affine and one resampling, then photometric changes.

Variant 0 of a face is the plain crop; every other one is a function of (seed, face, variant) alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.augmentation import photometric
from flmd.augmentation.albumentations_chain import PixelTransforms
from flmd.augmentation.counter_rng import uniforms
from flmd.augmentation.photometric import Photometric
from flmd.core import geometry, images
from flmd.core.params import AugmentParams
from flmd.schemes import Scheme

GEOMETRIC_DRAWS = 9


@dataclass(frozen=True)
class Augmented:
    """N crops at network size.

    ``images``: (N, S, S) or (N, 3, S, S) uint8. ``points``: (N, K, 2) float32, pixels of the crop, NaN
    where not labelled. ``visibility``: (N, K) uint8. ``affine``: (N, 2, 3) float64, image -> crop pixels;
    mirrored crops have a negative determinant, and their points are permuted by the flip order.
    """

    images: NDArray[np.uint8]
    points: NDArray[np.float32]
    visibility: NDArray[np.uint8]
    affine: NDArray[np.float64]


@dataclass(frozen=True)
class Plan:
    """What is to become of N crops, before any pixel is looked at.

    Attributes
    ----------
    points, visibility, affine : as in :class:`Augmented`; points float64.
    from_crop : (N, 2, 3) pixels of the context crop -> of the network's crop.
    changes : of each crop; None for the plain one.
    """

    points: NDArray[np.float64]
    visibility: NDArray[np.uint8]
    affine: NDArray[np.float64]
    from_crop: NDArray[np.float64]
    changes: list[Photometric | None]


def draw_affines(
    box: NDArray[np.float32],
    keys: NDArray[np.uint64],
    variants: NDArray[np.integer],
    config: AugmentParams,
    seed: int,
    flip: ArrayLike | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Image -> crop matrices of N versions, drawn as arrays.

    Parameters
    ----------
    box : (N, 4) image pixels. keys : (N,) of ``counter_rng.face_keys``. variants : (N,), 0 is plain.
    flip : (N,) probabilities of being mirrored; None: ``config.flip`` for all.

    Returns
    -------
    (N, 2, 3) float64 matrices, and (N,) bool: mirrored?
    """
    u = uniforms(seed, keys, variants, GEOMETRIC_DRAWS)
    u[np.asarray(variants) == 0] = 0.5  # the middle of every range: no change, and no flip below
    signed = 2 * u - 1
    mirrored = (u[:, 4] < (config.flip if flip is None else np.asarray(flip))) & (np.asarray(variants) > 0)
    # The random crop is a shift of a smaller window within the padded square.
    play = (1 - config.crop) / (2 * config.crop)
    shift = config.shift * signed[:, 2:4] + play * signed[:, 5:7]
    matrices = geometry.augmentation(
        box,
        config.padding * config.crop,
        config.input_size,
        rotation=config.rotation * signed[:, 0],
        scale=1 + config.scale * signed[:, 1],
        shift=shift,
        flip=mirrored,
        aspect=1 + config.aspect * signed[:, 7],
        shear=config.shear * signed[:, 8],
    )
    return matrices, mirrored


class Augmenter:
    """Makes versions of faces from their context crops.

    Parameters
    ----------
    config : how far each change may go, and the size and colour of the output.
    scheme : for the flip order; ParamsError when flipping is asked for without one.
    seed : of all draws.
    stored : "rgb" or "grey", the colour of the context crops.
    """

    def __init__(self, config: AugmentParams, scheme: Scheme, seed: int, stored: str) -> None:
        self.config, self.seed, self.stored = config, seed, stored
        self.scheme = scheme
        self.transforms = PixelTransforms(config.albumentations)
        self._flip = scheme.flip_indices() if config.ever_flips() else None
        # Where only the grey of a picture counts, it is made once, before any resampling.
        self._grey_first = config.color == "grey" and (stored == "grey" or not photometric.uses_color(config))

    @property
    def image_shape(self) -> tuple[int, ...]:
        """(S, S) or (3, S, S), the shape of one crop."""
        s = self.config.input_size
        return (s, s) if self.config.color == "grey" else (3, s, s)

    def source(self, crop: NDArray[np.uint8], channels: int = 3) -> NDArray[np.uint8]:
        """A context crop as the warps want it: (S, S) grey or (S, S, 3); 4: with a channel for nothing."""
        if self.stored == "grey":
            return crop
        planes = [crop[0], crop[1], crop[2]]
        if self._grey_first:
            return images.to_grey(cv2.merge(planes))
        merged: NDArray[np.uint8] = cv2.merge([*planes, crop[2]][:channels])
        return merged

    def __call__(
        self,
        crops: NDArray[np.uint8] | Sequence[NDArray[np.uint8]],
        crop_affine: NDArray[np.float64],
        box: NDArray[np.float32],
        landmarks: NDArray[np.float32],
        visibility: NDArray[np.uint8],
        keys: NDArray[np.uint64],
        variants: NDArray[np.integer],
        *,
        datasets: Sequence[str] | None = None,
        out: NDArray[np.uint8] | None = None,
    ) -> Augmented:
        """Make ``V`` versions of each of ``N`` faces, face by face.

        Parameters
        ----------
        crops : N context crops, (C, C) or (3, C, C) uint8. crop_affine : (N, 2, 3) image -> crop.
        box, landmarks, visibility : (N, 4), (N, K, 2), (N, K), image pixels. keys : (N,) uint64.
        variants : (V,) which versions; row n * V + v of the result is version ``variants[v]`` of face n.
        datasets : (N,) names, for ``flip_of`` and ``offset_of``; None: no data set has its own.
        out : (N * V, ...) uint8 to write the images into.
        """
        each = len(variants)
        plan = self.plan(crop_affine, box, landmarks, visibility, keys, variants, datasets=datasets)
        if out is None:
            out = np.empty((len(plan.changes), *self.image_shape), np.uint8)
        # A crop that shrinks by 2 or more is averaged first, as `warp` does; others are looked up at once.
        backwards, shrinks = images.backwards(plan.from_crop), geometry.scale_of(plan.from_crop) < 0.51
        for row, change in enumerate(plan.changes):
            if row % each == 0:
                # OpenCV resamples four channels faster than three.
                source = self.source(crops[row // each], channels=4)
            if shrinks[row]:
                pixels = images.warp(_rgb_of(source), plan.from_crop[row], self.config.input_size)
            else:
                pixels = _rgb_of(images.resample(source, backwards[row], self.config.input_size))
            self._finish(pixels, change, out[row])
        return Augmented(out, plan.points.astype(np.float32), plan.visibility, plan.affine)

    def plan(
        self,
        crop_affine: NDArray[np.float64],
        box: NDArray[np.float32],
        landmarks: NDArray[np.float32],
        visibility: NDArray[np.uint8],
        keys: NDArray[np.uint64],
        variants: NDArray[np.integer],
        *,
        datasets: Sequence[str] | None = None,
    ) -> Plan:
        """All but the pixels of a call with these arguments."""
        count, each = len(keys), len(variants)
        face = np.repeat(np.arange(count), each)
        variant = np.tile(np.asarray(variants), count)
        names = [""] * count if datasets is None else datasets
        flip = np.array([self.config.flip_of.get(name, self.config.flip) for name in names])
        affine, flipped = draw_affines(box[face], keys[face], variant, self.config, self.seed, flip[face])
        marks = landmarks[face]
        if self.config.offset_of:
            # Points that lie right of what they mark would lie left of it in a mirror, where no labels do.
            offset = np.array([self.config.offset_of.get(name, 0.0) for name in names])
            marks = marks.astype(np.float64)
            marks[flipped, :, 0] -= 2 * offset[face][flipped, None]
        points = geometry.apply(affine, marks)
        seen = visibility[face]
        if self._flip is not None:
            points[flipped] = points[flipped][:, self._flip]
            seen[flipped] = seen[flipped][:, self._flip]
        from_crop = geometry.compose(affine, geometry.invert(crop_affine)[face])
        return Plan(points, seen, affine, from_crop, self._changes(keys[face], variant))

    def _changes(self, keys: NDArray[np.uint64], variant: NDArray[np.integer]) -> list[Photometric | None]:
        # Variants are offset so that geometric and photometric draws never share a counter.
        u = uniforms(self.seed, keys, variant + (1 << 31), photometric.DRAWS)
        drawn = photometric.draw(u, self.config)
        return [c if v else None for c, v in zip(drawn, variant.tolist(), strict=True)]

    def _finish(self, pixels: NDArray[np.uint8], change: Photometric | None, out: NDArray[np.uint8]) -> None:
        """Photometric changes of one crop, written in the output's colour and layout."""
        if change is not None:
            in_color = pixels.ndim == 3
            pixels = (photometric.change_color if in_color else photometric.change_levels)(pixels, change)
        if pixels.ndim == 3 and self.config.color == "grey":
            pixels = images.to_grey(pixels)
        if change is not None:
            pixels = photometric.change_texture(pixels, change, self.seed)
            if self.transforms:
                pixels = self.transforms(pixels, change.seed)
        if pixels.ndim == 3:
            cv2.split(pixels, list(out))
        else:
            out[:] = pixels  # one grey for all channels there are


def _rgb_of(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Without the fourth channel, where there is one."""
    return cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB) if pixels.ndim == 3 else pixels  # type: ignore[return-value]
