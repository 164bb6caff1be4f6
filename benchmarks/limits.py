"""How near each step is to what one core can do: ``python -m benchmarks.limits``, about a minute.

The floor of a step is the library's kernel called alone on the same bytes, or a copy of them. Times are CPU
time of one thread, the least of ``--rounds``, in which floor and step take turns; docs/limits.md has the
table.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Work = Callable[[], object]
COPIED = 64 << 20  # bytes: beyond the caches that a core has for itself


@dataclass(frozen=True)
class Limit:
    """Of one step: what its floor is, and CPU microseconds a face of both."""

    step: str
    floor_is: str
    floor: float
    reached: float


def main(arguments: Sequence[str] | None = None) -> list[Limit]:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.limits")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--faces", type=int, default=64, help="of each measurement")
    parser.add_argument("--steps", nargs="+", choices=tuple(STEPS), default=list(STEPS))
    chosen = parser.parse_args(arguments)
    import cv2

    cv2.setNumThreads(0)
    print(machine(chosen.rounds))
    print("| step | floor | floor, us a face | reached, us | share |\n|---|---|---:|---:|---:|")
    limits = []
    for step in chosen.steps:
        what, floor, work = STEPS[step](chosen.faces)
        least = in_turns([floor, work], chosen.rounds)
        limits.append(Limit(step, what, *(seconds / chosen.faces * 1e6 for seconds in least)))
        one = limits[-1]
        share = one.floor / one.reached
        print(f"| {step} | {what} | {one.floor:.1f} | {one.reached:.1f} | {share:.0%} |", flush=True)
    return limits


def in_turns(works: Sequence[Work], rounds: int) -> list[float]:
    """The least CPU seconds of each, after one run that warms up."""
    for work in works:
        work()
    least = [float("inf")] * len(works)
    for _ in range(rounds):
        for number, work in enumerate(works):
            start = time.process_time()
            work()
            least[number] = min(least[number], time.process_time() - start)
    return least


def machine(rounds: int) -> str:
    """What one core copies and multiplies."""
    import torch

    torch.set_num_threads(1)
    source, target = np.ones(COPIED, np.uint8), np.empty(COPIED, np.uint8)
    a = torch.ones(768, 768)
    copied, multiplied = in_turns([lambda: np.copyto(target, source), lambda: a @ a], rounds)
    return (
        f"One core copies {COPIED / copied / 1e9:.1f} GB/s (np.copyto) and does "
        f"{2 * 768**3 / multiplied / 1e9:.0f} GFLOP/s in float32 (a product of 768 x 768)."
    )


def decode(faces: int) -> tuple[str, Work, Work]:
    """A JPEG of 640 x 480 to a context crop of 256 px."""
    import cv2
    import simplejpeg

    from benchmarks.inputs import texture
    from flmd.core import context_crop, geometry, images
    from flmd.core.crop_spec import CropSpec

    picture = texture(480, 640, np.random.default_rng(0))
    data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
    box, context = np.array([220.0, 140, 200, 200]), CropSpec(256, 2.4, "rgb")
    affine = geometry.square_crop(box, context.margin, context.size)

    def step() -> object:
        images.probe(data)
        reduction = context_crop.reduction_for(data, box, context)
        return context_crop.cut_context(images.decode(data, reduction), affine, reduction, context)

    return (
        "libjpeg-turbo alone (simplejpeg)",
        lambda: [simplejpeg.decode_jpeg(data, "RGB") for _ in range(faces)],
        lambda: [step() for _ in range(faces)],
    )


def _augmented(faces: int, stored: str, color: str, **limits: float) -> tuple[Any, Work]:
    """Context crops of 256 px, and a call that makes one changed version of 224 px of each."""
    from benchmarks.inputs import LIMITS, texture
    from flmd.augmentation.augmenter import Augmenter
    from flmd.core import geometry
    from flmd.core.params import AugmentParams
    from flmd.schemes import IBUG68

    settings = {**LIMITS, **limits, "input_size": 224, "color": color, "variants": 2}
    augmenter = Augmenter(AugmentParams.model_validate(settings), IBUG68, 1, stored)
    rng = np.random.default_rng(1)
    source = texture(512, 512, rng)
    cut = [source[y : y + 256, x : x + 256] for y, x in rng.integers(0, 256, (faces, 2))]
    crops = [np.ascontiguousarray(c[..., 1] if stored == "grey" else c.transpose(2, 0, 1)) for c in cut]
    box = np.tile(np.array([100, 100, 200, 200], np.float32), (faces, 1))
    marks = rng.uniform(120, 280, (faces, 68, 2)).astype(np.float32)
    keys = rng.integers(0, 1 << 63, faces).astype(np.uint64)
    affine, seen = geometry.square_crop(box, 2.4, 256), np.full((faces, 68), 2, np.uint8)
    return crops, lambda: augmenter(crops, affine, box, marks, seen, keys, np.array([1]))


def warp(faces: int) -> tuple[str, Work, Work]:
    """256 px grey to 224 px grey; points too."""
    import cv2

    crops, step = _augmented(faces, "grey", "grey", brightness=0, contrast=0)
    turn = cv2.getRotationMatrix2D((128, 128), 12, 0.9)
    return "cv2.warpAffine alone", lambda: [cv2.warpAffine(c, turn, (224, 224)) for c in crops], step


def color(faces: int) -> tuple[str, Work, Work]:
    """256 px RGB to 224 px RGB with all changes of colour."""
    import cv2

    crops, step = _augmented(faces, "rgb", "rgb", saturation=0.2, hue=0.05)
    turn = cv2.getRotationMatrix2D((128, 128), 12, 0.9)
    rows = [np.ascontiguousarray(c.transpose(1, 2, 0)) for c in crops]
    matrix = np.array([[0.9, 0.05, 0.05, 3], [0.02, 0.9, 0.08, 3], [0.1, 0.1, 0.8, 3]])

    def floor() -> None:
        for c in rows:
            warped = cv2.warpAffine(c, turn, (224, 224))
            cv2.transform(warped, matrix)

    return "cv2.warpAffine, cv2.transform", floor, step


def write(faces: int) -> tuple[str, Work, Work]:
    """Crops of 224 px grey into the file of training arrays, whose pages the system holds already."""
    import h5py

    from flmd.store import h5file

    folder = tempfile.TemporaryDirectory(prefix="flmd-limits-")
    crops = np.random.default_rng(0).integers(0, 256, (faces, 224, 224), np.uint8)
    plain = os.open(Path(folder.name) / "plain", os.O_RDWR | os.O_CREAT, 0o600)
    path = Path(folder.name) / "arrays.h5"
    with h5py.File(path, "w") as file:
        images = h5file.add_dataset(file.create_group("train"), "images", crops.shape, "u1", units="levels")
        offset = images.id.get_offset()

    def floor() -> None:
        assert folder.name  # keeps the folder
        os.pwrite(plain, crops.data, 0)

    return "os.pwrite of the same bytes", floor, lambda: h5file.write_at(path, offset, crops)


def gather(faces: int) -> tuple[str, Work, Work]:
    """Shuffled batches of 224 px grey levels from arrays in memory."""
    from types import SimpleNamespace

    from flmd.training.batch_loader import BatchLoader
    from flmd.training.stored_crops import StoredCrops

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (faces, 224, 224), np.uint8)
    points = rng.uniform(0, 224, (faces, 68, 2)).astype(np.float32)
    split: Any = SimpleNamespace(images=images, points=points, visibility=np.full((faces, 68), 2, np.uint8))
    loader = BatchLoader(StoredCrops(split), batch=64, seed=1, threads=1)
    target = np.empty_like(images)

    def step() -> None:
        for _ in loader.epoch(0):
            pass

    return "np.copyto of the same bytes", lambda: np.copyto(target, images), step


def train(faces: int) -> tuple[str, Work, Work]:
    """A step of the network of params.yaml, forward and back; the floor does its sums as one product."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from flmd import models

    torch.set_num_threads(1)
    batch = torch.rand(faces, 1, 64, 64)
    network = models.build("xception", channels=1, input_size=64, width=0.25, middle_blocks=2, dropout=0.0)

    def step() -> None:
        network(batch).square().mean().backward()

    with FlopCounterMode(display=False) as counter:
        step()
    side = 512
    a, times = torch.ones(side, side), max(1, round(counter.get_total_flops() / (2 * side**3)))
    return "as many sums in products of 512 x 512", lambda: [a @ a for _ in range(times)], step


STEPS: dict[str, Callable[[int], tuple[str, Work, Work]]] = {
    "decode": decode, "warp": warp, "color": color, "write": write, "gather": gather, "train": train,
}  # fmt: skip

if __name__ == "__main__":
    main()
