"""flmd: data pipelines for facial-landmark models.

landmarker = flmd.load("data/model/best.pt")
faces = landmarker.predict("group.jpg")
"""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flmd.inference.landmarker import Landmarker as Landmarker
    from flmd.inference.landmarker import load as load

from flmd.core._version import __version__ as __version__

# torch's OpenMP threads wait for each other by spinning. On a machine that has other work, a thread that
# lost its core then holds up all the rest: measured, two threads trained at a tenth of the speed of one. A
# short spin costs nothing on a quiet machine. Read once, when the OpenMP library is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "10000")


def __getattr__(name: str) -> Any:
    # On first use only: importing flmd stays free of OpenCV and torch.
    if name in ("load", "Landmarker"):
        from flmd.inference import landmarker

        return getattr(landmarker, name)
    raise AttributeError(f"module 'flmd' has no attribute {name!r}")
