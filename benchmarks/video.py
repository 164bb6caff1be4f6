"""``python -m benchmarks.video --model best.pt``: how fast `flmd predict` goes through a video.

Draws a video of the built-in sample's people (200 frames of 640x480, two faces that turn and move), predicts
it as the command does (detect, follow, smooth, draw, write MP4 and CSV), and prints frames a second, the
share of each step, and how the process's memory grew after the first quarter.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import psutil
import torch

import flmd
from flmd.inference import detection
from flmd.inference.video import tracking, video, video_faces
from flmd.sources.sample.camera import Head
from flmd.sources.sample.person import draw_expression, draw_person
from flmd.sources.sample.scene import Camera, draw_light, render
from flmd.sources.sample.youtube_faces import random
from flmd.tree import open_tree

SIZE, FPS = (640, 480), 25.0


def draw_video(path: Path, frames: int, seed: int = 7) -> None:
    """Two people who sway and turn their heads before one background."""
    writer = video.VideoWriter(path, SIZE, FPS, str(path))
    people = [draw_person(random(seed, 3, person)) for person in (1, 2)]
    looks = [draw_expression(random(seed, 4, person), 0.3) for person in (1, 2)]
    for number in range(frames):
        scene = random(seed, 5)  # drawn anew, so that it is the same in every frame
        light = draw_light(scene, False)
        turn = 2 * np.pi * number / 100
        heads = [
            Head(
                person,
                look,
                float(12 * np.sin(turn + shift)),
                float(4 * np.cos(turn + shift)),
                float(5 * np.sin(2 * turn + shift)),
                (x + 25 * float(np.sin(turn)), 230 + 10 * float(np.cos(turn + shift))),
                105.0,
            )
            for person, look, x, shift in zip(people, looks, (190.0, 450.0), (0.0, 2.0), strict=True)
        ]
        camera = Camera(blur=0.8, noise=0.004, gamma=1.0, smear=0.0)
        writer.write(render(random(seed, 6, number), scene, SIZE, heads, light, camera, things=0.0))
    writer.finish()


class Steps:
    """Seconds spent in each of some callables, by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its time added up."""

        def call(*args: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start

        return call


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.video", description=__doc__.split("\n")[0])
    parser.add_argument("--model", type=Path, required=True, help="best.pt, or another that flmd.load takes")
    parser.add_argument("--detector", default="haar")
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--every", type=int, default=8, help="detect at every so manieth frame")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--keep", type=Path, help="folder for the drawn video and the results")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    cv2.setNumThreads(chosen.threads)
    with TemporaryDirectory() as scratch:
        folder = chosen.keep or Path(scratch)
        path = folder / "sample.mp4"
        folder.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            draw_video(path, chosen.frames)
        landmarker = flmd.load(chosen.model, "cpu")
        print(f"{SIZE[0]}x{SIZE[1]}, {chosen.frames} frames, {landmarker.info.network}, {chosen.detector}")
        for turn in range(chosen.rounds):
            _one_round(turn, landmarker, chosen, path, folder)


def _one_round(turn: int, landmarker: Any, chosen: argparse.Namespace, path: Path, folder: Path) -> None:
    steps = Steps()
    find = detection.get(chosen.detector)
    tracker = tracking.FaceTracker(landmarker, find, every=chosen.every)
    tracker.detector = steps.timed("detect", find)  # type: ignore[assignment]
    points_of, write = landmarker.points_of, video.VideoWriter.write
    landmarker.points_of = steps.timed("points", points_of)
    video.VideoWriter.write = steps.timed("encode", write)  # type: ignore[method-assign]
    process, memory = psutil.Process(), []

    def show(frame: video.Frame) -> bool:
        memory.append(process.memory_info().rss)
        return True

    start = resource.getrusage(resource.RUSAGE_SELF)
    try:
        with open_tree(path) as tree, video.open_video(tree, path.name) as reader:
            done = video_faces.predict_video(
                reader, tracker, video=folder / "faces.mp4", table=folder / "faces.csv", show=show
            )
    finally:
        landmarker.points_of = points_of
        video.VideoWriter.write = write  # type: ignore[method-assign]
    end = resource.getrusage(resource.RUSAGE_SELF)
    cpu = (end.ru_utime + end.ru_stime - start.ru_utime - start.ru_stime) / done.frames
    grown = (max(memory) - max(memory[: len(memory) // 4])) / 2**20
    shares = ", ".join(f"{name} {1000 * s / done.frames:.1f}" for name, s in sorted(steps.seconds.items()))
    print(
        f"{turn + 1}: {done.fps:.1f} frames/s, {1000 * cpu:.1f} ms of CPU a frame; ms a frame: {shares}; "
        f"{done.tracks} tracks, {done.rows} rows; memory {memory[-1] / 2**20:.0f} MiB, grew {grown:.1f}; "
        f"load {psutil.getloadavg()[0]:.1f}",
        flush=True,
    )


if __name__ == "__main__":
    main()
