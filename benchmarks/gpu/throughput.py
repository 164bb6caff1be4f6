"""How many faces a second: our batches and our training, beside what others would do on the same device."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.accuracy import cost
from benchmarks.gpu.checks import LIMITS
from flmd.core.crop_spec import CropSpec
from flmd.core.params import AugmentParams, TrainParams
from flmd.store.face_store import FaceStore
from flmd.training.batch_loader import BatchLoader
from flmd.training.distributed import Processes
from flmd.training.live_crops import LiveCrops
from flmd.training.trainee import Trainee, describe

# Of data sheets: bytes a second of memory, and operations a second in bfloat16 without sparsity.
PEAKS = {
    "H200": (4.8e12, 989e12),
    "H100": (3.35e12, 989e12),
    "A100": (2.0e12, 312e12),
    "L4": (0.3e12, 121e12),
}
BATCH = 64
Made = dict[str, Any]


class Throughput:
    """Measurements on one device.

    Parameters
    ----------
    store : with training faces. device : "cuda" or "cpu". seconds : for each, at least.
    """

    def __init__(self, store: Path, device: str, seconds: float) -> None:
        self.store, self.device, self.seconds = store, torch.device(device), seconds
        self.faces = FaceStore(store)
        self.rows = self.faces.rows_where(split="train")
        context = self.faces.crop_spec
        self.context_bytes = int(np.prod(context.shape))
        self.limits = AugmentParams.model_validate(LIMITS)
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else ""
        self.peaks = next((peaks for key, peaks in PEAKS.items() if key in name), None)

    def all(self) -> dict[str, Callable[[], Made]]:
        """The measurements by name, in order."""
        return {
            "augment, flmd live on the device": lambda: self._augment(self._live(resident=True)),
            "augment, flmd live in threads": lambda: self._augment(self._live(resident=False)),
            "augment, DataLoader and albumentations": lambda: self._augment(self._albumentations()),
            "augment, torchvision v2 on the device": lambda: self._augment(self._torchvision()),
            "augment, kornia on the device": lambda: self._augment(self._kornia()),
            "train, flmd live on the device": lambda: self._train(resident=True),
            "train, flmd live in threads": lambda: self._train(resident=False),
        }

    def _rate(self, batches: Iterator[int]) -> float:
        """Images a second, after a few batches to warm up."""
        for _ in range(3):
            next(batches)
        self._wait()
        start, images = time.perf_counter(), 0
        while time.perf_counter() - start < self.seconds:
            images += next(batches)
        self._wait()
        return images / (time.perf_counter() - start)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def _augment(self, batches: Iterator[int]) -> Made:
        rate = self._rate(batches)
        made: Made = {"images_per_second": rate}
        if self.peaks:  # a context crop is read and a network's crop written, once each: the least there is
            moved = self.context_bytes + self.limits.input_size**2
            made["share_of_bandwidth"] = rate * moved / self.peaks[0]
        return made

    def _live(self, *, resident: bool) -> Iterator[int]:
        source = LiveCrops(self.faces, self.rows, self.limits, seed=1)
        loader = BatchLoader(source, batch=BATCH, seed=1, device=self.device, resident=resident)
        epoch = 0
        while True:
            for batch in loader.epoch(epoch):
                yield len(batch.images)
            epoch += 1

    def _crop(self, row: int) -> np.ndarray[Any, Any]:
        crop = self.faces.crops[row]
        return np.ascontiguousarray(crop if crop.ndim == 2 else crop.transpose(1, 2, 0))

    def _albumentations(self) -> Iterator[int]:
        library = import_module("albumentations")
        size = self.limits.input_size
        chain = library.Compose(
            [
                library.Affine(rotate=(-20, 20), scale=(0.9, 1.1), translate_percent=(-0.04, 0.04), p=1),
                library.CenterCrop(size, size, pad_if_needed=True),
                library.HorizontalFlip(p=0.5),
                library.ColorJitter(0.3, 0.3, 0, 0, p=1),
                library.GaussianBlur(sigma_limit=(0.1, 0.8), p=0.5),
                library.GaussNoise(std_range=(0.0, 0.02), p=0.5),
                library.CoarseDropout(num_holes_range=(1, 1), p=0.4),
            ],
            keypoint_params=library.KeypointParams("xy", remove_invisible=False),
        )
        outer = self

        class Faces(torch.utils.data.Dataset):  # type: ignore[type-arg]
            def __len__(self) -> int:
                return len(outer.rows)

            def __getitem__(self, index: int) -> torch.Tensor:
                row = int(outer.rows[index])
                points = outer.faces.numbers("landmarks", outer.rows[index : index + 1])[0]
                made = chain(image=outer._crop(row), keypoints=np.nan_to_num(points))["image"]
                return torch.from_numpy(np.ascontiguousarray(made))

        workers = 8 if self.device.type == "cuda" else 0
        loader = torch.utils.data.DataLoader(
            Faces(), batch_size=BATCH, shuffle=True, num_workers=workers, persistent_workers=workers > 0
        )
        while True:
            for images in loader:
                yield len(images.to(self.device))

    def _held(self) -> torch.Tensor:
        crops = np.stack([self.faces.crops[row] for row in self.rows[:BATCH].tolist()])
        return torch.from_numpy(crops if crops.ndim == 4 else crops[:, None]).to(self.device)

    def _torchvision(self) -> Iterator[int]:
        """One draw for a whole batch, which is all that v2 has on a device."""
        v2 = import_module("torchvision.transforms.v2")
        size = self.limits.input_size
        chain = v2.Compose(
            [
                v2.RandomAffine(20, (0.04, 0.04), (0.9, 1.1), interpolation=v2.InterpolationMode.BILINEAR),
                v2.CenterCrop(size),
                v2.RandomHorizontalFlip(0.5),
                v2.ColorJitter(0.3, 0.3),
                v2.GaussianBlur(5, (0.1, 0.8)),
                v2.RandomErasing(0.4),
            ]
        )
        held = self._held()
        while True:
            yield len(chain(held))

    def _kornia(self) -> Iterator[int]:
        library = import_module("kornia.augmentation")
        size = self.limits.input_size
        chain = torch.nn.Sequential(
            library.RandomAffine(20.0, (0.04, 0.04), (0.9, 1.1), p=1.0),
            library.CenterCrop(size),
            library.RandomHorizontalFlip(p=0.5),
            library.ColorJiggle(0.3, 0.3, p=1.0),
            library.RandomGaussianBlur((5, 5), (0.1, 0.8), p=0.5),
            library.RandomErasing((0.02, 0.14), p=0.4),
        )
        held = self._held()
        while True:
            yield len(chain(held.float() / 255))

    def _train(self, *, resident: bool) -> Made:
        """Steps of the network of `fast` at the size of the checks."""
        settings = TrainParams.model_validate(
            {
                "datasets": ["any"],
                "network": "integral",
                "lr": 1e-3,
                "epochs": 1,
                "batch": BATCH,
                "loss": "l1",
            }
        )
        crop = CropSpec(self.limits.input_size, self.limits.padding, "grey")
        trainee = Trainee(
            describe(settings, self.faces.scheme, crop, {}), settings, 1, self.device, Processes()
        )
        example = torch.zeros(1, 1, crop.size, crop.size, device=self.device)
        forward = cost.flops(trainee.model, example)
        trainee.model.train()
        source = LiveCrops(self.faces, self.rows, self.limits, seed=1)
        loader = BatchLoader(source, batch=BATCH, seed=1, device=self.device, resident=resident)

        def steps() -> Iterator[int]:
            epoch = 0
            while True:
                for batch in loader.epoch(epoch):
                    trainee.training_step(batch, 0)
                    yield len(batch.images)
                epoch += 1

        rate = self._rate(steps())
        made: Made = {"images_per_second": rate}
        if self.peaks:  # backwards takes twice the operations of forwards
            made["share_of_arithmetic"] = rate * 3 * forward / self.peaks[1]
        return made
