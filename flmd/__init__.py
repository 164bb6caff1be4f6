"""flmd: data pipelines for facial-landmark models.

The names below are what programs of one's own need; docs/python.md shows each of them.

    flmd.convert("labels_ibug_300W_train.xml", "faces.h5")
    landmarker = flmd.load("data/model/best.pt")
    faces = landmarker.predict("group.jpg")
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from flmd.core._version import __version__ as __version__

if TYPE_CHECKING:
    from flmd.augmentation.arrays import TrainingArrays as TrainingArrays
    from flmd.conversion.converter import convert as convert
    from flmd.conversion.opening import open_faces as open_faces
    from flmd.conversion.settings import CropSettings as CropSettings
    from flmd.conversion.settings import Reporting as Reporting
    from flmd.conversion.settings import SplitSettings as SplitSettings
    from flmd.conversion.settings import Workers as Workers
    from flmd.core.params import AugmentParams as AugmentParams
    from flmd.errors import FlmdError as FlmdError
    from flmd.evaluation.metrics import auc as auc
    from flmd.evaluation.metrics import ced as ced
    from flmd.evaluation.metrics import failure_rate as failure_rate
    from flmd.evaluation.metrics import nme as nme
    from flmd.evaluation.metrics import normaliser_lengths as normaliser_lengths
    from flmd.evaluation.metrics import point_errors as point_errors
    from flmd.evaluation.metrics import region_nme as region_nme
    from flmd.face import Face as Face
    from flmd.face import Skipped as Skipped
    from flmd.inference.landmarker import Landmarker as Landmarker
    from flmd.inference.landmarker import load as load
    from flmd.schemes import get_scheme as get_scheme
    from flmd.store.face_store import FaceStore as FaceStore
    from flmd.training.batch_loader import BatchLoader as BatchLoader
    from flmd.training.live_crops import LiveCrops as LiveCrops
    from flmd.training.stored_crops import StoredCrops as StoredCrops
    from flmd.training.torch_dataset import FaceDataset as FaceDataset
    from flmd.training.torch_dataset import MirrorFace as MirrorFace

# Where each name lives. It is imported on first use: `import flmd` alone loads neither numpy nor torch.
_HOMES = {
    "AugmentParams": "flmd.core.params",
    "BatchLoader": "flmd.training.batch_loader",
    "CropSettings": "flmd.conversion.settings",
    "Face": "flmd.face",
    "FaceDataset": "flmd.training.torch_dataset",
    "FaceStore": "flmd.store.face_store",
    "FlmdError": "flmd.errors",
    "Landmarker": "flmd.inference.landmarker",
    "LiveCrops": "flmd.training.live_crops",
    "MirrorFace": "flmd.training.torch_dataset",
    "Reporting": "flmd.conversion.settings",
    "Skipped": "flmd.face",
    "SplitSettings": "flmd.conversion.settings",
    "StoredCrops": "flmd.training.stored_crops",
    "TrainingArrays": "flmd.augmentation.arrays",
    "Workers": "flmd.conversion.settings",
    "auc": "flmd.evaluation.metrics",
    "ced": "flmd.evaluation.metrics",
    "convert": "flmd.conversion.converter",
    "failure_rate": "flmd.evaluation.metrics",
    "get_scheme": "flmd.schemes",
    "load": "flmd.inference.landmarker",
    "nme": "flmd.evaluation.metrics",
    "normaliser_lengths": "flmd.evaluation.metrics",
    "open_faces": "flmd.conversion.opening",
    "point_errors": "flmd.evaluation.metrics",
    "region_nme": "flmd.evaluation.metrics",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'flmd' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
