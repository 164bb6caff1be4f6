"""``flmd predict`` on very many pictures and on a long video: is memory flat, and does a killed run go on?

    python -m benchmarks.long_predict --model best.pt --pictures 100000 --minutes 10

Each is done twice: undisturbed, and killed (SIGKILL) in the middle and started again. Pictures are hard links
of 64 drawn faces of 48x40 pixels, each taken as a face; the video shows a moving face, 160x120 at 25 frames a
second, and is looked at by Haar's cascade and drawn. Exit code 1 when the results differ in a byte, when
nothing was kept of the killed run, or when memory grew.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measure import ROOT, usage

PROGRAM = (sys.executable, "-c", "from flmd.cli.flmd import main; main()", "predict")
GROWTH = 1.05  # times the memory at a quarter that the end may hold
FOLDER = 1000  # pictures of one folder


@dataclass
class Run:
    """One run: exit code, seconds of the clock and of the processor, and (seconds, MiB) every second."""

    code: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    memory: list[tuple[float, float]] = field(default_factory=list)

    def at(self, share: float) -> float:
        """The most memory until that share of the run, MiB; nothing before a tenth: it loads."""
        part = [mib for when, mib in self.memory if 0.1 <= when / self.seconds <= share]
        return max(part, default=0.0)


def predict(arguments: list[str], killed_after: float | None = None) -> Run:
    """Run the command, and kill it after so many seconds."""
    run, begun = Run(), time.monotonic()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
    )
    while process.poll() is None:
        if killed_after is not None and time.monotonic() - begun > killed_after:
            process.send_signal(signal.SIGKILL)
            process.wait()
            break
        memory, cpu = usage(process.pid)
        run.memory.append((time.monotonic() - begun, memory / 2**20))
        run.cpu = max(run.cpu, cpu)
        time.sleep(0.5)
    run.code, run.seconds = process.returncode, time.monotonic() - begun
    return run


def compared(name: str, arguments: list[str], folder: Path) -> bool:
    """Undisturbed, killed, and gone on with: print what was seen; whether it is good."""
    whole = predict([*arguments, "-o", str(folder / "whole")])
    half = predict([*arguments, "-o", str(folder / "broken")], whole.seconds / 2)
    rest = predict([*arguments, "-o", str(folder / "broken")])
    same = digest_of(folder / "whole") == digest_of(folder / "broken")
    print(f"{name}: {whole.seconds:.0f} s, {whole.cpu:.0f} s of the processor, exit code {whole.code}")
    quarters = ", ".join(f"{whole.at(share):.0f}" for share in (0.25, 0.5, 0.75, 1.0))
    print(f"  most memory until a quarter, half, three quarters, the end: {quarters} MiB")
    print(f"  killed after {half.seconds:.0f} s ({half.cpu:.0f} s of the processor), exit code {half.code}")
    print(f"  gone on: {rest.seconds:.0f} s, {rest.cpu:.0f} s of the processor, exit code {rest.code}")
    print(f"  {'the same bytes' if same else 'OTHER BYTES'}", flush=True)
    flat = whole.at(1.0) <= GROWTH * whole.at(0.25)
    return same and flat and whole.code == rest.code == 0 and half.code == -9


def digest_of(folder: Path) -> list[tuple[str, str]]:
    """Each file below and its digest."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return [(path.relative_to(folder).as_posix(), file_digest(path)) for path in files]


def file_digest(path: Path) -> str:
    """SHA-256."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def faces(count: int, width: int, height: int) -> list[np.ndarray]:
    """Drawn faces, BGR uint8."""
    from flmd.core import images
    from flmd.sources.sample import ibug300w

    drawn = []
    for number, plan in enumerate(ibug300w.plan(max(count, 24), 0)[:count]):
        pixels = images.decode(ibug300w.draw(number, plan)[0].jpeg)[:, :, ::-1]
        drawn.append(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA))
    return drawn


def make_pictures(folder: Path, count: int) -> None:
    """Hard links, a thousand in a folder."""
    seeds = []
    folder.mkdir()
    for number, pixels in enumerate(faces(64, 48, 40)):
        seeds.append(folder.with_name(f"seed{number}.png"))
        cv2.imwrite(str(seeds[-1]), pixels)
    for number in range(count):
        place = folder / f"{number // FOLDER:03}"
        if number % FOLDER == 0:
            place.mkdir()
        os.link(seeds[number % len(seeds)], place / f"{number % FOLDER:03}.png")


def make_video(path: Path, minutes: float) -> None:
    """A face that moves to and fro."""
    face = faces(8, 110, 110)[0]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), 25, (160, 120))
    for number in range(round(minutes * 60 * 25)):
        frame = np.full((120, 160, 3), 90, np.uint8)
        x = round(25 + 24 * np.sin(number / 40))
        frame[5:115, x : x + 110] = face
        writer.write(frame)
    writer.release()


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_predict")
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=100_000, help="0: none")
    parser.add_argument("--minutes", type=float, default=10.0, help="of the video; 0: none")
    chosen = parser.parse_args()
    good = True
    with tempfile.TemporaryDirectory() as name:
        folder, model = Path(name), ["--model", str(chosen.model.resolve())]
        if chosen.minutes:
            make_video(folder / "long.mp4", chosen.minutes)
            (folder / "v").mkdir()
            good &= compared("video", [str(folder / "long.mp4"), *model], folder / "v")
        if chosen.pictures:
            make_pictures(folder / "pictures", chosen.pictures)
            (folder / "p").mkdir()
            cheap = ["--detector", "none", "--no-draw", "--batch", "32"]
            good &= compared("pictures", [str(folder / "pictures"), *model, *cheap], folder / "p")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
