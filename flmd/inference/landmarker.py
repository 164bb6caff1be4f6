"""A trained model ready for pictures: points for boxes, and faces for whole pictures.

What runs the network is a *backend*: a callable from crops to points, chosen by the file's kind. Another
kind of file is another loader and a line in ``LOADERS``.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from flmd.core import geometry
from flmd.core.box_rule import BoxRule
from flmd.core.crop_spec import CropSpec
from flmd.errors import FlmdError, InputError, ParamsError, StoreError
from flmd.face import Face
from flmd.inference import detection
from flmd.inference.detection import Detector, Found
from flmd.inference.face_crops import crop_affines, cut, cut_through_context
from flmd.inference.found_faces import told
from flmd.inference.network_pass import Backend, Looked, NetworkPass, confidence_of
from flmd.inference.picture import ImageLike, Picture, open_picture
from flmd.schemes import Scheme, get_scheme

if TYPE_CHECKING:
    from flmd.models.checkpoint import ModelInfo

# Ending of a model file -> what loads it: (path, device) -> (Backend, ModelInfo). Any other is torch's.
LOADERS: dict[str, str] = {".onnx": "flmd.inference.deploy.onnx_runtime:load"}
TORCH = "flmd.inference.torch_backend:load"
STORE, DIRECT = "store", "direct"  # how faces are resampled on their way to the network


def load(
    path: Path | str,
    device: str = "auto",
    *,
    second_look: bool = False,
    flip_average: bool = False,
    confidence: bool = False,
    resample: str = STORE,
) -> Landmarker:
    """A model file, ready to be used.

    Parameters
    ----------
    path : a model of flmd: ``best.pt`` of a training, or an ONNX file of ``flmd export``.
    device : "auto", "cpu", "cuda" ...
    second_look, flip_average, confidence : see :class:`Landmarker`.
    resample : "store": faces are cut out as the faces it was trained on were, through a crop like the
        store's; "direct": in one resampling, a little sharper and a little faster. A model that does not say
        how its store's crops were made is always used directly.

    Raises
    ------
    InputError : there is no such file. StoreError : it is not a model. ParamsError : no such device, or
        another ``resample``.

    Example
    -------
    >>> landmarker = flmd.load("data/model/best.pt")  # doctest: +SKIP
    >>> faces = landmarker.predict("group.jpg")  # doctest: +SKIP
    >>> faces[0].landmarks.shape  # doctest: +SKIP
    (68, 2)
    """
    _check_resample(resample)
    path = Path(path)
    if not path.is_file():
        raise InputError("no such file", where=str(path), expected="a model: train one, or `dvc pull`")
    module, _, attribute = LOADERS.get(path.suffix.lower(), TORCH).partition(":")
    backend, info = getattr(importlib.import_module(module), attribute)(path, device)
    try:
        return Landmarker(
            backend,
            info,
            second_look=second_look,
            flip_average=flip_average,
            confidence=confidence,
            resample=resample,
        )
    except FlmdError as error:
        raise StoreError(error.what, where=str(path), expected=error.expected, hint=error.hint) from None


class Landmarker:
    """Points for boxes, and faces for pictures.

    Parameters
    ----------
    backend : see ``Backend``. info : of the model it runs; its crop says how faces are cut out.
    second_look : draw each box anew around the points found first, as the boxes of the training faces lie,
        and look again: boxes of another rule, or a little off, then matter less. Twice the work.
    flip_average : take the mean of the points of a crop and of its mirror image. Twice the work.
    confidence : faces tell how sure each point is (:func:`flmd.inference.found_faces.confidence_of`).
    resample : as for :func:`load`.

    Raises
    ------
    ParamsError : no such scheme, or one that cannot be mirrored; a model that does not say how its boxes
        lie around points, or how sure it is; another ``resample``. StoreError : the scheme has another
        number of points than the model.

    Attributes
    ----------
    scheme : of the points. crop : how faces are cut out for the network. resample : "store" or "direct".
    """

    def __init__(
        self,
        backend: Backend,
        info: ModelInfo,
        *,
        second_look: bool = False,
        flip_average: bool = False,
        confidence: bool = False,
        resample: str = STORE,
    ) -> None:
        _check_resample(resample)
        self.backend, self.info = backend, info
        self.resample = DIRECT if info.crop.context is None else resample
        self.scheme: Scheme = get_scheme(info.scheme)
        if self.scheme.count != info.points:
            raise StoreError(
                f"a model of {info.points} points, but its scheme {info.scheme} has {self.scheme.count}",
                hint="train again",
            )
        self.crop: CropSpec = info.crop
        if second_look and info.box_rule is None:
            raise ParamsError(
                "the model does not say how boxes lie around its points",
                hint="leave out the second look, or train it again with this flmd",
            )
        self._rule = BoxRule(*info.box_rule) if second_look and info.box_rule is not None else None
        if flip_average and self.scheme.flip_order is None:
            raise ParamsError(
                f"scheme {info.scheme} has no flip order, so no mean with a mirror image",
                hint="leave out the flip average",
            )
        self._confidence = confidence_of(backend, info) if confidence else None
        self._through = NetworkPass(
            backend,
            self.crop.size,
            self.scheme.count,
            self.crop.zoom,
            self.scheme.flip_indices() if flip_average else None,
            with_spread=confidence,
        )

    def predict(
        self, image: ImageLike, detector: str | Detector = "haar", *, exif: bool = True
    ) -> list[Face]:
        """Find the faces of a picture and their points.

        Parameters
        ----------
        image : path, bytes, or (H, W), (H, W, 3) RGB or (H, W, 4) RGBA uint8 array.
        detector : a name as :func:`flmd.inference.detection.get` takes it, or a detector.
        exif : faces are upright once the picture is turned as its EXIF says; False: as stored.

        Returns
        -------
        Faces, the largest first; none is an empty list. Boxes and points are in stored pixels, whatever
        EXIF says; where it says an orientation, ``attributes`` tell it and the frame
        (``flmd.core.orientation``). ``attributes["score"]`` is the detector's, where there is one.

        Raises
        ------
        InputError : the picture cannot be used. ParamsError : no such detector.
        """
        picture = open_picture(image, exif=exif)
        find = detection.get(detector) if isinstance(detector, str) else detector
        return self.faces(picture, find(picture))

    def faces(self, picture: Picture, found: Found) -> list[Face]:
        """The faces of a picture in which a detector found boxes."""
        return self.faces_of([picture], [found])[0]

    def faces_of(self, pictures: Sequence[Picture], found: Sequence[Found]) -> list[list[Face]]:
        """:meth:`faces` of several pictures, which go through the network together.

        Points lie within 0.0001 px of the network's crop of what each picture alone gives: the arithmetic of
        float32 depends on how many crops there are.
        """
        looked = self.look(pictures, [one.boxes for one in found])
        parts = zip(pictures, found, looked, strict=True)
        return [told(picture, one, seen, self._confidence) for picture, one, seen in parts]

    def points(self, image: ImageLike, boxes: ArrayLike) -> NDArray[np.float32]:
        """Points of faces whose boxes are known.

        Parameters
        ----------
        image : as for :meth:`predict`; EXIF is ignored, as it is in annotated data.
        boxes : (N, 4) x, y, width, height in pixels, like those the model was trained with.

        Returns
        -------
        (N, K, 2) float32 pixels of the picture, the centre of the top-left pixel being (0, 0).

        Raises
        ------
        InputError : the picture or a box cannot be used, or the network's output is not finite.
        """
        return self.points_of(open_picture(image, exif=False), boxes)

    def points_of(self, picture: Picture, boxes: ArrayLike) -> NDArray[np.float32]:
        """:meth:`points` of a picture that is decoded, looked at the way up it says."""
        return self.look([picture], [boxes])[0].points

    def look(self, pictures: Sequence[Picture], boxes: Sequence[ArrayLike]) -> list[Looked]:
        """What the network says of the (N, 4) boxes of each of these pictures; raises as :meth:`points`."""
        checked = [_checked(one, picture) for one, picture in zip(boxes, pictures, strict=True)]
        found = self._look(pictures, checked)
        if self._rule is None:
            return found
        again, usable = [], []
        for picture, first in zip(pictures, found, strict=True):
            anew = self._around(picture, first.points)
            # A face whose new box is nothing to look at keeps its first points.
            middle, (width, height) = geometry.box_centre(anew), picture.size
            inside = (middle >= 0).all(axis=1) & (middle < (width, height)).all(axis=1) & (anew[:, 2] >= 1)
            again.append(anew[inside])
            usable.append(inside)
        for first, second, rows in zip(found, self._look(pictures, again), usable, strict=True):
            first.points[rows] = second.points
            if first.spread is not None and second.spread is not None:
                first.spread[rows] = second.spread
        return found

    def _around(self, picture: Picture, points: NDArray[np.float32]) -> NDArray[np.float64]:
        """(N, 4) boxes, stored pixels, that lie around points as those of the training faces do, upright."""
        assert self._rule is not None
        upright = self._rule.boxes(geometry.apply(picture.to_upright, points))
        middle = geometry.apply(geometry.invert(picture.to_upright), geometry.box_centre(upright))
        return np.concatenate([middle - (upright[:, 2:] - 1) / 2, upright[:, 2:]], axis=1)

    def _look(self, pictures: Sequence[Picture], boxes: Sequence[NDArray[np.float64]]) -> list[Looked]:
        """What the network says of (N, 4) boxes of each picture, cut out once."""
        cut_out = [self.crops(picture, some) for picture, some in zip(pictures, boxes, strict=True)]
        at_crop, spread = self._through(np.concatenate([crops for crops, _ in cut_out]))
        found, end = [], 0
        for picture, (_, affine) in zip(pictures, cut_out, strict=True):
            rows, end = slice(end, end + len(affine)), end + len(affine)
            if not np.isfinite(at_crop[rows]).all():
                raise InputError(
                    "the network's output is not finite", where=picture.name or None, hint="train again"
                )
            points = geometry.apply(geometry.invert(affine), at_crop[rows]).astype(np.float32)
            found.append(Looked(points, None if spread is None else spread[rows]))
        return found

    def crops(
        self, picture: Picture, boxes: NDArray[np.floating]
    ) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """What the network sees of (N, 4) boxes: crops for the backend, (N, 2, 3) stored -> crop pixels."""
        if self.resample == STORE:
            return cut_through_context(picture, boxes, self.crop)
        affine = crop_affines(picture, boxes, self.crop.zoom, self.crop.size)
        crops = cut(picture, affine, self.crop.size, self.crop.color, grey_first=self.crop.grey_first)
        return crops, affine


def _check_resample(resample: str) -> None:
    if resample not in (STORE, DIRECT):
        raise ParamsError(f"resample is {resample!r}", expected=f"{STORE} or {DIRECT}")


def _checked(boxes: ArrayLike, picture: Picture) -> NDArray[np.float64]:
    """(N, 4) boxes that can be cut out; InputError names the first that cannot."""
    where = picture.name or None
    try:
        checked = np.asarray(boxes, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError("boxes are no numbers", where=where, expected="(N, 4)") from None
    if checked.size == 0:
        return np.zeros((0, 4))
    if checked.ndim != 2 or checked.shape[1] != 4:
        raise InputError(f"boxes of shape {checked.shape}", where=where, expected="(N, 4)")
    width, height = picture.size
    for row, (x, y, w, h) in enumerate(checked.tolist()):
        if not np.isfinite([x, y, w, h]).all() or w <= 0 or h <= 0:
            expected = "x, y, width, height in pixels, finite, with a size above 0"
            raise InputError(f"box {row} is {[x, y, w, h]}", where=where, expected=expected)
        if x >= width or y >= height or x + w <= 0 or y + h <= 0:
            raise InputError(
                f"box {row} is {[x, y, w, h]}, outside the picture of {width}x{height}", where=where
            )
    return checked
