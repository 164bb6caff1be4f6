"""What has to hold on a GPU; each check returns a sentence, or raises AssertionError with one."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flmd.augmentation import on_device
from flmd.core.crop_spec import CropSpec
from flmd.core.params import AugmentParams, TrainParams
from flmd.store.face_store import FaceStore
from flmd.training import loop
from flmd.training.batch_loader import BatchLoader
from flmd.training.live_crops import LiveCrops

LIMITS: dict[str, Any] = {
    **{"input_size": 64, "padding": 1.2, "variants": 1, "rotation": 20, "scale": 0.1, "shift": 0.04},
    **{"flip": 0.5, "brightness": 0.3, "contrast": 0.3, "blur": 0.8, "noise": 0.02, "occlusion": 0.4},
}
COLOUR = {"color": "rgb", "saturation": 0.3, "hue": 0.05, "grey": 0.2}


class Checks:
    """The checks of one device on one store.

    Parameters
    ----------
    store : with training faces. device : "cuda", or "cpu" for a dry run. folder : for what they write.
    """

    def __init__(self, store: Path, device: str, folder: Path) -> None:
        self.store, self.device, self.folder = store, device, folder
        with FaceStore(store) as faces:
            self.rows = faces.rows_where(split="train")[:48]
            self.color, self.scheme = faces.crop_spec.color, faces.scheme

    def all(self) -> dict[str, Callable[[], str]]:
        """The checks by name, in order."""
        return {
            "bfloat16": self.bfloat16,
            "resident data": self.resident,
            "live augmentation": self.live,
            "determinism": self.determinism,
            "resume": self.resume,
            "export": self.export,
        }

    def faces(self, **limits: Any) -> LiveCrops:
        """Live crops of the store's first training faces."""
        with FaceStore(self.store) as faces:
            config = AugmentParams.model_validate({**LIMITS, **limits})
            return LiveCrops(faces, self.rows, config, seed=7)

    def train(self, out: Path, **changes: Any) -> loop.FitResult:
        """A short training, live on the device."""
        settings = TrainParams.model_validate(
            {
                **{"datasets": ["any"], "network": "integral", "lr": 1e-3, "epochs": 3, "batch": 16},
                **{"network_options": {"width": 8}, "loss": "l1", "optimizer": "adamw", "ema_decay": 0.9},
                **{"device": self.device, "cpu": "native", **changes},
            }
        )
        limits = AugmentParams.model_validate(LIMITS)
        faces = self.faces()
        return loop.fit(
            faces,
            faces,
            settings,
            scheme=self.scheme,
            seed=3,
            crop=CropSpec(limits.input_size, limits.padding, limits.color),
            out=out,
            resume_dir=out / "resume",
            progress=False,
        )

    def bfloat16(self) -> str:
        """Three epochs in bfloat16 learn what three in float32 do, within a tenth of the loss."""
        kind = "bfloat16" if self.device == "cuda" else "bfloat16_emulated"
        losses = {
            precision: self.train(self.folder / precision, precision=precision).history[-1]["train_loss"]
            for precision in (kind, "float32")
        }
        low, full = losses[kind], losses["float32"]
        assert abs(low - full) < 0.1 * full, f"loss {low:.4g}, {full:.4g} in float32"
        return f"loss {low:.4g}, in float32 {full:.4g}"

    def resident(self) -> str:
        """Stored crops held on the device are those that are sent batch by batch."""
        from flmd.training.stored_crops import StoredCrops

        split = _Split(self.faces(), self.color)
        there, here = (
            [
                (b.images.cpu().clone(), b.points.cpu().clone())
                for b in BatchLoader(
                    StoredCrops(split), batch=16, seed=1, device=self.device, resident=resident
                ).epoch(0)
            ]
            for resident in (True, False)
        )
        for one, other in zip(there, here, strict=True):
            assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True)), "other crops"
        return f"{len(split.images)} crops, equal to the bit"

    def live(self) -> str:
        """Live crops of the device are the CPU's within the stated tolerance, points to the bit."""
        mean, most = on_device.TOLERANCE
        worst = [0.0, 0.0]
        for limits in ({}, COLOUR if self.color == "rgb" else {}):
            ours, theirs = self._epoch(True, limits), self._epoch(False, limits)
            for one, other in zip(ours, theirs, strict=True):
                assert torch.equal(one[1], other[1]), "other points"
                away = (one[0].int() - other[0].int()).abs().float().flatten()
                worst = [max(worst[0], float(away.mean())), max(worst[1], float(np.quantile(away, 0.999)))]
        assert worst[0] <= mean, f"mean {worst[0]:.2f} levels"
        assert worst[1] <= most, f"99.9 % within {worst[1]:.1f} levels"
        return f"mean {worst[0]:.2f} levels, 99.9 % within {worst[1]:.1f}"

    def _epoch(self, resident: bool, limits: dict[str, Any]) -> list[tuple[torch.Tensor, torch.Tensor]]:
        loader = BatchLoader(
            self.faces(**limits),
            batch=16,
            seed=1,
            device=self.device if resident else "cpu",
            resident=resident,
        )
        return [(b.images.cpu().clone(), b.points.cpu().clone()) for b in loader.epoch(0)]

    def determinism(self) -> str:
        """Two runs are equal to the byte, and torch does not warn of an operation that could differ."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for name in ("one", "two"):
                self.train(self.folder / name)
        told = [str(w.message) for w in caught if "deterministic" in str(w.message)]
        assert not told, told[0][:200]
        same = [(self.folder / name / "last.pt").read_bytes() for name in ("one", "two")]
        assert same[0] == same[1], "other bytes"
        return "two runs, the same bytes, no warning"

    def resume(self) -> str:
        """A training that was stopped after an epoch and started again ends with the same bytes."""
        kept, state = self.folder / "whole", self.folder / "stopped"
        self.train(kept)
        original = loop.Training._epoch

        def stopped(training: loop.Training, epoch: int, bar: Any) -> Any:
            if epoch == 1:
                raise KeyboardInterrupt
            return original(training, epoch, bar)

        loop.Training._epoch = stopped  # type: ignore[method-assign, assignment]
        try:
            self.train(state)
        except KeyboardInterrupt:
            pass
        finally:
            loop.Training._epoch = original  # type: ignore[method-assign]
        self.train(state)
        assert (state / "last.pt").read_bytes() == (kept / "last.pt").read_bytes(), "other bytes"
        return "stopped after epoch 1 of 3, the same bytes"

    def export(self) -> str:
        """A model trained on the device is exported; the export compares its points with torch's."""
        from flmd.errors import ParamsError
        from flmd.inference.deploy.export import export_model

        self.train(self.folder / "exported")
        told = []
        for kind in ("onnx", "torchscript"):
            try:
                made = export_model(self.folder / "exported" / "best.pt", self.folder / f"model.{kind}", kind)
                told.append(f"{kind}: at most {made.difference:.2g} px apart")
            except ParamsError as error:  # a package is missing
                told.append(f"{kind} left out: {error}")
        return "; ".join(told)


class _Split:
    """Crops of one epoch as arrays."""

    def __init__(self, faces: LiveCrops, color: str) -> None:
        batches = [
            (b.images.numpy().copy(), b.points.numpy(), b.visibility.numpy())
            for b in BatchLoader(faces, batch=16, resident=False).epoch(0)
        ]
        self.images = np.concatenate([b[0] for b in batches])[:, 0]
        self.points = np.concatenate([b[1] for b in batches])
        self.visibility = np.concatenate([b[2] for b in batches])
