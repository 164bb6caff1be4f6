"""YuNet, a small network that finds faces also from the side; its model file is the user's.

Wu, Peng and Yu, "YuNet: a tiny millisecond-level face detector", Machine Intelligence Research 20, 2023. The
file ``face_detection_yunet_2023mar.onnx`` is in OpenCV's model zoo; it is not part of this project.
"""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from flmd.errors import InputError, ParamsError, one_line
from flmd.inference.detection.pixel_detector import BoxAdjustment, PixelDetector

_STRIDE = 32  # the network's coarsest; a smaller picture has no cell


class YuNet(PixelDetector):
    """Faces at any angle, with a score from 0 to 1.

    Its boxes are passed on as they are: without the file here, there was nothing to measure an adjustment
    with. ``flmd.inference.detection.pixel_detector.BoxAdjustment`` takes one.

    Parameters
    ----------
    file : the ONNX model.
    least_score : boxes below it are left out.

    Raises
    ------
    InputError : no such file, or not YuNet's.
    """

    name: ClassVar[str] = "yunet"

    def __init__(
        self,
        file: Path | str,
        longest_side: int = 800,
        adjustment: BoxAdjustment | None = None,
        *,
        least_score: float = 0.6,
    ) -> None:
        super().__init__(longest_side, adjustment)
        self._file = Path(file)
        if not self._file.is_file():
            raise InputError(
                "no such file",
                where=str(file),
                expected="YuNet's model, face_detection_yunet_2023mar.onnx of OpenCV's model zoo",
            )
        try:
            self._network = cv2.FaceDetectorYN.create(str(file), "", (320, 320), least_score)
            self._run(np.zeros((_STRIDE, _STRIDE, 3), np.uint8))  # a foreign model fails here, not later
        except (cv2.error, RuntimeError, ValueError) as error:
            why = getattr(error, "err", "") or one_line(error)
            raise InputError(
                f"not a model that OpenCV runs as YuNet ({one_line(Exception(why))[:120]})", where=str(file)
            ) from None

    @classmethod
    def from_spec(cls, file: str) -> Self:
        """Of "yunet:FILE"."""
        if not file:
            raise ParamsError(
                "detector yunet needs its model file, which does not come with flmd",
                expected="yunet:FILE with face_detection_yunet_2023mar.onnx of OpenCV's model zoo",
                hint="or use haar",
            )
        return cls(file)

    def detect(self, rgb: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """See :meth:`PixelDetector.detect`."""
        if min(rgb.shape[:2]) < _STRIDE:
            return np.zeros((0, 4)), np.zeros(0, np.float32)
        found = self._run(cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))  # type: ignore[arg-type]
        boxes, scores = found[:, :4].astype(np.float64), found[:, 14].astype(np.float32)
        usable = (boxes[:, 2:] > 0).all(axis=1) & np.isfinite(boxes).all(axis=1)
        return boxes[usable], scores[usable]

    def _run(self, bgr: NDArray[np.uint8]) -> NDArray[np.float32]:
        """(N, 15) rows of YuNet: box, five points, score."""
        self._network.setInputSize((bgr.shape[1], bgr.shape[0]))
        _, rows = self._network.detect(bgr)
        return np.zeros((0, 15), np.float32) if rows is None else np.asarray(rows, np.float32).reshape(-1, 15)
