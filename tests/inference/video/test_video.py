"""Videos in and out: frames, times, the table, and what happens when one breaks off."""

from __future__ import annotations

import csv
import os
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from flmd.errors import InputError
from flmd.inference.detection import Detector, Found
from flmd.inference.picture import Picture
from flmd.inference.video.sources import is_video
from flmd.inference.video.tracking import FaceTracker
from flmd.inference.video.video import VideoReader, new_video, open_video
from flmd.inference.video.video_faces import VideoReport, predict_video
from flmd.tree import open_tree
from tests.factories import blob_picture
from tests.inference.video.blob import blob_landmarker

FPS = 10.0


def place(number: int) -> tuple[float, float]:
    return 30.0 + 2 * number, 40.0 + number


def write_avi(path: Path, frames: int = 12, size: tuple[int, int] = (100, 80)) -> Path:
    """A bright blob that moves; every frame is coded by itself, so that a cut loses only what is cut."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), FPS, size)
    for number in range(frames):
        writer.write(blob_picture(*size, place(number)))
    writer.release()
    return path


class AroundTheBlob(Detector):
    name = "blob"

    def __call__(self, picture: Picture) -> Found:
        y, x = np.unravel_index(int(picture.pixels[..., 0].argmax()), picture.pixels.shape[:2])
        if picture.pixels[y, x, 0] < 100:
            return Found()
        return Found(np.array([[x - 18, y - 18, 36, 36]], np.float32), np.array([7.0], np.float32))


def run(path: Path, out: Path, **options: object) -> VideoReport:
    tracker = FaceTracker(blob_landmarker(), AroundTheBlob(), every=3, smooth=False)
    with open_tree(path) as tree, open_video(tree, tree.names[0]) as reader:
        return predict_video(reader, tracker, video=out / "x.mp4", table=out / "x.csv", **options)  # type: ignore[arg-type]


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def frames_of(path: Path) -> list[np.ndarray]:
    capture, frames = cv2.VideoCapture(str(path)), []
    while (read := capture.read())[0]:
        frames.append(read[1])
    return frames


def test_a_row_for_each_frame_and_face_and_a_drawn_video(tmp_path: Path) -> None:
    done = run(write_avi(tmp_path / "a.avi"), tmp_path)
    assert (done.frames, done.rows, done.tracks, done.broken) == (12, 12, 1, "")
    rows = rows_of(tmp_path / "x.csv")
    assert [int(row["frame"]) for row in rows] == list(range(12))
    np.testing.assert_allclose([float(row["time"]) for row in rows], np.arange(12) / FPS, atol=1e-3)
    assert {row["track"] for row in rows} == {"1"}
    points = [(float(row["x_0"]), float(row["y_0"])) for row in rows]
    np.testing.assert_allclose(points, [place(i) for i in range(12)], atol=0.5)
    assert [row["score"] for row in rows[:4]] == ["7", "", "", "7"]  # the detector is asked at each third
    assert list(rows[0])[:4] == ["frame", "time", "track", "box_x"]
    drawn = frames_of(tmp_path / "x.mp4")
    assert len(drawn) == 12
    for number, frame in enumerate(drawn):
        x, y = (round(v) for v in place(number))
        _, green, red = frame[y, x].astype(int)
        assert red > green + 40, "an orange dot lies on the white blob"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.avi", "x.csv", "x.mp4"]


def test_a_video_that_is_cut_short_keeps_what_was_read(tmp_path: Path) -> None:
    path = write_avi(tmp_path / "a.avi", frames=30)
    os.truncate(path, path.stat().st_size // 2)
    done = run(path, tmp_path)
    assert 5 < done.frames < 25
    assert done.broken == f"{path}: ends after {done.frames} of 30 frames; what was read is kept"
    assert len(rows_of(tmp_path / "x.csv")) == done.frames
    assert len(frames_of(tmp_path / "x.mp4")) == done.frames


def test_odd_sizes_keep_their_last_column_and_row(tmp_path: Path) -> None:
    with new_video(tmp_path / "x.mp4", (33, 21), 25) as writer:
        writer.write(np.full((21, 33, 3), 200, np.uint8))
    assert frames_of(tmp_path / "x.mp4")[0].shape == (22, 34, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["x.mp4"]


def test_a_video_that_is_not_whole_is_not_kept(tmp_path: Path) -> None:
    """FFmpeg reports no failed write, so what came of it is looked at."""
    with (
        pytest.raises(InputError, match=r"x\.mp4: only 0 of 2 frames could be written; see whether the disk"),
        new_video(tmp_path / "x.mp4", (32, 32), 25) as writer,
    ):
        for _ in range(2):
            writer.write(np.zeros((32, 32, 3), np.uint8))
        writer.close()
        next(tmp_path.glob(".x.mp4.*/new/x.mp4")).write_bytes(b"")
    assert list(tmp_path.iterdir()) == []


def test_a_video_in_an_archive(tmp_path: Path) -> None:
    write_avi(tmp_path / "a.avi", frames=4)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / "a.avi", "clips/a.avi")
    assert run(tmp_path / "a.zip", tmp_path).frames == 4


def test_it_stops_when_told(tmp_path: Path) -> None:
    path = write_avi(tmp_path / "a.avi")
    assert run(path, tmp_path, show=lambda frame: frame.number < 4).frames == 5
    done = run(path, tmp_path, most_seconds=0.6)
    assert (done.frames, done.broken) == (7, "")  # 0.0 ... 0.6; and that is not broken


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not a video: it starts with b''"),
        (b"#EXTM3U\nhttp://example.com/a.ts\n", "not a video: it starts with b'#EXTM3U"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "not a video"),
        (b"RIFF\x10\0\0\0AVI LIST" + b"\0" * 40, "a.avi: cannot be decoded"),
        (b"\0\0\0\x18ftypmp42" + b"\0" * 60, "a.avi: cannot be decoded"),
        (b"\x1a\x45\xdf\xa3" + b"\x80" * 60, "a.avi: cannot be decoded"),
    ],
)
def test_what_is_no_video_is_said_in_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.avi").write_bytes(content)
    with pytest.raises(InputError) as error:
        run(tmp_path / "a.avi", tmp_path)
    assert message in str(error.value)
    assert [p.name for p in tmp_path.iterdir()] == ["a.avi"]


class NoFrames:
    """A capture that opens and gives nothing."""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def get(self, what: int) -> float:
        return {cv2.CAP_PROP_FRAME_WIDTH: 64.0, cv2.CAP_PROP_FRAME_HEIGHT: 48.0}.get(what, float("nan"))

    def read(self) -> tuple[bool, None]:
        return False, None


def test_a_video_of_an_unknown_codec_is_said_in_one_line_and_by_nobody_else(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    path = write_avi(tmp_path / "a.avi")
    data = path.read_bytes()
    path.write_bytes(data.replace(b"MJPG", b"zz!z"))
    assert path.read_bytes() != data
    with pytest.raises(InputError, match="cannot be decoded"):
        run(path, tmp_path)
    assert capfd.readouterr().err == ""


def test_a_video_without_a_frame_leaves_nothing_behind(tmp_path: Path) -> None:
    reader = VideoReader(NoFrames(), "a.avi")  # type: ignore[arg-type]
    assert (reader.fps, reader.announced) == (25.0, None)
    with pytest.raises(InputError, match="a.avi: not one frame can be decoded"):
        predict_video(
            reader,
            FaceTracker(blob_landmarker(), AroundTheBlob()),
            video=tmp_path / "x.mp4",
            table=tmp_path / "x.csv",
        )
    assert list(tmp_path.iterdir()) == []


def test_an_error_midway_leaves_no_half_written_file(tmp_path: Path) -> None:
    def stumble(frame: object) -> bool:
        raise RuntimeError("the window is gone")

    with pytest.raises(RuntimeError):
        run(write_avi(tmp_path / "a.avi"), tmp_path, show=stumble)
    assert [p.name for p in tmp_path.iterdir()] == ["a.avi"]


def test_videos_are_told_from_pictures_by_their_first_bytes() -> None:
    assert is_video(b"\0\0\0\x20ftypisom\0\0\2\0")
    assert not is_video(b"\0\0\0\x20ftypavif\0\0\0\0")
    assert not is_video(b"RIFF\0\0\0\0WEBPVP8 ")
    assert not is_video(b"\x89PNG\r\n\x1a\n\0\0\0\0IHDR")
