"""`flmd predict` stopped at any moment and started again: the results of a run that nobody disturbed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from flmd.core.atomic import lock_file
from flmd.inference.unfinished import Lines
from flmd.inference.video.pictures import PictureRun
from tests.inference.video.blob import random_model
from tests.inference.video.test_predict_command import call
from tests.inference.video.test_video import write_avi

PICTURES, FRAMES = 9, 5
OPTIONS = ("--detector", "none", "--batch", "2", "--pose", "--every", "2")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nine pictures, one of them no picture at all, a video, and a model."""
    folder = tmp_path_factory.mktemp("place")
    (folder / "in").mkdir()
    rng = np.random.default_rng(0)
    for number in range(PICTURES):
        pixels = cv2.resize(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8), (60, 48))
        cv2.imwrite(str(folder / "in" / f"{number}.png"), pixels)
    (folder / "in" / "4.png").write_bytes(b"")
    write_avi(folder / "in" / "clip.avi", frames=FRAMES)
    random_model(folder / "m.pt")
    return folder


@pytest.fixture
def predict(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    monkeypatch.chdir(place)

    def run(out: Path, *more: object) -> int:
        return call(monkeypatch, "predict", "in", "-m", "m.pt", *OPTIONS, "-o", out, *more)

    return run


def files(folder: Path) -> dict[str, bytes]:
    """All that lies in a folder, hidden or not."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def undisturbed(predict: Callable[..., int], tmp_path: Path) -> dict[str, bytes]:
    assert predict(tmp_path / "undisturbed") == 2  # because of 4.png
    found = files(tmp_path / "undisturbed")
    assert len(found) == 1 + (PICTURES - 1) + 2  # annotations, drawn pictures, video and table
    return found


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pictures that were decoded, in order."""
    names: list[str] = []
    usual = PictureRun._opened

    def noted(run: PictureRun, tree: object, name: str) -> object:
        names.append(name)
        return usual(run, tree, name)  # type: ignore[arg-type]

    monkeypatch.setattr(PictureRun, "_opened", noted)
    return names


def stop_at(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    """Interrupt the run as soon as so many lines are kept, the last one only half."""
    usual, kept = Lines.add, []

    def add(lines: Lines, tree: object) -> None:
        usual(lines, tree)
        kept.append(lines)
        if len(kept) == count:
            with lines._path.open("ab") as file:
                file.write(b'[{"name": "torn')
            raise KeyboardInterrupt

    monkeypatch.setattr(Lines, "add", add)


# Five groups of pictures, three detections and five looks at the video, and the video as a whole.
@pytest.mark.parametrize("count", [1, 3, 5, 6, 9, 13, 14])
def test_a_run_that_was_stopped_goes_on(
    predict: Callable[..., int],
    undisturbed: dict[str, bytes],
    opened: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    count: int,
) -> None:
    opened.clear()
    out = tmp_path / "out"
    with monkeypatch.context() as stopping:
        stop_at(stopping, count)
        assert predict(out) == 130
    assert (out / ".unfinished").is_dir()
    done = min(2 * count, PICTURES)
    assert len(opened) == done
    opened.clear()
    capsys.readouterr()
    assert predict(out) == 2
    said = capsys.readouterr()
    assert f"goes on after {done} of {PICTURES} pictures" in said.err
    assert "bad: in/4.png: the picture has no bytes" in said.err
    assert "8 pictures, 8 faces, 1 that cannot be used" in said.out
    assert len(opened) == PICTURES - done
    assert files(out) == undisturbed


def test_a_run_that_was_killed_goes_on(
    predict: Callable[..., int], undisturbed: dict[str, bytes], place: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    code = (
        "import os, signal; from flmd.cli.flmd import main; from flmd.inference.unfinished import Lines\n"
        "usual, kept = Lines.add, []\n"
        "def add(lines, tree):\n"
        "    usual(lines, tree); kept.append(tree)\n"
        "    if len(kept) == 3: os.kill(os.getpid(), signal.SIGKILL)\n"
        "Lines.add = add; main()"
    )
    killed = subprocess.run(
        [sys.executable, "-c", code, "predict", "in", "-m", "m.pt", *OPTIONS, "-o", str(out)],
        cwd=place,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not (out / "annotations.json").exists()
    assert predict(out) == 2
    assert files(out) == undisturbed


def test_another_model_option_or_picture_is_refused_in_one_line(
    predict: Callable[..., int],
    undisturbed: dict[str, bytes],
    place: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "out"
    with monkeypatch.context() as stopping:
        stop_at(stopping, 2)
        assert predict(out) == 130
    other = random_model(tmp_path / "other.pt")
    other.write_bytes((place / "m.pt").read_bytes())
    capsys.readouterr()

    def refused(*more: object) -> str:
        before = files(out)
        assert predict(out, *more) == 2
        assert files(out) == before
        (line,) = capsys.readouterr().err.splitlines()
        return str(line)

    start, end = f"error: {out}: an unfinished run is there, and ", "or --overwrite to start over"
    assert (
        refused("--numbers")
        == f"{start}its --numbers was False, now True; give the same options to go on, {end}"
    )
    assert "its --flip-average was False, now True" in refused("--flip-average")
    (place / "m.pt").rename(tmp_path / "m.pt")
    random_model(place / "m.pt", seed=1)
    assert "its model was " in refused()
    (tmp_path / "m.pt").replace(place / "m.pt")
    stat = (place / "in" / "7.png").stat()
    os.utime(place / "in" / "7.png", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1))
    assert refused().startswith(f"{start}7.png has changed since; ")
    os.utime(place / "in" / "7.png", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    (place / "in" / "8.png").rename(tmp_path / "8.png")
    assert refused().startswith(f"{start}8.png is gone since; ")
    (tmp_path / "8.png").rename(place / "in" / "8.png")
    (place / "in" / "75.png").write_bytes(b"")
    assert refused().startswith(f"{start}75.png has come since; ")
    (place / "in" / "75.png").unlink()
    lock, held = lock_file(out / ".unfinished" / "lock")
    assert held
    assert "another run is at work there" in refused()
    os.close(lock)
    # Annotations are written at the end, so their format may be another; and --overwrite starts over.
    assert predict(out, "--overwrite", "--numbers") == 2
    found = files(out)
    assert found.keys() == undisturbed.keys()
    assert found["drawn/0_faces.png"] != undisturbed["drawn/0_faces.png"]
    assert found["annotations.json"] == undisturbed["annotations.json"]


def test_a_mistake_before_anything_is_done_leaves_nothing(
    predict: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:
        failing.setattr(PictureRun, "_opened", lambda *_: (_ for _ in ()).throw(OSError(5, "no more")))
        assert predict(tmp_path / "new" / "out") == 2
    assert not (tmp_path / "new" / "out").exists()
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "annotations.json").write_text("kept")
    assert predict(tmp_path / "there") == 2
    assert files(tmp_path / "there") == {"annotations.json": b"kept"}


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 40 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("cannot mount a small tmpfs here (needs root)")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_is_one_line_and_leaves_no_temporary_file(
    predict: Callable[..., int],
    undisturbed: dict[str, bytes],
    small_disk: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    capsys.readouterr()
    out = small_disk / "out"
    assert predict(out) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("bad: ")]
    assert len(lines) == 1
    assert "the disk is full" in lines[0]
    assert not [path for path in small_disk.rglob("*") if path.name.endswith(".tmp")]
    # What is there is whole; with more room the same command goes on.
    for name, content in files(out).items():
        assert name.startswith(".unfinished/") or content == undisturbed[name]
    subprocess.run(["mount", "-o", "remount,size=8m", str(small_disk)], check=True)
    assert predict(out) == 2
    assert files(out) == undisturbed
