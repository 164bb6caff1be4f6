"""300-VW: frames found by number in folders and archives, broken videos, and both ways without loss."""

from __future__ import annotations

import contextlib
import io
import pickle
import random
import threading
import zipfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from flmd import formats
from flmd.conversion.context_crops import crop_image
from flmd.conversion.settings import CropSettings
from flmd.core import images
from flmd.errors import FlmdError, InputError
from flmd.face import Face, Skipped
from flmd.formats import Certainty
from flmd.formats.common import video_frames as video_module
from flmd.formats.common.video_frames import png_of
from flmd.formats.pts import Pts
from flmd.formats.w300vw import W300Vw
from flmd.schemes import get_scheme
from flmd.tree import FileTree, open_tree
from tests.formats.random_faces import make_face

VW = W300Vw()
FOUR = get_scheme("points4")
POINTS = "version: 1\nn_points: 4\n{\n2 3\n4.5 6\n20 22\n30 8\n}\n"
SIZE = (48, 32)  # width, height


def picture(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """RGB of a frame that says its number in every pixel."""
    width, height = size
    out = np.random.default_rng(number).integers(0, 256, (height, width, 3), np.uint8)
    out[:4] = number
    return out


def make_video(path: Path, frames: int, codec: str = "FFV1") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*codec), 25, SIZE)
    assert writer.isOpened()
    for number in range(1, frames + 1):
        writer.write(np.ascontiguousarray(picture(number)[:, :, ::-1]))
    writer.release()


def make_tree(folder: Path, ids: tuple[str, ...] = ("001",), frames: int = 6, annotated: int = 6) -> None:
    for video in ids:
        make_video(folder / video / "vid.avi", frames)
        (folder / video / "annot").mkdir()
        for number in range(1, annotated + 1):
            (folder / video / "annot" / f"{number:06}.pts").write_text(POINTS)


def number_in(data: bytes) -> int:
    pixels = images.decode(data)
    number = int(pixels[0, 0, 0])
    assert np.array_equal(pixels, picture(number))
    return number


def zipped(folder: Path) -> Path:
    path = folder.with_suffix(".zip")
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, f"300VW/{file.relative_to(folder)}")
    return path


def test_a_pts_file_is_a_frame_and_a_folder_a_person(tmp_path):
    make_tree(tmp_path / "top" / "train", ("001", "113"), 2, 2)
    (tmp_path / "stray.pts").write_text(POINTS)
    with open_tree(tmp_path) as tree:
        fmt, found = formats.choose(tree)
        assert (fmt.name, found.certainty) == ("300vw", Certainty.CERTAIN)
        assert Pts().detect(tree).certainty is Certainty.LIKELY
        assert "4 annotated frames of 2 videos; left out: 1 .pts" in found.why
        assert fmt.scheme_in(tree, found.files) == "points4"
        faces = list(fmt.read(tree, FOUR, found.files))
    assert [f.image for f in faces[:3]] == [
        "top/train/001/vid/000001.png",
        "top/train/001/vid/000002.png",
        "top/train/113/vid/000001.png",
    ]
    assert faces[0].landmarks.tolist() == [[1, 2], [3.5, 5], [19, 21], [29, 7]]
    assert {(f.subject, f.split) for f in faces} == {("001", "train"), ("113", "train")}


def test_the_folder_of_one_video_is_read_too(tmp_path):
    make_tree(tmp_path, ("007",), 2, 1)
    with open_tree(tmp_path / "007") as tree:
        found = VW.detect(tree)
        assert found.files == ("annot/000001.pts",)
        (face,) = VW.read(tree, FOUR, found.files)
        assert (face.image, face.subject) == ("vid/000001.png", "007")
        assert number_in(VW.pictures(tree).read(face.image)) == 1


@pytest.mark.parametrize("missing", ["001/vid.avi", "001/annot/000001.pts"])
def test_both_the_video_and_its_annotations_are_needed(tmp_path, missing):
    make_tree(tmp_path, frames=1, annotated=1)
    (tmp_path / missing).unlink()
    with open_tree(tmp_path) as tree:
        found = VW.detect(tree)
    assert (found.fits, found.why) == (False, "no <id>/annot/*.pts beside <id>/vid.avi")


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("000000", POINTS, "bad_frame_number"),
        ("000001", POINTS.replace("30 8\n", ""), "wrong_point_count"),
        ("000001", POINTS[:-2], "truncated_file"),
        ("000001", POINTS.replace("8", "x"), "not_a_number"),
    ],
)
def test_a_bad_file_is_skipped_and_the_next_is_read(tmp_path, name, text, reason):
    make_tree(tmp_path, frames=1, annotated=2)
    (tmp_path / "001" / "annot" / f"{name}.pts").write_text(text)
    with open_tree(tmp_path) as tree:
        found = list(VW.read(tree, FOUR, VW.detect(tree).files))
    (skipped,) = (item for item in found if isinstance(item, Skipped))
    assert skipped.reason == reason
    assert skipped.where.split(":")[0].endswith(f"{name}.pts")
    assert any(isinstance(item, Face) for item in found)


@pytest.mark.parametrize("archive", [False, True])
def test_frames_are_read_in_any_order(tmp_path, archive, monkeypatch):
    make_tree(tmp_path / "x", ("1", "2", "3"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(video_module, "default_folder", lambda: scratch)
    top = "300VW/" if archive else ""
    with open_tree(zipped(tmp_path / "x") if archive else tmp_path / "x") as tree:
        pictures = VW.pictures(tree)
        assert f"{top}1/vid/000006.png" in pictures
        assert f"{top}1/vid/000007.png" not in pictures
        assert set(tree.names) < set(pictures.names)
        for number in (1, 2, 4, 4, 6, 3, 6, 1, 5):
            for video in "123":
                assert number_in(pictures.read(f"{top}{video}/vid/{number:06}.png")) == number
        assert len(list(scratch.iterdir())) == (video_module.OPEN_VIDEOS if archive else 0)
        name = f"{top}2/vid/000002.png"
        data = pictures.read(name)
        assert pictures.size(name) == len(data)
        assert pictures.read(name, 3, 10) == data[3:13]
        assert pictures.open(name).read() == data
        assert pictures.read(f"{top}1/annot/000001.pts") == POINTS.encode()
        assert "frame 2" in pictures.where(name)
        pictures.close()
        assert not list(scratch.iterdir())


def test_frames_in_order_decode_the_video_once(tmp_path, monkeypatch):
    make_tree(tmp_path)
    opened = []
    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", lambda *args: opened.append(args) or capture(*args))
    with open_tree(tmp_path) as tree:
        pictures = VW.pictures(tree)
        for number in (1, 2, 3, 5, 6):
            pictures.read(f"001/vid/{number:06}.png")
        assert len(opened) == 1
        pictures.read("001/vid/000002.png")
        assert len(opened) == 2


def numbers_read(pictures: FileTree, names: list[str]) -> list[int]:
    return [number_in(pictures.read(name)) for name in names]


def test_each_process_and_thread_reads_the_same_frames(tmp_path):
    make_tree(tmp_path, ("1", "2", "3"))
    with open_tree(tmp_path) as tree:
        pictures = VW.pictures(tree)
        names = [name for name in pictures.names if name.endswith(".png")]
        expected = numbers_read(pictures, names)  # opened here first: a copy must not share the handle
        assert expected == [1, 2, 3, 4, 5, 6] * 3
        assert numbers_read(pickle.loads(pickle.dumps(pictures)), names) == expected
        with ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool:
            assert pool.submit(numbers_read, pictures, names).result() == expected
        found: list[list[int]] = []
        threads = [
            threading.Thread(target=lambda: found.append(numbers_read(pictures, names))) for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert found == [expected] * 3


CROP = CropSettings(size=16, margin=1.3)


def test_frames_are_cropped_like_any_picture(tmp_path):
    make_tree(tmp_path, frames=2, annotated=3)
    with open_tree(tmp_path) as tree:
        pictures = VW.pictures(tree)
        faces = list(VW.read(tree, FOUR, VW.detect(tree).files))
        one, two, three = [crop_image(pictures, CROP, "landmarks", [face])[0] for face in faces]
    assert one.face.image_size == SIZE
    assert two.pixels.shape == (3, 16, 16)
    assert three.reason == "image_unreadable"
    assert "frame 3" in three.what
    assert "the video ends after 2 frames" in three.what


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "expected an AVI video"),
        (b"#EXTM3U\nfile:///etc/passwd\n", "expected an AVI video"),
        (b"RIFF\x10\0\0\0AVI " + b"\0" * 99, "decoded"),
    ],
)
def test_a_video_that_is_none_is_said_once_for_each_frame(tmp_path, data, what):
    make_tree(tmp_path, frames=1, annotated=2)
    (tmp_path / "001" / "vid.avi").write_bytes(data)
    with open_tree(tmp_path) as tree:
        pictures = VW.pictures(tree)
        for name in ("001/vid/000001.png", "001/vid/000002.png"):
            with pytest.raises(InputError, match=what):
                pictures.read(name)


def test_damaged_videos_end_in_frames_or_a_message(tmp_path):
    random_ = random.Random(3)
    make_tree(tmp_path)
    path = tmp_path / "001" / "vid.avi"
    whole = path.read_bytes()
    for _ in range(40):
        data = bytearray(whole[: random_.choice((len(whole), random_.randrange(len(whole))))])
        for _ in range(random_.randint(0, 20)):
            if data:
                data[random_.randrange(min(len(data), random_.choice((600, 10**9))))] = random_.randrange(256)
        path.write_bytes(data)
        with open_tree(tmp_path) as tree:
            pictures = VW.pictures(tree)
            for number in (1, 3, 6):
                with contextlib.suppress(FlmdError):
                    assert images.probe(pictures.read(f"001/vid/{number:06}.png"))


def test_the_png_is_what_pillow_reads():
    pixels = picture(9, (5, 3))
    found = np.asarray(Image.open(io.BytesIO(png_of(pixels[:, :, ::-1]))))
    assert np.array_equal(found, pixels)


def write(folder: Path, faces: list[Face], sizes: dict[str, tuple[int, int]], with_pictures: bool = True):
    source = folder / "source"
    for number, (name, size) in enumerate(sizes.items(), 1):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(png_of(np.ascontiguousarray(picture(number, size)[:, :, ::-1])))
    source.mkdir(exist_ok=True)
    with open_tree(source) as tree:
        return VW.write(faces, folder / "out", FOUR, tree if with_pictures else None)


def landmarks(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(10, 20, (4, 2)).astype(np.float32)


def test_what_was_written_is_read_back_pixel_by_pixel(tmp_path):
    names = [f"{video}/vid/{n:06}.png" for video in ("train/a é", "b") for n in (1, 2, 3)]
    faces = [
        make_face(name, landmarks(i), subject=name.split("/vid")[0].split("/")[-1])
        for i, name in enumerate(names)
    ]
    for face in faces[:3]:
        face.split = "train"
    faces[1].landmarks[2] = np.nan
    faces[1].visibility[2] = 0
    report = write(tmp_path, faces, dict.fromkeys(names, SIZE))
    assert (report.faces, report.lost) == (6, {})
    with open_tree(tmp_path / "out") as tree:
        fmt, found = formats.choose(tree)
        back = {face.image: face for face in fmt.read(tree, FOUR, found.files)}
        pictures = fmt.pictures(tree)
        for number, face in enumerate(faces, 1):
            other = back[face.image]
            assert np.array_equal(other.landmarks, face.landmarks, equal_nan=True)
            assert np.array_equal(other.visibility, face.visibility)
            assert (other.subject, other.split) == (face.subject, face.split)
            assert number_in(pictures.read(face.image)) == number


def test_other_names_become_videos_of_one_person_folder_and_size(tmp_path):
    sizes = {"x/a.png": SIZE, "x/b.png": SIZE, "x/c.png": (21, 13), "x/d.png": SIZE, "y.png": SIZE}
    people = {"x/d.png": "Ann", "y.png": "y"}
    faces = [make_face(name, landmarks(i), subject=people.get(name, "")) for i, name in enumerate(sizes)]
    faces.insert(1, make_face("x/a.png", landmarks(9)))
    faces += [make_face("gone.png", landmarks(1)), make_face("../z.png", landmarks(1))]
    faces[0].box = np.ones(4, np.float32)
    report = write(tmp_path, faces, sizes)
    assert report.faces == 6
    assert report.lost == {
        "image name": 6, "picture size": 1, "box": 1, "subject": 1,
        "face without readable picture": 1, "face with unwritable image name": 1,
    }  # fmt: skip
    with open_tree(tmp_path / "out") as tree:
        assert tree.names == [
            "Ann/annot/000001.pts", "Ann/vid.avi",
            "video/annot/000001.pts", "video/vid.avi",
            "x/annot/000001.pts", "x/annot/000002.pts", "x/annot/000003.pts", "x/vid.avi",
            "x_2/annot/000001.pts", "x_2/vid.avi",
        ]  # fmt: skip
        pictures = VW.pictures(tree)
        seen = [number_in(pictures.read(f"x/vid/{n:06}.png")) for n in (1, 2, 3)]
        assert seen == [1, 1, 2]
        padded = images.decode(pictures.read("x_2/vid/000001.png"))
        assert np.array_equal(padded, np.pad(picture(3, (21, 13)), ((0, 1), (0, 1), (0, 0)), mode="edge"))


def test_without_pictures_only_annotations_are_written(tmp_path):
    names = ["7/vid/000004.png", "7/vid/000009.png", "x/a.jpg", "7/vid/000009.png"]
    faces = [make_face(name, landmarks(i)) for i, name in enumerate(names)]
    report = write(tmp_path, faces, {}, with_pictures=False)
    assert (report.faces, report.lost) == (4, {"pictures": 4, "image name": 2})
    with open_tree(tmp_path / "out") as tree:
        assert tree.names == [f"7/annot/{n:06}.pts" for n in (4, 9, 10)] + ["x/annot/000001.pts"]
        back = list(Pts().read(tree, FOUR, tuple(tree.names)))
    assert np.array_equal(back[0].landmarks, faces[0].landmarks)
    assert VW.needs == {"pixels"}


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(InputError, match=r"expected \(4, 2\)"):
        write(
            tmp_path,
            [make_face("a.png", landmarks(0)), make_face("a.png", np.zeros((3, 2)))],
            {"a.png": SIZE},
        )
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
